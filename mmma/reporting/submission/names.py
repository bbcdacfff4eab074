"""Official names of clips and videos, and whether a submission has them all."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmma.layout.converters.source import split_name
from mmma.layout.paths import read_text
from mmma.taxonomy import suggest

VIDEO_COLUMNS = ('video_id', 'video-id')
NAME_COLUMNS = (*VIDEO_COLUMNS, 'vid', 'clip', 'id')
"""Columns of a CSV list that hold names, the first that is there counts."""
_SHOWN = 5


def read_expected(path: Path) -> list[str]:
    """Official names, each once, in the order of a list.

    Args:
        path: ``file label`` or ``file`` per line, as MA-52 releases its lists; or CSV
            with a column of NAME_COLUMNS, as the annotations of MMA-52 or a sample
            submission. Only in a column of videos may names repeat.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No names, no column that holds them, or a name that repeats.
    """
    path = Path(path)
    text = read_text(path)
    first = next(iter(text.splitlines()), '')
    several = False
    if ',' in first:
        names, several = _csv_names(path, text)
    else:
        names = [line.split()[0] for line in text.splitlines() if line.strip()]
    if not names:
        raise ValueError(f'{path}: no names in it; give one official name per line')
    twice = [name for name, n in Counter(map(_stem, names)).items() if n > 1]
    if twice and not several:
        raise ValueError(
            f'{path}: {len(twice)} names repeated: {shown(twice)}; list each once'
        )
    unique: dict[str, str] = {}
    for name in names:
        unique.setdefault(_stem(name), name)
    return list(unique.values())


def match_names(names: Sequence[str], expected: Sequence[str]) -> dict[str, str]:
    """Which of ``names`` stands for each official name.

    A name matches with or without the suffix of its file.

    Args:
        names: As the score or detection file has them.
        expected: Official names, from :func:`read_expected`.

    Returns:
        Official name to name, in official order.

    Raises:
        ValueError: Names are missing, there are others, or two stand for one.
    """
    own = unique_stems(names)
    wanted = {_stem(name): name for name in expected}
    missing = [name for stem, name in wanted.items() if stem not in own]
    extra = [name for stem, name in own.items() if stem not in wanted]
    errors = []
    if missing:
        errors.append(f'{len(missing)} of {len(expected)} missing: {shown(missing)}')
    if extra:
        errors.append(f'{len(extra)} not in the list: {shown(extra)}')
        hint = suggest(_stem(extra[0]), [_stem(name) for name in missing])
        errors[-1] += f'.{hint}' if hint else ''
    if errors:
        raise ValueError(
            f'names differ from the official list: {"; ".join(errors)}; give every '
            'official name once and no other'
        )
    return {name: own[stem] for stem, name in wanted.items()}


def unique_stems(names: Iterable[str]) -> dict[str, str]:
    """Names without suffix to the names, in their order.

    Raises:
        ValueError: Two names differ in their suffix alone.
    """
    own: dict[str, str] = {}
    for name in names:
        other = own.setdefault(_stem(name), name)
        if other != name:
            raise ValueError(
                f'{other!r} and {name!r} are the same official name: give it once'
            )
    return own


def first_disorder(names: Sequence[str], ordered: Sequence[str]) -> int | None:
    """First position where two orders of the same names differ; None where none do."""
    pairs = zip(names, ordered, strict=True)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), None)


def shown(names: Sequence[str]) -> str:
    """The first five names, quoted."""
    more = ', ...' if len(names) > _SHOWN else ''
    return ', '.join(map(repr, names[:_SHOWN])) + more


def _stem(name: str) -> str:
    return split_name(name)[0]


def _csv_names(path: Path, text: str) -> tuple[list[str], bool]:
    """Names, and whether they are of videos, which may have several rows."""
    rows = [row for row in csv.reader(io.StringIO(text, newline='')) if row]
    column = next((c for c in NAME_COLUMNS if c in rows[0]), None)
    if column is None:
        raise ValueError(
            f'{path}: line 1 names no column {", ".join(NAME_COLUMNS)} '
            f'({", ".join(rows[0])}); one of them must hold the official names'
        )
    at = rows[0].index(column)
    short = next((row for row in rows[1:] if len(row) <= at), None)
    if short is not None:
        raise ValueError(f'{path}: row {",".join(short)!r} has no column {column}')
    return [row[at] for row in rows[1:]], column in VIDEO_COLUMNS
