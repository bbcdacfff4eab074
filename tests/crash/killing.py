"""A command killed at a point and given again, compared with an uninterrupted one."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, chdir, suppress
from functools import partial
from pathlib import Path
from typing import Any

from crash.cases import Case
from crash.tracer import Traced, kill_at, trace

# What a writer keeps aside until it is whole, and what keeps others away.
UNFINISHED = re.compile(
    r'(^|/)\.(.*\.(part|lock)|partial)(/|$)|\.(part|part\.json|lock)$'
)
RUN_FOLDER = re.compile(r'\d{8}_\d{6}(/|$)')  # logs of one start of a run
# What tells the time, and how often a run was started.
UNTOLD = {'time', 'data_time', 'eta', 'experiment_name', 'resume', 'memory'}
OF_NOW = {'epoch', 'iter'}  # of a message hub: of the loop, not of the checkpoint


class Victim:
    """A command in a folder of its own, where it is killed again and again.

    Args:
        case: The command.
        folder: An empty one, which has to have the same path length...

    Attributes:
        points: Those of a run that is not killed.
    """

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        (folder / 'inputs').mkdir()
        (folder / 'work').mkdir()
        (folder / 'configs').symlink_to(Path(__file__).parents[2] / 'configs')
        self._held = ExitStack()
        with chdir(folder):
            made = case.prepare()
            if isinstance(made, AbstractContextManager):
                self._held.enter_context(made)
        self.before = folder / 'before'
        (folder / 'work').mkdir(exist_ok=True)
        (folder / 'work').rename(self.before)
        whole = self.start()
        if whole.status:
            raise RuntimeError(f'{case.name}: {whole.output}')
        self.points = whole.points
        for name in (folder / 'inputs/modules').read_text().split('\n'):
            with suppress(Exception):  # so that its children need not
                importlib.import_module(name)
        self.names, self.expected = names_of(folder / 'work'), meanings(folder / 'work')
        self.old = meanings(self.before)

    def __enter__(self) -> Victim:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def start(self, kill: int = 0, *more: str, anew: bool = True) -> Traced:
        """Run it, from the start or in what is there, and perhaps kill it."""
        work = self.folder / 'work'
        if anew:
            shutil.rmtree(work, ignore_errors=True)
            shutil.copytree(self.before, work, symlinks=True)
        with chdir(self.folder):
            return trace(partial(self.case.run, *more), work, kill_at(kill))

    def faults(self, number: int) -> Iterator[str]:
        """What is wrong when it is killed at a point, and then given again."""
        killed = self.start(number)
        if killed.status != -9:
            yield f'ended with {killed.status} instead of being killed'
            return
        yield from self._torn()
        before = meanings(self.folder / 'work')
        done = self.start(0, *self.case.again, anew=False)
        if done.status and self.case.complete and self.case.complete in done.output:
            if where := differences(self.expected, before):
                yield f'said to be complete, and differs{where}'
            done = self.start(0, '--force', anew=False)
        if done.status:
            yield f'given again: status {done.status}: {done.output[-300:]}'
            return
        names, found = names_of(self.folder / 'work'), meanings(self.folder / 'work')
        if more := sorted(names - self.names):
            yield f'left: {", ".join(more)}'
        if less := sorted(self.names - names):
            yield f'lost: {", ".join(less)}'
        for name in self.expected.keys() & found.keys():
            if where := differences(self.expected[name], found[name]):
                yield f'{name} differs{where}'

    def _torn(self) -> Iterator[str]:
        """Files that a kill has left incomplete under their names, or taken away."""
        work, case = self.folder / 'work', self.case
        found = {}
        for name in names_of(work):
            if UNFINISHED.search(name):
                continue
            try:
                found[name] = meaning(work / name)
            except Exception as error:
                yield f'killed: {name} is torn: {error!r:.100}'
                continue
            if re.fullmatch(case.grows, name):
                continue
            kept = (self.old.get(name), self.expected.get(name))
            if all(differences(known, found[name]) for known in kept):
                yield f'killed: {name} is neither the old nor the new'
        for name in self.old.keys() & self.expected.keys() - found.keys():
            if not re.fullmatch(case.leaves, name):
                yield f'killed: {name} is gone'


def names_of(folder: Path) -> set[str]:
    """Relative paths of all files and folders, but of the logs of a run."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob('*'))
    return {name for name in names if not RUN_FOLDER.match(name)}


def meanings(folder: Path) -> dict[str, Any]:
    """What each file says."""
    return {
        name: meaning(folder / name)
        for name in names_of(folder)
        if not UNFINISHED.search(name)
    }


def meaning(path: Path) -> Any:
    """Content of a file without what tells the time; raises where it is torn."""
    if path.is_dir():
        return 'folder'
    content = path.read_bytes()
    if path.suffix == '.pth':
        import torch

        return told(torch.load(path, weights_only=True))
    if path.suffix == '.json':
        return told(json.loads(content))
    if path.suffix == '.jsonl':
        *lines, rest = content.decode().split('\n')
        with suppress(ValueError):  # cut off, which its readers know
            lines += [rest] if json.loads(rest or '0') else []
        return [told(json.loads(line)) for line in lines]
    if path.name == 'last_checkpoint':
        return content.decode().rpartition('/')[2]
    if path.suffix == '.py':
        compile(content, str(path), 'exec')
        return 'config'
    return content


def told(value: Any) -> Any:
    """A value that can be compared, without what tells the time."""
    import torch

    if isinstance(value, dict):
        if 'runtime_info' in value:
            info = value['runtime_info'].items()
            value = {
                **value,
                'runtime_info': {k: v for k, v in info if k not in OF_NOW},
            }
        return {k: told(v) for k, v in value.items() if not unlike(k)}
    if isinstance(value, (list, tuple)):
        return [told(each) for each in value]
    if isinstance(value, torch.Tensor):
        told_by = f'{value.dtype} {tuple(value.shape)} '
        return told_by + hashlib.sha256(value.numpy().tobytes()).hexdigest()
    if isinstance(value, str):
        return re.sub(r'resume ?= ?(True|False)', 'resume', value)
    return value


def unlike(key: Any) -> bool:
    return isinstance(key, str) and not UNTOLD.isdisjoint(re.split('[/.]', key))


def differences(left: Any, right: Any, where: str = '') -> str:
    """The first place where two contents differ; empty where none."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}, key=str):
            if found := differences(left.get(key), right.get(key), f'{where}.{key}'):
                return found
        return ''
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        pairs = enumerate(zip(left, right, strict=True))
        return next(
            filter(None, (differences(*p, f'{where}.{i}') for i, p in pairs)), ''
        )
    if left == right and type(left) is type(right):
        return ''
    return f' at {where or "all"}: {left!r:.80} and {right!r:.80}'
