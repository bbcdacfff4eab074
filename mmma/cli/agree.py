"""Measure how far two or more annotations of the same videos agree.

Each is a data root, a det.json, detections {"results"}, what infer.py wrote (a JSON or
its folder), or files of ELAN, BORIS, Praat, Label Studio, FiftyOne or CSV; of a person
or a model alike. Of more than two every pair is compared, on the videos that all have.

  kappa      Cohen's kappa of time units: 1 is perfect, 0 what chance would give
  alpha      Krippendorff's alpha of the same units
  event_f1   events that both saw: same label, starts and ends within the tolerance;
             precision of the second's, recall of the first's; onset_f1: starts alone
  interval_  is a label anywhere in a window or not (partial-interval recording)

Brackets hold 95 % intervals. docs/behaviour.md defines every number."""

import argparse
import json
import math
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from mmma.reporting.table import SIMULATED, Table

ARGUMENTS = """
annotations A B ... (path): of the same videos; the first is the reference
--unit-sec S (float) = 1.0: length of a time unit (default: %(default)s)
--tolerance-sec S (float) = 0.5: by which starts, and ends, of one event may differ
  (default: %(default)s)
--window-sec S (float) = 10.0: length of a window of interval agreement (default:
  %(default)s)
*annotation
--resamples N (int) = 1000: of the intervals, 0 for none (default: %(default)s)
--seed S (int) = 0
--per-class: also print a row per label
--json: print one JSON object, fractions unrounded"""


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
    how, sides = (args.label_space, args.threshold, args.table), {}
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
    letter = dict(zip(report['alone'], ascii_uppercase, strict=False))
    lines = [f'{letter[name]}: {name}' for name in letter]
    lines.append(f'{report["n"]} videos that all have, {report["units"]} time units')
    heads = [f'{letter[own["a"]]} - {letter[own["b"]]}' for own in pairs]
    keys = [k for k, v in pairs[0].items() if isinstance(v, float) or v is None]
    rows = [
        [k, *(_cell(own[k], own['intervals'].get(k)) for own in pairs)] for k in keys
    ]
    lines.append(Table(['', *heads], rows).text())
    lines.append('no intervals: they need --resamples, and five subjects or videos')
    if facts:
        lines[-1] = '95 % intervals: {units} {unit}s, drawn {resamples} times'.format(
            **facts
        )
        if 'coverage' in facts:
            lines[-1] += f', which hold the truth in {100 * facts["coverage"]:.0f} %'
    for own, head in zip(pairs, heads, strict=True):
        found, table = own['per_class'], own['confusion']
        if per_class:
            titles = [f'{head} events', 'first', 'second', 'both', 'event_f1', 'kappa']
            scores = found['event_f1'], found['kappa']
            columns = found['label'], *found['events'], *scores
            rows = [[*map(_cell, row)] for row in zip(*columns, strict=True)]
            lines.append(Table(titles, rows).text())
        cells = [
            (count, f'{a} / {b} {count}')
            for a, row in zip(table['labels'], table['counts'], strict=True)
            for b, count in zip(table['labels'], row, strict=True)
            if count and a != b
        ]
        most = sorted(cells, key=lambda cell: -cell[0])[:5]
        told = ', '.join(text for _, text in most) or 'nothing'
        lines.append(f'{head} differ most by: {told}')
    return '\n'.join([*lines, *[SIMULATED] * report['simulated']])


def _cell(value: Any, ends: Sequence[float | None] | None = None) -> str:
    if not isinstance(value, float):
        return '–' if value is None else str(value)
    span = '' if not ends or None in ends else ' [{:.2f}, {:.2f}]'.format(*ends)
    return f'{value:.2f}{span}'
