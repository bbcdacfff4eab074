"""ActionFormer's head: one segment per point, for all classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmma.models.heads.segment_head import SegmentHead
from mmma.models.points import Pairs, PointOutputs
from mmma.registry import MODELS


@MODELS.register_module()
class ActionFormerHead(SegmentHead):
    """Two distances per point.

    A point has one segment, so where instances of several classes overlap it cannot
    give each its own: with ``union`` targets the longer ones are scored there, with the
    segment of the shortest. ``TriDetHead`` can.

    Args:
        **kwargs: Of ``SegmentHead``.

    Source: Zhang et al., 'ActionFormer', ECCV 2022.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reg_head = self._layer(2)

    def offsets(self, outputs: PointOutputs, pairs: Pairs) -> Tensor:
        """See the base class; classes of a point have the same."""
        return outputs.values['reg'][pairs.batch, pairs.point]

    def targets_of(self, owners: Tensor, class_owners: Tensor) -> tuple[Pairs, Tensor]:
        """See the base class; one pair per point."""
        batch, point = (owners >= 0).nonzero(as_tuple=True)
        no_label = torch.zeros_like(point)
        return Pairs(batch, point, no_label), owners[batch, point]
