"""Workflow from a converted data root to a table beside the paper's.

A list of steps, each a command of its own; ``OUT/real.json`` says which are done and
with what, ``OUT/.real.lock`` who is at work.
"""

import argparse
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mmma.config import config_folders
from mmma.data.root import DataRoot
from mmma.evaluation.form import check_value
from mmma.files import placed, read_json, write_file
from mmma.taxonomy import check_choice, own_table

GROUPS = ('check', 'pack', 'pose', 'probe', 'gctsm', 'posec3d', 'table')
"""What ``--skip`` takes beside the names of single steps."""

_TABLE = own_table('workflow')
PRESETS: dict[str, dict[str, Any]] = _TABLE['presets']

_SHOW_EVERY_SEC = 30
_LAST_LINES = 15
_SPEED_ONLY = ('--workers', '--device')
_SPEED_KEYS = ('train_dataloader.num_workers=',)
_RESERVE = 1.1


def duration(seconds: float) -> str:
    """Seconds, at least 0, as people say them."""
    if seconds < 90:
        return f'{seconds:.0f} s'
    minutes = round(seconds / 60)
    return f'{minutes} min' if minutes < 90 else f'{minutes // 60} h {minutes % 60} min'


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: As ``gctsm-train``; what stands before ``-`` is its group.
        command: Behind ``python -m mmma``.
        output: File or folder that it makes, moved aside when it is made anew.
        marks: Files that are there when it is done.
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
    def names(self) -> set[str]:
        """Names by which options may call it: its own and that of its group."""
        return {self.name, self.name.partition('-')[0]}

    def missing(self) -> list[Path]:
        """Marks that are not there."""
        return [mark for mark in self.marks if not mark.exists()]

    def words(self) -> list[str]:
        """Behind the interpreter."""
        words = ['-m', 'mmma', *self.command]
        if self.gpus > 1:
            run = f'-m torch.distributed.run --standalone --nproc-per-node {self.gpus}'
            words = [*run.split(), *words, '--launcher', 'pytorch']
        return words

    def line(self, python: str = 'python') -> str:
        """The command as it can be typed."""
        return shlex.join([python, *self.words()])

    def essence(self) -> list[Any]:
        """Words that its result depends on: all but those for speed alone."""
        words: list[Any] = [self.gpus]
        skip = False
        for word in self.command:
            if not (skip or word in _SPEED_ONLY or word.startswith(_SPEED_KEYS)):
                words.append(word)
            skip = word in _SPEED_ONLY
        return words[:-1] if words[-1] == '--cfg-options' else words


def _plan(args: argparse.Namespace) -> tuple[list[Step], dict[str, str], Path]:
    """Steps after skips and what they imply; why others are left out; the root."""
    check_choice('preset', args.preset, tuple(PRESETS))
    for name in ('epochs', 'runs', 'batch_size', 'workers'):
        value = getattr(args, name)
        if value is not None and value < 1:
            flag = name.replace('_', '-')
            raise ValueError(f'--{flag} {value}: must be 1 or more')
    data, out = DataRoot(args.data), args.out
    validated = any(clip.subset == 'val' for clip in data.read_rec())
    packed, not_needed = out / 'packed', {}
    if data.info.packed is not None:
        not_needed['pack'] = f'{data.path} is packed already'
    elif 'pack' in args.skip and not (packed / 'dataset.json').is_file():
        not_needed['pack'] = f'skipped: models read {data.path}'
    root = data.path if not_needed else packed
    if data.has_skeletons('rec'):
        not_needed['pose'] = f'{data.path} has skeletons'
    steps = list(_steps(args, root))
    for step in steps if not validated else ():
        if step.name.startswith('probe') or step.name.endswith('-val'):
            not_needed[step.name] = f'{data.path} has no val clips'
    for name in args.skip:
        check_choice('step of --skip', name, (*GROUPS, *(s.name for s in steps)))
    # Models read the data where they were not packed, and skeletons that it has.
    there = {step.name for step in steps if not step.missing()} | {'pack'}
    there |= not_needed.keys()
    left_out: dict[str, str] = {}
    for step in steps:
        lacking = [n for n in step.needs if n in left_out and n not in there]
        if step.name in not_needed or step.names & set(args.skip):
            left_out[step.name] = not_needed.get(step.name, 'skipped')
        elif lacking:
            left_out[step.name] = f'needs {lacking[0]}'
    kept = [step for step in steps if step.name not in left_out]
    whole = [step for step in steps if step in kept or not step.missing()]
    results = [step for step in whole if step.marks[0].name == 'results.json']
    if 'table' in args.skip:
        left_out['table'] = 'skipped'
    elif not results:
        raise ValueError('nothing is left to make a table of: skip less, or table too.')
    else:
        files = [str(path) for step in results for path in step.marks]
        needs = tuple(step.name for step in results)
        for name, flag, end in (('text', 'paper', 'txt'), ('latex', 'latex', 'tex')):
            file = out / f'table.{end}'
            command = ('table', *files, f'--{flag}', '--out', str(file))
            kept.append(Step(f'table-{name}', command, file, (file,), needs))
    return kept, left_out, root


def _steps(args: argparse.Namespace, root: Path) -> Iterator[Step]:
    """All steps but the tables: data, probes, two trainings of each model, tests."""
    preset, out = PRESETS[args.preset], args.out
    packed, skeletons, report = out / 'packed', root / 'skeletons', out / 'check.json'
    names = 'probe', 'runs', 'epochs', 'batch_size'
    chosen = {name: getattr(args, name) or preset.get(name) for name in names}
    probe, gpu = chosen['probe'], args.backend == 'rtmlib' and preset['gpus']
    values: dict[str, Any] = {**vars(args), **chosen, 'root': root}
    values['device'] = 'cuda' if gpu else None
    # A tiny one has no published weights.
    values['random'] = not args.probe and probe.endswith('-tiny')
    changed = ((key, values[name]) for key, name in _TABLE['options'].items())
    values['options'] = [f'{key}={value}' for key, value in changed if value]

    def words(name: str, **more: Any) -> tuple[str, ...]:
        """Of a command; without a value a flag is left out, True leaves it alone."""
        found, own = list[str](), {**values, **more}
        for word in _TABLE['commands'][name].split():
            field = re.fullmatch(r'{(\w+)}', word)
            value = own[field[1]] if field else word.format_map(own)
            if value in (None, False, []):
                found.pop()
            elif value is not True:
                found += map(str, value if isinstance(value, list) else [value])
        return tuple(found)

    # Those of mmma, and not what the current folder may have of that name.
    own, here = config_folders()[0], Path.cwd()
    shown = own.relative_to(here) if own.is_relative_to(here) else own
    yield Step('check', words('check'), report, (report,))
    yield Step('pack', words('pack'), packed, (packed / 'dataset.json',))
    yield Step('pose', words('pose'), skeletons, (skeletons / 'rec.npy',), ('pack',))
    tests = ('indomain', 'zeroshot', 'fewshot')
    for name, tags in (('probe-test', tests), ('probe-val', ('indomain-val',))):
        folder = out / 'probes' / f'{probe}_mma82' / 'linear'
        marks = tuple(folder / tag / 'results.json' for tag in tags)
        yield Step(name, words(name), marks[0], marks, ('pack',), probe)
    for model, inputs in _TABLE['models'].items():
        recipe, folder = model + preset['suffix'], out / model
        for tag, (protocol, trained) in _TABLE['runs'].items():
            config, place = f'{shown}/recog/{recipe}_mma82_{protocol}.py', folder / tag
            command = words(tag, config=config, place=place, trained=folder / trained)
            mark = place / ('results.json' if trained else 'last_checkpoint')
            needs = (f'{model}-{trained}',) if trained else tuple(inputs)
            gpus = 0 if trained else preset['gpus']
            yield Step(f'{model}-{tag}', command, place, (mark,), needs, recipe, gpus)


class Workflow:
    """The steps, those that are done, and the running of the others.

    Args:
        args: Of the command ``real``. Steps of ``again`` are forgotten, with all that
            build on them, unless it is a ``dry_run``.
        lock: From :func:`only_run`: held by the run and by each of its steps.

    Attributes:
        steps: In order, those that remain after skips and what they imply.
        left_out: Why each other step is left out.
        root: The data root that models read.
        keys: Digest of what each step is done with: command, data, keys that it builds
            on. Options that change speed alone do not count. A step that is left out
            counts as it was done before, if it was.

    Raises:
        FileNotFoundError: No data root, or no recognition table in it.
        ValueError: An unknown preset, or step of ``--skip`` or ``--again``, a number
            below 1, nothing is left to tabulate, or ``real.json`` is none of ours.
    """

    def __init__(self, args: argparse.Namespace, lock: IO[str]) -> None:
        self.args, self.out, self._lock = args, args.out, lock
        self.steps, self.left_out, self.root = _plan(args)
        self._path = self.out / 'real.json'
        self._records: dict[str, dict[str, Any]] = {}
        if self._path.is_file():
            try:
                content = read_json(self._path, 'schema')
                form = {'*': {'key': 'text', 'status': 'text'}}
                check_value(content['steps'], form, 'steps')
                if content['schema'] != 1:
                    raise ValueError(f'schema {content["schema"]}')
                self._records = content['steps']
            except (ValueError, KeyError) as error:
                raise ValueError(
                    f'{self._path}: not the state of a run ({error}): move it away, or '
                    'give another --out'
                ) from None
        data = DataRoot(args.data).fingerprint()
        pairs = self._records.items()
        keys = {n: record['key'] for n, record in pairs if record['status'] == 'done'}
        for step in self.steps:
            needs = [keys.get(need, '') for need in step.needs]
            content = json.dumps([step.essence(), data, needs])
            digest = hashlib.sha256(content.encode())
            keys[step.name] = digest.hexdigest()[:16]
        self.keys = {step.name: keys[step.name] for step in self.steps}

        if args.dry_run:
            return
        groups = dict.fromkeys(step.name.partition('-')[0] for step in self.steps)
        known = (*groups, *(step.name for step in self.steps))
        for name in args.again:
            check_choice('step of --again', name, known)
        forgotten: set[str] = set()
        for step in self.steps:
            if step.names & set(args.again) or forgotten & set(step.needs):
                forgotten.add(step.name)
                if step.name in self._records:
                    self._note(step, **{**self._records[step.name], 'key': ''})

    def is_done(self, step: Step) -> bool:
        """True if it was done as it would be now, and its files are there."""
        record = self._records.get(step.name, {})
        same = record.get('status') == 'done' and record['key'] == self.keys[step.name]
        return same and not step.missing()

    def run(self) -> int:
        """Run what is left, one process and one log per step.

        0, or 1 where a step failed; the later ones were then not run.
        """
        for number, step in enumerate(self.steps, start=1):
            place = f'[{number}/{len(self.steps)}] {step.name}'
            log = self.out / 'logs' / f'{number:02d}_{step.name}.log'
            if self.is_done(step):
                print(f'{place}: done before', flush=True)
            elif not self._step(step, log, place):
                return 1
        return 0

    def _step(self, step: Step, log: Path, place: str) -> bool:
        log.parent.mkdir(parents=True, exist_ok=True)
        key, record = self.keys[step.name], self._records.get(step.name)
        stale = record['key'] != key if record else step.command[0] == 'train'
        inside = step.output.resolve().is_relative_to(self.out.resolve())
        if stale and inside and step.output.exists():  # nothing is deleted
            number, name = 1, f'{step.output.name}.old'
            while (moved := step.output.with_name(f'{name}{number}')).exists():
                number += 1
            os.replace(step.output, moved)
            print(f'{place}: options changed; the old result is now {moved}')
        print(f'{place}: {step.line()}', flush=True)
        facts = {'key': key, 'command': step.line()}
        self._note(step, 'started', **facts)
        started = time.monotonic()
        status = self._call(step, log, place)
        facts['seconds'] = seconds = round(time.monotonic() - started, 1)
        missing = step.missing()
        if status == 0 and not missing:
            self._note(step, 'done', **facts)
            print(f'{place}: done in {duration(seconds)}', flush=True)
            return True
        self._note(step, 'failed', **facts, exit_status=status)
        why = f'exit status {status}' if status else f'it did not write {missing[0]}'
        lines = ''.join(f'    {line}\n' for line in _last_lines(log, _LAST_LINES))
        print(
            f'{place}: FAILED, {why}; the last lines of {log}:\n{lines}'
            f'to try this step alone: {step.line(sys.executable)}\n'
            f'to go on from here:     give the same command again\n'
            f'to go on without it:    the same with --skip {step.name}',
            file=sys.stderr,
        )
        return False

    def _note(self, step: Step, status: str, **facts: Any) -> None:
        self._records[step.name] = {'status': status, **facts}
        content = {'schema': 1, 'steps': self._records}
        write_file(self._path, json.dumps(content, indent=1) + '\n')

    def _call(self, step: Step, log: Path, place: str) -> int:
        """Exit status of a step; now and then the last line of its log is shown."""
        with log.open('a', encoding='utf-8') as file:
            print(f'$ {step.line(sys.executable)}', file=file, flush=True)
            process = subprocess.Popen(
                [sys.executable, *step.words()],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=(self._lock.fileno(),),
                env={**os.environ, 'PYTHONUNBUFFERED': '1'},
            )
        self._lock.truncate(0)
        self._lock.write(f'{step.name}, process {process.pid}')
        self._lock.flush()
        shown = ''
        try:
            while True:
                try:
                    return process.wait(timeout=_SHOW_EVERY_SEC)
                except subprocess.TimeoutExpired:
                    line = next(iter(_last_lines(log, 1)), '')
                    if line != shown:
                        print(f'{place}: {line[:100]}', flush=True)
                    shown = line
        finally:
            process.terminate()  # of one that has ended, this does nothing
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def check_machine(self, left: Sequence[Step], needed: float) -> None:
        """Refuse now what would fail hours later, of the steps that are left.

        They take the ``needed`` bytes; 0 where these were not estimated. Too few GPUs,
        no pose extractor and too small a disk raise ValueError.
        """
        args = self.args
        if any(step.name == 'pose' for step in left):
            from mmma.media.pose import PoseOptions, describe_extractor

            try:
                describe_extractor(PoseOptions(args.backend, models=args.models))
            except ValueError as error:
                told = 'or --skip pose, and PoseC3D with it'
                raise ValueError(f'pose: {error}; {told}') from None
        gpus = max((step.gpus for step in left), default=0)
        if gpus:
            import torch

            found = torch.cuda.device_count()
            if found < gpus:
                raise ValueError(
                    f'--preset {args.preset} needs {gpus} GPUs, torch sees {found}: '
                    'use another preset (cpu-small shows the way without one), or '
                    '--skip gctsm posec3d'
                )
        free = shutil.disk_usage(self.out).free
        if _RESERVE * needed > free:
            raise ValueError(
                f'{self.out}: about {needed / 1e9:,.1f} GB are needed, the disk has '
                f'{free / 1e9:,.1f} GB left: make room, or give --out on another disk '
                '(--no-estimate starts all the same)'
            )


@contextmanager
def only_run(out: Path) -> Iterator[IO[str]]:
    """Hold the folder of a run, which is made if it does not exist, by a lock.

    A step that inherits it holds it for as long as it runs. Where another run, or a
    step of one that was killed, is at work, ValueError is raised.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / '.real.lock'
    with path.open('a+') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.stat(path) if path.exists() else None
        except BlockingIOError:
            found = None
        # Whoever held it may have removed it after it was opened here.
        if found is None or not os.path.samestat(os.fstat(lock.fileno()), found):
            lock.seek(0)
            raise ValueError(
                f'{out}: another run, or a step that outlived one, is at work here '
                f'({lock.read().strip() or "just starting"}): wait for it or end it'
            )
        try:
            with placed(out):
                yield lock
        finally:
            path.unlink(missing_ok=True)


def _last_lines(log: Path, count: int) -> list[str]:
    """End of a log without empty lines; of a progress bar, its last state."""
    with log.open('rb') as file:
        file.seek(max(0, file.seek(0, 2) - 20000))
        text = file.read().decode('utf-8', 'replace')
    lines = [line.rsplit('\r', 1)[-1].rstrip() for line in text.split('\n')]
    return [line for line in lines if line][-count:]
