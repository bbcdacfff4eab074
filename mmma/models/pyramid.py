"""Pyramid of levels over a window: projections, necks, and the points of levels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmma.models import layers
from mmma.models.layers import ChannelNorm, MaskedConv, TransformerBlock, blank
from mmma.registry import MODELS


class PyramidProjection(BaseModule):
    """Convolutions, blocks at full rate, then blocks that each halve the positions.

    Level l has a position for every 2^l-th of the window. Windows are padded to a
    multiple of the largest stride, so any length will do.

    Args:
        block: Makes a block of C channels and a stride, 1 or 2.
        in_channels, out_channels: D of the features, and C; the same without
            convolutions.
        arch: Convolutions, blocks at full rate, blocks that halve the positions; the
            last number plus 1 is the number of levels.

    Source: OpenTAD ``Conv1DTransformerProj``, whose names of weights these are.
    """

    def __init__(
        self,
        block: Callable[[int, int], nn.Module],
        in_channels: int,
        out_channels: int = 512,
        arch: Sequence[int] = (2, 2, 5),
    ) -> None:
        super().__init__()
        convs, stem, branch = arch
        widths = [in_channels] + [out_channels] * convs
        if widths[-1] != out_channels:
            raise ValueError(
                f'arch without convolutions cannot turn {in_channels} channels into '
                f'{out_channels}: use at least one, or equal channels.'
            )
        blocks = [block(out_channels, step) for step in [1] * stem + [2] * branch]
        self.embed = nn.ModuleList(MaskedConv(w, out_channels) for w in widths[:-1])
        self.stem = nn.ModuleList(blocks[:stem])
        self.branch = nn.ModuleList(blocks[stem:])

    def forward(self, x: Tensor, mask: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Levels (N, C, P_l) and masks (N, P_l), finest first, of (N, D, P), (N, P)."""
        x, mask = layers.pad_positions(x, mask, 2 ** len(self.branch))
        for layer in (*self.embed, *self.stem):
            x = layer(x, mask)
        levels, masks = [x], [mask]
        for layer in self.branch:
            levels.append(layer(levels[-1], masks[-1]))
            masks.append(masks[-1][:, ::2])
        return levels, masks


@MODELS.register_module()
class Conv1DTransformerProj(PyramidProjection):
    """Convolutions, then a pyramid of transformer blocks.

    Options are those of ``TransformerBlock`` and :class:`PyramidProjection`.

    Source: Zhang et al., 'ActionFormer', ECCV 2022; Liu et al., 'End-to-End Temporal
        Action Detection with 1B Parameters Across 1000 Frames' (AdaTAD), CVPR 2024,
        which has full attention (window -1) where ActionFormer has 19.
    """

    def __init__(
        self, num_heads: int = 4, window: int = -1, path_drop: float = 0.1, **sizes: Any
    ) -> None:
        def block(channels: int, stride: int) -> TransformerBlock:
            return TransformerBlock(channels, num_heads, stride, window, path_drop)

        super().__init__(block, **sizes)


class _Depthwise(nn.Conv1d):
    """A depthwise convolution of one position, as a product.

    PyTorch runs it channel by channel on a CPU: 19 ms instead of 0.5 ms of
    (2, 512, 256), there and back.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, P) to the same shape."""
        return x * self.weight[:, 0] + self.bias[:, None]


class SGPBlock(nn.Module):
    """Instant and window-level gates instead of attention, then a perceptron.

    With x normalised: ``fc(x) * relu(global_fc(mean x)) + (convw(x) + convkw(x)) *
    psi(x) + x``, all depthwise; all but ``convkw`` see one position. The mean, and the
    group norm before the perceptron, are over positions that exist, where upstream
    counts padding in. The depthwise weights start at N(0, 0.1), as TriDet's for HACS;
    its 0 for THUMOS14 leaves both gated products at 0 without gradients for good.

    ``convkw`` sees 2k positions, made odd; stride 2 halves the positions by a maximum;
    ``hidden`` are the channels inside the perceptron.

    Source: Shi et al., 'TriDet', CVPR 2023, equations 1 to 3; OpenTAD ``SGPBlock``,
        whose names of weights these are.
    """

    def __init__(
        self, channels: int, stride: int, k: float, hidden: int, path_drop: float = 0.0
    ) -> None:
        super().__init__()
        self.stride = stride
        self.ln = ChannelNorm(channels)
        self.gn = layers.MaskedGroupNorm(min(16, channels), channels)
        wide = round(2 * k) // 2 * 2 + 1
        sizes = dict(psi=1, fc=1, convw=1, convkw=wide, global_fc=1)
        for name, size in sizes.items():
            kind = _Depthwise if size == 1 else nn.Conv1d
            conv = kind(channels, channels, size, padding=size // 2, groups=channels)
            nn.init.normal_(conv.weight, std=0.1)
            nn.init.zeros_(conv.bias)
            self.add_module(name, conv)
        self.mlp = nn.Sequential(
            nn.Conv1d(channels, hidden, 1), nn.GELU(), nn.Conv1d(hidden, channels, 1)
        )
        self.drop_path_out = layers.drop_path(channels, path_drop)
        self.drop_path_mlp = layers.drop_path(channels, path_drop)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, C, P) to (N, C, P / stride)."""
        x = layers.pool_positions(x, mask, self.stride)
        mask = mask[:, :: self.stride]
        out = self.ln(x, mask)
        count = mask.sum(dim=1).clamp_min(1)[:, None, None]
        whole = F.relu(self.global_fc(out.sum(dim=-1, keepdim=True) / count))
        gated = (self.convw(out) + self.convkw(out)) * self.psi(out)
        x = x + self.drop_path_out(blank(self.fc(out) * whole + gated + out, mask))
        return x + self.drop_path_mlp(blank(self.mlp(self.gn(x, mask)), mask))


@MODELS.register_module()
class TriDetProj(PyramidProjection):
    """Convolutions, then a pyramid of SGP blocks.

    ``hidden`` and ``k`` are of the blocks, ``path_drop`` of those that halve, sizes of
    :class:`PyramidProjection`; C is a multiple of 16, or at most 16.

    Source: Shi et al., 'TriDet', CVPR 2023; OpenTAD ``TriDetProj`` and its
        configuration (hidden 768, k 5, kernels 1).
    """

    def __init__(
        self, hidden: int = 768, k: float = 5.0, path_drop: float = 0.1, **sizes: Any
    ) -> None:
        def block(channels: int, stride: int) -> SGPBlock:
            drop = path_drop if stride > 1 else 0.0
            return SGPBlock(channels, stride, k, hidden, drop)

        super().__init__(block, **sizes)


@MODELS.register_module()
class FPNIdentity(BaseModule):
    """A layer norm of C channels per level, and nothing between levels.

    Source: ActionFormer and OpenTAD ``FPNIdentity``; names of weights as there.
    """

    def __init__(self, in_channels: int = 512, num_levels: int = 6) -> None:
        super().__init__()
        self.fpn_norms = nn.ModuleList(
            ChannelNorm(in_channels, eps=1e-6) for _ in range(num_levels)
        )

    def forward(self, levels: Sequence[Tensor], masks: Sequence[Tensor]) -> list:
        """Levels (N, C, P_l) to the same shapes."""
        parts = zip(self.fpn_norms, levels, masks, strict=True)
        return [norm(level, mask) for norm, level, mask in parts]


@dataclass(frozen=True)
class Points:
    """Points of all levels, finest level first; (P,) each.

    Attributes:
        times: In positions of the window.
        strides: Positions between points of the level.
        low, high: Least and largest distance in positions to the further end of a
            truth that the level is for.
        levels: int64; the others are float32.
    """

    times: Tensor
    strides: Tensor
    low: Tensor
    high: Tensor
    levels: Tensor

    def decode(self, offsets: Tensor, index: Tensor) -> Tensor:
        """Segments (n, 2) of points (n,), from distances in strides to both ends."""
        sides = offsets * offsets.new_tensor([-1.0, 1.0])
        return self.times[index, None] + sides * self.strides[index, None]

    def encode(self, segments: Tensor, index: Tensor) -> Tensor:
        """Distances (n, 2), in strides, from points to both ends of segments (n, 2)."""
        apart = segments - self.times[index, None]
        return apart * apart.new_tensor([-1.0, 1.0]) / self.strides[index, None]


def pyramid_points(
    lengths: Sequence[int], strides: Sequence[int], device: Any = None
) -> Points:
    """Points of levels: point i of level l lies at i * stride, without half a step.

    Levels are for distances of 0 to 4, 4 to 8, 8 to 16, ...; the last is open.

    Raises:
        ValueError: Different numbers of levels.

    Source: ActionFormer, configuration of THUMOS14.
    """
    if len(lengths) != len(strides):
        raise ValueError(
            f'{len(lengths)} levels of features, {len(strides)} strides of the head: '
            'let the arch of the projection, num_levels of the neck and num_levels of '
            'the head agree.'
        )
    numbers = torch.arange(len(lengths))
    levels = numbers.repeat_interleave(torch.tensor(lengths)).to(device)
    steps = torch.tensor(strides, dtype=torch.float32, device=device)[levels]
    places = torch.cat([torch.arange(length) for length in lengths]).to(device)
    low = (2 * steps).masked_fill(levels == 0, 0.0)
    # No window has as many positions.
    high = (4 * steps).masked_fill(levels == len(lengths) - 1, 1e4)
    return Points(places * steps, steps, low, high, levels)
