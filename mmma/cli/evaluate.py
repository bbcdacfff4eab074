"""``evaluate.py``: metrics of anybody's predictions against a truth file."""

import argparse
import json

from mmma.cli import evaluate_det, evaluate_rec
from mmma.cli.arguments import declared
from mmma.reporting.table import report_text
from mmma.taxonomy import BODY_GROUPS, read_label_space

HELP = 'Evaluate scores or detections of any model; needs no data root and no torch.'

_TASKS = {
    'rec': (evaluate_rec, 'recognition: scores of clips'),
    'det': (evaluate_det, 'detection: scored segments of untrimmed videos'),
}
_BOTH = f"""
*label_space
--body-groups {{{','.join(BODY_GROUPS)}}} = taxonomy: group of an action where the truth
  file gives none (default: taxonomy)
--per-class: also print one row per class
--strict: refuse files with odd entries (default: repair or leave out, and tell)
--json: print one JSON object, percent unrounded"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per task."""
    tasks = parser.add_subparsers(dest='task', metavar='TASK', required=True)
    for name, (module, text) in _TASKS.items():
        task = tasks.add_parser(
            name,
            help=text,
            description=module.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(task)
        declared(_BOTH)(task)


def run(args: argparse.Namespace) -> int:
    """Evaluate, and print the report."""
    module, _ = _TASKS[args.task]
    if args.label_space:
        args.label_space = read_label_space(args.label_space).plain()
    report = module.evaluate(args)
    if args.json:
        print(json.dumps(report, ensure_ascii=False, allow_nan=False))
    else:
        print(report_text(report, args.per_class))
    return 0
