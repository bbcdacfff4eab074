"""Masked video modelling: VideoMAE's pre-training, which learns without labels.

Source: Tong et al., 'VideoMAE: Masked Autoencoders are Data-Efficient Learners for
Self-Supervised Video Pre-Training', NeurIPS 2022; MCG-NJU/VideoMAE,
modeling_pretrain.py and engine_for_pretraining.py, 14ef8d85.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from mmma.checkpoints.loading import new_name, rename
from mmma.models.backbones.videomae import (
    Block,
    ViTArch,
    from_hub,
    resize_table,
    through_blocks,
)
from mmma.models.layers import sinusoid_table
from mmma.registry import MODELS

_HUB_DECODER = 'decoder.decoder_layers.'


def normalised_patches(imgs: Tensor, arch: ViTArch) -> Tensor:
    """Pixels of each token, with mean 0 and deviation 1 in each colour.

    From (N, 3, T, H, W), of any offset, in shares of the brightest value, to (N, L, P)
    of L tokens and P = frames * height * width * 3 of one.
    """
    frames, side = arch.tubelet_size, arch.patch_size
    parts = imgs.unflatten(4, (-1, side)).unflatten(3, (-1, side))
    parts = parts.unflatten(2, (-1, frames))  # (N, 3, t, frames, h, side, w, side)
    pixels = parts.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(4, 6).flatten(1, 3)
    pixels = pixels - pixels.mean(dim=2, keepdim=True)  # (N, L, P / 3, 3)
    return (pixels / (pixels.std(dim=2, keepdim=True) + 1e-6)).flatten(2)


class Decoder(nn.Module):
    """Shallow transformer that draws the pixels of the last of its tokens."""

    def __init__(self, arch: ViTArch) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(arch, 0.0) for _ in range(arch.depth))
        self.norm = nn.LayerNorm(arch.embed_dims, eps=1e-6)
        pixels = 3 * arch.tubelet_size * arch.patch_size**2
        self.head = nn.Linear(arch.embed_dims, pixels)

    def forward(self, tokens: Tensor, last: int, with_cp: bool) -> Tensor:
        """From tokens (N, L, D) to pixels (N, last, P)."""
        tokens = through_blocks(self.blocks, tokens, with_cp)
        return self.head(self.norm(tokens[:, -last:]))


@MODELS.register_module()
class MaskedVideoModel(BaseModel):
    """An encoder that sees a few tokens of a clip, and a decoder that draws the rest.

    Its loss is the mean squared error of :func:`normalised_patches` of hidden tokens.
    What learnt is ``backbone``, from which recognizers and detectors start; its
    ``fc_norm``, which only they use, stays as a fresh one. Weights of the original and
    of the transformers library's VideoMAE for pre-training load by their own names.

    Args:
        backbone: A ``VideoMAEViT``.
        decoder: ``embed_dims``, ``depth`` and ``num_heads`` of the decoder.
        data_preprocessor: An ``ActionDataPreprocessor`` of ``NCTHW``; of its samples
            each has a ``mask`` as of ``TubeMask``.

    Raises:
        ValueError: Sizes that do not divide each other; in use, a clip without a mask,
            or one that the clip has no tokens for.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any],
        decoder: Mapping[str, int],
        data_preprocessor: Mapping[str, Any],
    ) -> None:
        linear = dict(type='Xavier', layer='Linear', distribution='uniform')
        norm = dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0)
        super().__init__(MODELS.build(data_preprocessor), [linear, norm])
        self.backbone = MODELS.build(backbone)
        self.backbone.init_cfg = [dict(linear), dict(norm)]
        self.backbone.fc_norm.requires_grad_(False)
        dims, arch = self.backbone.arch.embed_dims, self.backbone.arch
        arch = replace(arch, **decoder)
        self.norm = nn.LayerNorm(dims, eps=1e-6)
        self.encoder_to_decoder = nn.Linear(dims, arch.embed_dims, bias=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, arch.embed_dims))
        places = sinusoid_table(math.prod(arch.grid), arch.embed_dims)
        self.register_buffer('places', places, persistent=False)
        self.decoder = Decoder(arch)

    def init_weights(self) -> None:
        """Draw weights as for VideoMAE's pre-training."""
        super().init_weights()
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)

    def forward(
        self, inputs: Tensor, data_samples: Sequence[Any] = (), mode: str = 'loss'
    ) -> dict[str, Tensor]:
        """Loss of normalised clips (N, 1, 3, T, H, W)."""
        if mode != 'loss':
            raise ValueError(
                f'mode {mode!r}: a model that pre-trains gives losses only.'
            )
        imgs = inputs.flatten(0, 1)  # (N, 3, T, H, W)
        masks = [sample.get('mask') for sample in data_samples]
        patch = self.backbone.arch.patch_size
        shape = imgs.shape[3] // patch, imgs.shape[4] // patch
        if any(np.shape(mask) != shape for mask in masks):
            raise ValueError(
                f'masks of {sorted({np.shape(mask) for mask in masks})} for clips of '
                f'{shape} places: end the pipeline with TubeMask(patch_size={patch}).'
            )
        tube = torch.from_numpy(np.stack(masks)).to(imgs.device).flatten(1)
        hidden = tube.repeat(1, self.backbone.arch.grid[0])  # (N, L)
        drawn = self.draw_hidden(imgs, hidden)
        # The mean that was taken away changes nothing, the deviation does.
        pixels = imgs.float() * self.data_preprocessor.std / 255
        wanted = normalised_patches(pixels, self.backbone.arch)[hidden].view_as(drawn)
        return {'loss_pixels': F.mse_loss(drawn.float(), wanted)}

    def draw_hidden(self, imgs: Tensor, hidden: Tensor) -> Tensor:
        """Pixels (N, M, P) of the M hidden tokens of each clip, in their order.

        From normalised clips (N, 3, T, H, W) and a mask (N, L), true where hidden; all
        clips hide as many.
        """
        seen = self.encoder_to_decoder(self.norm(self.backbone.encode(imgs, hidden)))
        patch, own = self.backbone.arch.patch_size, self.backbone.arch.grid
        size = imgs.shape[3] // patch, imgs.shape[4] // patch
        places = resize_table(self.places, own, size).expand(len(imgs), -1, -1)
        around = places[~hidden].view_as(seen)
        wanted = places[hidden].unflatten(0, (len(imgs), -1)) + self.mask_token
        tokens = torch.cat([seen + around, wanted.to(seen)], dim=1)
        return self.decoder(tokens, wanted.shape[1], self.backbone.with_cp)

    def _load_from_state_dict(self, state_dict, prefix, *args: Any) -> None:
        hub = {n: v for n, v in state_dict.items() if n.startswith(_HUB_DECODER)}
        if hub:
            layers = {n.replace(_HUB_DECODER, 'encoder.layer.'): hub[n] for n in hub}
            parts = {'backbone.': from_hub(state_dict), 'decoder.': from_hub(layers)}
            own = ('videomae.encoder.', 'videomae.embeddings.', _HUB_DECODER)
            old = [name for name in state_dict if name.startswith(own)]
            rename(state_dict, dict.fromkeys(old, ''), args[3])
            for start, part in parts.items():
                state_dict.update({f'{start}{name}': v for name, v in part.items()})
        names = {name: new_name(name, 'videomae_pretraining') for name in state_dict}
        changed = {old: new for old, new in names.items() if new and new != old}
        rename(state_dict, changed, args[3])
        super()._load_from_state_dict(state_dict, prefix, *args)
