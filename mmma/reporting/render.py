"""Renderers of the paper tables: text, Markdown, CSV, LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from prettytable import PrettyTable

from mmma.reporting.paper import Cell, Row, Table, load_published

MARK = 'ˢ'
"""Behind every number measured on simulated data."""
PAPER = '[paper]'
_CSV = (
    'table', 'place', 'setting', 'model', 'source', 'simulated', 'data', 'fingerprint',
    'subset', 'metric', 'value', 'seeds', 'n', 'sd', 'low', 'high', 'interval',
    'difference', 'p', 'p_holm', 'test', 'bold',
)  # fmt: skip


def plain_text(tables: Sequence[Table]) -> str:
    """Tables for a terminal.

    Args:
        tables: From :func:`mmma.reporting.paper.paper_tables`.
    """
    return '\n\n'.join(_one_text(table) for table in tables)


def markdown(tables: Sequence[Table]) -> str:
    """Tables as Markdown, significant cells in bold.

    Args:
        tables: From :func:`mmma.reporting.paper.paper_tables`.
    """
    return '\n'.join(_one_markdown(table) for table in tables).rstrip('\n')


def csv_text(tables: Sequence[Table]) -> str:
    """Every cell as one row: percent, six decimals.

    Args:
        tables: From :func:`mmma.reporting.paper.paper_tables`.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(_CSV)
    for table in tables:
        for row in table.rows:
            for metric in table.columns.values():
                for subset in table.subsets:
                    cell = row.cells.get((metric, subset))
                    if cell is not None:
                        writer.writerow(_csv_row(table, row, (metric, subset), cell))
    return out.getvalue().rstrip('\n')


def legend(table: Table) -> list[str]:
    """Sentences that say what the marks of a table mean.

    Args:
        table: From :func:`mmma.reporting.paper.paper_tables`.
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


def data_text(table: Table) -> str:
    """Name and fingerprint of the data, whether they are simulated, the one subset.

    Args:
        table: From :func:`mmma.reporting.paper.paper_tables`.
    """
    fingerprint = str(table.data['fingerprint'] or 'unknown')[:12]
    kind = ', SIMULATED' if table.data['simulated'] else ''
    alone = f', {table.subsets[0]} subset' if len(table.subsets) == 1 else ''
    return f'data {table.data["name"]} ({fingerprint}{kind}){alone}'


def headings(table: Table) -> list[str]:
    """Titles of the columns before the metrics."""
    place = 'domain' if table.name.startswith('indomain') else 'target'
    return [place, *(['setting'] if table.has_settings() else []), 'model', 'seeds']


def labels(table: Table, row: Row) -> list[str]:
    """Cells of a row before the metrics."""
    kind = f' {PAPER}' if row.paper else ' (simulated)' if row.simulated else ''
    setting = [row.setting] if table.has_settings() else []
    return [row.place, *setting, row.model + kind, row.seeds or '–']


def number(cell: Cell | None, simulated: bool) -> str:
    """A cell without emphasis: ``47.16 ± 1.20ˢ``."""
    if cell is None:
        return '–'
    text = f'{cell.value:.2f}'
    if cell.interval in ('seeds', 'draws') and cell.high is not None:
        text += f' ± {cell.high - cell.value:.2f}'
    return text + MARK * simulated


def _grid(table: Table, bold: str) -> list[list[str]]:
    grid = []
    for row in table.rows:
        numbers = []
        for metric in table.columns.values():
            for subset in table.subsets:
                cell = row.cells.get((metric, subset))
                wrap = bold if cell is not None and cell.is_bold() else ''
                numbers.append(wrap + number(cell, row.simulated) + wrap)
        grid.append([*labels(table, row), *numbers])
    return grid


def _titles(table: Table) -> list[str]:
    metrics = [f'{name} {subset}' for name in table.columns for subset in table.subsets]
    return [*headings(table), *metrics]


def _one_text(table: Table) -> str:
    printed = PrettyTable(_titles(table))
    printed.align = 'r'
    for name in headings(table):
        printed.align[name] = 'l'
    places = [row.place for row in table.rows]
    for i, cells in enumerate(_grid(table, '*')):
        printed.add_row(cells, divider=places[i] != places[min(i + 1, len(places) - 1)])
    notes = [note.replace('Bold:', '*...*:') for note in (*legend(table), *table.notes)]
    return '\n'.join([f'{table.title}, {data_text(table)}', *notes, str(printed)])


def _one_markdown(table: Table) -> str:
    def line(cells: Sequence[str]) -> str:
        return f'| {" | ".join(cell.replace("|", chr(92) + "|") for cell in cells)} |'

    left = len(headings(table))
    titles = _titles(table)
    rule = '|' + ':--|' * left + '--:|' * (len(titles) - left)
    notes = ' '.join([*legend(table), *table.notes])
    rows = [line(cells) for cells in _grid(table, '**')]
    head = f'**{table.title}**, {data_text(table)}. {notes}'
    return '\n'.join([head, '', line(titles), rule, *rows, ''])


def _csv_row(table: Table, row: Row, key: tuple[str, str], cell: Cell) -> list[str]:
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


_ESCAPES = {
    '\\': r'\textbackslash{}',
    '&': r'\&',
    '%': r'\%',
    '$': r'\$',
    '#': r'\#',
    '_': r'\_',
    '{': r'\{',
    '}': r'\}',
    '~': r'\textasciitilde{}',
    '^': r'\textasciicircum{}',
    '<': r'\textless{}',
    '>': r'\textgreater{}',
    '|': r'\textbar{}',
    '"': "''",
    '–': '--',
    '±': r'$\pm$',
    MARK: r'$^{\mathrm{s}}$',
}
_HEAD = r"""% \usepackage{booktabs}"""


def escape(text: str) -> str:
    """Text as LaTeX shows it, letter by letter.

    Args:
        text: Any; the marks of :mod:`mmma.reporting.render` become math.
    """
    return ''.join(_ESCAPES.get(letter, letter) for letter in text)


def latex(tables: Sequence[Table]) -> str:
    """Tables as ``table*`` environments.

    Args:
        tables: From :func:`mmma.reporting.paper.paper_tables`.
    """
    return '\n\n'.join([_HEAD, *map(_one, tables)])


def _one(table: Table) -> str:
    left = len(headings(table))
    numbers = len(table.columns) * len(table.subsets)
    caption = f'{table.title}, {data_text(table)}. {" ".join(legend(table))}'
    lines = [
        r'\begin{table*}',
        r'\centering',
        rf'\caption{{{escape(caption)}}}',
        rf'\label{{tab:{table.name}}}',
        r'\footnotesize',
        r'\setlength{\tabcolsep}{3pt}',
        rf'\begin{{tabular}}{{{"l" * left}{"r" * numbers}}}',
        r'\toprule',
        *_header(table, left),
        r'\midrule',
        *_body(table),
        r'\bottomrule',
        r'\end{tabular}',
    ]
    if table.notes:
        notes = escape(' '.join(table.notes))
        lines.append(rf'\par\smallskip{{\raggedright {notes}\par}}')
    return '\n'.join([*lines, r'\end{table*}'])


def _header(table: Table, left: int) -> list[str]:
    names, wide = headings(table), len(table.subsets)
    if wide == 1:
        return [_line([escape(name) for name in (*names, *table.columns)])]
    spans = [rf'\multicolumn{{{wide}}}{{c}}{{{escape(c)}}}' for c in table.columns]
    starts = range(left + 1, left + 1 + wide * len(spans), wide)
    rules = ''.join(rf'\cmidrule(lr){{{s}-{s + wide - 1}}}' for s in starts)
    titles = [*names, *(list(table.subsets) * len(spans))]
    return [_line([*[''] * left, *spans]), rules, _line([escape(t) for t in titles])]


def _body(table: Table) -> list[str]:
    lines: list[str] = []
    before: Row | None = None
    for row in table.rows:
        if before is not None and row.place != before.place:
            lines.append(r'\midrule')
        lines.append(_line(_cells(table, row)))
        before = row
    return lines


def _cells(table: Table, row: Row) -> list[str]:
    cells = [escape(label) for label in labels(table, row)]
    for metric in table.columns.values():
        for subset in table.subsets:
            cell = row.cells.get((metric, subset))
            text = escape(number(cell, row.simulated))
            bold = cell is not None and cell.is_bold()
            cells.append(rf'\textbf{{{text}}}' if bold else text)
    return cells


def _line(cells: Sequence[str]) -> str:
    return ' & '.join(cells).strip() + r' \\'
