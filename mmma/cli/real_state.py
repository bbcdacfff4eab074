"""What ``real`` has done so far: ``OUT/real.json``, right after a kill at any point."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mmma.cli.real_plan import Plan, Step
from mmma.files import atomic_write

STATE_FILE, LOCK_FILE = 'real.json', '.real.lock'
DONE, STARTED, FAILED = 'done', 'started', 'failed'
_SCHEMA = 1
_SPEED_ONLY = ('--workers', '--device')
_SPEED_KEYS = ('train_dataloader.num_workers=',)


class State:
    """Which steps are done, and with what.

    Args:
        out: The folder of the run.

    Raises:
        ValueError: Its ``real.json`` is none of ours.
    """

    def __init__(self, out: Path) -> None:
        self.path = out / STATE_FILE
        self.steps: dict[str, dict[str, Any]] = {}
        if self.path.is_file():
            try:
                content = json.loads(self.path.read_text(encoding='utf-8'))
                if content['schema'] != _SCHEMA:
                    raise ValueError(f'schema {content["schema"]}')
                self.steps = content['steps']
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f'{self.path}: not the state of a run ({error}): move it away, or '
                    'give another --out'
                ) from None

    def is_done(self, step: Step, key: str) -> bool:
        """Whether a step was done with this key, and what it made is there."""
        record = self.steps.get(step.name, {})
        same = record.get('status') == DONE and record.get('key') == key
        return same and all(any(m.parent.glob(m.name)) for m in step.marks)

    def note(self, step: Step, key: str, status: str, **more: Any) -> None:
        """Write down what became of a step.

        Args:
            step: The step.
            key: From :func:`step_keys`.
            status: ``started``, ``done`` or ``failed``.
            more: ``seconds``, ``exit_status``.
        """
        record = {'status': status, 'key': key, 'command': step.line(), **more}
        self.steps[step.name] = record
        self._write()

    def forget(self, name: str) -> None:
        """Let a step run again, from nothing."""
        if name in self.steps:
            self.steps[name]['key'] = ''
            self._write()

    def _write(self) -> None:
        with atomic_write(self.path) as file:
            content = {'schema': _SCHEMA, 'steps': self.steps}
            file.write(json.dumps(content, indent=1) + '\n')


def step_keys(
    plan: Plan, fingerprint: str, done: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """What each step is done with: its command, the data, and the keys it builds on.

    Options that change speed alone do not count. A step that is left out counts as it
    was done before, if it was.

    Args:
        plan: The steps.
        fingerprint: Of the data root.
        done: Records of :class:`State`.

    Returns:
        A digest for each step of the plan.
    """
    keys: dict[str, str] = {}
    for step in plan.steps:
        below = [
            keys[need] if need in keys else _done_with(done.get(need, {}))
            for need in step.needs
        ]
        content = json.dumps([_essential(step), fingerprint, below])
        keys[step.name] = hashlib.sha256(content.encode()).hexdigest()[:16]
    return keys


def _done_with(record: Mapping[str, Any]) -> str:
    return record['key'] if record.get('status') == DONE else ''


def _essential(step: Step) -> list[str | int]:
    words: list[str | int] = [step.gpus]
    skip = False
    for word in step.command:
        if not skip and word not in _SPEED_ONLY and not word.startswith(_SPEED_KEYS):
            words.append(word)
        skip = word in _SPEED_ONLY
    while words and words[-1] == '--cfg-options':
        words.pop()
    return words


def set_aside(step: Step, key: str, state: State, out: Path) -> Path | None:
    """Move what other options made out of the way; nothing is deleted.

    Args:
        step: About to run.
        key: What it runs with.
        state: What was run before.
        out: The folder of the run; what lies elsewhere is left alone.

    Returns:
        Where it went; None where nothing was in the way.
    """
    record = state.steps.get(step.name)
    stale = record['key'] != key if record else step.command[0] == 'train'
    inside = step.output.resolve().is_relative_to(out.resolve())
    if not (stale and inside and step.output.exists()):
        return None
    number = 1
    while (target := step.output.with_name(f'{step.output.name}.old{number}')).exists():
        number += 1
    os.replace(step.output, target)
    return target


@contextmanager
def only_run(out: Path) -> Iterator[IO[str]]:
    """Hold the folder of a run.

    Args:
        out: The folder; made if it does not exist.

    Yields:
        The lock: a step that inherits it holds it for as long as it runs.

    Raises:
        ValueError: Another run, or a step of one that was killed, is at work there.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK_FILE).open('a+') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ValueError(
                f'{out}: another run, or a step that outlived one, is at work here '
                f'({lock.read().strip() or "just starting"}): wait for it or end it'
            ) from None
        yield lock


def holder(lock: IO[str], text: str) -> None:
    """Write into the lock who holds it."""
    lock.seek(0)
    lock.truncate()
    lock.write(text)
    lock.flush()
