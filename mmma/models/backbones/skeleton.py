"""Skeleton backbones: PoseC3D, alone and beside frames, ST-GCN++ and a temporal CNN.

``layout`` is a joint layout, its name or its fields; ``joints`` are those of the input,
as given to ``LoadSkeleton``. An unknown layout, set, joint or limb is a ``ValueError``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mmaction.models.backbones import STGCN, ResNet3dSlowOnly, RGBPoseConv3D
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmma.data.joints import joint_tree
from mmma.models.preprocessors import heatmap_channels
from mmma.registry import MODELS

PUBLISHED = dict(depth=50, base_channels=32, num_stages=3, out_indices=(2,))
PUBLISHED |= dict(stage_blocks=(4, 6, 3), conv1_stride_s=1, pool1_stride_s=1)
PUBLISHED |= dict(inflate=(0, 1, 1), spatial_strides=(2, 2, 2), dilations=(1, 1, 1))
PUBLISHED |= dict(temporal_strides=(1, 1, 2))
"""Source: MMAction2, configs/skeleton/posec3d, NTU60."""


@MODELS.register_module()
class SkeletonSlowOnly(ResNet3dSlowOnly):
    """MMAction2's ``ResNet3dSlowOnly`` as PoseC3D uses it.

    It has a channel for each joint or, if given, limb, by name. Names of weights and
    further arguments are upstream's; what is not given is as published, whose weights
    fit all but ``conv1`` where joints differ.

    Source: PoseC3D, arXiv 2104.13586.
    """

    def __init__(
        self,
        layout: str | Mapping[str, Any] = 'wholebody65',
        joints: str | Sequence[str] = 'body17',
        limbs: str | Sequence[Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        num_joints, pairs = heatmap_channels(layout, joints, limbs)
        channels = num_joints if pairs is None else len(pairs)
        super().__init__(in_channels=channels, **{**PUBLISHED, **kwargs})


_PATH = dict(lateral=True, fusion_kernel=7, conv1_kernel=(1, 7, 7), with_pool2=False)
RGB_PATH = dict(num_stages=4, base_channels=64, inflate=(0, 0, 1, 1), **_PATH)
RGB_PATH |= dict(lateral_infl=1, lateral_activate=(0, 0, 1, 1))
POSE_PATH = {key: PUBLISHED[key] for key in PUBLISHED if key != 'depth'} | _PATH
POSE_PATH |= dict(lateral_inv=True, lateral_infl=16, lateral_activate=(0, 1, 1))
POSE_PATH |= dict(conv1_stride_t=1, pool1_stride_t=1, temporal_strides=(1, 1, 1))
"""Source: MMAction2, configs/skeleton/posec3d/rgbpose_conv3d."""


@MODELS.register_module()
class TwoStreamConv3D(RGBPoseConv3D):
    """MMAction2's ``RGBPoseConv3D``: frames and heatmaps of one clip, which exchange.

    Names of weights are upstream's, what is not given is as published. The heatmaps
    have a channel for each joint, and as many rows and columns after the first stage as
    the frames after the second, ``speed_ratio`` times their frames, and half their
    ``base_channels``.

    Args:
        layout, joints: Of the heatmaps.
        rgb, pose: Arguments of a stream that differ from the published ones.
        **kwargs: ``speed_ratio``, ``rgb_drop_path`` and the like.

    Source: PoseC3D, arXiv 2104.13586, section 3.3.
    """

    def __init__(
        self,
        layout: str | Mapping[str, Any] = 'wholebody65',
        joints: str | Sequence[str] = 'body17',
        rgb: Mapping[str, Any] | None = None,
        pose: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        channels = dict(in_channels=heatmap_channels(layout, joints, None)[0])
        super().__init__(
            rgb_pathway={**RGB_PATH, **(rgb or {})},
            pose_pathway={**POSE_PATH, **channels, **(pose or {})},
            **kwargs,
        )

    def forward(self, imgs: Tensor, keypoint: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, D, T, H, W) of frames and of heatmaps, of other sizes each."""
        return super().forward(imgs, keypoint)


class TemporalBlock(BaseModule):
    """Two temporal convolutions with batch norm beside a shortcut."""

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
    accuracy. ``channels`` are the widths of the stem and of each block, ``strides``
    what each block divides T by; None halves it each time.

    Raises:
        ValueError: No block, or strides for another number of blocks.

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
        stem, *blocks = channels
        inputs = len(joint_tree(layout, joints).names) * in_channels
        strides = [2] * len(blocks) if strides is None else list(strides)
        if len(strides) != len(blocks):
            raise ValueError(
                f'{len(strides)} strides for {len(blocks)} blocks: give one per block.'
            )
        self.stem = nn.Sequential(_conv(inputs, stem), nn.BatchNorm1d(stem), nn.ReLU())
        sizes = zip(channels, blocks, strides, strict=False)
        self.blocks = nn.Sequential(*(TemporalBlock(*each) for each in sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, M, C', T', 1) of skeletons (N, M, T, V, C)."""
        persons = x.shape[:2]
        # (N, M, T, V, C) -> (N*M, V*C, T)
        x = x.flatten(0, 1).flatten(2).transpose(1, 2)
        x = self.blocks(self.stem(x))
        # (N*M, C', T') -> (N, M, C', T', 1)
        return x.unflatten(0, persons).unsqueeze(-1)


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv1d:
    """Over three frames; the batch norm behind it has the bias."""
    return nn.Conv1d(in_channels, out_channels, 3, stride, padding=1, bias=False)


@MODELS.register_module()
class SkeletonSTGCN(STGCN):
    """MMAction2's ``STGCN`` with its graph made from a joint layout, by name.

    Names of weights and further arguments are upstream's. With
    ``gcn_adaptive='init'``, ``gcn_with_res=True`` and ``tcn_type='mstcn'`` it is
    ST-GCN++. ``num_person`` is M of the input.

    Source: PYSKL, arXiv 2205.09443.
    """

    def __init__(
        self,
        layout: str | Mapping[str, Any] = 'wholebody65',
        joints: str | Sequence[str] = 'all',
        num_person: int = 1,
        **kwargs: Any,
    ) -> None:
        tree = joint_tree(layout, joints)
        graph = dict(num_node=len(tree.names), inward=tree.bones, center=tree.root)
        cfg = dict(layout=graph, mode='spatial')
        super().__init__(graph_cfg=cfg, num_person=num_person, **kwargs)
