"""Validate a data root: tables, videos, skeletons, published margins.

Every bad row is listed with its file and line.

--leakage tells which subjects, source videos and clips the subsets share, also across
the two tasks and with other data sets. Clips are compared by what they show, which
finds copies of another size, rate or quality: the picture must agree, and change in the
same places at the same times, as one person before a still camera always gives the same
picture.

Exit status: 0 fine, 1 something is wrong, or clips or source videos of val or test are
in train, 2 there is no such root."""

import argparse
import json
import sys
from pathlib import Path

from mmma.cli.arguments import check_workers

ARGUMENTS = """
root ROOT (path): data root
--decode: decode every video to its last frame
--strict: fail for any odd entry (default: such as are left out or repaired are told)
--leakage: compare the subsets with each other
--against ROOT|LIST ... (path) = []: other roots, or lists of names, to compare the
  subsets with (--leakage)
--names-only: --leakage without looking at videos
--json FILE: also write the report as JSON; - prints it and nothing else
*workers"""


def run(args: argparse.Namespace) -> int:
    """Check, and print the report."""
    from mmma.data.check import check_root
    from mmma.data.leakage import find_leakage
    from mmma.data.root import DataRoot
    from mmma.files import try_out, write_file

    check_workers(args.workers)
    if args.against and not args.leakage:
        raise ValueError('--against compares with other data: give --leakage as well')
    if args.json not in (None, '-'):
        try_out(args.json)
    report = check_root(args.root, args.decode, args.workers, args.strict)
    content, lines, ok = report.as_dict(), report.lines(), report.ok
    if args.leakage:
        root, names_only = DataRoot(args.root), args.names_only
        leakage = find_leakage(root, args.against, args.workers, not names_only)
        content['leakage'] = leakage
        lines += leakage_lines(leakage, names_only)
        content['ok'] = ok = ok and leakage['ok']
    text = json.dumps(content, indent=1, ensure_ascii=False)
    if args.json == '-':
        print(text)
    elif args.json:
        write_file(Path(args.json), text + '\n')
    print('\n'.join(lines), file=sys.stderr if args.json == '-' else sys.stdout)
    print('fine' if ok else 'something is wrong', file=sys.stderr)
    if ok and args.json is None:
        print(f'next: python tools/train.py CONFIG --data-root {args.root}')
    return 0 if ok else 1


def leakage_lines(leakage: dict, names_only: bool) -> list[str]:
    """Everything that ``find_leakage`` says is shared, as a table."""
    from prettytable import PrettyTable

    from mmma.data.leakage import WHAT

    looked = 'names only' if names_only else f'{leakage["videos"]:,} videos looked at'
    lines = [f'leakage: {looked}']
    lines += [f'  not readable: {file}: {why}' for file, why in leakage['unreadable']]
    if not leakage['shared']:
        return [*lines, '  nothing is shared']
    table = PrettyTable(['level', 'between', 'and', 'shared', 'number', 'first'])
    table.align = 'l'
    table.align['number'] = 'r'
    for row in leakage['shared']:
        shared = WHAT[row['what']], f'{row["count"]:,}', row['examples'][0]
        table.add_row([row['level'], row['left'], row['right'], *shared])
    return [*lines, table.get_string()]
