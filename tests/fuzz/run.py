"""Many wrong files for every reader: counts, slowest case, peak memory.

python tests/fuzz/run.py --cases 20000          all readers, two processes
python tests/fuzz/run.py --only rec.csv --case 17   one case, its file kept
"""

import argparse
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from byte_readers import READERS as BYTES  # noqa: E402
from fuzzing import Outcome, Reader, fuzz, try_case  # noqa: E402
from prettytable import PrettyTable  # noqa: E402
from text_readers import READERS as TEXTS  # noqa: E402

READERS = {reader.name: reader for reader in TEXTS + BYTES}


def work(name: str, cases: int) -> Outcome:
    """Outcome of the cases of one reader, told as it comes."""
    outcome = fuzz(READERS[name], range(cases))
    print(f'{name}: {dict(outcome.counts)}', file=sys.stderr, flush=True)
    return outcome


def show(reader: Reader, case: int) -> int:
    """Try one case; its files stay."""
    folder = Path(tempfile.mkdtemp(prefix=f'fuzz-{case}-'))
    kind, story = try_case(reader, case, reader.make(folder))
    print(f'{folder}: {kind}', story, sep='\n')
    return kind == 'unexplained'


def main() -> int:
    """Print a row per reader, and each unexplained case; 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--cases', type=int, default=300)
    parser.add_argument('--only', nargs='*', help='names of readers')
    parser.add_argument('--case', type=int, help='try this one and keep its files')
    parser.add_argument('--workers', type=int, default=2)
    args = parser.parse_args()
    names = [name for name in READERS if not args.only or name in args.only]
    if args.case is not None:
        return show(READERS[names[0]], args.case)
    table = PrettyTable(
        [
            'reader',
            'right',
            'refused',
            'unexplained',
            'slowest (s)',
            'case',
            'peak (MB)',
        ]
    )
    table.align = 'r'
    table.align['reader'] = 'l'
    bad = 0

    with ProcessPoolExecutor(args.workers) as pool:
        outcomes = pool.map(work, names, [args.cases] * len(names))
        for name, outcome in zip(names, outcomes, strict=True):
            counts, (seconds, case) = outcome.counts, outcome.slowest
            row = [counts[kind] for kind in ('right', 'refused', 'unexplained')]
            table.add_row([name, *row, f'{seconds:.2f}', case, f'{outcome.peak:.0f}'])
            bad += counts['unexplained']
            for number, story in outcome.faults:
                print(f'{name} case {number}: {story}\n')
    print(table)
    print(f'{bad} unexplained')
    return bool(bad)


if __name__ == '__main__':
    sys.exit(main())
