"""Make a page of results files: tables beside the published ones, and figures.

The page is one file that needs no network (docs/reports.md). Results of one task that
were measured differently are refused, as by table.py; several tasks are sections.

The data, confusions and error profiles are shown where the data root is there, and
scores.npz and detections.json, which test.py --dump wrote, lie beside results."""

import argparse

ARGUMENTS = """
results RESULTS ...: [NAME=]results.json
--out FILE (out) = report.html: the page
--figures DIR (folder): also write each figure as PNG, SVG and CSV
--data-root/--gt rec.csv|DATAROOT (path): truth (default: the root that results name,
  where it is there and the same)
--scores RESULTS=FILE ... = []: scores or detections that do not lie beside results
--baseline NAME: test the other rows of recognition against this one, as table.py does
--resamples N (int) = 10000: of the paired bootstrap (default 10000)
--pool: pool in-domain results of single domains, exactly, by their counts
--no-published: leave the paper's rows out"""


def run(args: argparse.Namespace) -> int:
    """Write the page, and say how large it is."""
    from mmma.reporting.report import build_report, find_root, write_report
    from mmma.reporting.results import pool_results, read_named

    if args.resamples < 1:
        raise ValueError(f'--resamples {args.resamples}: use 1 or more.')
    results = read_named(args.results)
    gt = args.gt or find_root(results)
    results = pool_results(results) if args.pool else results
    baseline = (args.baseline, args.resamples) if args.baseline else None
    sections = build_report(results, not args.no_published, gt, args.scores, baseline)
    count = write_report(sections, results, args.out, args.figures)
    each = f'; each as PNG, SVG and CSV in {args.figures}' if args.figures else ''
    more = '' if gt else '; --data-root ROOT adds the data, confusions, error profiles'
    print(f'{args.out}: {count} figures{each}{more}')
    return 0
