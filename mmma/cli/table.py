"""Print results files as one table; results measured differently are refused.

--paper, --latex, --md and --csv take the layout of the paper: val and test columns,
its published cells beside ours, one row for the seeds of a recipe. Results of
tools/emotion.py always have it. NAME=RESULTS gives the rows of a file another name.

--baseline tests every row against the rows of that name, on the same clips, and prints
what is significantly better in bold. It needs the truth (--gt) and the scores that
test.py --dump wrote: scores.npz beside results.json, or --scores RESULTS=FILE."""

import argparse

from mmma.files import write_file
from mmma.reporting import paired
from mmma.reporting.paper import paper_tables, render
from mmma.reporting.results import pool_results, read_named
from mmma.reporting.table import results_table

_FORMS = ('paper', 'latex', 'csv', 'md')
ARGUMENTS = """
results RESULTS ...: [NAME=]results.json
#!
--paper: the paper's layout, as text
--latex: needs booktabs alone
--csv: one line per cell
--md: Markdown
#
--pool: pool in-domain results of single domains, exactly, by their counts
--level {action,body,both} = both
--no-published: leave the paper's rows out
--baseline NAME: test the other rows against this one
--gt rec.csv|DATAROOT (path): truth, for --baseline
--scores RESULTS=FILE ... = []: score file of a results file, for --baseline
--resamples N (int) = 10000: of the paired bootstrap (default 10000)
--out FILE (out): also write the table here"""


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
    if form or args.baseline or results[0]['task'] == 'emotion':
        published = not args.no_published
        tables = paper_tables(results, published=published, level=args.level)
        if args.baseline:
            truth = paired.read_truth(args.gt, results[0])
            files = paired.ScoreFiles(*truth, paired.given_files(results, args.scores))
            paired.add_tests(tables, args.baseline, files, args.resamples)
        text = render(tables, form or 'paper')
        print(text)
    else:
        print(results_table(results))
        text = results_table(results, fit=False)
    if args.out:
        write_file(args.out, text + '\n')
    return 0
