"""VideoMAE with temporal-informative adapters over a whole window.

The transformer sees 16 frames at a time and may stay frozen; an adapter behind each of
its blocks sees all frames of the window, and is what learns.

Source: Liu et al., 'End-to-End Temporal Action Detection with 1B Parameters Across 1000
Frames' (AdaTAD), CVPR 2024; names of weights as in OpenTAD, vit_adapter.py, 01c58b9f.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from mmma.models.backbones.videomae import VideoMAEViT
from mmma.registry import MODELS
from mmma.taxonomy import check_choice

FROZEN_DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16}


@MODELS.register_module()
class VideoMAETIA(VideoMAEViT):
    """VideoMAE over a whole window of any number of 16-frame chunks, with adapters.

    The last norm of VideoMAE is not used.

    Args:
        arch, drop_path_rate, with_cp: As of ``VideoMAEViT``; the ``num_frames`` of the
            architecture are those of a chunk.
        frozen, lora: As of ``VideoMAEViT``; TIA adapters are always there.
        frozen_dtype: ``float32``, or ``bfloat16``: frozen matrices are kept so, in half
            the memory, and the backbone runs under autocast.

    Raises:
        ValueError: An unknown architecture or type, or ``bfloat16`` not ``frozen``.
    """

    def __init__(
        self,
        arch: str | Mapping[str, int] = 'base',
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        frozen: bool = True,
        frozen_dtype: str = 'float32',
        lora: Mapping[str, Any] | None = None,
    ) -> None:
        check_choice('frozen_dtype', frozen_dtype, tuple(FROZEN_DTYPES))
        self.reduced = frozen_dtype != 'float32'
        if self.reduced and not frozen:
            raise ValueError(
                f'frozen_dtype={frozen_dtype!r} with frozen=False: weights that learn '
                'stay in float32; use --amp to compute in less.'
            )
        options = dict(drop_path_rate=drop_path_rate, with_cp=with_cp, lora=lora)
        super().__init__(arch, tia=True, frozen=frozen, **options)
        del self.fc_norm
        for parameter in self.parameters():
            # Norms need float32, and are small.
            if not parameter.requires_grad and parameter.ndim > 1:
                parameter.data = parameter.data.to(FROZEN_DTYPES[frozen_dtype])

    def forward(self, imgs: Tensor) -> Tensor:
        """Features (N, D, T / 2) of normalised windows (N, 3, T, H, W).

        Each is the mean over the places of a slice of two frames.

        Raises:
            ValueError: T, H or W are no multiples of the chunk's frames and the patch.
        """
        windows, frames = len(imgs), self.arch.num_frames
        if imgs.shape[2] % frames or not imgs.shape[2]:
            raise ValueError(
                f'windows of {imgs.shape[2]} frames: this backbone takes multiples of '
                f'{frames}. Let the window of the data set have so many positions.'
            )
        # (N, 3, C*16, H, W) -> (N*C, 3, 16, H, W)
        chunks = imgs.unflatten(2, (-1, frames)).transpose(1, 2).flatten(0, 1)
        grid = self.grid_of(chunks)
        device, half = imgs.device.type, torch.bfloat16
        with torch.autocast(device, half) if self.reduced else nullcontext():
            tokens = self._embed(chunks, grid)
            for block in self.blocks:
                tokens = self._run(block, tokens, windows, grid[0])
        slices = tokens.unflatten(1, (grid[0], -1)).mean(dim=2)  # (N*C, t, D)
        return slices.unflatten(0, (windows, -1)).flatten(1, 2).transpose(1, 2)
