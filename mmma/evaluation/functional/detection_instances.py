"""Labelled segments of many videos, as columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SAME_SEC = 1e-3
"""Truths of one label both of whose ends are this close are one truth."""
_CHUNK = 2_000_000  # pairs that are looked at together

AnyInstances = TypeVar('AnyInstances', bound='Instances')


@dataclass(frozen=True)
class Instances:
    """Labelled segments.

    Attributes:
        videos: (n,) index of the video.
        labels: (n,) index of the class.
        segments: (n, 2) start_sec, end_sec.

    Raises:
        ValueError: Columns that do not fit, a negative index, times that are not
            finite, or a segment that ends before it starts.
    """

    videos: NDArray[Any]
    labels: NDArray[Any]
    segments: FloatArray

    def __post_init__(self) -> None:
        size = len(self.videos)
        if self.labels.shape != (size,) or self.segments.shape != (size, 2):
            raise ValueError(
                f'labels {self.labels.shape} and segments {self.segments.shape} do '
                f'not fit {size} videos: give (n,), (n,) and (n, 2)'
            )
        if size and min(self.videos.min(), self.labels.min()) < 0:
            raise ValueError('a negative video or label: give indices from 0')
        _check_finite('segment', self.segments.sum(axis=1))
        reversed_ = np.flatnonzero(self.segments[:, 1] < self.segments[:, 0])
        if len(reversed_):
            raise ValueError(
                f'{len(reversed_)} segments end before they start, the first is row '
                f'{reversed_[0]}: {self.segments[reversed_[0]].tolist()}'
            )

    def __len__(self) -> int:
        return len(self.videos)

    def select(self: AnyInstances, rows: ArrayLike) -> AnyInstances:
        """The rows of an index or mask array."""
        columns = {name: column[rows] for name, column in vars(self).items()}
        return type(self)(**columns)

    def relabel(self: AnyInstances, new_labels: ArrayLike) -> AnyInstances:
        """Each label replaced: action to body group, by ``body_of``."""
        return replace(self, labels=np.asarray(new_labels)[self.labels])


@dataclass(frozen=True)
class Predictions(Instances):
    """Scored segments.

    Attributes:
        scores: (n,) higher is more likely; any finite numbers.

    Raises:
        ValueError: As for :class:`Instances`, or a score that is not finite.
    """

    scores: FloatArray

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scores.shape != (len(self),):
            raise ValueError(
                f'scores {self.scores.shape} do not fit {len(self)} segments'
            )
        _check_finite('score', self.scores)


def merge_duplicates(truth: Instances) -> Instances:
    """Truths by label, video, start, end, without repeated ones.

    A truth is dropped if an earlier one that is kept has its label and video and both
    ends within ``SAME_SEC``.

    Source: OpenTAD, remove_duplicate_annotations.
    """
    starts, ends = truth.segments.T
    truth = truth.select(np.lexsort((ends, starts, truth.videos, truth.labels)))
    same = (np.diff(truth.labels) == 0) & (np.diff(truth.videos) == 0)
    near = same & (np.diff(truth.segments[:, 0]) <= SAME_SEC)
    keep = np.ones(len(truth), dtype=np.bool_)
    for row in np.flatnonzero(near) + 1:
        before = row - 1
        while before >= 0 and _same_group(truth, before, row):
            gap = np.abs(truth.segments[row] - truth.segments[before])
            if gap[0] > SAME_SEC:
                break
            if keep[before] and gap[1] <= SAME_SEC:
                keep[row] = False
                break
            before -= 1
    return truth.select(keep)


def expand_runs(
    first: NDArray[Any], sizes: NDArray[Any], chunk: int = _CHUNK
) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows paired with every member of their run, chunk by chunk.

    Args:
        first: (n,) first member of the run of each row.
        sizes: (n,) members of it.
        chunk: About how many pairs to give at once.

    Yields:
        Rows 0..n-1, repeated, and the members beside them.
    """
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(chunk, total, chunk))
    for low, high in zip([0, *cuts], [*cuts, len(sizes)], strict=True):
        size = np.asarray(sizes[low:high])
        rows = np.repeat(np.arange(low, high), size)
        offsets = np.repeat(np.cumsum(size) - size, size)
        yield rows, np.arange(len(rows)) - offsets + first[rows]


def _check_finite(what: str, values: FloatArray) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(
            f'{what} of {len(bad)} rows, the first is row {bad[0]}: NaN or infinite'
        )


def _same_group(truth: Instances, a: Any, b: Any) -> bool:
    same_label = truth.labels[a] == truth.labels[b]
    return bool(same_label and truth.videos[a] == truth.videos[b])
