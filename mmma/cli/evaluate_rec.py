"""``evaluate.py rec``: metrics of anybody's scores against a truth file."""

import argparse
import sys
from pathlib import Path
from typing import Any

from mmma.cli.arguments import add_metric_arguments, apply_preset, options_of
from mmma.evaluation.reports import recognition_report
from mmma.evaluation.rows import EvaluationOptions
from mmma.files import try_out
from mmma.reporting.plots import draw_confusions
from mmma.taxonomy import SUBSETS

HELP = """Evaluate recognition scores.

--gt is a rec.csv, --pred a score file: scores.npz (clips: N names, scores: (N, K),
optional classes: K names) or scores.csv (clip and one column per action). Clips and
classes are matched by name. Scores are probabilities and used as given.

Each clip of the evaluated subset needs a score. Scores of clips of other subsets are
left out and counted; clips that the truth file lacks are an error.

--json holds all class sets, and all body scores that can be had."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py rec``."""
    add = parser.add_argument
    add('--gt', required=True, type=Path, metavar='rec.csv|ROOT', help='truth')
    add('--pred', required=True, type=Path, metavar='scores.npz|csv', help='scores')
    add(
        '--subset',
        choices=(*SUBSETS, 'all'),
        help='clips to evaluate (default: the only subset of the truth file, or test '
        'if it has several)',
    )
    told = (
        'clips of this domain alone, as test.py --protocol zeroshot --dump scores them'
    )
    add('--domain', help=f'{told} (default: all)')
    add_metric_arguments(parser, 'seed')
    told = 'also draw the confusion matrix, and print the most frequent mistakes'
    add('--confusions', type=try_out, metavar='FILE.png', help=told)


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Report on the scores; what to bear in mind goes to standard error."""
    apply_preset(args)
    given = (args.gt, args.pred, args.label_space, args.body_groups)
    options = options_of(EvaluationOptions, args)
    kept = (args.subset, args.domain, args.strict)
    report, scored = recognition_report(*given, options, *kept)
    place = ' of '.join(repr(p) for p in (report['subset'], args.domain) if p)
    if ignored := report['counts']['ignored']:
        print(f'scores of {ignored} clips outside {place} left out', file=sys.stderr)
    if args.confusions:
        mark = ' (simulated data)' if report['simulated'] else ''
        count = f'{report["counts"]["clips"]} {report["subset"]} clips'
        title = f'{args.pred.name}: {count}{mark}'
        for line in draw_confusions(*scored, args.confusions, title):
            print(line, file=sys.stderr)  # beside --json
    return report
