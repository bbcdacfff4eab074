"""Controls of few-shot runs: what a model gains from knowing the classes alone.

Few labelled clips of a target also reveal which classes occur there, and how often.
These functions give that knowledge to zero-shot scores, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mmma.evaluation.functional.recognition import FloatArray

LAPLACE_SMOOTHING = 1.0


def mask_to_classes(scores: ArrayLike, classes: Sequence[int]) -> FloatArray:
    """Set the scores of all other classes to 0 and renormalise.

    Args:
        scores: (N, K) probabilities.
        classes: Indices of the classes to keep.

    Returns:
        (N, K), rows sum to 1. A row with no mass on the kept classes becomes uniform
        over them, so the lowest index is predicted.

    Raises:
        ValueError: No class to keep, an index outside 0..K-1, or a negative score.
    """
    table = _probabilities(scores)
    kept = np.unique(np.asarray(classes, dtype=np.int64))
    if not len(kept) or kept[0] < 0 or kept[-1] >= table.shape[1]:
        raise ValueError(
            f'classes to keep {kept[:5].tolist()}: give at least one index of '
            f'0..{table.shape[1] - 1}'
        )
    allowed = np.zeros(table.shape[1])
    allowed[kept] = 1.0
    return _normalised(table * allowed, fallback=allowed / allowed.sum())


def class_prior(
    labels: ArrayLike, num_classes: int, smoothing: float = LAPLACE_SMOOTHING
) -> FloatArray:
    """Smoothed class frequencies: ``(count + smoothing) / (N + K * smoothing)``.

    Args:
        labels: (N,) class index of each clip; not counts.
        num_classes: K.
        smoothing: Clips added to every class (Laplace); 0 gives plain frequencies.

    Returns:
        (K,), sums to 1.

    Raises:
        ValueError: A label outside 0..K-1, negative smoothing, or neither labels nor
            smoothing.
    """
    classes = np.asarray(labels, dtype=np.int64)
    if classes.size and (classes.min() < 0 or classes.max() >= num_classes):
        raise ValueError(
            f'labels {classes.min()}..{classes.max()} lie outside 0..{num_classes - 1}'
        )
    if smoothing < 0 or classes.size + smoothing <= 0:
        raise ValueError(
            f'smoothing {smoothing} of {classes.size} labels: give smoothing of at '
            'least 0, and above 0 where there are no labels'
        )
    smooth = np.bincount(classes, minlength=num_classes) + float(smoothing)
    return np.asarray(smooth / smooth.sum())


def reweight_by_prior(
    scores: ArrayLike, source_prior: ArrayLike, target_prior: ArrayLike
) -> FloatArray:
    """Move probabilities from one class prior to another (label shift).

    ``p_t(y | x)`` is proportional to ``p_s(y | x) * p_t(y) / p_s(y)``.

    Args:
        scores: (N, K) probabilities of a model trained under ``source_prior``.
        source_prior: (K,) above 0, as of :func:`class_prior`.
        target_prior: (K,) at least 0; a class of prior 0 gets score 0.

    Returns:
        (N, K), rows sum to 1. A row that loses all its mass becomes the target prior.

    Raises:
        ValueError: A negative score, priors of another length, a source prior that is
            not above 0, a target prior that is negative or 0 everywhere.

    Source: Saerens, Latinne and Decaestecker, Neural Computation 14 (2002), eq. 2.4.
    """
    table = _probabilities(scores)
    source = np.asarray(source_prior, dtype=np.float64)
    target = np.asarray(target_prior, dtype=np.float64)
    if source.shape != table.shape[1:] or target.shape != table.shape[1:]:
        raise ValueError(
            f'priors of shape {source.shape} and {target.shape} do not fit scores of '
            f'{table.shape[1]} classes'
        )
    if not (source > 0).all() or not (target >= 0).all() or target.sum() <= 0:
        raise ValueError(
            'the source prior must be above 0, the target prior at least 0 and not 0 '
            'everywhere: smooth them with class_prior'
        )
    return _normalised(table * (target / source), fallback=target / target.sum())


def _probabilities(scores: ArrayLike) -> FloatArray:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not (table >= 0).all():
        raise ValueError(
            'scores to mask or reweight must be (N, K) probabilities, at least 0 and '
            'not NaN: take the softmax of logits first'
        )
    return table


def _normalised(table: FloatArray, fallback: FloatArray) -> FloatArray:
    mass = table.sum(axis=1, keepdims=True)
    filled = np.where(mass > 0, table, fallback)
    return np.asarray(filled / filled.sum(axis=1, keepdims=True))
