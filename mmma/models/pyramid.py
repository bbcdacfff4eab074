"""Pyramid of levels over a window: projections, necks, and the points of levels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmma.models.layers import (
    ChannelNorm,
    MaskedConv,
    MaskedGroupNorm,
    TransformerBlock,
    blank,
    drop_path,
    pad_positions,
    pool_positions,
    sinusoid_table,
)
from mmma.registry import MODELS


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
        table = sinusoid_table(max_seq_len, out_channels).transpose(1, 2)
        table = table / out_channels**0.5  # (1, C, L)
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


@MODELS.register_module()
class Conv1DTransformerProj(PyramidProjection):
    """Convolutions, then a pyramid of transformer blocks.

    Args:
        in_channels: D, channels of the features.
        out_channels: C.
        arch: Convolutions, blocks at full rate, blocks that halve the positions; the
            last number plus 1 is the number of levels.
        num_heads: Heads of attention.
        window: Positions of its own level that one sees, or one number per level; odd,
            -1 for all.
        path_drop: Share of branches dropped in training; above 0 they are also scaled
            per channel, from 1e-4.
        input_drop: Share of input channels dropped in training.
        max_seq_len: Longest window of the absolute position encoding; 0 leaves it out.

    Raises:
        ValueError: Windows for another number of levels.

    Source: Zhang et al., 'ActionFormer', ECCV 2022; Liu et al., 'End-to-End Temporal
        Action Detection with 1B Parameters Across 1000 Frames' (AdaTAD), CVPR 2024,
        which has full attention (window -1) where ActionFormer has 19.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 512,
        arch: Sequence[int] = (2, 2, 5),
        num_heads: int = 4,
        window: int | Sequence[int] = -1,
        path_drop: float = 0.1,
        **kwargs: Any,
    ) -> None:
        convs, stem, branch = arch
        windows = [window] * (branch + 1) if isinstance(window, int) else list(window)
        if len(windows) != branch + 1:
            raise ValueError(
                f'{len(windows)} attention windows for {branch + 1} levels of arch '
                f'{tuple(arch)}: give one per level, or one number.'
            )

        def block(stride: int, level: int) -> TransformerBlock:
            sees = windows[level]
            return TransformerBlock(out_channels, num_heads, stride, sees, path_drop)

        super().__init__(
            in_channels,
            out_channels,
            convs,
            stem=[block(1, 0) for _ in range(stem)],
            branch=[block(2, level + 1) for level in range(branch)],
            **kwargs,
        )


_GROUPS = 16


class _Depthwise(nn.Conv1d):
    """A depthwise convolution; of one position it is a product.

    PyTorch runs the latter channel by channel on a CPU: 19 ms instead of 0.5 ms of
    (2, 512, 256), there and back.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, P) to the same shape."""
        if self.kernel_size == (1,):
            return x * self.weight[:, 0] + self.bias[:, None]
        return super().forward(x)


class SGPBlock(nn.Module):
    """Instant and window-level gates instead of attention, then a perceptron.

    With x normalised: ``fc(x) * relu(global_fc(mean x)) + (convw(x) + convkw(x)) *
    psi(x) + x``, all depthwise. The mean, and the group norm before the perceptron, are
    over positions that exist, where upstream counts padding in.

    Args:
        channels: C.
        kernel_size: w, positions of ``convw`` and ``psi``; odd.
        stride: 2 halves the positions by a maximum.
        k: ``convkw`` sees k * (w + 1) positions, made odd.
        hidden: Channels between the layers of the perceptron; 0 for 4 C.
        path_drop: As in ``TransformerBlock``.
        init_std: Of the depthwise weights. OpenTAD's configs have 0, at which both
            gated products start at 0 without gradients and stay there.

    Source: Shi et al., 'TriDet', CVPR 2023, equations 1 to 3; OpenTAD ``SGPBlock``,
        whose names of weights these are.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        k: float = 1.5,
        hidden: int = 0,
        path_drop: float = 0.0,
        init_std: float = 1.0,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.ln = ChannelNorm(channels)
        self.gn = MaskedGroupNorm(min(_GROUPS, channels), channels)
        wide = round((kernel_size + 1) * k) // 2 * 2 + 1
        sizes = dict(psi=kernel_size, fc=1, convw=kernel_size, convkw=wide, global_fc=1)
        for name, size in sizes.items():
            conv = _Depthwise(
                channels, channels, size, padding=size // 2, groups=channels
            )
            nn.init.normal_(conv.weight, std=init_std)
            nn.init.zeros_(conv.bias)
            self.add_module(name, conv)
        hidden = hidden or 4 * channels
        self.mlp = nn.Sequential(
            nn.Conv1d(channels, hidden, 1), nn.GELU(), nn.Conv1d(hidden, channels, 1)
        )
        self.drop_path_out = drop_path(channels, path_drop)
        self.drop_path_mlp = drop_path(channels, path_drop)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, C, P) to (N, C, P / stride)."""
        x = pool_positions(x, mask, self.stride)
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

    Args:
        in_channels: D, channels of the features.
        out_channels: C; a multiple of 16, or at most 16.
        arch: Convolutions, blocks at full rate, blocks that halve the positions.
        hidden: Channels inside the perceptrons.
        k: How much wider the wide convolution is.
        path_drop: Of the blocks that halve.
        init_std: First deviation of the depthwise weights.

    Source: Shi et al., 'TriDet', CVPR 2023; OpenTAD ``TriDetProj`` and its
        configuration (hidden 768, k 5, kernels 1).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 512,
        arch: Sequence[int] = (2, 2, 5),
        hidden: int = 768,
        k: float = 5.0,
        path_drop: float = 0.1,
        init_std: float = 1.0,
        **kwargs: Any,
    ) -> None:
        convs, stem, branch = arch
        options = dict(k=k, hidden=hidden, init_std=init_std)
        super().__init__(
            in_channels,
            out_channels,
            convs,
            stem=[SGPBlock(out_channels, **options) for _ in range(stem)],
            branch=[
                SGPBlock(out_channels, stride=2, path_drop=path_drop, **options)
                for _ in range(branch)
            ],
            **kwargs,
        )


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


_ENDLESS = 1e4  # positions; no window is as long


@dataclass(frozen=True)
class Points:
    """Points of all levels, finest level first.

    Attributes:
        times: (P,) float32, in positions of the window.
        strides: (P,) float32, positions between points of the level.
        low: (P,) float32, least distance in positions to the further end of a truth
            that the level is for.
        high: (P,) float32, largest such distance.
        levels: (P,) int64.
    """

    times: Tensor
    strides: Tensor
    low: Tensor
    high: Tensor
    levels: Tensor

    def decode(self, offsets: Tensor, index: Tensor) -> Tensor:
        """Segments at points, from distances to both ends.

        Args:
            offsets: (n, 2), distances to start and end in strides.
            index: (n,) points.

        Returns:
            (n, 2), start and end in positions.
        """
        sides = offsets * offsets.new_tensor([-1.0, 1.0])
        return self.times[index, None] + sides * self.strides[index, None]

    def encode(self, segments: Tensor, index: Tensor) -> Tensor:
        """Distances (n, 2), in strides, from points to both ends of segments (n, 2)."""
        apart = segments - self.times[index, None]
        return apart * apart.new_tensor([-1.0, 1.0]) / self.strides[index, None]


def default_ranges(num_levels: int) -> list[tuple[float, float]]:
    """Distances that levels are for: 0 to 4, 4 to 8, 8 to 16, ...; the last is open.

    Source: ActionFormer, configuration of THUMOS14.
    """
    edges = [0.0, *(2.0 ** (level + 2) for level in range(num_levels - 1)), _ENDLESS]
    return list(itertools.pairwise(edges))


def pyramid_points(
    lengths: Sequence[int],
    strides: Sequence[int],
    ranges: Sequence[tuple[float, float]],
    device: torch.device | str | None = None,
) -> Points:
    """Points of levels: point i of level l lies at i * stride, without half a step.

    Args:
        lengths: Points of each level.
        strides: Of each level.
        ranges: Of each level.
        device: Of the tensors.

    Raises:
        ValueError: Different numbers of levels.
    """
    if not len(lengths) == len(strides) == len(ranges):
        raise ValueError(
            f'{len(lengths)} levels of features, {len(strides)} strides and '
            f'{len(ranges)} ranges of the head: let the arch of the projection, '
            'num_levels of the neck and num_levels of the head agree.'
        )
    rows = []
    for level, length in enumerate(lengths):
        times = torch.arange(length, dtype=torch.float32) * strides[level]
        row = [times.new_full((length,), v) for v in (strides[level], *ranges[level])]
        rows.append(torch.stack([times, *row]))
    times, steps, low, high = torch.cat(rows, dim=1).to(device)
    levels = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    return Points(times, steps, low, high, levels.to(device))
