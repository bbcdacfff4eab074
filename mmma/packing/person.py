"""Whom a crop follows, and the box around them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmma.packing.options import LARGEST, LEFT

MIN_SCORE = 0.3
_LEAST_SIDE = 32
_TAILS = (1, 99)  # percentiles: a joint that jumps for a frame does not widen the box


class Box(NamedTuple):
    """Part of a picture, in shares of its width and height.

    Attributes:
        left: Where it starts.
        top: Where it starts.
        right: Where it ends.
        bottom: Where it ends.
    """

    left: float
    top: float
    right: float
    bottom: float


WHOLE = Box(0, 0, 1, 1)


def choose_person(
    keypoints: np.ndarray, scores: np.ndarray, rule: str | int
) -> int | None:
    """The person that a crop follows.

    Args:
        keypoints: (M, T, V, 2) in pixels.
        scores: (M, T, V) in [0, 1].
        rule: As in ``Following``; ``largest`` is the highest mean score times area.

    Returns:
        Their place, or None where nobody is seen, or not the one asked for.
    """
    seen = [m for m in range(len(scores)) if (scores[m] >= MIN_SCORE).any()]
    if isinstance(rule, int):
        return rule if rule in seen else None
    if not seen:
        return None
    extents = {m: _extent(keypoints[m], scores[m]) for m in seen}
    if rule == LARGEST:
        return max(seen, key=lambda m: (scores[m].mean() * _area(extents[m]), -m))
    middles = {m: (extents[m][0] + extents[m][2]) / 2 for m in seen}
    choose = min if rule == LEFT else max
    return choose(seen, key=lambda m: middles[m])


def person_box(keypoints: np.ndarray, scores: np.ndarray, size: tuple[int, int]) -> Box:
    """Box that holds one person in all frames.

    Args:
        keypoints: (T, V, 2) in pixels.
        scores: (T, V) in [0, 1], some of them at least ``MIN_SCORE``.
        size: Width and height of the picture.
    """
    left, top, right, bottom = _extent(keypoints, scores)
    width, height = size
    return Box(left / width, top / height, right / width, bottom / height)


def join(boxes: list[Box]) -> Box:
    """The smallest box that holds all.

    Args:
        boxes: At least one.
    """
    columns = list(zip(*boxes, strict=True))
    return Box(*map(min, columns[:2]), *map(max, columns[2:]))


def square_pixels(
    box: Box, size: tuple[int, int], margin: float
) -> tuple[int, int, int, int]:
    """A square with margin around a box, as far as the picture has room.

    Args:
        box: What it must hold.
        size: Width and height of the picture.
        margin: Share of the longer side that is added on each side.

    Returns:
        Left, top, width and height in pixels; even, but for a whole odd side.
    """
    width, height = size
    wide, high = (box.right - box.left) * width, (box.bottom - box.top) * height
    side = max(wide, high) * (1 + 2 * margin)
    left, wide = _span((box.left + box.right) / 2 * width, side, width)
    top, high = _span((box.top + box.bottom) / 2 * height, side, height)
    return left, top, wide, high


def _span(middle: float, side: float, limit: int) -> tuple[int, int]:
    """Start and length, moved into the picture."""
    length = max(_LEAST_SIDE, 2 * round(side / 2))
    if length >= limit:
        return 0, limit
    start = min(max(middle - length / 2, 0), limit - length)
    return 2 * int(start / 2), length


def _extent(keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(4,) left, top, right and bottom of the joints that are seen."""
    seen = keypoints[scores >= MIN_SCORE]
    return np.percentile(seen, _TAILS, axis=0).reshape(-1)


def _area(extent: np.ndarray) -> float:
    return float((extent[2] - extent[0]) * (extent[3] - extent[1]))
