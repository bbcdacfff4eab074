"""``rec.csv``: one row per trimmed clip."""

import csv
import functools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from mmma import files
from mmma.foreign import control_faults
from mmma.taxonomy import (
    BODY_GROUPS,
    DOMAINS,
    SUBSETS,
    WRITE_DOMAINS,
    WRITE_EMOTIONS,
    IndexOutsideError,
    LabelSpace,
    check_choice,
    index_notes,
    load_label_space,
    suggest,
)
from mmma.video import VIDEO_SUFFIXES

REQUIRED = ('clip', 'path', 'subset', 'domain', 'subject', 'action', 'body')
_TEXT = ('clip', 'path', 'subject', 'emotion', 'source_video')
OPTIONAL = ('emotion', 'source_video', 'start_sec', 'end_sec')
Span = tuple[float, float]
ROUNDING_SEC = 1e-6  # far below any frame, far above the rounding of a time
_PAST_END_SEC = 0.1  # lists round the ends of files
_CUT_SEC = 0.2  # as far as a frame, on both ends


@dataclass(frozen=True)
class Clip:
    """A trimmed clip: one row of ``rec.csv``.

    Attributes:
        clip: Its name, unique in the table.
        path: Video relative to the data root; empty where nothing is rendered. A row
            with times and without a path is a span of its ``source_video``.
        subset, domain, subject: The person is empty where unknown.
        action, body: Indices in the label space; None where the truth is withheld.
        emotion, source_video: Of the scene, and what the clip is from, if given.
        start_sec, end_sec: Where it lies in that; None if it is the whole file.
        line: Line of the table, for messages; 0 if it was not read from one.
    """

    clip: str
    path: str
    subset: str
    domain: str
    subject: str
    action: int | None
    body: int | None
    emotion: str = ''
    source_video: str = ''
    start_sec: float | None = None
    end_sec: float | None = None
    line: int = field(default=0, compare=False)
    name = property(attrgetter('clip'))  # what videos have, too

    @property
    def span(self) -> Span | None:
        """Start and end in seconds of the file; None if it is the whole file."""
        if self.start_sec is None or self.end_sec is None:
            return None
        return self.start_sec, self.end_sec


def span_frames(
    times_sec: np.ndarray, duration_sec: float, span: Span | None
) -> tuple[int, int, float]:
    """Frames of a file that appear in a span of it, start included, end excluded.

    Args:
        times_sec: (T,) when each frame appears, ascending, from 0.
        duration_sec: Where the last one ends.
        span: Start and end in seconds from the first frame; None is the whole file. So
            is one beyond the file and as long as that: the file was cut to it already.

    Returns:
        The first frame, the one behind the last, and where the span ends, in seconds.

    Raises:
        ValueError: The span goes beyond the file, or no frame appears in it.
    """
    beyond = span is not None and span[1] > duration_sec + _PAST_END_SEC
    if span is None or (beyond and abs(span[1] - span[0] - duration_sec) <= _CUT_SEC):
        return 0, len(times_sec), duration_sec
    first, stop = np.searchsorted(times_sec, np.array(span) - ROUNDING_SEC).tolist()
    if beyond or first >= stop:
        fault = 'ends after the file' if beyond else 'has no frame of the file'
        raise ValueError(
            f'the span start_sec {span[0]}, end_sec {span[1]} {fault}, which has '
            f'{len(times_sec)} frames in {duration_sec:.2f} s: give times inside the '
            'file, or neither if the file is the clip'
        )
    return first, stop, min(span[1], duration_sec)


def read_rec(path: Path, space: LabelSpace, *more: Any) -> list[Clip]:
    """Read a recognition table by :func:`scan_rec`, and tell what is odd in it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No rows, or most are odd.
    """
    clips, odd = scan_rec(path, space, *more)
    files.tell(odd.notes(hint=files.LISTS_ALL))
    return clips


def scan_rec(
    path: Path,
    space: LabelSpace,
    content: bytes | None = None,
    domains: Sequence[str] = DOMAINS,
    emotions: Sequence[str] = (),
) -> tuple[list[Clip], files.OddEntries]:
    """Good rows of a recognition table, and odd ones, both in its order.

    A row that cannot be read is left out, and so are further rows of a clip. A body
    group other than that of most rows of its action is replaced by it; one left empty
    is filled from other rows of the same action, then from ``space``. ``content`` are
    the bytes of the file, where they were read; without ``emotions`` any may be there.
    """
    path = Path(path)
    header, rows = files.read_table(path, content, numbers=OPTIONAL)
    scan = _Scan(path, space, domains, emotions)
    try:
        for line, row in rows if scan.header(header) else ():
            scan.row(row, line)
    except ValueError as error:
        scan.odd.add(0, '', str(error))
    clips = scan.finish()
    scan.odd.problems.sort(key=lambda problem: problem.line)
    return clips, scan.odd


def write_rec(path: Path, clips: Iterable[Clip], space: LabelSpace) -> None:
    """Write a recognition table: labels by name, rows in the order given.

    A body group of None stays empty, so that the reader fills it from its label space.
    """
    clips = list(clips)
    columns = list(REQUIRED if space.bodies else REQUIRED[:-1])
    columns += [c for c in OPTIONAL if any(vars(k)[c] not in ('', None) for k in clips)]
    with files.atomic_write(Path(path)) as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(columns)
        for clip in clips:
            action = '' if clip.action is None else space.actions[clip.action]
            body = '' if clip.body is None else space.bodies[clip.body]
            row = vars(clip) | {'action': action, 'body': body}
            writer.writerow([row[column] for column in columns])


def body_map(clips: Iterable[Clip], space: LabelSpace) -> LabelSpace:
    """The label space with the body groups that a table gives to its actions.

    The table was read with the same ``space``, whose groups absent actions keep.
    """
    body_of = list(space.body_of)
    for clip in clips:
        if clip.action is not None and clip.body is not None:
            body_of[clip.action] = clip.body
    return space.with_body_of(body_of)


class _Scan:
    """State of one pass over a table; every lookup is remembered, for speed."""

    def __init__(self, path: Path, space: LabelSpace, *choices: Sequence[str]) -> None:
        domains, emotions = choices
        self.space = space
        self.odd = files.OddEntries(path, 'rows repaired or left out')
        self._rows: list[dict[str, Any]] = []  # good ones, as arguments of Clip
        self._columns: list[str] = []
        self._lines: dict[str, int] = {}  # clip -> line of its first row
        # Action -> how many rows have each body, in the order of the file.
        self._bodies: dict[int, Counter[int]] = defaultdict(Counter)
        self._labels: set[str] = set()  # actions as the file writes them
        lookups = {
            'subset': lambda s: check_choice('subset', s, SUBSETS),
            'domain': lambda s: check_choice('domain', s, domains, other=WRITE_DOMAINS),
            'emotion': lambda s: (
                s and check_choice('emotion', s, emotions or (s,), other=WRITE_EMOTIONS)
            ),
            'action': lambda s: space.action_id(s) if s else None,
            'body': lambda s: space.body_id(s) if s else None,
        }
        self._lookups = {key: functools.cache(f) for key, f in lookups.items()}

    def header(self, columns: list[str]) -> bool:
        """Take the first row; False if the rest cannot be understood."""
        known = REQUIRED + OPTIONAL
        found, self._columns = len(self.odd.problems), columns
        if not columns:
            wanted = ','.join(REQUIRED)
            self.odd.add(1, '', f'empty file; the first line must be {wanted}')
            return False
        needed = REQUIRED if self.space.bodies else REQUIRED[:-1]
        for column in [c for c in needed if c not in columns]:
            self.odd.add(1, '', f'no column {column!r} (columns: {", ".join(columns)})')
        for column in sorted({c for c in columns if columns.count(c) > 1}):
            self.odd.add(1, '', f'column {column!r} is there twice')
        for column in columns:  # own columns are fine, misspelt ones are not
            hint = '' if column in known else suggest(column, known)
            if hint:
                self.odd.add(1, '', f'unknown column {column!r}.{hint}')
        return len(self.odd.problems) == found

    def row(self, values: Sequence[str], line: int) -> None:
        """Take one row: a clip, or what is wrong with it."""
        self.odd.total += 1
        row = dict(zip(self._columns, values, strict=False))
        for k in ('clip', 'domain', 'emotion'):
            row[k] = normalize('NFC', row.get(k, ''))
        name, errors = row['clip'], []
        if len(values) != len(self._columns):
            counts = f'{len(values)} fields, the header has {len(self._columns)}'
            self.odd.add(line, name, counts)
            return
        if not name:
            errors.append('clip has no name')
        start_sec, end_sec = times(row, errors)
        fields: dict[str, Any] = {column: row.get(column, '') for column in _TEXT}
        errors += control_faults(fields)
        self._labels.add(row['action'])
        fields.update(start_sec=start_sec, end_sec=end_sec, line=line)
        if start_sec is not None:
            fields['path'] = fields['path'] or fields['source_video']
        if files.leaves_root(fields['path']):
            errors.append(
                f'path {fields["path"]!r} leaves the data root; write it relative to '
                'the root, without ..'
            )
        for column, lookup in self._lookups.items():
            try:
                fields[column] = lookup(row.get(column, ''))
            except ValueError as error:
                fields[column] = None
                self.odd.doubtful |= isinstance(error, IndexOutsideError)
                if column == 'body':  # the action tells it
                    self.odd.add(line, name, str(error))
                else:
                    errors.append(str(error))
        if name in self._lines:
            errors.append(f'duplicate clip (first in line {self._lines[name]})')
        if errors:
            self.odd.add(line, name, '; '.join(errors))
            return
        self._lines[name] = line
        if None not in (fields['action'], fields['body']):
            self._bodies[fields['action']][fields['body']] += 1
        self._rows.append(fields)

    def finish(self) -> list[Clip]:
        """The good rows, empty body groups filled; having no row is a problem."""
        if not self.odd.total and not self.odd.problems:
            self.odd.add(0, '', 'empty table: a header and no clip')
        body_of = dict(enumerate(self.space.body_of))  # empty without groups
        name = self.odd.path.name
        self.odd.remarks += index_notes(self._labels, name) + self._shifts(name)
        for action, counts in self._bodies.items():
            most = max(counts.values())  # of equals the published one
            own = body_of[action]
            if counts[own] < most:
                body_of[action] = next(b for b, n in counts.items() if n == most)
        for fields in self._rows:
            action, own = fields['action'], fields['body']
            body = fields['body'] = own if action is None else body_of.get(action)
            if own not in (None, body):
                self.odd.add(
                    *(fields['line'], fields['clip']),
                    f'body {self.space.bodies[own]!r} for action '
                    f'{self.space.actions[action]!r}, but {self._bodies[action][body]} '
                    f'rows say {self.space.bodies[body]!r}: one action has one body '
                    'group',
                )
        return [Clip(**fields) for fields in self._rows]

    def _shifts(self, name: str) -> list[str]:
        """A warning where several actions have groups that no figure gives; or none.

        Rows count as they are in the file, before one group is made of them.
        """
        spaces = [load_label_space(self.space.plain(), own) for own in BODY_GROUPS]
        others = []
        for action, counts in sorted(self._bodies.items()):
            known = {space.body_of[action] for space in spaces}
            body = max(counts.keys() - known, key=counts.__getitem__, default=None)
            if body is not None and counts[body] >= max(counts[b] for b in known):
                others.append(
                    f'{self.space.actions[action]!r}: {self.space.bodies[body]!r}'
                )
        if len(others) < 2:  # one is a choice
            return []
        more = ', ...' if len(others) > files.SHOWN else ''
        return [
            f'warning: {name}: {len(others)} of {self.space.num_actions} actions have '
            'another body group than the taxonomy (here: '
            f'{", ".join(others[: files.SHOWN])}{more}); labels counted from 1?'
        ]


def times(row: dict[str, str], errors: list[str]) -> tuple[float | None, float | None]:
    """Start and end of a row of text, both or neither; ``errors`` gets their faults."""
    texts = row.get('start_sec', ''), row.get('end_sec', '')
    if texts == ('', ''):
        return None, None
    try:
        start_sec, end_sec = map(seconds_of, texts)
    except ValueError:
        start_sec = end_sec = math.nan
    if not 0 <= start_sec < end_sec < math.inf:
        errors.append(
            f'start_sec {texts[0]!r}, end_sec {texts[1]!r}: give both in seconds or as '
            'HH:MM:SS.sss, 0 <= start_sec < end_sec, or neither'
        )
        return None, None
    return start_sec, end_sec


def seconds_of(text: str) -> float:
    """Seconds of ``62.5``, ``62,5``, ``1:02.5`` or ``00:01:02,5``."""
    if match := re.fullmatch(r'(?:(\d+):)?(\d?\d):([0-5]?\d(?:[.,]\d*)?)', text):
        hours, minutes, rest = (part or '0' for part in match.groups())
        return 3600 * int(hours) + 60 * int(minutes) + float(rest.replace(',', '.'))
    return float(re.sub(r'^(\d+),(?!\d{3}$)(\d+)$', r'\1.\2', text))


def split_name(name: str) -> tuple[str, str]:
    """Name of a clip or video without folders, and its suffix; ``.mp4`` if it has none.

    What follows a dot counts only if it is a container.
    """
    own = name.replace('\\', '/').rpartition('/')[2]
    stem, _, suffix = own.rpartition('.')
    if stem and f'.{suffix.lower()}' in VIDEO_SUFFIXES:
        return stem, f'.{suffix}'
    return own, '.mp4'


def is_named(path: str, source: str) -> bool:
    """True if a path is that of a source, which may lack its folders and its suffix.

    Capitals do not count, nor whether letters are composed (NFC) or not.
    """
    own, wanted = (name_parts(text.casefold()) for text in (path, source))
    return bool(source) and own[-len(wanted) :] == wanted


def name_parts(name: str) -> list[str]:
    """Folders of a video's name, but for what leads out of one; the name, no suffix."""
    *folders, own = normalize('NFC', name).replace('\\', '/').split('/')
    return [*filter(lambda part: part.strip('.'), folders), split_name(own)[0]]


def read_names(path: Path, columns: Sequence[str]) -> tuple[list[str], str]:
    """Names of a list, and the column of a table that they stand in, or ''.

    The first column that is there counts; without a table the list has a name per line,
    with frames and label behind it or without.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A table without such a column, or a row without it.
    """
    header, rows = files.read_table(path)
    column = next((c for c in columns if c in header), '')
    if not column and len(header) > 1 and not header[-1].lstrip('-').isdecimal():
        raise ValueError(
            f'{path}: line 1 names no column {", ".join(columns)} '
            f'({", ".join(header)}); one of them must hold the names'
        )
    if not column:
        lines = map(str.strip, files.read_text(path).splitlines())
        return [re.sub(r'(?<=\S)([\s,;]+-?\d+)+$', '', n) for n in lines if n], ''
    at = header.index(column)
    cells = [row for _, row in rows]
    if short := next((row for row in cells if len(row) <= at), None):
        raise ValueError(f'{path}: row {",".join(short)!r} has no column {column}')
    return [row[at] for row in cells], column
