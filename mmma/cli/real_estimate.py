"""Disk, time and memory of the steps of ``real``, before any of them runs."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmma.cli.data_pack import duration
from mmma.cli.real_measure import measure_part
from mmma.cli.real_plan import Plan, PlanOptions, Step
from mmma.data.clips import Clip
from mmma.files import atomic_write
from mmma.protocols import SOURCE, TARGETS

MEASURED_FILE = 'measured.json'
UNKNOWN = '–'
_JOINT_BYTES = 65 * 3 * 2
_RESERVE = 1.1
_FLOAT = 4


@dataclass(frozen=True)
class Estimate:
    """What a step will take; None is unknown.

    Attributes:
        bytes: On disk.
        seconds: Of time.
        mib: Of memory at its peak, of a GPU where it runs on one.
        how: How the numbers came about, or why there are none.
    """

    bytes: float | None = None
    seconds: float | None = None
    mib: float | None = None
    how: str = ''


@dataclass(frozen=True)
class Counts:
    """Clips that the steps go through.

    Attributes:
        of: Clips by (subset, domain).
    """

    of: Mapping[tuple[str, str], int]

    @classmethod
    def read(cls, clips: Sequence[Clip]) -> Counts:
        """Count the rows of a table."""
        return cls(Counter((clip.subset, clip.domain) for clip in clips))

    def number(self, subset: str | None = None, domains: Sequence[str] = ()) -> int:
        """Clips of a subset (None: all) and of some domains (none given: all)."""
        return sum(
            count
            for (part, domain), count in self.of.items()
            if subset in (None, part) and (not domains or domain in domains)
        )


def measure(plan: Plan, options: PlanOptions) -> dict[str, Any]:
    """Measure on a few clips what the steps of a plan will do with all of them.

    What was measured before in the same way is taken from ``measured.json``.

    Args:
        plan: The steps.
        options: What the user decides.

    Returns:
        What each part gave, by its name; ``failure`` where it gave nothing.
    """
    file = options.out / MEASURED_FILE
    known = json.loads(file.read_text(encoding='utf-8')) if file.is_file() else {}
    requests = _requests(plan, options)
    todo = {
        name
        for name, request in requests.items()
        if known.get(name, {}).get('request') != request or 'failure' in known[name]
    }
    for name, request in requests.items():
        if name in todo or (todo and name in ('sample', 'data')):
            print(f'measuring on a few clips: {name}', file=sys.stderr)
            known[name] = {**measure_part(request), 'request': request}
    shutil.rmtree(options.out / '.sample', ignore_errors=True)
    with atomic_write(file) as handle:
        handle.write(json.dumps(known, indent=1) + '\n')
    return {name: known[name] for name in requests}


def _requests(plan: Plan, options: PlanOptions) -> dict[str, dict[str, Any]]:
    """What to measure, by name, in this order."""
    folder = options.out / '.sample'
    source, packed = str(folder / 'source'), str(folder / 'packed')
    pack = plan.root == options.out / 'packed'
    root = packed if pack else source
    requests: dict[str, dict[str, Any]] = {
        'sample': dict(part='sample', data=str(options.data), folder=source),
        'data': dict(part='data', sample=source, packed=packed, pack=pack),
    }
    models = str(options.models) if options.models else None
    for step in plan.steps:
        trained = step.command[0] == 'train'
        if step.name == 'pose':
            requests['pose'] = dict(
                part='pose', root=root, backend=options.backend, models=models
            )
        elif step.recipe and (trained or step.recipe not in requests):
            requests[step.recipe] = dict(
                part='recipe',
                config=f'recog/{step.recipe}_mma82_indomain',
                root=root,
                options=_config_options(step),
                train=trained,
            )
    return requests


def _config_options(step: Step) -> list[str]:
    words = list(step.command)
    return words[words.index('--cfg-options') + 1 :] if '--cfg-options' in words else []


def estimate(
    step: Step, counts: Counts, measured: Mapping[str, Any], cores: int
) -> Estimate:
    """What one step will take.

    Args:
        step: The step.
        counts: Clips of the data root.
        measured: From :func:`measure`.
        cores: Processes that check, pack and find poses.
    """
    data = measured.get('data', {})
    kind = step.command[0]
    part = measured.get({'data/pose': 'pose'}.get(kind, step.recipe or 'data'), {})
    if 'failure' in part or 'failure' in data or not data:
        return Estimate(how=part.get('failure') or data.get('failure', 'not measured'))
    clips, sample = counts.number(), f'{data["clips"]} clips on one core, {cores} cores'
    if kind == 'data/check':
        return Estimate(0, clips * data['look'] / cores, how=sample)
    if kind == 'data/pack':
        size, taken = data['packed_bytes'], data['pack']
        return Estimate(clips * size, clips * taken / cores, how=sample)
    if kind == 'data/pose':
        frames = clips * data['frames']
        size, taken = frames * _JOINT_BYTES, frames * part['pose']
        # Found joints are kept clip by clip until the store is written.
        return Estimate(2 * size, taken / cores, how=f'one clip, {cores} cores')
    if kind == 'train':
        return _training(step, counts, part, cores)
    if kind in ('test', 'probe'):
        return _testing(step, counts, part, cores)
    return Estimate(0, how='seconds')


def _training(step: Step, counts: Counts, part: Mapping, cores: int) -> Estimate:
    domains = (SOURCE,) if step.name.endswith('-lab') else ()
    epochs = part['epochs']
    shown = epochs * counts.number('train', domains)
    checked = -(-epochs // part['val_interval']) * counts.number('val', domains)
    taken = shown * _per_clip(part, 'train', 'load', (step.gpus, cores))
    taken += checked * _per_clip(part, 'test', 'test_load', (step.gpus, cores))
    # Last (with the optimizer's two copies at most) and best.
    size = part['params'] * _FLOAT * 4
    return Estimate(size, taken, part['mib'], f'{_how(part)}, {epochs} epochs')


def _testing(step: Step, counts: Counts, part: Mapping, cores: int) -> Estimate:
    kind, tag = step.name.partition('-')[::2]
    if kind == 'probe':
        clips = counts.number() if tag == 'test' else 0  # kept by the first
        how = f'{_how(part)}; the fits add minutes'
    elif tag == 'fewshot':
        clips = counts.number('train', TARGETS) + counts.number('test', TARGETS)
        how = f'{_how(part)}; the refits add minutes'
    else:
        clips = counts.number(
            'val' if tag == 'val' else 'test', TARGETS if tag == 'zeroshot' else ()
        )
        how = _how(part)
    taken = clips * _per_clip(part, 'test', 'test_load', (1, cores))
    size = clips * part['features'] * _FLOAT if kind == 'probe' else 0
    return Estimate(size, taken, part['mib'], how)


def _per_clip(
    part: Mapping[str, Any], work: str, load: str, machine: tuple[int, int]
) -> float:
    """Seconds per clip: a CPU loads and computes in turns, beside a GPU it loads."""
    gpus, cores = max(machine[0], 1), machine[1]
    loaders = max(min(part['loaders'] * gpus, cores), 1)
    if part['device'] == 'CPU':
        return part[work] + part[load] / loaders
    return max(part[work] / gpus, part[load] / loaders)


def _how(part: Mapping[str, Any]) -> str:
    return f'steps of {part["batch_size"]} clips on {part["device"]}'


def check_disk(out: Path, needed: float) -> None:
    """Refuse to start what the disk cannot hold.

    Args:
        out: The folder of the run.
        needed: Bytes.

    Raises:
        ValueError: The disk is too small.
    """
    free = shutil.disk_usage(out).free
    if _RESERVE * needed > free:
        raise ValueError(
            f'{out}: about {needed / 1e9:,.1f} GB are needed, the disk has '
            f'{free / 1e9:,.1f} GB left: make room, or give --out on another disk '
            '(--no-estimate starts all the same)'
        )


def plan_table(
    plan: Plan, estimates: Mapping[str, Estimate], done: Sequence[str]
) -> str:
    """The plan with its estimates, and the commands below it.

    Args:
        plan: The steps.
        estimates: By step; a step without one is unknown.
        done: Steps that were done before.
    """
    from prettytable import PrettyTable

    table = PrettyTable(['', 'step', 'disk', 'time', 'memory', 'how estimated'])
    table.align = 'l'
    for column in ('', 'disk', 'time', 'memory'):
        table.align[column] = 'r'
    for number, step in enumerate(plan.steps, start=1):
        known = estimates.get(step.name, Estimate())
        cells = [_disk(known.bytes), _time(known.seconds), _memory(known.mib)]
        how = known.how
        if step.name in done:
            cells, how = [UNKNOWN] * 3, 'done before'
        table.add_row([number, step.name, *cells, how])
    left = [known for name, known in estimates.items() if name not in done]
    total = [_disk(_sum(left, 'bytes')), _time(_sum(left, 'seconds')), '']
    table.add_row(['', 'known in all', *total, ''])
    lines = [table.get_string()]
    lines += [f'left out: {name} ({why})' for name, why in plan.left_out.items()]
    lines += [f'{n:2d} {s.line()}' for n, s in enumerate(plan.steps, start=1)]
    return '\n'.join(lines)


def _sum(estimates: Sequence[Estimate], name: str) -> float:
    return sum(asdict(known)[name] or 0 for known in estimates)


def _disk(size: float | None) -> str:
    if size is None:
        return UNKNOWN
    return f'{size / 1e9:,.1f} GB' if size >= 1e9 else f'{size / 1e6:,.1f} MB'


def _time(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else duration(seconds)


def _memory(mib: float | None) -> str:
    return UNKNOWN if mib is None else f'{mib / 1024:,.1f} GiB'
