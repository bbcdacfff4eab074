"""Layers over positions of a window of which the last may not exist.

Features (N, C, P) come with a mask (N, P), true where a position exists. Every layer
here takes zeros at the others and gives zeros there, so that padding never reaches what
exists: a padded window gives what the same window without padding gives. Upstream
differs where a window is padded, so that a converted OpenTAD detector gives other
scores there: its first convolution sees features of the repeated last frame (here
zeros), biases of its layer norms are added to the padding and leak into the last
existing position (here not), and its max-pools count padding as 0 (here not at all).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def blank(x: Tensor, mask: Tensor) -> Tensor:
    """Features (N, C, P) with zeros where the mask (N, P) is false."""
    return x.masked_fill(~mask[:, None], 0.0)


def pad_positions(x: Tensor, mask: Tensor, multiple: int) -> tuple[Tensor, Tensor]:
    """Features (N, C, P') with zeros up to a multiple of positions, and their mask."""
    missing = -x.shape[-1] % multiple
    mask = F.pad(mask, (0, missing))
    return blank(F.pad(x, (0, missing)), mask), mask


def pool_positions(x: Tensor, mask: Tensor, stride: int) -> Tensor:
    """Maximum over ``stride + 1`` existing positions around every ``stride``-th.

    From (N, C, P), P a multiple of the stride (even, or 1 for no change), to
    (N, C, P / stride), which goes with ``mask[:, ::stride]``.
    """
    if stride == 1:
        return x
    x = x.masked_fill(~mask[:, None], float('-inf'))
    x = F.max_pool1d(x, stride + 1, stride, padding=stride // 2)
    return blank(x, mask[:, ::stride])


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (N, C, P)."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """(N, C, P) to the same shape."""
        return blank(super().forward(x.transpose(1, 2)).transpose(1, 2), mask)


class MaskedGroupNorm(nn.GroupNorm):
    """Group norm over the channels of a group and the positions that exist."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
        """(N, C, P) to the same shape; other positions are zero in and out."""
        groups = x.unflatten(1, (self.num_groups, -1)).float()  # (N, G, C / G, P)
        exists = mask[:, None, None].float()
        size = exists.sum(dim=(2, 3), keepdim=True).clamp_min(1) * groups.shape[2]
        mean = groups.sum(dim=(2, 3), keepdim=True) / size
        groups = (groups - mean) * exists
        var = groups.square().sum(dim=(2, 3), keepdim=True) / size
        groups = (groups * torch.rsqrt(var + self.eps)).flatten(1, 2)
        return blank(groups * self.weight[:, None] + self.bias[:, None], mask).to(x)


class MaskedConv(nn.Module):
    """A convolution over three positions, with layer norm and ReLU if asked.

    Source: OpenTAD ``ConvModule``, whose names of weights these are.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        groups: int = 1,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.stride = stride
        sizes = in_channels, out_channels, 3, stride, 1
        self.conv = nn.Conv1d(*sizes, groups=groups, bias=False)
        self.norm = ChannelNorm(out_channels, eps=1e-6) if norm else None

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, C, P) to (N, C', P / stride); the mask is that of the input."""
        mask = mask[:, :: self.stride]
        x = self.conv(x)
        if self.norm is None:
            return blank(x, mask)
        return F.relu(self.norm(x, mask))


def through(layers: nn.ModuleList, x: Tensor, mask: Tensor) -> Tensor:
    """(N, C, P) after convolutions of stride 1, one by one."""
    x = blank(x, mask)
    for layer in layers:
        x = layer(x, mask)
    return x


class ScaledDropPath(nn.Module):
    """A factor per channel, and in training whole branches dropped per sample.

    Source: ActionFormer ``AffineDropPath``, after Touvron et al., 'Going deeper with
        image transformers', ICCV 2021 (LayerScale).
    """

    def __init__(self, channels: int, drop: float) -> None:
        super().__init__()
        self.drop = drop
        self.scale = nn.Parameter(torch.full((1, channels, 1), 1e-4))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, P) to the same shape."""
        x = x * self.scale
        if not (self.training and self.drop > 0):
            return x
        keep = torch.rand(len(x), 1, 1, device=x.device) >= self.drop
        return x * (keep / (1 - self.drop)).to(x.dtype)


def drop_path(channels: int, drop: float) -> nn.Module:
    """``ScaledDropPath``, or without dropping nothing at all, as upstream has it."""
    return ScaledDropPath(channels, drop) if drop > 0 else nn.Identity()


class MaskedAttention(nn.Module):
    """Multi-head attention; queries, keys and values pass a depthwise convolution.

    Heads share the C channels, and the output has P / stride positions; of those one
    sees ``window``, an odd number with itself in the middle, or all for -1.

    Raises:
        ValueError: Heads that do not share C evenly, or an even window.

    Source: ActionFormer ``MaskedMHCA`` and ``LocalMaskedMHCA``.
    """

    def __init__(
        self, channels: int, num_heads: int = 4, stride: int = 1, window: int = -1
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
            conv = MaskedConv(channels, channels, stride, channels, norm=False)
            self.add_module(f'{name}_conv', conv)
            self.add_module(f'{name}_norm', ChannelNorm(channels))
            self.add_module(name, _pointwise(channels, channels))
        self.proj = _pointwise(channels, channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, C, P) to (N, C, P / stride)."""
        out_mask = mask[:, :: self.stride]
        parts = []
        for name in ('query', 'key', 'value'):
            part = getattr(self, f'{name}_conv')(x, mask)
            part = getattr(self, name)(getattr(self, f'{name}_norm')(part, out_mask))
            # (N, C, P / stride) -> (N, heads, P / stride, C / heads)
            parts.append(part.unflatten(1, (self.num_heads, -1)).transpose(2, 3))
        # A query that sees no key would be NaN; those that do not exist see themselves,
        # and where nothing exists all see all. Either way they are blanked later.
        if self.window == -1:  # (N, 1, 1, P)
            exists = out_mask | ~out_mask.any(dim=1, keepdim=True)
            visible = exists[:, None, None]
        else:  # (N, 1, P, P)
            place = torch.arange(out_mask.shape[1], device=mask.device)
            apart = (place[:, None] - place).abs()
            near = (apart <= self.window // 2) & out_mask[:, None]  # (N, P, P)
            visible = (near | (apart == 0))[:, None]
        out = F.scaled_dot_product_attention(*parts, attn_mask=visible)
        out = out.transpose(2, 3).flatten(1, 2)  # (N, h, P, d) -> (N, C, P)
        return blank(self.proj(out), out_mask)


class TransformerBlock(nn.Module):
    """Attention and a two-layer perceptron, each with layer norm and a shortcut.

    With stride 2, which halves the positions, the shortcut is a maximum. ``window`` is
    as of :class:`MaskedAttention`; ``path_drop`` is the share of samples that lose a
    branch in training, and above 0 branches are also scaled per channel.

    Source: ActionFormer ``TransformerBlock``; names of weights as in OpenTAD.
    """

    def __init__(
        self, channels: int, num_heads: int, stride: int, window: int, path_drop: float
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


def sinusoid_table(length: int, dims: int) -> Tensor:
    """Fixed position table (1, L, D), sines in even and cosines in odd channels.

    The angle of channel j is ``pos / 10000**(2 * (j // 2) / D)``; float32.

    Source: Vaswani et al., 'Attention Is All You Need', NeurIPS 2017, section 3.5.
    """
    channel = torch.arange(dims, dtype=torch.float64)
    exponent = (channel - channel % 2) / dims
    position = torch.arange(length, dtype=torch.float64)
    angle = position[:, None] / 10000**exponent
    table = torch.where(channel % 2 == 0, angle.sin(), angle.cos())
    return table[None].float()
