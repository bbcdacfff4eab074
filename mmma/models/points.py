"""The points of a pyramid: where in a window its positions lie."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

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


@dataclass(frozen=True)
class PointOutputs:
    """What a head gives at the P points of all levels.

    Attributes:
        values: By name; ``cls`` (N, P, K), ``reg`` (N, P, R) and what else it gives.
        points: The points.
        valid: (N, P), bool; false where the window is padding.
    """

    values: Mapping[str, Tensor]
    points: Points
    valid: Tensor


@dataclass(frozen=True)
class Pairs:
    """n pairs of a point and a class.

    Attributes:
        batch: (n,) windows of a batch.
        point: (n,) points.
        label: (n,) classes.
    """

    batch: Tensor
    point: Tensor
    label: Tensor


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
