"""Random changes of training clips on the device of the model, instead of in loaders.

Draws are numpy's, in the order of the transforms of the same names: with one seed a
clip is changed in one way here and there, up to rounding; only the noise of an erased
box is the device's own.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmma.data import randaugment
from mmma.registry import MODELS
from mmma.taxonomy import check_choice


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
    for number, level in randaugment.draw_operations(num_ops):
        clip = OPERATIONS[number](clip, level)
    return clip


def erase(clip: Tensor) -> Tensor:
    """As ``ClipErasing``."""
    if np.random.random() >= randaugment.ERASING_PROB:
        return clip
    if box := randaugment.draw_box(*clip.shape[2:]):
        clip = clip.clone()
        part = clip[:, :, box[0], box[1]]
        noise = torch.randn(part.shape, device=clip.device)
        moments = np.stack([randaugment.NOISE_STD, randaugment.NOISE_MEAN])
        std, mean = torch.from_numpy(moments).to(noise).view(2, 3, 1, 1)
        part[...] = _levels(noise * std + mean)
    return clip


STEPS: dict[str, Callable[..., Tensor]] = {
    'Resize': resize,
    'ClipRandAugment': rand_augment,
    'Flip': flip,
    'ClipErasing': erase,
}


class DeviceOperations(randaugment.ClipOperations):
    """Operations on tensors (F, 3, H, W)."""

    axes = 3, 2

    def counts(self, clip: Tensor) -> np.ndarray:
        """See the base class."""
        channels = clip.transpose(0, 1).flatten(1).long()
        counts = torch.stack([torch.bincount(c, minlength=256) for c in channels])
        return counts.cpu().numpy()

    def look_up(self, clip: Tensor, table: np.ndarray) -> Tensor:
        """See the base class."""
        start = torch.arange(0, 768, 256, device=clip.device).view(3, 1, 1)
        return torch.tensor(table.T, device=clip.device).flatten()[clip + start]

    def mix(self, clip: Tensor, grey: Any, factor: float) -> Tensor:
        """See the base class; the grey may be an image."""
        return _levels(grey + factor * (clip.float() - grey))

    def warp(self, clip: Tensor, linear: np.ndarray, shift: np.ndarray) -> Tensor:
        """See the base class."""
        half = np.array([clip.shape[3], clip.shape[2]]) / 2
        matrix = linear * half / half[:, None]  # of coordinates from -1 to 1
        moved = matrix.sum(1) + shift / half - 1
        theta = torch.tensor(np.column_stack([matrix, moved]), dtype=torch.float32)
        grid = F.affine_grid(theta[None], [1, *clip.shape[1:]], align_corners=False)
        grid = grid.to(clip.device).expand(len(clip), -1, -1, -1)
        gap = randaugment.FILL
        moved = F.grid_sample(clip.float() - gap, grid, align_corners=False)
        return _levels(moved + gap)

    def adjust_color(self, clip: Tensor, level: float) -> Tensor:
        """See the base class."""
        luma = torch.tensor(randaugment.GREY, dtype=torch.float32, device=clip.device)
        grey = (clip.float() * luma.view(3, 1, 1)).sum(1, keepdim=True)
        return self.mix(clip, grey, randaugment.draw_factor(level))

    def adjust_sharpness(self, clip: Tensor, level: float) -> Tensor:
        """See the base class."""
        kernel = torch.ones(3, 1, 3, 3, device=clip.device)
        kernel[:, :, 1, 1] = 5
        out, inner = clip.clone(), (..., slice(1, -1), slice(1, -1))
        smooth = F.conv2d(clip.float(), kernel / 13, groups=3)
        out[inner] = self.mix(clip[inner], smooth, randaugment.draw_factor(level))
        return out


OPERATIONS = DeviceOperations().listed()


def _levels(frames: Tensor) -> Tensor:
    return frames.round().clamp(0, 255).to(torch.uint8)
