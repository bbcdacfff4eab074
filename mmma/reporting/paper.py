"""The paper's tables, with its numbers and ours.

The layout of the paper's tables, filled with our results beside the published cells.

Rows of the paper are rows of their own: they enter no mean, no interval and no test.
"""

from __future__ import annotations

import functools
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmma.evaluation.bootstrap import spread
from mmma.reporting.results import (
    Entry,
    Sample,
    check_comparable,
    check_recipes,
    check_weights,
    pooled_domains,
    take_samples,
)
from mmma.reporting.table import (
    CONTROLS,
    DETECTION_COLUMNS,
    adaptation_text,
    result_notes,
)
from mmma.taxonomy import DOMAINS, SUBSETS, load_label_space

_FILE = Path(__file__).parents[1] / 'tables' / 'mma82_published.json'


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table.

    Attributes:
        place: Domain, target, or ``all``.
        shots: 0 for zero-shot; None in-domain.
        method: As the paper calls it.
        values: Subset to metrics in percent.
        suspect: Metrics that are probably misprinted.
        recipe: The recipe here that is the paper's model.
    """

    place: str
    shots: int | None
    method: str
    values: dict[str, dict[str, float]]
    suspect: tuple[str, ...] = ()
    recipe: str = ''


@functools.cache
def load_published() -> dict[str, Any]:
    """Every published result table of MMA-82, in percent.

    Returns:
        ``source``, ``notes``, ``methods`` (names) and the tables ``indomain``,
        ``cross_domain``, ``detection``, ``emotion``, ``emotion_top5_ablation``.

    Source: arXiv 2606.14096, as shown on its project page.
    """
    content: dict[str, Any] = json.loads(_FILE.read_text(encoding='utf-8'))
    return content


def published_rows(task: str, protocol: str) -> list[PublishedRow]:
    """Rows of the paper for a task and a kind of protocol, in its order.

    Args:
        task: ``rec`` or ``det``.
        protocol: ``indomain`` or ``crossdomain``.
    """
    content = load_published()
    names = content['methods']
    if task == 'det':
        rows = content['detection'] if protocol == 'indomain' else []
        return [
            PublishedRow(
                row['domain'],
                None,
                f'{names[row["method"]]} {_backbone(row["backbone"])}',
                {'test': row['test']},
                recipe=f'{row["method"]}_{row["backbone"]}_mma82',
            )
            for row in rows
        ]
    if protocol == 'crossdomain':
        return [
            PublishedRow(
                r['target'],
                r['shots'],
                names[r['method']],
                {'test': r['test']},
                tuple(r.get('suspect', ())),
                recipe=f'{r["method"]}_mma82',
            )
            for r in content['cross_domain']
        ]
    return [
        PublishedRow(
            r['domain'],
            None,
            names[r['method']],
            {s: r[s] for s in ('val', 'test')},
            recipe=f'{r["method"]}_mma82',
        )
        for r in content['indomain']
    ]


def is_published_space(classes: Sequence[str] | None) -> bool:
    """Whether results are over the actions of the published tables."""
    return tuple(classes or ()) == load_label_space('mma82').actions


def _backbone(name: str) -> str:
    family, _, size = name.partition('-')
    return f'{family.replace("videomae", "VideoMAE")}-{size.upper()}'


_REC = {
    'Top-1': 'top1',
    'Top-5': 'top5',
    'MCA': 'mca',
    'macro F1': 'macro_f1',
    'micro F1': 'micro_f1',
}
_PAPER_PRESET = 'mma82'
LEVEL = 0.05
"""Below it a corrected p value is significant."""


@dataclass(frozen=True)
class CellTest:
    """A cell against the baseline's, on the same clips.

    Attributes:
        difference: Ours minus the baseline's, in percent.
        p: Two-sided, of this comparison alone.
        p_holm: Corrected over the rows of the table.
        method: ``McNemar exact`` or ``paired bootstrap by subject``.
    """

    difference: float
    p: float
    p_holm: float
    method: str


@dataclass(frozen=True)
class Cell:
    """One number of a table, in percent.

    Attributes:
        value: Mean over seeds, and within a seed over support draws.
        n: Values behind the interval; 1 where it is a bootstrap over clips.
        sd: Standard deviation of the n values.
        low: Lower bound of the 95 % interval, None without one.
        high: Upper bound.
        interval: What the interval is over: ``seeds``, ``draws``, ``clips``, empty.
        test: Against the baseline, if it was tested.
    """

    value: float
    n: int = 1
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    interval: str = ''
    test: CellTest | None = None

    def is_bold(self, level: float = LEVEL) -> bool:
        """Whether it is significantly better than the baseline."""
        test = self.test
        return test is not None and test.p_holm < level and test.difference > 0


@dataclass
class Row:
    """One row of a table.

    Attributes:
        place: Domain, target, or ``all``.
        setting: ``5-shot``, ``zero-shot``, ...; empty in-domain.
        model: What the row is called.
        name: Name of the results; empty for a row of the paper.
        paper: Whether the paper published it.
        simulated: Whether it was measured on simulated data.
        seeds: How many seeds (and support draws) it is the mean of.
        cells: (metric key, subset) to its cell.
        samples: Subset to what the cells are made of.
        suspect: Metrics that the paper probably misprinted.
    """

    place: str
    setting: str
    model: str
    name: str = ''
    paper: bool = False
    simulated: bool = False
    seeds: str = ''
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    suspect: tuple[str, ...] = ()


@dataclass
class Table:
    """One table.

    Attributes:
        name: ``indomain-action``, ``crossdomain-body``, ``indomain-detection``, ...
        title: What it shows, in words.
        columns: Title of each metric to its key.
        subsets: Subsets with a column under each metric.
        rows: Published ones first within each place and setting.
        data: Name, fingerprint and ``simulated`` of the data of our rows.
        notes: Sentences that belong to it.
    """

    name: str
    title: str
    columns: dict[str, str]
    subsets: tuple[str, ...]
    rows: list[Row]
    data: dict[str, Any]
    notes: list[str]

    def has_settings(self) -> bool:
        """Whether rows differ in a setting, as shots."""
        return any(row.setting for row in self.rows)


def paper_tables(
    entries: Sequence[Entry], *, published: bool = True, level: str = 'both'
) -> list[Table]:
    """Results in the layout of the paper.

    Args:
        entries: Results of one task, measured alike; subsets and seeds may differ.
        published: Add the rows of the paper.
        level: ``action``, ``body`` or ``both``, of recognition.

    Returns:
        In-domain and cross-domain tables, as far as there are rows; of recognition one
        per level.

    Raises:
        ValueError: Results that were not measured alike, or seeds that are none.
    """
    results = [entry.results for entry in entries]
    check_comparable(results, besides=('subset',))
    check_recipes(entries)
    task = results[0]['task']
    reason = ''
    if published:
        published, reason = _comparable_to_paper(results[0])
    tables = []
    for kind in ('indomain', 'crossdomain'):
        own = [e for e in entries if _kind(e.results) == kind]
        if not own:
            continue
        rows = _own_rows(own)
        _check_sizes(rows)
        if published:
            rows += _published(task, kind, {row.place for row in rows})
        found = _split(task, kind, level, sorted(rows, key=_order), results[0])
        notes = [*result_notes([e.results for e in own]), *([reason] if reason else [])]
        for table in found:
            table.notes.extend(notes)
            tables.append(table)
    return tables


def _kind(results: Mapping[str, Any]) -> str:
    return 'indomain' if results['protocol']['name'] == 'indomain' else 'crossdomain'


def _comparable_to_paper(results: Mapping[str, Any]) -> tuple[bool, str]:
    preset = results['options'].get('preset', _PAPER_PRESET)
    if not is_published_space(results.get('classes')):
        return (
            False,
            'These are not the 82 actions of the paper: no row of it is shown.',
        )
    if preset != _PAPER_PRESET:
        return False, f"mAP of preset {preset!r} is not the paper's: no row is shown."
    return True, ''


def _own_rows(entries: Sequence[Entry]) -> list[Row]:
    groups: dict[tuple[str, str, str], list[Sample]] = {}
    # Zero-shot results before the same rows among the few-shot results.
    for entry in sorted(
        entries, key=lambda e: e.results['protocol']['name'] != 'zeroshot'
    ):
        for run in entry.results['runs']:
            place = run.get('target') or run['domain']
            if _whole_of_one(entry.results, place):
                continue
            key = (place, _setting(entry.results, run), _model(entry.results, run))
            groups.setdefault(key, []).append(Sample(entry, run))
    return [_own_row(key, samples) for key, samples in groups.items()]


def _whole_of_one(results: Mapping[str, Any], place: str) -> bool:
    """The row 'all' of a model of one domain repeats the row of that domain."""
    return place == 'all' and results['protocol'].get('domain', 'all') != 'all'


def _setting(results: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    if results['protocol']['name'] == 'indomain':
        return ''
    shots = run.get('shots')
    return f'{shots}-shot' if shots else CONTROLS[run.get('control')]


def _model(results: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    name, domain = results['name'], results['protocol'].get('domain', 'all')
    if pooled_domains(results):
        return f'{name}, one model per domain'
    if domain != 'all':
        return f'{name}, trained on {domain} alone'
    adaptation = adaptation_text(results) if run.get('shots') else ''
    return f'{name}, {adaptation}' if adaptation else name


def _own_row(key: tuple[str, str, str], samples: Sequence[Sample]) -> Row:
    place, setting, model = key
    results = samples[0].entry.results
    row = Row(
        place,
        setting,
        model,
        name=results['name'],
        simulated=bool(results['data']['simulated']),
    )
    counts = []
    for subset in SUBSETS:
        own = [s for s in samples if s.subset == subset]
        if not own:
            continue
        where = f'{model}, {setting or place}, {subset}'
        by_seed = take_samples(own, where, shared=setting in CONTROLS.values())
        row.samples[subset] = [s for kept in by_seed.values() for s in kept]
        draws = max(map(len, by_seed.values()))
        counts.append(f'{len(by_seed)} x {draws}' if draws > 1 else f'{len(by_seed)}')
        for metric in own[0].run['metrics']:
            row.cells[metric, subset] = _cell(metric, list(by_seed.values()))
    check_weights(row.samples, model)
    row.seeds = '/'.join(dict.fromkeys(counts))
    return row


def _cell(metric: str, by_seed: Sequence[Sequence[Sample]]) -> Cell:
    values = [[s.run['metrics'][metric] for s in samples] for samples in by_seed]
    means = [statistics.fmean(v) for v in values]
    over = 'seeds' if len(means) > 1 else 'draws'
    found = spread(means if len(means) > 1 else values[0])
    if found.half_width is not None:
        half = found.half_width
        bounds = (found.mean - half, found.mean + half)
        return Cell(found.mean, found.n, found.sd, *bounds, interval=over)
    bounds = by_seed[0][0].run.get('intervals', {}).get('bounds', {}).get(metric)
    if bounds is None:
        return Cell(found.mean)
    return Cell(found.mean, low=bounds[0], high=bounds[1], interval='clips')


def _published(task: str, kind: str, places: set[str]) -> list[Row]:
    rows = []
    for found in published_rows(task, kind):
        if found.place in places:
            setting = '' if kind == 'indomain' else 'zero-shot'
            setting = f'{found.shots}-shot' if found.shots else setting
            cells = {
                (metric, subset): Cell(value)
                for subset, values in found.values.items()
                for metric, value in values.items()
            }
            row = Row(found.place, setting, found.method, paper=True, cells=cells)
            row.suspect = found.suspect
            rows.append(row)
    return rows


def _check_sizes(rows: Sequence[Row]) -> None:
    """Rows of one place and subset are over equally many clips."""
    sizes: dict[tuple[str, str], tuple[Any, str]] = {}
    for row in rows:
        for subset, samples in row.samples.items():
            for sample in samples:
                counts = sample.run['counts']
                size = counts.get('clips', counts.get('videos'))
                first = sizes.setdefault((row.place, subset), (size, row.model))
                if first[0] != size:
                    raise ValueError(
                        f'{row.place}, {subset}: {first[0]} clips in {first[1]}, '
                        f'{size} in {row.model}. Rows of one table must be measured '
                        'on the same clips: test again without --skip-broken.'
                    )


def _split(
    task: str, kind: str, level: str, rows: list[Row], results: Mapping[str, Any]
) -> Iterable[Table]:
    protocol = {'indomain': 'in-domain', 'crossdomain': 'cross-domain, from lab'}[kind]
    subsets = tuple(
        s for s in SUBSETS if any(s in key for r in rows for key in r.cells)
    )
    data = {k: results['data'].get(k) for k in ('name', 'fingerprint', 'simulated')}
    if task == 'det':
        title = f'Detection, {protocol}'
        yield Table(
            f'{kind}-detection', title, DETECTION_COLUMNS, subsets, rows, data, []
        )
        return
    for each in ('action', 'body') if level == 'both' else (level,):
        columns = {title: f'{each}/{key}' for title, key in _REC.items()}
        title = f'Recognition, {protocol}, {each} level'
        notes = [
            f'{row.model}, {row.place}, {row.setting}: {name} is probably a misprint.'
            for row in rows
            for name, key in columns.items()
            if key in row.suspect
        ]
        yield Table(f'{kind}-{each}', title, columns, subsets, [*rows], data, notes)


def _order(row: Row) -> tuple[Any, ...]:
    places, controls = ('all', *DOMAINS), list(CONTROLS.values())
    place = places.index(row.place) if row.place in places else len(places)
    step, shots = 0, 0
    if row.setting in controls:
        step = controls.index(row.setting)
    elif row.setting:
        shots = int(row.setting.partition('-')[0])
    return place, row.place, shots, step, not row.paper
