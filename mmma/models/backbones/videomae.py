"""VideoMAE's vision transformer as a backbone for clips.

Weights of MMAction2's ``VisionTransformer`` and of the transformers library's VideoMAE
load as they are, original ones through :func:`from_original`; attention runs through
PyTorch's fused kernels, so that no token-by-token matrix is stored.

Source: Tong et al., 'VideoMAE: Masked Autoencoders are Data-Efficient Learners for
Self-Supervised Video Pre-Training', NeurIPS 2022.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from mmcv.cnn.bricks.transformer import FFN, PatchEmbed
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmma.checkpoints.loading import new_name, rename, renamed
from mmma.models.adapters import LoraLinear, adapt_blocks, adapters_of, is_adapter
from mmma.models.layers import sinusoid_table
from mmma.registry import MODELS
from mmma.taxonomy import check_choice, own_table

_HUB_NAME = re.compile(
    r'videomae\.|embeddings\.|encoder\.|layernorm\.|fc_norm\.|classifier\.|decoder\.|'
    r'encoder_to_decoder\.|mask_token'
)
_HUB_QUERY = re.compile(
    r'((?:videomae\.)?encoder\.layer\.(\d+)\.attention\.attention)\.query\.weight'
)


def from_original(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the weights of an original VideoMAE file.

    From a fine-tuned file (weights under ``module``), a pre-training file (under
    ``model``, names with ``encoder.``) or the weights themselves to those of a
    recognizer with ``VideoMAEViT`` and ``ActionHead``; the decoder, the mask token and
    ``encoder.norm`` are left out.

    Raises:
        ValueError: A name that VideoMAE does not have, or no weights of an encoder.

    Source: MCG-NJU/VideoMAE, run_class_finetuning.py, 14ef8d85.
    """
    inner = (checkpoint.get(name) for name in ('module', 'model'))
    weights = next((part for part in inner if isinstance(part, Mapping)), checkpoint)
    what = 'an original VideoMAE file'
    found = renamed(weights, 'videomae', what)
    if not any(name.startswith('backbone.blocks.') for name in found):
        raise ValueError(f'not {what}: it has no weights of transformer blocks.')
    return found


def from_hub(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Rename the weights of a VideoMAE of the transformers library.

    From the names in files of a ``VideoMAEForVideoClassification``, ``VideoMAEModel``
    or ``VideoMAEForPreTraining`` to those of a ``VideoMAEViT``; queries, keys and
    values are joined. Classifier, decoder, mask token and a last norm of tokens are
    left out. Empty where no block of such a model is found.
    """
    found: dict[str, Any] = {}
    for name, value in weights.items():
        match = _HUB_QUERY.fullmatch(name)
        if match:
            parts = [f'{match[1]}.{part}.weight' for part in ('key', 'value')]
            if all(part in weights for part in parts):
                joined = torch.cat([value, *(weights[part] for part in parts)])
                found[f'blocks.{match[2]}.attn.qkv.weight'] = joined
        elif new := new_name(name.removeprefix('videomae.'), 'videomae_hub'):
            found[new] = value
    return found if any(name.startswith('blocks.') for name in found) else {}


# Slices, rows and columns of tokens of a 16x224x224 clip: the grid that every
# published VideoMAE file was trained on.
PUBLISHED_GRID = (8, 14, 14)


@dataclass(frozen=True)
class ViTArch:
    """Sizes that fix the shapes of a vision transformer's weights.

    Attributes:
        embed_dims: Channels D of a token.
        depth: Number of blocks.
        img_size: Height and width, in pixels, that the position table is made for.
        patch_size: Height and width of a token, in pixels.
        tubelet_size: Frames of a token.
        mlp_ratio: Hidden channels of a block's MLP, in multiples of D.

    Raises:
        ValueError: The sizes do not divide each other.
    """

    embed_dims: int
    depth: int
    num_heads: int
    img_size: int = 224
    num_frames: int = 16
    patch_size: int = 16
    tubelet_size: int = 2
    mlp_ratio: float = 4

    def __post_init__(self) -> None:
        parts = dict(embed_dims='num_heads', img_size='patch_size')
        parts['num_frames'] = 'tubelet_size'
        for whole, part in parts.items():
            size, unit = getattr(self, whole), getattr(self, part)
            if size % unit:
                what = f'arch: {whole}={size} is not a multiple of {part}={unit}.'
                raise ValueError(what)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens over time, rows and columns."""
        side = self.img_size // self.patch_size
        return self.num_frames // self.tubelet_size, side, side


ARCHS = {k: ViTArch(**own) for k, own in own_table('weights')['archs'].items()}


def find_arch(arch: str | Mapping[str, int]) -> ViTArch:
    """An architecture by its key in ``ARCHS`` or the fields of :class:`ViTArch`.

    Raises:
        ValueError: An unknown name or field, or numbers missing.
    """
    if isinstance(arch, str):
        return ARCHS[check_choice('arch', arch, ARCHS, other='or a dict of sizes')]
    known = [field.name for field in fields(ViTArch)]
    for name in arch:
        check_choice('field', name, known, 'arch')
    missing = [name for name in known[:3] if name not in arch]
    if missing:
        raise ValueError(f'arch lacks {", ".join(missing)}.')
    return ViTArch(**arch)


class FusedAttention(nn.Module):
    """Multi-head self-attention with learnable biases of queries and values only."""

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_bias = nn.Parameter(torch.zeros(embed_dims))
        self.v_bias = nn.Parameter(torch.zeros(embed_dims))
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims, bias=False)
        self.proj = nn.Linear(embed_dims, embed_dims)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend over the tokens (N, L, D) of each clip; same shape."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        qkv = F.linear(tokens, self.qkv.weight, bias)
        if isinstance(self.qkv, LoraLinear):
            qkv = qkv + self.qkv.change(tokens)
        # (N, L, 3D) -> (N, L, 3, heads, d) -> three of (N, heads, L, d)
        qkv = qkv.unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm transformer block with stochastic depth on both branches."""

    def __init__(self, arch: ViTArch, drop_path: float) -> None:
        super().__init__()
        dims = arch.embed_dims
        self.norm1 = nn.LayerNorm(dims, eps=1e-6)
        self.attn = FusedAttention(dims, arch.num_heads)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.norm2 = nn.LayerNorm(dims, eps=1e-6)
        act, hidden = dict(type='GELU'), round(arch.mlp_ratio * dims)
        self.mlp = FFN(dims, hidden, act_cfg=act, add_identity=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform tokens (N, L, D); same shape."""
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens)))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


@MODELS.register_module()
class VideoMAEViT(BaseModule):
    """VideoMAE's encoder: one feature per clip, or a map of token features.

    The position table is made for ``arch.img_size``, the size that the weights were
    trained on; clips of another size get it by :func:`resize_table`, of another length
    only a model whose ``num_frames`` says so, as a new sinusoid. A loaded table is
    fitted in the same way; weights without one (original files) keep the model's own.

    Args:
        arch: As of :func:`find_arch`.
        num_frames: Frames of a clip, if other than the architecture's.
        drop_path_rate: Stochastic depth of the last block; grows linearly from 0.
        with_cp: Recompute each block in the backward pass to save memory.
        return_feat_map: Return token features (N, D, t, h, w) without pooling or
            norm; ``fc_norm`` then stays in the state dict, frozen.
        lora: Options of LoRA, as of ``adapt_blocks``; None for none.
        tia: Adapters over time behind every block.
        frozen: With LoRA or adapters, train those alone; False trains everything.
            Frozen weights have no gradient, are in evaluation mode but for stochastic
            depth, and are told by :meth:`frozen_names`.

    Raises:
        ValueError: An unknown architecture, or sizes or options that do not fit.
    """

    token_options: ClassVar = {'return_feat_map': True}  # give tokens, not their mean

    def __init__(
        self,
        arch: str | Mapping[str, int] = 'base',
        num_frames: int | None = None,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        return_feat_map: bool = False,
        lora: Mapping[str, Any] | None = None,
        tia: bool = False,
        frozen: bool = True,
    ) -> None:
        # Bounds at 5 std: mmengine's sampler yields the bound itself about once in
        # 16 million draws, and its default bound of 2 would be a weight of 100 std.
        linear = dict(type='TruncNormal', layer='Linear', std=0.02, a=-0.1, b=0.1)
        norm = dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0)
        super().__init__([linear, norm])
        arch = find_arch(arch)
        if num_frames is not None:
            arch = replace(arch, num_frames=num_frames)
        self.arch, self.with_cp, self.return_feat_map = arch, with_cp, return_feat_map
        size = (arch.tubelet_size, arch.patch_size, arch.patch_size)
        sizes = 3, arch.embed_dims, 'Conv3d', size, size, (0, 0, 0), (1, 1, 1)
        self.patch_embed = PatchEmbed(*sizes)
        table = sinusoid_table(math.prod(arch.grid), arch.embed_dims)
        self.register_buffer('pos_embed', table)
        rates = torch.linspace(0, drop_path_rate, arch.depth, device='cpu').tolist()
        self.blocks = nn.ModuleList(Block(arch, rate) for rate in rates)
        self.fc_norm = nn.LayerNorm(arch.embed_dims, eps=1e-6)
        if return_feat_map:
            self.fc_norm.requires_grad_(False)
        self.lora, self.frozen = lora, frozen and (tia or lora is not None)
        if self.frozen:
            self.requires_grad_(False)
        adapt_blocks(self.blocks, arch.embed_dims, lora, tia)

    def init_weights(self) -> None:
        """Draw weights; adapters change nothing."""
        super().init_weights()
        for adapter in adapters_of(self):
            adapter.init_weights()

    def frozen_names(self) -> list[str]:
        """Names in the state dict that training does not change."""
        return [n for n in self.state_dict() if self.frozen and not is_adapter(n)]

    def train(self, mode: bool = True) -> 'VideoMAEViT':
        """Set the mode of what learns, and of stochastic depth."""
        super().train(mode)
        if self.frozen:
            self.patch_embed.eval()
            for block in self.blocks:
                for part in (block.norm1, block.attn, block.norm2, block.mlp):
                    part.eval()
            for adapter in adapters_of(self):
                adapter.train(mode)
        return self

    @property
    def num_layers(self) -> int:
        """Number of blocks; :meth:`layer_of` gives 0 to ``num_layers + 1``."""
        return self.arch.depth

    def layer_of(self, name: str) -> int:
        """Depth of a parameter, for rates that decay with it.

        0 for the embedding, k + 1 for block k, ``num_layers + 1`` for the norm.

        Source: MCG-NJU/VideoMAE, optim_factory.py, 14ef8d85.
        """
        if name.startswith(('patch_embed.', 'pos_embed')):
            return 0
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1
        return self.num_layers + 1

    def forward(self, imgs: Tensor) -> Tensor:
        """Features (N, D) or maps (N, D, t, h, w) of normalised clips (N, 3, T, H, W).

        Raises:
            ValueError: T is not ``num_frames``, or H or W no multiple of the patch.
        """
        tokens = self.encode(imgs)
        if self.return_feat_map:  # (N, D, t, h, w)
            return tokens.transpose(1, 2).unflatten(2, self.grid_of(imgs))
        return self.fc_norm(tokens.mean(dim=1))

    def encode(self, imgs: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Tokens (N, L, D); without those for which ``hidden`` (N, L) is true."""
        grid = self.grid_of(imgs)
        tokens, slices = self._embed(imgs, grid), grid[0]
        if hidden is not None:
            tokens = tokens[~hidden].unflatten(0, (len(imgs), -1))
        for block in self.blocks:
            tokens = self._run(block, tokens, len(imgs), slices)
        return tokens

    def _run(self, block: nn.Module, tokens: Tensor, *sizes: int) -> Tensor:
        """A block and its adapter, if any; ``sizes`` are windows and slices."""
        adapter = getattr(block, 'adapter', None)

        def layer(tokens: Tensor) -> Tensor:
            tokens = block(tokens)
            return tokens if adapter is None else adapter(tokens, *sizes)

        if not (self.with_cp and torch.is_grad_enabled()):
            return layer(tokens)
        if not tokens.requires_grad and self.frozen and self.lora is None:
            # No gradient reaches the first block: only its adapter is run again.
            tokens = block(tokens)
            return checkpoint(adapter, tokens, *sizes, use_reentrant=False)
        return checkpoint(layer, tokens, use_reentrant=False)

    def _embed(self, imgs: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """Tokens (N, L, D) that know their place, by time, row, column."""
        places = resize_table(self.pos_embed, self.arch.grid, grid[1:])
        return self.patch_embed(imgs)[0] + places

    def grid_of(self, imgs: Tensor) -> tuple[int, int, int]:
        """Tokens of clips over time, rows and columns; raises as :meth:`forward`."""
        frames, height, width = imgs.shape[2:]
        patch = self.arch.patch_size
        if frames != self.arch.num_frames:
            raise ValueError(
                f'clips of {frames} frames: this backbone takes '
                f'{self.arch.num_frames}. Sample so many, or set num_frames={frames}.'
            )
        if height % patch or width % patch:
            raise ValueError(
                f'frames of {height}x{width} pixels: height and width must be '
                f'multiples of the patch, {patch}. Resize or crop them.'
            )
        return self.arch.grid[0], height // patch, width // patch

    def _load_from_state_dict(self, state_dict, prefix, *args: Any) -> None:
        hub = from_hub({n.removeprefix(prefix): v for n, v in state_dict.items()})
        if hub:
            old = [n for n in state_dict if _HUB_NAME.match(n.removeprefix(prefix))]
            rename(state_dict, dict.fromkeys(old, ''), args[3])
            state_dict.update({f'{prefix}{name}': value for name, value in hub.items()})
        key = f'{prefix}pos_embed'  # the caller's stays as it is
        fitted = {**state_dict, key: self._fit_table(state_dict.get(key))}
        super()._load_from_state_dict(fitted, prefix, *args)

    def _fit_table(self, stored: Tensor | None) -> Tensor:
        """A loaded position table, fitted to this model's grid."""
        if stored is None:
            return self.pos_embed
        if stored.shape == self.pos_embed.shape or stored.dim() != 3:
            return stored
        slices, height, width = self.arch.grid
        length = stored.shape[1]
        side = math.isqrt(length // slices)
        if length == math.prod(PUBLISHED_GRID):
            grid = PUBLISHED_GRID
        elif slices * side * side == length:
            grid = (slices, side, side)
        else:
            raise ValueError(
                f'the weights have a position table of {length} tokens: neither '
                f'{PUBLISHED_GRID} nor {slices} slices of a square. Build the backbone '
                'with the img_size and num_frames of the weights.'
            )
        if grid[0] != slices:
            grid = (slices, *grid[1:])
            stored = sinusoid_table(math.prod(grid), stored.shape[2])
        return resize_table(stored, grid, (height, width))


def resize_table(
    table: Tensor, grid: tuple[int, int, int], size: tuple[int, int]
) -> Tensor:
    """Resize a position table within each temporal slice, bicubically.

    From ``(1, t*h*w, D)`` of grid (t, h, w) to ``(1, t*h'*w', D)`` of size (h', w');
    the table itself where the size stays.

    Source: open-mmlab/mmaction2, vit_mae.py, 4d6c9347.
    """
    if grid[1:] == tuple(size):
        return table
    maps = table[0].unflatten(0, grid).permute(0, 3, 1, 2)  # (t, D, h, w)
    maps = F.interpolate(maps, size=size, mode='bicubic', align_corners=False)
    return maps.permute(0, 2, 3, 1).flatten(0, 2)[None]  # (1, t*h'*w', D)
