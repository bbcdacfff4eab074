"""The paper's tables, our results beside the published cells, and their renderers.

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
from mmma.evaluation.recognition import METRICS
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
    COLUMNS,
    CONTROLS,
    MARK,
    Bold,
    Table,
    adaptation_text,
    escape,
    result_notes,
)
from mmma.taxonomy import DOMAINS, SUBSETS, load_label_space

_FILE = Path(__file__).parents[1] / 'tables' / 'mma82_published.json'


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


def is_published_space(classes: Sequence[str] | None) -> bool:
    """Whether results are over the actions of the published tables."""
    return tuple(classes or ()) == load_label_space('mma82').actions


PAPER_COLUMNS = {m.title: name for name, m in METRICS.items() if m.in_paper}
"""Of recognition, at each level."""
PAPER = '[paper]'
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

    def is_bold(self) -> bool:
        """True if it is significantly better than the baseline."""
        test = self.test
        return test is not None and test.p_holm < LEVEL and test.difference > 0


@dataclass
class Row:
    """One row of a table.

    Attributes:
        place: Domain, target, or ``all``.
        setting: ``5-shot``, ``zero-shot``, ...; empty in-domain.
        model: What the row is called.
        name: Name of the results; empty for a row of the paper.
        paper: The paper published it.
        simulated: It was measured on simulated data.
        seeds: How many seeds (and support draws) it is the mean of.
        cells: (metric key, subset) to its cell.
        samples: Subset to what the cells are made of.
        suspect: Metrics that the paper probably misprinted.
        recipe: The recipe here that is the model of the paper's row.
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
    recipe: str = ''


@dataclass
class PaperTable:
    """One table in the layout of the paper.

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
        """True if rows differ in a setting, as shots."""
        return any(row.setting for row in self.rows)


def paper_tables(
    entries: Sequence[Entry], *, published: bool = True, level: str = 'both'
) -> list[PaperTable]:
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
            places = {row.place for row in rows}
            rows += [r for r in published_rows(task, kind) if r.place in places]
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


def published_rows(task: str, kind: str) -> list[Row]:
    """Rows of the paper for a task and a kind of protocol, in its order.

    Args:
        task: ``rec`` or ``det``.
        kind: ``indomain`` or ``crossdomain``.
    """
    content = load_published()
    tables = {
        ('rec', 'indomain'): 'indomain',
        ('rec', 'crossdomain'): 'cross_domain',
        ('det', 'indomain'): 'detection',
    }
    rows = []
    for told in content.get(tables.get((task, kind)), ()):
        model, recipe = content['methods'][told['method']], told['method']
        if 'backbone' in told:
            family, _, size = told['backbone'].partition('-')
            model += f' {family.replace("videomae", "VideoMAE")}-{size.upper()}'
            recipe += f'_{told["backbone"]}'
        row = Row(told.get('domain') or told['target'], '', model, paper=True)
        row.recipe = f'{recipe}_mma82'
        row.suspect = tuple(told.get('suspect', ()))
        if kind == 'crossdomain':
            row.setting = f'{told["shots"]}-shot' if told['shots'] else 'zero-shot'
        for subset in (s for s in SUBSETS if s in told):
            for metric, value in told[subset].items():
                row.cells[metric, subset] = Cell(value)
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
) -> Iterable[PaperTable]:
    protocol = {'indomain': 'in-domain', 'crossdomain': 'cross-domain, from lab'}[kind]
    subsets = tuple(
        s for s in SUBSETS if any(s in key for r in rows for key in r.cells)
    )
    data = {k: results['data'].get(k) for k in ('name', 'fingerprint', 'simulated')}
    if task == 'det':
        title = f'Detection, {protocol}'
        yield PaperTable(
            f'{kind}-detection', title, COLUMNS['det'], subsets, rows, data, []
        )
        return
    for each in ('action', 'body') if level == 'both' else (level,):
        columns = {title: f'{each}/{key}' for title, key in PAPER_COLUMNS.items()}
        title = f'Recognition, {protocol}, {each} level'
        notes = [
            f'{row.model}, {row.place}, {row.setting}: {name} is probably a misprint.'
            for row in rows
            for name, key in columns.items()
            if key in row.suspect
        ]
        yield PaperTable(
            f'{kind}-{each}', title, columns, subsets, [*rows], data, notes
        )


def _order(row: Row) -> tuple[Any, ...]:
    places, controls = ('all', *DOMAINS), list(CONTROLS.values())
    place = places.index(row.place) if row.place in places else len(places)
    step, shots = 0, 0
    if row.setting in controls:
        step = controls.index(row.setting)
    elif row.setting:
        shots = int(row.setting.partition('-')[0])
    return place, row.place, shots, step, not row.paper


_CSV = (
    'table', 'place', 'setting', 'model', 'source', 'simulated', 'data', 'fingerprint',
    'subset', 'metric', 'value', 'seeds', 'n', 'sd', 'low', 'high', 'interval',
    'difference', 'p', 'p_holm', 'test', 'bold',
)  # fmt: skip


def plain_text(tables: Sequence[PaperTable]) -> str:
    """Tables for a terminal, significant cells between asterisks."""
    texts = []
    for table in tables:
        notes = [n.replace('Bold:', '*...*:') for n in (*legend(table), *table.notes)]
        head = f'{table.title}, {data_text(table)}'
        texts.append('\n'.join([head, *notes, _grid(table).text()]))
    return '\n\n'.join(texts)


def markdown(tables: Sequence[PaperTable]) -> str:
    """Tables as Markdown, significant cells in bold."""
    lines = []
    for table in tables:
        notes = ' '.join([*legend(table), *table.notes])
        lines += [f'**{table.title}**, {data_text(table)}. {notes}', '']
        lines += [*_grid(table).markdown(), '']
    return '\n'.join(lines).rstrip('\n')


def latex(tables: Sequence[PaperTable]) -> str:
    """Tables as ``table*`` environments, significant cells in bold."""
    texts = [r'% \usepackage{booktabs}']
    for table in tables:
        caption = f'{table.title}, {data_text(table)}. {" ".join(legend(table))}'
        lines = [
            r'\begin{table*}',
            r'\centering',
            rf'\caption{{{escape(caption)}}}',
            rf'\label{{tab:{table.name}}}',
            r'\footnotesize',
            r'\setlength{\tabcolsep}{3pt}',
            *_grid(table).latex(),
        ]
        if table.notes:
            notes = escape(' '.join(table.notes))
            lines.append(rf'\par\smallskip{{\raggedright {notes}\par}}')
        texts.append('\n'.join([*lines, r'\end{table*}']))
    return '\n\n'.join(texts)


def csv_text(tables: Sequence[PaperTable]) -> str:
    """Every cell as one row: percent, six decimals."""
    rows = [
        _csv_row(table, row, (metric, subset), row.cells[metric, subset])
        for table in tables
        for row in table.rows
        for metric in table.columns.values()
        for subset in table.subsets
        if (metric, subset) in row.cells
    ]
    return Table(_CSV, rows).csv()


def legend(table: PaperTable) -> list[str]:
    """Sentences that say what the marks of a table mean.

    Args:
        table: From :func:`paper_tables`.
    """
    cells = [cell for row in table.rows for cell in row.cells.values()]
    papers = any(row.paper for row in table.rows)
    notes = ['Percent.']
    if any(cell.interval in ('seeds', 'draws') for cell in cells):
        notes.append(
            '±: half-width of the 95 % t-interval over seeds, or over support draws '
            'where there is one seed (seeds x draws).'
        )
    if papers:
        source = load_published()['source']
        notes.append(f'{PAPER}: published, {source}; in no mean and no test.')
    if table.data['simulated']:
        text = f'{MARK}: measured on simulated data'
        notes.append(text + (f', so beside {PAPER} it means nothing.' * papers or '.'))
    if any(cell.test for cell in cells):
        notes.append('Bold: significantly better than the baseline.')
    return notes


def data_text(table: PaperTable) -> str:
    """Name and fingerprint of the data, whether they are simulated, the one subset.

    Args:
        table: From :func:`paper_tables`.
    """
    fingerprint = str(table.data['fingerprint'] or 'unknown')[:12]
    kind = ', SIMULATED' if table.data['simulated'] else ''
    alone = f', {table.subsets[0]} subset' if len(table.subsets) == 1 else ''
    return f'data {table.data["name"]} ({fingerprint}{kind}){alone}'


def number(cell: Cell | None, simulated: bool) -> str:
    """A cell without emphasis: ``47.16 ± 1.20ˢ``."""
    if cell is None:
        return '–'
    text = f'{cell.value:.2f}'
    if cell.interval in ('seeds', 'draws') and cell.high is not None:
        text += f' ± {cell.high - cell.value:.2f}'
    return text + MARK * simulated


def _grid(table: PaperTable) -> Table:
    place = 'domain' if table.name.startswith('indomain') else 'target'
    settings = table.has_settings()
    left = [place, *(['setting'] if settings else []), 'model', 'seeds']
    titles = [(t, s) for t in table.columns for s in table.subsets]
    keys = [(key, s) for key in table.columns.values() for s in table.subsets]
    rows, breaks = [], set()
    for i, row in enumerate(table.rows):
        kind = f' {PAPER}' if row.paper else ' (simulated)' if row.simulated else ''
        labels = [row.place, *([row.setting] if settings else []), row.model + kind]
        cells = [row.cells.get(key) for key in keys]
        texts = [number(cell, row.simulated) for cell in cells]
        numbers = [
            Bold(text) if cell is not None and cell.is_bold() else text
            for text, cell in zip(texts, cells, strict=True)
        ]
        rows.append([*labels, row.seeds or '–', *numbers])
        if i and row.place != table.rows[i - 1].place:
            breaks.add(i - 1)
    return Table([*left, *titles], rows, len(left), breaks)


def _csv_row(
    table: PaperTable, row: Row, key: tuple[str, str], cell: Cell
) -> list[str]:
    metric, subset = key
    ours = ('', '') if row.paper else (table.data['name'], table.data['fingerprint'])
    test = cell.test
    return [
        table.name, row.place, row.setting, row.model,
        'paper' if row.paper else 'ours', str(row.simulated).lower(),
        *(str(value or '') for value in ours),
        subset, metric, _decimal(cell.value), row.seeds,
        '' if row.paper else str(cell.n),
        *(_decimal(value) for value in (cell.sd, cell.low, cell.high)), cell.interval,
        _decimal(test.difference if test else None),
        *(f'{value:.3g}' for value in ((test.p, test.p_holm) if test else ())),
        *([] if test else ['', '']), test.method if test else '',
        'true' if cell.is_bold() else 'false',
    ]  # fmt: skip


def _decimal(value: float | None) -> str:
    return '' if value is None else f'{value:.6f}'
