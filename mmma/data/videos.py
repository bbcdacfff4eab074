"""Untrimmed videos in ActivityNet style: ``det.json``, and truth files of anybody.

``{"database": {video: {"subset", "annotations": [{"segment": [start_sec, end_sec],
"label"}]}}}``, labels as name or index; a data root has ``path``, ``domain``,
``subject``, ``emotion``, ``fps``, ``frames`` and ``duration`` as well. Annotations may
have ``subject``, ``score``, ``text``, ``tier`` and ``point``, as tools give them.

Detections are ``{"results": {video: [{"segment", "label", "score"}]}}``. Their files
have millions of entries, so they are taken apart column by column; only a file with a
fault is looked at entry by entry. Other keys are ignored.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from mmma.files import LISTS_ALL, OddEntries, atomic_write, leaves_root, read_text, tell
from mmma.foreign import control_faults, has_controls, is_number, parse_json
from mmma.structures.segments import Segments
from mmma.taxonomy import (
    DOMAINS,
    LABEL_SPACES,
    SUBSETS,
    WRITE_DOMAINS,
    WRITE_EMOTIONS,
    IndexOutsideError,
    LabelSpace,
    check_choice,
    index_notes,
    load_label_space,
)

_NEEDED = '{"results": {video: [{"segment", "label", "score"}]}}'
END_TOLERANCE_SEC = 0.5
"""A segment may end this much after its video: annotators count frames and containers
round durations. Beyond it the times may belong to something else."""
_SAME_SEC = 1e-3
_EXTRAS = ('subject', 'score', 'text', 'tier', 'point')
_SPREAD, _SPREAD_SEC = 0.05, 1.0
"""By so much frames / fps may differ from a duration: rates vary, ends are rounded."""


@dataclass(frozen=True)
class Event:
    """A label at a time of a video, as the tools of annotation hold it.

    Attributes:
        start_sec: Start, seconds from the first frame that is shown.
        end_sec: End, exclusive; of a point event its start.
        label: As the annotator calls it.
        subject: Who does it, where that is told of each.
        score: How sure an annotator or a model is, in [0, 1], if told.
        text: What else an annotator says of it.
        tier: Track or tier of an annotation tool in which it stands.
    """

    start_sec: float
    end_sec: float
    label: Any
    subject: str = ''
    score: float | None = None
    text: str = ''
    tier: str = ''


@dataclass(frozen=True)
class Instance(Event):
    """An event in a data root: ``label`` is the index of its action there.

    Attributes:
        point: True for an event without length, which is one frame wide here.
    """

    point: bool = False


@dataclass(frozen=True)
class Video:
    """An untrimmed video: one entry of ``det.json``.

    Attributes:
        video: Its name, unique in the file.
        path: File relative to the data root; empty where nothing is rendered.
        subset, domain, subject: The person is empty where unknown.
        fps, frames, duration: Frames per second, their number, and seconds.
        instances: What happens in it, in the order of the file.
        withheld: True where the file has no ``annotations``: the truth is unknown,
            which differs from a video in which nothing happens.
        emotion: Of the scene, if given.
        line: Line of the file, for messages; 0 if it was not read from one.
    """

    video: str
    path: str
    subset: str
    domain: str
    subject: str
    fps: float
    frames: int
    duration: float
    instances: tuple[Instance, ...] = ()
    withheld: bool = False
    emotion: str = ''
    line: int = field(default=0, compare=False)
    name = source_video = property(attrgetter('video'))  # what clips have, too
    span = None


def read_det(path: Path, space: LabelSpace, *more: Any) -> list[Video]:
    """Read the table of a root by :func:`scan_det`, and tell what is odd in it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No videos; or most of them, or most segments, are odd.
    """
    videos, *odd = scan_det(path, space, *more)
    tell(note for own in odd for note in own.notes(hint=LISTS_ALL))
    return videos


def scan_det(
    path: Path,
    space: LabelSpace,
    content: bytes | None = None,
    domains: Sequence[str] = DOMAINS,
    emotions: Sequence[str] = (),
    of_root: bool = True,
    cut: bool = True,
) -> tuple[list[Video], OddEntries, OddEntries]:
    """Videos of a ``det.json`` as far as it can be read; odd videos and odd segments.

    Segments are cut to their video; what is no segment in it is left out, and so are
    videos that cannot be read. ``content`` is that of the file, where it was read.

    Args:
        emotions: Those that there may be; without any, all.
        of_root: It is of a data root: nothing may be unknown. Else rate, length (NaN)
            and number of frames (0) may be unknown, and subsets and domains have any
            name.
        cut: Cut segments to their video; else they stay as they are.
    """
    path = Path(path)
    text = read_text(path, content)
    table, repeated = parse_json(text, path)
    odd = odd_videos(path, cut)
    database = table.get('database') if isinstance(table, dict) else None
    if not isinstance(database, dict) or not database:
        what = 'empty table' if database == {} else 'no table'
        form = 'need {"database": {video: {"subset", "annotations"}}}'
        odd[0].add(0, '', f'{what}: {form}')
        return [], *odd
    lines, how = entry_lines(text, database), (domains, emotions, of_root, cut)
    for name in repeated:
        odd[0].add(lines.get(name, 0), name, 'is there twice: the last one counts')
    found = (
        parse_video(name, entry, space, odd, lines[name], *how)
        for name, entry in database.items()
    )
    videos = [video for video in found if video is not None]
    lists = (e.get('annotations') for e in database.values() if isinstance(e, dict))
    there = (one for own in lists if isinstance(own, list) for one in own)
    labels = (one.get('label', '') for one in there if isinstance(one, dict))
    odd[1].remarks += index_notes(labels, path.name)
    return videos, *odd


def odd_videos(path: Path, cut: bool = True) -> tuple[OddEntries, OddEntries]:
    """For odd videos and odd segments of a file, and what is done with them."""
    done = 'cut to their video or left out' if cut else 'kept outside their video'
    return OddEntries(path, 'videos left out'), OddEntries(path, f'segments {done}')


def parse_video(
    name: str,
    entry: Any,
    space: LabelSpace,
    odd: tuple[OddEntries, OddEntries],
    line: int = 0,
    domains: Sequence[str] = DOMAINS,
    emotions: Sequence[str] = (),
    of_root: bool = True,
    cut: bool = True,
) -> Video | None:
    """Read one entry of a table, as :func:`scan_det` does; None where it cannot be.

    ``odd`` of :func:`odd_videos` gets what is odd.
    """
    videos, segments = odd
    videos.total += 1
    annotations = entry.get('annotations') if isinstance(entry, dict) else None
    if not isinstance(entry, dict):
        keys = 'subset, domain, ...' if of_root else 'subset and annotations'
        errors = [f'must be an object with {keys}, not {entry!r}']
    elif annotations is not None and not isinstance(annotations, list):
        errors = [f'annotations must be a list, not {annotations!r}']
    else:
        own = (
            _root_faults(name, entry, domains, emotions) if of_root else _faults(entry)
        )
        errors = list(own) or list(_contradictions(entry))
        keys = 'subset', 'path', 'domain', 'subject', 'emotion'
        texts = {key: entry.get(key) for key in keys}
        errors += control_faults({'its name': name, **texts})
    if errors:
        videos.add(line, name, '; '.join(errors))
        return None
    numbers = (entry.get(key) for key in ('fps', 'duration'))
    fps, duration = (float(n) if is_number(n) else math.nan for n in numbers)
    frames, subject = entry.get('frames'), entry.get('subject', '')
    instances = []
    segments.total += len(annotations or ())
    for i, annotation in enumerate(annotations or ()):
        try:
            instance, beyond_sec, fault = _instance(annotation, duration, space, cut)
            instances.append(replace(instance, **_extras(annotation, of_root)))
            segments.slight += _SAME_SEC < beyond_sec <= END_TOLERANCE_SEC
        except ValueError as error:
            beyond_sec, fault = math.inf, str(error)
            segments.doubtful |= isinstance(error, IndexOutsideError)
        if beyond_sec > END_TOLERANCE_SEC:
            segments.add(line, name, f'annotation {i}: {fault}')
    path, domain = (str(entry.get(key) or '') for key in ('path', 'domain'))
    place = path, entry['subset'], domain, str(subject if of_root else subject or '')
    size = fps, int(frames) if is_number(frames) else 0, duration
    rest = annotations is None, str(entry.get('emotion') or ''), line
    return Video(name, *place, *size, tuple(instances), *rest)


def _root_faults(
    name: str, entry: dict[str, Any], domains: Sequence[str], emotions: Sequence[str]
) -> Iterator[str]:
    kinds = [('subset', SUBSETS, ''), ('domain', domains, WRITE_DOMAINS)]
    if emotions and entry.get('emotion'):
        kinds.append(('emotion', emotions, WRITE_EMOTIONS))
    for kind, allowed, other in kinds:
        try:
            check_choice(kind, str(entry.get(kind, '')), allowed, other=other)
        except ValueError as error:
            yield str(error)
    path = str(entry.get('path') or '')
    if leaves_root(path):
        yield (
            f'path {path!r} leaves the data root; write it relative to the root, '
            'without ..'
        )
    if not isinstance(emotion := entry.get('emotion') or '', str):
        yield f'emotion {emotion!r}: must be a name'
    if not name:
        yield 'video has no name'
    for key in ('fps', 'frames', 'duration'):
        if not is_number(entry.get(key)) or entry[key] <= 0:
            yield f'{key} {entry.get(key)!r}: must be a number above 0'


def _faults(entry: dict[str, Any]) -> Iterator[str]:
    subset, duration = entry.get('subset'), entry.get('duration')
    if not isinstance(subset, str) or not subset:
        yield f'subset {subset!r}: must be a name such as test'
    elif duration is not None and not (is_number(duration) and duration > 0):
        yield f'duration {duration!r}: must be seconds above 0'


def _contradictions(entry: dict[str, Any]) -> Iterator[str]:
    """A sentence where rate, frames and duration are there and cannot all be true."""
    facts: Any = [entry.get(key) for key in ('fps', 'frames', 'duration')]
    if all(is_number(n) and n > 0 for n in facts):
        fps, frames, duration = facts
        if abs(frames / fps - duration) > max(_SPREAD * duration, _SPREAD_SEC):
            yield (
                f'frames {frames} / fps {fps:g} is {frames / fps:g} s, but duration '
                f'says {duration:g} s: put right what is wrong'
            )


def _instance(
    annotation: Any, duration: float, space: LabelSpace, cut: bool
) -> tuple[Instance, float, str]:
    """An instance in its video, by how many seconds it lies outside, and how.

    Raises:
        ValueError: No segment, or none of it in the video.
    """
    if not isinstance(annotation, dict) or not {'segment', 'label'} <= set(annotation):
        raise ValueError(f'must be {{"segment", "label"}}, not {annotation!r}')
    segment, label = annotation['segment'], label_index(annotation['label'], space)
    pair = isinstance(segment, list) and len(segment) == 2
    if not pair or not all(map(is_number, segment)) or not segment[0] < segment[1]:
        raise ValueError(f'segment {segment!r}: must be seconds, 0 <= start < end')
    first, last = map(float, segment)
    start_sec, end_sec = max(first, 0.0), min(last, duration)  # last where that is NaN
    where = 'ends after' if end_sec < last else 'starts before'
    fault = (
        f'segment {segment!r} {where} the video ({duration:g} s); frames taken for '
        'seconds, or another fps?'
    )
    if start_sec >= end_sec and cut:
        raise ValueError(fault)
    beyond_sec = max(start_sec - first, last - end_sec)
    times = (start_sec, end_sec) if cut else (first, last)
    return Instance(*times, label), beyond_sec, fault


def _extras(annotation: dict[str, Any], of_root: bool) -> dict[str, Any]:
    """What an annotation tells beside segment and label; of a root's, nothing odd."""
    extras: dict[str, Any] = {}
    for key in _EXTRAS:
        if (value := annotation.get(key)) is None:
            continue
        if key == 'score':
            good, form = is_number(value), 'a number'
        elif key == 'point':
            good, form = isinstance(value, bool), 'true or false'
        else:
            form = 'text without control characters'
            lines = isinstance(value, str) and key == 'text'
            good = not has_controls(re.sub(r'[\n\t]', '', value) if lines else value)
        if good:
            extras[key] = float(value) if key == 'score' else value
        elif of_root:
            raise ValueError(f'{key} {value!r}: must be {form}')
    return extras


def label_index(label: Any, space: LabelSpace) -> int:
    """Index of a label given by name or index.

    Raises:
        ValueError: The space lacks it; the message says if another space has it.
    """
    if isinstance(label, bool) or not isinstance(label, (str, int)):
        raise ValueError(f'label {label!r}: must be the name or index of an action')
    try:
        return space.action_id(label)
    except ValueError as error:
        shipped = LABEL_SPACES if space.name in LABEL_SPACES else ()
        for other in map(load_label_space, shipped):
            if other.name != space.name and has_label(label, other):
                raise ValueError(
                    f'label {label!r} is of {other.name}, but the {space.num_actions} '
                    f'actions of {space.name} are asked for'
                ) from None
        raise error


def has_label(label: Any, space: LabelSpace) -> bool:
    """True if the space has an action of that name or index."""
    try:
        space.action_id(label)
    except ValueError:
        return False
    return True


def write_det(path: Path, videos: Iterable[Video], space: LabelSpace) -> None:
    """Write a detection table: labels by name, one line per video."""
    entries = ((video.video, _entry(video, space)) for video in videos)
    write_entries(path, entries, '{"database": {', '}}')


def write_entries(
    path: Path, entries: Iterable[tuple[str, Any]], head: str, tail: str
) -> None:
    """Write names and values of videos as JSON, a line each, between head and tail."""
    with atomic_write(Path(path)) as file:
        file.write(head)
        for i, pair in enumerate(entries):
            key, text = (json.dumps(part, ensure_ascii=False) for part in pair)
            file.write(f'{"," if i else ""}\n{key}: {text}')
        file.write(f'\n{tail}\n')


def _entry(video: Video, space: LabelSpace) -> dict[str, Any]:
    columns = 'path', 'subset', 'domain', 'subject', 'fps', 'frames', 'duration'
    entry = {column: getattr(video, column) for column in columns}
    entry |= {'emotion': video.emotion} if video.emotion else {}
    if not video.withheld:
        entry['annotations'] = []
        for one in video.instances:
            segment, label = [one.start_sec, one.end_sec], space.actions[one.label]
            told = {k: getattr(one, k) for k in _EXTRAS}
            told = {k: v for k, v in told.items() if v or type(v) is float}
            entry['annotations'].append({'segment': segment, 'label': label, **told})
    return entry


def entry_lines(text: str, names: Iterable[str]) -> dict[str, int]:
    """Line on which each entry starts, of keys in their order; 0 if spelt oddly."""
    lines, line, at = {}, 1, 0
    for name in names:
        spellings = (json.dumps(name), json.dumps(name, ensure_ascii=False))
        found = max(text.find(f'{spelling}:', at) for spelling in spellings)
        if found >= 0:
            line += text.count('\n', at, found)
            at = found
        lines[name] = line if found >= 0 else 0
    return lines


def true_segments(videos: Sequence[Video]) -> Segments:
    """True segments of entries of ``det.json``, videos in their order."""
    pairs = ((i, x) for i, video in enumerate(videos) for x in video.instances)
    rows = [(x.start_sec, x.end_sec, x.label, i) for i, x in pairs]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 4)
    labels, places = table[:, 2:].astype(np.int64).T
    names = tuple(video.video for video in videos)
    return Segments(table[:, :2], None, labels, places, names)  # type: ignore[arg-type]


def read_detections(path: Path, space: LabelSpace, strict: bool = False) -> Segments:
    """Detections of a file and its videos, in its order; what is odd is told.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not of that form, or bad entries: the first five are shown, and
            labels that the space lacks are counted.
    """
    path = Path(path)
    content, repeated = parse_json(read_text(path), path)
    results = content.get('results') if isinstance(content, dict) else None
    if not isinstance(results, dict) or not results:
        raise ValueError(f'{path}: no detections: need {_NEEDED}')
    for name in filter(has_controls, results):
        raise ValueError(f'{path}: the video {name!r} has control characters')
    odd = OddEntries(path, 'detections left out')
    lists = [v if isinstance(v, list) else [] for v in results.values()]
    for key in repeated:
        odd.add(0, key, 'is there twice: the last one counts')
    entries = list(chain.from_iterable(lists))
    columns = _columns(entries, space)
    if columns is None or not all(isinstance(v, list) for v in results.values()):
        lists = _good_entries(results, space, odd)
        columns = _columns(list(chain.from_iterable(lists)), space)
    odd.total = len(entries)
    tell(odd.notes(strict, _unknown_labels(entries, space) if odd.problems else ''))
    if columns is None:
        raise ValueError(f'{path}: not readable as detections: need {_NEEDED}')
    tell(index_notes({one['label'] for own in lists for one in own}, path.name))
    videos = np.repeat(np.arange(len(lists), dtype=np.int32), list(map(len, lists)))
    return Segments(*columns, videos, tuple(results))


def write_detections(path: Path, found: Segments, space: LabelSpace) -> None:
    """Write detections with names of videos, one line each; labels by name."""
    order = np.argsort(found.videos, kind='stable')
    counts = np.bincount(found.videos, minlength=len(found.names))
    columns = (found.segments_sec, found.labels, found.scores)
    rows = zip(*(column[order].tolist() for column in columns), strict=True)
    items = (
        {'segment': segment, 'label': space.actions[label], 'score': score}
        for segment, label, score in rows
    )
    lists = ([*islice(items, size)] for size in counts)
    write_entries(path, zip(found.names, lists, strict=True), '{"results": {', '}}')


def _columns(
    entries: Sequence[Any], space: LabelSpace
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Segments (n, 2), scores (n,) and labels (n,); None if any entry is bad."""
    try:
        keys = ('segment', 'label', 'score')
        segments, labels, scores = ([*map(itemgetter(key), entries)] for key in keys)
        ends = list(chain.from_iterable(segments))
        kinds = set(map(type, chain(ends, scores)))
        if not kinds <= {int, float} or set(map(type, labels)) - {int, str}:
            return None
        if set(map(type, segments)) - {list} or set(map(len, segments)) - {2}:
            return None
        index_of = {label: label_index(label, space) for label in set(labels)}
    except (TypeError, KeyError, IndexError, ValueError):
        return None
    size = len(entries)
    times = np.fromiter(ends, np.float64, 2 * size).reshape(size, 2)
    found = np.fromiter(map(index_of.__getitem__, labels), np.int16, size)
    values = np.fromiter(scores, np.float64, size)
    finite = np.isfinite(times).all() and np.isfinite(values).all()
    if not finite or (times[:, 1] < times[:, 0]).any():
        return None
    return times, values, found


def _good_entries(
    results: dict[str, Any], space: LabelSpace, odd: OddEntries
) -> list[list[Any]]:
    """Entries of each video that can be read; ``odd`` gets the others."""
    lists: list[list[Any]] = []
    for video, entries in results.items():
        lists.append([])
        if not isinstance(entries, list):
            odd.add(0, video, f'{entries!r} is no list')
        for i, entry in enumerate(entries if isinstance(entries, list) else ()):
            try:
                _check_detection(entry, space)
                lists[-1].append(entry)
            except ValueError as error:
                odd.add(0, f'{video} [{i}]', str(error))
                odd.doubtful |= isinstance(error, IndexOutsideError)
    return lists


def _check_detection(entry: Any, space: LabelSpace) -> None:
    if not isinstance(entry, dict) or not {'segment', 'label', 'score'} <= set(entry):
        raise ValueError(f'must be {{"segment", "label", "score"}}, not {entry!r}')
    segment, score = entry['segment'], entry['score']
    pair = isinstance(segment, list) and len(segment) == 2
    if not (pair and all(map(is_number, segment)) and segment[0] <= segment[1]):
        raise ValueError(f'segment {segment!r}: must be seconds, start <= end')
    if not is_number(score):
        raise ValueError(f'score {score!r}: must be a finite number')
    label_index(entry['label'], space)


def _unknown_labels(entries: Sequence[Any], space: LabelSpace) -> str:
    """Every label that the space lacks, with how often it is there; a hint."""
    labels = (entry.get('label') for entry in entries if isinstance(entry, dict))
    texts = (one for one in labels if isinstance(one, (str, int)))
    counts = Counter(repr(one) for one in texts if not has_label(one, space))
    if not counts:
        return ''
    shown = ', '.join(f'{label} ({n})' for label, n in counts.most_common(5))
    more = f', and {len(counts) - 5} others' if len(counts) > 5 else ''
    return f'unknown labels {shown}{more}'
