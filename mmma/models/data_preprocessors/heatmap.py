"""Heatmap volumes made on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor

from mmma.registry import MODELS
from mmma.structures.heatmaps import SIGMA, HeatmapChannels, draw_heatmaps


@MODELS.register_module()
class HeatmapPreprocessor(BaseDataPreprocessor):
    """Draw the heatmap volumes of a batch from its joints, on the model's device.

    Samples come from ``FormatKeypoints`` and carry ``img_shape``, H and W of the volume
    in pixels. The numbers are those of MMAction2's ``GeneratePoseTarget`` and
    ``FormatShape``; a clip comes to the device in a thousandth of their bytes.

    Args:
        layout: A joint layout: its name or its fields.
        joints: The joints, as given to ``LoadSkeleton``.
        limbs: None draws joints; else the limbs: ``body17``, ``tree``, or pairs of
            joints.
        sigma: In pixels.

    Raises:
        ValueError: An unknown layout, set, joint or limb.
    """

    def __init__(
        self,
        layout: str | Mapping[str, Any] = 'wholebody65',
        joints: str | Sequence[str] = 'body17',
        limbs: str | Sequence[Sequence[str]] | None = None,
        sigma: float = SIGMA,
    ) -> None:
        super().__init__()
        self.channels = HeatmapChannels.of(layout, joints, limbs)
        self.sigma = sigma

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move a batch to the device and draw it.

        Args:
            data: ``inputs``, N arrays (S, M, T, V, 3) of x, y, score; ``data_samples``.
            training: Ignored; all that is random happens to the joints before.

        Returns:
            The same, with ``inputs`` (N, S, C, T, H, W).

        Raises:
            ValueError: Samples of different sizes, or of another number of joints.
        """
        data = self.cast_data(data)
        sizes = {tuple(sample.img_shape) for sample in data['data_samples']}
        if len(sizes) > 1:
            raise ValueError(
                f'pictures of {sorted(sizes)} in one batch: resize all to one size '
                '(Resize with keep_ratio=False).'
            )
        joints = torch.stack(list(data['inputs']))  # (N, S, M, T, V, 3)
        views = joints.flatten(0, 1)
        volumes = draw_heatmaps(
            views[..., :2], views[..., 2], sizes.pop(), self.channels, self.sigma
        )
        return {**data, 'inputs': volumes.unflatten(0, joints.shape[:2])}
