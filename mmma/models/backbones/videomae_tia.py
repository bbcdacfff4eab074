"""VideoMAE with temporal-informative adapters over a whole window.

The transformer sees 16 frames at a time and may stay frozen; an adapter behind each of
its blocks sees all frames of the window, and is what learns.

Source: Liu et al., 'End-to-End Temporal Action Detection with 1B Parameters Across 1000
Frames' (AdaTAD), CVPR 2024; names of weights as in OpenTAD, vit_adapter.py, 01c58b9f.
"""

import math
from collections.abc import Mapping
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmma.models.backbones.videomae import VideoMAEViT
from mmma.registry import MODELS
from mmma.taxonomy import check_choice

FROZEN_DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16}
_REDUCTION = 4  # channels of a token per channel of the adapter
_KERNEL = 3  # slices that the adapter's depthwise convolution sees


class TIAdapter(nn.Module):
    """Mix the tokens of one place over time, in a quarter of the channels.

    ``x + gamma * up(h + conv(dwconv(h)))`` with ``h = gelu(down(x))``, the convolutions
    over the slices of a whole window. It changes nothing at the start: ``up`` is zero.

    Source: AdaTAD, section 3.3.
    """

    starts_fresh = True  # a file of the transformer alone has none of its weights

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        hidden = embed_dims // _REDUCTION
        self.down_proj = nn.Linear(embed_dims, hidden)
        around = dict(padding=_KERNEL // 2, groups=hidden)
        self.dwconv = nn.Conv1d(hidden, hidden, _KERNEL, **around)
        self.conv = nn.Conv1d(hidden, hidden, 1)
        self.up_proj = nn.Linear(hidden, embed_dims)
        self.gamma = nn.Parameter(torch.ones(1))
        self.init_weights()

    def init_weights(self) -> None:
        """Start as the identity."""
        hidden = self.down_proj.out_features
        nn.init.trunc_normal_(self.down_proj.weight, std=0.02, a=-0.1, b=0.1)
        nn.init.normal_(self.dwconv.weight, std=math.sqrt(2 / _KERNEL))
        nn.init.normal_(self.conv.weight, std=math.sqrt(2 / hidden))
        nn.init.zeros_(self.up_proj.weight)
        for layer in (self.down_proj, self.dwconv, self.conv, self.up_proj):
            nn.init.zeros_(layer.bias)
        nn.init.ones_(self.gamma)

    def forward(self, tokens: Tensor, windows: int, slices: int) -> Tensor:
        """Adapt the tokens (N*C, t*S, D) of all chunks of all windows.

        C chunks of t slices of S places, those of each of N windows in a row.
        """
        hidden = F.gelu(self.down_proj(tokens))
        # (N*C, t*S, r) -> (N, C*t, S, r) -> (N, r, C*t, S), channels last in memory
        steps = hidden.unflatten(1, (slices, -1)).unflatten(0, (windows, -1))
        steps = steps.flatten(1, 2).permute(0, 3, 1, 2)
        kernel = self.dwconv.weight[..., None], self.dwconv.bias
        around = dict(padding=(_KERNEL // 2, 0), groups=steps.shape[1])
        mixed = F.conv2d(steps, *kernel, **around)
        mixed = mixed.permute(0, 2, 3, 1)  # (N, C*t, S, r)
        mixed = F.linear(mixed, self.conv.weight[..., 0], self.conv.bias)
        hidden = hidden + mixed.reshape(hidden.shape)
        return tokens + self.gamma * self.up_proj(hidden)


@MODELS.register_module()
class VideoMAETIA(VideoMAEViT):
    """VideoMAE over a whole window of any number of 16-frame chunks, with adapters.

    Frozen weights have no gradient, are in evaluation mode but for stochastic depth,
    and are told by :meth:`frozen_names`. The last norm of VideoMAE is not used.

    Args:
        arch, drop_path_rate, with_cp: As of ``VideoMAEViT``; the ``num_frames`` of the
            architecture are those of a chunk.
        frozen: Train the adapters only; False trains everything.
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
    ) -> None:
        super().__init__(arch, drop_path_rate=drop_path_rate, with_cp=with_cp)
        del self.fc_norm
        check_choice('frozen_dtype', frozen_dtype, tuple(FROZEN_DTYPES))
        self.frozen = frozen
        self.reduced = frozen_dtype != 'float32'
        if self.reduced and not frozen:
            raise ValueError(
                f'frozen_dtype={frozen_dtype!r} with frozen=False: weights that learn '
                'stay in float32; use --amp to compute in less.'
            )
        if frozen:
            for parameter in self.parameters():
                parameter.requires_grad_(False)
                if parameter.ndim > 1:  # norms need float32, and are small
                    parameter.data = parameter.data.to(FROZEN_DTYPES[frozen_dtype])
        for block in self.blocks:
            block.adapter = TIAdapter(self.arch.embed_dims)

    def init_weights(self) -> None:
        """Draw weights as ``VideoMAEViT``; adapters change nothing."""
        super().init_weights()
        for block in self.blocks:
            block.adapter.init_weights()

    def frozen_names(self) -> list[str]:
        """Names in the state dict that training does not change."""
        if not self.frozen:
            return []
        return [name for name in self.state_dict() if '.adapter.' not in name]

    def train(self, mode: bool = True) -> 'VideoMAETIA':
        """Set the mode of what learns, and of stochastic depth."""
        super().train(mode)
        if self.frozen:
            self.patch_embed.eval()
            for block in self.blocks:
                for part in (block.norm1, block.attn, block.norm2, block.mlp):
                    part.eval()
        return self

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

    def _run(self, block: nn.Module, tokens: Tensor, *sizes: int) -> Tensor:
        """A block and its adapter."""

        def layer(tokens: Tensor) -> Tensor:
            return block.adapter(block(tokens), *sizes)

        if not (self.with_cp and torch.is_grad_enabled()):
            return layer(tokens)
        if not tokens.requires_grad and self.frozen:
            # No gradient reaches the first block: only its adapter is run again.
            tokens = block(tokens)
            return checkpoint(block.adapter, tokens, *sizes, use_reentrant=False)
        return checkpoint(layer, tokens, use_reentrant=False)
