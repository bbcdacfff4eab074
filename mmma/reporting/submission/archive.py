"""``prediction.csv`` in a zip: written to the same bytes each time, then read again."""

from __future__ import annotations

import csv
import io
import math
import os
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmma.reporting.submission.names import first_disorder, shown

FILE = 'prediction.csv'
_MOMENT = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


@dataclass(frozen=True)
class Layout:
    """Columns of a ``prediction.csv``.

    Attributes:
        header: Its first line.
        name_column: Position of the name of a clip or video.
        classes: Position of each column of class numbers to the number of classes.
        numbers: Positions of the other numbers.
        ranked: Groups of positions that hold different classes in each row.
    """

    header: tuple[str, ...]
    name_column: int
    classes: dict[int, int]
    numbers: tuple[int, ...] = ()
    ranked: tuple[tuple[int, ...], ...] = ()


def write_archive(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write the zip; equal rows give equal bytes, whatever the time or machine.

    Args:
        path: ``*.zip``.
        header: First line of the CSV.
        rows: Its cells.

    Raises:
        ValueError: Another suffix.
    """
    check_suffix(path)
    text = io.StringIO(newline='')
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(header)
    writer.writerows(rows)
    entry = zipfile.ZipInfo(FILE, _MOMENT)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = _UNIX
    entry.external_attr = 0o644 << 16
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.part')
    try:
        with zipfile.ZipFile(part, 'w') as archive:
            archive.writestr(entry, text.getvalue().encode())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def check_suffix(path: Path) -> None:
    """Refuse a name that is no zip.

    Raises:
        ValueError: Another suffix.
    """
    if path.suffix != '.zip':
        raise ValueError(
            f'{path}: the servers take a zip; use a name that ends in .zip'
        )


def check_archive(path: Path, layout: Layout, names: Sequence[str]) -> int:
    """Read a submission as the server will, and check it.

    Args:
        path: The zip.
        layout: What its ``prediction.csv`` must look like.
        names: Names of its rows in order; runs of one name count once.

    Returns:
        How many rows it has.

    Raises:
        ValueError: Anything that differs.
    """
    rows = _read_rows(path)
    if tuple(rows[0]) != layout.header:
        raise ValueError(
            f'{path}: header {",".join(rows[0])!r}, expected '
            f'{",".join(layout.header)!r}'
        )
    bad = [
        f'line {line}: {fault}'
        for line, row in enumerate(rows[1:], start=2)
        if (fault := _fault(row, layout))
    ]
    if bad:
        raise ValueError(f'{path}: {len(bad)} bad rows: {"; ".join(bad[:5])}')
    column = [row[layout.name_column] for row in rows[1:]]
    found = [n for i, n in enumerate(column) if not i or column[i - 1] != n]
    _check_names(path, found, names, layout)
    if not layout.numbers and len(column) != len(found):
        raise ValueError(f'{path}: {len(column)} rows of {len(found)} clips')
    return len(rows) - 1


def _check_names(
    path: Path, found: Sequence[str], names: Sequence[str], layout: Layout
) -> None:
    if len(found) != len(names):
        lost = [name for name in names if name not in set(found)]
        raise ValueError(
            f'{path}: {len(found)} names, expected {len(names)}'
            + (f'; missing: {shown(lost)}' if lost else '')
        )
    place = first_disorder(found, names)
    if place is not None:
        raise ValueError(
            f'{path}: name {place + 1} in column {layout.header[layout.name_column]!r} '
            f'is {found[place]!r}, expected {names[place]!r}'
        )


def _read_rows(path: Path) -> list[list[str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            files = archive.namelist()
            if files != [FILE]:
                raise ValueError(f'{path}: holds {files}, expected {FILE} alone')
            text = archive.read(FILE).decode()
    except zipfile.BadZipFile as error:
        raise ValueError(f'{path}: not a readable zip ({error})') from None
    rows = list(csv.reader(io.StringIO(text, newline='')))
    if not rows:
        raise ValueError(f'{path}: {FILE} is empty')
    return rows


def _fault(row: Sequence[str], layout: Layout) -> str:
    """What is wrong with a row; empty where nothing is."""
    if len(row) != len(layout.header):
        return f'{len(row)} cells, expected {len(layout.header)}'
    for at, size in layout.classes.items():
        cell = row[at]
        if not (cell.isascii() and cell.isdigit() and int(cell) < size):
            return f'{layout.header[at]} {cell!r}, expected 0..{size - 1}'
    for at in layout.numbers:
        if not _is_finite(row[at]):
            return f'{layout.header[at]!r} {row[at]!r} is no number'
    for group in layout.ranked:
        if len({row[at] for at in group}) != len(group):
            return f'{layout.header[group[0]]} and following repeat a class'
    return ''


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
