"""``evaluate.py det``: mAP of anybody's detections against a truth file."""

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from mmma.cli.arguments import declared, options_of
from mmma.evaluation.reports import detection_report
from mmma.evaluation.rows import DetectionOptions

HELP = """Evaluate detections.

--gt is a det.json or any ActivityNet-style file: {"database": {video: {"subset",
"annotations": [{"segment": [start_sec, end_sec], "label"}]}}}; --pred is
{"results": {video: [{"segment", "label", "score"}]}}. Labels are names or indices,
other keys are ignored.

True segments are cut to their video, which is told. Detections are scored as they are:
actions are relabelled to body groups without another NMS.
Truths of one label whose ends differ by at most a millisecond are one, at each level;
predictions are never merged, so two actions of one group at once count one false body.
Classes are those with truth in the subset. Predictions for videos of other subsets are
left out and counted (OpenTAD and ActivityNet count them as false); videos that the
truth file lacks are an error."""

ARGUMENTS = """
--gt det.json|ROOT (path), required: truth
--pred pred.json (path), required: detections
--subset SUBSET: videos to evaluate, or all (default: the only subset of the truth file,
  or test if it has several)
--domain DOMAIN: videos of this domain alone (default: all)
.level .preset
--profile: also tell the kinds of errors
--plot FILE.png (out): draw the profile
--seg-map: also mAP over time steps of 0.1 s
.resamples .seed .legacy"""
add_arguments = declared(ARGUMENTS, DetectionOptions, resamples={'default': 0})


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Report on the detections; what to bear in mind goes to standard error."""
    if args.resamples < 0:
        raise ValueError(f'--resamples {args.resamples}: use 0 or more')
    given = (args.gt, args.pred, args.label_space, args.body_groups)
    options = options_of(DetectionOptions, args)
    report = detection_report(
        *(*given, options, args.subset, args.domain),
        profile=bool(args.profile or args.plot),
        segment_map=args.seg_map,
        strict=args.strict,
    )
    place = ' of '.join(repr(p) for p in (report['subset'], args.domain) if p)
    _warn(report['counts'], place)
    if args.plot:
        from mmma.reporting.plots import draw_profile  # by scipy

        mark = ' (simulated data)' if report['simulated'] else ''
        title = f'{args.pred.name}: {report["subset"]}{mark}'
        draw_profile(report['profile'], args.plot, title)
    return report


def _warn(counts: Mapping[str, Any], place: str) -> None:
    messages = {
        'ignored': f'predictions for videos outside {place} left out',
        'outside': 'predictions leave their video by more than half a second; scored '
        'as they are',
        'without_prediction': 'videos without any prediction; their truths count as '
        'missed',
    }
    for key, text in messages.items():
        if counts[key]:
            print(f'{counts[key]} {text}', file=sys.stderr)
    if not counts['predictions']:
        print(f'warning: no prediction for {place}: every AP is 0', file=sys.stderr)
