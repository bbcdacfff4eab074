"""Focal loss with weights by the effective number of clips."""

from __future__ import annotations

import torch
from torch import Tensor

from mmma.models.losses.class_counts import ClassCountLoss
from mmma.registry import MODELS


@MODELS.register_module()
class ClassBalancedFocalLoss(ClassCountLoss):
    """Softmax focal loss, each class weighted by ``(1 - beta) / (1 - beta**count)``.

    ``sum_k target_k * weight_k * (1 - p_k)**gamma * -log p_k``, averaged over clips.
    The weights are scaled to a mean of 1 over the classes that have training clips. A
    class without clips weighs as much as one with a single clip; only smoothed and
    mixed labels ever ask for it.

    Args:
        beta: 0 weighs all classes alike; near 1 by the inverse of their counts.
        gamma: How much less a clip counts that is already recognised; 0 is cross
            entropy.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: ``beta`` is outside [0, 1), or ``gamma`` is negative.

    Source: Cui et al., 'Class-Balanced Loss Based on Effective Number of Samples', CVPR
        2019. The paper's focal loss is a sum of sigmoid terms over all classes; this
        one is of the softmax, as the scores of one action per clip are, and takes soft
        labels. The paper scales its weights to a mean of 1 over all classes, which
        needs a count of each. It searches beta from 0.9 to 0.9999 and gamma
        of 0.5, 1 and 2; the defaults are ours, within that range.
    """

    def __init__(
        self, beta: float = 0.999, gamma: float = 0.5, loss_weight: float = 1.0
    ) -> None:
        super().__init__(loss_weight)
        if not 0 <= beta < 1:
            raise ValueError(
                f'ClassBalancedFocalLoss: beta {beta}: use one from 0 and below 1.'
            )
        if not gamma >= 0:
            raise ValueError(f'ClassBalancedFocalLoss: gamma {gamma}: use one from 0.')
        self.beta = beta
        self.gamma = gamma

    def class_weights(self, counts: Tensor) -> Tensor:
        """Weights (K,) of classes with (K,) training clips."""
        effective = 1 - self.beta ** counts.double().clamp_min(1)
        weights = (1 - self.beta) / effective
        return weights / weights[counts > 0].mean()

    def class_loss(self, logits: Tensor, target: Tensor, counts: Tensor) -> Tensor:
        """See the base class."""
        log_prob = logits.log_softmax(dim=1)
        # Floor: at 0 the gradient of a power below 1 is infinite.
        doubt = (1 - log_prob.exp()).clamp_min(torch.finfo(log_prob.dtype).eps)
        weights = self.class_weights(counts).to(logits)
        losses = -weights * doubt**self.gamma * log_prob
        return (target * losses).sum(dim=1).mean()
