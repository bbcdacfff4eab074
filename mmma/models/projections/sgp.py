"""The projection of TriDet: scalable-granularity perception."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from mmma.models.masked_layers import (
    ChannelNorm,
    MaskedGroupNorm,
    blank,
    drop_path,
    pool_positions,
)
from mmma.models.projections.pyramid import PyramidProjection
from mmma.registry import MODELS

_GROUPS = 16


class _Depthwise(nn.Conv1d):
    """A depthwise convolution; of one position it is a product.

    PyTorch runs the latter channel by channel on a CPU: 19 ms instead of 0.5 ms of
    (2, 512, 256), there and back.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, P) to the same shape."""
        if self.kernel_size == (1,):
            return x * self.weight[:, 0] + self.bias[:, None]
        return super().forward(x)


class SGPBlock(nn.Module):
    """Instant and window-level gates instead of attention, then a perceptron.

    With x normalised: ``fc(x) * relu(global_fc(mean x)) + (convw(x) + convkw(x)) *
    psi(x) + x``, all depthwise. The mean, and the group norm before the perceptron, are
    over positions that exist, where upstream counts padding in.

    Args:
        channels: C.
        kernel_size: w, positions of ``convw`` and ``psi``; odd.
        stride: 2 halves the positions by a maximum.
        k: ``convkw`` sees k * (w + 1) positions, made odd.
        hidden: Channels between the layers of the perceptron; 0 for 4 C.
        path_drop: As in ``TransformerBlock``.
        init_std: Of the depthwise weights. OpenTAD's configs have 0, at which both
            gated products start at 0 without gradients and stay there.

    Source: Shi et al., 'TriDet', CVPR 2023, equations 1 to 3; OpenTAD ``SGPBlock``,
        whose names of weights these are.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        k: float = 1.5,
        hidden: int = 0,
        path_drop: float = 0.0,
        init_std: float = 1.0,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.ln = ChannelNorm(channels)
        self.gn = MaskedGroupNorm(min(_GROUPS, channels), channels)
        wide = round((kernel_size + 1) * k) // 2 * 2 + 1
        sizes = dict(psi=kernel_size, fc=1, convw=kernel_size, convkw=wide, global_fc=1)
        for name, size in sizes.items():
            conv = _Depthwise(
                channels, channels, size, padding=size // 2, groups=channels
            )
            nn.init.normal_(conv.weight, std=init_std)
            nn.init.zeros_(conv.bias)
            self.add_module(name, conv)
        hidden = hidden or 4 * channels
        self.mlp = nn.Sequential(
            nn.Conv1d(channels, hidden, 1), nn.GELU(), nn.Conv1d(hidden, channels, 1)
        )
        self.drop_path_out = drop_path(channels, path_drop)
        self.drop_path_mlp = drop_path(channels, path_drop)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, C, P) to (N, C, P / stride)."""
        x = pool_positions(x, mask, self.stride)
        mask = mask[:, :: self.stride]
        out = self.ln(x, mask)
        count = mask.sum(dim=1).clamp_min(1)[:, None, None]
        whole = F.relu(self.global_fc(out.sum(dim=-1, keepdim=True) / count))
        gated = (self.convw(out) + self.convkw(out)) * self.psi(out)
        x = x + self.drop_path_out(blank(self.fc(out) * whole + gated + out, mask))
        return x + self.drop_path_mlp(blank(self.mlp(self.gn(x, mask)), mask))


@MODELS.register_module()
class TriDetProj(PyramidProjection):
    """Convolutions, then a pyramid of SGP blocks.

    Args:
        in_channels: D, channels of the features.
        out_channels: C; a multiple of 16, or at most 16.
        arch: Convolutions, blocks at full rate, blocks that halve the positions.
        hidden: Channels inside the perceptrons.
        k: How much wider the wide convolution is.
        path_drop: Of the blocks that halve.
        init_std: First deviation of the depthwise weights.

    Source: Shi et al., 'TriDet', CVPR 2023; OpenTAD ``TriDetProj`` and its
        configuration (hidden 768, k 5, kernels 1).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 512,
        arch: Sequence[int] = (2, 2, 5),
        hidden: int = 768,
        k: float = 5.0,
        path_drop: float = 0.1,
        init_std: float = 1.0,
        **kwargs: Any,
    ) -> None:
        convs, stem, branch = arch
        options = dict(k=k, hidden=hidden, init_std=init_std)
        super().__init__(
            in_channels,
            out_channels,
            convs,
            stem=[SGPBlock(out_channels, **options) for _ in range(stem)],
            branch=[
                SGPBlock(out_channels, stride=2, path_drop=path_drop, **options)
                for _ in range(branch)
            ],
            **kwargs,
        )
