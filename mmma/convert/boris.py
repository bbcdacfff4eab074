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
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import accumulate, chain
from operator import attrgetter, itemgetter
from pathlib import Path
from string import ascii_lowercase
from typing import Any
from unicodedata import normalize

from mmma.convert.events import Event, Found, Recording, groups_of, tell_apart
from mmma.convert.target import list_sources
from mmma.data.clips import split_name
from mmma.files import OddEntries, read_json, read_table, read_text, tell, write_file
from mmma.foreign import finite, naming
from mmma.taxonomy import LabelSpace

_OVERLAP = re.compile(r' ?\(overlap \d+\)$')
_SCORE = re.compile(r'0?\.\d+|[01](\.0*)?|\d(\.\d+)?e-\d+')
_OURS = 'by mmma: tiers stand in comments'
_NOTHING = '', 'NA', 'Not found', 'Not defined'
_CELL = r'(?:^|[,;\t"])(?:%s)(?:[,;\t"]|$)'


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
    recordings: list[Recording] = []
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
                recordings += _split(name, *observed)
                odd.remarks += [f'{file.name}: {name!r} {x}' for x in observed[-1]]
            except (AttributeError, KeyError, TypeError) as error:
                odd.add(line, name, f'not as BORIS writes it: {error!r}')
            except ValueError as error:
                odd.add(line, name, str(error))
        tell(odd.notes())
    with naming(path):
        return tell_apart(recordings)


def _read_project(path: Path, content: bytes) -> Iterator[tuple[str, int, Any]]:
    project = read_json(path, 'observations', 'behaviors_conf', text=content)
    version = str(project.get('project_format_version', ''))
    if re.match(r'\d{2}|[89]|7\.0*[1-9]', version):
        tell([f'{path.name}: project format {version} is read as 7.0'])
    try:
        ethogram = {own['code']: own for own in project['behaviors_conf'].values()}
        observations = project['observations'].items()
        if _OURS in str(project.get('project_description')):
            ethogram = {code: {**own, 'category': ''} for code, own in ethogram.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'{path}: not a project of BORIS: {error!r}') from None
    for name, own in observations:
        yield name, 0, partial(_observation, own, ethogram)


def _observation(own: dict[str, Any], ethogram: dict[str, Any]) -> tuple[Any, ...]:
    """Files played in a row (path, seconds, rate); presses; annotator; notes."""
    info, files = own.get('media_info') or {}, own.get('file') or {}
    if own['type'] not in ('MEDIA', 'LIVE', 'VIDEO', 'AUDIO'):
        raise ValueError(f'its type is {own["type"]}: only those of videos can be read')
    presses, notes, paths = [], [], files.get('1', [])
    if others := [file for player in files if player != '1' for file in files[player]]:
        notes.append(f'shows {", ".join(others)} as well: events are of player 1 alone')
    if any(interval := own.get('observation time interval') or [0, 0]):
        notes.append(f'is coded from {interval[0]} to {interval[1]} s alone')
    keys = [normalize('NFC', path) for path in paths]
    offset_sec = float(own.get('time offset') or 0)
    if own.get('media_creation_date_as_offset'):
        if len(keys) > 1:
            raise ValueError('counts from the creation dates of several files')
        offset_sec += sum(info['media_creation_time'][key] for key in keys)
    for number, row in enumerate(own['events'], 1):
        sec, subject, label, modifiers, comment = row[:5]
        if label not in ethogram:
            text = 'is not in the ethogram: add it there, as state or point event'
            raise ValueError(f'event {number}: {label!r} {text}')
        status = 'POINT' if ethogram[label]['type'].startswith('Point') else ''
        sec = _seconds(str(sec), f'event {number}') - offset_sec
        key, tier = (subject, label, modifiers or ''), ethogram[label].get('category')
        presses.append((sec, status, key, comment, tier or '', f'event {number}'))
    facts = (info.get(kind) or {} for kind in ('length', 'fps'))
    media = [paths, *([abs(float(own.get(k) or 'nan')) for k in keys] for own in facts)]
    annotator = (own.get('independent_variables') or {}).get('annotator')
    return [*zip(*media, strict=True)], presses, str(annotator or ''), notes


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
            f'{place}: {status} of {key[1]!r} of {key[0] or "nobody"} at {sec:g} s is '
            f'not paired ({len(faults)} such): put it right (in BORIS: Observations > '
            'Check state events)'
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
    starts, ends = (round(sec, 6) for sec in times)
    if starts < 0 or not isinstance(key[1], str) or not key[1]:
        raise ValueError(
            f'behaviour {key[1]!r} at {starts:g} s: must be a name and in the video; '
            'is the time offset right?'
        )
    tier = marks.get('tier', str(tier))
    return Event(starts, ends, key[1], subject, score, text, tier)


def _take(text: str, *kinds: str) -> tuple[dict[str, str], str]:
    """Marks ``[kind value]`` at the start of a text, and what follows them."""
    found, mark = {}, rf'\[({"|".join(kinds)}) ((?:[^]\\]|\\.)*)\] ?'
    while (match := re.match(mark, text, re.S)) and match[1] not in found:
        found[match[1]] = re.sub(r'\\(.)', r'\1', match[2], flags=re.S)
        text = text[match.end() :]
    return found, text[7:] if re.match(rf'(\[text\] )+{mark}', text, re.S) else text


def _put(text: str, **marks: str) -> str:
    """A text after its marks; ``[text]`` keeps it from being read as one."""
    values = {kind: re.sub(r'([\]\\])', r'\\\1', own) for kind, own in marks.items()}
    texts = [f'[{kind} {own}]' for kind, own in values.items() if own]
    texts += ['[text]'] if _take(text, *marks) != ({}, text) else []
    return ' '.join([*texts, text] if text else texts)


def _split(
    name: str, media: list[Any], presses: list[Any], annotator: str, notes: list[str]
) -> Iterator[Recording]:
    """Recordings of an observation: of each of its files the events that it shows."""
    media, events = media or [('', math.nan, math.nan)], _pair(presses)
    begins = [0.0, *accumulate(length for _, length, _ in media[:-1])]
    if math.isnan(begins[-1]):
        raise ValueError(
            f'its {len(media)} files share their times, and not all their lengths are '
            'known: play them in BORIS, save, and give the project'
        )
    cuts, edges = -len(events), [-math.inf, *begins[1:], math.inf]
    for at, (path, length, fps) in enumerate(media):
        shown, begin, low, end = [], begins[at], *edges[at : at + 2]
        for event in events:
            start_sec, end_sec = max(event.start_sec, low), min(event.end_sec, end)
            length_sec = event.end_sec - event.start_sec
            is_shown = end_sec - start_sec > min(5e-4, length_sec / 3)
            if is_shown if length_sec else low <= event.start_sec < end:
                times = round(start_sec - begin, 6), round(end_sec - begin, 6)
                shown.append(replace(event, start_sec=times[0], end_sec=times[1]))
        cuts += len(shown)
        own = f'{name} {split_name(path)[0]}' if len(media) > 1 else name
        yield Recording(own, path, fps, length, tuple(shown), annotator)
    if cuts:
        notes.append(f'has {cuts} events that go on in the next file: they are cut')


def _read_table(path: Path, content: bytes) -> Iterator[tuple[str, int, Any]]:
    lines = read_text(path, content).split('\n')
    wanted = [_CELL % own for own in ('behaviou?r', r'time|start \(s\)')]
    fits = (all(re.search(own, line, re.I) for own in wanted) for line in lines)
    above = next((i for i, fit in enumerate(fits) if fit), 0)
    # Older versions write above the columns what the observation is.
    top, facts = read_table(path, '\n'.join(lines[:above]).encode())
    lead = [own for own in (top, *(values for _, values in facts)) if own[1:]]
    head = [(name.lower(), value) for name, value, *_ in lead if value]
    header, rows = read_table(path, '\n'.join(lines[above:]).encode())
    names = [name.lower().replace('behaviour', 'behavior') for name in header]
    kinds = {'start (s)', 'stop (s)'}, {'time', 'status'}, {'time', 'behavior type'}
    if not any({'behavior', *kind} <= {*names} for kind in kinds):
        raise ValueError(
            f'{path}:{above + 1}: its columns are {", ".join(header) or "none"}; '
            'tabular events have Time, Behavior and Status (or Behavior type), '
            'aggregated ones Behavior, Start (s) and Stop (s): export either as CSV '
            'or TSV'
        )
    groups = defaultdict(list)
    for number, values in rows:
        row = dict(zip(names, values, strict=False), line=str(above + number))
        row['file'] = _cell(row, 'media file name', 'media file path', 'media file')
        name = row.get('observation id') or dict(head).get('observation id', '')
        groups[name or split_name(row['file'])[0] or path.stem].append(row)
    for name, own in groups.items():
        yield name, int(own[0]['line']), partial(_table_observation, own, head)


def _cell(row: dict[str, str], *names: str) -> str:
    texts = (row.get(name, '') for name in names)
    return next((text for text in texts if text not in _NOTHING), '')


def _seconds(text: str, place: str) -> float:
    try:
        return finite(text.replace(',', '.'))  # BORIS groups no thousands
    except ValueError:
        raise ValueError(f'{place}: {text!r} must be a number of seconds') from None


def _table_observation(
    rows: list[dict[str, str]], head: list[tuple[str, str]]
) -> tuple[Any, ...]:
    """The same of a table, which has a row for each event, or for each press."""
    first, presses, media, offset = rows[0], [], [], 'time offset (s)'
    offset_sec = _seconds(_cell({**dict(head), **first}, offset) or '0', offset)
    for row in rows:
        place, tier = f'line {row["line"]}', _cell(row, 'behavioral category')
        status = _cell(row, 'status', 'behavior type').upper() or '?'
        modifiers = '|'.join(v for k, v in row.items() if 'modifier' in k).rstrip('|')
        key = [row.get('subject', ''), row['behavior'], modifiers]
        comment = _cell(row, 'comment', 'comment start')
        own = [(_cell(row, 'time', 'start (s)'), status, comment)]
        if 'stop (s)' in row and status != 'POINT':
            key.append(row['line'])  # these two belong together
            own = [(own[0][0], 'START', comment)]
            own += [(row['stop (s)'], 'STOP', row.get('comment stop', ''))]
        for text, what, comment in own:
            sec = _seconds(text, place) - offset_sec
            presses.append((sec, what, tuple(key), comment, tier, place))
    source = _cell(first, 'source').removeprefix('player #1:').split('|player #')[0]
    paths = source.split(';') if source else [v for k, v in head if k == 'player #1']
    if len(paths) < 2:  # rows of older tables say it
        paths = [*dict.fromkeys(row['file'] for row in rows if row['file'])] or paths
    for names in (('media duration (s)', 'total length'), ('fps', 'fps (frame/s)')):
        texts = _cell(first, *names).split('|')[0].split(';')
        texts = texts if len(texts) == len(paths) else [''] * len(paths)
        media.append([_seconds(v, 'video') if v else math.nan for v in texts])
    return [*zip(paths, *media, strict=True)], presses, first.get('annotator', ''), []


def write_boris(out: Path, recordings: Found, space: LabelSpace) -> list[Path]:
    """Write ``project.boris``: recordings as observations, the space as its ethogram.

    Labels that the space lacks are added; its groups are the categories. A video whose
    file is not known is looked for as ``NAME.mp4`` beside the project.
    """
    form, behaviors = read_json(Path(__file__).with_name('boris_project.json')), {}
    used: dict[str, list[Event]] = {label: [] for label in space.actions}
    for event in chain.from_iterable(own.events for own in recordings):
        used.setdefault(event.label, []).append(event)
    bodies = groups_of(space)
    for number, (label, events) in enumerate(used.items()):
        tiers = {own.tier for own in events}
        is_point = events and all(own.start_sec == own.end_sec for own in events)
        behaviors[label] = form['behavior'] | {
            'type': 'Point event' if is_point else 'State event',
            'key': ascii_lowercase[number : number + 1],
            'code': label,
            'description': ''.join(space.descriptions[number : number + 1]),
            'category': bodies.get(label) or ''.join([*tiers][: len(tiers) == 1]),
            'modifiers': {},
        }
    told = any(not own.tier for events in used.values() for own in events)
    observations, people = {}, {}
    for own in recordings:
        entries = form['observation'] | _written(own, behaviors, told)
        observations[own.name] = entries
        people |= {row[1]: row for row in entries['events'] if row[1]}
    named = [{'key': '', 'name': name, 'description': ''} for name in people]
    groups = dict.fromkeys(own['category'] for own in behaviors.values())
    project = form['project'] | {
        'project_name': space.name,
        'project_description': f'Written {_OURS}.' if told else '',
        'subjects_conf': {str(i): own for i, own in enumerate(named)},
        'behaviors_conf': {str(i): own for i, own in enumerate(behaviors.values())},
        'observations': observations,
        'behavioral_categories': [*filter(None, groups)],
    }
    path = out / 'project.boris'
    write_file(path, json.dumps(project) + '\n')  # ASCII: BORIS reads in any encoding
    return [path]


def _written(
    recording: Recording, behaviors: dict[str, Any], told: bool
) -> dict[str, Any]:
    """Entries of an observation; if told, all tiers stand in comments."""
    ends: dict[Any, list[tuple[float, bool]]] = defaultdict(list)
    rows = []
    for event in sorted(recording.events, key=attrgetter('start_sec', 'end_sec')):
        times = round(float(event.start_sec), 3), round(float(event.end_sec), 3)
        marks, text = _take(event.text, 'modifiers')
        modifiers, behavior = marks.get('modifiers', ''), behaviors[event.label]
        for i, part in enumerate(modifiers.split('|') if modifiers else ()):
            empty = {'name': '', 'description': '', 'type': 0, 'values': []}
            known = behavior['modifiers'].setdefault(str(i), empty)['values']
            known += [] if part in known else [part]
        subject, is_point = event.subject or recording.subject, times[0] == times[1]
        is_state = behavior['type'] == 'State event'
        if is_state:
            # Of presses at one time only a STOP and a START keep their order.
            lanes = ends[subject, event.label, modifiers]
            fits = ((end, point or is_point) < (times[0], True) for end, point in lanes)
            lane = next((i for i, own in enumerate(fits) if own), len(lanes))
            lanes[lane : lane + 1] = [(times[1], is_point)]
            if lane or _OVERLAP.search(subject):
                subject = f'{subject} (overlap {lane + 1})'.lstrip()
        score = '' if event.score is None else repr(float(event.score))
        tier = event.tier if told or event.tier != behavior['category'] else ''
        comment = _put(text, score=score, tier=tier)
        for sec, own in [(times[0], comment), (times[1], '')][: 1 + is_state]:
            frame = 'NA' if math.isnan(recording.fps) else round(sec * recording.fps)
            rows.append([sec, subject, event.label, modifiers, own, frame])
    suffix = split_name(recording.name)[1]
    path = recording.path or recording.name.removesuffix(suffix) + suffix
    info = {'length': recording.duration_sec, 'fps': recording.fps}
    info |= {'hasVideo': True, 'hasAudio': False}
    known = {k: {path: v} if v == v else {} for k, v in info.items()}  # but NaN
    return {
        'file': {'1': [path], **{str(player): [] for player in range(2, 9)}},
        'events': sorted(rows),  # as BORIS keeps them
        'independent_variables': {'annotator': recording.annotator},
        'media_info': {**known, 'offset': {'1': 0.0}},
    }
