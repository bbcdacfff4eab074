"""TSM, GC-TSM and MANet: ResNets that shift channels in time.

Sources: Hao et al., 'Group Contextualization for Video Recognition', CVPR 2022;
haoyanbin918/Group-Contextualization, b99be50a. Lin et al., 'TSM', ICCV 2019;
open-mmlab/mmaction2, resnet_tsm.py, 4d6c9347.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmma.checkpoints.loading import new_name, rename
from mmma.registry import MODELS

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
        gate, bn = self.conv(x.mean(dim=(1, 3, 4))), self.bn  # (N, c)
        if self.training and len(gate) == 1 and isinstance(bn, nn.BatchNorm1d):
            warnings.warn(  # it has no spread
                'a training step with one clip: the global gates use their running '
                'statistics and do not update them. Use train_dataloader.batch_size of '
                "8 or more, or sync_bn='torch' over several GPUs.",
                stacklevel=2,
            )
            known = bn.running_mean, bn.running_var, bn.weight, bn.bias
            gate = F.batch_norm(gate, *known, eps=bn.eps)
        else:
            gate = bn(gate)
        return gate.sigmoid()[:, None, :, None, None]


class GroupContext(nn.Module):
    """Gate four groups of channels by local, temporal, spatial and global context.

    Each gate is ``sigmoid(BN(F(x)))`` of its own group, of ``channels // cdiv``
    channels, and multiplies it. The first groups get L, T, S and G; with ``cdiv`` above
    4 the others stay as they are.

    Weights to start from may lack all of this: the gates then keep their start, near
    0.5, which halves the features; warm up. The released code defines a BN of the
    spatial gate, and does not run it: ``s_use_bn`` is False for the released weights.

    Raises:
        ValueError: ``cdiv`` is below 4, or does not divide ``channels``.
    """

    starts_fresh = True

    def __init__(
        self, channels: int, num_segments: int = 8, cdiv: int = 4, s_use_bn: bool = True
    ) -> None:
        super().__init__()
        if cdiv < len(GATES) or channels % cdiv:
            raise ValueError(
                f'context cdiv={cdiv}: use a whole number from {len(GATES)} that '
                f'divides the {channels} channels of the block.'
            )
        self.num_segments, self.cdiv = num_segments, cdiv
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
            groups[i] = groups[i] * getattr(self, name)(groups[i])
        return torch.cat(groups, dim=2).flatten(0, 1)  # (N*T, C, h, w)


_UNUSED = 'action_p2_'  # MANet builds three convolutions that it never runs
_HEAD = 'new_fc.'  # of TSM and Group-Contextualization


def adapted_names(names: Iterable[str], prefix: str) -> dict[str, str]:
    """New names by old ones of weights that other programs name otherwise.

    Of torchvision, MMAction2, TSM, Group-Contextualization (both under ``base_model.``)
    and MANet; under the prefix of the backbone or bare. Empty for weights to drop.

    Source: mit-han-lab/temporal-shift-module; haoyanbin918/Group-Contextualization,
    b99be50a; VUT-HFUT/Micro-Action, e38d2417.
    """
    found = {}
    for name in names:
        own = name.removeprefix(prefix)
        short = own.removeprefix('base_model.')
        new = new_name(short, 'shift_resnet') or short
        if _UNUSED in name:
            found[name] = ''
        elif name.startswith(_HEAD):
            found[name] = f'cls_head.fc_cls.{name.removeprefix(_HEAD)}'
        elif new != own:
            found[name] = f'{prefix}{new}'
    return found


EXPANSION = 4
_RELU = dict(type='ReLU', inplace=True)


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

    def __init__(
        self, net: nn.Conv2d, num_segments: int, shift_div: int, squeeze: int
    ) -> None:
        super().__init__()
        self.net, self.num_segments = net, num_segments
        self.shift_div = shift_div
        self.fcce = SqueezeGate(net.in_channels, squeeze) if squeeze else None

    def forward(self, x: Tensor) -> Tensor:
        """Features (N*T, C', h, w) of (N*T, C, h, w)."""
        if self.fcce is not None:
            x = self.fcce(x)
        return self.net(shift_in_time(x, self.num_segments, self.shift_div))


class ShiftBottleneck(nn.Module):
    """Bottleneck: shift, conv1, conv2, (gates), conv3, and the input added.

    The rest is as of :class:`ShiftResNet`; the output has ``4 * planes`` channels.
    """

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int,
        context: Mapping[str, Any] | None,
        **shift: int,
    ) -> None:
        super().__init__()
        out_channels = planes * EXPANSION
        self.conv1 = _conv(in_channels, planes, 1)
        self.conv1.conv = ShiftedConv(self.conv1.conv, **shift)
        act = _RELU if context is None else None
        self.conv2 = _conv(planes, planes, 3, act, stride=stride, padding=1)
        self.gc = None
        if context is not None:
            self.gc = GroupContext(planes, shift['num_segments'], **context)
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


class ShiftNet(BaseModule):
    """A network of clips of ``num_segments`` frames, with gates or without."""

    num_segments: int

    def init_weights(self) -> None:
        """Draw the weights: He normal, and of the gates as they say."""
        how = dict(mode='fan_out', nonlinearity='relu')
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, **how)
        for module in self.modules():
            if isinstance(module, GroupContext):
                module.init_weights()

    def check_clips(self, imgs: Tensor) -> None:
        """Refuse (ValueError) frames (N*T, ...) that are no whole number of clips."""
        if len(imgs) % (known := self.num_segments):
            raise ValueError(
                f'{len(imgs)} frames are no whole number of clips of {known}: sample '
                f'clip_len={known} frames, or set num_segments in backbone and head.'
            )


@MODELS.register_module()
class ShiftResNet(ShiftNet):
    """ResNet of bottlenecks that see their neighbours in time, for Recognizer2D.

    As it is: TSM-R50. With ``context``: GC-TSM, gates between conv2 and its ReLU in
    every block. With ``squeeze=4``: MANet, channel gates before every shift. Every
    block shifts; MMAction2 shifts every other one from ResNet-101 on. Loads files of
    all these and of torchvision, which may lack all gates.

    Args:
        stage_blocks: Blocks of the stages; stage i has ``base_channels * 2**i`` planes.
        base_channels: Channels of the stem.
        num_segments: T, frames of a clip; also in the head.
        shift_div: One part of the channels in so many is shifted each way.
        context: Arguments of :class:`GroupContext`, ``cdiv`` and ``s_use_bn``.
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
        shift = dict(num_segments=num_segments, shift_div=shift_div, squeeze=squeeze)
        self.conv1 = _conv(3, base_channels, 7, stride=2, padding=3)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = base_channels
        self.stages = [f'layer{i + 1}' for i in range(len(stage_blocks))]
        for i, (name, depth) in enumerate(zip(self.stages, stage_blocks, strict=True)):
            planes, blocks = base_channels * 2**i, []
            for j in range(depth):
                stride = 2 if i and not j else 1
                block = ShiftBottleneck(channels, planes, stride, context, **shift)
                blocks.append(block)
                channels = planes * EXPANSION
            self.add_module(name, nn.Sequential(*blocks))
        self.out_channels = channels

    def forward(self, imgs: Tensor) -> Tensor:
        """Features (N*T, D, H/32, W/32), of four stages, of frames (N*T, 3, H, W)."""
        self.check_clips(imgs)
        x = self.maxpool(self.conv1(imgs))
        for name in self.stages:
            x = getattr(self, name)(x)
        return x

    def _load_from_state_dict(self, state_dict, prefix, *args: Any) -> None:
        rename(state_dict, adapted_names(state_dict, prefix), args[3])
        super()._load_from_state_dict(state_dict, prefix, *args)


def shift_in_time(x: Tensor, num_segments: int, shift_div: int) -> Tensor:
    """Shift channels of frames (N*T, C, h, w) of N clips to their neighbours.

    The first C // shift_div channels come from the next frame, as many after them from
    the one before; zeros stand in at the ends.

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
    inputs: int, outputs: int, size: int, act: dict | None = _RELU, **kwargs: int
) -> ConvModule:
    """Convolution without bias, BN and (by default) ReLU."""
    fixed = dict(bias=False, norm_cfg=dict(type='BN'), act_cfg=act)
    return ConvModule(inputs, outputs, size, **fixed, **kwargs)
