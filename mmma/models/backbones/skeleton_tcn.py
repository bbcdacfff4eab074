"""Temporal convolutions over all joints at once: a compact skeleton model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmma.layout.joint_sets import joint_tree
from mmma.registry import MODELS


class TemporalBlock(BaseModule):
    """Two temporal convolutions with batch norm beside a shortcut.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Step along T of the first convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, out_channels, stride)
        self.bn1 = nn.BatchNorm1d(out_channels)
        self.conv2 = _conv(out_channels, out_channels)
        self.bn2 = nn.BatchNorm1d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv1d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm1d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T) to (N, C', T / stride)."""
        change = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(change)) + self.shortcut(x))


@MODELS.register_module()
class SkeletonTCN(BaseModule):
    """Residual temporal convolutions; every joint of a frame is a group of channels.

    Takes and gives what MMAction2's graph networks do, with one joint left, so that
    ``RecognizerGCN`` and ``ActionHead`` go with it. All work is dense matrix products,
    which is why it is several times faster on a CPU than a graph network of its
    accuracy.

    Args:
        layout: A joint layout: its name or its fields.
        joints: The joints of the input, as given to ``LoadSkeleton``.
        in_channels: C of the input.
        channels: Width of the stem and of each block.
        strides: Of each block, what it divides T by; None halves it each time.

    Raises:
        ValueError: An unknown layout, set or joint; no block, or
            strides for another number of blocks.

    Source: Res-TCN (arXiv 1704.04516) is of this kind; sizes are ours.
    """

    def __init__(
        self,
        layout: str | Mapping[str, Any] = 'wholebody65',
        joints: str | Sequence[str] = 'all',
        in_channels: int = 3,
        channels: Sequence[int] = (128, 128, 192, 256),
        strides: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if len(channels) < 2:
            raise ValueError(
                f'channels {list(channels)}: use a stem and at least one block.'
            )
        inputs = len(joint_tree(layout, joints).names) * in_channels
        stem, *blocks = channels
        strides = [2] * len(blocks) if strides is None else list(strides)
        if len(strides) != len(blocks):
            raise ValueError(
                f'{len(strides)} strides for {len(blocks)} blocks: give one per block.'
            )
        self.stem = nn.Sequential(
            _conv(inputs, stem),
            nn.BatchNorm1d(stem),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(
            *(
                TemporalBlock(width, out, stride)
                for width, out, stride in zip(channels, blocks, strides, strict=False)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features of skeletons.

        Args:
            x: (N, M, T, V, C).

        Returns:
            (N, M, C', T', 1).
        """
        persons = x.shape[:2]
        # (N, M, T, V, C) -> (N*M, V*C, T)
        x = x.flatten(0, 1).flatten(2).transpose(1, 2)
        x = self.blocks(self.stem(x))
        return x.unflatten(0, persons).unsqueeze(
            -1
        )  # (NM, C', T') -> (N, M, C', T', 1)


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv1d:
    """Over three frames; the batch norm behind it has the bias."""
    return nn.Conv1d(in_channels, out_channels, 3, stride, padding=1, bias=False)
