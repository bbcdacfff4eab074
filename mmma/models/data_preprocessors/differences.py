"""Frames as their differences: what moves, without what stands still."""

from __future__ import annotations

from typing import Any

import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from torch import Tensor

from mmma.registry import MODELS
from mmma.taxonomy import check_choice


@MODELS.register_module()
class FrameDifferencePreprocessor(ActionDataPreprocessor):
    """Replace each frame by its difference to the next one.

    Static background, clothes and light cancel, which is what a network without
    pretrained weights learns first. The last difference of a view stands twice, so
    that the number of frames stays. ``mean`` cancels as well: ``std`` sets the scale.

    Args:
        num_frames: Frames of one view; differences do not cross views.
        format_shape: ``NCHW`` (samples (S, C, H, W) of S frames, all views in a row)
            or ``NCTHW`` (samples (views, C, T, H, W)).
        kwargs: As for MMAction2's ``ActionDataPreprocessor``.

    Raises:
        ValueError: Another format, fewer than two frames, or a sample that is not a
            whole number of views.

    Source: RGB difference of TSN, arXiv 1608.00859, section 3.2.
    """

    def __init__(
        self, num_frames: int, format_shape: str = 'NCHW', **kwargs: Any
    ) -> None:
        check_choice('format_shape', format_shape, ('NCHW', 'NCTHW'))
        if num_frames < 2:
            raise ValueError(f'num_frames is {num_frames}: a difference takes 2.')
        super().__init__(format_shape=format_shape, **kwargs)
        self.num_frames = num_frames

    def preprocess(
        self, inputs: list[Tensor], data_samples: list, training: bool = False
    ) -> tuple[Tensor, list]:
        """Stack, normalise and subtract.

        Args:
            inputs: N samples of one shape.
            data_samples: N samples, unchanged.
            training: Whether to blend, where that is configured.

        Returns:
            (N, S, C, H, W) or (N, views, C, T, H, W), and the samples.
        """
        clips, data_samples = super().preprocess(inputs, data_samples, training)
        axis = 1 if self.format_shape == 'NCHW' else 3
        frames = clips.shape[axis]
        if frames % self.num_frames or (axis == 3 and frames != self.num_frames):
            raise ValueError(
                f'samples of {frames} frames are no views of {self.num_frames}: make '
                'num_frames the clip_len of the pipeline.'
            )
        views = clips.unflatten(axis, (-1, self.num_frames))
        steps = views.diff(dim=axis + 1)
        last = steps.narrow(axis + 1, self.num_frames - 2, 1)
        return torch.cat([steps, last], axis + 1).flatten(axis, axis + 1), data_samples
