"""``table.py RESULTS ...``: results side by side."""

import argparse
from pathlib import Path

from mmma.files import try_out, write_file
from mmma.reporting.paired import compare_with
from mmma.reporting.paper import paper_tables, render
from mmma.reporting.results import pool_results, read_named
from mmma.reporting.table import results_table

HELP = """Print results files as one table; results measured differently are refused.

--paper, --latex, --md and --csv take the layout of the paper: val and test columns,
its published cells beside ours, one row for the seeds of a recipe. NAME=RESULTS gives
the rows of a file another name.

--baseline tests every row against the rows of that name, on the same clips, and prints
what is significantly better in bold. It needs the truth (--gt) and the scores that
test.py --dump wrote: scores.npz beside results.json, or --scores RESULTS=FILE."""

_FORMS = {
    'paper': "the paper's layout, as text",
    'latex': 'needs booktabs alone',
    'csv': 'one line per cell',
    'md': 'Markdown',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add('results', nargs='+', metavar='RESULTS', help='[NAME=]results.json')
    form = parser.add_mutually_exclusive_group()
    for name, told in _FORMS.items():
        form.add_argument(f'--{name}', action='store_true', help=told)
    told = 'pool in-domain results of single domains, exactly, by their counts'
    add('--pool', action='store_true', help=told)
    add('--level', choices=('action', 'body', 'both'), default='both')
    add('--no-published', action='store_true', help="leave the paper's rows out")
    add('--baseline', metavar='NAME', help='test the other rows against this one')
    add('--gt', type=Path, metavar='rec.csv|DATAROOT', help='truth, for --baseline')
    told = 'score file of a results file, for --baseline'
    add('--scores', nargs='+', default=[], metavar='RESULTS=FILE', help=told)
    told = 'of the paired bootstrap (default 10000)'
    add('--resamples', type=int, default=10000, metavar='N', help=told)
    add('--out', type=try_out, metavar='FILE', help='also write the table here')


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    if args.baseline and not args.gt:
        raise ValueError('--baseline needs --gt rec.csv, or a data root.')
    if not args.baseline and (args.gt or args.scores):
        raise ValueError('--gt and --scores are for --baseline NAME.')
    if args.resamples < 1:
        raise ValueError(f'--resamples {args.resamples}: use 1 or more.')
    results = read_named(args.results)
    if args.pool:
        results = pool_results(results)
    form = next((name for name in _FORMS if getattr(args, name)), None)
    if form or args.baseline:
        published = not args.no_published
        tables = paper_tables(results, published=published, level=args.level)
        if args.baseline:
            given = (args.gt, args.scores, args.resamples)
            compare_with(tables, args.baseline, results, *given)
        text = render(tables, form or 'paper')
    else:
        text = results_table(results)
    print(text)
    if args.out:
        write_file(args.out, text + '\n')
    return 0
