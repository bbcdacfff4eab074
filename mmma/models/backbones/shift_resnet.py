"""ResNet with temporal shifts: TSM, and with gates GC-TSM and MANet.

Source: Lin et al., 'TSM: Temporal Shift Module for Efficient Video Understanding',
ICCV 2019; open-mmlab/mmaction2, resnet_tsm.py, 4d6c9347.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmma.models.backbones.group_context import GroupContext
from mmma.models.backbones.shift_resnet_keys import adapted_names
from mmma.registry import MODELS

EXPANSION = 4
_NORM = dict(type='BN')
_RELU = dict(type='ReLU', inplace=True)


@dataclass(frozen=True)
class ShiftOptions:
    """What the blocks of a network share.

    Attributes:
        num_segments: T, frames of a clip.
        shift_div: One part of the channels in so many is shifted each way.
        squeeze: Reduction of the channel gates before the shifts; 0 is none.
        context: Arguments of :class:`GroupContext` after conv2; None is none.
        loop: Start the gated groups one further in each block.
    """

    num_segments: int
    shift_div: int
    squeeze: int
    context: Mapping[str, Any] | None
    loop: bool


class SqueezeGate(nn.Sequential):
    """Gate the channels of each frame by its own spatial mean.

    Source: Guo et al., 'Benchmarking Micro-action Recognition', TCSVT 2024 (MANet).
    """

    starts_fresh = True

    def __init__(self, channels: int, reduction: int) -> None:
        inner = channels // reduction
        super().__init__(
            nn.Linear(channels, inner, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(inner, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Gated features of frames, (N*T, C, h, w) as given."""
        return x * super().forward(x.mean(dim=(2, 3)))[..., None, None]


class ShiftedConv(nn.Module):
    """A convolution of frames whose channels are (gated and) shifted in time."""

    def __init__(self, net: nn.Conv2d, options: ShiftOptions) -> None:
        super().__init__()
        self.net = net
        self.num_segments = options.num_segments
        self.shift_div = options.shift_div
        self.fcce = None
        if options.squeeze:
            self.fcce = SqueezeGate(net.in_channels, options.squeeze)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N*T, C', h, w) of (N*T, C, h, w)."""
        if self.fcce is not None:
            x = self.fcce(x)
        return self.net(shift_in_time(x, self.num_segments, self.shift_div))


class ShiftBottleneck(nn.Module):
    """Bottleneck: shift, conv1, conv2, (gates), conv3, and the input added."""

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int,
        options: ShiftOptions,
        number: int = 0,
    ) -> None:
        super().__init__()
        out_channels = planes * EXPANSION
        gated = options.context is not None
        act = None if gated else _RELU
        self.conv1 = _conv(in_channels, planes, 1)
        self.conv1.conv = ShiftedConv(self.conv1.conv, options)
        self.conv2 = _conv(planes, planes, 3, act, stride=stride, padding=1)
        self.gc = None
        if gated:
            start = number if options.loop else 0
            segments = options.num_segments
            self.gc = GroupContext(planes, segments, start=start, **options.context)
        self.conv3 = _conv(planes, out_channels, 1, None)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = _conv(in_channels, out_channels, 1, None, stride=stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N*T, C', h', w') of (N*T, C, h, w)."""
        out = self.conv2(self.conv1(x))
        if self.gc is not None:
            out = self.relu(self.gc(out))
        out = self.conv3(out)
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


@MODELS.register_module()
class ShiftResNet(BaseModule):
    """ResNet of bottlenecks that see their neighbours in time, for Recognizer2D.

    As it is: TSM-R50, with MMAction2's names of weights (its ``ResNetTSM`` has the
    width and depths of ResNet only). With ``context``: GC-TSM, gates between conv2 and
    its ReLU in every block. With ``squeeze=4``: MANet, channel gates before every
    shift. Every block shifts; MMAction2 shifts every other one from ResNet-101 on.

    Loads files of MMAction2, torchvision, TSM, Group-Contextualization and MANet
    (whose unused ``action_p2_*`` are dropped). A file to start from may lack all gates.

    Args:
        stage_blocks: Blocks of the stages; stage i has ``base_channels * 2**i`` planes.
        base_channels: Channels of the stem.
        num_segments: T, frames of a clip; also in the head.
        shift_div: One part of the channels in so many is shifted each way.
        context: Arguments of :class:`GroupContext` (``cdiv``, ``s_use_bn``) and
            ``loop``, to gate other groups in each block; an empty dict is the released
            form but for the BN of its spatial gate.
        squeeze: Reduction of channel gates before the shifts; 0 for none.

    Raises:
        ValueError: Frames that are no whole number of clips; bad ``context``.
    """

    def __init__(
        self,
        stage_blocks: Sequence[int] = (3, 4, 6, 3),
        base_channels: int = 64,
        num_segments: int = 8,
        shift_div: int = 8,
        context: Mapping[str, Any] | None = None,
        squeeze: int = 0,
    ) -> None:
        super().__init__()
        self.num_segments = num_segments
        loop = bool(context and context.get('loop', False))
        if context is not None:
            context = {k: v for k, v in context.items() if k != 'loop'}
        options = ShiftOptions(num_segments, shift_div, squeeze, context, loop)
        self.conv1 = _conv(3, base_channels, 7, stride=2, padding=3)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels, number = base_channels, 0
        self.stages = [f'layer{i + 1}' for i in range(len(stage_blocks))]
        for i, (name, depth) in enumerate(zip(self.stages, stage_blocks, strict=True)):
            planes, blocks = base_channels * 2**i, []
            for j in range(depth):
                stride = 2 if i and not j else 1
                blocks.append(
                    ShiftBottleneck(channels, planes, stride, options, number)
                )
                channels, number = planes * EXPANSION, number + 1
            self.add_module(name, nn.Sequential(*blocks))
        self.out_channels = channels

    def init_weights(self) -> None:
        """Draw the weights: He normal, and of the gates as they say."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(
                    module.weight, mode='fan_out', nonlinearity='relu'
                )
        for module in self.modules():
            if isinstance(module, GroupContext):
                module.init_weights()

    def forward(self, imgs: Tensor) -> Tensor:
        """Features of frames.

        Args:
            imgs: (N*T, 3, H, W), normalised; the frames of a clip stand together.

        Returns:
            (N*T, D, H/32, W/32) for four stages.
        """
        if len(imgs) % self.num_segments:
            raise ValueError(
                f'{len(imgs)} frames are no whole number of clips of '
                f'{self.num_segments}: sample clip_len={self.num_segments} frames, or '
                'set num_segments in backbone and head.'
            )
        x = self.maxpool(self.conv1(imgs))
        for name in self.stages:
            x = getattr(self, name)(x)
        return x

    def _load_from_state_dict(
        self, state_dict, prefix, metadata, strict, missing, unexpected, errors
    ) -> None:
        renamed = adapted_names(state_dict, prefix)
        for old, new in renamed.items():
            value = state_dict.pop(old)
            if new is not None:
                state_dict[new] = value
        # The root, visited before, does not know the other names.
        unexpected[:] = [name for name in unexpected if name not in renamed]
        super()._load_from_state_dict(
            state_dict, prefix, metadata, strict, missing, unexpected, errors
        )


def shift_in_time(x: Tensor, num_segments: int, shift_div: int) -> Tensor:
    """Shift channels of frames to their neighbours.

    Args:
        x: (N*T, C, h, w), frames of N clips.
        num_segments: T.
        shift_div: The first C // shift_div channels come from the next frame, as many
            after them from the one before; zeros stand in at the ends.

    Returns:
        (N*T, C, h, w).

    Source: Lin et al., TSM, ICCV 2019, section 4; mmaction2, resnet_tsm.py, 4d6c9347.
    """
    clips = x.unflatten(0, (-1, num_segments))  # (N, T, C, h, w)
    fold = x.shape[1] // shift_div
    parts = [fold, fold, x.shape[1] - 2 * fold]
    future, past, rest = clips.split(parts, dim=2)
    no_pad = (0, 0, 0, 0, 0, 0)  # of w, h, C
    future = F.pad(future[:, 1:], (*no_pad, 0, 1))
    past = F.pad(past[:, :-1], (*no_pad, 1, 0))
    return torch.cat([future, past, rest], dim=2).flatten(0, 1)


def _conv(
    in_channels: int,
    out_channels: int,
    size: int,
    act: dict | None = _RELU,
    **kwargs: int,
) -> ConvModule:
    """Convolution without bias, BN and (by default) ReLU."""
    return ConvModule(
        in_channels,
        out_channels,
        size,
        bias=False,
        norm_cfg=_NORM,
        act_cfg=act,
        **kwargs,
    )
