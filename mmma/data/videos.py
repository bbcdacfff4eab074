"""``det.json``: ActivityNet style, one entry per untrimmed video."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmma.files import CHECK_HINT, Problem, atomic_write, leaves_root, read_text, refuse
from mmma.taxonomy import DOMAINS, SUBSETS, LabelSpace, check_choice

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


def read_det(path: Path, space: LabelSpace) -> list[Video]:
    """Read and validate a detection table.

    Args:
        path: A ``det.json``.
        space: Its label space.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No videos, or bad ones; the first five are shown.
    """
    videos, problems = scan_det(path, space)
    refuse(problems, path, CHECK_HINT)
    return videos


def scan_det(path: Path, space: LabelSpace) -> tuple[list[Video], list[Problem]]:
    """Read a detection table as far as it can be read.

    Args:
        path: A ``det.json``.
        space: Its label space.

    Returns:
        The videos without a problem, and every problem in the order of the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not UTF-8 text, or not JSON.
    """
    path = Path(path)
    content, repeated, text = read_table(path)
    database = content.get('database') if isinstance(content, dict) else None
    if not isinstance(database, dict) or not database:
        what = 'empty table' if database == {} else 'no table'
        return [], [
            Problem(str(path), 0, '', f'{what}: need {{"database": {{video: ...}}}}')
        ]
    videos, wrong = [], [(name, 'is there twice') for name in repeated]
    lines = entry_lines(text, database)
    for name, entry in database.items():
        video, errors = parse_video(name, entry, space, lines[name])
        if video is not None:
            videos.append(video)
        wrong += [(name, error) for error in errors]
    return videos, [
        Problem(str(path), lines.get(name, 0), name, error) for name, error in wrong
    ]


def read_table(path: Path) -> tuple[Any, list[str], str]:
    """Read a JSON file.

    Args:
        path: The file.

    Returns:
        What it holds; the keys that an object has twice, of which plain reading keeps
        one in silence; and the text.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not UTF-8 text, or not JSON.
    """
    text = read_text(path)
    repeated: list[str] = []
    try:
        content = json.loads(text, object_pairs_hook=lambda p: _object(p, repeated))
    except json.JSONDecodeError as error:
        raise ValueError(
            f'{path}:{error.lineno}: not readable as JSON: {error.msg}'
        ) from None
    return content, repeated, text


def parse_video(
    name: str, entry: Any, space: LabelSpace, line: int = 0
) -> tuple[Video | None, list[str]]:
    """One entry of a detection table.

    Args:
        name: Of the video.
        entry: What the table says of it.
        space: Label space of its labels.
        line: Where it is in the file.

    Returns:
        The video, or None and all that is wrong with it.
    """
    errors: list[str] = []
    video = _video((name, line), entry, space, errors)
    return (None if errors else video), errors


def write_det(path: Path, videos: Iterable[Video], space: LabelSpace) -> None:
    """Write a detection table: labels by name, one line per video.

    Args:
        path: The ``det.json`` to write.
        videos: Its entries, in order.
        space: Label space of their indices.
    """
    with atomic_write(Path(path)) as file:
        file.write('{"database": {')
        for i, video in enumerate(videos):
            entry = json.dumps(_entry(video, space), ensure_ascii=False)
            name = json.dumps(video.video, ensure_ascii=False)
            file.write(f'{"," if i else ""}\n{name}: {entry}')
        file.write('\n}}\n')


def _entry(video: Video, space: LabelSpace) -> dict[str, Any]:
    columns = ('path', 'subset', 'domain', 'subject', 'fps', 'frames', 'duration')
    entry = {column: getattr(video, column) for column in columns}
    if not video.withheld:
        entry['annotations'] = [
            {'segment': [i.start_sec, i.end_sec], 'label': space.actions[i.label]}
            for i in video.instances
        ]
    return entry


def _object(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    """A JSON object; notes the keys that plain JSON reading would drop in silence."""
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated += sorted({key for key in keys if keys.count(key) > 1})
    return result


def entry_lines(text: str, names: Iterable[str]) -> dict[str, int]:
    """Line on which each video's entry starts; 0 where the key is spelt oddly.

    Args:
        text: Of a JSON file.
        names: Its keys, in order.
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


def _video(
    key: tuple[str, int], entry: Any, space: LabelSpace, errors: list[str]
) -> Video | None:
    name, line = key
    if not isinstance(entry, dict):
        errors.append(f'must be an object with subset, domain, ..., not {entry!r}')
        return None
    for kind, allowed in (('subset', SUBSETS), ('domain', DOMAINS)):
        try:
            check_choice(kind, str(entry.get(kind, '')), allowed)
        except ValueError as error:
            errors.append(str(error))
    path, subject = str(entry.get('path') or ''), str(entry.get('subject', ''))
    if leaves_root(path):
        errors.append(
            f'path {path!r} leaves the data root; write it relative to the root, '
            'without ..'
        )
    if not name:
        errors.append('video has no name')
    for key in ('fps', 'frames', 'duration'):
        if not _is_number(entry.get(key)) or entry[key] <= 0:
            errors.append(f'{key} {entry.get(key)!r}: must be a number above 0')
    if errors:
        return None
    duration = float(entry['duration'])
    annotations = entry.get('annotations')
    withheld = annotations is None
    instances = _instances([] if withheld else annotations, duration, space, errors)
    return Video(
        video=name,
        path=path,
        subset=entry['subset'],
        domain=entry['domain'],
        subject=subject,
        fps=float(entry['fps']),
        frames=int(entry['frames']),
        duration=duration,
        instances=tuple(instances),
        withheld=withheld,
        line=line,
    )


def _instances(
    annotations: Any, duration: float, space: LabelSpace, errors: list[str]
) -> list[Instance]:
    if not isinstance(annotations, list):
        errors.append(f'annotations must be a list, not {annotations!r}')
        return []
    instances = []
    for i, annotation in enumerate(annotations):
        try:
            instances.append(_instance(annotation, duration, space))
        except ValueError as error:
            errors.append(f'annotation {i}: {error}')
    return instances


def _instance(annotation: Any, duration: float, space: LabelSpace) -> Instance:
    if not isinstance(annotation, dict) or not {'segment', 'label'} <= set(annotation):
        raise ValueError(f'must be {{"segment", "label"}}, not {annotation!r}')
    segment, label = annotation['segment'], annotation['label']
    if isinstance(label, bool) or not isinstance(label, (str, int)):
        raise ValueError(f'label {label!r}: must be the name or index of an action')
    pair = isinstance(segment, list) and len(segment) == 2
    pair = pair and all(map(_is_number, segment))
    if not pair or not 0 <= segment[0] < segment[1]:
        raise ValueError(f'segment {segment!r}: must be seconds, 0 <= start < end')
    start_sec, end_sec = float(segment[0]), float(segment[1])
    if end_sec > duration + END_TOLERANCE_SEC or start_sec >= duration:
        raise ValueError(
            f'segment {segment!r} ends after the video ({duration} s); frames taken '
            'for seconds, or another fps?'
        )
    return Instance(start_sec, min(end_sec, duration), space.action_id(label))


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
