"""``evaluate.py det``: mAP of anybody's detections against a truth file."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmma.taxonomy import BODY_GROUPS, LABEL_SPACES, load_label_space

if TYPE_CHECKING:
    from mmma.evaluation.detection import Predictions
    from mmma.evaluation.rows import DetectionOptions
    from mmma.evaluation.segment_files import DetectionTruth
    from mmma.taxonomy import LabelSpace

HELP = """Evaluate detections.

--gt is a det.json or any ActivityNet-style file: {"database": {video: {"subset",
"annotations": [{"segment": [start_sec, end_sec], "label"}]}}}; --pred is
{"results": {video: [{"segment", "label", "score"}]}}. Labels are names or indices,
other keys are ignored.

A file is scored as it is: actions are relabelled to body groups without another NMS.
Truths of one label whose ends differ by at most a millisecond are one, at each level;
predictions are never merged, so two actions of one group at once count one false body.
Classes are those with truth in the subset. Predictions for videos of other subsets are
left out and counted; videos that the truth file lacks are an error."""

_LEVEL_CHOICES = ('action', 'body', 'both')
_PRESET_CHOICES = ('mma82', 'mac')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py det``."""
    add = parser.add_argument
    add('--gt', required=True, type=Path, metavar='det.json', help='truth')
    add('--pred', required=True, type=Path, metavar='pred.json', help='detections')
    add(
        '--subset',
        help='videos to evaluate, or all (default: the only subset of the truth file, '
        'or test if it has several)',
    )
    add('--level', choices=_LEVEL_CHOICES, default='both')
    add(
        '--preset',
        choices=_PRESET_CHOICES,
        default='mma82',
        help='thresholds of the average: nine, or 0.2, 0.5 and 0.7 (default: mma82)',
    )
    add('--label-space', choices=LABEL_SPACES, default='mma82')
    add('--body-groups', choices=BODY_GROUPS, default='taxonomy')
    add('--profile', action='store_true', help='also tell the kinds of errors')
    add('--plot', type=Path, metavar='FILE.png', help='draw the profile')
    add('--seg-map', action='store_true', help='also mAP over time steps of 0.1 s')
    add('--per-class', action='store_true', help='also print one row per class')
    add(
        '--resamples',
        type=int,
        default=0,
        metavar='N',
        help='bootstrap resamples of 95 %% intervals, about 0.05 s each for a hundred '
        'truths per class (default 0: none)',
    )
    add('--seed', type=int, default=0, metavar='S', help='seed of the bootstrap')
    add(
        '--legacy',
        action='store_true',
        help='for parity with published evaluators: scores rounded to four decimals, '
        'of equal ones the later in the file first, errors by the nearest truth alone',
    )
    add('--json', action='store_true', help='print one JSON object, percent unrounded')


def run(args: argparse.Namespace) -> int:
    """Evaluate and print.

    Raises:
        ValueError: ``--resamples`` below 0.
    """
    if args.resamples < 0:
        raise ValueError(f'--resamples {args.resamples}: use 0 or more')
    report = _report(args)
    if args.plot:
        from mmma.reporting.plots import draw_profile

        mark = ' (simulated data)' if report['simulated'] else ''
        title = f'{args.pred.name}: {report["subset"]}{mark}'
        draw_profile(report['profile'], args.plot, title)
    if args.json:
        print(json.dumps(report, ensure_ascii=False, allow_nan=False))
        return 0
    from mmma.reporting.table import report_text

    print(report_text(report, args.per_class))
    return 0


def _report(args: argparse.Namespace) -> dict[str, Any]:
    """What ``--json`` prints: metrics of all videos on top, then all rows."""
    from mmma.data.root import is_simulated
    from mmma.evaluation.rows import detection_rows
    from mmma.evaluation.segment_files import (
        place_predictions,
        read_detections,
        read_truth,
    )

    space = load_label_space(args.label_space, args.body_groups)
    truth = read_truth(args.gt, space)
    try:
        subset, chosen = truth.choose(args.subset)
    except ValueError as error:
        raise ValueError(f'{args.gt}: {error}') from None
    table = read_detections(args.pred, space)
    try:
        found, counts = place_predictions(table, truth, chosen)
    except ValueError as error:
        raise ValueError(f'{args.pred}: {error}') from None
    _warn(counts, subset, len(found))
    options = _options(args)
    rows = detection_rows(found, chosen, space, options)
    return {
        **rows[0]['metrics'],
        'task': 'det',
        'subset': subset,
        'simulated': is_simulated(args.gt),
        'counts': {**rows[0]['counts'], **counts},
        'options': {
            'label_space': args.label_space,
            'body_groups': args.body_groups,
            **options.record(),
        },
        **_extras(args, found, chosen, space),
        'rows': rows,
    }


def _options(args: argparse.Namespace) -> DetectionOptions:
    from mmma.evaluation.bootstrap import BootstrapOptions
    from mmma.evaluation.detection import LEGACY, MatchOptions
    from mmma.evaluation.rows import DetectionOptions

    return DetectionOptions(
        preset=args.preset,
        level=args.level,
        matching=LEGACY if args.legacy else MatchOptions(),
        bootstrap=BootstrapOptions(resamples=args.resamples, seed=args.seed),
    )


def _extras(
    args: argparse.Namespace,
    predictions: Predictions,
    truth: DetectionTruth,
    space: LabelSpace,
) -> dict[str, Any]:
    """Error profile and segment mAP, where asked for."""
    from mmma.evaluation import rows

    extras: dict[str, Any] = {}
    if args.profile or args.plot or args.seg_map:
        found = rows.match_levels(predictions, truth.instances, space, _options(args))
        if args.seg_map:
            extras |= rows.segment_maps(found, truth)
        if args.profile or args.plot:
            extras['profile'] = rows.profile_levels(found, truth, args.legacy)
    return extras


def _warn(counts: dict[str, int], subset: str, predictions: int) -> None:
    messages = {
        'ignored': f'predictions for videos outside {subset!r} left out',
        'outside': 'predictions leave their video by more than half a second; scored '
        'as they are',
        'without_prediction': 'videos without any prediction; their truths count as '
        'missed',
    }
    for key, text in messages.items():
        if counts[key]:
            print(f'{counts[key]} {text}', file=sys.stderr)
    if not predictions:
        print(f'warning: no prediction for {subset!r}: every AP is 0', file=sys.stderr)
