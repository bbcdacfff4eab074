"""Adapters: what learns in a vision transformer whose own weights stay as they are.

A change of low rank beside linear layers (LoRA), and a mixing of tokens over time
behind blocks (TIA). Both change nothing at the start.

LoRA is written here and not taken from the PEFT library, which needs transformers and
accelerate, and does not see layers whose weights are used without a call, as the
queries, keys and values of VideoMAE. Names of weights are PEFT's.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmma.taxonomy import check_choice

_REDUCTION = 4  # channels of a token per channel of the adapter
_KERNEL = 3  # slices that the adapter's depthwise convolution sees
_MARKS = ('adapter.', 'lora_A.', 'lora_B.')
ALL_LINEAR = 'all-linear'
_LORA: dict[str, tuple[Any, ...]] = {
    'rank': ((int,), lambda x: x > 0, 'a whole number from 1, such as 8'),
    'alpha': ((int, float), lambda x: x > 0, 'a number above 0, such as 16'),
    'dropout': ((int, float), lambda x: 0 <= x < 1, 'a share below 1: 0.1'),
}


def is_adapter(name: str) -> bool:
    """Tell a weight of an adapter by its name."""
    return any(f'.{mark}' in f'.{name}' for mark in _MARKS)


class LoraLinear(nn.Linear):
    """A linear layer with a learnt change of low rank beside it.

    ``W x + b + alpha / rank * B A dropout(x)``, where B is zero at the start. W and b
    are the parameters of the layer that it stands for, under the same names.

    Args:
        layer: The layer it stands for.
        rank, alpha, dropout: As of :func:`adapt_blocks`.

    Source: Hu et al., 'LoRA: Low-Rank Adaptation of Large Language Models', ICLR 2022;
        names of weights and the draw of A as in huggingface/peft, tuners/lora/layer.py.
    """

    def __init__(
        self, layer: nn.Linear, rank: int, alpha: float, dropout: float
    ) -> None:
        nn.Module.__init__(self)  # draws no weights that are not used
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        options: dict[str, Any] = dict(bias=False, device=layer.weight.device)
        self.lora_A = nn.Linear(self.in_features, rank, **options)
        self.lora_B = nn.Linear(rank, self.out_features, **options)
        self.lora_dropout = nn.Dropout(dropout)
        self.scaling = alpha / rank
        for part in (self.lora_A, self.lora_B):
            part.starts_fresh = True  # type: ignore[assignment]
        self.init_weights()

    def init_weights(self) -> None:
        """Start as the layer alone."""
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)

    def change(self, x: Tensor) -> Tensor:
        """What is added to the layer's output (..., C')."""
        return self.lora_B(self.lora_A(self.lora_dropout(x))) * self.scaling

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to (..., C')."""
        return super().forward(x) + self.change(x)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A layer without the change that gives the same, on the same parameters."""
        sizes = self.in_features, self.out_features, self.bias is not None
        layer = nn.Linear(*sizes, device='meta')
        change = self.lora_B.weight.float() @ self.lora_A.weight.float()
        whole = self.weight.float() + self.scaling * change
        layer.weight = nn.Parameter(whole.to(self.weight), self.weight.requires_grad)
        layer.bias = self.bias
        return layer


class TIAdapter(nn.Module):
    """Mix the tokens of one place over time, in a quarter of the channels.

    ``x + gamma * up(h + conv(dwconv(h)))`` with ``h = gelu(down(x))``, the convolutions
    over the slices of a whole window. It changes nothing at the start: ``up`` is zero.

    Source: Liu et al., 'End-to-End Temporal Action Detection with 1B Parameters Across
        1000 Frames' (AdaTAD), CVPR 2024, section 3.3.
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


def adapt_blocks(
    blocks: nn.ModuleList, dims: int, lora: Mapping[str, Any] | None, tia: bool
) -> None:
    """Put adapters into the blocks of a transformer, in place.

    Args:
        dims: Channels D of a token.
        lora: Options of LoRA, None for none: ``rank`` of the change, default 8;
            ``alpha``, for it counts ``alpha / rank`` times, default 16; ``targets``,
            last parts of names of linear layers, or ``all-linear``, the default, for
            all of a block; ``dropout`` of the input of the change, default 0.
        tia: A :class:`TIAdapter` behind every block, its ``adapter``.

    Raises:
        ValueError: An unknown option, one out of range, or no such layer.
    """
    if lora is not None:
        if not isinstance(lora, Mapping):
            told = 'use options, such as dict(rank=8), or None for none'
            raise ValueError(f'lora is {lora!r}: {told}.')
        options = dict(rank=8, alpha=16.0, targets=ALL_LINEAR, dropout=0.0)
        for name in lora:
            check_choice('option', name, tuple(options), 'lora')
        options.update(lora)
        for key, (kinds, fits, told) in _LORA.items():
            if type(options[key]) not in kinds or not fits(options[key]):
                raise ValueError(f'lora.{key} is {options[key]!r}: use {told}.')
        layers = dict(blocks.named_modules())
        chosen = _targets(layers, options.pop('targets'))
        for name in chosen:
            parent, _, last = name.rpartition('.')
            setattr(layers[parent], last, LoraLinear(layers[name], **options))
    for block in blocks if tia else ():
        block.adapter = TIAdapter(dims)


def _targets(layers: Mapping[str, nn.Module], targets: Any) -> list[str]:
    """Names of the linear layers that are adapted."""
    linear = [name for name, part in layers.items() if isinstance(part, nn.Linear)]
    if targets == ALL_LINEAR:
        return linear
    ends = sorted({name.partition('.')[2] for name in linear})  # without the block
    wanted = [targets] if isinstance(targets, str) or not targets else list(targets)
    for target in wanted:
        if not any(f'.{end}'.endswith(f'.{target}') for end in ends):
            raise ValueError(
                f'lora.targets has {target!r}, and the linear layers of a block are '
                f"{', '.join(ends)}: list last parts of these, or use '{ALL_LINEAR}'."
            )
    return [n for n in linear if any(f'.{n}'.endswith(f'.{t}') for t in wanted)]


def adapters_of(model: nn.Module) -> list[LoraLinear | TIAdapter]:
    """Adapters in a model."""
    return [m for m in model.modules() if isinstance(m, (LoraLinear, TIAdapter))]


def merge_lora(model: nn.Module) -> int:
    """Add the changes of LoRA to the layers beside them, in place; gives their number.

    The model then has the names of weights of one that is built without LoRA.
    """
    parts = [(p, n, c) for p in model.modules() for n, c in p.named_children()]
    found = [part for part in parts if isinstance(part[2], LoraLinear)]
    for parent, name, layer in found:
        setattr(parent, name, layer.merged())
    return len(found)
