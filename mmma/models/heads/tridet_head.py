"""TriDet's head: ends as expected bins, of each class its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmma.models.heads.segment_head import SegmentHead
from mmma.models.masked_layers import blank, through
from mmma.models.points import Pairs, PointOutputs
from mmma.registry import MODELS
from mmma.structures.segments_torch import segment_iou_pairs


@MODELS.register_module()
class TriDetHead(SegmentHead):
    """Distances as the mean of a distribution over bins around a point.

    Two further towers say of every position how much it looks like the start, and the
    end, of every class. The start of a class at a point is the mean of a softmax over
    the ``num_bins`` strides before the point and the point itself: of how those
    positions look, plus what the point itself says of each bin; the end likewise.

    A class has its own segment at a point, so with ``union`` targets each instance that
    overlaps there is learned with its own ends (upstream gives them those of the
    shortest). What is true counts in the loss of scores by its IoU to the power of
    ``iou_power``, without a gradient through that weight.

    Args:
        num_bins: Strides that an end may be away.
        iou_power: 0 leaves the loss of scores as it is.
        **kwargs: Of ``SegmentHead``.

    Source: Shi et al., 'TriDet', CVPR 2023, section 3.3; OpenTAD ``TriDetHead``, whose
        names of weights these are.
    """

    def __init__(
        self, num_bins: int = 16, iou_power: float = 0.2, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_bins = num_bins
        self.iou_power = iou_power
        self.reg_head = self._layer(2 * (num_bins + 1))
        self.cls_start_convs, self.cls_end_convs = self._tower(), self._tower()
        self.cls_start_head = self._layer(self.num_classes)
        self.cls_end_head = self._layer(self.num_classes)

    def forward_level(self, level: int, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """See the base class; also ``start`` and ``end``, (N, K, P_l + num_bins).

        Both count as 0 where nothing exists, and in the bins that are appended before
        the first position or behind the last. Their towers do not train what is below.
        """
        found = super().forward_level(level, x, mask)
        for name, pad in (('start', (self.num_bins, 0)), ('end', (0, self.num_bins))):
            tower = getattr(self, f'cls_{name}_convs')
            looks = getattr(self, f'cls_{name}_head')(through(tower, x.detach(), mask))
            found[name] = F.pad(blank(looks, mask), pad)
        return found

    def offsets(self, outputs: PointOutputs, pairs: Pairs) -> Tensor:
        """See the base class."""
        values = outputs.values
        bins = torch.arange(self.num_bins + 1, device=pairs.point.device)
        # Appended bins shift the points of level l by l * num_bins.
        levels = outputs.points.levels[pairs.point]
        first = pairs.point + levels * self.num_bins
        where = (pairs.batch[:, None], pairs.label[:, None], first[:, None] + bins)
        own = values['reg'][pairs.batch, pairs.point].unflatten(1, (2, -1))
        away = bins.to(own)
        starts = (values['start'][where] + own[:, 0]).softmax(dim=1)
        ends = (values['end'][where] + own[:, 1]).softmax(dim=1)
        return torch.stack([starts @ away.flip(0), ends @ away], dim=1)

    def targets_of(self, owners: Tensor, class_owners: Tensor) -> tuple[Pairs, Tensor]:
        """See the base class; one pair per point and class that is true there."""
        batch, point, label = (class_owners >= 0).nonzero(as_tuple=True)
        return Pairs(batch, point, label), class_owners[batch, point, label]

    def _score_loss(
        self, logits: Tensor, hits: Tensor, pairs: Pairs, ends: tuple[Tensor, Tensor]
    ) -> Tensor:
        sides = logits.new_tensor([-1.0, 1.0])
        iou = segment_iou_pairs(ends[0].detach() * sides, ends[1] * sides)
        weights = torch.ones_like(logits)
        weights[pairs.batch, pairs.point, pairs.label] = iou**self.iou_power
        return self.loss_cls(logits, hits) * weights
