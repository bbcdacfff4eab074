"""Segments, windows and detections as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmma.taxonomy import suggest

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
NMS_METHODS = ('soft', 'hard', 'none')
LENGTH_MARGIN_SEC = 1e-6
"""Added to every length in NMS, as in ActionFormer's ``nms_1d_cpu``."""
_MIN_UNION_SEC = 1e-8
_RAISE_EVERY = 16  # picks between looks at what can still be among the best


@dataclass(frozen=True)
class NmsOptions:
    """How detections of one video are thinned out, class by class.

    Attributes:
        sigma: ``soft`` multiplies the score of every other segment by
            ``exp(-tIoU^2 / sigma)``; lower suppresses more.
        min_score: Only scores above it are kept, before and after the decay.
        max_per_video: The best of all classes together.
        method: ``soft``, ``hard`` (removes what overlaps by ``tiou`` or more) or
            ``none`` (sorts and cuts only).
        tiou: Used by ``hard``.

    Raises:
        ValueError: An unknown method or a number outside its range.
    """

    sigma: float = 0.5
    min_score: float = 1e-3
    max_per_video: int = 200
    method: str = 'soft'
    tiou: float = 0.5

    def __post_init__(self) -> None:
        if self.method not in NMS_METHODS:
            raise ValueError(
                f'NMS method {self.method!r}: use one of {NMS_METHODS}.'
                f'{suggest(self.method, NMS_METHODS)}'
            )
        if not 0 < self.sigma < np.inf:
            raise ValueError(f'NMS sigma {self.sigma}: use a number above 0.')
        if not 0 <= self.min_score < np.inf:
            raise ValueError(f'NMS min_score {self.min_score}: use a number from 0.')
        if not 0 < self.tiou <= 1:
            raise ValueError(f'NMS tiou {self.tiou}: use a number above 0, up to 1.')
        if self.max_per_video < 1:
            raise ValueError(f'NMS max_per_video {self.max_per_video}: use at least 1.')


def segment_tiou(pred: ArrayLike, gt: ArrayLike) -> FloatArray:
    """Temporal IoU of each predicted segment with each true one.

    Args:
        pred: (P, 2), columns start_sec, end_sec; seconds from frame 0.
        gt: (G, 2), same columns.

    Returns:
        (P, G), in [0, 1]; a zero-length pair gives 0, never NaN.

    Raises:
        ValueError: A segment ends before it starts, or is not a pair of finite numbers.

    Source: ActivityNet evaluation, segment_iou.
    """
    first, second = check_segments(pred, 'pred'), check_segments(gt, 'gt')
    return _tiou(first.T[:, :, None], second.T[:, None], 0.0)


def tiou_pairs(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Temporal IoU of segments with the same index: the diagonal of ``segment_tiou``.

    Args:
        a: (n, 2), columns start_sec, end_sec.
        b: (n, 2).

    Returns:
        (n,), in [0, 1].

    Raises:
        ValueError: As in ``segment_tiou``, or another number of segments.
    """
    first, second = check_segments(a, 'a'), check_segments(b, 'b')
    if len(first) != len(second):
        raise ValueError(
            f'tiou_pairs of {len(first)} and {len(second)} segments: give as many.'
        )
    return _tiou(first.T, second.T, 0.0)


def check_segments(segments: ArrayLike, name: str = 'segments') -> FloatArray:
    """Segments as an array of float64.

    Args:
        segments: (n, 2); any empty array counts as (0, 2).
        name: For the message.

    Raises:
        ValueError: Another shape, a number that is not finite, or a segment that ends
            before it starts.
    """
    table = np.asarray(segments, dtype=np.float64)
    if table.size == 0:
        return np.zeros((0, 2))
    if table.ndim != 2 or table.shape[1] != 2:
        raise ValueError(
            f'{name} of shape {table.shape}: give (n, 2), columns start and end.'
        )
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise ValueError(f'{name}[{row}] = {table[row].tolist()}: not finite.')
    reversed_rows = table[:, 1] < table[:, 0]
    if reversed_rows.any():
        row = int(np.flatnonzero(reversed_rows)[0])
        raise ValueError(
            f'{name}[{row}] = {table[row].tolist()} ends before it starts: swap start '
            'and end, or drop it.'
        )
    return table


def rank_order(
    segments: FloatArray, scores: NDArray[Any], labels: IntArray
) -> IntArray:
    """Order of detections: score from high to low, then start, end and label.

    What ties in all of them keeps its order.

    Args:
        segments: (n, 2).
        scores: (n,).
        labels: (n,).

    Returns:
        (n,) indices.
    """
    keys = (labels, segments[:, 1], segments[:, 0], -scores)
    return np.lexsort(keys).astype(np.int64, copy=False)


def class_nms(
    segments: ArrayLike,
    scores: ArrayLike,
    labels: ArrayLike,
    options: NmsOptions | None = None,
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Thin out the detections of one video, each class by itself.

    The best segment of a class is kept and lowers the scores of the rest by their
    overlap with it, again and again. Of equal scores the earlier start, then the
    earlier end goes first.

    Args:
        segments: (n, 2) seconds.
        scores: (n,) from 0.
        labels: (n,) class indices.
        options: Default: ``NmsOptions()``.

    Returns:
        Segments (k, 2), scores (k,) after the decay and labels (k,), in the order of
        ``rank_order``.

    Raises:
        ValueError: Bad segments, arrays of different lengths, or scores below 0 or not
            finite.

    Source: Bodla et al., Soft-NMS (Gaussian), as in ActionFormer ``nms_1d_cpu``, which
        keeps scores equal to ``min_score``, too.
    """
    options = options or NmsOptions()
    table, values, classes = check_candidates(segments, scores, labels)
    keep = values > options.min_score
    order = np.flatnonzero(keep)
    order = order[np.lexsort((table[order, 1], table[order, 0], classes[order]))]
    table, values, classes = table[order], values[order], classes[order]
    if options.method != 'none' and len(values):
        values = _decayed_scores(table, values, classes, options)
        kept = values > 0
        table, values, classes = table[kept], values[kept], classes[kept]
    order = rank_order(table, values, classes)[: options.max_per_video]
    return table[order], values[order], classes[order]


def check_candidates(
    segments: ArrayLike, scores: ArrayLike, labels: ArrayLike
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Arrays of what NMS can take.

    Raises:
        ValueError: As in ``class_nms``.
    """
    table = check_segments(segments)
    values = np.asarray(scores, dtype=np.float64).reshape(-1)
    classes = np.asarray(labels).reshape(-1)
    if not len(table) == len(values) == len(classes):
        raise ValueError(
            f'{len(table)} segments, {len(values)} scores and {len(classes)} labels: '
            'give one of each per detection.'
        )
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f'scores[{row}] = {values[row]}: NMS needs finite scores from 0, such as '
            'the sigmoid of logits.'
        )
    return table, values, classes.astype(np.int64)


def _decayed_scores(
    table: FloatArray, scores: FloatArray, classes: IntArray, options: NmsOptions
) -> FloatArray:
    """Scores of sorted candidates at the moment they are picked; 0: they never are."""
    found = np.zeros(len(scores))
    ends = np.ascontiguousarray(table.T)  # (2, n)
    for members, exists in _blocks(table, classes):
        block = np.where(exists, scores[members], 0)  # (B, m)
        picked = _pick(ends[:, members], block, found[found > 0], options)
        found[members[exists]] = picked[exists]
    return found


def _blocks(
    table: FloatArray, classes: IntArray
) -> Iterator[tuple[IntArray, NDArray[np.bool_]]]:
    """Groups of one class that touch each other, padded to blocks of like sizes.

    Groups do not influence each other, so those of a block are treated at once.

    Yields:
        (B, m) indices of candidates and which of them exist; small groups first.
    """
    begins = np.flatnonzero(_starts_group(table, classes))
    sizes = np.diff(begins, append=len(table))
    steps = np.ceil(np.log2(sizes)).astype(np.int64)  # a block pads to twice, at most
    for step in np.unique(steps):
        chosen = steps == step
        places = np.arange(sizes[chosen].max())
        exists = places < sizes[chosen, None]
        yield begins[chosen, None] + np.where(exists, places, 0), exists


def _starts_group(table: FloatArray, classes: IntArray) -> NDArray[np.bool_]:
    """Whether nothing before a candidate has its class and reaches into it."""
    _, moments = np.unique(table, return_inverse=True)
    moments = moments.reshape(-1, 2)  # as ranks, so that shifting them is exact
    _, places = np.unique(classes, return_inverse=True)
    moments = moments + places[:, None] * (2 * len(table))
    reach = np.maximum.accumulate(moments[:, 1])
    return np.concatenate([[True], moments[1:, 0] >= reach[:-1]])


def _pick(
    members: FloatArray, scores: FloatArray, earlier: FloatArray, options: NmsOptions
) -> FloatArray:
    """Soft or hard NMS of several groups, one pick of each at a time.

    Args:
        members: (2, B, m) starts and ends, by start.
        scores: (B, m); 0 where there is none.
        earlier: Scores that were picked in other blocks.
        options: Sigma, method, lowest score, maximum.

    Returns:
        (B, m) score of each member when it was picked, or 0.
    """
    rows = np.arange(len(scores))
    found = np.zeros_like(scores)
    floor = _floor(earlier, options)
    for step in range(min(scores.shape[1], options.max_per_video)):
        if step % _RAISE_EVERY == _RAISE_EVERY - 1:
            floor = _floor(np.append(earlier, found[found > 0]), options)
        best = scores.argmax(axis=1)
        top = scores[rows, best]
        if top.max() <= floor:
            break
        found[rows, best] += np.where(top > floor, top, 0)
        scores *= _decay(members[:, rows, best, None], members, options)
        scores[rows, best] = 0  # a pick is used up
    return found


def _floor(picks: FloatArray, options: NmsOptions) -> float:
    """What a score must exceed to be among the best at the end, given some of them."""
    surplus = len(picks) - options.max_per_video
    if surplus < 0:
        return options.min_score
    last = np.partition(picks, surplus)[surplus]
    return max(options.min_score, float(np.nextafter(last, 0)))


def _decay(picks: FloatArray, others: FloatArray, options: NmsOptions) -> FloatArray:
    """What the scores of others are multiplied by, (2, ...) each, broadcast."""
    tiou = _tiou(picks, others, LENGTH_MARGIN_SEC)
    if options.method == 'hard':
        return (tiou < options.tiou).astype(np.float64)
    return np.asarray(np.exp(tiou * tiou / -options.sigma))


def _tiou(a: FloatArray, b: FloatArray, margin: float) -> FloatArray:
    shared = np.maximum(np.minimum(a[1], b[1]) - np.maximum(a[0], b[0]), 0)
    union = (a[1] - a[0] + margin) + (b[1] - b[0] + margin) - shared
    return np.asarray(shared / np.maximum(union, _MIN_UNION_SEC))


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one video, in any order.

    Attributes:
        segments_sec: (n, 2) float64, start and end; seconds from frame 0.
        scores: (n,) float64.
        labels: (n,) int64, indices of the label space.

    Raises:
        ValueError: Different lengths, a number that is not finite, a segment that ends
            before it starts, or a label below 0 or not whole.
    """

    segments_sec: NDArray[np.float64]
    scores: NDArray[np.float64]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        segments = check_segments(self.segments_sec, 'segments_sec')
        scores = np.asarray(self.scores, dtype=np.float64)
        labels = np.asarray(self.labels)
        sizes = (len(segments), scores.shape, labels.shape)
        if not (scores.shape == labels.shape == (len(segments),)):
            raise ValueError(
                f'{sizes[0]} segments, scores of shape {sizes[1]}, labels of shape '
                f'{sizes[2]}: give one score and one label per segment.'
            )
        if not np.isfinite(scores).all():
            row = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise ValueError(f'scores[{row}] = {scores[row]}: not finite.')
        if labels.size and (labels.dtype.kind not in 'iu' or labels.min() < 0):
            raise ValueError(
                f'labels of type {labels.dtype}, lowest {labels.min()}: use class '
                'indices, whole numbers from 0.'
            )
        object.__setattr__(self, 'segments_sec', segments)
        object.__setattr__(self, 'scores', scores)
        object.__setattr__(self, 'labels', labels.astype(np.int64))

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls) -> Detections:
        """Nothing found."""
        return cls(np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.int64))

    @classmethod
    def concat(cls, parts: Sequence[Detections]) -> Detections:
        """All detections of several parts, such as the windows of a video."""
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([part.segments_sec for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.labels for part in parts]),
        )

    def select(self, index: ArrayLike) -> Detections:
        """Some of them, by indices or a mask, in that order."""
        chosen = np.asarray(index)
        if chosen.size == 0:
            chosen = chosen.astype(np.int64)
        return Detections(
            self.segments_sec[chosen], self.scores[chosen], self.labels[chosen]
        )

    def top(self, k: int) -> Detections:
        """The best k, best first.

        Of equal scores the earlier start, then the earlier end, then the lower label
        goes first, so the order of the input decides only between equals.

        Raises:
            ValueError: A k below 0.
        """
        if k < 0:
            raise ValueError(f'top {k} detections: use a number from 0.')
        order = rank_order(self.segments_sec, self.scores, self.labels)
        return self.select(order[:k])

    def nms(self, options: NmsOptions | None = None) -> Detections:
        """Class-wise (soft-)NMS; see ``class_nms``."""
        found = class_nms(self.segments_sec, self.scores, self.labels, options)
        return Detections(*found)

    def shift(self, offset_sec: float) -> Detections:
        """All of them later by ``offset_sec``, such as the start of their window."""
        return replace(self, segments_sec=self.segments_sec + offset_sec)

    def clip(self, start_sec: float, end_sec: float) -> Detections:
        """All of them cut to an interval; one outside becomes zero-length at its edge.

        Raises:
            ValueError: The interval ends before it starts.
        """
        if not start_sec <= end_sec:
            raise ValueError(
                f'clip to {start_sec} .. {end_sec} s: the end comes before the start.'
            )
        return replace(self, segments_sec=self.segments_sec.clip(start_sec, end_sec))

    def to_bodies(self, body_of: Sequence[int]) -> Detections:
        """Detections of body groups, to be thinned out by NMS after this.

        Of actions of one group with the same segment the highest score is kept: after
        NMS of actions they would stay as doubles and count as false.

        Args:
            body_of: (K,) group of each action.

        Returns:
            Sorted by segment, then group.

        Raises:
            ValueError: A label beyond the K actions.
        """
        if len(self) and self.labels.max() >= len(body_of):
            raise ValueError(
                f'label {self.labels.max()} has no body group: there are '
                f'{len(body_of)} actions.'
            )
        bodies = np.asarray(body_of, dtype=np.int64)[self.labels]
        starts, ends = self.segments_sec.T
        order = np.lexsort((-self.scores, bodies, ends, starts))
        keys = np.stack([starts, ends, bodies])[:, order]  # groups are exact as floats
        first = np.ones(len(self), dtype=bool)
        first[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
        return replace(self, labels=bodies).select(order[first])

    def to_rows(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Rows of an ActivityNet-style file, in the present order.

        Args:
            names: (K,) class names.

        Returns:
            Dicts with ``segment`` [start_sec, end_sec], ``label`` (name) and ``score``.

        Raises:
            ValueError: A label without a name.
        """
        if len(self) and self.labels.max() >= len(names):
            raise ValueError(
                f'label {self.labels.max()} has no name: there are {len(names)}.'
            )
        columns = (self.segments_sec.tolist(), self.labels.tolist())
        return [
            {'segment': segment, 'label': names[label], 'score': score}
            for segment, label, score in zip(
                *columns, self.scores.tolist(), strict=True
            )
        ]


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
