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


def class_prior(counts: ArrayLike, smoothing: float = LAPLACE_SMOOTHING) -> FloatArray:
    """Smoothed class frequencies: ``(count + smoothing) / (N + K * smoothing)``.

    Args:
        counts: (K,) clips per class; any weights if ``smoothing`` is 0.
        smoothing: Clips added to every class (Laplace); 0 gives plain frequencies.

    Returns:
        (K,), sums to 1.

    Raises:
        ValueError: Counts that are no counts, or negative smoothing.
    """
    table = np.asarray(counts, dtype=np.float64)
    whole = smoothing == 0 or bool((table == np.round(table)).all())
    if table.ndim != 1 or not (table >= 0).all() or not whole:
        raise ValueError(
            'class counts to smooth must be whole numbers of at least 0, one per '
            'class; for frequencies set smoothing to 0'
        )
    if smoothing < 0 or table.sum() + smoothing <= 0:
        raise ValueError(
            f'smoothing {smoothing} of {table.sum():g} clips: give smoothing of at '
            'least 0, and above 0 where there are no clips'
        )
    smooth = table + smoothing
    return np.asarray(smooth / smooth.sum())


def reweight_by_prior(
    scores: ArrayLike,
    source_counts: ArrayLike,
    target_counts: ArrayLike,
    smoothing: float = LAPLACE_SMOOTHING,
) -> FloatArray:
    """Move probabilities from one class prior to another (label shift).

    ``p_t(y | x)`` is proportional to ``p_s(y | x) * p_t(y) / p_s(y)``, with the priors
    of :func:`class_prior`.

    Args:
        scores: (N, K) probabilities of a model trained on the source.
        source_counts: (K,) clips per class it was trained on.
        target_counts: (K,) clips per class of the target.
        smoothing: Clips added to every class of both.

    Returns:
        (N, K), rows sum to 1. A row that loses all its mass becomes the target prior.

    Raises:
        ValueError: A negative score, counts of another length, or a class without
            source clips where ``smoothing`` is 0.

    Source: Saerens, Latinne and Decaestecker, Neural Computation 14 (2002), eq. 2.4.
    """
    table = _probabilities(scores)
    source = class_prior(source_counts, smoothing)
    target = class_prior(target_counts, smoothing)
    if source.shape != table.shape[1:] or target.shape != table.shape[1:]:
        raise ValueError(
            f'counts of {len(source)} and {len(target)} classes do not fit scores of '
            f'{table.shape[1]}'
        )
    if not (source > 0).all():
        raise ValueError(
            f'no source clip of class {int(np.argmin(source))}: its prior would be 0; '
            'use smoothing above 0'
        )
    return _normalised(table * (target / source), fallback=target)


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
