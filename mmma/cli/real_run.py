"""Running the steps of ``real``: one process each, one log each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mmma.cli.data_pack import duration
from mmma.cli.real_plan import Plan, Step
from mmma.cli.real_state import DONE, FAILED, STARTED, State, holder, set_aside

_SHOW_EVERY_SEC = 30
_LAST_LINES = 15


@dataclass(frozen=True)
class Runner:
    """Runs the steps of a plan that are not done.

    Attributes:
        plan: The steps.
        keys: What each is done with.
        state: What was done before.
        out: The folder of the run.
        lock: Held by the run and by each step.
        python: Interpreter of the steps.
        retry: How the user goes on after a failure.
    """

    plan: Plan
    keys: dict[str, str]
    state: State
    out: Path
    lock: IO[str]
    python: str = sys.executable
    retry: str = 'give the same command again'

    def run(self) -> int:
        """Run what is left.

        Returns:
            0, or 1 where a step failed; the later ones were then not run.
        """
        total = len(self.plan.steps)
        for number, step in enumerate(self.plan.steps, start=1):
            key, place = self.keys[step.name], f'[{number}/{total}] {step.name}'
            if self.state.is_done(step, key):
                print(f'{place}: done before', flush=True)
                continue
            if not self._step(step, number, place):
                return 1
        return 0

    def _step(self, step: Step, number: int, place: str) -> bool:
        key = self.keys[step.name]
        log = self.out / 'logs' / f'{number:02d}_{step.name}.log'
        log.parent.mkdir(parents=True, exist_ok=True)
        moved = set_aside(step, key, self.state, self.out)
        if moved:
            print(f'{place}: options changed; the old result is now {moved}')
        print(f'{place}: {step.line()}', flush=True)
        self.state.note(step, key, STARTED)
        started = time.monotonic()
        status = self._call(step, log, place)
        seconds = round(time.monotonic() - started, 1)
        missing = [m for m in step.marks if not any(m.parent.glob(m.name))]
        if status == 0 and not missing:
            self.state.note(step, key, DONE, seconds=seconds)
            print(f'{place}: done in {duration(seconds)}', flush=True)
            return True
        self.state.note(step, key, FAILED, seconds=seconds, exit_status=status)
        why = f'exit status {status}' if status else f'it did not write {missing[0]}'
        self._tell(step, place, why, log)
        return False

    def _call(self, step: Step, log: Path, place: str) -> int:
        command = [self.python, *expand(step.arguments())]
        with log.open('a', encoding='utf-8') as file:
            print(f'$ {step.line(self.python)}', file=file, flush=True)
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=(self.lock.fileno(),),
                env={**os.environ, 'PYTHONUNBUFFERED': '1'},
            )
            holder(self.lock, f'{step.name}, process {process.pid}')
            with ended_with(process):
                return wait(process, log, place)

    def _tell(self, step: Step, place: str, why: str, log: Path) -> None:
        lines = last_lines(log, _LAST_LINES)
        print(f'{place}: FAILED, {why}; the last lines of {log}:', file=sys.stderr)
        print('\n'.join(f'    {line}' for line in lines), file=sys.stderr)
        print(
            f'to try this step alone: {step.line(self.python)}\n'
            f'to go on from here:     {self.retry}\n'
            f'to go on without it:    the same with --skip {step.name}',
            file=sys.stderr,
        )


def expand(words: list[str]) -> list[str]:
    """Replace file names with a ``*`` by the newest match, if there is one.

    Args:
        words: Of a command.
    """
    return [_newest(word) if '*' in word else word for word in words]


def _newest(pattern: str) -> str:
    path = Path(pattern)
    found = sorted(path.parent.glob(path.name), key=lambda p: p.stat().st_mtime)
    return str(found[-1]) if found else pattern


@contextmanager
def ended_with(process: subprocess.Popen[Any]) -> Iterator[None]:
    """End a process when this one is interrupted or asked to end."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = None
    with suppress(ValueError):  # not in the main thread: no signals there
        before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def wait(process: subprocess.Popen[Any], log: Path, place: str) -> int:
    """Wait for a step, and now and then show the last line of its log.

    Args:
        process: The step.
        log: Its log.
        place: What to say before the line.

    Returns:
        Its exit status.
    """
    shown = ''
    while True:
        try:
            return process.wait(timeout=_SHOW_EVERY_SEC)
        except subprocess.TimeoutExpired:
            line = next(iter(last_lines(log, 1)), '')
            if line != shown:
                print(f'{place}: {line[:100]}', flush=True)
            shown = line


def last_lines(log: Path, count: int) -> list[str]:
    """The end of a log; of a progress bar, its last state.

    Args:
        log: A text file.
        count: How many lines, empty ones left out.
    """
    with log.open('rb') as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 20000))
        text = file.read().decode('utf-8', 'replace')
    lines = [line.rsplit('\r', 1)[-1].rstrip() for line in text.split('\n')]
    return [line for line in lines if line][-count:]
