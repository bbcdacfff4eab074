"""Self-attention over positions that exist, with convolutions in front."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmma.models.masked_layers import (
    ChannelNorm,
    MaskedConv,
    blank,
    drop_path,
    pool_positions,
)


class MaskedAttention(nn.Module):
    """Multi-head attention; queries, keys and values pass a depthwise convolution.

    Args:
        channels: C.
        num_heads: Heads; they share C.
        stride: Of the convolutions; the output has P / stride positions.
        window: Positions (of the output) that one sees, itself in the middle; odd. -1
            for all.

    Raises:
        ValueError: Heads that do not share C evenly, or an even window.

    Source: ActionFormer ``MaskedMHCA`` and ``LocalMaskedMHCA``.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int = 4,
        stride: int = 1,
        window: int = -1,
    ) -> None:
        super().__init__()
        if channels % num_heads:
            raise ValueError(
                f'{num_heads} heads cannot share {channels} channels: use a divisor.'
            )
        if window != -1 and (window < 3 or window % 2 == 0):
            raise ValueError(
                f'attention window {window}: use an odd number from 3, or -1 for all.'
            )
        self.num_heads, self.stride, self.window = num_heads, stride, window
        for name in ('query', 'key', 'value'):
            conv = MaskedConv(
                channels, channels, stride=stride, groups=channels, norm=False
            )
            self.add_module(f'{name}_conv', conv)
            self.add_module(f'{name}_norm', ChannelNorm(channels))
            self.add_module(name, _pointwise(channels, channels))
        self.proj = _pointwise(channels, channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, C, P) to (N, C, P / stride)."""
        out_mask = mask[:, :: self.stride]
        query, key, value = (
            self._heads(name, x, mask) for name in ('query', 'key', 'value')
        )
        out = F.scaled_dot_product_attention(
            query, key, value, attn_mask=self._visible(out_mask)
        )
        out = out.transpose(2, 3).flatten(1, 2)  # (N, h, P, d) -> (N, C, P)
        return blank(self.proj(out), out_mask)

    def _heads(self, name: str, x: Tensor, mask: Tensor) -> Tensor:
        """(N, C, P) to (N, heads, P / stride, C / heads)."""
        x = getattr(self, f'{name}_conv')(x, mask)
        x = getattr(self, f'{name}_norm')(x, mask[:, :: self.stride])
        x = getattr(self, name)(x)
        return x.unflatten(1, (self.num_heads, -1)).transpose(2, 3)

    def _visible(self, mask: Tensor) -> Tensor:
        """Which keys a query sees, (N, 1, P or 1, P).

        A query that sees no key would be NaN; those that do not exist see themselves,
        and where nothing exists all see all. Either way they are blanked later.
        """
        if self.window == -1:
            return (mask | ~mask.any(dim=1, keepdim=True))[:, None, None]
        place = torch.arange(mask.shape[1], device=mask.device)
        apart = (place[:, None] - place).abs()
        near = (apart <= self.window // 2) & mask[:, None]  # (N, P, P)
        return (near | (apart == 0))[:, None]


class TransformerBlock(nn.Module):
    """Attention and a two-layer perceptron, each with layer norm and a shortcut.

    Args:
        channels: C.
        num_heads: Heads of attention.
        stride: 2 halves the positions; the shortcut is a maximum then.
        window: Positions that one sees, -1 for all.
        path_drop: Share of samples that lose a branch in training; above 0 branches
            are also scaled per channel.

    Source: ActionFormer ``TransformerBlock``; names of weights as in OpenTAD.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int = 4,
        stride: int = 1,
        window: int = -1,
        path_drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.ln1 = ChannelNorm(channels)
        self.ln2 = ChannelNorm(channels)
        self.attn = MaskedAttention(channels, num_heads, stride, window)
        self.mlp = nn.Sequential(
            _pointwise(channels, 4 * channels),
            nn.GELU(),
            nn.Identity(),  # dropout upstream, 0 by default: keeps the name mlp.3
            _pointwise(4 * channels, channels),
        )
        self.drop_path_attn = drop_path(channels, path_drop)
        self.drop_path_mlp = drop_path(channels, path_drop)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, C, P) to (N, C, P / stride)."""
        change = self.attn(self.ln1(x, mask), mask)
        x = pool_positions(x, mask, self.stride) + self.drop_path_attn(change)
        mask = mask[:, :: self.stride]
        change = blank(self.mlp(self.ln2(x, mask)), mask)
        return x + self.drop_path_mlp(change)


def _pointwise(in_channels: int, out_channels: int) -> nn.Conv1d:
    layer = nn.Conv1d(in_channels, out_channels, 1)
    nn.init.zeros_(layer.bias)
    return layer
