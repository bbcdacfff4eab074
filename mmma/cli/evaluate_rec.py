"""``evaluate.py rec``: metrics of anybody's scores against a truth file."""

import argparse
import sys
from typing import Any

from mmma.cli.arguments import UNSET, apply_preset, declared, options_of
from mmma.evaluation.reports import recognition_report
from mmma.evaluation.rows import EvaluationOptions
from mmma.taxonomy import SUBSETS

HELP = """Evaluate recognition scores.

--gt is a rec.csv, --pred a score file: scores.npz (clips: N names, scores: (N, K),
optional classes: K names) or scores.csv (clip and one column per action). Clips and
classes are matched by name. Scores are probabilities and used as given.

Each clip of the evaluated subset needs a score. Scores of clips of other subsets are
left out and counted; clips that the truth file lacks are an error.

--json holds all class sets, and all body scores that can be had."""

ARGUMENTS = f"""
--gt rec.csv|ROOT (path), required: truth
--pred scores.npz|csv (path), required: scores
--subset {{{','.join(SUBSETS)},all}}: clips to evaluate (default: the only subset of the
  truth file, or test if it has several)
--domain DOMAIN: clips of this domain alone, as test.py --protocol zeroshot --dump
  scores them (default: all)
.class_set .body_scores .resamples .seed
*preset
--confusions FILE.png (out): also draw the confusion matrix, and print the most frequent
  mistakes"""
add_arguments = declared(ARGUMENTS, EvaluationOptions, **UNSET)


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
        from mmma.reporting.plots import draw_confusions  # by scipy

        mark = ' (simulated data)' if report['simulated'] else ''
        count = f'{report["counts"]["clips"]} {report["subset"]} clips'
        title = f'{args.pred.name}: {count}{mark}'
        for line in draw_confusions(*scored, args.confusions, title):
            print(line, file=sys.stderr)  # beside --json
    return report
