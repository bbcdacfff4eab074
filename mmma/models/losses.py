"""Losses of classes of very different frequency, and of detection."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from mmaction.models.losses import BaseWeightedLoss, CrossEntropyLoss
from torch import Tensor
from torch.nn import functional as F

from mmma.registry import MODELS


class ClassCountLoss(BaseWeightedLoss):
    """A loss that has to be told the training clips per class.

    ``ClassInfoHook`` tells those of the data set, whatever a sampler makes of them:
    correcting for imbalance twice is seldom wanted. A class without counts as one.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight=loss_weight)
        self.register_buffer('class_counts', torch.zeros(0), persistent=False)

    def set_class_counts(self, counts: Any) -> None:
        """Tell the training clips of each class, (K,) numbers; not any: ValueError."""
        table = torch.as_tensor(counts, dtype=torch.float32)
        if table.ndim != 1 or not (table >= 0).all() or not table.sum() > 0:
            raise ValueError(
                f'{type(self).__name__}: class counts of shape {tuple(table.shape)} '
                'must be one number from 0 per class, and not all 0.'
            )
        self.class_counts = table.to(self.class_counts.device)

    def _forward(self, cls_score: Tensor, label: Tensor) -> Tensor:
        """Mean loss of logits (N, K) and labels, (N,) indices or (N, K) shares."""
        known, wanted = len(self.class_counts), cls_score.shape[1]
        if known != wanted:
            state = f'those of {known} classes' if known else 'none'
            raise ValueError(
                f'{type(self).__name__} needs the training clips of {wanted} classes '
                f'and was told {state}: train with ClassInfoHook in custom_hooks, or '
                'call set_class_counts(counts) first.'
            )
        logits = cls_score.float()
        if label.shape != logits.shape:
            label = F.one_hot(label, wanted)
        return self.class_loss(logits, label.to(logits), self.class_counts.to(logits))

    @abstractmethod
    def class_loss(self, logits: Tensor, target: Tensor, counts: Tensor) -> Tensor:
        """Mean loss of logits (N, K), targets (N, K) and counts (K,), all float32."""


@MODELS.register_module()
class ClassBalancedFocalLoss(ClassCountLoss):
    """Softmax focal loss, each class weighted by ``(1 - beta) / (1 - beta**count)``.

    ``sum_k target_k * weight_k * (1 - p_k)**gamma * -log p_k``, averaged over clips.
    The weights are scaled to a mean of 1 over the classes that have training clips;
    only smoothed and mixed labels ever ask for that of another class. ``beta`` 0 weighs
    all classes alike, near 1 by the inverse of their counts; ``gamma`` 0 is cross
    entropy, more lets a clip count less that is already recognised.

    Raises:
        ValueError: ``beta`` is outside [0, 1), or ``gamma`` is negative.

    Source: Cui et al., 'Class-Balanced Loss Based on Effective Number of Samples', CVPR
        2019, where it is of sigmoids and weights have a mean of 1 over all classes.
        It searches beta from 0.9 to 0.9999 and gamma of 0.5, 1 and 2; the defaults are
        ours, within that range.
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
        self.beta, self.gamma = beta, gamma

    def class_weights(self, counts: Tensor) -> Tensor:
        """Weights (K,) of classes with (K,) training clips."""
        effective = 1 - self.beta ** counts.double().clamp_min(1)
        weights = (1 - self.beta) / effective
        return weights / weights[counts > 0].mean()

    def class_loss(self, logits: Tensor, target: Tensor, counts: Tensor) -> Tensor:
        """See the base class."""
        log_prob = logits.log_softmax(dim=1)
        weights = self.class_weights(counts).to(logits)
        # Floor: at 0 the gradient of a power below 1 is infinite.
        doubt = (1 - log_prob.exp()).clamp_min(torch.finfo(log_prob.dtype).eps)
        losses = -weights * doubt**self.gamma * log_prob
        return (target * losses).sum(dim=1).mean()


def class_power(loss: Mapping[str, Any]) -> float | None:
    """Power of the clips per class by which a loss of a config moves the prior.

    0 for cross entropy, ``-tau`` for the logit-adjusted one, None where no power does.
    """
    options = dict(loss)
    kind = MODELS.get(options.pop('type'))
    if issubclass(kind, LogitAdjustedCrossEntropy):
        return -options.get('tau', 1.0)
    plain = kind is CrossEntropyLoss and not options.get('class_weight')
    return 0.0 if plain else None


def sigmoid_focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross entropy of every element, in which easy decisions hardly count.

    What is true weighs 0.25, what is not 0.75, both times the squared probability of
    being wrong. Targets are in [0, 1].

    Source: Lin et al., 'Focal Loss for Dense Object Detection', ICCV 2017, equation 5;
        alpha and gamma as in ActionFormer.
    """
    targets = targets.to(logits)
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction='none')
    chance = logits.sigmoid()
    wrong = chance * (1 - targets) + (1 - chance) * targets
    return loss * wrong**2.0 * (0.25 * targets + 0.75 * (1 - targets))


@MODELS.register_module()
class LogitAdjustedCrossEntropy(ClassCountLoss):
    """Cross entropy of ``logits + tau * log prior``.

    Only the loss sees the adjusted logits; the model's own, used in testing, then rank
    classes as if all were equally frequent. The paper's prior of a class without clips
    would be 0. ``tau`` 1 is consistent for balanced accuracy, 0 is cross entropy.

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
