"""``evaluate.py``: metrics of anybody's predictions against a truth file."""

from __future__ import annotations

import argparse

from mmma.cli import evaluate_det, evaluate_rec

HELP = 'Evaluate scores or detections of any model; needs no data root and no torch.'

_TASKS = {
    'rec': (evaluate_rec, 'recognition: scores of clips'),
    'det': (evaluate_det, 'detection: scored segments of untrimmed videos'),
}


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


def run(args: argparse.Namespace) -> int:
    """Run the sub-command of the task."""
    module, _ = _TASKS[args.task]
    return int(module.run(args))
