"""Whether a results file is what it says: what can be computed again, is.

A results file holds the counts and per-class rates that its metrics follow from, so a
metric that was changed by hand does not fit them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mmma.evaluation.functional.detection_ap import LEVELS, PRESETS
from mmma.evaluation.functional.recognition import ClassCounts, recognition_metrics
from mmma.evaluation.recognition import ALL_DOMAINS

_EXACT, _ROUNDED = 1e-6, 1e-4  # percent; per-class rates have four digits
_COUNTS = ('support', 'predicted', 'hits', 'top5_hits')
Check = tuple[str, Any, Any, float]
"""What, as written, as computed, how far they may be apart."""


def check_results(results: Mapping[str, Any], where: str) -> None:
    """Compute again what the metrics of a results file follow from.

    Args:
        results: Contents of a results file.
        where: Its name, for the message.

    Raises:
        ValueError: A number does not fit the others, or one that is needed is missing.
    """
    checks = _detection_checks if results['task'] == 'det' else _recognition_checks
    for run in results['runs']:
        label = run_label(run)
        try:
            for what, found, expected, tolerance in checks(results, run):
                if not abs(found - expected) <= tolerance:
                    raise ValueError(
                        f'{where}: {label}: {what} is {found}, but the other numbers '
                        f'give {expected}. It was edited or is damaged: test again.'
                    )
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(
                f'{where}: {label}: {error!r} is missing or malformed: test again.'
            ) from None
    for problem in _unlike_their_sum(results):
        raise ValueError(f'{where}: {problem}')


def run_label(run: Mapping[str, Any]) -> str:
    """What a row of a results file is: ``street, shots 5, run 0``."""
    place = run.get('target') or run.get('domain') or '?'
    keys = ('shots', 'control', 'run')
    return ', '.join([place, *(f'{key} {run[key]}' for key in keys if key in run)])


def _recognition_checks(
    results: Mapping[str, Any], run: Mapping[str, Any]
) -> Iterator[Check]:
    counts = {level: _class_counts(run, level) for level in LEVELS}
    for level, own in counts.items():
        yield f'{level} clips', run['counts']['clips'], int(own.support.sum()), 0
        yield f'{level} predictions', int(own.predicted.sum()), own.support.sum(), 0
        highest = np.minimum(np.minimum(own.predicted, own.top5_hits), own.hits)
        yield f'{level} hits', int(own.hits.sum()), int(highest.sum()), 0
        over = int((own.top5_hits > own.support).sum())
        yield f'{level} classes with more hits than clips', over, 0, 0
    present = [int((counts[level].support > 0).sum()) for level in LEVELS]
    yield 'classes present', run['counts']['classes_present'], present[0], 0
    yield 'bodies present', run['counts']['bodies_present'], present[1], 0
    metrics = recognition_metrics(counts, results['options']['class_set'])
    for key, value in metrics.items():
        yield key, run['metrics'][key], 100.0 * float(value), _EXACT


def _class_counts(run: Mapping[str, Any], level: str) -> ClassCounts:
    table = run['per_class'][level]
    return ClassCounts(*(np.array(table[key], np.float64) for key in _COUNTS))


def _detection_checks(
    results: Mapping[str, Any], run: Mapping[str, Any]
) -> Iterator[Check]:
    metrics, preset = run['metrics'], results['options']['preset']
    for level in LEVELS:
        table = run['per_class'][level]
        yield f'{level} classes', run['counts']['classes'][level], len(table['AP']), 0
        for name, values in table.items():
            if name.startswith('AP') and name != 'AP_bounds':
                key = f'{level}/m{name}'
                yield key, metrics[key], float(np.mean(values)), _ROUNDED
        at = [metrics[f'{level}/mAP@{t:.2f}'] for t in PRESETS[preset]]
        yield f'{level}/mAP', metrics[f'{level}/mAP'], float(np.mean(at)), _EXACT
    mean = (metrics['action/mAP'] + metrics['body/mAP']) / 2
    yield 'AVG', metrics['AVG'], mean, _EXACT


def _unlike_their_sum(results: Mapping[str, Any]) -> Iterator[str]:
    """Clips or instances of the domains must add up to the row of all."""
    whole = [r for r in results['runs'] if r.get('domain') == ALL_DOMAINS]
    parts = [r for r in results['runs'] if r.get('domain', ALL_DOMAINS) != ALL_DOMAINS]
    if len(whole) != 1 or not parts:
        return
    key = 'instances' if results['task'] == 'det' else 'clips'
    total, found = whole[0]['counts'][key], _total(parts, key)
    if total != found:
        yield f'all: {total} {key}, but those of the domains add up to {found}.'
    if results['task'] == 'det':
        return
    for level in LEVELS:
        for name in _COUNTS:
            summed = np.sum([part['per_class'][level][name] for part in parts], axis=0)
            if summed.tolist() != whole[0]['per_class'][level][name]:
                yield f'all: {level} {name} are not the sum of those of the domains.'


def _total(rows: Sequence[Mapping[str, Any]], key: str) -> int:
    return int(sum(row['counts'][key] for row in rows))
