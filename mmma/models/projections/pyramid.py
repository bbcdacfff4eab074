"""From the features of a window to a pyramid of levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmma.models.masked_layers import MaskedConv, blank, pad_positions


class PyramidProjection(BaseModule):
    """Convolutions, blocks at full rate, then blocks that each halve the positions.

    Level l has a position for every 2^l-th of the window. Windows are padded to a
    multiple of the largest stride, so any length will do.

    Args:
        in_channels: D, channels of the features; 0 convolutions need D equal to C.
        out_channels: C.
        num_convs: Convolutions with layer norm and ReLU.
        stem: Blocks of stride 1.
        branch: Blocks of stride 2, one per further level.
        input_drop: Share of input channels dropped in training.
        max_seq_len: Positions of the sinusoid that is added before the blocks, divided
            by the root of C; windows that are longer stretch it. 0 adds none.

    Source: OpenTAD ``Conv1DTransformerProj``, whose names of weights these are.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        num_convs: int,
        stem: Sequence[nn.Module],
        branch: Sequence[nn.Module],
        input_drop: float = 0.0,
        max_seq_len: int = 0,
    ) -> None:
        super().__init__()
        widths = [in_channels] + [out_channels] * num_convs
        if widths[-1] != out_channels:
            raise ValueError(
                f'arch without convolutions cannot turn {in_channels} channels into '
                f'{out_channels}: use at least one, or equal channels.'
            )
        self.embed = nn.ModuleList(
            MaskedConv(width, out_channels) for width in widths[:-1]
        )
        self.stem = nn.ModuleList(stem)
        self.branch = nn.ModuleList(branch)
        self.input_drop = nn.Dropout1d(input_drop)
        table = sinusoid_table(max_seq_len, out_channels) / out_channels**0.5
        self.register_buffer('pos_embed', table, persistent=False)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Levels of a batch of windows.

        Args:
            x: (N, D, P).
            mask: (N, P), bool; false where the window is padding.

        Returns:
            B + 1 levels (N, C, P_l) and their masks (N, P_l), finest first.
        """
        x, mask = pad_positions(x, mask, 2 ** len(self.branch))
        x = self.input_drop(x)
        for layer in self.embed:
            x = layer(x, mask)
        x = self._add_places(x, mask)
        for layer in self.stem:
            x = layer(x, mask)
        levels, masks = [x], [mask]
        for layer in self.branch:
            levels.append(layer(levels[-1], masks[-1]))
            masks.append(masks[-1][:, ::2])
        return levels, masks

    def _add_places(self, x: Tensor, mask: Tensor) -> Tensor:
        length, places = x.shape[-1], self.pos_embed
        if not places.shape[-1]:
            return x
        if length > places.shape[-1]:
            places = F.interpolate(places, length, mode='linear', align_corners=False)
        return x + blank(places[..., :length].expand_as(x), mask).to(x.dtype)


def sinusoid_table(length: int, channels: int) -> Tensor:
    """Sines and cosines of positions, in turn along the channels.

    Args:
        length: Positions.
        channels: C.

    Returns:
        (1, C, length), float32.

    Source: Vaswani et al., 'Attention is all you need', NeurIPS 2017, section 3.5.
    """
    channel = torch.arange(channels)
    speed = 10000.0 ** (-2.0 * (channel // 2).double() / channels)
    angle = speed[:, None] * torch.arange(length)
    table = torch.where((channel % 2 == 0)[:, None], angle.sin(), angle.cos())
    return table.float()[None]
