"""Tables of results on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prettytable import PrettyTable

from mmma.evaluation.functional.seeds import spread
from mmma.layout.leakage import note_on_subjects
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
DETECTION_COLUMNS = {
    'action .2': 'action/mAP@0.20',
    'action .5': 'action/mAP@0.50',
    'action .7': 'action/mAP@0.70',
    'action mAP': 'action/mAP',
    'body .2': 'body/mAP@0.20',
    'body .5': 'body/mAP@0.50',
    'body .7': 'body/mAP@0.70',
    'body mAP': 'body/mAP',
    'AVG': 'AVG',
}
_COLUMNS_OF = {'rec': COLUMNS, 'det': DETECTION_COLUMNS}
_COUNTED = {'rec': 'clips', 'det': 'videos'}
CONTROLS = {
    None: 'zero-shot',
    'classes': "zero-shot, target's classes only",
    'prior': "zero-shot, target's class prior",
}


def results_table(results: Sequence[dict[str, Any]]) -> str:
    """One table over several results of one task, in percent.

    Few-shot rows are means over runs, Top-1 with half its 95 % t-interval. For
    detection: mAP at three thresholds and averaged, at both levels, and the mean of
    the two averages.

    Args:
        results: Contents of results files.

    Returns:
        The table, under a line that says so if the data are simulated.

    Raises:
        ValueError: The results were not measured alike.
    """
    check_comparable(results)
    task = results[0]['task']
    counted = _COUNTED[task]
    headings = ['model', 'protocol', 'domain', counted, *_COLUMNS_OF[task]]
    table = PrettyTable(headings)
    table.align = 'r'
    table.align['model'] = table.align['protocol'] = table.align['domain'] = 'l'
    for result in results:
        for row in _rows(result):
            table.add_row(row)
    return '\n'.join([*result_notes(results), table.get_string()])


def result_notes(results: Sequence[dict[str, Any]]) -> list[str]:
    """What a reader of a table over these results must know.

    Args:
        results: Contents of results files of one task, measured alike.
    """
    task = results[0]['task']
    counted = _COUNTED[task]
    notes = []
    if results[0]['data']['simulated']:
        notes.append(SIMULATED)
    notes += [
        f'{r["name"]} was trained on simulated data.'
        for r in results
        if r['checkpoint']['simulated'] and not r['data']['simulated']
    ]
    if task == 'det':
        thresholds = results[0]['options']['thresholds']
        notes.append(
            f'mAP: mean over {len(thresholds)} tIoU thresholds, {thresholds[0]:g} to '
            f'{thresholds[-1]:g}; body: {results[0]["options"]["body_detections"]}'
        )
    if any(r['options'].get('fast_dev_run') for r in results):
        notes.append(f'FAST DEV RUN: a few {counted} only, no result.')
    if any(r['protocol']['name'] != 'indomain' for r in results):
        notes.append(
            f'zero-shot: no {counted[:-1]} of the target domain was trained on; its '
            'classes are not unseen.'
        )
    if any((run.get('run') or 0) > 0 for r in results for run in r['runs']):
        notes.append('±: half-width of the 95 % t-interval over support draws.')
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
    notes += [
        note_on_subjects(r['data']['name'], r['options'].get('subset', ''))
        for r in results
    ]
    return [note for note in dict.fromkeys(notes) if note]


def adaptation_text(result: Mapping[str, Any]) -> str:
    """How few-shot rows were adapted: ``linear (proximity 0.1)``, or empty.

    Args:
        result: Contents of a results file.
    """
    settings = dict(result.get('adaptation') or {})
    name = settings.pop('adapt', '')
    options = ', '.join(f'{key} {value}' for key, value in settings.items())
    return f'{name} ({options})' if options else name


def _rows(result: dict[str, Any]) -> Iterator[list[str]]:
    protocol = result['protocol']['name']
    if 'pooled' in result['protocol']:
        protocol += ', one model per domain'
    adapt = adaptation_text(result)
    adapt = adapt and f', {adapt}'
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
            label = f'{shots}-shot ({len(runs)} runs){adapt}'
        elif shots == 0:
            label = CONTROLS[control]
        values = [
            [r['metrics'][key] for r in runs if key in r['metrics']]
            for key in _COLUMNS_OF[result['task']].values()
        ]
        found = [spread(v) if v else None for v in values]
        cells = [f'{s.mean:.2f}' if s else '–' for s in found]
        if found[0] and found[0].half_width is not None:
            cells[0] += f' ± {found[0].half_width:.2f}'
        simulated = ' (simulated)' if result['data']['simulated'] else ''
        count = str(runs[0]['counts'][_COUNTED[result['task']]])
        yield [result['name'] + simulated, label, domain, count, *cells]
