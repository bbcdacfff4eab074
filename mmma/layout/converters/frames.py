"""Instances given in frames: checked, and turned into seconds by each video's rate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmma.layout.decoding import probe_video
from mmma.layout.det import Instance, Video
from mmma.layout.problems import Problem
from mmma.taxonomy import LabelSpace

COLUMNS = ('video_id', 'start_frame', 'end_frame', 'class', 'total_frames')
PLACEHOLDER_ROWS = 3
"""A table of at least so many rows, each with a video of its own, the same frames and
mostly the class after the one before, is no annotation."""


@dataclass(frozen=True)
class FrameRow:
    """One instance as released.

    Attributes:
        line: Line of the table.
        video: The video.
        start_frame: Where it starts.
        end_frame: Where it ends.
        label: Index of the action.
        total_frames: Length of the video.
        fps: Frames per second; None where the table does not say.
    """

    line: int
    video: str
    start_frame: int
    end_frame: int
    label: int
    total_frames: int
    fps: float | None

    @classmethod
    def parse(cls, values: Mapping[str, str], line: int, space: LabelSpace) -> FrameRow:
        """Take a row of text.

        Args:
            values: Text by column, ``COLUMNS`` and perhaps ``fps``.
            line: Its line.
            space: The label space; ``class`` is an index.

        Raises:
            ValueError: Not numbers, or numbers that cannot be.
        """
        try:
            numbers = [float(values[column]) for column in COLUMNS[1:]]
            fps = float(values['fps']) if 'fps' in values else None
        except (TypeError, ValueError):
            raise ValueError(f'not a row of numbers: {list(values.values())}') from None
        start, end, label, total = numbers
        if not values['video_id']:
            raise ValueError('video_id is empty')
        if not 0 <= start < end <= total or any(n % 1 for n in numbers):
            raise ValueError(
                f'frames {start:g} to {end:g} of {total:g}, class {label:g}: need '
                'whole numbers, 0 <= start < end <= total'
            )
        if label not in range(space.num_actions):
            raise ValueError(f'class {label:g}: must be 0..{space.num_actions - 1}')
        if fps is not None and not 1 <= fps <= 1000:
            raise ValueError(f'fps {fps:g}: must be 1..1000')
        video = values['video_id']
        return cls(line, video, int(start), int(end), int(label), int(total), fps)


def disagreements(path: Path, rows: Sequence[FrameRow]) -> list[Problem]:
    """Rows that give a video another length or rate than its first row does.

    Args:
        path: Their table.
        rows: All of it.
    """
    first: dict[str, FrameRow] = {}
    problems = []
    for row in rows:
        before = first.setdefault(row.video, row)
        if (row.total_frames, row.fps) != (before.total_frames, before.fps):
            text = (
                f'{row.total_frames} frames at fps {row.fps}, but line {before.line} '
                f'says {before.total_frames} at {before.fps}'
            )
            problems.append(Problem(str(path), row.line, row.video, text))
    return problems


def is_placeholder(rows: Sequence[FrameRow], classes: Sequence[str]) -> bool:
    """Whether a table only lists videos, with made-up instances.

    Args:
        rows: All of it.
        classes: The class of each row as written.
    """
    one_each = len({row.video for row in rows}) == len(rows) >= PLACEHOLDER_ROWS
    same_frames = len({(row.start_frame, row.end_frame) for row in rows}) == 1
    if not one_each or not same_frames or not all(map(str.isdecimal, classes)):
        return False
    steps = [int(b) - int(a) for a, b in itertools.pairwise(classes)]
    return sum(step == 1 for step in steps) >= 0.9 * len(steps)


def to_video(rows: Sequence[FrameRow], fps: float, place: Mapping[str, str]) -> Video:
    """One video in seconds.

    Args:
        rows: Its instances, at least one.
        fps: Its frames per second.
        place: ``path``, ``subset``, ``domain`` and ``subject`` of it.
    """
    frames = rows[0].total_frames
    return Video(
        video=rows[0].video,
        **place,
        fps=fps,
        frames=frames,
        duration=frames / fps,
        instances=tuple(
            Instance(row.start_frame / fps, row.end_frame / fps, row.label)
            for row in rows
        ),
    )


def rate_source(
    path: Path, rows: Sequence[FrameRow], fps: float | None, notices: list[str]
) -> Callable[[FrameRow, Path | None], float]:
    """How to learn a video's rate: from the table, else the user, else the file.

    Args:
        path: The table.
        rows: All of it.
        fps: What the user says, if anything.
        notices: Gets where the rate comes from, unless it is the table.

    Returns:
        A function of a row and the video's file, if that is there. It raises ValueError
        where only the file could tell and does not.
    """
    if rows[0].fps is not None:
        if fps:
            notices.append(f'{path.name} has its own fps: --fps is not used for it')
        return lambda row, file: row.fps or 0.0
    if fps:
        notices.append(f'{path.name} has no fps: {fps:g} taken for all, as asked')
        return lambda row, file: fps
    notices.append(f'{path.name} has no fps: read from the video files')
    return lambda row, file: _fps_of_file(f'{path}:{row.line}: {row.video}', file)


def _fps_of_file(where: str, file: Path | None) -> float:
    if file is None:
        raise ValueError(
            f'{where}: no fps in the table, and no video to read it from. '
            'Rates differ between videos (MMA-52 mixes 30 and 29), so none is assumed: '
            'use a release with fps, put the videos beside the tables, or give --fps N'
        )
    try:
        return probe_video(file).fps
    except ValueError as error:
        raise ValueError(f'{where}: no fps to read from {file}: {error}') from None
