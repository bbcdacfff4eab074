"""Tiers of ELAN (``.eaf``) and Praat (``.TextGrid``), which hold no overlaps.

An event stands in the tier that it names, else in that of its body group, with its
person as ``upper limb@S1``, as ELAN does. Where events overlap they go on in ``upper
limb 2``; a numbered tier is joined on reading where each of its events overlaps one of
the other. Events without length stand in ``upper limb (points)``.

ELAN has vocabularies of the label space per group; confidence and text stand in tiers
that depend on these. In a TextGrid they follow the label: ``nodding [0.83] // text``.
Rate, length and what else nothing has a place for is JSON: a property of the ELAN file,
the tier ``mmma`` of a TextGrid.

Source: ELAN Annotation Format, EAF schema 2.8; Praat manual, TextGrid file formats.
"""

import json
import mimetypes
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from mmma.convert.events import Event, Found, Recording, groups_of, known, media_name
from mmma.convert.target import list_sources
from mmma.files import draft, leaves_root, tell, write_file
from mmma.foreign import finite, first_line, has_controls, is_number, parse_json
from mmma.taxonomy import LabelSpace
from mmma.video import VIDEO_SUFFIXES

Key = tuple[str, bool, str]  # name of a tier, whether it is of points, person
Item = tuple[int, int, Event]  # start and end in ms, as they stand in the file
_OWN = 'mmma'
_ANY_ACTION = 'actions'
_POINTS = ' (points)'
_POINT_MS = 40
_LABEL = re.compile(r'(.*?)(?: \[(-?\d[\d.e+-]*)\])?(?: // (.*))?', re.DOTALL)
_NOTES = {'mmma-score': '-score', 'mmma-text': '-text'}  # types, ends of names
_LANGUAGE = 'und', 'http://cdb.iso.org/lg/CDB-00130975-001', 'undetermined (und)'


def _read(read: Any, suffix: str, path: Path, groups: bool = False) -> list[Recording]:
    """Read a file, or those of a folder; a video is the first one linked.

    With ``groups``, events that named no tier have the group in which they stand.
    """
    folder, found = path if path.is_dir() else path.parent, []
    for file in list_sources(path, (suffix,))[1]:
        name = file.relative_to(folder).with_suffix('').as_posix()
        if not file.name.startswith('.'):  # ._a.eaf of macOS
            found.append(read(file, normalize('NFC', name), groups))
    return found


def _write(
    write: Any, suffix: str, out: Path, recordings: Found, space: LabelSpace
) -> list[Path]:
    """Write a file per video."""
    files = []
    for own in recordings:
        if leaves_root(own.name) or has_controls(own.name) or not own.name:
            told = 'cannot be the name of a file: rename it'
            raise ValueError(f'video {own.name!r} {told}')
        files.append(write(out / f'{own.name}{suffix}', own, space))
    return files


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ValueError(f"{error}: pip install 'mmma[annotation]'") from None


def _lay_out(
    recording: Recording, space: LabelSpace, point_ms: int
) -> tuple[dict[Key, list[Item]], set[str]]:
    """Events of a video in tiers without overlaps; and tiers that no event names.

    An event that tiers cannot hold raises ValueError.
    """
    wanted: dict[Key, list[Item]] = defaultdict(list)
    groups = groups_of(space)
    for event in recording.events:
        name = event.tier or groups.get(event.label, _ANY_ACTION)
        texts = event.label, event.subject, name, re.sub(r'[\n\t]', '', event.text)
        start_ms, end_ms = (round(1000 * s) for s in (event.start_sec, event.end_sec))
        fault = 'no label' if not event.label.strip() else ''
        fault = 'control characters' if any(map(has_controls, texts)) else fault
        fault = 'a tier whose name holds "@"' if '@' in name else fault
        if fault or not 0 <= event.start_sec <= event.end_sec:
            raise ValueError(
                f'{recording.name}: {event} has {fault or "no time of the video"}, '
                'which no tier can hold'
            )
        point = event.start_sec == event.end_sec
        end_ms = start_ms + point_ms if point else max(end_ms, start_ms + 1)
        wanted[name, point, event.subject].append((start_ms, end_ms, event))
    order = {group: i for i, group in enumerate(space.bodies)}
    tiers: dict[Key, list[Item]] = {}
    for key in sorted(wanted, key=lambda k: (k[2], order.get(k[0], len(order)), k)):
        rows: list[list[Item]] = []
        for item in sorted(wanted[key], key=lambda item: item[:2]):
            free = (row for row in rows if row[-1][1] <= item[0])
            if (row := next(free, None)) is None:
                rows.append(row := [])
            row.append(item)
        names = (f'{key[0]} {n}' for n in count(2))
        names = (name for name in names if (name, *key[1:]) not in wanted)
        for row in rows:
            tiers[key if row is rows[0] else (next(names), *key[1:])] = row
    labels = {event.label for event in recording.events if not event.tier}
    grouped = {groups.get(label, _ANY_ACTION) for label in labels}
    return tiers, grouped - {event.tier for event in recording.events}


def _full_name(key: Key) -> str:
    name, points, subject = key
    return f'{name}{_POINTS * points}{f"@{subject}" if subject else ""}'


def _split_name(full: str, subject: str = '') -> Key:
    """Parts of the name of a tier; with its person, if the file tells him."""
    name = full.removesuffix(f'@{subject}') if subject else full
    if not subject:
        name, _, subject = full.partition('@')
    return name.removesuffix(_POINTS), name.endswith(_POINTS), subject


def _join(tiers: dict[Key, list[Item]], grouped: Sequence[str]) -> tuple[Event, ...]:
    """Events of all tiers by time, with their tier and person."""
    numbered = [(m, k) for k in tiers if (m := re.fullmatch(r'(.+) (\d{1,4})', k[0]))]
    for match, key in sorted(numbered, key=lambda one: int(one[0][2])):
        items, base = tiers[key], tiers.get((match[1], *key[1:]))
        if base is None:
            continue
        starts, ends = np.array([item[:2] for item in base]).reshape(-1, 2).T
        if all(((starts < end) & (start < ends)).any() for start, end, _ in items):
            base += tiers.pop(key)
    found = []
    for (name, points, subject), items in tiers.items():
        tier = '' if name in grouped else name
        for start_ms, end_ms, event in items:
            end_sec = event.start_sec if points else event.end_sec
            own = replace(event, end_sec=end_sec, subject=subject, tier=tier)
            found.append((start_ms, end_ms, own))
    return tuple(event for *_, event in sorted(found, key=lambda item: item[:2]))


def _own_facts(recording: Recording, grouped: set[str]) -> str:
    keys = 'fps', 'duration_sec', 'annotator', 'subject', 'domain'
    facts = {key: getattr(recording, key) for key in keys}
    told = known(**facts, groups=sorted(grouped))
    return json.dumps(told, ensure_ascii=False)


def _with_facts(
    found: Recording, told: str, tiers: dict[Key, list[Item]], path: Path, groups: bool
) -> Recording:
    """A recording with what :func:`_own_facts` told, and the events of its tiers."""
    facts, _ = parse_json(told, path)
    facts = facts if isinstance(facts, dict) else {}
    numbers = {k: v for k in ('fps', 'duration_sec') if is_number(v := facts.get(k))}
    keys = 'path', 'annotator', 'subject', 'domain'
    texts = {k: v for k in keys if isinstance(v := facts.get(k), str)}
    grouped = None if groups else facts.get('groups')
    events = _join(tiers, grouped if isinstance(grouped, list) else [])
    own = {k: v for k in keys if (v := getattr(found, k))}
    return replace(found, **{**numbers, **texts, **own, 'events': events})


def _write_eaf(file: Path, recording: Recording, space: LabelSpace) -> Path:
    elan = _package('pympi.Elan')
    eaf = elan.Eaf(author=recording.annotator)
    eaf.remove_tier('default')
    eaf.header = {'MEDIA_FILE': '', 'TIME_UNITS': 'milliseconds'}
    eaf.add_language(*_LANGUAGE)
    if recording.path:
        _link_media(eaf, recording.path, file)
    _add_vocabularies(eaf, space)
    fps = recording.fps
    point_ms = max(1, round(1000 / fps)) if fps > 0 else _POINT_MS
    tiers, grouped = _lay_out(recording, space, point_ms)
    if any(name in space.bodies for name, *_ in tiers):  # every group can be clicked
        people = dict.fromkeys(subject for *_, subject in tiers)
        keys = ((body, False, own) for own in people for body in space.bodies)
        tiers |= {key: [] for key in keys if key not in tiers}
    for key, items in tiers.items():
        name = _full_name(key)
        base = re.sub(r' \d+$', '', key[0])
        kind = next((k for k in (key[0], base) if k in space.bodies), _ANY_ACTION)
        facts = {'part': key[2] or None, 'ann': recording.annotator or None}
        eaf.add_tier(name, kind, **facts)
        values = [('' if e.score is None else repr(e.score), e.text) for *_, e in items]
        columns = zip(*values, strict=True)
        for (kind, end), own in zip(_NOTES.items(), columns, strict=False):
            if any(own):
                eaf.add_tier(name + end, kind, parent=name, **facts)
        for (start_ms, end_ms, event), own in zip(items, values, strict=True):
            eaf.add_annotation(name, start_ms, end_ms, event.label)
            parent = next(reversed(eaf.tiers[name][0]))
            for end, value in zip(_NOTES.values(), own, strict=True):
                if value:  # pympi would search the parent by time
                    told = parent, value, None, None
                    eaf.tiers[name + end][1][eaf.generate_annotation_id()] = told
    eaf.properties = [
        ('lastUsedAnnotationId', str(eaf.maxaid)),
        (_OWN, _own_facts(recording, grouped)),
    ]
    # Time slots are numbered by time, as ELAN does.
    order = sorted(eaf.timeslots.items(), key=lambda slot: slot[1])
    new = {old: f'ts{i}' for i, (old, _) in enumerate(order, start=1)}
    eaf.timeslots = {new[old]: value for old, value in order}
    for tier, *_ in eaf.tiers.values():
        for key, (start, end, *rest) in tier.items():
            tier[key] = new[start], new[end], *rest
    text = elan.to_string(eaf)
    write_file(file, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')
    return file


def _link_media(eaf: Any, path: str, file: Path) -> None:
    """Link a video as ELAN does, whose URLs have no escapes."""
    whole = os.path.isabs(path) or path[1:2] == ':'
    relative = path
    if os.path.isabs(path):
        relative = os.path.relpath(path, file.parent.absolute())
    eaf.add_linked_file(
        f'file:///{path.lstrip("/")}' if whole else path,
        None if path[1:2] == ':' else f'./{Path(relative).as_posix()}',
        mimetypes.guess_type(path)[0] or 'unknown',
    )


def _add_vocabularies(eaf: Any, space: LabelSpace) -> None:
    """A vocabulary of each group and of all actions, and types of tiers with them."""
    numbers, groups = count(1), groups_of(space)
    for name in (*space.bodies, _ANY_ACTION):
        eaf.add_controlled_vocabulary(name)
        for i, action in enumerate(space.actions):
            if name in (_ANY_ACTION, groups.get(action)):
                told = space.descriptions[i] if space.descriptions else None
                word = action, _LANGUAGE[0], told or None
                eaf.add_cv_entry(name, f'cve{next(numbers)}', [word])
        eaf.add_linguistic_type(name)
        eaf.linguistic_types[name]['CONTROLLED_VOCABULARY_REF'] = name
    for kind in _NOTES:
        eaf.add_linguistic_type(kind, 'Symbolic_Association', timealignable=False)
    del eaf.linguistic_types['default-lt']


def _read_eaf(file: Path, name: str, groups: bool) -> Recording:
    elan, path = _package('pympi.Elan'), ''
    try:
        eaf = elan.Eaf(str(file), suppress_version_warning=True)
        if eaf.header.get('TIME_UNITS', 'milliseconds') != 'milliseconds':
            raise ValueError(f'times in {eaf.header["TIME_UNITS"]}')
        spans, origin_ms, linked = _spans(eaf, file), 0, []
        for media in eaf.media_descriptors:
            url = media.get('MEDIA_URL') or media.get('RELATIVE_MEDIA_URL') or ''
            seen = url.lower().endswith(VIDEO_SUFFIXES)
            if not path or (seen and not linked):  # a video before a sound
                path = media_name(url)
                origin_ms = int(float(media.get('TIME_ORIGIN') or 0))
            linked += [url] if seen else []
        if origin_ms:  # where the file's zero is in the video
            spans = {k: (a + origin_ms, b + origin_ms) for k, (a, b) in spans.items()}
        tiers = _read_tiers(eaf, spans)
    except Exception as error:  # pympi trusts what it reads
        raise _unreadable(error, file, 'ELAN', 'ELAN and save it') from None
    if len(linked) > 1:
        tell([f'{file}: {len(linked)} videos are linked; the first one is taken'])
    people = (own[2].get('ANNOTATOR') for own in eaf.tiers.values())
    annotator = next(filter(None, people), '')
    own = next((text for key, text in eaf.properties if key == _OWN), None)
    recording = Recording(name, path, annotator=annotator)
    return _with_facts(recording, own or '{}', tiers, file, groups)


def _unreadable(error: Exception, file: Path, form: str, hint: str) -> Exception:
    told = f'not readable as {form} ({first_line(error)}): open it in {hint}'
    return error if isinstance(error, OSError) else ValueError(f'{file}: {told}')


def _spans(eaf: Any, file: Path) -> dict[str, tuple[int, int]]:
    """Start and end in ms of every annotation of a file.

    Slots without a time are spread between their neighbours on the tier, and parts of
    an annotation over it, as ELAN shows them; which is told.
    """
    spans: dict[str, tuple[int, int]] = {}
    order = {slot: i for i, slot in enumerate(eaf.timeslots)}
    spread = 0
    for aligned, *_ in eaf.tiers.values():
        ends = {slot for own in aligned.values() for slot in own[:2]}
        slots = sorted(ends, key=order.__getitem__)
        values = ((i, eaf.timeslots[slot]) for i, slot in enumerate(slots))
        known = [own for own in values if own[1] is not None]
        if slots and not known:
            raise ValueError('a tier without times')
        spread += len(slots) - len(known)
        if slots:
            times = np.interp(range(len(slots)), *zip(*known, strict=True))
            at = dict(zip(slots, map(round, times.tolist()), strict=True))
            spans |= {key: (at[own[0]], at[own[1]]) for key, own in aligned.items()}
    if spread:
        tell([f'{file}: {spread} times are not set: spread between their neighbours'])
    todo = [own for _, own, *_ in eaf.tiers.values() if own]
    while todo:
        left = [own for own in todo if not {a[0] for a in own.values()} <= {*spans}]
        if len(left) == len(todo):
            raise ValueError('annotations depend on some that are not there')
        for own in (own for own in todo if own not in left):
            parts: dict[str, list[str]] = defaultdict(list)
            after = {previous: key for key, (_, _, previous, _) in own.items()}
            for key, (parent, _, previous, _) in own.items():
                while previous is None and key is not None:
                    parts[parent].append(key)
                    key = after.get(key)
            for parent, keys in parts.items():
                cuts = np.linspace(*spans[parent], len(keys) + 1).round()
                ends = cuts.astype(int).tolist()
                spans |= {k: (ends[i], ends[i + 1]) for i, k in enumerate(keys)}
        todo = left
    return spans


def _read_tiers(eaf: Any, spans: dict[str, tuple[int, int]]) -> dict[Key, list[Item]]:
    """Events of the tiers of a file; notes on one are its text.

    These are our tiers of confidence and text, and annotations one to one with another
    that no vocabulary restricts.
    """
    values: dict[str, str] = {}
    for aligned, referring, *_ in eaf.tiers.values():
        values |= {key: own[2] for key, own in aligned.items()}
        values |= {key: own[1] for key, own in referring.items()}
    notes: dict[str, list[str]] = defaultdict(list)
    scores: dict[str, float] = {}
    events = []
    for full, (aligned, referring, facts, _) in eaf.tiers.items():
        kind = eaf.linguistic_types.get(facts.get('LINGUISTIC_TYPE_REF'), {})
        free = kind.get('CONSTRAINTS') == 'Symbolic_Association'
        free &= not kind.get('CONTROLLED_VOCABULARY_REF')
        key = _split_name(full, facts.get('PARTICIPANT') or '')
        events += [(key, own) for own in aligned]
        for own, (parent, value, *_) in referring.items():
            name = kind.get('LINGUISTIC_TYPE_ID')
            score = _number(value) if name == 'mmma-score' else None
            if score is not None:
                scores[parent] = score
            elif free and values.get(parent, '').strip():
                text = value if name == 'mmma-text' else f'{full}: {value}'
                notes[parent].append(text)
            else:
                events.append((key, own))
    tiers: dict[Key, list[Item]] = defaultdict(list)
    for key, own in events:
        (start_ms, end_ms), text = spans[own], '\n'.join(notes[own])
        times = start_ms / 1000, end_ms / 1000
        event = Event(*times, values[own], score=scores.get(own), text=text)
        tiers[key].append((start_ms, end_ms, event))
    return tiers


def _write_grid(file: Path, recording: Recording, space: LabelSpace) -> Path:
    praat = _package('praatio.textgrid')
    tiers, grouped = _lay_out(recording, space, 1)
    ends = [item[1] / 1000 for items in tiers.values() for item in items]
    is_told = recording.duration_sec > 0
    end_sec = max([recording.duration_sec if is_told else 0.001, *ends])
    grid = praat.Textgrid(0.0, end_sec)
    for key, items in tiers.items():
        entries = []
        for start_ms, end_ms, event in items:
            label = event.label
            label += '' if event.score is None else f' [{event.score!r}]'
            label += f' // {event.text}' if event.text else ''
            if _parts(label) != (event.label, event.score, event.text):
                raise ValueError(
                    f'{recording.name}: {label!r} would be read otherwise: a label '
                    'must not end like " [0.5]" or hold " // "'
                )
            times = (start_ms,) if key[1] else (start_ms, end_ms)
            entries.append((*(ms / 1000 for ms in times), label))
        kind = praat.PointTier if key[1] else praat.IntervalTier
        grid.addTier(kind(_full_name(key), entries, 0.0, end_sec))
    facts = json.loads(_own_facts(recording, grouped))
    facts |= {'path': recording.path} if recording.path else {}
    facts |= {} if is_told else {'duration_sec': None}
    told = json.dumps(facts, ensure_ascii=False)
    grid.addTier(praat.IntervalTier(_OWN, [(0.0, end_sec, told)], 0.0, end_sec))
    with draft(file) as part:
        grid.save(str(part), 'long_textgrid', includeBlankSpaces=True)
    return file


def _parts(text: str) -> tuple[str, float | None, str]:
    """Label, confidence and text of an interval or point of a TextGrid."""
    label, score, more = _LABEL.fullmatch(text.strip()).groups()  # matches any
    if score is not None and _number(score) is None:
        label = f'{label} [{score}]'
    return label, _number(score or ''), more or ''


def _number(text: str) -> float | None:
    try:
        return finite(text)
    except ValueError:
        return None


def _read_grid(file: Path, name: str, groups: bool) -> Recording:
    praat = _package('praatio.textgrid')
    try:
        grid = praat.openTextgrid(str(file), False, 'silence', 'rename')
    except UnicodeError:
        raise ValueError(
            f'{file}: neither UTF-8 nor UTF-16: choose one of them in Praat under Text '
            'writing preferences, and save it again'
        ) from None
    except Exception as error:  # praatio trusts what it reads
        hint = 'Praat and save it as text file'
        raise _unreadable(error, file, 'TextGrid', hint) from None
    told, tiers = '{}', {}
    for tier in grid.tiers:
        if tier.name == _OWN:
            told = ''.join(entry[-1] for entry in tier.entries)
            continue
        points = isinstance(tier, praat.PointTier)
        full, _, subject = _split_name(tier.name)
        items = tiers.setdefault((full, points, subject), [])
        for *times, text in tier.entries:
            start_ms, end_ms = round(1000 * times[0]), round(1000 * times[-1])
            label = _parts(text.replace('""', '"') if points else text)
            event = Event(times[0], times[-1], label[0], score=label[1], text=label[2])
            items.append((start_ms, max(end_ms, start_ms + 1), event))
    recording = Recording(name, duration_sec=float(grid.maxTimestamp))
    recording = _with_facts(recording, told, tiers, file, groups)
    if '"duration_sec": null' in told:
        recording = replace(recording, duration_sec=float('nan'))
    return recording


read_elan = partial(_read, _read_eaf, '.eaf')
write_elan = partial(_write, _write_eaf, '.eaf')
read_textgrid = partial(_read, _read_grid, '.textgrid')
write_textgrid = partial(_write, _write_grid, '.TextGrid')
