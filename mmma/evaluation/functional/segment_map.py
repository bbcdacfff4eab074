"""Segment mAP: are the right classes active at each moment?

Time is cut into steps of 0.1 s. A step belongs to a truth that covers its centre, and
its score for a class is the largest score of the segments of that class that cover it;
no smoothing. Per class, AP over all steps of all videos is that of scikit-learn
(precision at each distinct score, weighted by the recall it adds; steps that no
segment covers come last, together). Classes without a true step are left out.

Source: the frame mAP of MultiTHUMOS (Yeung et al., 2015), on a grid in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmma.evaluation.functional.detection_instances import (
    FloatArray,
    Instances,
    IntArray,
    Predictions,
    expand_runs,
)

RATE = 10.0


def segment_average_precisions(
    truth: Instances,
    predictions: Predictions,
    durations: ArrayLike,
    rate: float = RATE,
) -> tuple[IntArray, FloatArray]:
    """AP over time steps of each class.

    Args:
        truth: True instances.
        predictions: Scored segments.
        durations: (V,) seconds of each video.
        rate: Steps per second.

    Returns:
        (C,) labels with a true step, ascending, and their (C,) fractions.

    Raises:
        ValueError: A duration that is not a number above 0.
    """
    seconds = np.asarray(durations, dtype=np.float64)
    bad = np.flatnonzero(~(np.isfinite(seconds) & (seconds > 0)))
    if len(bad):
        raise ValueError(
            f'{len(bad)} videos without a duration, the first is number {bad[0]}: '
            'segment mAP needs the length of each video'
        )
    steps = np.ceil(seconds * rate - 0.5).astype(np.int64)  # centres before the end
    ends = np.cumsum(steps)
    grid = (ends - steps, ends)
    classes, values = [], []
    for label in np.unique(truth.labels):
        own = truth.select(truth.labels == label)
        true = np.zeros(int(ends[-1]), dtype=np.bool_)
        for _, covered in _covered(own, grid, rate):
            true[covered] = True
        if not true.any():
            continue
        scores = np.full(len(true), -np.inf)
        of_class = predictions.select(predictions.labels == label)
        for rows, covered in _covered(of_class, grid, rate):
            np.maximum.at(scores, covered, of_class.scores[rows])
        classes.append(label)
        values.append(average_precision(true, scores))
    return np.array(classes, dtype=np.int64), np.array(values)


def average_precision(true: NDArray[np.bool_], scores: FloatArray) -> float:
    """AP of n scored items with at least one true one; equal scores count together.

    Source: scikit-learn, average_precision_score.
    """
    order = np.argsort(-scores)
    ranked = scores[order]
    last = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])
    hits = np.cumsum(true[order])[last]
    steps = np.diff(np.r_[0, hits]) / hits[-1]
    return float((steps * hits / (last + 1)).sum())


def _covered(
    segments: Instances, grid: Sequence[IntArray], rate: float
) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows of segments beside the steps whose centre lies in them, in chunks."""
    start, end = grid[0][segments.videos], grid[1][segments.videos]
    low, high = (np.ceil(segments.segments[:, side] * rate - 0.5) for side in (0, 1))
    first = start + np.clip(low, 0, end - start).astype(np.int64)
    stop = start + np.clip(high, 0, end - start).astype(np.int64)
    return expand_runs(first, stop - first)
