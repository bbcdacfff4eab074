"""Losses that weigh classes by how many training clips they have."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from mmaction.models.losses import BaseWeightedLoss
from torch import Tensor


class ClassCountLoss(BaseWeightedLoss):
    """A loss that has to be told the training clips per class.

    ``ClassInfoHook`` tells it before training. The counts are those of the data set,
    whatever a sampler makes of them: with a class-balanced sampler the model sees
    other frequencies, and correcting for imbalance twice is seldom wanted.

    A class without a training clip counts as one with a single clip, so that all is
    finite.

    Args:
        loss_weight: Factor of the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__(loss_weight=loss_weight)
        self.register_buffer('class_counts', torch.zeros(0), persistent=False)

    def set_class_counts(self, counts: Any) -> None:
        """Tell the training clips of each class.

        Args:
            counts: (K,) numbers from 0.

        Raises:
            ValueError: A negative number, or not a single clip.
        """
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
            label = torch.nn.functional.one_hot(label, wanted)
        return self.class_loss(logits, label.to(logits), self.class_counts.to(logits))

    @abstractmethod
    def class_loss(self, logits: Tensor, target: Tensor, counts: Tensor) -> Tensor:
        """Mean loss of logits (N, K), targets (N, K) and counts (K,), all float32."""
