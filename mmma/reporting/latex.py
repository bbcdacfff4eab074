"""The paper's tables in LaTeX, with the package ``booktabs`` alone."""

from __future__ import annotations

from collections.abc import Sequence

from mmma.reporting.paper_table import Row, Table
from mmma.reporting.paper_text import (
    MARK,
    data_text,
    headings,
    labels,
    legend,
    number,
)

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
        text: Any; the marks of :mod:`mmma.reporting.paper_text` become math.
    """
    return ''.join(_ESCAPES.get(letter, letter) for letter in text)


def latex(tables: Sequence[Table]) -> str:
    """Tables as ``table*`` environments.

    Args:
        tables: From :func:`mmma.reporting.paper_table.paper_tables`.
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
