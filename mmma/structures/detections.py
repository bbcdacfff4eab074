"""Detections of one video: segments with scores and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmma.structures.segments import (
    NmsOptions,
    check_segments,
    class_nms,
    rank_order,
)


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
