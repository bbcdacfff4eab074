"""Untrimmed videos in ActivityNet style: ``det.json``, and truth files of anybody.

``{"database": {video: {"subset", "annotations": [{"segment": [start_sec, end_sec],
"label"}]}}}``, labels as name or index; a data root has ``path``, ``domain``,
``subject``, ``fps``, ``frames`` and ``duration`` of each video as well.

Detections are ``{"results": {video: [{"segment", "label", "score"}]}}``. Their files
have millions of entries, so they are taken apart column by column; only a file with a
fault is looked at entry by entry. Other keys are ignored.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from mmma.files import (
    CHECK_HINT,
    Problem,
    atomic_write,
    is_number,
    leaves_root,
    parse_json,
    read_text,
    refuse,
)
from mmma.structures.segments import Segments
from mmma.taxonomy import (
    DOMAINS,
    LABEL_SPACES,
    SUBSETS,
    LabelSpace,
    check_choice,
    load_label_space,
)

_NEEDED = '{"results": {video: [{"segment", "label", "score"}]}}'
END_TOLERANCE_SEC = 0.5
"""A segment may end this much after its video and is then cut there: annotators count
frames and containers round durations. Beyond it the times belong to something else."""


@dataclass(frozen=True)
class Instance:
    """A segment with its label.

    Attributes:
        start_sec: Start, seconds from the first frame.
        end_sec: End, exclusive.
        label: Index of the action in the label space.
    """

    start_sec: float
    end_sec: float
    label: int


@dataclass(frozen=True)
class Video:
    """An untrimmed video: one entry of ``det.json``.

    Attributes:
        video: Its name, unique in the file.
        path: File relative to the data root; empty where nothing is rendered.
        subset: ``train``, ``val`` or ``test``.
        domain: ``lab``, ``psychiatric``, ``street`` or ``emotion``.
        subject: Person; empty where unknown.
        fps: Frames per second.
        frames: Number of frames.
        duration: Seconds.
        instances: What happens in it, in the order of the file.
        withheld: True where the file has no ``annotations``: the truth is unknown,
            which differs from a video in which nothing happens.
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
    line: int = field(default=0, compare=False)


def read_det(
    path: Path,
    space: LabelSpace,
    content: bytes | None = None,
    domains: Sequence[str] = DOMAINS,
) -> list[Video]:
    """Read and validate a detection table.

    Args:
        path: A ``det.json``.
        space: Its label space.
        content: Bytes of the file, where they were read.
        domains: Domains that a video may have.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No videos, or bad ones; the first five are shown.
    """
    videos, problems = scan_det(path, space, content, domains)
    refuse(problems, path, CHECK_HINT)
    return videos


def scan_det(
    path: Path,
    space: LabelSpace,
    content: bytes | None = None,
    domains: Sequence[str] = DOMAINS,
    strict: bool = True,
) -> tuple[list[Video], list[Problem]]:
    """Read a detection table as far as it can be read.

    Args:
        path: A ``det.json``, or a file of anybody.
        space: Its label space.
        content: Bytes of the file, where they were read.
        domains: Domains that a video of a root may have.
        strict: It is of a data root: nothing may be unknown, and segments are cut at
            the end of their video. Else rate, length (NaN) and number of frames (0)
            may be unknown, and subsets and domains have any name.

    Returns:
        The videos without a problem, and every problem in the order of the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not UTF-8 text, not JSON, or if not strict no table.
    """
    path = Path(path)
    text = read_text(path, content)
    table, repeated = parse_json(text, path)
    database = table.get('database') if isinstance(table, dict) else None
    if not isinstance(database, dict) or not database:
        if not strict:
            raise ValueError(
                f'{path}: no truth: need {{"database": {{video: {{"subset", '
                '"annotations"}}}'
            )
        what = 'empty table' if database == {} else 'no table'
        text = f'{what}: need {{"database": {{video: ...}}}}'
        return [], [Problem(str(path), 0, '', text)]
    videos, wrong = [], [(name, 'is there twice') for name in repeated]
    lines = entry_lines(text, database)
    for name, entry in database.items():
        video, errors = parse_video(name, entry, space, lines[name], domains, strict)
        if video is not None:
            videos.append(video)
        wrong += [(name, error) for error in errors]
    return videos, [
        Problem(str(path), lines.get(name, 0), name, error) for name, error in wrong
    ]


def parse_video(
    name: str,
    entry: Any,
    space: LabelSpace,
    line: int = 0,
    domains: Sequence[str] = DOMAINS,
    strict: bool = True,
) -> tuple[Video | None, list[str]]:
    """Read one entry of a detection table; the rest is as in :func:`scan_det`.

    Returns:
        The video, or None and all that is wrong with it.
    """
    if not isinstance(entry, dict):
        keys = 'subset, domain, ...' if strict else 'subset and annotations'
        return None, [f'must be an object with {keys}, not {entry!r}']
    errors = list(_root_faults(name, entry, domains) if strict else _faults(entry))
    if errors:
        return None, errors
    numbers = (entry.get(key) for key in ('fps', 'duration'))
    fps, duration = (float(n) if is_number(n) else math.nan for n in numbers)
    frames, annotations = entry.get('frames'), entry.get('annotations')
    instances = []
    if annotations is not None and not isinstance(annotations, list):
        errors.append(f'annotations must be a list, not {annotations!r}')
    for i, annotation in enumerate(() if errors else annotations or ()):
        try:
            instances.append(_instance(annotation, duration, space, strict))
        except ValueError as error:
            errors.append(f'annotation {i}: {error}')
    video = Video(
        video=name,
        path=str(entry.get('path') or ''),
        subset=entry['subset'],
        domain=str(entry.get('domain') or ''),
        subject=str(entry.get('subject', '') if strict else entry.get('subject') or ''),
        fps=fps,
        frames=int(frames) if is_number(frames) else 0,
        duration=duration,
        instances=tuple(instances),
        withheld=annotations is None,
        line=line,
    )
    return (None if errors else video), errors


def _root_faults(
    name: str, entry: dict[str, Any], domains: Sequence[str]
) -> Iterator[str]:
    for kind, allowed in (('subset', SUBSETS), ('domain', domains)):
        try:
            check_choice(kind, str(entry.get(kind, '')), allowed)
        except ValueError as error:
            yield str(error)
    path = str(entry.get('path') or '')
    if leaves_root(path):
        yield (
            f'path {path!r} leaves the data root; write it relative to the root, '
            'without ..'
        )
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


def _instance(
    annotation: Any, duration: float, space: LabelSpace, strict: bool
) -> Instance:
    if not isinstance(annotation, dict) or not {'segment', 'label'} <= set(annotation):
        raise ValueError(f'must be {{"segment", "label"}}, not {annotation!r}')
    segment = annotation['segment']
    pair = isinstance(segment, list) and len(segment) == 2
    if not pair or not all(map(is_number, segment)) or not 0 <= segment[0] < segment[1]:
        raise ValueError(f'segment {segment!r}: must be seconds, 0 <= start < end')
    start_sec, end_sec = map(float, segment)
    after = end_sec > duration + END_TOLERANCE_SEC  # not where that is NaN
    if after or (strict and start_sec >= duration):
        length = duration if strict else f'{duration:g}'
        raise ValueError(
            f'segment {segment!r} ends after the video ({length} s); frames taken '
            'for seconds, or another fps?'
        )
    label = label_index(annotation['label'], space)
    return Instance(start_sec, min(end_sec, duration) if strict else end_sec, label)


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
        for other in map(load_label_space, LABEL_SPACES):
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
        for i, (name, entry) in enumerate(entries):
            text = json.dumps(entry, ensure_ascii=False)
            key = json.dumps(name, ensure_ascii=False)
            file.write(f'{"," if i else ""}\n{key}: {text}')
        file.write(f'\n{tail}\n')


def _entry(video: Video, space: LabelSpace) -> dict[str, Any]:
    columns = ('path', 'subset', 'domain', 'subject', 'fps', 'frames', 'duration')
    entry = {column: getattr(video, column) for column in columns}
    if not video.withheld:
        entry['annotations'] = [
            {'segment': [i.start_sec, i.end_sec], 'label': space.actions[i.label]}
            for i in video.instances
        ]
    return entry


def entry_lines(text: str, names: Iterable[str]) -> dict[str, int]:
    """Line on which each video's entry starts; 0 where the key is spelt oddly.

    ``names`` are the keys in their order.
    """
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
    rows = [
        (x.start_sec, x.end_sec, x.label, i)
        for i, video in enumerate(videos)
        for x in video.instances
    ]
    table = np.array(rows, dtype=np.float64).reshape(len(rows), 4)
    labels, places = table[:, 2:].astype(np.int64).T
    names = tuple(video.video for video in videos)
    return Segments(table[:, :2], None, labels, places, names)  # type: ignore[arg-type]


def read_detections(path: Path, space: LabelSpace) -> Segments:
    """Read a file of detections.

    Returns:
        All of them in the order of the file, with the names of its videos.

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
    problems = [Problem(str(path), 0, key, 'is there twice') for key in repeated]
    lists = [v if isinstance(v, list) else [] for v in results.values()]
    problems += [
        Problem(str(path), 0, video, f'{value!r} is no list')
        for video, value in results.items()
        if not isinstance(value, list)
    ]
    entries = list(chain.from_iterable(lists))
    columns = _columns(entries, space)
    if problems or columns is None:
        found = _bad_entries(path, results, space)
        refuse([*problems, *found], path, _unknown_labels(entries, space))
        raise ValueError(f'{path}: not readable as detections: need {_NEEDED}')
    videos = np.repeat(np.arange(len(lists), dtype=np.int32), list(map(len, lists)))
    return Segments(*columns, videos, tuple(results))


def write_detections(path: Path, found: Segments, space: LabelSpace) -> None:
    """Write detections with names of videos, one line each; labels by name."""
    order = np.argsort(found.videos, kind='stable')
    counts = np.bincount(found.videos, minlength=len(found.names))
    columns = (found.segments_sec, found.labels, found.scores)
    rows = zip(*(column[order].tolist() for column in columns), strict=True)
    entries = (
        (
            name,
            [
                {'segment': segment, 'label': space.actions[label], 'score': score}
                for segment, label, score in islice(rows, size)
            ],
        )
        for name, size in zip(found.names, counts, strict=True)
    )
    write_entries(path, entries, '{"results": {', '}}')


def _columns(
    entries: Sequence[Any], space: LabelSpace
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Segments (n, 2), scores (n,) and labels (n,); None if any entry is bad."""
    try:
        parts = [
            list(map(itemgetter(key), entries)) for key in ('segment', 'label', 'score')
        ]
        segments, labels, scores = parts
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


def _bad_entries(
    path: Path, results: dict[str, Any], space: LabelSpace
) -> list[Problem]:
    problems = []
    for video, entries in results.items():
        for i, entry in enumerate(entries if isinstance(entries, list) else []):
            try:
                _check_detection(entry, space)
            except ValueError as error:
                problems.append(Problem(str(path), 0, f'{video} [{i}]', str(error)))
    return problems


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
    counts: Counter[str] = Counter()
    for entry in entries:
        label = entry.get('label') if isinstance(entry, dict) else None
        if isinstance(label, (str, int)) and not has_label(label, space):
            counts[repr(label)] += 1
    if not counts:
        return ''
    shown = ', '.join(f'{label} ({n})' for label, n in counts.most_common(5))
    more = f', and {len(counts) - 5} others' if len(counts) > 5 else ''
    return f'unknown labels {shown}{more}'
