"""Cross entropy that allows for how frequent classes are."""

from __future__ import annotations

from torch import Tensor

from mmma.models.losses.class_counts import ClassCountLoss
from mmma.registry import MODELS


@MODELS.register_module()
class LogitAdjustedCrossEntropy(ClassCountLoss):
    """Cross entropy of ``logits + tau * log prior``.

    Only the loss sees the adjusted logits; the model's own, used in testing, then rank
    classes as if all were equally frequent. A class without clips counts as one with a
    single clip, where the paper's prior would be 0.

    Args:
        tau: Strength; 1 is consistent for balanced accuracy, 0 is cross entropy.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: ``tau`` is negative.

    Source: Menon et al., 'Long-tail learning via logit adjustment', ICLR 2021, logit
        adjusted softmax cross entropy. Soft labels are ours: the mean of the losses of
        the classes, weighted by their shares.
    """

    def __init__(self, tau: float = 1.0, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight)
        if not tau >= 0:
            raise ValueError(f'LogitAdjustedCrossEntropy: tau {tau}: use one from 0.')
        self.tau = tau

    def class_loss(self, logits: Tensor, target: Tensor, counts: Tensor) -> Tensor:
        """See the base class."""
        counts = counts.clamp_min(1)
        log_prior = (counts / counts.sum()).log()
        log_prob = (logits + self.tau * log_prior).log_softmax(dim=1)
        return -(target * log_prob).sum(dim=1).mean()
