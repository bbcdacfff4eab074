"""BORIS: its projects, both ways, and the tables of events that it exports.

BORIS keeps presses of keys, not intervals: those of a subject, behaviour and modifiers
are START and STOP in turn. So equal labels of a subject that overlap are written as of
``P1`` and ``P1 (overlap 2)``, and joined on reading. What has no column in BORIS begins
the comment, ``[score 0.83] [tier head] text``; modifiers of BORIS begin our text.

Source: files of boris-behav-obs 8.27.4 and 10.0.2; older tables in
olivierfriard/BORIS/tests/files and sgoldenlab/simba/misc.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter, itemgetter
from pathlib import Path
from string import ascii_lowercase
from typing import Any
from unicodedata import normalize

from mmma.data.clips import split_name
from mmma.data.convert.events import Event, Recording
from mmma.data.convert.target import list_sources
from mmma.files import OddEntries, read_json, read_table, read_text, tell, write_file
from mmma.foreign import finite
from mmma.taxonomy import LabelSpace
from mmma.video import VIDEO_SUFFIXES

_DATE = '2000-01-01T00:00:00'  # the same bytes whenever they are written
_NEEDED = (
    'tabular events have Time, Behavior and Status (or Behavior type), aggregated ones '
    'Behavior, Start (s) and Stop (s). Export them from BORIS as CSV or TSV '
    '(Observations > Export events), or give the project'
)
_OVERLAP = re.compile(r' ?\(overlap \d+\)$')
_SCORE = re.compile(r'0?\.\d+|[01](\.0*)?|\d(\.\d+)?e-\d+')


def read_boris(path: Path) -> list[Recording]:
    """Read a project, a table of events that BORIS exported, or a folder of them.

    Times count from the start of each video: the time offset of an observation is taken
    off, and files that are played in a row are recordings of their own. Observations
    that cannot be read are left out and told; BORIS leaves those with unpaired events
    out of its analyses, too. Of a folder with projects the tables are not read.

    Raises:
        FileNotFoundError: No such file, or no ``.boris``, ``.csv`` or ``.tsv`` in it.
        ValueError: A file of another kind, or most observations cannot be read.
    """
    files = list_sources(path, ('.boris', '.csv', '.tsv'), 'project or table')[1]
    recordings: dict[str, Recording] = {}
    for file in [own for own in files if own.suffix.lower() == '.boris'] or files:
        content, odd = file.read_bytes(), OddEntries(file, 'observations left out')
        if content[:2] in (b'PK', b'\xd0\xcf', b'\x1f\x8b'):
            raise ValueError(f'{file}: packed: unpack it, or save a sheet as CSV UTF-8')
        is_project = content.lstrip(b'\xef\xbb\xbf \r\n\t')[:1] == b'{'
        read = _read_project if is_project else _read_table
        for name, line, observe in read(file, content):
            odd.total += 1
            try:
                observed = observe()
                found = [*_split(name, *observed)]
                if twice := [own.name for own in found if own.name in recordings]:
                    raise ValueError(f'{twice[0]!r} is there twice: rename one')
                recordings |= {own.name: own for own in found}
                odd.remarks += [f'{file.name}: {name!r} {x}' for x in observed[-1]]
            except (AttributeError, KeyError, TypeError) as error:
                odd.add(line, name, f'not as BORIS writes it: {error!r}')
            except ValueError as error:
                odd.add(line, name, str(error))
        tell(odd.notes())
    return list(recordings.values())


def _read_project(path: Path, content: bytes) -> Iterator[tuple[str, int, Any]]:
    project = read_json(path, 'observations', 'behaviors_conf', text=content)
    version = str(project.get('project_format_version', ''))
    if re.match(r'\d{2}|[89]|7\.0*[1-9]', version):
        tell([f'{path.name}: project format {version} is read as 7.0'])
    try:
        ethogram = {own['code']: own for own in project['behaviors_conf'].values()}
        observations = project['observations'].items()
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'{path}: not a project of BORIS: {error!r}') from None
    for name, own in observations:
        yield name, 0, partial(_observation, own, ethogram)


def _observation(own: dict[str, Any], ethogram: dict[str, Any]) -> tuple[Any, ...]:
    """Files played in a row (path, seconds, rate); presses; annotator; notes."""
    info, files = own.get('media_info') or {}, own.get('file') or {}
    presses, notes = [], []
    if own['type'] not in ('MEDIA', 'LIVE', 'VIDEO', 'AUDIO'):
        raise ValueError(f'its type is {own["type"]}: only those of videos can be read')
    paths = files.get('1', [])
    if others := [file for player in files if player != '1' for file in files[player]]:
        notes.append(f'shows {", ".join(others)} as well: events are of player 1 alone')
    if any(interval := own.get('observation time interval') or [0, 0]):
        notes.append(f'is coded from {interval[0]} to {interval[1]} s alone')
    offset_sec = float(own.get('time offset') or 0)
    if own.get('media_creation_date_as_offset'):
        if len(paths) > 1:
            raise ValueError('counts from the creation dates of several files')
        created = info['media_creation_time']
        offset_sec += sum(created[normalize('NFC', path)] for path in paths)
    for number, row in enumerate(own['events'], 1):
        sec, subject, label, modifiers, comment = row[:5]
        place, behavior = f'event {number}', ethogram.get(label)
        if behavior is None:
            text = 'is not in the ethogram: add it there, as state or point event'
            raise ValueError(f'{place}: {label!r} {text}')
        status = 'POINT' if behavior['type'].startswith('Point') else ''
        tier, key = behavior.get('category') or '', (subject, label, modifiers or '')
        sec = _seconds(str(sec), place) - offset_sec
        presses.append((sec, status, key, comment, tier, place))
    length, fps = (info.get(kind) or {} for kind in ('length', 'fps'))
    keys = [normalize('NFC', path) for path in paths]
    facts = [[float(own.get(k) or 'nan') for k in keys] for own in (length, fps)]
    annotator = (own.get('independent_variables') or {}).get('annotator')
    return [*zip(paths, *facts, strict=True)], presses, str(annotator or ''), notes


def _pair(presses: Iterable[tuple[Any, ...]]) -> list[Event]:
    """Events of presses; those without a status are START and STOP in turn."""
    running: dict[Any, tuple[float, str, str]] = {}
    events, faults = [], []
    for sec, status, key, comment, tier, place in sorted(presses, key=itemgetter(0)):
        if status == 'POINT':
            events.append(_event((sec, sec), key, (comment,), tier))
        elif status in ('START', '') and key not in running:
            running[key] = sec, comment, place
        elif status in ('STOP', '') and key in running:
            start_sec, first, _ = running.pop(key)
            events.append(_event((start_sec, sec), key, (first, comment), tier))
        else:
            faults.append((place, status, key, sec))
    faults += [(place, 'START', key, sec) for key, (sec, _, place) in running.items()]
    for place, status, key, sec in faults:
        raise ValueError(
            f'{place}: {status} of {key[1]!r} of {key[0] or "nobody"} at {sec:g} s '
            f'is not paired, one of {len(faults)}: put it right (BORIS lists them: '
            'Observations > Check state events)'
        )
    return sorted(events, key=attrgetter('start_sec'))


def _event(times: tuple[float, float], key: Any, comments: Any, tier: str) -> Event:
    """An event as ours, of the comments at its START and its STOP."""
    first, *more = [*dict.fromkeys(filter(None, comments)), ''][:2]
    marks, rest = _take(first, 'score', 'tier')
    if not _SCORE.fullmatch(marks.get('score', '1')):
        marks, rest = {}, first  # words of the annotator's own
    score = float(marks['score']) if 'score' in marks else None
    subject = '' if key[0] == 'No focal subject' else _OVERLAP.sub('', key[0])
    text = _put(' | '.join(filter(None, (rest, *more))), modifiers=key[2])
    start_sec, end_sec = round(times[0], 6), round(times[1], 6)
    tier = marks.get('tier', tier)
    return Event(start_sec, end_sec, key[1], subject, score, text, tier)


def _take(text: str, *kinds: str) -> tuple[dict[str, str], str]:
    """Marks ``[kind value]`` at the start of a text, and what follows them."""
    if not text.startswith('['):  # most do not
        return {}, text
    found, mark = {}, rf'\[({"|".join(kinds)}) ((?:[^]\\]|\\.)*)\] ?'
    while (match := re.match(mark, text, re.S)) and match[1] not in found:
        found[match[1]] = re.sub(r'\\(.)', r'\1', match[2], flags=re.S)
        text = text[match.end() :]
    return found, text[7:] if re.match(rf'(\[text\] )+{mark}', text, re.S) else text


def _put(text: str, **marks: str) -> str:
    """A text after its marks; ``[text]`` keeps it from being read as one."""
    values = {kind: re.sub(r'([\]\\])', r'\\\1', own) for kind, own in marks.items()}
    heads = [f'[{kind} {value}]' for kind, value in values.items() if value]
    keep = ['[text]'] if _take(text, *marks) != ({}, text) else []
    return ' '.join([*heads, *keep, *([text] if text else [])])


def _split(
    name: str, media: list[Any], presses: list[Any], annotator: str, notes: list[str]
) -> Iterator[Recording]:
    """Recordings of an observation: of each of its files the events that it shows."""
    media, events = media or [('', math.nan, math.nan)], _pair(presses)
    begin, cuts, last = 0.0, -len(events), len(media) - 1
    for number, (path, length, fps) in enumerate(media):
        if last and math.isnan(length):
            raise ValueError(
                f'its {last + 1} files share their times, and the length of {path!r} '
                'is not known: play it in BORIS, save, and give the project'
            )
        low = begin if number else -math.inf
        end = begin + length if number < last else math.inf
        shown = []
        for event in events:
            start_sec, end_sec = max(event.start_sec, low), min(event.end_sec, end)
            length_sec = event.end_sec - event.start_sec
            is_shown = end_sec - start_sec > min(5e-4, length_sec / 3)
            if is_shown if length_sec else low <= event.start_sec < end:
                times = round(start_sec - begin, 6), round(end_sec - begin, 6)
                shown.append(replace(event, start_sec=times[0], end_sec=times[1]))
        cuts += len(shown)
        own = f'{name} {split_name(path)[0]}' if last else name
        yield Recording(own, path, fps, length, tuple(shown), annotator)
        begin += length
    if cuts:
        notes.append(f'has {cuts} events that go on in the next file: they are cut')


def _read_table(path: Path, content: bytes) -> Iterator[tuple[str, int, Any]]:
    lines, seen = read_text(path, content).split('\n'), []
    for above, line in enumerate(lines[:60]):
        if not seen or re.search('behaviou?r', line, re.I):
            rest = '\n'.join(lines[above:]).encode()
            at, (seen, cells) = above, read_table(path, rest)
            names = [name.lower().replace('behaviour', 'behavior') for name in seen]
            pressed = 'time' in names and {'status', 'behavior type'} & {*names}
            if 'behavior' in names and (
                pressed or {'start (s)', 'stop (s)'} <= {*names}
            ):
                break
    else:
        columns = ', '.join(seen) or 'none'
        raise ValueError(f'{path}:{at + 1}: its columns are {columns}, but {_NEEDED}')
    # Old versions write facts of the observation above the columns.
    top, others = read_table(path, '\n'.join(lines[:above]).encode())
    head = defaultdict(list)
    for name, *values in filter(None, (top, *(values for _, values in others))):
        head[name.lower()] += filter(None, values)
    groups = defaultdict(list)
    for number, values in cells:
        row = dict(zip(names, values, strict=False), line=str(above + number))
        for name in row.keys() - {'behavior', 'subject', 'comment', 'comment start'}:
            if row[name] in ('NA', 'Not found', 'Not defined'):
                row[name] = ''
        row['file'] = _cell(row, 'media file name', 'media file path', 'media file')
        name = row.get('observation id') or ''.join(head['observation id'][:1])
        groups[name or split_name(row['file'])[0] or path.stem].append(row)
    for name, rows in groups.items():
        yield name, int(rows[0]['line']), partial(_table_observation, rows, head)


def _cell(row: dict[str, str], *names: str) -> str:
    return next(filter(None, map(row.get, names)), '')


def _seconds(text: str, place: str) -> float:
    try:
        return finite(text.replace(',', '.'))  # BORIS groups no thousands
    except ValueError:
        raise ValueError(f'{place}: {text!r} must be a number of seconds') from None


def _table_observation(rows: list[dict[str, str]], head: Any) -> tuple[Any, ...]:
    """The same of a table, which has a row for each event, or for each press."""
    first, presses = rows[0], []
    offset = first.get('time offset (s)') or ''.join(head['time offset (s)'][:1]) or '0'
    for row in rows:
        place, tier = f'line {row["line"]}', row.get('behavioral category', '')
        status = _cell(row, 'status', 'behavior type').upper()
        modifiers = '|'.join(v for k, v in row.items() if 'modifier' in k).rstrip('|')
        key = row.get('subject', ''), row['behavior'], modifiers
        comment = _cell(row, 'comment', 'comment start')
        ends = [(_cell(row, 'time', 'start (s)'), status or '?', comment)]
        if 'stop (s)' in row and status != 'POINT':
            key += (row['line'],)  # START and STOP of its own
            stop = row['stop (s)'], 'STOP', row.get('comment stop', '')
            ends = [(ends[0][0], 'START', comment), stop]
        for text, what, own in ends:
            sec = _seconds(text, place) - _seconds(offset, place)
            presses.append((sec, what, key, own, tier, place))
    source = first.get('source', '').removeprefix('player #1:').split('|player #')[0]
    paths = source.split(';') if source else head['player #1']
    if len(paths) < 2:  # rows of older tables say it
        paths = [*dict.fromkeys(row['file'] for row in rows if row['file'])] or paths
    facts = [paths]
    for names in (('media duration (s)', 'total length'), ('fps', 'fps (frame/s)')):
        own = _cell(first, *names).split('|')[0].split(';')
        own = own if len(own) == len(paths) else [''] * len(paths)
        facts.append([_seconds(v, 'video') if v else math.nan for v in own])
    return [*zip(*facts, strict=True)], presses, first.get('annotator', ''), []


def write_boris(
    out: Path, recordings: Sequence[Recording], space: LabelSpace
) -> list[Path]:
    """Write a project: an observation for each recording, the space as its ethogram.

    Labels that the space lacks are added; its groups are the categories. A video whose
    file is not known is looked for as ``NAME.mp4`` beside the project.

    Returns:
        The path of ``project.boris``.
    """
    used: dict[str, list[Event]] = {label: [] for label in space.actions}
    for event in (event for own in recordings for event in own.events):
        used.setdefault(event.label, []).append(event)
    texts, behaviors = dict(zip(space.actions, space.descriptions, strict=False)), {}
    bodies = [space.bodies[body] for body in space.body_of]
    groups = dict(zip(space.actions, bodies, strict=False))
    for number, (label, events) in enumerate(used.items()):
        tiers = {event.tier for event in events}
        is_point = events and all(own.start_sec == own.end_sec for own in events)
        behaviors[label] = {
            'type': 'Point event' if is_point else 'State event',
            'key': ascii_lowercase[number : number + 1],
            'code': label,
            'description': texts.get(label, ''),
            'category': groups.get(label, min(tiers) if len(tiers) == 1 else ''),
            'modifiers': {},
            **dict.fromkeys(('color', 'excluded', 'coding map'), ''),
        }
    observations = {own.name: _written(own, behaviors) for own in recordings}
    subjects = {row[1]: 0 for own in observations.values() for row in own['events']}
    categories = dict.fromkeys(own['category'] for own in behaviors.values())
    lists = {
        'subjects_conf': [
            {'key': '', 'name': s, 'description': ''} for s in subjects if s
        ],
        'behaviors_conf': behaviors.values(),
        'independent_variables': [
            {'label': 'annotator', 'description': '', 'type': 'text'}
            | {'default value': '', 'possible values': ''}
        ],
    }
    project = {
        'time_format': 'hh:mm:ss',
        'project_date': _DATE,
        'project_name': space.name,
        'project_description': '',
        'project_format_version': '7.0',
        **{k: {str(i): own for i, own in enumerate(v)} for k, v in lists.items()},
        'behavioral_categories': [*filter(None, categories)],
        'observations': observations,
        'behavioral_categories_config': {},
        'coding_map': {},
        'converters': {},
        'behaviors_coding_map': [],
    }
    path = out / 'project.boris'
    write_file(path, json.dumps(project) + '\n')  # ASCII: BORIS reads in any encoding
    return [path]


def _written(recording: Recording, behaviors: dict[str, Any]) -> dict[str, Any]:
    """An observation, with presses in the order that BORIS keeps."""
    ends, rows = defaultdict(list), []
    for event in sorted(recording.events, key=attrgetter('start_sec', 'end_sec')):
        times = round(float(event.start_sec), 3), round(float(event.end_sec), 3)
        marks, text = _take(event.text, 'modifiers')
        modifiers, behavior = marks.get('modifiers', ''), behaviors[event.label]
        tier = event.tier if event.tier != behavior['category'] else ''
        score = '' if event.score is None else repr(float(event.score))
        for i, part in enumerate(modifiers.split('|') if modifiers else ()):
            known = behavior['modifiers'].setdefault(
                str(i), {'name': '', 'description': '', 'type': 0, 'values': []}
            )['values']
            known += [] if part in known else [part]
        subject, is_point = event.subject, times[0] == times[1]
        if behavior['type'] == 'State event':
            # Of presses at one time only a STOP and a START keep their order.
            lanes = ends[subject, event.label, modifiers]
            fits = ((end, point or is_point) < (times[0], True) for end, point in lanes)
            lane = next((i for i, own in enumerate(fits) if own), len(lanes))
            lanes[lane : lane + 1] = [(times[1], is_point)]
            if lane or _OVERLAP.search(subject):
                subject = f'{subject} (overlap {lane + 1})'.lstrip()
        presses = [(times[0], _put(text, score=score, tier=tier)), (times[1], '')]
        for sec, comment in presses[: 1 + (behavior['type'] == 'State event')]:
            frame = 'NA' if math.isnan(recording.fps) else round(sec * recording.fps)
            rows.append([sec, subject, event.label, modifiers, comment, frame])
    suffix = '' if Path(recording.name).suffix.lower() in VIDEO_SUFFIXES else '.mp4'
    path = recording.path or recording.name + suffix
    info = {'length': recording.duration_sec, 'fps': recording.fps}
    info |= {'hasVideo': True, 'hasAudio': False}
    return {
        'file': {str(player): [path] * (player == 1) for player in range(1, 9)},
        'type': 'MEDIA',
        'date': _DATE,
        'description': '',
        'time offset': 0.0,
        'events': sorted(rows),
        'observation time interval': [0, 0],
        'independent_variables': {'annotator': recording.annotator},
        'close_behaviors_between_videos': False,
        'media_info': {
            **{k: {path: v} if v == v else {} for k, v in info.items()},  # no NaN
            'offset': {'1': 0.0},
        },
    }
