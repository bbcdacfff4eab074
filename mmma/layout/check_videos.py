"""Are the videos of the tables there, and can every frame of them be decoded?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmma.layout.decoding import VideoFacts, decode_video
from mmma.layout.det import END_TOLERANCE_SEC
from mmma.layout.problems import Problem
from mmma.layout.processes import map_in_processes
from mmma.layout.progress import progress
from mmma.layout.root import DataRoot

FRAME_TOLERANCE = 1
"""Counts of one video may differ by this much: tools disagree on the last frame."""
FPS_TOLERANCE = 0.01
"""Share by which a rate may differ; 29 against 29.97 is three times that."""


@dataclass(frozen=True)
class Use:
    """A row of a table that uses a video, and what it says of it.

    Attributes:
        file: The table.
        line: Its line there; 0 if unknown.
        item: Clip or video.
        path: The video, relative to the root.
        frames: Number of frames, if anything says.
        fps: Frames per second, if anything says.
        duration: Seconds, if anything says.
    """

    file: str
    line: int
    item: str
    path: str
    frames: int | None = None
    fps: float | None = None
    duration: float | None = None

    def problem(self, text: str) -> Problem:
        """What is wrong with the video of this row."""
        return Problem(self.file, self.line, self.item, f'{self.path}: {text}')


def missing_videos(root: DataRoot, uses: Sequence[Use]) -> Iterator[Problem]:
    """Videos that are not there, or outside the root through a link.

    Args:
        root: The data root.
        uses: Every row with a path.
    """
    for use in uses:
        try:
            if not root.video_path(use.path).is_file():
                yield use.problem('no such file')
        except ValueError as error:
            yield Problem(use.file, use.line, use.item, str(error))


def broken_videos(
    root: DataRoot, uses: Sequence[Use], workers: int | None
) -> Iterator[Problem]:
    """Videos that cannot be decoded, or are not what the tables say.

    Args:
        root: The data root.
        uses: Every row with a path; missing files are left to ``missing_videos``.
        workers: Processes; 0 decodes in this one, None takes one per CPU.
    """
    by_path: dict[str, list[Use]] = defaultdict(list)
    for use in uses:
        if next(missing_videos(root, [use]), None) is None:
            by_path[use.path].append(use)
    files = {path: root.video_path(path) for path in by_path}
    for path, outcome in decode_all(files, workers):
        for use in by_path[path]:
            if isinstance(outcome, str):
                yield use.problem(outcome)
            else:
                yield from map(use.problem, _mismatches(use, outcome))


def decode_all(
    files: Mapping[str, Path], workers: int | None
) -> Iterator[tuple[str, VideoFacts | str]]:
    """Decode videos side by side, with progress on standard error.

    Args:
        files: Name -> file.
        workers: Processes; 0 decodes in this one, None takes one per CPU.

    Yields:
        Name and what the video holds, or why it cannot be decoded; in order.
    """
    todo = list(dict.fromkeys(files.values()))
    found = map_in_processes(_try, todo, workers)
    outcomes = dict(progress(found, len(todo), 'decode'))
    yield from ((name, outcomes[file]) for name, file in files.items())


def _try(file: Path) -> VideoFacts | str:
    try:
        return decode_video(file)
    except (ValueError, FileNotFoundError) as error:
        return str(error)


def _mismatches(use: Use, facts: VideoFacts) -> Iterator[str]:
    """What a table says and the file does not."""
    if use.frames is not None and abs(use.frames - facts.frames) > FRAME_TOLERANCE:
        yield f'{facts.frames} frames, expected {use.frames}'
    if use.fps is not None and abs(facts.fps / use.fps - 1) > FPS_TOLERANCE:
        yield f'{facts.fps:.2f} frames per second, expected {use.fps:.2f}'
    late = abs((use.duration or 0) - facts.duration) > END_TOLERANCE_SEC
    if use.duration is not None and facts.duration and late:
        yield f'{facts.duration:.2f} s long, expected {use.duration:.2f} s'
