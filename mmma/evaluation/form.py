"""Form of ``results.json``: what tables, the zoo's pages and audits take from it.

Forms stand in ``tables/forms.json``, which says how they are read.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmma.evaluation.detection import PRESETS
from mmma.evaluation.recognition import (
    CLASS_SETS,
    LEVELS,
    ClassCounts,
    recognition_metrics,
)
from mmma.evaluation.rows import ALL_DOMAINS, SCHEMA, present_classes
from mmma.foreign import has_controls, is_number
from mmma.protocols import PROTOCOLS
from mmma.taxonomy import own_table

_FORMS = own_table('forms')
_KINDS = {
    'text': ('text without control characters', lambda v: not has_controls(v)),
    'bool': ('true or false', lambda v: isinstance(v, bool)),
    'int': ('a whole number of 0 or more', lambda v: type(v) is int and 0 <= v < 2**53),
    'number': ('a finite number', is_number),
    'percent': (
        'a number from 0 to 100',
        lambda v: is_number(v) and abs(v - 50) < 50.01,
    ),
    'plain': ('without control characters', lambda v: not has_controls(str(v))),
}
_CHOICES = {'protocol': PROTOCOLS, 'class set': CLASS_SETS, 'preset': tuple(PRESETS)}
PLACES = ('target', 'domain', 'experiment', 'input')  # one of them names a row
FIELDS = ('support', 'predicted', 'hits', 'top5_hits')
_SIZES = {'rec': ('clips',), 'det': ('videos', 'instances')}
_SIZES['emotion'] = ('videos', 'subjects', 'emotions')


def check_form(results: Any, repeated: Sequence[str], path: Path) -> None:
    """Refuse the content of a file, with some keys twice, that is not of that form.

    Raises:
        ValueError: Names the file, its first such key and what it must be.
    """
    if not isinstance(results, dict) or not {'schema', 'runs'} <= results.keys():
        raise ValueError(
            f'{path} is no results file of tools/test.py: it has no schema or no runs.'
        )
    if (schema := results['schema']) != SCHEMA:
        raise ValueError(
            f'{path} has schema {schema!r}, this version reads {SCHEMA}: test again.'
        )
    try:
        if repeated:
            raise ValueError(f'{repeated[0]!r} is there twice')
        _check_results(results)
    except ValueError as error:
        raise ValueError(
            f'{path}: {error}. It was edited or is damaged: test again.'
        ) from None
    audit_results(results, str(path), whole=False)


def _check_results(results: Any) -> None:
    task = results.get('task')
    own = _FORMS['emotion'] if task == 'emotion' else {}
    check_value(results, {**_FORMS['results'], **own}, '')
    if task == 'det':
        check_value(results['options'], _FORMS['detection'], 'options')
    run_form = {**_FORMS['run'], 'counts': dict.fromkeys(_SIZES[task], 'int')}
    run_form |= {'subset': 'test|val|folds'} if own else {}
    check_value(results.get('runs'), [run_form], 'runs')
    sizes: dict[str, int] = {}
    for i, run in enumerate(results['runs']):
        if not any(map(run.get, places := PLACES[2:] if own else PLACES[:2])):
            raise ValueError(f'runs[{i}] has neither {" nor ".join(sorted(places))}')
        bounds = (run.get('intervals') or {}).get('bounds') or {}
        if odd := [key for key, (low, high) in bounds.items() if low > high]:
            raise ValueError(f'runs[{i}].intervals: {odd[0]} is no interval')
        told = run.get('confusion') or {'labels': (), 'counts': ()}
        size = len(told['labels'])
        if [*map(len, told['counts'])] != [size] * size:
            what = f'runs[{i}].confusion.counts is no table'
            raise ValueError(f'{what} of {size} by {size} labels')
        for level, table in (run.get('per_class') or {}).items():
            for key, values in table.items():
                size = len(table['name'])
                size = sizes.setdefault(level, size) if task != 'det' else size
                count = len(values) if isinstance(values, list) else 'no'
                if count != size:
                    what = f'runs[{i}].per_class.{level}.{key} has {count} items'
                    raise ValueError(f'{what} for {size} names')


def check_value(value: Any, form: Any, where: str) -> None:
    """Refuse what is not of a form; nulls that may be absent are taken out of runs."""
    if isinstance(form, dict):
        if not isinstance(value, dict):
            raise ValueError(
                f'{where or "the file"} is {_shown(value)}: need an object'
            )
        for key, inner in form.items():
            name = key.removesuffix('?')
            place = f'{where}.{name}' if where else name
            if key == '*':
                for other, item in value.items():
                    check_value(other, 'text', f'a key of {where}')
                    check_value(item, inner, f'{where}.{_shown(other)[1:-1]}')
            elif value.get(name) is not None or (name == key and name in value):
                check_value(value[name], inner, place)
            elif name == key:
                raise ValueError(f'{place} is missing')
            elif where.startswith(('runs', 'options')):
                value.pop(name, None)
    elif isinstance(form, list):
        few = {'runs': 1, 'options.thresholds': 1}.get(where, 2 * (len(form) > 1))
        if not isinstance(value, list) or len(value) < few:
            raise ValueError(f'{where} is {_shown(value)}: it must be a list')
        for i, item in enumerate(value):
            check_value(item, form[0], f'{where}[{i}]')
    elif form not in _KINDS:
        allowed = _CHOICES.get(form) or form.split('|')
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f'{where} is {_shown(value)}: need {", ".join(allowed)}')
    elif not _KINDS[form][1](value):
        raise ValueError(f'{where} is {_shown(value)}: it must be {_KINDS[form][0]}')


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'


_EXACT, _ROUNDED, _PRINTED = 1e-6, 1e-4, 6e-3  # percent; of all, four and two digits
_Check = tuple[str, Any, Any, float]
"""Name of a number, as written if it is, as computed, how far they may be apart."""


def audit_results(results: Mapping[str, Any], where: str, whole: bool = True) -> None:
    """Compute again what can be: metrics that were changed do not fit their counts.

    If not ``whole``, something may be missing, and numbers may have two digits.

    Raises:
        ValueError: A number does not fit the others, or one that is needed is missing.
    """
    checks = _detection_checks if results['task'] == 'det' else _recognition_checks
    for run in results['runs']:
        place = next(filter(None, map(run.get, PLACES)), '?')
        told = [k for k in ('shots', 'method', 'control', 'run') if k in run]
        label = ', '.join([place, *(f'{k} {run[k]}' for k in told)])
        try:
            for what, found, expected, tolerance in checks(results, run):
                if found is None and whole:
                    raise KeyError(what)
                rounded = tolerance if whole or not tolerance else _PRINTED
                if found is not None and not abs(found - expected) <= rounded:
                    raise ValueError(
                        f'{where}: {label}: {what} is {found}, but the other numbers '
                        f'give {expected}. It was edited or is damaged: test again.'
                    )
        except (KeyError, TypeError, IndexError) as error:
            if whole:
                raise ValueError(
                    f'{where}: {label}: {error!r} is missing or malformed: test again.'
                ) from None
    try:
        for problem in _unlike_their_sum(results):
            raise ValueError(f'{where}: {problem}')
    except KeyError as error:
        if whole:
            raise ValueError(f'{where}: a row has no {error}: test again.') from None


def _recognition_checks(
    results: Mapping[str, Any], run: Mapping[str, Any]
) -> Iterator[_Check]:
    counted = _SIZES[results['task']][0]
    levels = [lv for lv in (*LEVELS, 'emotion') if lv in run['per_class']]
    counts = {level: class_counts([run], level) for level in levels}
    for level, own in counts.items():
        yield f'{level} {counted}', run['counts'][counted], int(own.support.sum()), 0
        yield f'{level} predictions', int(own.predicted.sum()), own.support.sum(), 0
        highest = np.minimum(np.minimum(own.predicted, own.top5_hits), own.hits)
        yield f'{level} hits', int(own.hits.sum()), int(highest.sum()), 0
        over = int((own.top5_hits > own.support).sum())
        yield f'{level} classes with more hits than {counted}', over, 0, 0
    for key, number in present_classes(counts).items():
        yield key.replace('_', ' '), run['counts'].get(key), number, 0
    metrics = recognition_metrics(
        counts, results['options'].get('class_set', 'present')
    )
    known = {key for row in results['runs'] for key in row['metrics']}
    for key in [k for k in metrics if k in known]:  # a file may be older than a metric
        yield key, run['metrics'].get(key), 100.0 * float(metrics[key]), _EXACT


def _detection_checks(
    results: Mapping[str, Any], run: Mapping[str, Any]
) -> Iterator[_Check]:
    metrics, preset = run['metrics'], results['options']['preset']
    for level in run['counts']['classes']:
        table = run['per_class'][level]
        yield f'{level} classes', run['counts']['classes'][level], len(table['AP']), 0
        for name, values in table.items():
            if name.startswith('AP') and name != 'AP_bounds':
                key = f'{level}/m{name}'
                yield key, metrics[key], float(np.mean(values)), _ROUNDED
        at = [metrics[f'{level}/mAP@{t:.2f}'] for t in PRESETS[preset]]
        yield f'{level}/mAP', metrics[f'{level}/mAP'], float(np.mean(at)), _EXACT
    if 'body' in run['counts']['classes'] or 'AVG' in metrics:
        mean = (metrics['action/mAP'] + metrics['body/mAP']) / 2
        yield 'AVG', metrics['AVG'], mean, _EXACT


def _unlike_their_sum(results: Mapping[str, Any]) -> Iterator[str]:
    """Clips or instances of the domains must add up to the row of all."""
    whole = [r for r in results['runs'] if r.get('domain') == ALL_DOMAINS]
    parts = [r for r in results['runs'] if r.get('domain', ALL_DOMAINS) != ALL_DOMAINS]
    if len(whole) != 1 or not parts:
        return
    key = 'instances' if results['task'] == 'det' else 'clips'
    total = whole[0]['counts'][key]
    found = sum(part['counts'][key] for part in parts)
    if total != found:
        yield f'all: {total} {key}, but those of the domains add up to {found}.'
    if results['task'] == 'det':
        return
    for level in whole[0]['per_class']:
        summed = class_counts(parts, level)
        for name in FIELDS:
            if getattr(summed, name).tolist() != whole[0]['per_class'][level][name]:
                yield f'all: {level} {name} are not the sum of those of the domains.'


def class_counts(rows: Sequence[Mapping[str, Any]], level: str) -> ClassCounts:
    """Counts of one level, summed over rows."""
    tables = [row['per_class'][level] for row in rows]
    return ClassCounts(
        *(np.sum([t[name] for t in tables], axis=0, dtype=float) for name in FIELDS)
    )
