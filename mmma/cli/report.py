"""``report.py RESULTS ... --out report.html``: a page of results."""

import argparse

from mmma.cli.arguments import declared

HELP = """Make a page of results files: tables beside the published ones, and figures.

The page is one file that needs no network (docs/reports.md). Results of one task that
were measured differently are refused, as by table.py; several tasks are sections.

--gt adds confusions and error profiles, of what test.py --dump wrote beside results:
scores.npz, detections.json."""

ARGUMENTS = """
results RESULTS ...: [NAME=]results.json
--out FILE (out) = report.html: the page
--figures DIR (folder): also write each figure as PNG, SVG and CSV
--gt rec.csv|DATAROOT (path): truth, for confusions and error profiles
--pool: pool in-domain results of single domains, exactly, by their counts
--no-published: leave the paper's rows out"""
add_arguments = declared(ARGUMENTS)


def run(args: argparse.Namespace) -> int:
    """Write the page, and say how large it is."""
    from mmma.reporting.report import build_report, write_report
    from mmma.reporting.results import pool_results, read_named

    results = read_named(args.results)
    results = pool_results(results) if args.pool else results
    sections = build_report(results, not args.no_published, args.gt)
    count = write_report(sections, results, args.out, args.figures)
    each = f'; each as PNG, SVG and CSV in {args.figures}' if args.figures else ''
    print(f'{args.out}: {count} figures{each}')
    return 0
