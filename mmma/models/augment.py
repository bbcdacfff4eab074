"""Random changes of training clips on the device of the model, instead of in loaders.

Draws are numpy's, in the order of the transforms of the same names: with one seed a
clip is changed in one way here and there, up to rounding; only the noise of an erased
box is the device's own.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmma.registry import MODELS
from mmma.taxonomy import check_choice

_FILL = 128.0  # grey, where a moved frame leaves a gap
_GREY = 0.299, 0.587, 0.114  # ITU-R 601 luma of R, G, B
_NOISE = (58.395, 57.12, 57.375), (123.675, 116.28, 103.53)  # std, mean
_BOX_ATTEMPTS = 100


@MODELS.register_module()
class AugmentingPreprocessor(BaseDataPreprocessor):
    """Another preprocessor, behind random changes of the clips of a training batch.

    Samples are uint8, ``NCTHW`` (views, 3, T, H, W) or ``NCHW`` (S, 3, H, W), and may
    differ in size before a ``Resize``.

    Args:
        preprocessor: Config of the other one.
        steps: Configs of ``Resize`` to one ``scale``, ``ClipRandAugment``, ``Flip`` and
            ``ClipErasing``, as in a pipeline.

    Raises:
        ValueError: Another step, or another option of one.
    """

    def __init__(
        self, preprocessor: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]
    ) -> None:
        super().__init__()
        self.preprocessor = MODELS.build(preprocessor)
        self.steps = []
        for step in steps:
            own = dict(step)
            kind = check_choice(
                'step', own.pop('type'), tuple(STEPS), 'augmentation on a device'
            )
            known = tuple(signature(STEPS[kind]).parameters)[1:]
            for name in own:
                check_choice('option', name, known, f'{kind} on a device')
            if own.pop('keep_ratio', False):
                raise ValueError(f'{kind} on a device: use keep_ratio=False.')
            self.steps.append(partial(STEPS[kind], **own))

    def forward(self, data: Any, training: bool = False) -> Any:
        """The batch, changed if it is for training, as the other one gives it."""
        if training:
            data = self.cast_data(data)
            data = {**data, 'inputs': [self._change(x) for x in data['inputs']]}
        return self.preprocessor(data, training)

    @torch.no_grad()
    def _change(self, sample: Tensor) -> Tensor:
        """One draw of each step for all frames of a sample."""
        if sample.ndim == 4:
            views, clip = None, sample
        else:
            views, clip = len(sample), sample.transpose(1, 2).flatten(0, 1)
        for step in self.steps:
            clip = step(clip)
        return clip if views is None else clip.unflatten(0, (views, -1)).transpose(1, 2)


def augment_on_device(cfg: Any) -> None:
    """Move the changes at the end of a config's training pipeline to its preprocessor.

    They are those before ``FormatShape``, from a ``Resize`` to one size on.

    Raises:
        ValueError: The pipeline does not end like that.
    """
    dataset = cfg.train_dataloader.dataset
    pipeline, rgb = dataset.pipeline, dataset.get('modality', 'RGB') == 'RGB'
    kinds = [step.type for step in pipeline]
    stop = kinds.index('FormatShape') if 'FormatShape' in kinds else 0
    first = stop
    while first and kinds[first - 1] in STEPS:
        first -= 1
    steps = [dict(step) for step in pipeline[first:stop]]
    plain = steps and steps[0] == dict(steps[0], type='Resize', keep_ratio=False)
    if not (rgb and plain and kinds[stop + 1 :] in (['PackClip'], ['PackWindow'])):
        raise ValueError(
            f'--device-augment takes {", ".join(STEPS)}, from a Resize with '
            'keep_ratio=False to FormatShape, out of the training pipeline of a recipe '
            f'of frames. This one has {", ".join(kinds)}: leave the option out.'
        )
    del pipeline[first:stop]
    own = cfg.model.data_preprocessor
    cfg.model.data_preprocessor = dict(
        type='AugmentingPreprocessor', preprocessor=own, steps=steps
    )


def resize(clip: Tensor, scale: tuple[int, int], keep_ratio: bool = False) -> Tensor:
    """All frames (F, 3, H, W) to the width and height of ``scale``."""
    size = tuple(scale)[::-1]
    if clip.shape[2:] == size:
        return clip
    frames = F.interpolate(clip.float(), size, mode='bilinear', align_corners=False)
    return _levels(frames)


def flip(clip: Tensor, flip_ratio: float = 0.5) -> Tensor:
    """Mirror the clip, or not."""
    return clip.flip(3) if np.random.rand() < flip_ratio else clip


def rand_augment(clip: Tensor, num_ops: int = 4) -> Tensor:
    """As ``ClipRandAugment``."""
    for number in np.random.randint(len(OPERATIONS), size=num_ops):
        if np.random.random() < 0.5:
            level = float(np.clip(np.random.normal(0.7, 0.05), 0, 1))
            clip = OPERATIONS[number](clip, level)
    return clip


def erase(clip: Tensor) -> Tensor:
    """As ``ClipErasing``."""
    if np.random.random() >= 0.25:
        return clip
    height, width = clip.shape[2:]
    for _ in range(_BOX_ATTEMPTS):  # until a box is smaller than the frame
        pixels = np.random.uniform(0.02, 1 / 3) * height * width
        aspect = math.exp(np.random.uniform(math.log(0.3), math.log(1 / 0.3)))
        rows = round(math.sqrt(pixels * aspect))
        columns = round(math.sqrt(pixels / aspect))
        if rows < height and columns < width:
            top = np.random.randint(height - rows + 1)
            left = np.random.randint(width - columns + 1)
            box = slice(top, top + rows), slice(left, left + columns)
            clip = clip.clone()
            part = clip[:, :, box[0], box[1]]
            noise = torch.randn(part.shape, device=clip.device)
            std, mean = (torch.tensor(x, device=clip.device) for x in _NOISE)
            part[...] = _levels(noise * std.view(3, 1, 1) + mean.view(3, 1, 1))
            break
    return clip


STEPS: dict[str, Callable[..., Tensor]] = {
    'Resize': resize,
    'ClipRandAugment': rand_augment,
    'Flip': flip,
    'ClipErasing': erase,
}


def auto_contrast(clip: Tensor, level: float) -> Tensor:
    """Stretch each channel of the clip to 0..255."""
    _, low, high = _histograms(clip)
    levels = torch.arange(256, device=clip.device)
    table = (levels - low) * 255 // (high - low).clamp(min=1)
    return _look_up(clip, torch.where(low == high, levels, table))


def equalize(clip: Tensor, level: float) -> Tensor:
    """Flatten the histogram of each channel of the clip."""
    counts, _, high = _histograms(clip)
    step = (counts.sum(1, keepdim=True) - counts.gather(1, high)) // 255
    below = counts.cumsum(1) - counts
    levels = torch.arange(256, device=clip.device)
    table = (step // 2 + below) // step.clamp(min=1)
    return _look_up(clip, torch.where(step > 0, table, levels))


def invert(clip: Tensor, level: float) -> Tensor:
    """Negative of the clip."""
    return 255 - clip


def posterize(clip: Tensor, level: float) -> Tensor:
    """Keep 4 bits per channel, down to 0 at level 1."""
    return clip & (256 - 2 ** (4 + int(level * 4))) % 256


def solarize(clip: Tensor, level: float) -> Tensor:
    """Invert what is at least as bright as a threshold, 256 down to 0 at level 1."""
    return torch.where(255 - clip.int() < int(level * 256), 255 - clip, clip)


def solarize_add(clip: Tensor, level: float) -> Tensor:
    """Brighten what is darker than 128, by 110 at level 1."""
    brighter = (clip.int() + int(level * 110)).clamp_(max=255).to(clip.dtype)
    return torch.where(clip < 128, brighter, clip)


def adjust_color(clip: Tensor, level: float) -> Tensor:
    """Less or more saturation."""
    grey = torch.tensor(_GREY, device=clip.device).view(3, 1, 1)
    frames = clip.float()
    return _mix((frames * grey).sum(1, keepdim=True), frames, _draw_factor(level))


def adjust_contrast(clip: Tensor, level: float) -> Tensor:
    """Less or more distance from the clip's mean grey."""
    factor, frames = _draw_factor(level), clip.float()
    means = frames.double().mean((0, 2, 3)).tolist()
    grey = round(sum(a * b for a, b in zip(_GREY, means, strict=True)))
    return _mix(frames.new_tensor(grey), frames, factor)


def adjust_brightness(clip: Tensor, level: float) -> Tensor:
    """Less or more distance from black."""
    return _levels(clip.float() * _draw_factor(level))


def adjust_sharpness(clip: Tensor, level: float) -> Tensor:
    """Less or more distance from the smoothed frames; border pixels stay."""
    factor, frames = _draw_factor(level), clip.float()
    kernel = torch.ones(3, 1, 3, 3, device=clip.device)
    kernel[:, :, 1, 1] = 5
    out, inner = clip.clone(), frames[:, :, 1:-1, 1:-1]
    smooth = F.conv2d(frames, kernel / 13, groups=3)
    out[:, :, 1:-1, 1:-1] = _mix(smooth, inner, factor)
    return out


def rotate(clip: Tensor, level: float) -> Tensor:
    """Turn about the centre, by 30 degrees at level 1."""
    angle = math.radians(_signed(level * 30))
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    centre = np.array([clip.shape[3], clip.shape[2]]) / 2
    return _warp(clip, linear, centre - linear @ centre)


def shear(clip: Tensor, level: float, axis: int) -> Tensor:
    """Slant columns (axis 0) or rows about the upper left corner, by 0.3 at level 1."""
    linear = np.eye(2)
    linear[axis, 1 - axis] = _signed(level * 0.3)
    return _warp(clip, linear, np.zeros(2))


def translate(clip: Tensor, level: float, axis: int) -> Tensor:
    """Move sideways (axis 0) or up and down, by 0.45 of the size at level 1."""
    shift = np.zeros(2)
    shift[axis] = _signed(level * 0.45) * clip.shape[3 - axis]
    return _warp(clip, np.eye(2), shift)


OPERATIONS: list[Callable[[Tensor, float], Tensor]] = [
    *(auto_contrast, equalize, invert, rotate, posterize, solarize, solarize_add),
    *(adjust_color, adjust_contrast, adjust_brightness, adjust_sharpness),
    *(partial(shear, axis=axis) for axis in (0, 1)),
    *(partial(translate, axis=axis) for axis in (0, 1)),
]
"""Those of timm, in its order."""


def _signed(value: float) -> float:
    return -value if np.random.random() < 0.5 else value


def _draw_factor(level: float) -> float:
    """Factor of an enhancement: 1 keeps the clip, 0.1 or 1.9 at level 1."""
    return 1 + _signed(0.9 * level)


def _levels(frames: Tensor) -> Tensor:
    return frames.round().clamp(0, 255).to(torch.uint8)


def _mix(base: Tensor, frames: Tensor, factor: float) -> Tensor:
    """A base and its distance to the frames, times a factor."""
    return _levels(base + factor * (frames - base))


def _histograms(clip: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Counts (3, 256) of the levels of each channel; lowest and highest, (3, 1)."""
    channels = clip.transpose(0, 1).flatten(1).long()
    counts = torch.stack([torch.bincount(c, minlength=256) for c in channels])
    return counts, *(f(1, keepdim=True) for f in (channels.amin, channels.amax))


def _look_up(clip: Tensor, table: Tensor) -> Tensor:
    """Replace levels; ``table`` is (3, 256) whole numbers."""
    start = torch.arange(0, 768, 256, device=clip.device).view(3, 1, 1)
    return table.clamp(0, 255).to(torch.uint8).flatten()[clip + start]


def _warp(clip: Tensor, linear: np.ndarray, shift: np.ndarray) -> Tensor:
    """Take each output point (x, y) from ``linear @ (x, y) + shift`` of the input.

    Pixel centres lie at 0.5.
    """
    half = np.array([clip.shape[3], clip.shape[2]]) / 2
    matrix = linear * half / half[:, None]  # of coordinates from -1 to 1
    moved = matrix.sum(1) + shift / half - 1
    theta = torch.tensor(np.column_stack([matrix, moved]), dtype=torch.float32)
    grid = F.affine_grid(theta[None], [1, *clip.shape[1:]], align_corners=False)
    grid = grid.to(clip.device).expand(len(clip), -1, -1, -1)
    moved = F.grid_sample(clip.float() - _FILL, grid, align_corners=False)
    return _levels(moved + _FILL)
