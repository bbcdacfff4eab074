"""The steps of ``real``: from a data root to a table, each a command of its own."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from mmma.data.root import DataRoot
from mmma.taxonomy import check_choice

GROUPS = ('check', 'pack', 'pose', 'probe', 'gctsm', 'posec3d', 'table')
"""What ``--skip`` takes beside the names of single steps."""

_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True)
class Preset:
    """What a kind of machine changes.

    Attributes:
        gpus: Processes of a training, each with a GPU; 0 trains on the CPU.
        probe: Recipe of the frozen backbone.
        suffix: Of the recipes of GC-TSM and PoseC3D.
        batch_size: Clips per GPU, by model; the learning rate follows (auto_scale_lr).
        epochs: Of a training; None keeps the recipe's.
        runs: Few-shot support draws; None keeps the protocol's.
        pretrained: Whether the frozen backbone has its published weights.
    """

    gpus: int
    probe: str = 'videomae-s'
    suffix: str = ''
    batch_size: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    epochs: int | None = None
    runs: int | None = None
    pretrained: bool = True


PRESETS = {
    # 32 is the batch that GC-TSM's rate is for; PoseC3D's 0.2 is for 128: a quarter.
    '1gpu': Preset(1, batch_size=MappingProxyType({'gctsm': 32, 'posec3d': 32})),
    # 8 x 16 = 128: four times GC-TSM's rate, PoseC3D's as published.
    '8gpu': Preset(8, batch_size=MappingProxyType({'gctsm': 16, 'posec3d': 16})),
    'cpu-small': Preset(0, 'videomae-tiny', '-tiny', _NOTHING, 4, 2, False),
}


@dataclass(frozen=True)
class PlanOptions:
    """What the user decides.

    Attributes:
        data: The converted data root.
        out: Where everything goes.
        preset: A key of ``PRESETS``.
        skip: Steps or groups to leave out.
        probe: Recipe of the frozen backbone instead of the preset's.
        epochs: Of each training instead of the preset's.
        runs: Few-shot support draws instead of the preset's.
        batch_size: Clips per process of each training instead of the preset's.
        backend: Of pose.
        models: Files of the pose backend ``rtmlib``.
        workers: Processes of check, pack and pose, and loaders of a training.
        amp: Train in mixed precision.
        skip_broken: Go on without videos that cannot be read.
    """

    data: Path
    out: Path
    preset: str = '1gpu'
    skip: tuple[str, ...] = ()
    probe: str | None = None
    epochs: int | None = None
    runs: int | None = None
    batch_size: int | None = None
    backend: str = 'mediapipe'
    models: Path | None = None
    workers: int | None = None
    amp: bool = False
    skip_broken: bool = False

    def __post_init__(self) -> None:
        check_choice('preset', self.preset, tuple(PRESETS))
        for name in ('epochs', 'runs', 'batch_size', 'workers'):
            value = getattr(self, name)
            if value is not None and value < 1:
                flag = name.replace('_', '-')
                raise ValueError(f'--{flag} {value}: must be 1 or more')


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: As ``gctsm-train``; what stands before ``-`` is its group.
        command: Behind ``python -m mmma``; ``best_*.pth`` is expanded as a shell does.
        output: File or folder that it makes, moved aside when it is made anew.
        marks: Files that are there when it is done; may have a ``*``.
        needs: Steps that it builds on; those that are left out do not count.
        recipe: Of the model that it runs, for the estimate.
        gpus: Processes of a training, started by torchrun if more than one.
    """

    name: str
    command: tuple[str, ...]
    output: Path
    marks: tuple[Path, ...]
    needs: tuple[str, ...] = ()
    recipe: str = ''
    gpus: int = 0

    @property
    def group(self) -> str:
        """What ``--skip`` may call it."""
        return self.name.partition('-')[0]

    def arguments(self) -> list[str]:
        """Behind the interpreter."""
        module = ['-m', 'mmma', *self.command]
        if self.gpus < 2:
            return module
        run = ['-m', 'torch.distributed.run', '--standalone']
        count = ['--nproc-per-node', str(self.gpus)]
        return [*run, *count, *module, '--launcher', 'pytorch']

    def line(self, python: str = 'python') -> str:
        """The command as it can be typed."""
        quoted = (w if '*' in w else shlex.quote(w) for w in self.arguments())
        return ' '.join([shlex.quote(python), *quoted])


@dataclass(frozen=True)
class Plan:
    """What is to do.

    Attributes:
        steps: In order.
        left_out: Step -> why.
        root: The data root that models read.
    """

    steps: tuple[Step, ...]
    left_out: Mapping[str, str]
    root: Path

    def find(self, name: str) -> Step:
        """A step by its name."""
        return next(step for step in self.steps if step.name == name)


def make_plan(options: PlanOptions) -> Plan:
    """All steps that remain after skips and what they imply.

    Args:
        options: What the user decides.

    Raises:
        FileNotFoundError: No data root, or no recognition table in it.
        ValueError: ``--skip`` names no step, or nothing is left to tabulate.
    """
    root = DataRoot(options.data)
    root.read_rec()
    packing = _Packing.of(root, options)
    steps = [*packing.steps(options), *_probe_steps(options, packing.root)]
    for model in ('gctsm', 'posec3d'):
        steps += _model_steps(model, options, packing.root)
    _check_skips(options.skip, [step.name for step in steps])
    left_out = _left_out(steps, options.skip, packing)
    kept = [step for step in steps if step.name not in left_out]
    measured = [step for step in steps if step.marks[0].name == 'results.json']
    results = [s for s in measured if s.name not in left_out or _exists(s)]
    if 'table' in options.skip:
        left_out['table'] = 'skipped'
    elif not results:
        raise ValueError('nothing is left to make a table of: skip less, or table too.')
    else:
        kept += _table_steps(options, results)
    return Plan(tuple(kept), left_out, packing.root)


@dataclass(frozen=True)
class _Packing:
    """Which root models read, and what needs not be done for it."""

    root: Path
    not_needed: Mapping[str, str]
    has_skeletons: bool

    @classmethod
    def of(cls, root: DataRoot, options: PlanOptions) -> _Packing:
        packed = options.out / 'packed'
        not_needed = {}
        if root.info.packed is not None:
            not_needed['pack'] = f'{root.path} is packed already'
        elif 'pack' in options.skip and not (packed / 'dataset.json').is_file():
            not_needed['pack'] = f'skipped: models read {root.path}'
        used = root.path if not_needed else packed
        if root.has_skeletons('rec'):
            not_needed['pose'] = f'{root.path} has skeletons'
        store = used / 'skeletons' / 'rec.npy'
        return cls(used, not_needed, root.has_skeletons('rec') or store.is_file())

    def steps(self, options: PlanOptions) -> Iterator[Step]:
        out, data = options.out, str(options.data)
        workers = _flag('--workers', options.workers)
        report = out / 'check.json'
        check = ('data/check', data, '--leakage', '--json', str(report), *workers)
        yield Step('check', check, report, (report,))
        packed = out / 'packed'
        broken = ('--allow-failures',) if options.skip_broken else ()
        pack = ('data/pack', data, str(packed), '--tasks', 'rec', *workers, *broken)
        yield Step('pack', pack, packed, (packed / 'dataset.json',))
        skeletons = self.root / 'skeletons'
        pose = ('data/pose', str(self.root), '--backend', options.backend)
        pose += ('--tasks', 'rec', *workers, *_flag('--models', options.models))
        if options.backend == 'rtmlib' and PRESETS[options.preset].gpus:
            pose += ('--device', 'cuda')
        pose += ('--skip-broken',) if options.skip_broken else ()
        yield Step('pose', pose, skeletons, (skeletons / 'rec.npy',), ('pack',))


def _probe_steps(options: PlanOptions, root: Path) -> Iterator[Step]:
    preset = PRESETS[options.preset]
    recipe = options.probe or preset.probe
    common = ('--data-root', str(root), '--out', str(options.out / 'probes'))
    common += () if preset.pretrained or options.probe else ('--no-pretrained',)
    common += ('--skip-broken',) if options.skip_broken else ()
    folder = options.out / 'probes' / f'{recipe}_mma82' / 'linear'
    runs = _flag('--runs', options.runs or preset.runs)
    for subset, tag, more in (
        ('test', '', runs),
        ('val', '-val', ('--subset', 'val', '--protocols', 'indomain')),
    ):
        result = folder / f'indomain{tag}' / 'results.json'
        marks = (result,)
        if subset == 'test':
            others = ('zeroshot', 'fewshot')
            marks += tuple(folder / name / 'results.json' for name in others)
        command = ('probe', recipe, *common, *more)
        yield Step(f'probe-{subset}', command, result, marks, ('pack',), recipe)


def _model_steps(model: str, options: PlanOptions, root: Path) -> Iterator[Step]:
    """Two trainings, on all domains and on lab, and their four tests."""
    preset = PRESETS[options.preset]
    recipe = model + preset.suffix
    inputs = ('pack', 'pose') if model == 'posec3d' else ('pack',)
    data = ('--data-root', str(root))
    broken = ('--skip-broken',) if options.skip_broken else ()
    fewshot = _flag('--runs', options.runs or preset.runs)
    for trained, protocol, tests in (
        ('train', 'indomain', (('val', ('--subset', 'val')), ('test', ()))),
        ('lab', 'zeroshot', (('zeroshot', ()), ('fewshot', fewshot))),
    ):
        folder = options.out / model / trained
        best = folder / 'best_*.pth'
        name = f'{model}-{trained}'
        config = f'configs/recog/{recipe}_mma82_{protocol}.py'
        train = ('train', config, *data, '--work-dir', str(folder), '--resume')
        train += _training_options(model, options)
        yield Step(name, train, folder, (best,), inputs, recipe, preset.gpus)
        for tag, more in tests:
            place = options.out / model / tag
            own = config.replace(protocol, tag) if tag == 'fewshot' else config
            test = ('test', own, str(best), *data, *more, '--work-dir', str(place))
            test += ('--dump', str(place / 'scores.npz'), *broken)
            marks = (place / 'results.json',)
            yield Step(f'{model}-{tag}', test, place, marks, (name,), recipe)


def _training_options(model: str, options: PlanOptions) -> tuple[str, ...]:
    preset = PRESETS[options.preset]
    changed = []
    batch_size = options.batch_size or preset.batch_size.get(model)
    if batch_size:
        changed.append(f'train_dataloader.batch_size={batch_size}')
    if options.epochs or preset.epochs:
        changed.append(f'train_cfg.max_epochs={options.epochs or preset.epochs}')
    if options.workers:
        changed.append(f'train_dataloader.num_workers={options.workers}')
    amp = ('--amp',) if options.amp else ()
    return (*amp, *(('--cfg-options', *changed) if changed else ()))


def _table_steps(options: PlanOptions, results: Sequence[Step]) -> Iterator[Step]:
    files = tuple(str(path) for step in results for path in step.marks)
    needs = tuple(step.name for step in results)
    for name, form, file in (
        ('table-text', '--paper', 'table.txt'),
        ('table-latex', '--latex', 'table.tex'),
    ):
        out = options.out / file
        command = ('table', *files, form, '--out', str(out))
        yield Step(name, command, out, (out,), needs)


def _check_skips(skip: Sequence[str], names: Sequence[str]) -> None:
    for name in skip:
        check_choice('step of --skip', name, (*GROUPS, *names))


def _left_out(
    steps: Sequence[Step], skip: Sequence[str], packing: _Packing
) -> dict[str, str]:
    """Steps that are skipped, not needed, or lack what a skipped one would make."""
    left_out: dict[str, str] = {}
    for step in steps:
        lacking = [
            need
            for need in step.needs
            if need in left_out and not _is_there(need, steps, packing)
        ]
        if step.name in skip or step.group in skip:
            left_out[step.name] = packing.not_needed.get(step.name, 'skipped')
        elif step.name in packing.not_needed:
            left_out[step.name] = packing.not_needed[step.name]
        elif lacking:
            left_out[step.name] = f'needs {lacking[0]}'
    return left_out


def _is_there(name: str, steps: Sequence[Step], packing: _Packing) -> bool:
    """Whether what a step makes exists without it."""
    if name == 'pack':
        return True  # models then read the root itself
    if name == 'pose':
        return packing.has_skeletons
    return _exists(next(step for step in steps if step.name == name))


def _exists(step: Step) -> bool:
    return all(any(m.parent.glob(m.name)) for m in step.marks)


def _flag(name: str, value: object) -> tuple[str, ...]:
    return () if value is None else (name, str(value))
