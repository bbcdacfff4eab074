"""Segments of videos as columns, and their suppression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmma.taxonomy import check_choice

BoolArray: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
NMS_METHODS = ('soft', 'hard', 'none')
LENGTH_MARGIN_SEC = 1e-6
"""Added to every length in NMS, as in ActionFormer's ``nms_1d_cpu``."""
MOMENT_MARGIN = 1e-4
"""Of a step: by so much a segment may start after a moment and still cover it."""
_MIN_UNION_SEC = 1e-8


@dataclass(frozen=True)
class NmsOptions:
    """Options of non-maximum suppression within a video, class by class.

    Attributes:
        sigma: ``soft`` multiplies the score of every other segment by
            ``exp(-tIoU^2 / sigma)``; lower suppresses more.
        min_score: Only scores above it are kept, before and after the decay.
        max_per_video: The best of all classes together.
        method: ``soft``, ``hard`` (removes what overlaps by ``tiou`` or more) or
            ``none`` (sorts and cuts only).

    Raises:
        ValueError: An unknown method or a number outside its range.
    """

    sigma: float = 0.5
    min_score: float = 1e-3
    max_per_video: int = 200
    method: str = 'soft'
    tiou: float = 0.5

    def __post_init__(self) -> None:
        check_choice('NMS method', self.method, NMS_METHODS)
        if not 0 < self.sigma < np.inf:
            raise ValueError(f'NMS sigma {self.sigma}: use a number above 0.')
        if not 0 <= self.min_score < np.inf:
            raise ValueError(f'NMS min_score {self.min_score}: use a number from 0.')
        if not 0 < self.tiou <= 1:
            raise ValueError(f'NMS tiou {self.tiou}: use a number above 0, up to 1.')
        if self.max_per_video < 1:
            raise ValueError(f'NMS max_per_video {self.max_per_video}: use at least 1.')


def check_segments(segments: ArrayLike, name: str = 'segments') -> FloatArray:
    """(n, 2) segments as float64; any empty array counts as (0, 2).

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
    faults = {
        ': not finite.': ~np.isfinite(table).all(axis=1),
        ' ends before it starts: swap them, or drop it.': table[:, 1] < table[:, 0],
    }
    for fault, rows in faults.items():
        if rows.any():
            row = int(np.flatnonzero(rows)[0])
            raise ValueError(f'{name}[{row}] = {table[row].tolist()}{fault}')
    return table


def tiou_pairs(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Temporal IoU (n,) in [0, 1] of (n, 2) segments with the same index, seconds.

    A zero-length pair gives 0, never NaN.

    Raises:
        ValueError: As :func:`check_segments`, or another number of segments.

    Source: ActivityNet evaluation, segment_iou.
    """
    first, second = check_segments(a, 'a'), check_segments(b, 'b')
    if len(first) != len(second):
        raise ValueError(
            f'tiou_pairs of {len(first)} and {len(second)} segments: give as many.'
        )
    return _tiou(first.T, second.T, 0.0)


@dataclass(frozen=True, eq=False)
class Segments:
    """Labelled segments, found or true, of one video or of several.

    Attributes:
        segments_sec: (n, 2) float64, start and end; seconds from frame 0.
        scores: (n,) float64, higher is more likely; ones where None is given.
        labels: (n,) indices of the label space.
        videos: (n,) indices of the videos; zeros where None is given.
        names: (V,) names of the videos, also of those without a segment; empty where
            videos go by number alone.

    Raises:
        ValueError: Different lengths, a number that is not finite, a segment that ends
            before it starts, or an index below 0 or not whole.
    """

    segments_sec: FloatArray
    scores: FloatArray
    labels: NDArray[Any]
    videos: NDArray[Any] = None  # type: ignore[assignment]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        segments = check_segments(self.segments_sec, 'segments_sec')
        size = len(segments)
        scores = np.ones(size) if self.scores is None else self.scores
        scores = np.asarray(scores, dtype=np.float64)
        videos = np.zeros(size, np.int32) if self.videos is None else self.videos
        columns = {'labels': np.asarray(self.labels), 'videos': np.asarray(videos)}
        for name, column in {'scores': scores, **columns}.items():
            if column.shape != (size,):
                raise ValueError(
                    f'{size} segments, {name} of shape {column.shape}: give one per '
                    'segment.'
                )
        if not np.isfinite(scores).all():
            row = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise ValueError(f'scores[{row}] = {scores[row]}: not finite.')
        for name, column in columns.items():
            if size and (column.dtype.kind not in 'iu' or column.min() < 0):
                raise ValueError(
                    f'{name} of type {column.dtype}, lowest {column.min()}: use '
                    'indices, whole numbers from 0.'
                )
            columns[name] = column if size else column.astype(np.int64)
        others = {'segments_sec': segments, 'scores': scores, 'names': (*self.names,)}
        self.__dict__.update(columns | others)  # it is frozen

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def concat(cls, parts: Sequence[Segments]) -> Segments:
        """All segments of several parts; those with names are of other videos each."""
        parts = parts or [cls([], [], [])]  # type: ignore[arg-type]
        starts = [0, *accumulate(len(part.names) for part in parts)]
        return cls(
            np.concatenate([part.segments_sec for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([p.videos + n for p, n in zip(parts, starts, strict=False)]),
            tuple(name for part in parts for name in part.names),
        )

    def select(self, rows: ArrayLike) -> Segments:
        """Some of them, by indices or a mask, in that order."""
        chosen = np.asarray(rows)
        if chosen.size == 0:
            chosen = chosen.astype(np.int64)
        columns = ('segments_sec', 'scores', 'labels', 'videos')
        return replace(self, **{name: getattr(self, name)[chosen] for name in columns})

    def of(self, names: Sequence[str]) -> Segments:
        """Those of some videos, which are numbered in this order."""
        if self.names == tuple(names):
            return self
        place = {name: i for i, name in enumerate(names)}
        number = np.array([place.get(name, -1) for name in self.names], np.int32)
        videos = number[self.videos]
        kept = self.select(videos >= 0)
        return replace(kept, videos=videos[videos >= 0], names=tuple(names))

    def relabel(self, new_labels: ArrayLike) -> Segments:
        """Each label replaced: action to body group, by ``body_of``."""
        return replace(self, labels=np.asarray(new_labels)[self.labels])

    def to_bodies(self, body_of: Sequence[int]) -> Segments:
        """Segments of body groups in one video, to be thinned out by NMS after this.

        Of actions of one group with the same segment the highest score is kept: after
        NMS of actions they would stay as doubles and count as false. The result is
        sorted by segment, then group.

        Raises:
            ValueError: A label beyond the K actions.
        """
        if len(self) and self.labels.max() >= len(body_of):
            raise ValueError(
                f'label {self.labels.max()} has no body group: there are '
                f'{len(body_of)} actions.'
            )
        bodies = self.relabel(np.asarray(body_of, dtype=np.int64))
        starts, ends = self.segments_sec.T
        order = np.lexsort((-self.scores, bodies.labels, ends, starts))
        keys = np.stack([starts, ends, bodies.labels])[:, order]  # exact as floats
        first = np.ones(len(self), dtype=bool)
        first[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
        return bodies.select(order[first])

    def top(self, k: int) -> Segments:
        """The best k, best first.

        Of equal scores the earlier start, then the earlier end, then the lower label
        goes first, so the order of the input decides only between equals.
        """
        starts, ends = self.segments_sec.T
        return self.select(np.lexsort((self.labels, ends, starts, -self.scores))[:k])

    def nms(self, options: NmsOptions | None = None) -> Segments:
        """Thin out the segments of one video, each class by itself.

        The best segment of a class is kept and lowers the scores of the rest by their
        overlap with it, again and again. Of equal scores the earlier start, then the
        earlier end goes first. The result is best first, scores are those after the
        decay.

        Raises:
            ValueError: A score below 0.

        Source: Bodla et al., Soft-NMS (Gaussian), as in ActionFormer ``nms_1d_cpu``,
            which keeps scores equal to ``min_score``, too.
        """
        options = options or NmsOptions()
        if len(self) and self.scores.min() < 0:
            row = int(np.flatnonzero(self.scores < 0)[0])
            raise ValueError(
                f'scores[{row}] = {self.scores[row]}: NMS needs finite scores from 0, '
                'such as the sigmoid of logits.'
            )
        kept = np.flatnonzero(self.scores > options.min_score)
        starts, ends = self.segments_sec[kept].T
        found = self.select(kept[np.lexsort((ends, starts, self.labels[kept]))])
        if options.method != 'none' and len(found):
            columns = (found.segments_sec, found.scores, found.labels)
            scores = _decayed_scores(*columns, options)
            picked = np.flatnonzero(scores)
            found = replace(found.select(picked), scores=scores[picked])
        return found.top(options.max_per_video)


@dataclass(frozen=True, eq=False)
class FrameScores:
    """Scores (n, C) of the frames of each video, ``rate`` per second from its start.

    Of actions, then perhaps of body groups by their own head.
    """

    scores: Sequence[NDArray[Any]]
    rate: float
    names: Sequence[str] = ('',)

    @classmethod
    def merged(cls, windows: Sequence[tuple[int, float, FloatArray]]) -> FrameScores:
        """Mean over windows of a video: first frame, frames per second, scores."""
        size = max(first + len(own) for first, _, own in windows)
        total, count = np.zeros((size, windows[0][2].shape[1])), np.zeros((size, 1))
        for first, _, own in sorted(windows, key=lambda window: window[0]):
            total[first : first + len(own)] += own
            count[first : first + len(own)] += 1
        return cls([(total / count).astype(np.float32)], windows[0][1])

    @classmethod
    def concat(cls, parts: Sequence[FrameScores]) -> FrameScores:
        """Those of all videos of several parts."""
        names = [name for part in parts for name in part.names]
        return cls([own for p in parts for own in p.scores], parts[0].rate, names)

    def of(self, names: Sequence[str]) -> FrameScores:
        """Those of some videos, in this order."""
        own = dict(zip(self.names, self.scores, strict=True))
        return replace(self, scores=[own[name] for name in names], names=names)

    def of_level(self, level: str, body_of: Sequence[int]) -> list[NDArray[Any]]:
        """By video; a group without scores has those of its likeliest action."""
        size, groups = len(body_of) or None, range(max(body_of, default=-1) + 1)
        if level == 'action' or self.scores[0].shape[1] > len(body_of):
            columns = slice(size) if level == 'action' else slice(size, None)
            return [own[:, columns] for own in self.scores]
        own = [[s[:, np.equal(body_of, g)] for g in groups] for s in self.scores]
        return [np.stack([x.max(axis=1, initial=0) for x in one], 1) for one in own]


def _decayed_scores(
    table: FloatArray, scores: FloatArray, classes: NDArray[Any], options: NmsOptions
) -> FloatArray:
    """Scores of sorted candidates at the moment they are picked; 0: they never are.

    The best of each group of one class that touch each other is picked at once, again
    and again: groups do not influence each other. What can no longer be among the best
    of the video goes.
    """
    found, left = np.zeros(len(scores)), scores.copy()
    rows, ends = np.arange(len(scores)), np.ascontiguousarray(table.T)  # (2, n)
    group = np.cumsum(_starts_group(table, classes))
    picks, floor = np.empty(0), options.min_score
    while len(rows):
        begins = np.append(True, group[1:] != group[:-1]).nonzero()[0]
        sizes = np.concatenate([begins[1:], [len(rows)]]) - begins
        top = np.maximum.reduceat(left, begins)
        equal = (left == np.repeat(top, sizes)).nonzero()[0]
        best = equal[equal.searchsorted(begins)]  # of equals the first
        found[rows[best]] = top
        left *= _decay(np.repeat(ends[:, best], sizes, axis=1), ends, options)
        left[best] = 0  # a pick is used up
        picks = np.sort(np.concatenate([picks, top]))[-options.max_per_video :]
        if len(picks) == options.max_per_video:  # as good as the last of them counts
            floor = max(options.min_score, np.nextafter(picks[0], 0))
        stays = (left > floor).nonzero()[0]
        rows, left, group = rows.take(stays), left.take(stays), group.take(stays)
        ends = ends.take(stays, axis=1)
    return found


def _starts_group(table: FloatArray, classes: NDArray[Any]) -> BoolArray:
    """True where nothing before a candidate has its class and reaches into it.

    Candidates that all but touch may count as touching.
    """
    apart = np.ptp(table) + 1
    moments = table + classes[:, None] * apart
    reach = np.maximum.accumulate(moments[:, 1]) + 1e-12 * apart * (classes[-1] + 1)
    return np.append(True, moments[1:, 0] > reach[:-1])


def _decay(picks: FloatArray, others: FloatArray, options: NmsOptions) -> FloatArray:
    """Factors for the scores of others, (2, ...) each, broadcast."""
    tiou = _tiou(picks, others, LENGTH_MARGIN_SEC)
    if options.method == 'hard':
        return (tiou < options.tiou).astype(np.float64)
    return np.asarray(np.exp(tiou * tiou / -options.sigma))


def _tiou(a: FloatArray, b: FloatArray, margin: float) -> FloatArray:
    shared = np.maximum(np.minimum(a[1], b[1]) - np.maximum(a[0], b[0]), 0)
    union = (a[1] - a[0] + margin) + (b[1] - b[0] + margin) - shared
    return np.asarray(shared / np.maximum(union, _MIN_UNION_SEC))
