"""The paper's tables, our results beside the published cells, and their renderers.

Rows of the paper are rows of their own: they enter no mean, no interval and no test.
"""

import functools
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from mmma.evaluation.bootstrap import spread
from mmma.evaluation.recognition import METRICS
from mmma.foreign import markdown, shown
from mmma.protocols import REST
from mmma.reporting.results import (
    Results,
    Sample,
    check_comparable,
    check_recipes,
    check_weights,
    source_of,
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
    measured_columns,
    result_notes,
    setting_title,
)
from mmma.taxonomy import DOMAINS, SUBSETS, load_label_space, own_table

_PUBLISHED = {
    ('rec', 'indomain'): 'indomain',
    ('rec', 'crossdomain'): 'cross_domain',
    ('det', 'indomain'): 'detection',
}
_KINDS = {'indomain': 'indomain', 'adapt': 'adapt', 'fuse': 'emotion'}
_KINDS |= dict.fromkeys(('associate', 'ablate'), 'emotion_top5_ablation')
PAPER = '[paper]'
LEVEL = 0.05
"""Below it a corrected p value is significant."""


@functools.cache
def load_published() -> dict[str, Any]:
    """Every published result table of MMA-82, in percent but for its ablation.

    Returns:
        ``source``, ``notes``, ``methods`` (names) and the tables ``indomain``,
        ``cross_domain``, ``detection``, ``emotion``, ``emotion_top5_ablation``.

    Source: arXiv 2606.14096, as shown on its project page.
    """
    return own_table('mma82_published')


@dataclass(frozen=True)
class Cell:
    """One number of a table, in percent.

    Attributes:
        value: Mean over seeds, and within a seed over support draws.
        n: Values behind ``sd`` and interval; 1 where that is a bootstrap over clips.
        low, high: Bounds of the 95 % interval, None without one.
        interval: Over ``seeds``, ``draws`` or ``clips``; empty without one.
        difference: To the baseline's cell on the same clips, if it was tested.
        p: Two-sided, of this comparison alone.
        p_holm: Corrected over the rows of the table.
        test: ``McNemar exact``, ``paired bootstrap by subject``; empty untested.
    """

    value: float
    n: int = 1
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    interval: str = ''
    difference: float = 0.0
    p: float = 1.0
    p_holm: float = 1.0
    test: str = ''

    def is_bold(self) -> bool:
        """True if it is significantly better than the baseline."""
        return bool(self.test) and self.p_holm < LEVEL and self.difference > 0


@dataclass
class Row:
    """One row of a table.

    Attributes:
        place: Domain, target, or ``all``; input or experiment of emotions.
        setting: ``5-shot``, ``zero-shot``, ...; empty in-domain.
        name: Name of the results; empty for a row of the paper.
        seeds: Number of seeds (and support draws) that it is the mean of.
        cells: (metric key, subset) to its cell.
        samples: Subset to the rows of results behind the cells.
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
        columns: Title of each metric to its key.
        subsets: Subsets with a column under each metric.
        rows: Published ones first within each place and setting.
        data: Name, fingerprint, ``simulated`` and ``incomplete`` of our rows' data.
    """

    name: str
    title: str
    columns: dict[str, str]
    subsets: tuple[str, ...]
    rows: list[Row]
    data: dict[str, Any]
    notes: list[str]


def paper_tables(
    results: Sequence[Results], *, published: bool = True, level: str = 'both'
) -> list[PaperTable]:
    """Results in the layout of the paper, its own rows among them if ``published``.

    They are of one task, measured alike; subsets and seeds may differ. ``level`` is
    ``action``, ``body`` or ``both``, of recognition.

    Returns:
        In-domain and cross-domain tables, as far as there are rows; of recognition one
        per level; of emotions those of inputs and of experiments.

    Raises:
        ValueError: Results that were not measured alike, or seeds that are none.
    """
    task, every = results[0]['task'], {key for r in results for key in r['options']}
    check_comparable(results, besides=[*every] if task == 'emotion' else ('subset',))
    check_recipes(results)
    tables = []
    for kind in ('indomain', 'crossdomain', 'adapt', *_EMOTION):
        names = [_KINDS.get(r['protocol']['name'], 'crossdomain') for r in results]
        own = [r for r, name in zip(results, names, strict=True) if name == kind]
        if not own:
            continue
        check_comparable(own, besides=('subset', 'seed'))
        rows, reason = _own_rows(own), other_than_paper(own[0]) if published else ''
        of_paper = published_rows(task, kind)
        if published and not reason:
            places = {row.place for row in rows}
            rows += [row for row in of_paper if row.place in places]
        notes = [*result_notes(own), *([reason] if reason else [])]
        order = own[0]['protocol'].get('domains', DOMAINS)
        order = [row.place for row in of_paper] if task == 'emotion' else order
        rows.sort(key=lambda row, o=order: (*row_order(row, o), not row.paper))
        tables += _split(kind, level, rows, own[0], notes)
    return tables


def other_than_paper(results: Results) -> str:
    """Reason why results do not stand beside published rows; empty if they do."""
    if results['task'] == 'emotion':
        other = {c.lower() for c in results['classes']} != {*_WORDS['emotions']}
        return "These are not the paper's emotions: no row of it is shown." * other
    if tuple(results.get('classes') or ()) != load_label_space('mma82').actions:
        return 'These are not the 82 actions of the paper: no row of it is shown.'
    preset = results['options'].get('preset', 'mma82')
    if preset != 'mma82':
        return f"mAP of preset {preset!r} is not the paper's: no row is shown."
    if source_of(results) not in (None, DOMAINS[0]):
        return f'The paper trains on {DOMAINS[0]}: no row of it is shown.'
    return ''


def _own_rows(results: Sequence[Results]) -> list[Row]:
    groups: dict[tuple[str, str, str], list[Sample]] = {}
    # Zero-shot results before the same rows among the few-shot results.
    for own in sorted(results, key=lambda r: r['protocol']['name'] != 'zeroshot'):
        alone = own['protocol'].get('domain', 'all') != 'all'
        for sample in (Sample(own, run) for run in own['runs']):
            # The row 'all' of a model of one domain repeats the row of that domain.
            if sample.place != 'all' or not alone:
                key = (sample.place, *_setting_and_model(own, sample.run))
                groups.setdefault(key, []).append(sample)
    rows = [_own_row(*key, samples) for key, samples in groups.items()]
    sizes: dict[tuple[str, str], tuple[Any, str]] = {}
    both = [(row, s) for row in rows for own in row.samples.values() for s in own]
    for row, sample in both:
        counts = sample.run['counts']
        size = counts.get('clips', counts.get('videos'))
        first = sizes.setdefault((row.place, sample.subset), (size, row.model))
        if first[0] != size:
            raise ValueError(
                f'{row.place}, {sample.subset}: {first[0]} clips in {first[1]}, {size} '
                f'in {row.model}. Rows of one table must be measured on the same '
                'clips: test again without --skip-broken.'
            )
    return rows


def _setting_and_model(results: Results, run: Mapping[str, Any]) -> tuple[str, str]:
    protocol, model, shots = results['protocol'], results['name'], run.get('shots')
    if results['task'] == 'emotion':
        model = ', '.join([model, *([run['model']] if 'model' in run else [])])
        told = [run[k] for k in ('selection', 'subset') if k in run]
        return f'{", ".join(told)}, {run["counts"]["videos"]} videos', model
    domain = protocol.get('domain', 'all')
    if protocol.get('pooled'):
        model += ', one model per domain'
    elif domain != 'all':
        model += f', trained on {domain} alone'
    elif shots and 'control' not in run and (adaptation := adaptation_text(results)):
        model += f', {adaptation}'
    if protocol['name'] == 'indomain':
        return '', model
    return setting_title(run), model


def _own_row(place: str, setting: str, model: str, samples: Sequence[Sample]) -> Row:
    results = samples[0].results
    simulated = bool(results['data']['simulated'])
    row = Row(place, setting, model, name=results['name'], simulated=simulated)
    counts = []
    for subset in (*SUBSETS, 'folds'):
        own = [s for s in samples if s.subset == subset]
        if not own:
            continue
        where = f'{model}, {setting or place}, {subset}'
        by_seed = take_samples(own, where, shared=setting.startswith('zero-shot'))
        row.samples[subset] = [s for kept in by_seed.values() for s in kept]
        draws = max(map(len, by_seed.values()))
        counts.append(f'{len(by_seed)} x {draws}' if draws > 1 else f'{len(by_seed)}')
        column = '' if results['task'] == 'emotion' else subset
        for metric in own[0].run['metrics']:
            row.cells[metric, column] = _cell(metric, list(by_seed.values()))
    check_weights([s for kept in row.samples.values() for s in kept], model)
    row.seeds = '/'.join(dict.fromkeys(counts))
    return row


def _cell(metric: str, by_seed: Sequence[Sequence[Sample]]) -> Cell:
    values = [[s.run['metrics'][metric] for s in samples] for samples in by_seed]
    means = [statistics.fmean(v) for v in values]
    found, over = (means, 'seeds') if len(means) > 1 else (values[0], 'draws')
    mean, sd, half = spread(found)
    if half is not None:
        return Cell(mean, len(found), sd, mean - half, mean + half, interval=over)
    bounds = by_seed[0][0].run.get('intervals', {}).get('bounds', {}).get(metric)
    low, high = bounds or (None, None)
    return Cell(mean, low=low, high=high, interval='clips' if bounds else '')


def published_rows(task: str, kind: str) -> list[Row]:
    """Rows of the paper for a task and a kind of protocol, or a table of emotions."""
    content, rows = load_published(), []
    for told in content[kind] if task == 'emotion' else ():
        place = told[_EMOTION[kind]['place']]
        row = Row(place, '', told.get('method', '–'), paper=True)
        for key, (metric, unit) in _EMOTION[kind]['published'].items():
            row.cells[metric, ''] = Cell(unit * told[key])
        rows.append(row)
    for told in content.get(_PUBLISHED.get((task, kind)), ()):
        model, recipe = content['methods'][told['method']], told['method']
        if 'backbone' in told:
            family, _, size = told['backbone'].partition('-')
            model += f' {family.replace("videomae", "VideoMAE")}-{size.upper()}'
            recipe += f'_{told["backbone"]}'
        row = Row(told.get('domain') or told['target'], '', model, paper=True)
        row.recipe, row.suspect = f'{recipe}_mma82', tuple(told.get('suspect', ()))
        if kind == 'crossdomain':
            row.setting = f'{told["shots"]}-shot' if told['shots'] else 'zero-shot'
        for subset in (s for s in SUBSETS if s in told):
            for metric, value in told[subset].items():
                row.cells[metric, subset] = Cell(value)
        rows.append(row)
    return rows


def _split(
    kind: str, level: str, rows: list[Row], results: Results, notes: Sequence[str]
) -> list[PaperTable]:
    """Tables of one kind of protocol, one per level of recognition."""
    source = source_of(results)
    source = 'all domains but the target' if source == REST else source
    protocol = f'cross-domain, from {source}' if source else 'in-domain'
    protocol = f'adapted without labels, from {source}' if kind == 'adapt' else protocol
    subsets = tuple(s for s in SUBSETS if any(s in k for r in rows for k in r.cells))
    data = {k: results['data'].get(k) for k in ('name', 'fingerprint', 'simulated')}
    data['incomplete'] = '; '.join(results['data'].get('incomplete', ()))
    if results['task'] == 'emotion':
        title, columns, note = (_EMOTION[kind][k] for k in ('title', 'columns', 'note'))
        return [PaperTable(kind, title, columns, ('',), rows, data, [*notes, note])]
    if results['task'] == 'det':
        title = f'Detection, {protocol}'
        measured = {key for row in rows for key, _ in row.cells}
        columns = COLUMNS['det'] | measured_columns('det', measured)
        name = f'{kind}-detection'
        return [PaperTable(name, title, columns, subsets, rows, data, [*notes])]
    tables = []
    for each in ('action', 'body') if level == 'both' else (level,):
        shown = {key: metric for key, metric in METRICS.items() if metric.in_paper}
        columns = {metric.title: f'{each}/{key}' for key, metric in shown.items()}
        measured = {key for row in rows for key, _ in row.cells}
        if measured and measured.isdisjoint(columns.values()):
            continue  # the data have no body groups
        own = [
            f'{row.model}, {row.place}, {row.setting}: {name} is probably a misprint.'
            for row in rows
            for name, key in columns.items()
            if key in row.suspect
        ]
        title = f'Recognition, {protocol}, {each} level'
        name, own = f'{kind}-{each}', [*own, *notes]
        tables.append(PaperTable(name, title, columns, subsets, [*rows], data, own))
    return tables


def row_order(row: Row, domains: Sequence[str] = DOMAINS) -> tuple[int, str, int, int]:
    """Sort key of a row's place, domains in their order, and shots, controls first."""
    places, controls = ('all', *domains), list(CONTROLS.values())
    place = places.index(row.place) if row.place in places else len(places)
    if row.setting in controls:
        return place, row.place, 0, controls.index(row.setting)
    found = re.search(r'(\d+)-shot', row.setting)
    shots, drawn = int(found[1]) if found else 0, not row.setting.startswith('zero')
    return place, row.place, shots, int(drawn)


_WORDS = own_table('pages')['paper']
_EMOTION = _WORDS['emotion']


def render(tables: Sequence[PaperTable], form: str) -> str:
    """Tables as text.

    ``form`` is ``paper`` for a terminal, significant cells between asterisks; ``md`` or
    ``latex`` (``table*`` environments), significant cells in bold; ``csv``, every cell
    as one row: percent, six decimals.
    """
    if form == 'csv':
        rows = [
            _csv_row(table, row, *key)
            for table in tables
            for row in table.rows
            for key in product(table.columns.values(), table.subsets)
            if key in row.cells
        ]
        return Table(_WORDS['csv'], rows).csv()
    texts = [r'% \usepackage{booktabs}'] if form == 'latex' else []
    for table in tables:
        fingerprint = str(table.data['fingerprint'] or 'unknown')[:12]
        kind = ', SIMULATED' if table.data['simulated'] else ''
        only, *more = table.subsets or ('',)  # empty: the rows' settings say it
        alone = f', {only} subset' if only and not more else ''
        data = f'data {table.data["name"]} ({fingerprint}{kind}){alone}'
        marks, cells = legend(table), grid(table)
        notes = [*marks, *table.notes]
        if form == 'md':
            title, told = map(markdown, (table.title, f'{data}. {" ".join(notes)}'))
            head = f'**{title}**, {told}'
            lines = [head, '', *cells.markdown()]
        elif form == 'latex':
            caption = escape(f'{table.title}, {data}. {" ".join(marks)}')
            lines = ['\n'.join(_WORDS['latex']) % (caption, table.name), *cells.latex()]
            if table.notes:
                told = escape(' '.join(table.notes))
                lines.append(rf'\par\smallskip{{\raggedright {told}\par}}')
            lines.append(r'\end{table*}')
        else:
            notes = [note.replace('Bold:', '*...*:') for note in notes]
            lines = [*map(shown, (f'{table.title}, {data}', *notes)), cells.text()]
        texts.append('\n'.join(lines))
    return '\n\n'.join(texts)


def legend(table: PaperTable) -> list[str]:
    """Sentences on the marks of a table."""
    cells = [cell for row in table.rows for cell in row.cells.values()]
    papers, notes = any(row.paper for row in table.rows), ['Percent.']
    if any(cell.interval in ('seeds', 'draws') for cell in cells):
        notes.append(_WORDS['spread'])
    if papers:
        source = load_published()['source']
        notes.append(f'{PAPER}: published, {source}; in no mean and no test.')
    if table.data['simulated']:
        text = f'{MARK}: measured on simulated data'
        notes.append(text + (f', so beside {PAPER} it means nothing.' * papers or '.'))
    if any(cell.test for cell in cells):
        notes.append('Bold: significantly better than the baseline.')
    return notes


def number(cell: Cell | None, simulated: bool) -> str:
    """A cell without emphasis: ``47.16 ± 1.20ˢ``."""
    if cell is None:
        return '–'
    text = f'{cell.value:.2f}'
    if cell.interval in ('seeds', 'draws') and cell.high is not None:
        text += f' ± {cell.high - cell.value:.2f}'
    return text + MARK * simulated


def grid(table: PaperTable) -> Table:
    """Cells of a table as text, under its titles."""
    place = 'domain' if table.name.startswith('indomain') else 'target'
    place = _EMOTION.get(table.name, {'place': place})['place']
    settings = any(row.setting for row in table.rows)
    left = [place, *(['setting'] if settings else []), 'model', 'seeds']
    titles = product(table.columns, table.subsets)
    keys = list(product(table.columns.values(), table.subsets))
    rows, breaks = [], set()
    for i, row in enumerate(table.rows):
        kind = f' {PAPER}' if row.paper else ' (simulated)' if row.simulated else ''
        labels = [row.place, *([row.setting] if settings else []), row.model + kind]
        numbers = []
        for cell in map(row.cells.get, keys):
            text = number(cell, row.simulated)
            if table.name in _EMOTION and cell is not None and cell.interval == 'clips':
                text += f' [{cell.low:.1f}, {cell.high:.1f}]'
            numbers.append(Bold(text) if cell is not None and cell.is_bold() else text)
        rows.append([*labels, row.seeds or '–', *numbers])
        if i and row.place != table.rows[i - 1].place:
            breaks.add(i - 1)
    return Table([*left, *titles], rows, len(left), breaks)


def _csv_row(table: PaperTable, row: Row, metric: str, subset: str) -> list[str]:
    cell = row.cells[metric, subset]
    ours = ('', '') if row.paper else (table.data['name'], table.data['fingerprint'])
    numbers = (cell.sd, cell.low, cell.high)
    texts = ['' if value is None else f'{value:.6f}' for value in numbers]
    tests = (f'{cell.difference:.6f}', f'{cell.p:.3g}', f'{cell.p_holm:.3g}')
    return [
        table.name, row.place, row.setting, row.model,
        'paper' if row.paper else 'ours', str(row.simulated).lower(),
        *(str(value or '') for value in ours),
        subset, metric, f'{cell.value:.6f}', row.seeds,
        '' if row.paper else str(cell.n), *texts, cell.interval,
        *(tests if cell.test else ('', '', '')), cell.test,
        'true' if cell.is_bold() else 'false',
        '' if row.paper else table.data.get('incomplete', ''),
    ]  # fmt: skip
