"""Tables of results on a terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from prettytable import PrettyTable

from mmma.reporting.results import check_comparable

SIMULATED = 'SIMULATED DATA: these numbers exercise the toolbox, they are no benchmark.'
COLUMNS = {
    'Top-1': 'action/top1',
    'Top-5': 'action/top5',
    'MCA': 'action/mca',
    'macro F1': 'action/macro_f1',
    'body Top-1': 'body/top1',
    'body MCA': 'body/mca',
    'body macro F1': 'body/macro_f1',
    'F1_mean': 'F1_mean',
}
_CONTROLS = {
    None: 'zero-shot',
    'classes': "zero-shot, target's classes only",
    'prior': "zero-shot, target's class prior",
}


def results_table(results: Sequence[dict[str, Any]]) -> str:
    """One table over several results, in percent.

    Few-shot rows are means over runs, with the standard deviation of Top-1.

    Args:
        results: Contents of results files.

    Returns:
        The table, under a line that says so if the data are simulated.

    Raises:
        ValueError: The results were not measured alike.
    """
    check_comparable(results)
    table = PrettyTable(['model', 'protocol', 'domain', 'clips', *COLUMNS])
    table.align = 'r'
    table.align['model'] = table.align['protocol'] = table.align['domain'] = 'l'
    for result in results:
        for row in _rows(result):
            table.add_row(row)
    notes = []
    if results[0]['data']['simulated']:
        notes.append(SIMULATED)
    notes += [
        f'{r["name"]} was trained on simulated data.'
        for r in results
        if r['checkpoint']['simulated'] and not r['data']['simulated']
    ]
    if any(r['options'].get('fast_dev_run') for r in results):
        notes.append('FAST DEV RUN: a few clips only, no result.')
    if any(r['protocol']['name'] != 'indomain' for r in results):
        notes.append(
            'zero-shot: no clip of the target domain was trained on; its classes are '
            'not unseen.'
        )
    notes += [
        f'{r["name"]} was trained on {", ".join(r["target_seen"])}: its rows for '
        'these domains are not zero-shot.'
        for r in results
        if r.get('target_seen')
    ]
    notes += [
        f'{r["name"]} does not say which domains it was trained on: whether its rows '
        'are zero-shot is unknown.'
        for r in results
        if r.get('target_seen', []) is None
    ]
    return '\n'.join([*notes, table.get_string()])


def _rows(result: dict[str, Any]) -> Iterator[list[str]]:
    protocol = result['protocol']['name']
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for run in result['runs']:
        key = (
            run.get('target') or run.get('domain'),
            run.get('shots'),
            run.get('control'),
        )
        groups.setdefault(key, []).append(run)
    for (domain, shots, control), runs in groups.items():
        label = protocol
        if shots:
            label = f'{shots}-shot ({len(runs)} runs)'
        elif shots == 0:
            label = _CONTROLS[control]
        values = [
            [r['metrics'][key] for r in runs if key in r['metrics']]
            for key in COLUMNS.values()
        ]
        cells = [f'{statistics.fmean(v):.2f}' if v else '–' for v in values]
        if len(runs) > 1:
            cells[0] += f' ± {statistics.stdev(values[0]):.2f}'
        simulated = ' (simulated)' if result['data']['simulated'] else ''
        count = str(runs[0]['counts']['clips'])
        yield [result['name'] + simulated, label, domain, count, *cells]
