"""Necks between the levels of a projection and a head."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmma.models.masked_layers import ChannelNorm, MaskedConv, blank
from mmma.registry import MODELS


@MODELS.register_module()
class FPNIdentity(BaseModule):
    """A layer norm per level, and nothing between levels.

    Args:
        in_channels: C.
        num_levels: Levels of the projection.

    Source: ActionFormer and OpenTAD ``FPNIdentity``; names of weights as there.
    """

    def __init__(self, in_channels: int = 512, num_levels: int = 6) -> None:
        super().__init__()
        self.fpn_norms = nn.ModuleList(
            ChannelNorm(in_channels, eps=1e-6) for _ in range(num_levels)
        )

    def forward(self, levels: Sequence[Tensor], masks: Sequence[Tensor]) -> list:
        """Levels (N, C, P_l) to the same shapes."""
        return [
            norm(level, mask)
            for norm, level, mask in zip(self.fpn_norms, levels, masks, strict=True)
        ]


@MODELS.register_module()
class TopDownFPN(BaseModule):
    """Coarse levels added to finer ones, then a convolution per level.

    Args:
        in_channels: Channels of the levels.
        out_channels: C.
        num_levels: Levels of the projection; each has half the positions of the last.

    Source: Lin et al., 'Feature Pyramid Networks', CVPR 2017; OpenTAD ``FPN``, whose
        names of weights these are.
    """

    def __init__(
        self, in_channels: int = 512, out_channels: int = 512, num_levels: int = 6
    ) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(
            MaskedConv(in_channels, out_channels, 1, norm=False, bias=True)
            for _ in range(num_levels)
        )
        self.fpn_convs = nn.ModuleList(
            MaskedConv(out_channels, out_channels, norm=False, bias=True)
            for _ in range(num_levels)
        )

    def forward(self, levels: Sequence[Tensor], masks: Sequence[Tensor]) -> list:
        """Levels (N, C, P_l) to (N, C', P_l)."""
        finer = [
            conv(level, mask)
            for conv, level, mask in zip(self.lateral_convs, levels, masks, strict=True)
        ]
        for i in range(len(finer) - 1, 0, -1):
            coarse = finer[i].repeat_interleave(2, dim=-1)
            finer[i - 1] = blank(finer[i - 1] + coarse, masks[i - 1])
        return [
            conv(level, mask)
            for conv, level, mask in zip(self.fpn_convs, finer, masks, strict=True)
        ]
