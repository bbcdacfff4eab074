"""``agree.py A B ...``: how far annotations of the same videos agree."""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from mmma.cli.arguments import add_annotation_arguments
from mmma.reporting.table import SIMULATED, Table

HELP = """Measure how far two or more annotations of the same videos agree.

An annotation is a data root, a det.json, detections {"results"}, what infer.py wrote (a
JSON or its folder), or files of ELAN, BORIS, Praat, Label Studio, FiftyOne or CSV; of a
person or a model alike. With more than two, every pair is compared, all on the videos
that all of them have: human with human beside human with model.

  kappa      Cohen's kappa of time units: 1 is perfect, 0 what chance would give
  alpha      Krippendorff's alpha of the same units
  event F1   of all events, which share both saw: same label, and starts and ends that
             differ by the tolerance at most; onset F1: starts alone
  interval   is a label anywhere in a window or not (partial-interval recording)

Brackets hold 95 % intervals, by resampling subjects, or videos where fewer than five
subjects are named. docs/behaviour.md defines every number."""

_SHOWN = {
    'kappa': 'kappa',
    'kappa_pooled': 'kappa, each label alone',
    'alpha': 'alpha',
    'unit_agreement': 'units of one code',
    'event_f1': 'event F1',
    'event_precision': '  matched, of the second',
    'event_recall': '  matched, of the first',
    'onset_f1': 'onset F1',
    'interval_kappa': 'interval kappa',
    'interval_agreement': 'interval agreement',
    'interval_occurrence': '  of those with a label',
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    told = 'of the same videos; the first is the reference'
    add('annotations', nargs='+', type=Path, metavar='A B', help=told)
    for name, default, told in (
        ('unit', 1.0, 'length of a time unit'),
        ('tolerance', 0.5, 'by which starts, and ends, of one event may differ'),
        ('window', 10.0, 'length of a window of interval agreement'),
    ):
        told += ' (default: %(default)s)'
        add(f'--{name}-sec', type=float, default=default, metavar='S', help=told)
    add_annotation_arguments(parser)
    told = 'of the intervals, 0 for none (default: %(default)s)'
    add('--resamples', type=int, default=1000, metavar='N', help=told)
    add('--seed', type=int, default=0, metavar='S')
    add('--per-class', action='store_true', help='also print a row per label')
    add(
        '--json', action='store_true', help='print one JSON object, fractions unrounded'
    )


def run(args: argparse.Namespace) -> int:
    """Compare, and print the report."""
    from mmma.evaluation.agreement import compare
    from mmma.evaluation.behaviour import read_annotation

    spans_sec = args.unit_sec, args.window_sec, args.tolerance_sec
    for name, span_sec in zip(('unit', 'window', 'tolerance'), spans_sec, strict=True):
        if not 0 < span_sec < math.inf and (name, span_sec) != ('tolerance', 0):
            raise ValueError(f'--{name}-sec {span_sec}: use seconds above 0')
    if args.resamples < 0:
        raise ValueError(f'--resamples {args.resamples}: use 0 or more')
    sides, how = {}, (args.label_space, args.threshold, args.table)
    for path in args.annotations:
        name = str(path) if str(path) not in sides else f'{path} (again)'
        sides[name] = read_annotation(path, *how)[0]
    report = compare(sides, spans_sec, args.resamples, args.seed)
    chosen = 'unit_sec', 'window_sec', 'tolerance_sec', 'threshold'
    report['options'] = {key: getattr(args, key) for key in chosen}
    if args.json:
        print(json.dumps(report, ensure_ascii=False, allow_nan=False))
    else:
        print(report_text(report, args.per_class))
    return 0


def report_text(report: dict[str, Any], per_class: bool) -> str:
    """A column per pair, then what each pair takes for something else."""
    pairs, facts = report['pairs'], report['bootstrap']
    names = dict.fromkeys(own[side] for own in pairs for side in 'ab')
    letter = dict(zip(names, ascii_uppercase, strict=False))
    lines = [f'{letter[name]}: {name}' for name in names]
    lines.append(f'{report["n"]} videos that all have, {report["units"]} time units')
    heads = [f'{letter[own["a"]]} - {letter[own["b"]]}' for own in pairs]
    rows = [
        [told, *(_cell(own[key], own['intervals'].get(key)) for own in pairs)]
        for key, told in _SHOWN.items()
    ]
    lines.append(Table(['', *heads], rows).text())
    if facts:
        few = f', which hold the truth in {100 * facts.get("coverage", 0):.0f} %'
        lines.append(
            f'95 % intervals: {facts["units"]} {facts["unit"]}s, drawn '
            f'{facts["resamples"]} times{few * ("coverage" in facts)}'
        )
    else:
        lines.append('no intervals: they need --resamples, and five subjects or videos')
    for own, head in zip(pairs, heads, strict=True):
        found, table = own['per_class'], own['confusion']
        if per_class:
            titles = [f'{head} events', 'first', 'second', 'both', 'event F1', 'kappa']
            columns = (
                found['label'],
                *found['events'],
                found['event_f1'],
                found['kappa'],
            )
            rows = [[*map(_cell, row)] for row in zip(*columns, strict=True)]
            lines.append(Table(titles, rows).text())
        names, counts = table['labels'], table['counts']
        cells = [
            (counts[i][j], a, b)
            for i, a in enumerate(names)
            for j, b in enumerate(names)
        ]
        most = sorted((c for c in cells if c[0] and c[1] != c[2]), key=lambda c: -c[0])
        told = ', '.join(f'{a} / {b} {count}' for count, a, b in most[:5])
        lines.append(f'{head} differ most by: {told or "nothing"}')
    return '\n'.join([*lines, *[SIMULATED] * report['simulated']])


def _cell(value: Any, ends: Sequence[float | None] | None = None) -> str:
    if not isinstance(value, float):
        return '–' if value is None else str(value)
    span = '' if not ends or None in ends else ' [{:.2f}, {:.2f}]'.format(*ends)
    return f'{value:.2f}{span}'
