"""Windows of untrimmed videos: positions on a constant grid, and the truth in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmma.layout.det import END_TOLERANCE_SEC
from mmma.structures.windows import grid_length, window_starts_sec

TRIALS = 200
"""How often a start is drawn until an instance lies inside. Source: OpenTAD,
random_trunc, 3dd7b032."""


@dataclass(frozen=True)
class Window:
    """A stretch of a video, ``rate`` positions per second.

    Attributes:
        start_sec: Time of its first position.
        positions: P, the length that a model sees.
        valid: Positions that exist, from the first; the rest is padding.
        rate: Positions per second.
        video_sec: Length of the video, by the table.
    """

    start_sec: float
    positions: int
    valid: int
    rate: float
    video_sec: float

    @property
    def end_sec(self) -> float:
        """Where the last position that exists ends."""
        return self.start_sec + self.valid / self.rate

    def times_sec(self, scale: int = 1) -> np.ndarray:
        """Times of the positions that exist, (scale * valid,) float64.

        Args:
            scale: Times per position, evenly spread.
        """
        steps = np.arange(scale * self.valid) / (scale * self.rate)
        return self.start_sec + steps

    def truth(
        self, segments: np.ndarray, labels: np.ndarray, min_visible: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Instances of the video that show enough of themselves, cut to the window.

        Args:
            segments: (G, 2) seconds of the video.
            labels: (G,).
            min_visible: Share of an instance that must lie inside.

        Returns:
            Segments (g, 2) float32 in seconds from the window's start, labels (g,).
        """
        inside = segments.clip(self.start_sec, self.end_sec)
        seen = np.diff(inside)[:, 0] >= min_visible * np.diff(segments)[:, 0] - 1e-9
        seen &= inside[:, 1] > inside[:, 0]
        return (inside[seen] - self.start_sec).astype(np.float32), labels[seen]

    def check_length(
        self, found_sec: float, what: str, tolerance_sec: float = 0.0
    ) -> None:
        """Compare what was found with the table.

        Args:
            found_sec: How long the video is.
            what: Of which file, for the message.
            tolerance_sec: Allowed beyond that of the table.

        Raises:
            ValueError: The lengths differ, so that the times are another video's.
        """
        if abs(found_sec - self.video_sec) > END_TOLERANCE_SEC + tolerance_sec:
            raise ValueError(
                f'{what} is {found_sec:.2f} s long, but det.json says '
                f'{self.video_sec:.2f} s: its times are those of another file or rate. '
                '`python tools/data/check.py ROOT --decode` lists all such videos'
            )


@dataclass(frozen=True)
class WindowOptions:
    """How videos are cut into windows.

    Attributes:
        positions: P, positions of a window.
        rate: Positions per second.
        overlap: In testing, share that a window has in common with the next.
        min_visible: Share of an instance that must lie in a window to be its truth.
        crop: In training, smallest and largest share of a video no longer than a
            window that is taken; None takes all.

    Raises:
        ValueError: A number outside its range.
    """

    positions: int = 256
    rate: float = 15.0
    overlap: float = 0.5
    min_visible: float = 0.75
    crop: Sequence[float] | None = (0.9, 1.0)

    def __post_init__(self) -> None:
        if self.positions < 1 or not 0 < self.rate < math.inf:
            raise ValueError(
                f'window of {self.positions} positions, rate {self.rate}: use at least '
                '1 position, and a rate above 0'
            )
        if not 0 <= self.overlap < 1 or not 0 < self.min_visible <= 1:
            raise ValueError(
                f'window: overlap {self.overlap} must be from 0, below 1, and '
                f'min_visible {self.min_visible} above 0, up to 1'
            )
        if self.crop is not None and not 0 < self.crop[0] <= self.crop[-1] <= 1:
            raise ValueError(
                f'window: crop {self.crop}: use two shares above 0, up to 1, the '
                'smaller first, or None'
            )

    def tile(self, video_sec: float) -> list[Window]:
        """The windows of a video in testing; together they cover it.

        Args:
            video_sec: Length of the video.
        """
        length = grid_length(video_sec, self.rate)
        starts = window_starts_sec(video_sec, self.positions, self.rate, self.overlap)
        lengths = [length - round(start * self.rate) for start in starts]
        return [
            self._window(start, min(left, self.positions), video_sec)
            for start, left in zip(starts, lengths, strict=True)
        ]

    def draw(self, video_sec: float, segments: np.ndarray) -> Window:
        """A random window for training, from numpy's global generator.

        Starts are drawn until enough of an instance lies inside; after ``TRIALS`` the
        last is taken, and may have none. A video without instances takes one draw.

        Args:
            video_sec: Length of the video.
            segments: (G, 2) its instances, seconds.

        Source: OpenTAD, random_trunc, 3dd7b032.
        """
        length = grid_length(video_sec, self.rate)
        taken = min(length, self.positions)
        if self.crop is not None and length <= self.positions:
            share = np.random.uniform(self.crop[0], self.crop[-1])
            taken = max(1, round(share * length))
        numbers = np.zeros(len(segments), int)
        for _ in range(TRIALS):
            start = np.random.randint(length - taken + 1) / self.rate
            window = self._window(start, taken, video_sec)
            seen, _ = window.truth(segments, numbers, self.min_visible)
            if len(seen) or not len(segments):
                break
        return window

    def _window(self, start_sec: float, valid: int, video_sec: float) -> Window:
        return Window(start_sec, self.positions, valid, self.rate, video_sec)
