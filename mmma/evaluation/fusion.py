"""Fusion of the scores of several models: weighted means, given or learnt weights.

``mean`` is the arithmetic mean of the scores. ``logit`` is their geometric mean, the
weighted mean of log scores, renormalised to probabilities. Clips are matched by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mmma.evaluation.scores import ScoreTable
from mmma.taxonomy import check_choice

SPACES = ('mean', 'logit')
FLOOR = 1e-12
"""Scores below count as this in logarithms, so that no model alone can veto a class."""
TOLERANCE = 1e-6
"""Weights are learnt to within this of the best likelihood, in nats per clip."""
_MAX_STEPS = 2000
_SUM_TOLERANCE = 0.01
_SHOWN = 5

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class LearntWeights:
    """Weights that minimise the negative log likelihood of the true actions.

    Attributes:
        weights: (M,) at least 0, adding up to 1.
        nll: Of the fused scores with these weights, nats per clip.
        equal_nll: With equal weights.
        single_nll: (M,) of each model alone.
        gap: Upper bound on ``nll`` minus its minimum.
        steps: Steps taken.
    """

    weights: np.ndarray
    nll: float
    equal_nll: float
    single_nll: np.ndarray
    gap: float
    steps: int


def align_tables(
    tables: Sequence[ScoreTable], files: Sequence[str]
) -> list[ScoreTable]:
    """Bring the clips of all tables into the order of the first.

    Args:
        tables: Scores of the same clips, in any order.
        files: What to call each table in messages.

    Raises:
        ValueError: A clip of one table is missing in another.
    """
    union = dict.fromkeys(name for table in tables for name in table.names)
    errors = []
    for table, file in zip(tables, files, strict=True):
        present = set(table.names)
        missing = [name for name in union if name not in present]
        if missing:
            shown = ', '.join(map(repr, missing[:_SHOWN]))
            more = ', ...' if len(missing) > _SHOWN else ''
            errors.append(
                f'{file} lacks {len(missing)} of {len(union)} clips: {shown}{more}'
            )
    if errors:
        raise ValueError(
            f'{"; ".join(errors)}; fused files must score the same clips, named alike'
        )
    return [table.select(tables[0].names) for table in tables]


def fuse_tables(
    tables: Sequence[ScoreTable], weights: ArrayLike, space: str = 'mean'
) -> ScoreTable:
    """Weighted mean of several tables.

    Args:
        tables: M tables of the same clips in the same order (:func:`align_tables`).
        weights: (M,) from :func:`check_weights`.
        space: ``mean`` or ``logit``.

    Returns:
        The fused scores, and fused body scores if all tables have them.

    Raises:
        ValueError: Unknown space, or negative scores in ``logit``.
    """
    check_choice('fusion space', space, SPACES)
    bodies = [t.body_scores for t in tables if t.body_scores is not None]
    return ScoreTable(
        names=tables[0].names,
        scores=_fuse([t.scores for t in tables], weights, space),
        body_scores=(
            _fuse(bodies, weights, space) if len(bodies) == len(tables) else None
        ),
    )


def check_weights(weights: Sequence[float], number: int) -> np.ndarray:
    """Weights scaled to add up to 1.

    Args:
        weights: One per table, at least 0.
        number: M, how many tables there are.

    Raises:
        ValueError: Another number of weights, a negative or infinite one, or all 0.
    """
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (number,):
        raise ValueError(
            f'{array.size} weights for {number} score files: give one per file, in '
            'their order'
        )
    if not np.isfinite(array).all() or array.min() < 0 or array.sum() <= 0:
        raise ValueError(
            f'weights {array.tolist()}: use numbers of at least 0, not all 0'
        )
    return np.asarray(array / array.sum())


def are_probabilities(scores: np.ndarray) -> bool:
    """Whether no score is negative and every row of (N, K) adds up to 1, roughly."""
    sums = scores.sum(axis=1, dtype=np.float64)
    near = np.abs(sums - 1) <= _SUM_TOLERANCE
    return bool(scores.min(initial=0) >= 0 and near.all())


def learn_weights(
    tables: Sequence[ScoreTable], labels: ArrayLike, space: str = 'mean'
) -> LearntWeights:
    """Weights under which the fused scores make the truth most likely.

    The problem is convex in both spaces. Projected gradient steps from equal weights
    draw no random number, and the duality gap bounds what is left to gain.

    Args:
        tables: M tables of N clips, aligned, probabilities.
        labels: (N,) true actions.
        space: ``mean`` or ``logit``, as the weights will be used.

    Raises:
        ValueError: Unknown space, no clip, or scores that are no probabilities.

    Source: the gap is that of Frank and Wolfe (Jaggi, ICML 2013, section 2).
    """
    check_choice('fusion space', space, SPACES)
    truth = np.asarray(labels, dtype=np.int64)
    if not len(truth):
        raise ValueError('no clips to learn weights from: give at least one')
    if not all(are_probabilities(t.scores) for t in tables):
        raise ValueError(
            'weights can be learnt from probabilities alone (rows that add up to 1): '
            'write the score files with softmax outputs'
        )
    make = _mean_objective if space == 'mean' else _logit_objective
    objective = make([t.scores for t in tables], truth)
    size = len(tables)
    equal = np.full(size, 1 / size)
    weights, nll, gap, steps = _minimise(objective, equal)
    return LearntWeights(
        weights=weights,
        nll=nll,
        equal_nll=objective(equal)[0],
        single_nll=np.array([objective(row)[0] for row in np.eye(size)]),
        gap=gap,
        steps=steps,
    )


def _fuse(arrays: Sequence[np.ndarray], weights: ArrayLike, space: str) -> np.ndarray:
    """(N, K) weighted mean of M arrays; those of weight 0 are left out."""
    total = np.zeros(arrays[0].shape)
    for array, weight in zip(arrays, np.asarray(weights).tolist(), strict=True):
        if weight:
            total += weight * (_log(array) if space == 'logit' else array)
    return _softmax(total) if space == 'logit' else total


def _log(scores: np.ndarray) -> np.ndarray:
    table = np.asarray(scores, dtype=np.float64)
    if table.min(initial=0) < 0:
        raise ValueError(
            f'negative scores (lowest {table.min():.6g}) have no logarithm: fuse '
            'probabilities (softmax of logits), or use --space mean'
        )
    return np.log(np.maximum(table, FLOOR))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _mean_objective(arrays: Sequence[np.ndarray], truth: np.ndarray) -> Objective:
    rows = np.arange(len(truth))
    own = np.stack([np.asarray(a, np.float64)[rows, truth] for a in arrays])  # (M, N)
    own = np.maximum(own, FLOOR)

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        fused = weights @ own  # (N,)
        return float(-np.log(fused).mean()), -(own / fused).mean(axis=1)

    return objective


def _logit_objective(arrays: Sequence[np.ndarray], truth: np.ndarray) -> Objective:
    logs = np.stack([_log(a) for a in arrays])  # (M, N, K)
    own = logs[:, np.arange(len(truth)), truth]  # (M, N)

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        fused = np.tensordot(weights, logs, axes=1)  # (N, K)
        top = fused.max(axis=1)
        powers = np.exp(fused - top[:, None])
        total = powers.sum(axis=1)
        value = (np.log(total) + top - weights @ own).mean()
        expected = np.einsum('mnk,nk->mn', logs, powers / total[:, None])
        return float(value), (expected - own).mean(axis=1)

    return objective


def _minimise(
    objective: Objective, start: np.ndarray
) -> tuple[np.ndarray, float, float, int]:
    """Projected gradient descent on the simplex, with backtracking."""
    weights, (value, gradient) = start, objective(start)
    length, steps = 1.0, 0
    gap = _gap(weights, gradient)
    while gap > TOLERANCE and steps < _MAX_STEPS and length > 1e-18:
        steps += 1
        trial = _onto_simplex(weights - length * gradient)
        move = trial - weights
        found, slope = objective(trial)
        bound = value + gradient @ move + (move @ move) / (2 * length)
        if found > bound + 1e-15:
            length /= 2
            continue
        # The curvature along the last move is a good guess for the next (Barzilai and
        # Borwein); the bound above keeps every step a descent.
        bend = move @ (slope - gradient)
        length = (move @ move) / bend if bend > 0 else 2 * length
        weights, value, gradient = trial, found, slope
        gap = _gap(weights, gradient)
    return weights, value, gap, steps


def _gap(weights: np.ndarray, gradient: np.ndarray) -> float:
    """No point of the simplex is better than this one by more, the problem convex."""
    return max(float(weights @ gradient - gradient.min()), 0.0)


def _onto_simplex(point: np.ndarray) -> np.ndarray:
    """The nearest (M,) weights of at least 0 that add up to 1.

    Source: Duchi et al., ICML 2008, figure 1.
    """
    ordered = np.sort(point)[::-1]
    excess = (np.cumsum(ordered) - 1) / np.arange(1, len(point) + 1)
    last = np.flatnonzero(ordered > excess)[-1]
    return np.asarray(np.maximum(point - excess[last], 0))
