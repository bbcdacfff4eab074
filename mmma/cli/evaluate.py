"""``evaluate.py rec``: metrics of a score file against a truth file, and nothing else."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmma.taxonomy import BODY_GROUPS, LABEL_SPACES, SUBSETS

HELP = 'Evaluate scores or detections of any model; needs no data root and no torch.'

REC_HELP = """Evaluate recognition scores.

--gt is a rec.csv, --pred a score file: scores.npz (clips: N names, scores: (N, K),
optional classes: K names) or scores.csv (clip and one column per action). Clips and
classes are matched by name. Scores are probabilities and used as given.

Each clip of the evaluated subset needs a score. Scores of clips of other subsets are
left out and counted; clips that the truth file lacks are an error."""

_SET_CHOICES = ('present', 'union', 'all')
_BODY_CHOICES = ('sum', 'top1', 'head')
_COLUMNS = {
    'action/top1': 'Top-1',
    'action/top5': 'Top-5',
    'action/mca': 'MCA',
    'action/macro_f1': 'macro F1',
    'body/top1': 'body Top-1',
    'body/mca': 'body MCA',
    'body/macro_f1': 'body macro F1',
    'F1_mean': 'F1_mean',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per task."""
    tasks = parser.add_subparsers(dest='task', metavar='TASK', required=True)
    rec = tasks.add_parser(
        'rec',
        help='recognition: scores of clips',
        description=REC_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_rec_arguments(rec)
    rec.set_defaults(evaluate=_evaluate_rec)


def run(args: argparse.Namespace) -> int:
    """Run the sub-command of the task."""
    return args.evaluate(args)


def _add_rec_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add('--gt', required=True, type=Path, metavar='rec.csv', help='truth')
    add('--pred', required=True, type=Path, metavar='scores.npz|csv', help='scores')
    add(
        '--subset',
        choices=(*SUBSETS, 'all'),
        help='clips to evaluate (default: the only subset of the truth file, or test '
        'if it has several)',
    )
    add('--label-space', choices=LABEL_SPACES, default='mma82')
    add(
        '--body-groups',
        choices=BODY_GROUPS,
        default='taxonomy',
        help='group of an action where the truth file gives none (default: taxonomy)',
    )
    add(
        '--class-set',
        choices=_SET_CHOICES,
        default='present',
        help='classes of MCA and macro F1: with truth (default), with truth or '
        'prediction, or all; --json holds all three',
    )
    add(
        '--body-scores',
        choices=_BODY_CHOICES,
        default='sum',
        help='body scores: sums of action scores (default), the body of the top '
        'action, or body_scores of the file; --json holds all that exist',
    )
    add(
        '--resamples',
        type=int,
        default=1000,
        metavar='N',
        help='bootstrap resamples of the 95 %% intervals (default 1000; 0: none)',
    )
    add('--seed', type=int, default=0, metavar='S', help='seed of the bootstrap')
    add('--per-class', action='store_true', help='also print one row per action')
    add('--json', action='store_true', help='print one JSON object, percent unrounded')


def _evaluate_rec(args: argparse.Namespace) -> int:
    report = _rec_report(args)
    if args.json:
        print(json.dumps(report, ensure_ascii=False, allow_nan=False))
        return 0
    print(_summary(report))
    print(_rows_table(report['rows']))
    if 'intervals' in report['rows'][0]:
        print(_intervals_line(report['rows'][0]['intervals']))
    if args.per_class:
        print(_per_class_table(report['rows'][0]['per_class']['action']))
    return 0


def _rec_report(args: argparse.Namespace) -> dict[str, Any]:
    """What ``--json`` prints: metrics of all clips on top, then all rows."""
    from mmma.evaluation.functional.intervals import BootstrapOptions
    from mmma.evaluation.recognition import (
        ALIASES,
        EvaluationOptions,
        Truth,
        evaluate_rows,
    )
    from mmma.evaluation.scores import match_scores, read_scores
    from mmma.layout.rec import body_map, read_rec
    from mmma.taxonomy import load_label_space

    space = load_label_space(args.label_space, args.body_groups)
    clips = read_rec(args.gt, space)
    space = body_map(clips, space)
    subset, chosen = _choose_subset(clips, args)
    truth = Truth.from_clips(chosen)
    table, ignored = match_scores(
        read_scores(args.pred, space), truth.names, {c.clip for c in clips}
    )
    if ignored:
        print(f'scores of {ignored} clips outside {subset!r} left out', file=sys.stderr)
    options = EvaluationOptions(
        class_set=args.class_set,
        body_scores=args.body_scores,
        bootstrap=BootstrapOptions(resamples=args.resamples, seed=args.seed),
        train_counts=_train_counts(clips, space.num_actions),
    )
    rows = evaluate_rows(table, truth, space, options)
    return {
        **rows[0]['metrics'],
        'task': 'rec',
        'subset': subset,
        'simulated': _simulated(args.gt),
        'counts': {**rows[0]['counts'], 'ignored': ignored},
        'options': {
            'label_space': args.label_space,
            'body_groups': args.body_groups,
            'class_set': args.class_set,
            'body_scores': args.body_scores,
        },
        'aliases': ALIASES,
        'rows': rows,
    }
