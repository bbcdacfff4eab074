"""``data/check.py``: is a data root what the rest of the toolbox expects?"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HELP = """Validate a data root: tables, videos, skeletons, published margins.

Every bad row is listed with its file and line. Exit status: 0 fine, 1 something is
wrong, 2 there is no such root."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('root', metavar='ROOT', type=Path, help='data root')
    parser.add_argument(
        '--decode', action='store_true', help='decode every video to its last frame'
    )
    parser.add_argument(
        '--json',
        metavar='FILE',
        help='also write the report as JSON; - prints it and nothing else',
    )
    parser.add_argument(
        '--workers',
        type=int,
        help='processes that decode (default: one per CPU; 0: in this one)',
    )


def run(args: argparse.Namespace) -> int:
    """Check, and print the report."""
    from mmma.layout.checks import check_root
    from mmma.layout.paths import atomic_write

    if args.workers is not None and args.workers < 0:
        raise ValueError(f'--workers {args.workers}: must be 0 or more')
    report = check_root(args.root, args.decode, args.workers)
    text = json.dumps(report.as_dict(), indent=1, ensure_ascii=False)
    if args.json == '-':
        print(text)
    elif args.json:
        with atomic_write(Path(args.json)) as file:
            file.write(text + '\n')
    print(
        '\n'.join(report.lines()), file=sys.stderr if args.json == '-' else sys.stdout
    )
    print('fine' if report.ok else 'something is wrong', file=sys.stderr)
    return 0 if report.ok else 1
