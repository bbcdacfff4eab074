"""``table.py RESULTS ...``: results side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = 'Print results files as one table; results measured differently are refused.'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('results', nargs='+', metavar='RESULTS', help='results.json')
    parser.add_argument('--out', metavar='FILE', help='also write the table here')


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    from mmma.reporting.results import read_results
    from mmma.reporting.tables import results_table

    table = results_table([read_results(Path(path)) for path in args.results])
    print(table)
    if args.out:
        Path(args.out).write_text(table + '\n', encoding='utf-8')
    return 0
