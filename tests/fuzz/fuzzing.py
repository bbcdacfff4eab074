"""Wrong files for every reader of files of others: right, clear refusal, or neither.

A reader is right when it gives something that can be, and refuses clearly with a
``ValueError`` or ``OSError`` that names the file in a few lines without letters that
steer a terminal, as the command line prints it. All else is unexplained: other errors,
death of the process, more time or memory than a file of that size may cost.
"""

import gc
import os
import pickle
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutations import Mutator

from mmma.cli import plain_message
from mmma.foreign import shown

SECONDS = 20
MEGABYTES = 400
FAULTS = 40
MOST_BYTES = 4 << 30
"""What a case may ask for beyond what the process has."""
ROOM = next(filter(os.path.isdir, ('/dev/shm', tempfile.gettempdir())))
"""Memory where there is such a folder: files are written whole, and synced."""


@dataclass(frozen=True)
class Reader:
    """One way in for files of others.

    Attributes:
        name: Of the reader, as the table shows it.
        make: Writes right files into an empty folder and gives the one to change.
        read: Opens the changed file as the package does.
        mutate: How to change it.
        check: Raises ``AssertionError`` for what cannot have been read.
        refuses: It refuses files at all; others make the best of them.
        share: Of the cases of ``make fuzz``; less than 1 where each takes long.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    mutate: Mutator
    check: Callable[[Any], None] = lambda found: None
    refuses: bool = True
    share: float = 1.0


@dataclass
class Outcome:
    """What came of the cases of one reader.

    Attributes:
        counts: Number of cases by class: right, refused, unexplained.
        faults: Case and story of the unexplained ones, the first forty.
        slowest: Seconds and number of the slowest case.
        seconds: Of a core that all cases took.
        peak: Megabytes that the process grew by at most.
    """

    counts: Counter = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, -1)
    seconds: float = 0.0
    peak: float = 0.0


class TooSlow(BaseException):
    """The case took longer than it may; no reader catches it."""


def fault_of_refusal(error: BaseException, file: Path) -> str:
    """What a refusal lacks, or ''."""
    if not isinstance(error, (ValueError, OSError)) or isinstance(error, UnicodeError):
        return 'not a ValueError or OSError'
    text = shown(plain_message(error), lines=True)
    if len(text) > 4_000 or text.count('\n') > 12:
        return f'{len(text)} characters in {text.count(chr(10)) + 1} lines'
    if not any(str(part) in text for part in (file.name, *file.parents[:2])):
        return 'does not name the file'
    return ''


def change(reader: Reader, case: int, file: Path) -> None:
    """Change a right file as a case does."""
    content = reader.mutate(random.Random(f'{reader.name}-{case}'), file.read_bytes())
    file.write_bytes(content)


def try_case(reader: Reader, file: Path) -> tuple[str, str]:
    """Class of what comes of a changed file, and what is wrong with it."""

    def ring(*_: object) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    signal.setitimer(signal.ITIMER_VIRTUAL, 2 * SECONDS)  # ends what hears no alarm
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
            story = story if len(story) < 1500 else f'{story[:900]} ... {story[-500:]}'
            return 'unexplained', f'{fault}: {story!a}'
        return 'refused', ''
    except TooSlow:
        return 'unexplained', f'slower than {SECONDS} s'
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return 'right', ''


def run_cases(reader: Reader, cases: range, folder: Path) -> Outcome:
    """Outcome of some cases in this process; each finds the right files in place."""
    outcome = Outcome()
    warnings.simplefilter('ignore')
    gc.freeze()  # else what was imported is searched for garbage, again and again
    (seed := folder / 'seed').mkdir()
    name = reader.make(seed).relative_to(seed)
    right, names = (seed / name).read_bytes(), _names(seed)
    own = folder / 'case'
    with suppress(ValueError, OSError):  # some systems know no such limit
        resource.setrlimit(resource.RLIMIT_AS, (_size() + MOST_BYTES, -1))
    with open(folder / 'at', 'w') as at:
        for case in cases:
            if _names(own) != names:
                shutil.rmtree(own, ignore_errors=True)
                shutil.copytree(seed, own)
            (own / name).write_bytes(right)
            os.pwrite(at.fileno(), b'%09d' % case, 0)
            change(reader, case, own / name)
            peak = _peak()  # not of the change, which may be larger than the file
            began, used = time.perf_counter(), time.process_time()
            kind, story = try_case(reader, own / name)
            seconds = time.perf_counter() - began
            if (grown := _peak() - peak) > MEGABYTES:
                kind, story = 'unexplained', f'took {grown:.0f} MB. {story}'
            outcome.peak += grown
            outcome.counts[kind] += 1
            outcome.slowest = max(outcome.slowest, (seconds, case))
            outcome.seconds += time.process_time() - used
            if kind == 'unexplained' and len(outcome.faults) < FAULTS:
                outcome.faults.append((case, story))
    return outcome


def _names(folder: Path) -> list[str]:
    """Every file and folder below a folder."""
    walk = os.walk(folder)
    return sorted(f'{at[len(str(folder)) :]}/{n}' for at, d, f in walk for n in d + f)


def _peak() -> float:
    """Megabytes that this process has had at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == 'darwin' else 1 << 10)


def _size() -> int:
    """Bytes of addresses that this process has."""
    return int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()


def fuzz(reader: Reader, cases: range) -> Outcome:
    """Outcome of cases in a process of their own, which may die of one."""
    folder = Path(tempfile.mkdtemp(prefix='fuzz-', dir=ROOM))
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
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    story = f'the process died with status {status}'
    outcome = Outcome(Counter(unexplained=1), [(at, story)])
    for rest in (range(cases.start, at), range(at + 1, cases.stop)):
        outcome = join(outcome, fuzz(reader, rest)) if rest else outcome
    return outcome


def join(one: Outcome, other: Outcome) -> Outcome:
    """Both outcomes as one."""
    return Outcome(
        one.counts + other.counts,
        (one.faults + other.faults)[:FAULTS],
        max(one.slowest, other.slowest),
        one.seconds + other.seconds,
        max(one.peak, other.peak),
    )
