"""Form of ``results.json``: what tables, the zoo's pages and audits take from it.

A key with ``?`` may be absent or null, as older files lack some; ``*`` is any key.
A tuple lists what is allowed, a list holds items of one form, and a type stands for
itself: text has no control characters, whole numbers are 0 or more.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmma.evaluation.rows import SCHEMA
from mmma.foreign import has_controls, is_number
from mmma.protocols import PROTOCOLS

PERCENT, PLAIN = 'percent', 'plain'
_KINDS = {
    str: ('text without control characters', lambda v: not has_controls(v)),
    bool: ('true or false', lambda v: isinstance(v, bool)),
    int: ('a whole number of 0 or more', lambda v: type(v) is int and v >= 0),
    float: ('a finite number', is_number),
    PERCENT: (
        'a number from 0 to 100',
        lambda v: is_number(v) and -0.01 < v < 100.01,
    ),
    PLAIN: ('without control characters', lambda v: not has_controls(str(v))),
}
_COUNTS = ('support?', 'predicted?', 'hits?', 'top5_hits?')
_LEVEL = {'name': [str], **{key: [int] for key in _COUNTS}}
_RUN = {
    **dict.fromkeys(('domain?', 'target?', 'subset?'), str),
    **dict.fromkeys(('seed?', 'run?', 'shots?'), int),
    'control?': ('classes', 'prior', 'oracle-prior'),
    'metrics': {'*': PERCENT},
    'intervals?': {'bounds?': {'*': [PERCENT, PERCENT]}, 'units?': int},
    'per_class?': {'*': _LEVEL},
}
_SIZES = {'rec': ('clips',), 'det': ('videos', 'instances')}
_RESULTS = {
    'task': ('rec', 'det'),
    'name': str,
    'protocol': {
        'name': PROTOCOLS,
        **{'seed?': int, 'domain?': str, 'source?': str},
        **{'target?': [str], 'domains?': [str]},
    },
    'classes?': [str],
    'checkpoint': {'simulated': bool, 'sha256?': str, 'incomplete?': [str]},
    'selected_on?': {'by?': str, 'domains?': [str]},
    'target_seen?': [str],
    'data': {
        'simulated': bool,
        **dict.fromkeys(('name?', 'fingerprint?', 'source?'), str),
        'incomplete?': [str],
    },
    'options': {'subset?': str, 'class_set?': str, 'preset?': str},
    'adaptation?': {'adapt?': str, '*': PLAIN},
    'broken?': [str],
    'config?': {},
}
_OF_DETECTION = {'thresholds': [float], 'body_detections': str}


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


def _check_results(results: Any) -> None:
    _check(results, _RESULTS, '')
    task = results['task']
    if task == 'det':
        _check(results['options'], _OF_DETECTION, 'options')
    run_form = {**_RUN, 'counts': dict.fromkeys(_SIZES[task], int)}
    _check(results.get('runs'), [run_form], 'runs')
    for i, run in enumerate(results['runs']):
        if not (run.get('target') or run.get('domain')):
            raise ValueError(f'runs[{i}] has neither domain nor target')


def _check(value: Any, form: Any, where: str) -> None:
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
                    _check(other, str, f'a key of {where}')
                    _check(item, inner, f'{where}.{_shown(other)[1:-1]}')
            elif value.get(name) is not None or (name == key and name in value):
                _check(value[name], inner, place)
            elif name == key:
                raise ValueError(f'{place} is missing')
    elif isinstance(form, list):
        few = {'runs': 1, 'options.thresholds': 1}.get(where, 2 * (len(form) > 1))
        if not isinstance(value, list) or len(value) < few:
            raise ValueError(f'{where} is {_shown(value)}: it must be a list')
        for i, item in enumerate(value):
            _check(item, form[0], f'{where}[{i}]')
    elif isinstance(form, tuple):
        if not isinstance(value, str) or value not in form:
            raise ValueError(f'{where} is {_shown(value)}: need {", ".join(form)}')
    elif not _KINDS[form][1](value):
        raise ValueError(f'{where} is {_shown(value)}: it must be {_KINDS[form][0]}')


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
