"""Focal loss of independent classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmma.registry import MODELS


@MODELS.register_module()
class SigmoidFocalLoss(nn.Module):
    """Binary cross entropy that easy decisions hardly count in.

    Args:
        alpha: Weight of what is true; what is not weighs 1 - alpha. Below 0 both
            weigh 1.
        gamma: Power of the probability of being wrong.

    Source: Lin et al., 'Focal Loss for Dense Object Detection', ICCV 2017, equation 5;
        alpha and gamma as in ActionFormer.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of every element, in float32, of logits and targets in [0, 1]."""
        with torch.autocast(logits.device.type, enabled=False):
            logits, targets = logits.float(), targets.float()
            entropy = F.binary_cross_entropy_with_logits(
                logits, targets, reduction='none'
            )
            chance = logits.sigmoid()
            wrong = chance * (1 - targets) + (1 - chance) * targets
            loss = entropy * wrong**self.gamma
            if self.alpha < 0:
                return loss
            return loss * (self.alpha * targets + (1 - self.alpha) * (1 - targets))
