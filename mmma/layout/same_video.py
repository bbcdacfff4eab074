"""Do two videos show the same moments? Compared by frame marks, in two stages.

A camera that stands still gives one person's clips nearly the same picture, so that
equal frames prove nothing. A picture that agrees makes a pair a candidate only; what
decides is whether brightness changes in the same cells at the same times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from mmma.layout.frame_marks import RATE

HASH_TOLERANCE = 4
"""Bits of 64 in which difference hashes of one moment may disagree."""
MIN_AGREEMENT = 0.8
"""Correlation of changes from which two videos show the same. Three published clips
agree with their copies of 256 pixels, crf 28, to 0.97 and more."""
MOVING_CELLS = 64
"""Cells that are compared, those that change most: elsewhere is noise of encoders."""
MIN_MARKS = 6
MIN_MOTION = 0.25
"""Root mean square of changes, of 255, below which nothing can be said."""
_DEAD_ZONE = 1.0  # brightness; smaller differences do not survive a new encoding
_BLOCK = 2048


class Same(NamedTuple):
    """Two videos, and how much they agree.

    Attributes:
        left: Name of one.
        right: Name of the other.
        agreement: Correlation of what changes, at the best shift.
        shift_sec: When the shorter one starts within the longer one.
        decided: False where too little moves to tell the same clip from another one
            before the same still camera.
    """

    left: str
    right: str
    agreement: float
    shift_sec: float
    decided: bool


def same_moments(
    left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]
) -> Iterator[Same]:
    """Pairs of videos that show the same, or of which one is cut from the other.

    Found across other sizes, codecs and frame rates. Not found: mirrored, cropped or
    sped up copies, and parts shorter than three quarters of a second.

    Args:
        left: Name -> (T, 16, 16) marks.
        right: Those they are compared with.
    """
    for a, b in candidates(left, right):
        found = compare(left[a], right[b])
        if found is not None:
            agreement, shift, decided = found
            if not decided or agreement >= MIN_AGREEMENT:
                yield Same(a, b, agreement, shift, decided)


def candidates(
    left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]
) -> list[tuple[str, str]]:
    """Pairs whose picture agrees in any two seconds.

    Args:
        left: Name -> (T, 16, 16) marks.
        right: The same.
    """
    if not left or not right:
        return []
    hashes, owners = _hashes(left)
    others, other_owners = _hashes(right)
    pairs: set[tuple[int, int]] = set()
    for at in range(0, len(hashes), _BLOCK):
        mine = hashes[at : at + _BLOCK]
        for to in range(0, len(others), _BLOCK):
            theirs = others[to : to + _BLOCK]
            known = np.abs(mine) @ np.abs(theirs).T
            unlike = (known - mine @ theirs.T) / 2
            i, j = np.nonzero(unlike <= HASH_TOLERANCE)
            found = zip(owners[at + i], other_owners[to + j], strict=True)
            pairs.update((int(mine), int(other)) for mine, other in found)
    names, other_names = list(left), list(right)
    return [(names[i], other_names[j]) for i, j in sorted(pairs)]


def difference_hash(picture: np.ndarray) -> np.ndarray:
    """(64,) of -1, 0 and 1: is the right neighbour darker, alike or brighter?

    Args:
        picture: (16, 16) brightness.
    """
    rows = picture.astype(np.float32).reshape(8, 2, 16).mean(1)
    places = np.linspace(0, 15, 9)
    low = np.minimum(places.astype(int), 14)
    share = (places - low).astype(np.float32)
    nine = rows[:, low] * (1 - share) + rows[:, low + 1] * share
    steps = np.diff(nine, axis=1).reshape(-1)
    return (np.sign(steps) * (np.abs(steps) >= _DEAD_ZONE)).astype(np.float32)


def compare(left: np.ndarray, right: np.ndarray) -> tuple[float, float, bool] | None:
    """How well the shorter of two videos fits into the longer one.

    Args:
        left: (T, 16, 16) marks.
        right: The same.

    Returns:
        Agreement, shift in seconds, and whether enough moves to decide; None where
        they do not show the same, or are too short.
    """
    short, long = sorted((left, right), key=len)
    if len(short) < MIN_MARKS:
        return None
    a, b = _changes(short), _half_steps(_changes(long))
    moving = np.argsort(-a.var(0), kind='stable')[:MOVING_CELLS]
    a, b = a[:, moving], b[:, moving]
    shifts = np.arange(len(b) - 2 * (len(a) - 1))
    places = shifts[:, None] + 2 * np.arange(len(a))
    a = a - a.mean(0)
    products = b @ a.T  # (2 T_long - 1, T_short)
    agree = products[places, np.arange(len(a))].sum(1)
    squares = (b * b).sum(1)[places].sum(1)
    means = _window_means(b, len(a))
    energy = np.sqrt(np.maximum(squares - len(a) * (means * means).sum(1), 0))
    own = np.sqrt((a * a).sum())
    still = MIN_MOTION * np.sqrt(a.size)
    if own < still or energy.max() < still:
        return _still(short, long)
    scores = np.where(energy >= still, agree / np.maximum(own * energy, 1e-9), 0)
    best = int(scores.argmax())
    return float(scores[best]), best / 2 / RATE, True


def _window_means(b: np.ndarray, length: int) -> np.ndarray:
    """(S, D) mean of every window of ``length`` rows, taken at every second row."""
    made = np.empty((len(b) - 2 * (length - 1), b.shape[1]), np.float64)
    for first in (0, 1):
        rows = b[first::2].astype(np.float64)
        sums = np.concatenate([np.zeros((1, b.shape[1])), rows.cumsum(0)])
        windows = sums[length:] - sums[:-length]
        made[first::2] = windows[: len(made[first::2])] / length
    return made


def _still(short: np.ndarray, long: np.ndarray) -> tuple[float, float, bool] | None:
    """Hardly anything moves: all that can be said is that picture and length agree."""
    a, b = short.astype(np.float32).mean(0), long.astype(np.float32).mean(0)
    if len(long) - len(short) > 1 or np.abs(a - b).mean() > 2 * _DEAD_ZONE:
        return None
    return 0.0, 0.0, False


def _changes(marks: np.ndarray) -> np.ndarray:
    """(T, 256) float32, less the whole picture's brightness: lamps flicker."""
    flat = marks.astype(np.float32).reshape(len(marks), -1)
    return flat - flat.mean(1, keepdims=True)


def _half_steps(rows: np.ndarray) -> np.ndarray:
    """(2 T - 1, D): the mean of neighbours between them."""
    made = np.empty((2 * len(rows) - 1, rows.shape[1]), rows.dtype)
    made[::2] = rows
    made[1::2] = (rows[1:] + rows[:-1]) / 2
    return made


def _hashes(videos: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of each second's mean picture, (n, 64), and whose they are, (n,)."""
    made: list[np.ndarray] = []
    owners: list[int] = []
    for owner, marks in enumerate(videos.values()):
        for at in range(0, len(marks), RATE):
            made.append(difference_hash(marks[at : at + RATE].mean(0)))
            owners.append(owner)
    return np.stack(made), np.array(owners)
