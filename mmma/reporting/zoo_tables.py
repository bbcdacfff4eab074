"""Tables of the model zoo: the paper beside ours, ours on simulated data, weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

from mmma.checkpoints.remote import file_name
from mmma.reporting.paper_table import Cell, Row
from mmma.reporting.paper_text import number
from mmma.reporting.published import is_published_space, published_rows
from mmma.reporting.results import check_comparable
from mmma.reporting.tables import CONTROLS, DETECTION_COLUMNS
from mmma.reporting.zoo import Checkpoint, Method, task_of
from mmma.reporting.zoo_markdown import (
    UNKNOWN,
    billions,
    licence,
    link,
    megabytes,
    millions,
    table,
)
from mmma.taxonomy import DOMAINS, SUBSETS

SIMULATED = '**simulated data, no benchmark**'
SUSPECT = '†'
EACH = 'each'
"""Place and setting of a row that stands for all of them."""
LEVELS = {
    'Top-1': 'top1',
    'Top-5': 'top5',
    'MCA': 'mca',
    'macro F1': 'macro_f1',
    'micro F1': 'micro_f1',
}
FULL_COLUMNS = {
    **{title: f'action/{key}' for title, key in LEVELS.items()},
    **{f'body {title}': f'body/{key}' for title, key in LEVELS.items()},
}
"""The columns of the paper."""
REC_COLUMNS = {k: v for k, v in FULL_COLUMNS.items() if 'micro' not in k}
"""Without micro F1, which is Top-1 where a clip has one action."""
COLUMNS = {'rec': REC_COLUMNS, 'det': DETECTION_COLUMNS}
COUNTED = {'rec': ('clips',), 'det': ('videos', 'instances')}
_HEADLINES = ('action/top1', 'action/mAP', 'AVG')
_PRESET = 'mma82'


@dataclass(frozen=True)
class Compared:
    """A row of the paper or of ours, on real data.

    Attributes:
        row: Its numbers; without any where ours is not measured.
        recipe: Name of the recipe behind it.
    """

    row: Row
    recipe: str


def compare(task: str, kind: str, methods: Sequence[Method]) -> list[Compared]:
    """Published rows, and under each of them ours.

    Args:
        task: ``rec`` or ``det``.
        kind: ``indomain`` or ``crossdomain``.
        methods: Where ours are from; the paper's rows are of their recipes too.

    Returns:
        Rows by domain or target, setting and recipe, the paper first. Where ours lacks
        a row of the paper there is one without numbers; where it lacks all of a
        recipe's, one for all of them, the last.

    Raises:
        ValueError: Weights of ours were not measured alike.
    """
    recipes = [r['Name'] for method in methods for r in method.recipes]
    paper = [c for c in _paper(task, kind) if c.recipe in recipes]
    results = [entry.results for c in _real(methods, task) for entry in c.measured]
    if results:
        check_comparable(results, besides=('subset',))
    ours = [c for method in methods for c in _ours(method, task, kind)]
    lacking = _lacking(paper, ours)
    order = list(dict.fromkeys([*(c.recipe for c in paper), *recipes]))
    return sorted(
        [*paper, *ours, *lacking],
        key=lambda c: (*_order(c.row), order.index(c.recipe), not c.row.paper),
    )


def compared_table(
    rows: Sequence[Compared],
    columns: Mapping[str, str],
    pages: Mapping[str, str],
    subsets: Sequence[str] = ('test',),
) -> list[str]:
    """The rows of :func:`compare` as a table.

    Args:
        rows: All of them.
        columns: Title to metric.
        pages: Recipe to the page that a row of ours is linked to.
        subsets: Each a row of its own.
    """
    settings = any(c.row.setting for c in rows)
    cells = []
    for compared in rows:
        row = compared.row
        name = row.model if row.paper else link(row.model, pages[compared.recipe])
        for subset in subsets:
            if row.paper and not any(s == subset for _, s in row.cells):
                continue
            source = 'paper' if row.paper else '**ours**'
            setting = [row.setting] if settings else []
            place = [row.place, *setting, *([subset] if len(subsets) > 1 else [])]
            values = [_value(row, key, subset) for key in columns.values()]
            cells.append([*place, name, source, *values])
    titles = ['target', 'setting'] if settings else ['domain']
    titles += ['subset'] if len(subsets) > 1 else []
    titles += ['model', 'source']
    lines = table([*titles, *columns], cells, left=len(titles))
    if any(c.row.suspect for c in rows):
        lines += [f'{SUSPECT} Stands out; probably a misprint of the paper.', '']
    return lines


def checkpoints_table(
    checkpoints: Sequence[Checkpoint],
    up: str = '',
    pages: Mapping[str, str] | None = None,
) -> list[str]:
    """Files of our own weights.

    Args:
        checkpoints: To list.
        up: From the page to the root: ``../../``.
        pages: Name to the page with its details.
    """
    named = {c.name: f'`{c.name}`' for c in checkpoints}
    for name, page in (pages or {}).items():
        named[name] = link(f'`{name}`', f'{page}#{name}')
    titles = ['name', 'config', 'protocol', 'params (M)', 'size', 'SHA-256', 'files']
    rows = []
    for checkpoint in checkpoints:
        entry, metadata = checkpoint.entry, checkpoint.entry['Metadata']
        files = [link('log', f'{up}zoo/{checkpoint.name}/train.log')]
        files += [
            link(e.files[0].stem.replace('_', ' '), up + e.files[0].as_posix())
            for e in checkpoint.measured
        ]
        rows.append(
            [
                named[checkpoint.name],
                link(PurePosixPath(entry['Config']).stem, up + entry['Config']),
                metadata['Protocol'],
                millions(metadata.get('Parameters')),
                megabytes(entry.get('Weights Size')),
                link(f'`{entry["Weights SHA256"][:8]}`', up + entry['Weights']),
                ', '.join(files),
            ]
        )
    return table(titles, rows, left=3)


def measured_table(
    checkpoints: Sequence[Checkpoint], every_interval: bool = False
) -> list[str]:
    """What was measured with weights of ours, of one task, with counts.

    Args:
        checkpoints: Of one task, all on simulated data or all on real data.
        every_interval: Show every interval, not that of the main metrics alone.

    Raises:
        ValueError: Real and simulated data in one table.
    """
    if len({(c.task, c.simulated) for c in checkpoints}) > 1:
        raise ValueError(
            f'{", ".join(c.name for c in checkpoints)}: numbers of two tasks, or of '
            'real and of simulated data, must not stand in one table.'
        )
    task = checkpoints[0].task
    columns, counted = COLUMNS[task], COUNTED[task]
    cells = []
    for checkpoint in checkpoints:
        for row in checkpoint.rows():
            for subset in (s for s in SUBSETS if s in row.samples):
                counts = row.samples[subset][0].run['counts']
                place = f'{row.place}, {row.setting}' if row.setting else row.place
                place += '' if subset == 'test' else f', {subset}'
                values = [
                    _with_interval(row, key, subset, every_interval)
                    for key in columns.values()
                ]
                numbers = [f'{counts[key]:,}' for key in counted]
                cells.append([f'`{row.name}`', place, *numbers, *values])
    titles = ['name', 'tested on', *counted, *columns]
    return table(titles, cells, left=2)


def data_groups(
    checkpoints: Iterable[Checkpoint],
) -> list[tuple[str, list[Checkpoint]]]:
    """Weights of ours by what they were tested on, which a sentence names."""

    def tested(checkpoint: Checkpoint) -> tuple[str, str, str]:
        data = checkpoint.measured[0].results['data']
        return data['name'], data.get('source') or '', data['fingerprint']

    ordered = sorted(checkpoints, key=lambda c: (tested(c), c.name))
    return [
        (f'{name}{source and f" ({source})"}, fingerprint `{print_[:8]}`', list(group))
        for (name, source, print_), group in groupby(ordered, key=tested)
    ]


def upstream_table(methods: Sequence[Method], up: str = '') -> list[str]:
    """Pretrained weights that recipes start from; empty if none does.

    Args:
        methods: Whose recipes to look at.
        up: From the page to the root.
    """
    found: dict[str, list[tuple[Method, Mapping[str, Any]]]] = {}
    for method in methods:
        for recipe in method.recipes:
            if url := recipe['Metadata'].get('Pretrained Weights'):
                found.setdefault(url, []).append((method, recipe))
    rows = []
    for url, users in sorted(found.items(), key=_name_of):
        known = [recipe['Metadata'] for _, recipe in users]
        licences = dict.fromkeys(licence(m.collection, r) for m, r in users)
        licences = [text for text in licences if text != UNKNOWN] or [UNKNOWN]
        recipes = [link(recipe['Name'], up + recipe['Config']) for _, recipe in users]
        hashes = [m.get('Pretrained Weights SHA256') for m in known]
        sizes = [m.get('Pretrained Weights Size') for m in known]
        rows.append(
            [
                link(f'`{PurePosixPath(file_name(url)).stem}`', url),
                known[0].get('Pretrained') or UNKNOWN,
                megabytes(next(filter(None, sizes), None)),
                next((f'`{h[:8]}`' for h in hashes if h), 'unknown'),
                ', '.join(licences),
                ', '.join(recipes),
            ]
        )
    titles = ['name', 'trained on', 'size', 'SHA-256', 'licence', 'start of']
    return table(titles, rows, left=len(titles)) if rows else []


def recipes_table(method: Method, up: str) -> list[str]:
    """Recipes of a method with what they cost.

    Args:
        method: The method.
        up: From the page to the root.
    """
    windows = any(r['Metadata'].get('Window Seconds') for r in method.recipes)
    rows = []
    for recipe in method.recipes:
        known = recipe['Metadata']
        names = [f'`{c.name}`' for c in method.weights_of(recipe)]
        seconds = known.get('Window Seconds')
        rows.append(
            [
                recipe['Name'],
                _leaves(recipe, up),
                known.get('Architecture', UNKNOWN),
                known.get('Input', UNKNOWN),
                known.get('Pretrained') or 'scratch',
                ', '.join(names) or 'none yet: train it',
                millions(known.get('Parameters')),
                millions(known.get('Trainable Parameters') or known.get('Parameters')),
                billions(known.get('FLOPs')),
                *([f'{seconds:.2f}' if seconds else UNKNOWN] if windows else []),
            ]
        )
    titles = ['recipe', 'configs', 'architecture', 'input', 'starts from']
    titles += ['our weights', 'params (M)', 'trained (M)', 'GFLOPs']
    return table([*titles, *(['window (s)'] if windows else [])], rows, left=6)


def _name_of(item: tuple[str, Any]) -> str:
    return file_name(item[0]).lower()


def _leaves(recipe: Mapping[str, Any], up: str) -> str:
    stems = {leaf: PurePosixPath(leaf).stem for leaf in recipe['Configs']}
    if task_of(recipe) == 'det':
        return ' '.join(link('config', up + leaf) for leaf in stems)
    return ' '.join(
        link(stem.rpartition('_')[2], up + leaf) for leaf, stem in stems.items()
    )


def _paper(task: str, kind: str) -> list[Compared]:
    found = []
    for published in published_rows(task, kind):
        setting = '' if kind == 'indomain' else 'zero-shot'
        setting = f'{published.shots}-shot' if published.shots else setting
        cells = {
            (metric, subset): Cell(value)
            for subset, values in published.values.items()
            for metric, value in values.items()
        }
        row = Row(published.place, setting, published.method, paper=True, cells=cells)
        row.suspect = published.suspect
        found.append(Compared(row, published.recipe))
    return found


def _ours(method: Method, task: str, kind: str) -> list[Compared]:
    real = _real([method], task)
    return [
        Compared(row, recipe['Name'])
        for recipe in method.recipes
        for checkpoint in method.weights_of(recipe)
        if checkpoint in real
        for row in checkpoint.rows()
        if bool(row.setting) is (kind == 'crossdomain')
    ]


def _lacking(paper: Sequence[Compared], ours: Sequence[Compared]) -> list[Compared]:
    """Rows without numbers; one for all places where a recipe has none at all."""
    known = {(c.row.place, c.row.setting, c.recipe) for c in ours}
    measured = {c.recipe for c in ours}
    several = len({(c.row.place, c.row.setting) for c in paper}) > 1
    keys = {
        (c.row.place, c.row.setting, c.recipe)
        if c.recipe in measured or not several
        else (EACH, EACH if c.row.setting else '', c.recipe): None
        for c in paper
    }
    return [
        Compared(Row(place, setting, recipe), recipe)
        for place, setting, recipe in keys
        if (place, setting, recipe) not in known
    ]


def _real(methods: Iterable[Method], task: str) -> list[Checkpoint]:
    """Weights of ours that the paper's numbers can be put beside."""
    every = [c for method in methods for c in method.checkpoints]
    return [
        c
        for c in every
        if c.task == task
        and not c.simulated
        and is_published_space(c.measured[0].results.get('classes'))
        and c.measured[0].results['options'].get('preset', _PRESET) == _PRESET
    ]


def _order(row: Row) -> tuple[int, int, int]:
    places, controls = ['all', *DOMAINS], list(CONTROLS.values())
    place = places.index(row.place) if row.place in places else len(places)
    if row.setting in controls:
        return place, 0, controls.index(row.setting)
    shots, _, word = row.setting.partition('-')
    return place, int(shots) if word else 0, 0


def _value(row: Row, key: str, subset: str) -> str:
    text = number(row.cells.get((key, subset)), row.simulated)
    return text + (SUSPECT if key in row.suspect and text != UNKNOWN else '')


def _with_interval(row: Row, key: str, subset: str, always: bool) -> str:
    cell = row.cells.get((key, subset))
    text = number(cell, row.simulated)
    shown = always or key in _HEADLINES
    if shown and cell is not None and cell.interval == 'clips':
        return f'{text} [{cell.low:.1f}, {cell.high:.1f}]'
    return text
