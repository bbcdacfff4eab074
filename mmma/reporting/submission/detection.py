"""Detection track (MMAD): scored segments of each video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmma.evaluation import detections_file
from mmma.layout.converters.source import split_name
from mmma.layout.problems import Problem, refuse
from mmma.reporting.submission.archive import Layout
from mmma.taxonomy import LabelSpace

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
    """Detections in ActivityNet style, as a server takes them.

    Args:
        path: A file as :mod:`mmma.evaluation.detections_file` describes.
        space: Label space of the labels.

    Returns:
        Video to its detections, in the order of the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not of that form, or entries that the server would refuse, of which
            the first five are shown.
    """
    table = detections_file.read_detections(path, space)
    found = table.predictions
    videos: dict[str, list[Detection]] = {name: [] for name in table.names}
    problems = []
    columns = (found.videos, found.labels, *found.segments.T, found.scores)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for video, label, start, end, score in rows:
        name = table.names[video]
        own = videos[name]
        place = f'{name} [{len(own)}]'
        own.append(Detection(start, end, label, score))
        if not 0 <= start < end:
            text = f'segment {[start, end]}: must be seconds, 0 <= start < end'
            problems.append(Problem(str(path), 0, place, text))
        if not 0 <= score <= 1:
            text = f'score {score!r}: must be a number 0..1'
            problems.append(Problem(str(path), 0, place, text))
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
