"""Files for the servers of the Micro-Action Challenge (MAC), label space MA-52."""

import csv
import io
import itertools
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from mmma.data import videos
from mmma.data.clips import read_names, split_name
from mmma.evaluation.rows import body_variants
from mmma.evaluation.scores import ScoreTable, first_of, read_scores
from mmma.files import Problem, draft, refuse
from mmma.foreign import finite
from mmma.taxonomy import LabelSpace, load_label_space, suggest

_VIDEO_COLUMNS = ('video_id', 'video-id')
_NAME_COLUMNS = (*_VIDEO_COLUMNS, 'vid', 'clip', 'id')
"""Columns of a CSV list that hold names, the first that is there counts."""
_MOST_BYTES = 1 << 28  # of a table that is read back; of 519 videos it has 10 MB
Segment = tuple[float, float, int, float]
"""Start and end in seconds from the first frame, action, score in [0, 1]."""


def read_expected(path: Path) -> list[str]:
    """Official names, each once, in the order of a list.

    A list has ``file label`` or ``file`` per line, as MA-52 releases its lists; or is
    CSV with a column of names, as the annotations of MMA-52 or a sample submission.
    Only in a column of videos may names repeat.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No names, no column that holds them, or a name that repeats.
    """
    names, column = read_names(path, _NAME_COLUMNS)
    if not names:
        raise ValueError(f'{path}: no names in it; give one official name per line')
    twice = [name for name, n in Counter(map(stem, names)).items() if n > 1]
    if twice and column not in _VIDEO_COLUMNS:
        told = f'{len(twice)} names repeated: {first_of(twice)}'
        raise ValueError(f'{path}: {told}; list each once')
    unique: dict[str, str] = {}
    for name in names:
        unique.setdefault(stem(name), name)
    return list(unique.values())


def match_names(names: Sequence[str], expected: Sequence[str]) -> dict[str, str]:
    """Official name to the name that stands for it, in official order.

    A name matches with or without the suffix of its file.

    Raises:
        ValueError: Names are missing, there are others, or two stand for one.
    """
    own = unique_stems(names)
    wanted = {stem(name): name for name in expected}
    missing = [name for key, name in wanted.items() if key not in own]
    extra = [name for key, name in own.items() if key not in wanted]
    errors = []
    if missing:
        errors.append(f'{len(missing)} of {len(expected)} missing: {first_of(missing)}')
    if extra:
        hint = suggest(stem(extra[0]), [stem(name) for name in missing])
        hint = hint and f'.{hint}'
        errors.append(f'{len(extra)} not in the list: {first_of(extra)}{hint}')
    if errors:
        told = f'names differ from the official list: {"; ".join(errors)}'
        raise ValueError(f'{told}; give every official name once and no other')
    return {name: own[key] for key, name in wanted.items()}


def unique_stems(names: Iterable[str]) -> dict[str, str]:
    """Names without suffix to the names, in their order.

    Raises:
        ValueError: Two names differ in their suffix alone.
    """
    own: dict[str, str] = {}
    for name in names:
        if (other := own.setdefault(stem(name), name)) != name:
            both = f'{other!r} and {name!r}'
            raise ValueError(f'{both} are the same official name: give it once')
    return own


def stem(name: str) -> str:
    """Name without suffix: of a video as the annotations write it, ``test0000``."""
    return normalize('NFC', split_name(name)[0])


def first_disorder(names: Sequence[str], ordered: Sequence[str]) -> int | None:
    """First position where two orders of the same names differ; None where none do."""
    pairs = zip(names, ordered, strict=True)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), None)


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
    """Write the zip; equal rows give equal bytes, whatever the time or machine."""
    check_suffix(path)
    text = io.StringIO(newline='')
    csv.writer(text, lineterminator='\n').writerows([header, *rows])
    entry = zipfile.ZipInfo(FILE, _MOMENT)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = _UNIX
    entry.external_attr = 0o644 << 16
    with draft(path) as part, zipfile.ZipFile(part, 'w') as archive:
        archive.writestr(entry, text.getvalue().encode())


def check_suffix(path: Path) -> None:
    """Refuse a name that does not end in ``.zip``."""
    if path.suffix.lower() != '.zip':
        raise ValueError(f'{path}: the servers take a zip; use a name ending in .zip')


def check_archive(path: Path, layout: Layout, names: Sequence[str]) -> int:
    """Read a submission as the server will, and count its rows.

    Raises:
        ValueError: Anything differs: the layout, or ``names`` of its rows in order, of
            which runs of one count once.
    """
    rows = _read_rows(path)
    if tuple(rows[0]) != layout.header:
        told = f'{path}: header {",".join(rows[0])[:300]!r}'
        raise ValueError(f'{told}, expected {",".join(layout.header)!r}')
    faults = enumerate((_fault(row, layout) for row in rows[1:]), start=2)
    if bad := [f'line {line}: {fault}' for line, fault in faults if fault]:
        raise ValueError(f'{path}: {len(bad)} bad rows: {"; ".join(bad[:5])}')
    column = [row[layout.name_column] for row in rows[1:]]
    found = [n for i, n in enumerate(column) if not i or column[i - 1] != n]
    if len(found) != len(names):
        lost = [name for name in names if name not in set(found)]
        raise ValueError(
            f'{path}: {len(found)} names, expected {len(names)}'
            + (f'; missing: {first_of(lost)}' if lost else '')
        )
    if (place := first_disorder(found, names)) is not None:
        raise ValueError(
            f'{path}: name {place + 1} in column {layout.header[layout.name_column]!r} '
            f'is {found[place]!r}, expected {names[place]!r}'
        )
    if not layout.numbers and len(column) != len(found):
        raise ValueError(f'{path}: {len(column)} rows of {len(found)} clips')
    return len(column)


def _read_rows(path: Path) -> list[list[str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            files = archive.namelist()
            if files != [FILE]:
                raise ValueError(f'holds {files}, expected {FILE} alone')
            if archive.getinfo(FILE).file_size > _MOST_BYTES:
                raise ValueError(f'{FILE} unpacks to more than {_MOST_BYTES} bytes')
            text = archive.read(FILE).decode()
            rows = list(csv.reader(io.StringIO(text, newline='')))
    except Exception as error:  # zipfile and its methods raise what they like
        raise ValueError(f'{path}: not a readable zip of a table ({error})') from None
    if not rows:
        raise ValueError(f'{path}: {FILE} is empty')
    return rows


def _fault(row: Sequence[str], layout: Layout) -> str:
    """Fault of a row; empty where there is none."""
    if len(row) != len(layout.header):
        return f'{len(row)} cells, expected {len(layout.header)}'
    for at, size in layout.classes.items():
        cell = row[at]
        if not (re.fullmatch('[0-9]{1,9}', cell) and int(cell) < size):
            return f'{layout.header[at]} {cell!r}, expected 0..{size - 1}'
    for at in layout.numbers:
        try:
            finite(row[at])
        except ValueError:
            return f'{layout.header[at]!r} {row[at]!r} is no number'
    for group in layout.ranked:
        if len({row[at] for at in group}) != len(group):
            return f'{layout.header[group[0]]} and following repeat a class'
    return ''


CLIP_COUNTS = (5586, 1138)
"""Rows of the standing MA-52 test server and of the challenges."""
_RANKS = 5
_BEST = (f'{level}_pred_{i + 1}' for level in ('action', 'body') for i in range(_RANKS))
_HEADERS = {
    'mac2024': ('id', 'pred_label_1', 'pred_label_2'),
    **dict.fromkeys(('mac2025', 'mac2026'), ('vid', *_BEST)),
}
EDITIONS = tuple(_HEADERS)


def clip_layout(edition: str, space: LabelSpace) -> Layout:
    """Columns of an edition: ``mac2024`` (body, action), since ``mac2025`` five each.

    Source: submission files of the Micro-Action Challenge 2024 and 2025 (the latter
        also of Codabench 9066); of 2026 the script of a participant, zoxx19/mac2026,
        src/fusion/generate_submission.py, eda3ca5.
    """
    header = _HEADERS[edition]
    actions, bodies = space.num_actions, space.num_bodies
    if edition == 'mac2024':
        return Layout(header, 0, {1: bodies, 2: actions})
    first, second = tuple(range(1, _RANKS + 1)), tuple(range(_RANKS + 1, len(header)))
    sizes = dict.fromkeys(first, actions) | dict.fromkeys(second, bodies)
    return Layout(header, 0, sizes, ranked=(first, second))


def read_ma52_scores(path: Path) -> ScoreTable:
    """Scores of the 52 actions of MA-52.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A bad file, or scores of another label space.
    """
    try:
        return read_scores(path, load_label_space('ma52'))
    except ValueError as error:
        try:
            read_scores(path, load_label_space('mma82'))
        except ValueError:
            raise error from None
        raise ValueError(
            f'{path}: scores of the 82 actions of MMA-82, but the challenge is of the '
            '52 of MA-52, some of which MMA-82 lacks; test a model trained on MA-52 '
            '(a data root of label space ma52)'
        ) from None


def clip_rows(
    table: ScoreTable, edition: str, body_from: str, space: LabelSpace
) -> Iterator[list[str | int]]:
    """Rows of ``prediction.csv`` of (N, 52) scores, clips in the order of the table.

    Body classes come from one of ``recognition.BODY_SCORES``.

    Raises:
        ValueError: Body scores that cannot be had.
    """
    bodies = body_variants(table, space, body_from)[body_from]
    # Classes best first; of equal ones the lower number.
    both = (-np.asarray(scores, np.float64) for scores in (table.scores, bodies))
    ranked = (np.argsort(own, axis=1, kind='stable').tolist() for own in both)
    for name, actions, groups in zip(table.names, *ranked, strict=True):
        if edition == 'mac2024':
            yield [name, groups[0], actions[0]]
        else:
            yield [name, *actions[:_RANKS], *groups[:_RANKS]]


HEADERS = {
    '2025': ('', 'video_id', 't_start', 't_end', 'class', 'score'),
    '2026': ('ID', 'video-id', 't-start', 't-end', 'label', 'score'),
}
"""Servers differ in the header alone; the first column numbers the rows from 0.

Source: submission rules of the Micro-Action Challenge 2024 and 2025; of 2026 the script
of a participant, zoxx19/mac2026, src/prepare_submission_csv.py, 8a1d5a3.
"""
VIDEO_COUNT = 519
"""Videos of the MMA-52 test subset."""


def segment_layout(header: str, space: LabelSpace) -> Layout:
    """Columns of a preset of HEADERS."""
    return Layout(HEADERS[header], 1, {0: 10**9, 4: space.num_actions}, (2, 3, 5))


def read_segments(path: Path, space: LabelSpace) -> dict[str, list[Segment]]:
    """Detections of each video, in the order of an ActivityNet-style file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not of that form, or entries that the server would refuse, of which
            the first five are shown.
    """
    found, problems = videos.read_detections(path, space), []
    segments: dict[str, list[Segment]] = {name: [] for name in found.names}
    columns = (found.videos, found.labels, *found.segments_sec.T, found.scores)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for video, label, start, end, score in rows:
        name = found.names[video]
        place = f'{name} [{len(segments[name])}]'
        segments[name].append((start, end, label, score))
        if not 0 <= start < end:
            text = f'segment {[start, end]}: must be seconds, 0 <= start < end'
            problems.append(Problem(str(path), 0, place, text))
        if not 0 <= score <= 1:
            text = f'score {score!r}: must be a number 0..1'
            problems.append(Problem(str(path), 0, place, text))
    refuse(problems, path)
    return segments


def segment_rows(
    videos: Mapping[str, Sequence[Segment]], top: int | None = None
) -> Iterator[list[str | int | float]]:
    """Rows of ``prediction.csv``: videos in order, the ``top`` (None: all) best first.

    Raises:
        ValueError: ``top`` below 1.
    """
    if top is not None and top < 1:
        raise ValueError(f'--top {top}: keep at least 1 detection per video')
    number = itertools.count()
    for video, segments in videos.items():
        for segment in sorted(segments, key=lambda s: -s[-1])[:top]:
            yield [next(number), video, *segment]
