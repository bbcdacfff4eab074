"""Recognition metrics: numpy arrays in, fractions out.

Every metric is computed from :class:`ClassCounts`, integers that add up over clips.
A point estimate, a bootstrap resample and a pool of several runs therefore go through
the same formulas. Arrays may carry leading dimensions (for instance R resamples).

Ties: of equal scores the lower class index ranks first, for top-1, top-5 and the
confusion matrix alike. The rule looks at no truth, so it cannot favour it: a model
that scores all classes equally is right on class 0 only.

UAR (unweighted average recall) is :func:`mean_class_accuracy`; WAR and micro F1 are
top-1, because each clip has one truth and one prediction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CLASS_SETS = ('present', 'union', 'all')
LEVELS = ('action', 'body')
LEVEL_METRICS = ('top1', 'top5', 'mca', 'macro_f1', 'micro_f1')
METRIC_KEYS = (
    *(f'{level}/{name}' for level in LEVELS for name in LEVEL_METRICS),
    'F1_mean',
)
CLASS_SET_KEYS = (
    'action/mca',
    'action/macro_f1',
    'body/mca',
    'body/macro_f1',
    'F1_mean',
)
"""The metrics that depend on the class set."""
BODY_KEYS = (*(f'body/{name}' for name in LEVEL_METRICS), 'F1_mean')
"""The metrics that depend on the body scores."""


@dataclass(frozen=True)
class Outcomes:
    """What a model made of each of N clips, at one level.

    Attributes:
        labels: (N,) true classes.
        predictions: (N,) first-ranked classes.
        top5: (N,) whether the truth is among the first five.
        num_classes: K.
    """

    labels: IntArray
    predictions: IntArray
    top5: BoolArray
    num_classes: int


@dataclass(frozen=True)
class ClassCounts:
    """Counts per class, the sufficient statistics of every metric here.

    Attributes:
        support: (..., K) clips whose truth is the class.
        predicted: (..., K) clips predicted as the class.
        hits: (..., K) clips of the class that are predicted as it.
        top5_hits: (..., K) clips of the class with it among the first five.
    """

    support: FloatArray
    predicted: FloatArray
    hits: FloatArray
    top5_hits: FloatArray


def check_scores(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], IntArray]:
    """Scores and labels as arrays, once they are known to fit each other.

    Args:
        scores: (N, K), higher is more likely.
        labels: (N,) class indices.

    Raises:
        ValueError: No clip, shapes that do not fit, a score that is not finite or a
            label outside 0..K-1.
    """
    table = np.asarray(scores)
    truth = np.asarray(labels, dtype=np.int64)
    if table.ndim != 2 or truth.ndim != 1 or len(table) != len(truth):
        raise ValueError(
            f'scores of shape {table.shape} do not fit labels of shape {truth.shape}: '
            'give (N, K) and (N,)'
        )
    if not len(truth):
        raise ValueError('no clips to evaluate: give at least one')
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise ValueError(f'scores of row {row} are not finite (NaN or infinite)')
    if truth.min() < 0 or truth.max() >= table.shape[1]:
        raise ValueError(
            f'labels {truth.min()}..{truth.max()} lie outside 0..{table.shape[1] - 1}'
        )
    return table, truth


def truth_ranks(scores: ArrayLike, labels: ArrayLike) -> IntArray:
    """Rank of the true class of each clip, 0 for the first.

    Args:
        scores: (N, K); of equal scores the lower index ranks first.
        labels: (N,) class indices.

    Returns:
        (N,) ranks 0..K-1.
    """
    table, truth = check_scores(scores, labels)
    own = np.take_along_axis(table, truth[:, None], axis=1)
    earlier = np.arange(table.shape[1]) < truth[:, None]
    ahead = (table > own) | ((table == own) & earlier)
    return np.asarray(ahead.sum(axis=1), dtype=np.int64)


def top_k_accuracy(scores: ArrayLike, labels: ArrayLike, k: int = 1) -> float:
    """Share of clips whose true class ranks among the first k.

    Args:
        scores: (N, K).
        labels: (N,) class indices.
        k: At least 1; from K on the answer is 1.

    Raises:
        ValueError: ``k`` below 1.
    """
    if k < 1:
        raise ValueError(f'k = {k}: use 1 or more')
    return float((truth_ranks(scores, labels) < k).mean())


def rank_outcomes(scores: ArrayLike, labels: ArrayLike) -> Outcomes:
    """Prediction and top-5 hit of each clip.

    Args:
        scores: (N, K).
        labels: (N,) class indices.
    """
    table, truth = check_scores(scores, labels)
    return Outcomes(
        labels=truth,
        predictions=np.argmax(table, axis=1).astype(np.int64),  # first of equals
        top5=truth_ranks(table, truth) < 5,
        num_classes=int(table.shape[1]),
    )


def confusion_matrix(
    labels: ArrayLike, predictions: ArrayLike, num_classes: int
) -> IntArray:
    """Clips per true class (row) and predicted class (column).

    Args:
        labels: (N,) class indices.
        predictions: (N,) class indices.
        num_classes: K.

    Returns:
        (K, K) counts.
    """
    rows = np.asarray(labels, dtype=np.int64)
    cells = rows * num_classes + np.asarray(predictions, dtype=np.int64)
    counts = np.bincount(cells, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def count_classes(outcomes: Outcomes) -> ClassCounts:
    """Counts per class over all clips, (K,) each."""

    def count(classes: IntArray) -> FloatArray:
        return np.bincount(classes, minlength=outcomes.num_classes).astype(np.float64)

    labels = outcomes.labels
    return ClassCounts(
        support=count(labels),
        predicted=count(outcomes.predictions),
        hits=count(labels[labels == outcomes.predictions]),
        top5_hits=count(labels[outcomes.top5]),
    )


def class_recall(counts: ClassCounts) -> FloatArray:
    """(..., K) hits per true clip; 0 for a class without truth."""
    return _ratio(counts.hits, counts.support)


def class_precision(counts: ClassCounts) -> FloatArray:
    """(..., K) hits per prediction; 0 for a class never predicted."""
    return _ratio(counts.hits, counts.predicted)


def class_f1(counts: ClassCounts) -> FloatArray:
    """(..., K) F1; 0 for a class with neither truth nor prediction."""
    return _ratio(2 * counts.hits, counts.support + counts.predicted)


def class_members(counts: ClassCounts, class_set: str = 'present') -> BoolArray:
    """Which classes a class set holds.

    Args:
        counts: Counts of (..., K).
        class_set: ``present`` (with truth), ``union`` (with truth or prediction, as
            MMAction2's mean_class_accuracy and scikit-learn's default count) or
            ``all``.

    Raises:
        ValueError: Another word.
    """
    if class_set == 'present':
        return counts.support > 0
    if class_set == 'union':
        return (counts.support > 0) | (counts.predicted > 0)
    if class_set == 'all':
        return np.ones(counts.support.shape, dtype=np.bool_)
    raise ValueError(f'class set {class_set!r}: use one of {", ".join(CLASS_SETS)}')


def mean_over_classes(values: FloatArray, members: BoolArray) -> FloatArray:
    """(...,) mean of (..., K) values over the member classes; 0 without members."""
    return _ratio((values * members).sum(axis=-1), members.sum(axis=-1))


def accuracy(counts: ClassCounts) -> float:
    """Top-1 accuracy of (K,) counts; equals micro F1 and WAR."""
    return float(_ratio(counts.hits.sum(axis=-1), counts.support.sum(axis=-1)))


def mean_class_accuracy(counts: ClassCounts, class_set: str = 'present') -> float:
    """Mean recall over a class set (MCA, UAR, balanced accuracy) of (K,) counts."""
    members = class_members(counts, class_set)
    return float(mean_over_classes(class_recall(counts), members))


def macro_f1(counts: ClassCounts, class_set: str = 'present') -> float:
    """Mean F1 over a class set of (K,) counts."""
    members = class_members(counts, class_set)
    return float(mean_over_classes(class_f1(counts), members))


def recognition_metrics(
    levels: Mapping[str, ClassCounts], class_set: str = 'present'
) -> dict[str, FloatArray]:
    """Every metric of every level.

    Args:
        levels: ``action`` and ``body`` to their counts, all with the same leading
            dimensions.
        class_set: Classes over which MCA and macro F1 are means; the other metrics
            do not depend on it.

    Returns:
        The keys of ``METRIC_KEYS`` to (...,) fractions.

    Source: F1_mean as in the Micro-Action Challenge (MAC): the mean of macro and
        micro F1 of both levels.
    """
    metrics: dict[str, FloatArray] = {}
    for level, counts in levels.items():
        clips = counts.support.sum(axis=-1)
        members = class_members(counts, class_set)
        top1 = _ratio(counts.hits.sum(axis=-1), clips)
        metrics |= {
            f'{level}/top1': top1,
            f'{level}/top5': _ratio(counts.top5_hits.sum(axis=-1), clips),
            f'{level}/mca': mean_over_classes(class_recall(counts), members),
            f'{level}/macro_f1': mean_over_classes(class_f1(counts), members),
            f'{level}/micro_f1': top1,
        }
    metrics['F1_mean'] = np.mean(
        [
            metrics[f'{level}/{f1}']
            for level in LEVELS
            for f1 in ('macro_f1', 'micro_f1')
        ],
        axis=0,
    )
    return metrics


def _ratio(part: ArrayLike, whole: ArrayLike) -> FloatArray:
    """Quotient of broadcastable arrays, 0 where the denominator is 0."""
    over = np.asarray(part, dtype=np.float64)
    under = np.asarray(whole, dtype=np.float64)
    return np.divide(over, under, out=np.zeros(under.shape), where=under > 0)
