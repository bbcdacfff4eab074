"""Evaluate scores or detections of any model; needs no data root and no torch."""

import argparse
import json
import sys
from typing import Any

from mmma.cli.arguments import UNSET, apply_preset, declared, options_of
from mmma.evaluation.reports import detection_report, recognition_report
from mmma.evaluation.rows import DetectionOptions, EvaluationOptions
from mmma.reporting.table import report_text
from mmma.taxonomy import BODY_GROUPS, SUBSETS, own_table, read_label_space

REC_HELP = """Evaluate recognition scores.

--gt is a rec.csv, --pred a score file: scores.npz (clips: N names, scores: (N, K),
optional classes: K names) or scores.csv (clip and one column per action). Clips and
classes are matched by name. Scores are probabilities and used as given.

Each clip of the evaluated subset needs a score. Scores of clips of other subsets are
left out and counted; clips that the truth file lacks are an error.

--json holds all class sets, and all body scores that can be had."""

_REC = f"""
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
_add_rec = declared(_REC, EvaluationOptions, **UNSET)

DET_HELP = """Evaluate detections.

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

_DET = """
--gt det.json|ROOT (path), required: truth
--pred pred.json (path), required: detections
--subset SUBSET: videos to evaluate, or all (default: the only subset of the truth file,
  or test if it has several)
--domain DOMAIN: videos of this domain alone (default: all)
.level .preset
--profile: also tell the kinds of errors
--plot FILE.png (out): draw the profile
.frame_rate
--frames FILE.npz (path): scores of the frames of a dense head, VIDEO@SECONDS, of which
  frame mAP is then (default: of segments)
--seg-map: also frame mAP of segments at 10 moments per second, as segment_mAP
.resamples .seed .legacy"""
_add_det = declared(_DET, DetectionOptions, resamples={'default': 0})

_BOTH = f"""
*label_space
--body-groups {{{','.join(BODY_GROUPS)}}} = taxonomy: group of an action where the truth
  file gives none (default: taxonomy)
--per-class: also print one row per class
--strict: refuse files with odd entries (default: repair or leave out, and tell)
--json: print one JSON object, percent unrounded"""


def _rec_report(args: argparse.Namespace) -> dict[str, Any]:
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
        from mmma.reporting.report import draw_confusions  # by scipy

        mark = ' (simulated data)' if report['simulated'] else ''
        count = f'{report["counts"]["clips"]} {report["subset"]} clips'
        title = f'{args.pred.name}: {count}{mark}'
        for line in draw_confusions(*scored, args.confusions, title):
            print(line, file=sys.stderr)  # beside --json
    return report


def _det_report(args: argparse.Namespace) -> dict[str, Any]:
    """Report on the detections; what to bear in mind goes to standard error."""
    if args.resamples < 0:
        raise ValueError(f'--resamples {args.resamples}: use 0 or more')
    given = (args.gt, args.pred, args.label_space, args.body_groups)
    options = options_of(DetectionOptions, args)
    report = detection_report(
        *(*given, options, args.subset, args.domain),
        profile=bool(args.profile or args.plot),
        segment_map=args.seg_map,
        frames=args.frames,
        strict=args.strict,
    )
    place = ' of '.join(repr(p) for p in (report['subset'], args.domain) if p)
    for key, text in own_table('pages')['left_out'].items():
        if number := report['counts'][key]:
            print(f'{number} {text.format(place)}', file=sys.stderr)
    if not report['counts']['predictions']:
        print(f'warning: no prediction for {place}: every AP is 0', file=sys.stderr)
    if args.plot:
        from mmma.reporting.plots import draw_profile  # by scipy

        mark = ' (simulated data)' if report['simulated'] else ''
        title = f'{args.pred.name}: {report["subset"]}{mark}'
        draw_profile(report['profile'], args.plot, title)
    return report


_TASKS = {
    'rec': (_rec_report, _add_rec, REC_HELP, 'recognition: scores of clips'),
    'det': (_det_report, _add_det, DET_HELP, 'detection: segments of untrimmed videos'),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one sub-command per task."""
    tasks = parser.add_subparsers(dest='task', metavar='TASK', required=True)
    for name, (_, add, told, text) in _TASKS.items():
        kind = argparse.RawDescriptionHelpFormatter
        task = tasks.add_parser(name, help=text, description=told, formatter_class=kind)
        add(task)
        declared(_BOTH)(task)


def run(args: argparse.Namespace) -> int:
    """Evaluate, and print the report."""
    if args.label_space:
        args.label_space = read_label_space(args.label_space).plain()
    report = _TASKS[args.task][0](args)
    if args.json:
        print(json.dumps(report, ensure_ascii=False, allow_nan=False))
    else:
        print(report_text(report, args.per_class))
    return 0
