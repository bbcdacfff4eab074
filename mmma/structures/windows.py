"""Where the windows of a long video start."""

from __future__ import annotations

import math

_TOLERANCE = 1e-6  # of a position: a duration is a rounded number


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Starts of windows that cover every position, none twice the same.

    They are a stride apart, but the last one, which ends with the video. A video no
    longer than a window gets one, which starts at 0 and reaches beyond its end.

    Args:
        length: Positions of the video.
        window: Positions of a window.
        stride: From one start to the next.

    Raises:
        ValueError: A number below 1, or a stride that leaves gaps.
    """
    for name, value in (('length', length), ('window', window), ('stride', stride)):
        if value < 1:
            raise ValueError(f'{name} {value}: use at least 1 position.')
    if stride > window:
        raise ValueError(
            f'stride {stride} leaves gaps between windows of {window}: use at most '
            f'{window}.'
        )
    last = max(0, length - window)
    return [*range(0, last, stride), last]


def grid_length(duration_sec: float, rate: float) -> int:
    """Positions of a video: moments ``i / rate`` before its end, at least one.

    Args:
        duration_sec: Its length.
        rate: Positions per second.

    Raises:
        ValueError: A number that is not finite or above 0.
    """
    for name, value in (('duration_sec', duration_sec), ('rate', rate)):
        if not 0 < value < math.inf:
            raise ValueError(f'{name} {value}: use a number above 0.')
    return max(1, math.ceil(duration_sec * rate - _TOLERANCE))


def window_starts_sec(
    duration_sec: float, positions: int, rate: float, overlap: float = 0.5
) -> list[float]:
    """Starts of the windows of a video in seconds, each on the grid ``i / rate``.

    Args:
        duration_sec: Length of the video.
        positions: Of a window.
        rate: Positions per second.
        overlap: Share of a window that it has in common with the next, at least; the
            stride is rounded down to whole positions.

    Raises:
        ValueError: A number outside its range.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f'overlap {overlap}: use a share from 0, below 1.')
    length = grid_length(duration_sec, rate)
    stride = max(1, math.floor(positions * (1 - overlap) + _TOLERANCE))
    return [start / rate for start in window_starts(length, positions, stride)]
