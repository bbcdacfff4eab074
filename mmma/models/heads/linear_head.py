"""Classification of pooled features by one linear layer."""

from __future__ import annotations

from mmaction.models.heads import TimeSformerHead
from torch import nn

from mmma.registry import MODELS


@MODELS.register_module()
class LinearHead(TimeSformerHead):
    """MMAction2's ``TimeSformerHead`` with a safe start for its classifier.

    Upstream draws from mmengine's truncated normal with bounds at -2 and 2, which
    about once in 16 million draws yields the bound itself: 100,000 std at VideoMAE's
    ``init_std`` of 2e-5. Here the weights are plain normal. Arguments and names of
    weights (``fc_cls``) are upstream's.
    """

    def init_weights(self) -> None:
        """Draw the classifier's weights with ``init_std``; its bias starts at 0."""
        nn.init.normal_(self.fc_cls.weight, std=self.init_std)
        nn.init.zeros_(self.fc_cls.bias)
