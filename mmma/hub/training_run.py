"""What a training run left in its work dir, read for publishing."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mmma.checkpoints import load_weights_file, meta_of, weights_of
from mmma.config import config_folders
from mmma.hub.plain_config import parse_config
from mmma.protocols import PROTOCOLS, Protocol, make_protocol, write_protocol

_TIME = re.compile(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ', re.MULTILINE)
_GPU = re.compile(r'^ *GPU [\d,]+: (.+)$', re.MULTILINE)
_WORLD = re.compile(r'^ *GPU number: (\d+)$', re.MULTILINE)
_LATER_RANK = re.compile(r'_rank[1-9]\d*\.log$')
_TRAINED = re.compile(r' - INFO - (Epoch|Iter)\(train\)')
_NEEDED = ('label_space', 'classes', 'protocol', 'data', 'cfg')
_EPOCH = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


@dataclass(frozen=True)
class TrainingRun:
    """A trained checkpoint, and how it came about.

    Attributes:
        work_dir: Of the run.
        checkpoint: The file that was read.
        content: What it holds.
        cfg: The resolved config that was trained.
        log: Logs of the run and of its continuations, one behind the other.
    """

    work_dir: Path
    checkpoint: Path
    content: Mapping[str, Any]
    cfg: dict[str, Any]
    log: str

    @property
    def meta(self) -> dict[str, Any]:
        """What the checkpoint tells of itself."""
        return meta_of(self.content)

    @property
    def weights(self) -> dict[str, Any]:
        """Its weights, averaged ones where the run kept averages."""
        return weights_of(self.content)


@dataclass(frozen=True)
class Leaf:
    """The config file of the zoo that a run was made with.

    Attributes:
        path: Relative to the folder of ``configs/``.
        cfg: Resolved for the run's protocol.
        flags: What the command line must say for that; none where the leaf says it.
    """

    path: str
    cfg: dict[str, Any]
    flags: tuple[str, ...] = ()


def read_run(work_dir: Path, checkpoint: Path | None = None) -> TrainingRun:
    """Read a work dir.

    Args:
        work_dir: Folder that ``train.py`` wrote.
        checkpoint: A file of it; None takes the best, or else the last.

    Raises:
        FileNotFoundError: There is no checkpoint in it.
        ValueError: Several could be meant, or this one cannot be published.
    """
    path = checkpoint or _choose(work_dir)
    content = load_weights_file(path)
    meta = meta_of(content)
    lacking = [key for key in _NEEDED if not meta.get(key)]
    if lacking:
        raise ValueError(
            f'{path} does not say what it is ({", ".join(lacking)} missing): only '
            'checkpoints of tools/train.py on a data root can be published.'
        )
    cfg = meta['cfg']
    cfg = parse_config(cfg, str(path)) if isinstance(cfg, str) else dict(cfg)
    if cfg.get('fast_dev_run'):
        raise ValueError(f'{path} is of --fast-dev-run: train it without.')
    return TrainingRun(work_dir, path, content, cfg, _read_logs(work_dir))


def _choose(work_dir: Path) -> Path:
    best = sorted(work_dir.glob('best_*.pth'))
    if len(best) > 1:
        raise ValueError(
            f'{work_dir} has several best checkpoints '
            f'({", ".join(path.name for path in best)}): choose with --checkpoint.'
        )
    if best:
        return best[0]
    told = work_dir / 'last_checkpoint'  # its path is that of the machine of the run
    last = Path(told.read_text().strip()).name if told.is_file() else ''
    if last and (work_dir / last).is_file():
        return work_dir / last
    numbered = {m: p for p in work_dir.glob('*.pth') if (m := _EPOCH.fullmatch(p.name))}
    if not numbered:
        raise FileNotFoundError(
            f'{work_dir} holds no checkpoint (best_*.pth, epoch_*.pth or iter_*.pth): '
            'give the work dir of tools/train.py, or --checkpoint FILE.'
        )
    return max(numbered.items(), key=lambda item: int(item[0][1]))[1]


def _read_logs(work_dir: Path) -> str:
    """Logs of rank 0 in the order in which the run was begun and resumed."""
    logs = [p for p in work_dir.glob('*_*/*_*.log') if not _LATER_RANK.search(p.name)]
    texts = [p.read_text(encoding='utf-8', errors='replace') for p in sorted(logs)]
    return '\n'.join(text for text in texts if _TRAINED.search(text))


def training_resources(log: str) -> str | None:
    """What a run ran on, and how long: ``1 x NVIDIA H100, 12 min``.

    Args:
        log: Of MMEngine; None is returned where it has no times.
    """
    times = [datetime.strptime(t, '%Y/%m/%d %H:%M:%S') for t in _TIME.findall(log)]
    if not times:
        return None
    # A run that was continued stood still between its parts.
    steps = [(b - a).total_seconds() for a, b in itertools.pairwise(times)]
    seconds = sum(s for s in steps if 0 <= s < 6 * 3600)
    gpus, world = _GPU.findall(log), _WORLD.findall(log)
    device = f'{world[-1] if world else 1} x {gpus[-1].strip()}' if gpus else 'CPU'
    hours = f'{seconds / 3600:.1f} h'
    minutes = f'{seconds / 60:.0f} min' if seconds >= 90 else f'{seconds:.0f} s'
    return f'{device}, {hours if seconds >= 5400 else minutes}'


def find_leaf(config_name: str | None, protocol: Mapping[str, Any]) -> Leaf | None:
    """The config file of mmma behind a run; None for a config of the user's own.

    A run of one leaf under the protocol of another is a run of the other.

    Args:
        config_name: File name, as checkpoints tell it.
        protocol: Of the resolved config.
    """
    wanted = make_protocol(protocol)
    for folder in config_folders()[:1] if config_name else ():
        for path in sorted(folder.glob(f'[!_]*/{Path(str(config_name)).name}')):
            stem = path.stem
            for name in PROTOCOLS:
                stem = stem.removesuffix(f'_{name}')
            other = path.with_name(f'{stem}_{wanted.name}.py')
            path = other if other.is_file() else path
            cfg = _read_config(path)
            flags = _flags(make_protocol(cfg.get('protocol', {})), wanted)
            relative = path.relative_to(folder.parent).as_posix()
            return Leaf(relative, resolved(cfg, protocol), flags)
    return None


def resolved(cfg: Mapping[str, Any], protocol: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a config with a protocol written into it."""
    copy = deepcopy(dict(cfg))
    write_protocol(copy, make_protocol(protocol))
    return copy


@functools.cache
def _read_config(path: Path) -> dict[str, Any]:
    from mmengine.config import Config

    return dict(Config.fromfile(path).to_dict())


def _flags(own: Protocol, wanted: Protocol) -> tuple[str, ...]:
    """The command line that makes one protocol of another."""
    told, known = wanted.as_dict(), own.as_dict()
    name = told.pop('name')
    flags = ['--protocol', name] if name != known.pop('name') else []
    defaults = make_protocol({'name': name}).as_dict() if flags else known
    for key in ('domain', 'target', 'shots', 'seed'):
        if key in told and told[key] != defaults.get(key):
            values = told[key] if isinstance(told[key], list) else [told[key]]
            flags += [f'--{key}', *map(str, values)]
    return tuple(flags)


def default_name(run: TrainingRun, leaf: Leaf | None) -> str:
    """Name in the zoo: the leaf's, what its protocol lacks, and ``-simulated``."""
    file = leaf.path if leaf else run.meta.get('config_name') or 'model'
    stem = Path(file).stem
    protocol = run.cfg['protocol']
    if leaf is None or '--protocol' in leaf.flags:
        stem = f'{stem.removesuffix("_" + protocol["name"])}_{protocol["name"]}'
    domain = protocol.get('domain', 'all')
    stem += f'-{domain}' if domain != 'all' else ''
    return stem + ('-simulated' if run.meta['data'].get('simulated') else '')
