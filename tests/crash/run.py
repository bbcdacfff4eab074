"""Every command, killed at every change of a file: points, and how many it survived.

python tests/crash/run.py                              all commands, two processes
python tests/crash/run.py --only train --points 7 12   some points of one
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from crash.cases import CASES  # noqa: E402
from crash.killing import Victim  # noqa: E402
from crash.tracer import why_not  # noqa: E402
from prettytable import PrettyTable  # noqa: E402

Share = tuple[int, int, int, list[int]]
"""A case, and of its points every so many-th from one on; or those that are named."""


def work(share: Share) -> tuple[str, int, float, list[str]]:
    """Number of points that were tried, seconds, and what was wrong with each."""
    place, first, step, named = share
    case = CASES[place]
    started, wrong = time.monotonic(), []
    with (
        tempfile.TemporaryDirectory(prefix='crash-') as folder,
        Victim(case, Path(folder)) as victim,
    ):
        points = victim.points[first::step]
        points = [p for p in points if not named or p.number in named]
        for point in points:
            if told := '; '.join(victim.faults(point.number)):
                wrong.append(f'{case.name}: {point}: {told}')
                print(wrong[-1], file=sys.stderr, flush=True)
    seconds = time.monotonic() - started
    told = f'{case.name}: {len(points)} points in {seconds:.0f} s'
    print(told, file=sys.stderr, flush=True)
    return case.name, len(points), seconds, wrong


def shares(only: list[str] | None, named: list[int], workers: int) -> Iterator[Share]:
    """The work, a share of each command for each process."""
    for place, case in enumerate(CASES):
        if not only or case.name in only:
            for first in range(workers):
                yield place, first, workers, named


def main() -> int:
    """Print a row per command; 1 if a point was not recovered from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--only', nargs='*', help='names of commands')
    parser.add_argument('--points', nargs='*', type=int, default=[], metavar='N')
    parser.add_argument('--workers', type=int, default=2)
    args = parser.parse_args()
    if reason := why_not():
        print(f'skipped: {reason}')
        return 0
    found: dict[str, list[float]] = {}
    faults = []
    # One process per share: what a command leaves in a process changes no other.
    with multiprocessing.get_context('fork').Pool(args.workers, None, (), 1) as pool:
        todo = list(shares(args.only, args.points, args.workers))
        for name, points, seconds, wrong in pool.imap_unordered(work, todo):
            row = found.setdefault(name, [0, 0, 0.0])
            row[0] += points
            row[1] += points - len(wrong)
            row[2] += seconds
            faults += wrong
    table = PrettyTable(['command', 'points', 'recovered', 'seconds'], align='r')
    table.align['command'] = 'l'
    rows = [(name, *found[name]) for name in (c.name for c in CASES) if name in found]
    total = [sum(column) for column in zip(*found.values(), strict=True)]
    for name, points, recovered, seconds in [*rows, ('all', *total)]:
        table.add_row([name, f'{points:,}', f'{recovered:,}', f'{seconds:.0f}'])
    print(table)
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
