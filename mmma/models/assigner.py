"""Which truth a point is to find."""

from __future__ import annotations

import torch
from torch import Tensor

from mmma.models.points import Points

TARGETS = ('shortest', 'union')
_SAME_LENGTH = 1e-3  # positions


def assign_truths(
    points: Points,
    segments: Tensor,
    labels: Tensor,
    num_classes: int,
    targets: str = 'shortest',
    radius: float = 1.5,
) -> tuple[Tensor, Tensor]:
    """Truths of points and of pairs of points and classes.

    A truth is a candidate of a point that lies inside it, within ``radius`` strides of
    its centre, if the distance to its further end is in the range of the point's level.
    Of several candidates the shortest gives the point its segment. Its classes are
    those of the candidates of that length (``shortest``: a longer instance of another
    class is background there), or of all (``union``).

    Args:
        points: P points.
        segments: (G, 2), start and end in positions.
        labels: (G,), below K.
        num_classes: K.
        targets: ``shortest`` or ``union``.
        radius: Of the centre, in strides.

    Returns:
        Index of the truth of each point (P,), and of the shortest truth of each class
        at each point (P, K); -1 for none. Of equal lengths the first in the list goes.

    Source: OpenTAD ``AnchorFreeHead.prepare_targets``; ``union`` is its
        ``filter_similar_gt=False``.
    """
    num_points, num_truths = len(points.times), len(segments)
    if num_truths == 0:
        owners = labels.new_full((num_points, num_classes + 1), -1)
        return owners[:, 0], owners[:, 1:]
    lengths = segments[:, 1] - segments[:, 0]
    order = lengths.argsort(stable=True)
    segments, lengths = segments[order], lengths[order]  # from here shortest first
    fits = _candidates(points, segments, radius)
    rank = torch.arange(num_truths, device=fits.device).expand_as(fits)
    rank = torch.where(fits, rank, num_truths)
    best = rank.amin(dim=1)
    if targets == 'shortest':
        reach = torch.cat([lengths, lengths.new_zeros(1)])[best] + _SAME_LENGTH
        rank = torch.where(lengths <= reach[:, None], rank, num_truths)
    by_class = rank.new_full((num_points, num_classes), num_truths)
    classes = labels[order].expand_as(rank)
    by_class = by_class.scatter_reduce(1, classes, rank, 'amin')
    order = torch.cat([order, order.new_tensor([-1])])
    return order[best], order[by_class]


def _candidates(points: Points, segments: Tensor, radius: float) -> Tensor:
    """Which truths (G, 2) points may be for, (P, G)."""
    times = points.times[:, None]
    starts, ends = segments.unbind(dim=1)
    centres, around = (starts + ends) / 2, radius * points.strides[:, None]
    inside = times > torch.maximum(starts, centres - around)
    inside &= times < torch.minimum(ends, centres + around)
    furthest = torch.maximum(times - starts, ends - times)
    inside &= furthest >= points.low[:, None]
    return inside & (furthest <= points.high[:, None])
