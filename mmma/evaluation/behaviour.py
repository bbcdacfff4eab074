"""Summaries of behaviour: how often, how long, how soon, beside what, after what.

Events of one label that overlap are one. A point is an event of no length: it counts,
and takes no time. A video without events is observed time in which nothing happens. Of
groups of actions, and of ``any`` of them, events are merged in the same way.
"""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from mmma.convert.events import Event, Recording, read_recordings
from mmma.evaluation.scores import first_of
from mmma.files import read_table, tell
from mmma.taxonomy import LabelSpace, read_label_space

KEYS = ('condition', 'subject', 'video', 'level')
TABLES = {
    'behaviour': 'label videos observed_sec videos_with events points rate_per_min '
    'total_sec time_share mean_sec sd_sec median_sec latency_sec',
    'cooccurrence': 'label_a label_b together_sec either_sec jaccard expected_sec '
    'observed_over_expected',
    'transitions': 'from_label to_label count probability',
}
"""Name of a table -> its columns after ``KEYS``."""
Row = tuple[Any, ...]


def behaviour_rows(own: Sequence[Recording], labels: Iterable[str]) -> Iterator[Row]:
    """A row per label of what somebody does, also of what never happens.

    ``latency_sec`` is the mean time to its first event, of the videos that have one.
    """
    lengths, firsts = defaultdict(list), defaultdict(list)
    for recording in own:
        first: dict[str, float] = {}
        for event in recording.events:
            lengths[event.label].append(event.end_sec - event.start_sec)
            first.setdefault(event.label, event.start_sec)
        for label, start_sec in first.items():
            firsts[label].append(start_sec)
    observed_sec = sum(recording.duration_sec for recording in own)
    for label in labels:
        times, starts = lengths[label], firsts[label]
        total_sec, points = sum(times), times.count(0)
        yield (
            *(label, len(own), observed_sec, len(starts), len(times), points),
            *(_share(60 * len(times), observed_sec), total_sec),
            *(_share(total_sec, observed_sec), _share(total_sec, len(times))),
            statistics.stdev(times) if len(times) > 1 else math.nan,
            statistics.median(times) if times else math.nan,
            _share(sum(starts), len(starts)),
        )


def cooccurrence_rows(own: Sequence[Recording]) -> Iterator[Row]:
    """A row per two labels that somebody shows in one video, also if never at once.

    Expected is what two labels that know nothing of each other share: in each video the
    product of their times over its length.
    """
    together, expected = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    totals = Counter[str]()
    for recording in own:
        spent, active = Counter[str](), list[Event]()
        for event in recording.events:
            active = [other for other in active if other.end_sec > event.start_sec]
            for other in active:
                shared_sec = min(event.end_sec, other.end_sec) - event.start_sec
                together[tuple(sorted((event.label, other.label)))] += shared_sec
            active.append(event)
            spent[event.label] += event.end_sec - event.start_sec
        totals.update(spent)
        for a, b in combinations(sorted(spent), 2):
            expected[a, b] += spent[a] * spent[b] / (recording.duration_sec or 1)
    for (a, b), by_chance in sorted(expected.items()):
        shared_sec = together[a, b]
        either_sec = totals[a] + totals[b] - shared_sec
        times = shared_sec, either_sec, _share(shared_sec, either_sec), by_chance
        yield a, b, *times, _share(shared_sec, by_chance)


def transition_rows(own: Sequence[Recording]) -> Iterator[Row]:
    """A row per two labels of which the one starts next.

    Events of a video follow each other by their starts, of equal ones the shorter
    first, then by name; nothing follows across videos.
    """
    counts, before = Counter[tuple[str, str]](), Counter[str]()
    for recording in own:
        counts.update(pairwise(event.label for event in recording.events))
        before.update(event.label for event in recording.events[:-1])
    for (a, b), count in sorted(counts.items()):
        yield a, b, count, count / before[a]


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def behaviour_tables(
    recordings: Sequence[Recording], space: LabelSpace, per: str = 'subject'
) -> dict[str, list[Row]]:
    """Rows of all ``TABLES``: their ``KEYS``, and what the functions above give.

    Events without subject are of that of their recording, which also has the condition,
    as ``domain``. Unknown lengths end with the last event. Labels of the space have
    rows, and its groups, where it has any. ``per`` is ``subject``, ``video`` or
    ``condition``, the latter of all persons in it.
    """
    groups: dict[Row, list[Recording]] = defaultdict(list)
    for one in recordings:
        persons: dict[str, list[Event]] = defaultdict(list)
        for event in one.events:
            persons[event.subject or one.subject].append(event)
        last = max((event.end_sec for event in one.events), default=0.0)
        length = last if math.isnan(one.duration_sec) else one.duration_sec
        for person, events in (persons or {one.subject: []}).items():
            who = '' if per == 'condition' else person
            members = groups[one.domain, who, one.name if per == 'video' else '']
            members.append(replace(one, events=tuple(events), duration_sec=length))
    levels = {'action': {a: a for a in space.actions}}
    if space.bodies:
        pairs = zip(space.actions, space.body_of, strict=True)
        levels['body'] = {action: space.bodies[body] for action, body in pairs}
    levels['any'] = dict.fromkeys(space.actions, 'any')
    found: dict[str, list[Row]] = {name: [] for name in TABLES}
    for key, members in sorted(groups.items()):
        for level, named in levels.items():
            own = [replace(m, events=merged(m.events, named)) for m in members]
            rows = {'behaviour': behaviour_rows(own, dict.fromkeys(named.values()))}
            if level != 'any':
                rows['cooccurrence'] = cooccurrence_rows(own)
                rows['transitions'] = transition_rows(own)
            for name, content in rows.items():
                found[name] += [(*key, level, *row) for row in content]
    return found


def merged(events: Iterable[Event], named: Mapping[str, str]) -> tuple[Event, ...]:
    """Events by start, renamed; those of one label that overlap are one."""
    found, latest = list[Event](), dict[str, int]()
    renamed = (replace(event, label=named[event.label]) for event in events)
    for event in sorted(renamed, key=lambda e: (e.start_sec, e.end_sec, e.label)):
        at = latest.get(event.label, len(found))
        last = found[at] if at < len(found) else None
        if last and event.start_sec < max(last.end_sec, last.start_sec + 1e-9):
            found[at] = replace(last, end_sec=max(event.end_sec, last.end_sec))
        else:
            latest[event.label] = len(found)
            found.append(event)
    return tuple(found)


def read_annotation(
    path: Path, label_space: str | None, threshold: float | None, table: Path | None
) -> tuple[list[Recording], LabelSpace]:
    """Recordings of any form and their space, as of ``read_recordings``.

    ``threshold`` is the lowest score of scored events, else all are taken, and told;
    ``table`` a CSV with video, and subject, condition or both, which then count; one
    without them, or with a video twice, raises ValueError.
    """
    given = read_label_space(label_space) if label_space else None
    recordings, space = read_recordings(path, given)
    scores = [e.score for own in recordings for e in own.events if e.score is not None]
    lowest = min(scores, default=0.0) if threshold is None else threshold
    count = sum(score >= lowest for score in scores)
    told = f'{path}: {count} of {len(scores)} scored events, from {lowest:.3g} on'
    told += ' (--threshold takes fewer)' * (threshold is None)
    tell([told][: len(scores)])
    header, lines = read_table(table) if table else ([], [])
    if table and ('video' not in header or not {'subject', 'condition'} & {*header}):
        need = 'it needs video, and subject, condition or both'
        raise ValueError(f'{table}:1: the columns are {header}; {need}')
    rows: dict[str, dict[str, str]] = {}
    for line, cells in lines:
        row = dict(zip(header, cells, strict=False))
        if rows.setdefault(name := row.get('video', ''), row) is not row:
            raise ValueError(f'{table}:{line}: {name!r} is there twice')
    if table and (left := [own.name for own in recordings if own.name not in rows]):
        tell([f'{table}: not in it are {len(left)} videos: {first_of(left)}'])
    for i, own in enumerate(recordings):
        row = rows.get(own.name, {})
        kept = tuple(e for e in own.events if e.score is None or e.score >= lowest)
        who, where = row.get('subject', own.subject), row.get('condition', own.domain)
        recordings[i] = replace(own, events=kept, subject=who, domain=where)
    return recordings, space
