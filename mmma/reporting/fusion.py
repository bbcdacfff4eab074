"""What fusing score files came to, on a terminal."""

from __future__ import annotations

from typing import Any

from prettytable import PrettyTable

from mmma.reporting.tables import COLUMNS, SIMULATED

_SHOWN = ('Top-1', 'MCA', 'macro F1', 'body Top-1', 'F1_mean')


def fusion_summary(record: dict[str, Any]) -> str:
    """Weights of the inputs and how they came about.

    Args:
        record: Content of the ``fused.json`` that ``fuse.py`` writes.
    """
    learnt, inputs = record['learnt'], record['inputs']
    lines = [
        f'{record["clips"]} clips, {record["space"]} of {len(inputs)} score files, '
        f'{record["weights_from"]} weights:'
    ]
    for i, (entry, weight) in enumerate(zip(inputs, record['weights'], strict=True)):
        line = f'  {weight:.4f}  {entry["file"]}'
        if learnt:
            source = learnt['val_scores'][i]['file']
            line += f'  (val: {source}, alone {learnt["single_nll"][i]:.4f} nats)'
        lines.append(line)
    if learnt:
        domains = ', '.join(f'{n} {domain}' for domain, n in learnt['domains'].items())
        lines.append(
            f'learnt on {learnt["clips"]} val clips ({domains}): {learnt["nll"]:.4f} '
            f'nats per clip, equal weights {learnt["equal_nll"]:.4f}; at most '
            f'{learnt["gap"]:.1e} above the best'
        )
    if record['body_fusion'] is not None:
        lines.append(f'then fused with body scores, weight {record["body_fusion"]:g}')
    return '\n'.join(lines)


def fusion_table(record: dict[str, Any]) -> str:
    """Metrics of each input and of the fused scores, in percent.

    Args:
        record: As for :func:`fusion_summary`, with ``metrics``.
    """
    report = record['metrics']
    table = PrettyTable(['scores', 'weight', *_SHOWN])
    table.align = 'r'
    table.align['scores'] = 'l'
    rows = zip(record['inputs'], record['weights'], report['inputs'], strict=True)
    for entry, weight, row in rows:
        table.add_row([entry['file'], f'{weight:.4f}', *_cells(row)])
    table.add_row(['fused', '', *_cells(report['fused'])])
    notes = [SIMULATED] if record['simulated'] else []
    return '\n'.join([*notes, *_notes(report), table.get_string()])


def _notes(report: dict[str, Any]) -> list[str]:
    subsets = ', '.join(f'{n} {subset}' for subset, n in report['subsets'].items())
    options, intervals = report['options'], report['fused'].get('intervals')
    notes = [
        f'{report["clips"]} clips ({subsets}), percent; class set '
        f'{options["class_set"]!r}, body scores {options["body_scores"]!r}'
    ]
    if intervals:
        notes.append(
            f'intervals: 95 %, {intervals["resamples"]} resamples of '
            f'{intervals["units"]} {intervals["unit"]}s'
        )
    if report['weights_fitted_on_them']:
        notes.append(
            f'the weights were fitted on {report["weights_fitted_on_them"]} of these '
            'clips: the fused row flatters'
        )
    return notes


def _cells(row: dict[str, Any]) -> list[str]:
    cells = []
    for name in _SHOWN:
        key = COLUMNS[name]
        cell = f'{row["metrics"][key]:.2f}'
        if 'intervals' in row:
            cell += ' [{:.2f}, {:.2f}]'.format(*row['intervals']['bounds'][key])
        cells.append(cell)
    return cells
