"""Body-group scores from action scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mmma.evaluation.functional.recognition import FloatArray

BODY_SCORES = ('sum', 'top1', 'head')
"""``sum`` and ``top1`` derive body scores here; ``head`` means the model's own."""


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
