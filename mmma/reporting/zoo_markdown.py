"""Markdown of the model zoo: tables, links, numbers, and where two texts differ."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

UNKNOWN = '–'
_SHOWN = 60


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1
) -> list[str]:
    """Lines of a table, and an empty one.

    Args:
        headings: Titles of the columns.
        rows: Cells.
        left: Columns that are aligned left, the first ones; the others are numbers.
    """
    rule = ':--|' * left + '--:|' * (len(headings) - left)
    lines = [_line(headings), f'|{rule}', *(_line(row) for row in rows)]
    return [*lines, '']


def link(text: str, target: str) -> str:
    """A link."""
    return f'[{text}]({target})'


def millions(number: int | None) -> str:
    """Parameters, in millions."""
    return f'{number / 1e6:.2f}' if number else UNKNOWN


def billions(number: int | None) -> str:
    """Multiply-adds, in billions; small ones with more digits."""
    if not number:
        return UNKNOWN
    return f'{number / 1e9:.{2 if number > 1e8 else 4}f}'


def megabytes(size: int | None) -> str:
    """Size of a file, in millions of bytes."""
    return f'{size / 1e6:.2f} MB' if size else 'unknown'


def span(texts: Sequence[str]) -> str:
    """Smallest and largest of several numbers: ``0.17–2.04``."""
    known = sorted({t for t in texts if t != UNKNOWN}, key=float)
    if not known:
        return UNKNOWN
    return known[0] if len(known) == 1 else f'{known[0]}–{known[-1]}'


def text_differences(old: str, new: str) -> Iterator[str]:
    """Say which lines of a generated text are not as they should be.

    Args:
        old: As it is.
        new: As it should be.

    Yields:
        ``line 12: '47.40' should be '46.20'``; of a row of a table only the cells.
    """
    left, right = old.splitlines(), new.splitlines()
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for kind, i, j, k, n in matcher.get_opcodes():
        if kind == 'replace' and j - i == n - k:
            for offset in range(j - i):
                pair = left[i + offset], right[k + offset]
                yield f'line {i + offset + 1}: {_changed(*pair)}'
        elif kind != 'equal':
            for number in range(i, j):
                yield f'line {number + 1}: {_short(left[number])} should not be there'
            for number in range(k, n):
                yield f'line {i + 1}: {_short(right[number])} is missing'
    if old != new and left == right:
        yield f'line {len(left)}: its end is not one line break'


def licence(method: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """Licence of the weights that a recipe starts from.

    Args:
        method: Collection of its metafile.
        entry: The recipe, which may say another one.
    """
    found = {**(method.get('License') or {}), **(entry.get('License') or {})}
    return str(found.get('Pretrained Weights') or UNKNOWN)


def _line(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cell.replace("|", chr(92) + "|") for cell in cells)} |'


def _changed(old: str, new: str) -> str:
    cells = old.split('|'), new.split('|')
    if len(cells[0]) == len(cells[1]) > 2:
        pairs = [(a, b) for a, b in zip(*cells, strict=True) if a != b]
        texts = [f'{_short(a.strip())} should be {_short(b.strip())}' for a, b in pairs]
        return '; '.join(texts)
    return f'{_short(old)} should be {_short(new)}'


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...')
