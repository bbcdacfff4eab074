"""Body-group scores from action scores, and what they say of actions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mmma.evaluation.functional.recognition import FloatArray

BODY_SCORES = ('sum', 'top1', 'head')
"""``sum`` and ``top1`` derive body scores here; ``head`` means the model's own."""
_FLOOR = 1e-30  # keeps the fusion of contradicting levels finite


def summed_body_scores(
    scores: ArrayLike, body_of: Sequence[int], num_bodies: int
) -> FloatArray:
    """Score of a group: the sum of the scores of its actions.

    Args:
        scores: (N, K) probabilities, or any scores >= 0.
        body_of: (K,) group of each action.
        num_bodies: B.

    Returns:
        (N, B).

    Raises:
        ValueError: A negative score: sums of logits rank groups by their size.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.size and table.min() < 0:
        raise ValueError(
            f'negative scores (lowest {table.min():.6g}) cannot be added up to body '
            'scores: give probabilities (softmax of logits), or use body scores top1'
        )
    member = np.asarray(body_of)[:, None] == np.arange(num_bodies)  # (K, B)
    return np.asarray(table @ member.astype(np.float64))


def top_action_body_scores(
    scores: ArrayLike, body_of: Sequence[int], num_bodies: int
) -> FloatArray:
    """Rank groups by their best action, so that the first is that of the top action.

    Args:
        scores: (N, K); of equal actions the lower index ranks first.
        body_of: (K,) group of each action.
        num_bodies: B.

    Returns:
        (N, B) K minus the rank of the group's best action, an order and no
        probability; 0 for a group without actions.

    Source: the Micro-Action Challenge (MAC) starter kit maps the predicted action to
        its group.
    """
    table = np.asarray(scores, dtype=np.float64)
    num_actions = table.shape[1]
    order = np.argsort(-table, axis=1, kind='stable')
    worth = np.empty(table.shape, dtype=np.float64)
    places = np.arange(num_actions, 0, -1, dtype=np.float64)
    np.put_along_axis(worth, order, np.broadcast_to(places, table.shape), axis=1)
    groups = np.zeros((len(table), num_bodies))
    for action, body in enumerate(body_of):
        np.maximum(groups[:, body], worth[:, action], out=groups[:, body])
    return groups


def fuse_body_scores(
    action_scores: ArrayLike,
    body_scores: ArrayLike,
    body_of: Sequence[int],
    weight: float = 1.0,
) -> FloatArray:
    """Action scores that agree with the model's own body scores.

    ``p(a) ~ p_action(a) * p_body(body_of(a)) ** weight``, renormalised: what
    ``ActionHead`` with ``fusion_weight`` does in testing, for scores of files.

    Args:
        action_scores: (N, K) probabilities, not fused yet.
        body_scores: (N, B) probabilities; below 1e-30 they count as 1e-30.
        body_of: (K,) group of each action.
        weight: 0 leaves the actions as they are; 1 is the plain product.

    Returns:
        (N, K), rows of sum 1; an action of score 0 keeps it.

    Raises:
        ValueError: Scores that are no probabilities, or a negative weight.

    Source: a product of experts, as compared for MA-52 in SoftRerank (Micro-Action
        Challenge 2026), whose own soft fusion is not published as a formula we know;
        the exponent is our choice.
    """
    actions = _probabilities('action scores', action_scores)
    bodies = _probabilities('body scores', body_scores)
    if not weight >= 0:
        raise ValueError(f'fusion weight {weight}: use a number from 0')
    log_bodies = np.log(np.maximum(bodies, _FLOOR))[:, list(body_of)]  # (N, K)
    log_actions = np.log(actions, out=np.full_like(actions, -np.inf), where=actions > 0)
    fused = log_actions + weight * log_bodies
    fused = np.exp(fused - fused.max(axis=1, keepdims=True))
    return np.asarray(fused / fused.sum(axis=1, keepdims=True))


def _probabilities(kind: str, scores: ArrayLike) -> FloatArray:
    table = np.asarray(scores, dtype=np.float64)
    if table.size and (table.min() < 0 or table.max(axis=1).min() <= 0):
        raise ValueError(
            f'{kind} with a value below 0 (lowest {table.min():.6g}) or a row of zeros '
            'are no probabilities: give the softmax of logits'
        )
    return table
