"""PoseC3D's backbone on any joint layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmaction.models.backbones import ResNet3dSlowOnly

from mmma.registry import MODELS
from mmma.structures.heatmaps import HeatmapChannels

PUBLISHED = dict(
    depth=50,
    base_channels=32,
    num_stages=3,
    out_indices=(2,),
    stage_blocks=(4, 6, 3),
    conv1_stride_s=1,
    pool1_stride_s=1,
    inflate=(0, 1, 1),
    spatial_strides=(2, 2, 2),
    temporal_strides=(1, 1, 2),
    dilations=(1, 1, 1),
)
"""Source: MMAction2, configs/skeleton/posec3d, NTU60."""


@MODELS.register_module()
class SkeletonSlowOnly(ResNet3dSlowOnly):
    """MMAction2's ``ResNet3dSlowOnly`` as PoseC3D uses it.

    It has a channel for each joint or limb, by name. Names of weights are upstream's;
    published weights of other joints fit all but ``conv1``.

    Args:
        layout: A joint layout: its name or its fields.
        joints: The joints of the heatmaps.
        limbs: None where joints are drawn, else the limbs.
        **kwargs: As upstream's; what is not given is as published.

    Raises:
        ValueError: An unknown layout, set, joint or limb.

    Source: PoseC3D, arXiv 2104.13586.
    """

    def __init__(
        self,
        layout: str | Mapping[str, Any] = 'wholebody65',
        joints: str | Sequence[str] = 'body17',
        limbs: str | Sequence[Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        channels = len(HeatmapChannels.of(layout, joints, limbs))
        super().__init__(in_channels=channels, **{**PUBLISHED, **kwargs})
