"""Events as a table: for Excel, and from whatever else writes tables of events.

``events.csv`` has a row per event of all videos, with times for people
(``00:01:02.345``) and for programs (seconds). Tables of others are read by the words in
which people name their columns.
"""

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path

from mmma.convert.events import Event, Found, Recording, groups_of, tell_apart
from mmma.convert.timelines import make_event
from mmma.data.clips import seconds_of, split_name
from mmma.files import OddEntries, read_json, read_table, read_text, tell, write_file
from mmma.foreign import naming, spreadsheet
from mmma.taxonomy import LabelSpace

Cells = dict[str, list[str]]
COLUMNS = (
    *('video', 'subject', 'start', 'end', 'start_sec', 'end_sec', 'label', 'body'),
    *('tier', 'score', 'text', 'point'),
    *('annotator', 'video_path', 'video_fps', 'video_duration_sec'),
)
WORDS = read_json(Path(__file__).with_name('columns.json'))
"""What a column may be called, without capitals and units; the first one counts."""
_SECONDS = re.compile(
    r'[\s_([-]{1,4}(s|secs?|seconds|ss\.msec|hh:mm:ss\S{0,4})[)\]]{0,2}$'
)
_NUMBERS = ('start', 'end', 'duration', 'score', 'fps', 'length')
_SUFFIXES, SAVED = ('.csv', '.tsv', '.txt'), '.annotations.csv'
_NOTHING = ('', 'na', 'nan', 'n/a', '-')
_GUARDED = re.compile(r"'+\s*[-=+@\t\r]")


def write_csv(out: Path, recordings: Found, space: LabelSpace) -> list[Path]:
    """Write ``events.csv`` of all recordings, in UTF-8 with the mark that Excel needs.

    A recording in which nothing happens has a row without times. No cell is a formula.
    """
    file, group_of = io.StringIO(), groups_of(space)
    writer = csv.writer(file, lineterminator='\r\n')
    writer.writerow(COLUMNS)
    for own in recordings:
        facts = own.annotator, own.path, _number(own.fps), _number(own.duration_sec)
        rows = []
        for event in own.events:
            times = event.start_sec, event.end_sec
            row = [event.subject, *map(clock, times), *map(_number, times), event.label]
            row += [group_of.get(event.label, ''), event.tier]
            row += ['' if event.score is None else repr(float(event.score)), event.text]
            rows.append([*row, 'yes' if times[0] == times[1] else ''])
        for row in rows or [[''] * 11]:
            writer.writerow(map(_guard, (own.name, *row, *facts)))
    path = Path(out) / 'events.csv'
    write_file(path, file.getvalue().encode('utf-8-sig'))
    return [path]


def clock(time_sec: float) -> str:
    """Time as ``hh:mm:ss.mmm``."""
    minutes, rest = divmod(round(1000 * time_sec), 60_000)
    return f'{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}'


def _number(value: float) -> str:
    return '' if math.isnan(value) else repr(round(float(value), 6))


def _guard(text: str) -> str:
    """Text of which no spreadsheet runs a line; :func:`_bare` gives it back."""
    lines = (f"'{x}" if _GUARDED.match(x) else x for x in text.split('\n'))
    return '\n'.join(map(spreadsheet, lines))


def _bare(text: str) -> str:
    return '\n'.join(x[bool(_GUARDED.match(x)) :] for x in text.split('\n'))


def read_csv(path: Path) -> list[Recording]:
    """Read a table of events, or all of a folder; of a folder with ``SAVED``, those.

    A table without a column for the video is of the video of its own name; one without
    ends and durations has events of a moment. Missing columns and rows that cannot be
    read raise ValueError.
    """
    path, files = Path(path), [Path(path)]
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix.lower() in _SUFFIXES)
        if own := sorted(path.rglob(f'*{SAVED}')):  # of pages, in subfolders as well
            left = len({*files} - {*own})
            tell([f'{path}: of tables *{SAVED} alone, not {left} others'] * bool(left))
        if not (files := own or files):
            raise FileNotFoundError(f'{path}: no table ({", ".join(_SUFFIXES)}) in it')
    with naming(path):
        return tell_apart(own for file in files for own in _read_table(file))


def _read_table(file: Path) -> list[Recording]:
    text = re.sub(r'\A(?:#.*\n)+', lambda m: '\n' * m[0].count('\n'), read_text(file))
    header, _ = read_table(file, text.encode())
    places = _places(header)
    for key in ('label', 'start'):
        if key not in places:
            boris = 'observation id' in text[:10_000].lower()
            raise ValueError(
                f'{file}: no column for the {key} of an event, such as '
                f'{", ".join(WORDS[key][:3])} (times in seconds or hh:mm:ss); '
                f'there are: {", ".join(header) or "none"}'
                f'{". Of BORIS? Then the format is boris" if boris else ""}'
            )
    numbers = {header[at] for key in _NUMBERS for at in places.get(key, ())}
    odd = OddEntries(file)
    videos: dict[tuple[str, str, str], tuple[Cells, list[Event]]] = {}
    for line, row in read_table(file, text.encode(), numbers=numbers)[1]:
        cells = {k: [_bare(row[i]) for i in at if row[i:]] for k, at in places.items()}
        video, by, task = (_text(cells, key) for key in ('video', 'annotator', 'task'))
        _, events = videos.setdefault((video, by, task), (cells, []))
        try:
            if any(_text(cells, key) for key in ('label', 'start', 'end')):
                events.append(_event(cells))
        except ValueError as error:
            odd.add(line, video, str(error))
    odd.notes(strict=True)
    if {'rec', 'det'} <= {task for *_, task in videos}:
        tell([f'{file.name}: answers on clips (task rec) are left out'])
        videos = {key: own for key, own in videos.items() if key[2] != 'rec'}
    found = []
    for (video, by, _), (cells, events) in videos.items():
        ours = 'path' in cells
        name = video if ours or not video else split_name(video)[0]
        name = name or re.sub(r'[._](pred|predict|predictions)$', '', file.stem)
        path = _text(cells, 'path') if ours else video
        with naming(file):
            fps, length = (_time(cells, key) or math.nan for key in ('fps', 'length'))
        path = '' if path == name else path
        facts = name, path, fps, length, tuple(events), by
        found.append(Recording(*facts, subset=_text(cells, 'subset')))
    return found


def _places(header: Sequence[str]) -> dict[str, list[int]]:
    """Columns of each meaning; a time may have two, for people and for programs."""
    spaced = [re.sub('(?<=[a-z])(?=[A-Z])', ' ', name).lower() for name in header]
    words = [re.sub(r'[\W_]', '', _SECONDS.sub('', name)) for name in spaced]
    found = ((key, [w for w in own if w in words][:1]) for key, own in WORDS.items())
    return {k: [i for i, w in enumerate(words) if w in own] for k, own in found if own}


def _text(cells: Cells, key: str) -> str:
    return next(filter(None, cells.get(key, ())), '')


def _event(cells: Cells) -> Event:
    """The event of a row; raises ValueError for a cell that is empty or wrong."""
    start_sec, end_sec, length_sec = (_time(cells, k) for k in _NUMBERS[:3])
    label = _text(cells, 'label')
    if start_sec is None or not label:
        raise ValueError(f'no {"label" if start_sec is not None else "start"}')
    if end_sec is None and length_sec is not None:
        end_sec = start_sec + length_sec
    elif end_sec is None:
        if cells.keys() & {'end', 'duration'} and not _text(cells, 'point'):
            raise ValueError('no end: for an event of a moment repeat its start')
        end_sec = start_sec
    notes = {key: _text(cells, key) for key in ('subject', 'text', 'tier')}
    return make_event((start_sec, end_sec), label, _time(cells, 'score'), notes)


def _time(cells: Cells, key: str) -> float | None:
    """Seconds of a cell; what a row has twice must be the same, as far as it is shown.

    Excel shows ``01:02:03.456`` as ``02:03.5`` and saves what it shows; the seconds
    beside it have the rest.
    """

    def digits(text: str) -> tuple[int, bool]:
        return len(re.split('[.,]', f'{text}.')[1]), ':' not in text

    first, time_sec = '', None
    texts = (x for x in cells.get(key, ()) if x.lower() not in _NOTHING)
    for text in sorted(texts, key=digits, reverse=True):
        try:
            value = seconds_of(text)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            raise ValueError(f'{key} {text!r}: need seconds or hh:mm:ss.mmm, from 0')
        if time_sec is None:
            first, time_sec = text, value
        off = abs(value - time_sec)
        if text.count(':') == 1:
            off = min(off % 3600, -off % 3600)
        if off > 0.501 * 0.1 ** digits(text)[0] + 1e-6:
            told = 'correct one, or delete its column'
            raise ValueError(f'{key} is {text!r} and {first!r}: {told}')
    return time_sec
