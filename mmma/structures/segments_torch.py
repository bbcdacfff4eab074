"""Segments as tensors: overlap with gradients."""

from __future__ import annotations

import torch
from torch import Tensor

_MIN_LENGTH = 1e-6  # what is shorter counts as a moment


def segment_iou_pairs(pred: Tensor, gt: Tensor) -> Tensor:
    """Temporal IoU of segments with the same index, with gradients.

    Args:
        pred: (n, 2), columns start and end, in any unit.
        gt: (n, 2).

    Returns:
        (n,), in [0, 1], at least float32; where both are moments it is 0, and so is
        the gradient.

    Raises:
        ValueError: Other shapes.
    """
    return _iou_pairs(*_pairs(pred, gt))


def segment_diou_pairs(pred: Tensor, gt: Tensor) -> Tensor:
    """Distance IoU of segments with the same index, with gradients.

    IoU minus the square of the distance of the centres over the length that encloses
    both. One value per pair: memory grows with n, not with its square.

    Args:
        pred: (n, 2), columns start and end, in any unit.
        gt: (n, 2).

    Returns:
        (n,), in (-1, 1], at least float32: 1 for equal segments, below 0 for distant
        ones, 0 for two equal moments.

    Raises:
        ValueError: Other shapes.

    Source: Zheng et al., Distance-IoU Loss, in one dimension as in ActionFormer.
    """
    first, second = _pairs(pred, gt)
    distance = (first.sum(-1) - second.sum(-1)) / 2
    around = torch.maximum(first[:, 1], second[:, 1]) - torch.minimum(
        first[:, 0], second[:, 0]
    )
    return _iou_pairs(first, second) - _ratio(distance, around).square()


def _pairs(pred: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
    if pred.dim() != 2 or pred.shape[1] != 2 or pred.shape != gt.shape:
        raise ValueError(
            f'segments of shapes {tuple(pred.shape)} and {tuple(gt.shape)}: give two '
            'of (n, 2).'
        )
    precise = torch.promote_types(pred.dtype, torch.float32)
    return pred.to(precise), gt.to(precise)


def _iou_pairs(a: Tensor, b: Tensor) -> Tensor:
    shared = torch.minimum(a[:, 1], b[:, 1]) - torch.maximum(a[:, 0], b[:, 0])
    shared = shared.clamp(min=0)
    return _ratio(shared, (a[:, 1] - a[:, 0]) + (b[:, 1] - b[:, 0]) - shared)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole; 0, also of the gradient, where the whole is a moment."""
    lasts = whole > _MIN_LENGTH
    return torch.where(lasts, part / torch.where(lasts, whole, 1), 0)
