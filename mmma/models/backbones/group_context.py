"""Group contextualization: four gates, each for a quarter of the channels.

Source: Hao et al., 'Group Contextualization for Video Recognition', CVPR 2022;
haoyanbin918/Group-Contextualization, b99be50a.
"""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GATES = ('l', 't', 's', 'g')


class LocalGate(nn.Module):
    """L (``L33D``): each position sees itself in three frames."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        size, pad = (3, 1, 1), (1, 0, 0)
        self.conv = nn.Conv3d(channels, channels, size, padding=pad, bias=False)
        self.bn = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Gate (N, T, c, h, w) of features (N, T, c, h, w)."""
        # In 2D, with space as one axis: twice as fast on a CPU as conv3d.
        flat = x.transpose(1, 2).flatten(3)  # (N, c, T, h*w)
        gate = F.conv2d(flat, self.conv.weight.squeeze(-1), padding=(1, 0))
        gate = self.bn(gate.unflatten(3, x.shape[3:])).sigmoid()
        return gate.transpose(1, 2)


class TemporalGate(nn.Module):
    """T (``T13D``): each frame, pooled over space, sees three frames."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Gate (N, T, c, 1, 1) of features (N, T, c, h, w)."""
        pooled = x.mean(dim=(3, 4)).transpose(1, 2)  # (N, c, T)
        gate = self.bn(self.conv(pooled)).sigmoid()
        return gate.transpose(1, 2)[..., None, None]


class SpatialGate(nn.Module):
    """S (``S23DD``): each position, pooled over time, sees its dilated neighbours."""

    def __init__(self, channels: int, use_bn: bool) -> None:
        super().__init__()
        self.use_bn = use_bn
        self.conv = nn.Conv2d(channels, channels, 3, padding=2, dilation=2, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        if not use_bn:  # in the released files, but without effect
            self.bn.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Gate (N, 1, c, h, w) of features (N, T, c, h, w)."""
        gate = self.conv(x.mean(dim=1))
        return (self.bn(gate) if self.use_bn else gate).sigmoid()[:, None]


class GlobalGate(nn.Module):
    """G (``CLLD``): each channel, pooled over the clip, sees all others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Linear(channels, channels, bias=False)
        self.bn = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Gate (N, 1, c, 1, 1) of features (N, T, c, h, w)."""
        gate = self.conv(x.mean(dim=(1, 3, 4)))  # (N, c)
        if self.training and len(gate) == 1 and isinstance(self.bn, nn.BatchNorm1d):
            gate = self._norm_one(gate)
        else:
            gate = self.bn(gate)
        return gate.sigmoid()[:, None, :, None, None]

    def _norm_one(self, gate: Tensor) -> Tensor:
        """Norm a single clip, which has no spread, by the running statistics."""
        warnings.warn(
            'a training step with one clip: the global gates use their running '
            'statistics and do not update them. Use train_dataloader.batch_size of 8 '
            "or more, or sync_bn='torch' over several GPUs.",
            stacklevel=2,
        )
        bn = self.bn
        return F.batch_norm(
            gate, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps
        )


class GroupContext(nn.Module):
    """Gate four groups of channels by local, temporal, spatial and global context.

    Each gate is ``sigmoid(BN(F(x)))`` of its own group, of ``channels // cdiv``
    channels, and multiplies it. Group ``start`` gets L, the next ones T, S and G, on
    from the first group after the last; with ``cdiv`` above 4 the others stay as they
    are.

    Weights that a run starts from may lack all of this (an ImageNet or TSM file): the
    gates then keep their start, near 0.5 everywhere, which halves the features. Warm
    up the learning rate.

    Args:
        channels: C of the features.
        num_segments: T, frames of a clip.
        cdiv: Number of groups, from 4.
        start: The first gated group.
        s_use_bn: Use the BN of the spatial gate. The released code defines it, and by
            a second ``forward`` leaves it out: False for the released weights.

    Raises:
        ValueError: ``cdiv`` is below 4, or does not divide ``channels``.
    """

    starts_fresh = True

    def __init__(
        self,
        channels: int,
        num_segments: int = 8,
        cdiv: int = 4,
        start: int = 0,
        s_use_bn: bool = True,
    ) -> None:
        super().__init__()
        if cdiv < len(GATES) or channels % cdiv:
            raise ValueError(
                f'context cdiv={cdiv}: use a whole number from {len(GATES)} that '
                f'divides the {channels} channels of the block.'
            )
        self.num_segments = num_segments
        self.cdiv = cdiv
        self.start = start
        width = channels // cdiv
        self.l = LocalGate(width)
        self.t = TemporalGate(width)
        self.s = SpatialGate(width, s_use_bn)
        self.g = GlobalGate(width)
        self.init_weights()

    def init_weights(self) -> None:
        """Draw the weights: Xavier normal, and N(0, 1e-3) for the global gate."""
        for name in GATES:
            gate = getattr(self, name)
            nn.init.xavier_normal_(gate.conv.weight)
            gate.bn.reset_parameters()
        nn.init.normal_(self.g.conv.weight, std=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """Gated features of frames, (N*T, C, h, w) as given."""
        clips = x.unflatten(0, (-1, self.num_segments))  # (N, T, C, h, w)
        groups = list(clips.chunk(self.cdiv, dim=2))
        for i, name in enumerate(GATES):
            place = (self.start + i) % self.cdiv
            groups[place] = groups[place] * getattr(self, name)(groups[place])
        return torch.cat(groups, dim=2).flatten(0, 1)  # (N*T, C, h, w)
