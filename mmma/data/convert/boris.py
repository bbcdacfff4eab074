"""BORIS: its projects, both ways, and the tables of events that it exports.

BORIS keeps presses of keys, not intervals: of one subject, behaviour and modifiers they
are START and STOP in turn. So equal labels of a subject that overlap are written as of
``P1`` and ``P1 (overlap 2)``, and joined when they are read. What BORIS has no column for
begins the comment, ``[score 0.83] [tier head] text``; its modifiers begin our text.

Source: what boris-behav-obs 8.27.4 and 10.0.2 write and read; older tables as they stand
in olivierfriard/BORIS/tests/files and sgoldenlab/simba/misc.
"""

import csv
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter, itemgetter
from pathlib import Path
from string import ascii_lowercase
from typing import Any
from unicodedata import normalize

from mmma.data.clips import split_name
from mmma.data.convert.events import Event, Recording
from mmma.files import OddEntries, read_json, read_table, read_text, tell, write_file
from mmma.foreign import is_number
from mmma.taxonomy import LabelSpace
from mmma.video import VIDEO_SUFFIXES

_DATE = '2000-01-01T00:00:00'  # the same bytes whenever they are written
_OVERLAP = re.compile(r' ?\(overlap \d+\)$')
_SCORE = re.compile(r'0|1|[01]?\.\d+|\d(\.\d+)?e-\d+')
_NEEDED = (
    'tabular events have Time, Behavior and Status (or Behavior type), aggregated ones '
    'Behavior, Start (s) and Stop (s). Export them from BORIS as CSV or TSV '
    '(Observations > Export events), or give the project'
)
Media = list[tuple[str, float, float]]  # path, seconds, frames per second
Key = tuple[str, str, str]  # subject, label, modifiers
Press = tuple[float, str, Key, str, str, str]
"""Seconds; START, STOP, POINT, or '' where START and STOP take turns; key; comment;
tier; place in the file."""
Observed = tuple[Media, list[Event], str, list[str]]  # ..., annotator, notes
Found = Iterator[tuple[str, int, Callable[[], Observed]]]  # name, line, ...


def read_boris(path: Path) -> list[Recording]:
    """Read a project, a table of events that BORIS exported, or a folder of them.

    Times count from the start of each video: the time offset of an observation is taken
    off, and files that are played in a row are recordings of their own. Observations
    that cannot be read are left out and told; BORIS leaves those with unpaired events
    out of its analyses, too.

    Args:
        path: A ``.boris``, ``.csv`` or ``.tsv`` file; of a folder its projects or,
            where it has none, its tables.

    Raises:
        FileNotFoundError: No such file, or none in the folder.
        ValueError: A file of another kind, or most observations cannot be read.
    """
    files = [path] if path.is_file() else []
    if path.is_dir():
        kinds = ('.boris',), ('.csv', '.tsv')
        found = ([f for f in sorted(path.iterdir()) if f.suffix in k] for k in kinds)
        files = next(filter(None, found), [])
    if not files:
        raise FileNotFoundError(f'{path}: no .boris, .csv or .tsv file is there')
    recordings: dict[str, Recording] = {}
    for file in files:
        content, odd = file.read_bytes(), OddEntries(file, 'observations left out')
        if content[:2] in (b'PK', b'\xd0\xcf', b'\x1f\x8b'):
            raise ValueError(
                f'{file}: packed: save a spreadsheet as CSV UTF-8, unpack a .gz file'
            )
        is_project = content.lstrip(b'\xef\xbb\xbf \r\n\t')[:1] == b'{'
        read = _open_project if is_project else _open_table
        for name, line, observe in read(file, content):
            odd.total += 1
            try:
                media, events, annotator, notes = observe()
                for own in _split(name, media, events, annotator, notes):
                    if own.name in recordings:
                        raise ValueError('is there twice: rename or remove one')
                    recordings[own.name] = own
                odd.remarks += [f'{file.name}: {name!r} {note}' for note in notes]
            except (AttributeError, TypeError, KeyError) as error:
                odd.add(line, name, f'not as BORIS writes it: {error!r}')
            except ValueError as error:
                odd.add(line, name, str(error))
        tell(odd.notes())
    return list(recordings.values())


def _open_project(path: Path, content: bytes) -> Found:
    project = read_json(path, 'observations', 'behaviors_conf', text=content)
    version = str(project.get('project_format_version', ''))
    if re.match(r'\d{2}|[89]|7\.0*[1-9]', version):
        tell([f'{path.name}: project format {version} is read as 7.0'])
    try:
        ethogram = {own['code']: own for own in project['behaviors_conf'].values()}
        for name, own in project['observations'].items():
            yield name, 0, partial(_observation, own, ethogram)
    except (AttributeError, TypeError, KeyError) as error:
        raise ValueError(f'{path}: not a project of BORIS: {error!r}') from None


def _observation(own: dict[str, Any], ethogram: dict[str, Any]) -> Observed:
    """Files that an observation plays in a row, and its events."""
    kind, info, notes = own.get('type', 'MEDIA'), own.get('media_info') or {}, []
    if kind not in ('MEDIA', 'LIVE', 'VIDEO', 'AUDIO'):
        raise ValueError(f'is of the type {kind}: only those of videos can be read')
    files = own['file'] or {}
    if isinstance(files, list):  # of the first versions
        files = {'1': files[:1], '2': files[1:]}
    paths = files.get('1', [])
    if others := [file for player in files if player != '1' for file in files[player]]:
        notes.append(f'shows {", ".join(others)} as well: events are of player 1 alone')
    if any(interval := own.get('observation time interval') or [0, 0]):
        notes.append(f'is coded from {interval[0]} to {interval[1]} s alone')
    offset_sec = float(own.get('time offset') or 0)
    if own.get('media_creation_date_as_offset'):
        if len(paths) > 1:
            raise ValueError('counts from the creation dates of several files')
        offset_sec += sum(info['media_creation_time'][normalize('NFC', p)] for p in paths)

    def known(kind: str, path: str) -> float:
        value = (info.get(kind) or {}).get(normalize('NFC', path))
        return float(value) if is_number(value) and value > 0 else math.nan

    media = [(path, known('length', path), known('fps', path)) for path in paths]
    events = _pair(_presses(own['events'], ethogram, offset_sec))
    annotator = (own.get('independent_variables') or {}).get('annotator')
    return media, events, str(annotator or ''), notes


def _presses(rows: list[Any], ethogram: dict[str, Any], offset_sec: float) -> Iterator[Press]:
    if lost := {repr(row[2]): None for row in rows if row[2] not in ethogram}:
        raise ValueError(
            f'behaviours {", ".join(lost)} are not in the ethogram: add them to it, as '
            'state or point events'
        )
    for number, (sec, subject, label, modifiers, comment, *_) in enumerate(rows, 1):
        if not is_number(sec):
            raise ValueError(f'event {number}: its time {sec!r} must be a number')
        status = 'POINT' if ethogram[label]['type'].startswith('Point') else ''
        tier, key = ethogram[label].get('category') or '', (subject, label, modifiers)
        yield sec - offset_sec, status, key, comment, tier, f'event {number}'


def _pair(presses: Iterable[Press]) -> list[Event]:
    running: dict[Key, tuple[float, str, str]] = {}
    events, faults = [], []
    for sec, status, key, comment, tier, place in sorted(presses, key=itemgetter(0)):
        if status == 'POINT':
            events.append(_event((sec, sec), key, [comment], tier))
        elif status in ('START', '') and key not in running:
            running[key] = sec, comment, place
        elif status in ('STOP', '') and key in running:
            start_sec, first, _ = running.pop(key)
            events.append(_event((start_sec, sec), key, [first, comment], tier))
        else:
            faults.append((status, key, sec, place))
    faults += [('START', key, sec, place) for key, (sec, _, place) in running.items()]
    if faults:
        (status, (subject, label, _), sec, place), *more = faults
        raise ValueError(
            f'{place}: {status} of {label!r} of {subject or "nobody"} at {sec:g} s is '
            f'not paired{f", nor {len(more)} more" * bool(more)}: put in the press that '
            'is missing (in BORIS, Observations > Check state events shows them)'
        )
    return sorted(events, key=attrgetter('start_sec'))


def _event(times: tuple[float, float], key: Key, comments: list[str], tier: str) -> Event:
    """An event as ours, of the comments at its START and its STOP."""
    first, *more = [*dict.fromkeys(filter(None, comments)), ''][:2]
    marks, rest = _take(first, 'score', 'tier')
    if not _SCORE.fullmatch(marks.get('score', '1')):
        marks, rest = {}, first  # words of the annotator's own
    score = float(marks['score']) if 'score' in marks else None
    subject, label, modifiers = key
    subject = _OVERLAP.sub('', '' if subject == 'No focal subject' else subject)
    text = _put(' | '.join(filter(None, (rest, *more))), modifiers=modifiers)
    start_sec, end_sec = round(times[0], 6), round(times[1], 6)
    tier = marks.get('tier', tier)
    return Event(start_sec, end_sec, label, subject, score, text, tier)


def _take(text: str, *kinds: str) -> tuple[dict[str, str], str]:
    """Marks ``[kind value]`` at the start of a text, and what follows them."""
    found, mark = {}, rf'\[({"|".join(kinds)}) ((?:[^]\\]|\\.)*)\] ?'
    while (match := re.match(mark, text, re.S)) and match[1] not in found:
        found[match[1]] = re.sub(r'\\(.)', r'\1', match[2], flags=re.S)
        text = text[match.end() :]
    return found, text[7:] if re.match(rf'(\[text\] )+{mark}', text, re.S) else text


def _put(text: str, **marks: str) -> str:
    """A text after its marks; ``[text]`` keeps what looks like a mark from being one."""
    values = {kind: re.sub(r'([\]\\])', r'\\\1', own) for kind, own in marks.items()}
    heads = [f'[{kind} {value}]' for kind, value in values.items() if value]
    keep = ['[text]'] if _take(text, *marks) != ({}, text) else []
    return ' '.join([*heads, *keep, *([text] if text else [])])


def _split(
    name: str, media: Media, events: list[Event], annotator: str, notes: list[str]
) -> Iterator[Recording]:
    """Recordings of an observation: of each of its files the events that it shows."""
    if len(media) < 2:
        path, length, fps = media[0] if media else ('', math.nan, math.nan)
        yield Recording(name, path, fps, length, tuple(events), annotator)
        return
    if unknown := [path for path, length, _ in media if math.isnan(length)]:
        raise ValueError(
            f'its {len(media)} files share their times, and the length of {unknown[0]!r} '
            'is not known: play it in BORIS, save, and give the project'
        )
    begin, cuts = 0.0, -len(events)
    for number, (path, length, fps) in enumerate(media):
        low = begin if number else -math.inf
        end = begin + length if number < len(media) - 1 else math.inf
        shown = []
        for event in events:
            start_sec, end_sec = max(event.start_sec, low), min(event.end_sec, end)
            is_point = event.start_sec == event.end_sec
            if low <= start_sec < end if is_point else end_sec - start_sec > 5e-4:
                times = round(start_sec - begin, 6), round(end_sec - begin, 6)
                shown.append(replace(event, start_sec=times[0], end_sec=times[1]))
        cuts += len(shown)
        own = f'{name} {split_name(path)[0]}'
        yield Recording(own, path, fps, length, tuple(shown), annotator)
        begin += length
    if cuts > 0:
        notes.append(f'has {cuts} events that go on in the next file: they are cut')


def _open_table(path: Path, content: bytes) -> Found:
    lines, seen = read_text(path, content).split('\n'), []
    for above, line in enumerate(lines[:60]):
        if seen and not re.search('behaviou?r', line, re.I):
            continue
        at, (seen, cells) = above, read_table(path, '\n'.join(lines[above:]).encode())
        names = [name.lower().replace('behaviour', 'behavior') for name in seen]
        kinds = {'start (s)', 'stop (s)'}, {'time', 'status'}, {'time', 'behavior type'}
        if 'behavior' in names and any(kind <= {*names} for kind in kinds):
            break
    else:
        columns = ', '.join(seen) or 'none'
        raise ValueError(f'{path}:{at + 1}: its columns are {columns}, but {_NEEDED}')
    head = defaultdict(list)  # what old versions write above the columns
    separator = max(',;\t', key=line.count)
    for own in filter(None, csv.reader(lines[:above], delimiter=separator)):
        head[own[0].strip().lower()] += filter(None, map(str.strip, own[1:]))
    groups = defaultdict(list)
    for number, values in cells:
        row = dict(zip(names, values, strict=False), line=str(above + number))
        row |= {k: '' for k, v in row.items() if v in ('NA', 'Not found', 'Not defined')}
        file = _cell(row, 'media file name', 'media file path', 'media file')
        name = row.get('observation id') or next(iter(head['observation id']), '')
        groups[name or split_name(file)[0] or path.stem].append({**row, 'file': file})
    for name, rows in groups.items():
        yield name, int(rows[0]['line']), partial(_table_observation, rows, head)


def _cell(row: dict[str, str], *names: str) -> str:
    return next(filter(None, map(row.get, names)), '')


def _seconds(text: str, place: str) -> float:
    """Seconds of ``62.5``, ``62,500`` or ``00:01:02.5``: BORIS groups no thousands."""
    match = re.fullmatch(r'(?:(\d+):(\d\d):)?(-?\d+(?:[.,]\d+)?)', text)
    if not match:
        raise ValueError(f'{place}: {text!r}: must be seconds, or HH:MM:SS.sss')
    hours, minutes, sec = match.groups('0')
    return 3600 * int(hours) + 60 * int(minutes) + float(sec.replace(',', '.'))


def _table_observation(
    rows: list[dict[str, str]], head: dict[str, list[str]]
) -> Observed:
    """An observation of a table, which has a row for an event, or for each press."""
    first, presses, events = rows[0], [], []
    offset = first.get('time offset (s)') or next(iter(head['time offset (s)']), '0')
    offset_sec = _seconds(offset, 'time offset')
    for row in rows:
        place, tier = f'line {row["line"]}', row.get('behavioral category', '')
        status = _cell(row, 'status', 'behavior type').upper()
        modifiers = '|'.join(v for k, v in row.items() if 'modifier' in k).rstrip('|')
        key = row.get('subject', ''), row.get('behavior', ''), modifiers
        comments = [_cell(row, 'comment', 'comment start'), row.get('comment stop', '')]
        sec = _seconds(_cell(row, 'time', 'start (s)'), place) - offset_sec
        if 'stop (s)' in row:
            stop = row['start (s)' if status == 'POINT' else 'stop (s)']
            times = sec, _seconds(stop, place) - offset_sec
            events.append(_event(times, key, comments, tier))
        else:
            presses.append((sec, status or 'none', key, comments[0], tier, place))
    source = first.get('source', '').removeprefix('player #1:').split('|player #')[0]
    paths = source.split(';') if source else head['player #1']
    if len(paths) < 2:  # the rows say it in older tables
        paths = [*dict.fromkeys(row['file'] for row in rows if row['file'])] or paths
    facts = [
        _cell(first, *names).split('|')[0].split(';')
        for names in (('media duration (s)', 'total length'), ('fps', 'fps (frame/s)'))
    ]
    facts = [own if len(own) == len(paths) else [''] * len(paths) for own in facts]
    length, fps = ([_seconds(v, 'video') if v else math.nan for v in own] for own in facts)
    events += _pair(presses)
    media = [*zip(paths, length, fps, strict=True)]
    return media, sorted(events, key=attrgetter('start_sec')), first.get('annotator', ''), []


def write_boris(
    out: Path, recordings: Sequence[Recording], space: LabelSpace
) -> list[Path]:
    """Write a project: an observation for each recording, the space as its ethogram.

    A video whose file is not known is looked for as ``NAME.mp4`` beside the project.

    Args:
        out: Folder of the project.
        recordings: Videos and their events; labels that the space lacks are added.
        space: Actions; their groups are the categories.

    Returns:
        The path of ``project.boris``.
    """
    used: dict[str, list[Event]] = {label: [] for label in space.actions}
    for event in (event for own in recordings for event in own.events):
        used.setdefault(event.label, []).append(event)
    behaviors = {
        label: _behavior(label, events, space, i)
        for i, (label, events) in enumerate(used.items())
    }
    observations = {own.name: _written(own, behaviors) for own in recordings}
    subjects = {row[1]: 0 for own in observations.values() for row in own['events']}
    categories = dict.fromkeys([*space.bodies, *(b['category'] for b in behaviors.values())])
    named = ('label', 'annotator'), ('description', 'who coded it'), ('type', 'text')
    project = {
        'time_format': 'hh:mm:ss',
        'project_date': _DATE,
        'project_name': space.name,
        'project_description': '',
        'project_format_version': '7.0',
        'subjects_conf': _numbered(
            {'key': '', 'name': name, 'description': ''} for name in subjects if name
        ),
        'behaviors_conf': _numbered(behaviors.values()),
        'behavioral_categories': [*filter(None, categories)],
        'observations': observations,
        'independent_variables': _numbered(
            [{**dict(named), 'default value': '', 'possible values': ''}]
        ),
        'coding_map': {},
        'behaviors_coding_map': [],
        'converters': {},
    }
    path = out / 'project.boris'
    # ASCII alone: BORIS reads by the encoding of the system.
    write_file(path, json.dumps(project, allow_nan=False) + '\n')
    return [path]


def _numbered(items: Iterable[Any]) -> dict[str, Any]:
    return {str(i): item for i, item in enumerate(items)}


def _behavior(
    label: str, events: list[Event], space: LabelSpace, number: int
) -> dict[str, Any]:
    tiers, is_ours = {event.tier for event in events}, number < space.num_actions
    category = tiers.pop() if len(tiers) == 1 else ''
    if is_ours and space.bodies:
        category = space.bodies[space.body_of[number]]
    is_point = events and all(own.start_sec == own.end_sec for own in events)
    return {
        'type': 'Point event' if is_point else 'State event',
        'key': ascii_lowercase[number : number + 1],
        'code': label,
        'description': space.descriptions[number] if is_ours and space.descriptions else '',
        'category': category,
        'modifiers': {},
        'excluded': '',
        'coding map': '',
    }


def _written(recording: Recording, behaviors: dict[str, Any]) -> dict[str, Any]:
    name = recording.name
    is_file = Path(name).suffix.lower() in VIDEO_SUFFIXES
    path = recording.path or (name if is_file else f'{name}.mp4')
    facts = {'length': recording.duration_sec, 'fps': recording.fps}
    info = {kind: {path: v} for kind, v in facts.items() if not math.isnan(v)}
    sights = {'hasVideo': {path: True}, 'hasAudio': {path: False}, 'offset': {'1': 0.0}}
    return {
        'file': {str(player): [path] * (player == 1) for player in range(1, 9)},
        'type': 'MEDIA',
        'date': _DATE,
        'description': '',
        'time offset': 0.0,
        'events': _rows(recording, behaviors),
        'observation time interval': [0, 0],
        'independent_variables': {'annotator': recording.annotator},
        'close_behaviors_between_videos': False,
        'media_info': {'length': {}, 'fps': {}, **info, **sights},
    }


def _rows(recording: Recording, behaviors: dict[str, Any]) -> list[list[Any]]:
    """Presses in the order that BORIS keeps; overlaps are of subjects of their own."""
    lanes: dict[Key, list[tuple[float, bool]]] = defaultdict(list)
    rows = []
    for event in sorted(recording.events, key=attrgetter('start_sec', 'end_sec')):
        times = round(event.start_sec, 3), round(event.end_sec, 3)
        marks, text = _take(event.text, 'modifiers')
        modifiers, behavior = marks.get('modifiers', ''), behaviors[event.label]
        tier = event.tier if event.tier != behavior['category'] else ''
        score = '' if event.score is None else repr(float(event.score))
        subject, is_point = event.subject, times[0] == times[1]
        if behavior['type'] == 'State event':
            ends = lanes[subject, event.label, modifiers]
            # Presses at one time have no order: only a STOP and a START may share it.
            free = (
                i
                for i, (end, was_point) in enumerate(ends)
                if end < times[0] or (end == times[0] and not (is_point or was_point))
            )
            lane = next(free, len(ends))
            ends[lane : lane + 1] = [(times[1], is_point)]
            if lane or _OVERLAP.search(subject):
                subject = f'{subject} (overlap {lane + 1})'.lstrip()
        comment = _put(text, score=score, tier=tier)
        presses = [(times[0], comment), (times[1], '')]
        for sec, own in presses if behavior['type'] == 'State event' else presses[:1]:
            frame = 'NA' if math.isnan(recording.fps) else round(sec * recording.fps)
            rows.append([sec, subject, event.label, modifiers, own, frame])
    return sorted(rows)
