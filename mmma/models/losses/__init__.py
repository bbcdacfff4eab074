"""Losses of classes of very different frequency, and of detection."""

from mmma.models.losses.class_balanced_focal import ClassBalancedFocalLoss
from mmma.models.losses.class_counts import ClassCountLoss
from mmma.models.losses.diou import SegmentDIoULoss
from mmma.models.losses.focal import SigmoidFocalLoss
from mmma.models.losses.logit_adjustment import LogitAdjustedCrossEntropy

__all__ = [
    'ClassBalancedFocalLoss',
    'ClassCountLoss',
    'LogitAdjustedCrossEntropy',
    'SegmentDIoULoss',
    'SigmoidFocalLoss',
]
