"""Tables of detection metrics and errors on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prettytable import PrettyTable

from mmma.reporting.tables import SIMULATED

_AT = {'@0.20': '.2', '@0.50': '.5', '@0.70': '.7', '': 'mAP'}


def summary(report: Mapping[str, Any]) -> str:
    """What the numbers below are, in a few lines.

    Args:
        report: What ``evaluate.py det --json`` prints.
    """
    options, counts = report['options'], report['counts']
    lines = [SIMULATED] if report['simulated'] else []
    first, *_, last = options['thresholds']
    lines.append(
        f'subset {report["subset"]}, percent; mAP is the mean over '
        f'{len(options["thresholds"])} tIoU thresholds, {first:g} to {last:g}'
    )
    if options['level'] != 'action':
        lines.append(f'body: {options["body_detections"]}')
    for key, text in (
        ('merged_truths', 'duplicate truths merged'),
        ('without_truth', 'predictions of classes without truth ignored'),
    ):
        found = ', '.join(f'{n} ({level})' for level, n in counts[key].items() if n)
        lines += [f'{text}: {found}'] if found else []
    for level in ('action', 'body'):
        if f'{level}/segment_mAP' in report:
            value = report[f'{level}/segment_mAP']
            lines.append(f'{level} segment mAP: {value:.2f}')
    for level, recall in report['rows'][0].get('recall', {}).items():
        values = ', '.join(f'{value:.2f} of {n}' for n, value in recall.items())
        lines.append(f'{level} recall of the best N per video: {values}')
    intervals = report['rows'][0].get('intervals')
    if intervals:
        lines.append(
            f'intervals: 95 %, {intervals["resamples"]} resamples of '
            f'{intervals["units"]} {intervals["unit"]}s, seed {intervals["seed"]}'
        )
    return '\n'.join(lines)


def rows_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Domains with their mAP at 0.2, 0.5, 0.7 and averaged.

    Args:
        rows: Of ``evaluate_rows``.
    """
    columns = {
        f'{level}/mAP{at}': f'{level} {title}'
        for level in ('action', 'body')
        for at, title in _AT.items()
    }
    columns['AVG'] = 'AVG'
    keys = [key for key in columns if key in rows[0]['metrics']]
    headings = [columns[key] for key in keys]
    table = PrettyTable(['domain', 'videos', 'instances', *headings])
    table.align = 'r'
    table.align['domain'] = 'l'
    for row in rows:
        sizes = [row['counts']['videos'], row['counts']['instances']]
        cells = [f'{row["metrics"][key]:.2f}' for key in keys]
        table.add_row([row['domain'], *sizes, *cells])
        if row is rows[0]:
            if 'intervals' in row:
                bounds = row['intervals']['bounds']
                spans = ['{:.2f}..{:.2f}'.format(*bounds[key]) for key in keys]
                table.add_row(['  interval', '', '', *spans])
            often = row['frequent']
            cells = [f'{often["metrics"][key]:.2f}' for key in keys]
            name = f'  of {often["min_truths"]}+ truths'
            table.add_row([name, '', '', *cells])
    return table.get_string()


def per_class_tables(per_class: Mapping[str, Mapping[str, list[Any]]]) -> str:
    """One table per level, a row per class with truth.

    Args:
        per_class: Of a row.
    """
    texts = []
    for level, columns in per_class.items():
        shown = dict(columns)
        if 'AP_bounds' in shown:
            shown['AP_bounds'] = [
                '{:.2f}..{:.2f}'.format(*b) for b in shown['AP_bounds']
            ]
        names = list(shown)
        table = PrettyTable([f'{level} class', *names[1:]])
        table.align = 'r'
        table.align[f'{level} class'] = 'l'
        table.float_format = '.2'
        rows = zip(*shown.values(), strict=True)
        table.add_rows([list(row) for row in rows])
        texts.append(table.get_string())
    return '\n'.join(texts)


def profile_tables(profile: Mapping[str, Mapping[str, Any]]) -> str:
    """Kinds of errors by rank, what removing them gains, and what is missed.

    Args:
        profile: Level to what ``profile_levels`` gives.
    """
    texts = []
    for level, found in profile.items():
        table = PrettyTable([f'{level}: predictions', 'number', *found['kinds']])
        table.align = 'r'
        slices = zip(found['slices'], found['predictions'], strict=True)
        for i, (shares, size) in enumerate(slices):
            name = f'{i}G to {i + 1}G' if i else 'first G of a class'
            table.add_row([name, size, *(f'{share:.1f}' for share in shares)])
        gains = [f'{gain:+.2f}' for gain in found['gain'].values()]
        table.add_row(['mAP_N without it', f'{found["mAP_N"]:.2f}', '', *gains])
        texts.append(table.get_string())
        for name, bins in found['sensitivity'].items():
            table = PrettyTable([f'{level}: {name}', *list(bins[0])[1:]])
            table.align = 'r'
            table.float_format = '.1'
            table.add_rows([list(row.values()) for row in bins])
            texts.append(table.get_string())
    return '\n'.join(texts)
