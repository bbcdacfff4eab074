"""Masked video modelling: VideoMAE's pre-training, which learns without labels.

Source: Tong et al., 'VideoMAE', NeurIPS 2022; MCG-NJU/VideoMAE, modeling_pretrain.py
and engine_for_pretraining.py, 14ef8d85.
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
from mmma.models.backbones.videomae import Block, ViTArch, from_hub, resize_table
from mmma.models.layers import sinusoid_table
from mmma.registry import MODELS

_HUB = ('decoder.decoder_layers.', 'videomae.encoder.', 'videomae.embeddings.')


def normalised_patches(imgs: Tensor, arch: ViTArch) -> Tensor:
    """Pixels of each token, with mean 0 and deviation 1 in each colour.

    From (N, 3, T, H, W), black to white being 1, to (N, L, frames * side * side * 3).
    """
    frames, side = arch.tubelet_size, arch.patch_size
    parts = imgs.unflatten(4, (-1, side)).unflatten(3, (-1, side))
    parts = parts.unflatten(2, (-1, frames))  # (N, 3, t, frames, h, side, w, side)
    pixels = parts.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(4, 6).flatten(1, 3)
    pixels = pixels - pixels.mean(dim=2, keepdim=True)  # (N, L, pixels, 3)
    return (pixels / (pixels.std(dim=2, keepdim=True) + 1e-6)).flatten(2)


@MODELS.register_module()
class MaskedVideoModel(BaseModel):
    """An encoder that sees few tokens of a clip, and a decoder that draws the rest.

    The loss is the mean squared error of :func:`normalised_patches` of hidden tokens.
    Recipes start from ``backbone``, a ``VideoMAEViT``, whose ``fc_norm`` stays fresh.
    Weights of the original and of the transformers library load by their own names.

    ``decoder`` has ``embed_dims``, ``depth`` and ``num_heads``; samples come from an
    ``ActionDataPreprocessor`` of ``NCTHW``, with a ``mask`` of ``TubeMask``; one that
    does not fit raises ValueError.
    """

    def __init__(
        self, backbone: Mapping, decoder: Mapping, data_preprocessor: Mapping
    ) -> None:
        linear = dict(type='Xavier', layer='Linear', distribution='uniform')
        super().__init__(MODELS.build(data_preprocessor), [linear])
        self.backbone = MODELS.build(backbone)
        self.backbone.init_cfg = None  # as the rest; fine-tuning draws others
        self.backbone.fc_norm.requires_grad_(False)
        own, arch = self.backbone.arch, replace(self.backbone.arch, **decoder)
        dims, pixels = arch.embed_dims, 3 * arch.tubelet_size * arch.patch_size**2
        self.norm = nn.LayerNorm(own.embed_dims, eps=1e-6)
        self.encoder_to_decoder = nn.Linear(own.embed_dims, dims, bias=False)
        self.mask_token = nn.Parameter(torch.empty(1, 1, dims))
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)
        table = sinusoid_table(math.prod(arch.grid), dims)
        self.register_buffer('places', table, persistent=False)
        blocks = nn.ModuleList(Block(arch, 0.0) for _ in range(arch.depth))
        parts = dict(blocks=blocks, norm=nn.LayerNorm(dims, eps=1e-6))
        self.decoder = nn.ModuleDict({**parts, 'head': nn.Linear(dims, pixels)})

    def forward(self, inputs: Tensor, data_samples: Sequence, mode: str = '') -> dict:
        """The loss of normalised clips (N, 1, 3, T, H, W), in any mode."""
        imgs, arch = inputs.flatten(0, 1), self.backbone.arch  # (N, 3, T, H, W)
        masks = [sample.get('mask') for sample in data_samples]
        slices, *shape = self.backbone.grid_of(imgs)
        if odd := {np.shape(mask) for mask in masks} - {tuple(shape)}:
            raise ValueError(
                f'masks of {sorted(odd)} for clips of {shape} patches: give the '
                f'pipeline a TubeMask(patch_size={arch.patch_size}) after FormatShape.'
            )
        tubes = torch.from_numpy(np.stack(masks)).flatten(1)
        hidden = tubes.repeat(1, slices).to(imgs.device)  # (N, L)
        drawn = self.draw_hidden(imgs, hidden).float()
        # The mean that the preprocessor took away cancels, the deviation does not.
        pixels = imgs.float() * self.data_preprocessor.std / 255
        wanted = normalised_patches(pixels, arch)[hidden].view_as(drawn)
        return {'loss_pixels': F.mse_loss(drawn, wanted)}

    def draw_hidden(self, imgs: Tensor, hidden: Tensor) -> Tensor:
        """Pixels (N, M, P) of clips (N, 3, T, H, W) where ``hidden`` (N, L) is true."""
        seen = self.encoder_to_decoder(self.norm(self.backbone.encode(imgs, hidden)))
        grids = self.backbone.arch.grid, self.backbone.grid_of(imgs)[1:]
        places = resize_table(self.places, *grids).expand(len(imgs), -1, -1)
        wanted = places[hidden].unflatten(0, (len(imgs), -1)) + self.mask_token
        tokens = torch.cat([seen + places[~hidden].view_as(seen), wanted.to(seen)], 1)
        for block in self.decoder['blocks']:
            tokens = block(tokens)
        tokens = self.decoder['norm'](tokens[:, -wanted.shape[1] :])
        return self.decoder['head'](tokens)

    def _load_from_state_dict(self, state_dict, prefix, *args: Any) -> None:
        own = {n: v for n, v in state_dict.items() if n.startswith(_HUB)}
        layers = {
            n.replace(_HUB[0], 'encoder.layer.'): own[n] for n in own if _HUB[0] in n
        }
        if layers:
            rename(state_dict, dict.fromkeys(own, ''), args[3])
            for start, part in (('backbone.', own), ('decoder.', layers)):
                found = from_hub(part).items()
                state_dict.update({f'{start}{name}': value for name, value in found})
        names = {n: new_name(n, 'videomae_pretraining') or n for n in state_dict}
        rename(state_dict, {n: names[n] for n in names if names[n] != n}, args[3])
        super()._load_from_state_dict(state_dict, prefix, *args)
