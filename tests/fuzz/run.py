"""Many wrong files for every reader: counts, slowest case, peak memory.

python tests/fuzz/run.py --cases 20000              all readers, two processes
python tests/fuzz/run.py --only rec.csv             all cases, where slow readers have
                                                    but a share of them else
python tests/fuzz/run.py --only rec.csv --case 17   one case, its file kept
"""

import argparse
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from byte_readers import READERS as BYTES  # noqa: E402
from fuzzing import Outcome, Reader, change, fuzz, join, try_case  # noqa: E402
from prettytable import PrettyTable  # noqa: E402
from text_readers import READERS as TEXTS  # noqa: E402

KINDS = ('right', 'refused', 'unexplained')
READERS = {reader.name: reader for reader in TEXTS + BYTES}


STEP = 2000


def work(piece: tuple[str, range]) -> Outcome:
    """Outcome of some cases of a reader, told as it comes."""
    name, cases = piece
    outcome = fuzz(READERS[name], cases)
    told = f'{name} {cases.start}..{cases.stop - 1}: {dict(outcome.counts)}'
    print(told, file=sys.stderr, flush=True)
    return outcome


def show(reader: Reader, case: int) -> int:
    """Try one case; its files stay."""
    folder = Path(tempfile.mkdtemp(prefix=f'fuzz-{case}-'))
    change(reader, case, file := reader.make(folder))
    kind, story = try_case(reader, file)
    print(f'{folder}: {kind}', story, sep='\n')
    return kind == 'unexplained'


def main() -> int:
    """Print a row per reader, and each unexplained case; 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cases', type=int, default=300)
    parser.add_argument('--first', type=int, default=0, help='number of the first')
    parser.add_argument('--only', nargs='*', help='names of readers')
    parser.add_argument('--case', type=int, help='try this one and keep its files')
    parser.add_argument('--workers', type=int, default=2)
    args = parser.parse_args()
    names = [name for name in READERS if not args.only or name in args.only]
    if args.case is not None:
        return show(READERS[names[0]], args.case)
    pieces = []
    for name in names:
        count = round(args.cases * (1 if args.only else READERS[name].share))
        cases = range(args.first, args.first + count)
        pieces += [(name, cases[at : at + STEP]) for at in range(0, count, STEP)]
    found: dict[str, Outcome] = {}
    with ProcessPoolExecutor(args.workers) as pool:
        for (name, _), outcome in zip(pieces, pool.map(work, pieces), strict=True):
            found[name] = join(found.get(name, Outcome()), outcome)
    table = PrettyTable(['reader', *KINDS, 'ms', 'slowest (s)', 'case', 'peak (MB)'])
    table.align = 'r'
    table.align['reader'] = 'l'
    for name, outcome in found.items():
        seconds, case = outcome.slowest
        each = outcome.seconds / sum(outcome.counts.values())
        row = [*(outcome.counts[kind] for kind in KINDS), f'{1000 * each:.1f}']
        table.add_row([name, *row, f'{seconds:.2f}', case, f'{outcome.peak:.0f}'])
        for number, story in outcome.faults:
            print(f'{name} case {number}: {story}\n')
    bad = sum(outcome.counts['unexplained'] for outcome in found.values())
    print(table)
    print(f'{bad} unexplained')
    return bool(bad)


if __name__ == '__main__':
    sys.exit(main())
