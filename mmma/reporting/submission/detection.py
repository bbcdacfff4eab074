"""Detection track (MMAD): scored segments of each video."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmma.layout.converters.source import split_name
from mmma.layout.paths import read_text
from mmma.layout.problems import Problem, refuse
from mmma.reporting.submission.archive import Layout
from mmma.taxonomy import LabelSpace, load_label_space

HEADERS = {
    '2025': ('', 'video_id', 't_start', 't_end', 'class', 'score'),
    '2026': ('ID', 'video-id', 't-start', 't-end', 'label', 'score'),
}
"""Servers differ in the header alone; the first column numbers the rows from 0.

Source: submission rules of the Micro-Action Challenge 2024 and 2025; files of a
participant of 2026.
"""
VIDEO_COUNT = 519
"""Videos of the MMA-52 test subset."""


@dataclass(frozen=True)
class Detection:
    """A scored segment.

    Attributes:
        start_sec: Start, seconds from the first frame.
        end_sec: End.
        label: Index of the action.
        score: In [0, 1].
    """

    start_sec: float
    end_sec: float
    label: int
    score: float


def segment_layout(header: str, space: LabelSpace) -> Layout:
    """Columns of a preset of HEADERS."""
    return Layout(HEADERS[header], 1, {0: 10**9, 4: space.num_actions}, (2, 3, 5))


def read_detections(path: Path, space: LabelSpace) -> dict[str, list[Detection]]:
    """Detections in ActivityNet style, labels by name or index.

    Args:
        path: ``{"results": {video: [{"segment": [start_sec, end_sec], "label",
            "score"}]}}``; other keys are ignored.
        space: Label space of the labels.

    Returns:
        Video to its detections, in the order of the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not of that form, or bad entries, of which the first five are shown.
    """
    path = Path(path)
    repeated: list[str] = []
    try:
        content = json.loads(
            read_text(path), object_pairs_hook=lambda pairs: _object(pairs, repeated)
        )
    except json.JSONDecodeError as error:
        raise ValueError(
            f'{path}:{error.lineno}: not readable as JSON: {error.msg}'
        ) from None
    results = content.get('results') if isinstance(content, dict) else None
    if not isinstance(results, dict) or not results:
        raise ValueError(
            f'{path}: no detections: need {{"results": {{video: [{{"segment", "label", '
            '"score"}]}}'
        )
    videos: dict[str, list[Detection]] = {}
    problems = [Problem(str(path), 0, key, 'is there twice') for key in repeated]
    for video, entries in results.items():
        videos[video] = []
        if not isinstance(entries, list):
            problems.append(Problem(str(path), 0, video, f'{entries!r} is no list'))
            continue
        for i, entry in enumerate(entries):
            try:
                videos[video].append(_detection(entry, space))
            except ValueError as error:
                problems.append(Problem(str(path), 0, f'{video} [{i}]', str(error)))
    refuse(problems, path)
    return videos


def segment_rows(
    videos: Mapping[str, Sequence[Detection]], top: int | None = None
) -> Iterator[list[str | int | float]]:
    """Rows of ``prediction.csv``: videos in their order, best detections first.

    Args:
        videos: Video name to detections; the names are written as they are.
        top: How many of each video to keep; None keeps all.

    Raises:
        ValueError: ``top`` below 1.
    """
    if top is not None and top < 1:
        raise ValueError(f'--top {top}: keep at least 1 detection per video')
    number = 0
    for video, detections in videos.items():
        for d in sorted(detections, key=lambda d: -d.score)[:top]:
            yield [number, video, d.start_sec, d.end_sec, d.label, d.score]
            number += 1


def video_id(name: str) -> str:
    """Name of a video as the annotations write it, ``test0000``."""
    return split_name(name)[0]


def _object(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    """A JSON object; notes the keys that plain JSON reading would drop in silence."""
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = Counter(key for key, _ in pairs)
        repeated += [key for key, n in keys.items() if n > 1]
    return content


def _detection(entry: Any, space: LabelSpace) -> Detection:
    if not isinstance(entry, dict) or not {'segment', 'label', 'score'} <= set(entry):
        raise ValueError(f'must be {{"segment", "label", "score"}}, not {entry!r}')
    segment, score, label = entry['segment'], entry['score'], entry['label']
    pair = isinstance(segment, list) and len(segment) == 2
    if not (pair and all(map(_is_number, segment)) and 0 <= segment[0] < segment[1]):
        raise ValueError(f'segment {segment!r}: must be seconds, 0 <= start < end')
    if not _is_number(score) or not 0 <= score <= 1:
        raise ValueError(f'score {score!r}: must be a number 0..1')
    if isinstance(label, bool) or not isinstance(label, (str, int)):
        raise ValueError(f'label {label!r}: must be the name or index of an action')
    return Detection(
        float(segment[0]), float(segment[1]), _action(label, space), float(score)
    )


def _action(label: str | int, space: LabelSpace) -> int:
    try:
        return space.action_id(label)
    except ValueError as error:
        other = load_label_space('mma82')
        if space.name != other.name and _belongs(label, other):
            raise ValueError(
                f'label {label!r} is of MMA-82, but the challenge is of the 52 actions '
                'of MA-52; detect with a model trained on MMA-52'
            ) from None
        raise error


def _belongs(label: str | int, space: LabelSpace) -> bool:
    try:
        space.action_id(label)
    except ValueError:
        return False
    return True


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)
