"""Wrong files for every reader of files of others: right, clear refusal, or neither.

A reader is right when it gives something that can be, and refuses clearly with a
``ValueError`` or ``OSError`` that names the file in a few lines without letters that
steer a terminal. All else is unexplained: other errors, death of the process, more
time or memory than a file of that size may cost.
"""

import os
import pickle
import random
import resource
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutations import Mutator

from mmma.foreign import has_controls

SECONDS = 20
MEGABYTES = 400


@dataclass(frozen=True)
class Reader:
    """One way in for files of others.

    Attributes:
        name: Of the reader, as the table shows it.
        make: Writes right files into an empty folder and gives the one to change.
        read: Opens the changed file as the package does.
        mutate: How to change it.
        check: Raises ``AssertionError`` for what cannot have been read.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    mutate: Mutator
    check: Callable[[Any], None] = lambda found: None


@dataclass
class Outcome:
    """What came of the cases of one reader.

    Attributes:
        counts: Number of cases by class: right, refused, unexplained.
        faults: Case and story of the unexplained ones, the first twenty.
        slowest: Seconds and number of the slowest case.
        peak: Megabytes that the process grew by at most.
    """

    counts: Counter = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)
    peak: float = 0.0


class TooSlow(BaseException):
    """The case took longer than it may; no reader catches it."""


def fault_of_refusal(error: BaseException, file: Path) -> str:
    """What a refusal lacks, or ''."""
    text = str(error)
    if not isinstance(error, (ValueError, OSError)) or isinstance(error, UnicodeError):
        return 'not a ValueError or OSError'
    if has_controls(text.replace('\n', ' ')):
        return 'letters that steer a terminal'
    if len(text) > 4_000 or text.count('\n') > 8:
        return f'{len(text)} characters in {text.count(chr(10)) + 1} lines'
    if file.name not in text and str(file.parent) not in text:
        return 'does not name the file'
    return ''


def try_case(reader: Reader, case: int, file: Path) -> tuple[str, str]:
    """Class of one case of a right file, which is changed, and what is wrong."""
    content = reader.mutate(random.Random(f'{reader.name}-{case}'), file.read_bytes())
    file.write_bytes(content)

    def ring(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with (
            open(os.devnull, 'w') as sink,
            redirect_stdout(sink),
            redirect_stderr(sink),
        ):
            found = reader.read(file)
        reader.check(found)
    except Exception as error:
        if fault := fault_of_refusal(error, file):
            story = ''.join(traceback.format_exception(error)[-3:])
            return 'unexplained', f'{fault}: {story[-800:]}'
        return 'refused', ''
    except TooSlow:
        return 'unexplained', f'slower than {SECONDS} s'
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return 'right', ''


def run_cases(reader: Reader, cases: range, folder: Path) -> Outcome:
    """Outcome of some cases in this process; each has a folder of its own."""
    outcome = Outcome()
    warnings.simplefilter('ignore')
    (seed := folder / 'seed').mkdir()
    name = reader.make(seed).relative_to(seed)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for case in cases:
        own = folder / 'case'
        shutil.copytree(seed, own)
        (folder / 'at').write_text(str(case))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        kind, story = try_case(reader, case, own / name)
        seconds = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if (grown := (after - before) / 1024) > MEGABYTES:
            kind, story = 'unexplained', f'took {grown:.0f} MB. {story}'
        outcome.counts[kind] += 1
        outcome.slowest = max(outcome.slowest, (seconds, case))
        outcome.peak = (after - start) / 1024
        if kind == 'unexplained' and len(outcome.faults) < 20:
            outcome.faults.append((case, story))
        shutil.rmtree(own)
    return outcome


def fuzz(reader: Reader, cases: range) -> Outcome:
    """Outcome of cases in a process of their own, which may die of one."""
    folder = Path(tempfile.mkdtemp(prefix='fuzz-'))
    try:
        if not (child := os.fork()):
            try:
                result = pickle.dumps(run_cases(reader, cases, folder))
                (folder / 'outcome').write_bytes(result)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if (folder / 'outcome').exists():
            return pickle.loads((folder / 'outcome').read_bytes())
        at = int((folder / 'at').read_text())
        story = f'the process died with status {status}'
        rest = Outcome(Counter(unexplained=1), [(at, story)])
        return (
            rest
            if at + 1 >= cases.stop
            else join(rest, fuzz(reader, range(at + 1, cases.stop)))
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def join(one: Outcome, other: Outcome) -> Outcome:
    """Both outcomes as one."""
    return Outcome(
        one.counts + other.counts,
        (one.faults + other.faults)[:20],
        max(one.slowest, other.slowest),
        max(one.peak, other.peak),
    )
