"""A published model on disk: its training run, its config, its folder, its results."""

import functools
import itertools
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mmma.checkpoints import file_sha256, load_weights_file, meta_of, weights_of
from mmma.checkpoints.files import SUFFIX, read_safetensors_meta
from mmma.config import (
    PUBLISHED,
    check_data,
    config_folders,
    model_name,
    parse_config,
    plain_config,
    read_config,
)
from mmma.evaluation.reports import read_results
from mmma.hub.zoo import trained_in
from mmma.protocols import PROTOCOLS, make_protocol, write_protocol
from mmma.taxonomy import suggest

PATH, HOST = '<path>', '<host>'
_ENDS = r'(?![\w-]|\.\w)'  # of a folder's name; a dot may end the sentence
_LOCAL_URL = re.compile(r'file://[^\s\'"]+')
# Two folders at least; not in a URL, a word or a number: 1/20, and/or, https://a/b.
_ABSOLUTE = re.compile(
    r'(?:(?<=-[IL])|(?<![\w.:/\\<>~-]))(?:~|[A-Za-z]:)?[/\\](?:[\w.+@%=-]+[/\\])+'
    r'(?P<last>[\w.+@%=-]*)'
)
_USER_AT_HOST = re.compile(r'(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*')
_PRIVATE_ADDRESS = re.compile(
    r'\b(?:10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2}(?::\d+)?\b'
)
_FILE = re.compile(r'[\w+=-][\w.+=-]*\.[A-Za-z]\w{0,11}')


class Scrubber:
    """Replaces folders that are known by what they stand for, and others by a mark.

    ``''`` for a folder leaves what is below it; relative folders are replaced where
    they have several parts.
    """

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        marks = {}
        for folder, mark in (known or {}).items():
            for form in (folder, os.path.abspath(folder), os.path.realpath(folder)):
                if len(Path(form).parts) > 1:
                    marks[form.rstrip('/\\')] = mark
        marks.setdefault(str(Path.home()), PATH)
        self._known = []
        for folder in sorted(marks, key=len, reverse=True):
            end = _ENDS if marks[folder] else rf'(?:[/\\]|{_ENDS})'
            pattern = rf'(?<![\w./\\-]){re.escape(folder)}{end}'
            self._known.append((pattern, marks[folder].replace('\\', r'\\')))

    def text(self, value: str) -> str:
        """A text without paths of this machine; URLs and file names stay."""
        for pattern, mark in self._known:
            value = re.sub(pattern, mark, value)
        # A file's name says what was there; a folder's may be a person's.
        return _ABSOLUTE.sub(
            lambda m: f'{PATH}/{m["last"]}' if _FILE.fullmatch(m['last']) else PATH,
            _LOCAL_URL.sub(PATH, value),
        )

    def log(self, value: str) -> str:
        """Text as of :meth:`text`, without names and addresses of hosts and users."""
        value = _USER_AT_HOST.sub(HOST, self.text(value))
        node = platform.node()
        names = {node, node.partition('.')[0], os.environ.get('HOSTNAME', '')}
        for name in sorted(names - {'localhost'}, key=len, reverse=True):
            if len(name) > 3:  # a shorter one can be taken for a word
                value = re.sub(rf'(?<![\w-]){re.escape(name)}(?![\w-])', HOST, value)
        return _PRIVATE_ADDRESS.sub(HOST, value)

    def value(self, value: Any) -> Any:
        """Nested plain values with every string in them scrubbed."""
        return _mapped(value, self.text)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Nested plain values with every string in them changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(inner, change) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(inner, change) for inner in value)
    return value


# What a run sets for its machine and itself; the leaf says what a new run begins with.
_OF_A_RUN = (
    *('work_dir', 'load_from', 'resume', 'launcher', 'pretrain_data', 'seen_before'),
    *('changed_config', 'env_cfg', 'model_wrapper_cfg'),
)
DATA_ROOT = 'data/mma82'
_MEASURED_BY = ('model.', 'test_dataloader.dataset.pipeline.', 'test_evaluator.')


def portable(
    cfg: Mapping[str, Any], leaf: Mapping[str, Any] | None, scrubber: Scrubber
) -> dict[str, Any]:
    """A resolved config without what belongs to one run on one machine.

    ``leaf`` is the config it came from, resolved; None where that is not known.
    """
    if leaf is None:
        own = {'env_cfg': cfg['env_cfg']} if 'env_cfg' in cfg else {}
        leaf = {'data_root': DATA_ROOT, 'launcher': 'none', 'load_from': None, **own}
    old, new = str(cfg.get('data_root', DATA_ROOT)).rstrip('/'), str(leaf['data_root'])

    def moved(text: str) -> str:
        return new + text[len(old) :] if f'{text}/'.startswith(f'{old}/') else text

    kept = _mapped({k: v for k, v in cfg.items() if k not in _OF_A_RUN}, moved)
    own = {key: leaf[key] for key in _OF_A_RUN if key in leaf}
    return scrubber.value({**kept, **own})


def measured_otherwise(
    cfg: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[str]:
    """Dotted keys of model, test pipeline and evaluation in which configs differ."""
    for where, *_ in differing(cfg, other):
        above = (key.startswith(f'{where}.') for key in _MEASURED_BY)
        if f'{where}.'.startswith(_MEASURED_BY) or any(above):
            yield where


def differing(left: Any, right: Any, where: str = '') -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys in which plain values differ, with both; a tuple equals a list."""
    pair = [
        dict(enumerate(v)) if isinstance(v, (list, tuple)) else v for v in (left, right)
    ]
    if all(isinstance(value, Mapping) for value in pair):
        for key in sorted({**pair[0], **pair[1]}, key=str):
            inner = f'{where}.{key}' if where else str(key)
            yield from differing(*(value.get(key) for value in pair), inner)
    elif left != right:
        yield where, left, right


_TIME = re.compile(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ', re.MULTILINE)
_GPU = re.compile(r'^ *GPU [\d,]+: (.+)$', re.MULTILINE)
_WORLD = re.compile(r'^ *GPU number: (\d+)$', re.MULTILINE)
_LATER_RANK = re.compile(r'_rank[1-9]\d*\.log$')
_TRAINED = re.compile(r' - INFO - (Epoch|Iter)\(train\)')
_NEEDED = ('label_space', 'classes', 'protocol', 'data', 'cfg')


@dataclass(frozen=True)
class TrainingRun:
    """A trained checkpoint, and how it came about.

    Attributes:
        content: What the checkpoint holds.
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
        """Facts that the checkpoint tells of itself."""
        return meta_of(self.content)

    @property
    def weights(self) -> dict[str, Any]:
        """Its weights, averaged ones where the run kept averages."""
        return weights_of(self.content, str(self.checkpoint))


def read_run(work_dir: Path, checkpoint: Path | None = None) -> TrainingRun:
    """Read a work dir that ``train.py`` wrote: a checkpoint, or the best, or the last.

    Raises:
        FileNotFoundError: There is no checkpoint in it.
        ValueError: It cannot be published.
    """
    path = checkpoint or trained_in(work_dir)
    content = load_weights_file(path)
    meta = meta_of(content)
    if lacking := [key for key in _NEEDED if not meta.get(key)]:
        raise ValueError(
            f'{path} does not say what it is ({", ".join(lacking)} missing): only '
            'checkpoints of tools/train.py on a data root can be published.'
        )
    cfg, source = meta['cfg'], str(path)
    cfg = check_data(parse_config(cfg, source) if isinstance(cfg, str) else cfg, source)
    if cfg.get('fast_dev_run'):
        raise ValueError(f'{path} is of --fast-dev-run: train it without.')
    # Logs of rank 0 in the order in which the run was begun and resumed.
    logs = [p for p in work_dir.glob('*_*/*_*.log') if not _LATER_RANK.search(p.name)]
    texts = [p.read_text(encoding='utf-8', errors='replace') for p in sorted(logs)]
    log = '\n'.join(text for text in texts if _TRAINED.search(text))
    return TrainingRun(work_dir, path, content, cfg, log)


def training_resources(log: str) -> str | None:
    """Devices and time of a run, ``1 x NVIDIA H100, 12 min``, by the log of MMEngine.

    None where it has no times.
    """
    times = [datetime.strptime(t, '%Y/%m/%d %H:%M:%S') for t in _TIME.findall(log)]
    if not times:
        return None
    # A run that was continued stood still between its parts.
    steps = [(b - a).total_seconds() for a, b in itertools.pairwise(times)]
    seconds = sum(s for s in steps if 0 <= s < 6 * 3600)
    gpus, world = _GPU.findall(log), _WORLD.findall(log) or ['1']
    device = f'{world[-1]} x {gpus[-1].strip()}' if gpus else 'CPU'
    if seconds >= 5400:
        return f'{device}, {seconds / 3600:.1f} h'
    minutes = f'{seconds / 60:.0f} min' if seconds >= 90 else f'{seconds:.0f} s'
    return f'{device}, {minutes}'


def find_leaf(config_name: str | None, protocol: Mapping[str, Any]) -> str | None:
    """Config file of mmma behind a run, as ``configs/recog/x.py``; None for others.

    By the file name that checkpoints tell. A run of one leaf under the protocol of
    another is a run of the other.
    """
    wanted = make_protocol(protocol).name
    for folder in config_folders()[:1] if config_name else ():
        for path in sorted(folder.glob('[!_]*/*.py')):
            if path.name != Path(str(config_name)).name:
                continue
            stem = path.stem
            for name in PROTOCOLS:
                stem = stem.removesuffix(f'_{name}')
            other = path.with_name(f'{stem}_{wanted}.py')
            path = other if other.is_file() else path
            return path.relative_to(folder.parent).as_posix()
    return None


def resolved(
    cfg: Mapping[str, Any] | str, protocol: Mapping[str, Any], label_space: Any = None
) -> dict[str, Any]:
    """A copy of a config, or of that of a leaf, with label space and protocol."""
    copy = deepcopy(dict(_read_leaf(cfg) if isinstance(cfg, str) else cfg))
    if label_space is not None:
        copy['label_space'] = label_space
    write_protocol(copy, make_protocol(protocol))
    return copy


def _read_leaf(leaf: str) -> dict[str, Any]:
    return _read_config(config_folders()[0].parent / leaf).to_dict()


_read_config = functools.cache(read_config)


def leaf_flags(leaf: str, protocol: Mapping[str, Any]) -> list[str]:
    """Command line that makes the protocol of a leaf this one; empty where it is."""
    known = make_protocol(_read_leaf(leaf).get('protocol', {})).as_dict()
    told = make_protocol(protocol).as_dict()
    name = told.pop('name')
    flags = ['--protocol', name] if name != known.pop('name') else []
    defaults = make_protocol({'name': name}).as_dict() if flags else known
    for key in ('source', 'domain', 'target', 'shots', 'seed'):
        if key in told and told[key] != defaults.get(key):
            values = told[key] if isinstance(told[key], list) else [told[key]]
            flags += [f'--{key}', *map(str, values)]
    return flags


def default_name(run: TrainingRun, leaf: str | None) -> str:
    """Name in the zoo: the leaf's, what its protocol lacks, and ``-simulated``."""
    stem = Path(leaf or run.meta.get('config_name') or 'model').stem
    protocol = run.cfg['protocol']
    if leaf is None or '--protocol' in leaf_flags(leaf, protocol):
        stem = f'{stem.removesuffix("_" + protocol["name"])}_{protocol["name"]}'
    if '_mma82_' in stem:
        data = run.meta['data'].get('name') or ''
        own = model_name('_mma82', run.meta.get('label_space', 'mma82'), data)
        stem = stem.replace('_mma82', own)
    stem += make_protocol({**protocol, 'seed': 0}).tag().removeprefix(protocol['name'])
    return stem + ('-simulated' if run.meta['data'].get('simulated') else '')


MAX_BYTES = 8 << 20
_TOLD = (
    *('label_space', 'classes', 'parameters', 'precision', 'protocol.name'),
    *('data.name', 'data.fingerprint'),
)


@dataclass(frozen=True)
class ZooFolder:
    """A published model on disk: ``zoo/NAME`` and ``NAME-<sha8>.safetensors`` in it."""

    path: Path
    weights: Path

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.path.name

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the weights file as it is."""
        return file_sha256(self.weights)

    @property
    def relative(self) -> str:
        """Path of the weights beside ``configs/``: ``zoo/NAME/NAME-<sha8>...``."""
        return '/'.join((self.path.parent.name, self.name, self.weights.name))

    @cached_property
    def meta(self) -> dict[str, Any]:
        """Facts that the weights tell of themselves."""
        return read_safetensors_meta(self.weights)

    @property
    def config(self) -> Path:
        """File of the resolved config."""
        files = [self.path / name for name in PUBLISHED]
        return next((file for file in files if file.is_file()), files[0])

    @cached_property
    def cfg(self) -> dict[str, Any]:
        """The resolved config, read without running it."""
        return plain_config(self.config)

    def results(self) -> dict[str, dict[str, Any]]:
        """Contents of the results files by name, that of the own protocol first."""
        files = self.path.glob('results*.json')
        own_first = sorted(files, key=lambda p: (p.name != 'results.json', p.name))
        return {path.name: read_results(path) for path in own_first}


def find_published(folder: Path) -> ZooFolder | None:
    """The published model in a folder; None where there is none.

    Raises:
        ValueError: There are several.
    """
    found = sorted(folder.glob(f'{folder.name}-*{SUFFIX}'))
    if len(found) > 1:
        names = ', '.join(path.name for path in found)
        raise ValueError(f'{folder} has several weights ({names}): remove the old.')
    return ZooFolder(folder, found[0]) if found else None


def read_published(source: str | Path, zoo: Path) -> ZooFolder:
    """Find a published model by its folder, or by its name in the zoo.

    Raises:
        FileNotFoundError: There is none of that name.
        ValueError: Its folder has several weights.
    """
    for folder in (Path(source), zoo / str(source)):
        if folder.is_dir() and (found := find_published(folder.resolve())):
            return found
    known = sorted(p.name for p in zoo.glob('*') if p.is_dir() and find_published(p))
    raise FileNotFoundError(
        f'{source} is neither the work dir of a training run nor a model in {zoo} '
        f'({", ".join(known) or "none yet"}).{suggest(Path(source).name, known)}'
    )


def results_name(results: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """File name of results: ``results.json`` for ``own``, the published protocol."""
    told = results['protocol']
    if {**told, 'seed': 0} == {**own, 'seed': 0}:
        return 'results.json'
    parts = [told['name']]
    domain, targets = told.get('domain', 'all'), told.get('target', [])
    parts += [domain] if domain != 'all' else []
    parts += targets if len(targets) == 1 else []
    parts += [f'{k}shot' for k in told.get('shots', [])]
    return f'results_{"_".join(parts)}.json'


def check_results(
    results: Mapping[str, Any], model: ZooFolder, reference: Mapping[str, Any]
) -> None:
    """Refuse results that are not of the published file, measured as it says.

    Raises:
        ValueError: They are of other weights, of another task, of a part of the data,
            or measured with another config than ``reference``, of their protocol.
    """
    found = results['checkpoint'].get('sha256')
    if found != model.sha256:
        raise ValueError(
            f'these results are of {results["checkpoint"].get("path")} (SHA-256 '
            f'{str(found)[:8]}...), not of the published {model.weights.name}. '
            f'Half precision can move a number: test {model.weights}.'
        )
    options = results['options']
    faults = {
        f'task {results["task"]}': results['task'] != reference.get('task'),
        f'subset {options.get("subset")}': options.get('subset') != 'test',
        'adapt, whose rows are of other weights': 'adapt.on' in options,
        '--fast-dev-run': options.get('fast_dev_run'),
        f'{len(results.get("broken", []))} left out': results.get('broken'),
        **dict.fromkeys(measured_otherwise(results['config'], reference), True),
    }
    if odd := [what for what, wrong in faults.items() if wrong]:
        raise ValueError(
            f'these results of {model.name} are measured in another way than its '
            f'config says ({", ".join(odd[:4])}): test again, without options.'
        )


def lacking(model: ZooFolder) -> Iterator[str]:
    """Sentences on facts that the weights of a published model do not tell."""
    for key in _TOLD:
        value: Any = model.meta
        for part in key.split('.'):
            value = (value or {}).get(part)
        if value is None:
            yield f'{model.relative}: its meta lacks {key}. Publish it again.'


def problems_of(model: ZooFolder) -> Iterator[str]:
    """Sentences on faults of a published folder."""
    own = model.sha256[:8]
    if not model.weights.name.endswith(f'-{own}{SUFFIX}'):
        yield f'{model.relative} has SHA-256 {own}...: damaged or changed.'
    yield from lacking(model)
    for path in (model.config, model.path / 'train.log'):
        if not path.is_file():
            yield f'{path} is missing. Publish it again.'
    for name, results in model.results().items():
        if results['checkpoint'].get('sha256') != model.sha256:
            yield f'{model.path / name} is of other weights. Test the published ones.'


def large_files(folder: Path) -> list[str]:
    """Files that are too large for a repository, with their sizes."""
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return [f'{n} ({s / 1e6:.1f} MB)' for n, s in sizes.items() if s > MAX_BYTES]
