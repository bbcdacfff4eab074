"""Distance-IoU loss of segments."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmma.registry import MODELS
from mmma.structures.segments_torch import segment_diou_pairs


@MODELS.register_module()
class SegmentDIoULoss(nn.Module):
    """1 - IoU + (distance of centres / enclosing length)^2, pair by pair.

    Source: Zheng et al., 'Distance-IoU Loss', AAAI 2020, in one dimension as in
        ActionFormer.
    """

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """Loss (n,) of segments (n, 2) and (n, 2), in float32."""
        with torch.autocast(pred.device.type, enabled=False):
            return 1 - segment_diou_pairs(pred.float(), target.float())
