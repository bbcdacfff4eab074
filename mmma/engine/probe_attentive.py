"""Attentive probes: one learned query looks at the tokens of a clip.

    z = query + attention(query, norm(tokens));  z = z + mlp(norm(z));  logits = W z + b

trained by AdamW for a fixed number of epochs, its rate falling from its peak to 0 along
a cosine after a tenth of warm-up. Peak rate and weight decay are chosen from a grid by
Top-1 on validation clips of the training domains; the last epoch counts, whatever it
gives. All that is random follows from the seed.

Source: the attentive probe of Bardes et al., 'Revisiting Feature Prediction for
Learning Visual Representations from Video' (V-JEPA), TMLR 2024: one query, cross
attention, residual, MLP, linear. Tokens averaged over space, sizes and schedule are
ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmma.engine.fewshot import Classifier
from mmma.engine.probe_linear import Labelled

ATTENTIVE_GRID = tuple(
    {'lr': lr, 'weight_decay': decay} for lr in (3e-4, 1e-3) for decay in (0.01, 0.1)
)
"""Peak rates and weight decays that are tried."""
EPOCHS = 20
BATCH_SIZE = 64
_HEAD_DIM = 64
_CLIPS_AT_ONCE = 512


class AttentivePooler(nn.Module):
    """One learned query, cross attention over the tokens of a clip, and an MLP.

    Args:
        dims: D of tokens and of the result; heads have 64 channels where that divides
            it, else there is one.
    """

    def __init__(self, dims: int) -> None:
        super().__init__()
        heads = dims // _HEAD_DIM if dims % _HEAD_DIM == 0 else 1
        self.query = nn.Parameter(torch.zeros(1, 1, dims))
        self.norm1 = nn.LayerNorm(dims)
        self.attention = nn.MultiheadAttention(dims, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(dims)
        self.mlp = nn.Sequential(
            nn.Linear(dims, 4 * dims), nn.GELU(), nn.Linear(4 * dims, dims)
        )
        nn.init.trunc_normal_(self.query, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Features (N, D) of tokens (N, L, D)."""
        tokens = self.norm1(tokens)
        query = self.query.expand(len(tokens), -1, -1)
        found, _ = self.attention(query, tokens, tokens, need_weights=False)
        found = (query + found).squeeze(1)
        return found + self.mlp(self.norm2(found))

    @torch.no_grad()
    def embed(self, tokens: np.ndarray) -> np.ndarray:
        """Features (N, 1, D) of tokens (N, L, D), as linear classifiers take them."""
        device = self.query.device
        parts = torch.from_numpy(tokens).split(_CLIPS_AT_ONCE)
        return torch.cat([self(p.to(device)).cpu() for p in parts])[:, None].numpy()


def fit_attentive(
    data: Labelled,
    num_classes: int,
    grid: Sequence[Mapping[str, float]] = ATTENTIVE_GRID,
    seed: int = 0,
) -> Iterator[tuple[Mapping[str, float], AttentivePooler, Classifier]]:
    """A pooler and its classifier for each setting of a grid.

    Args:
        data: What to train on; ``features`` are tokens (N, L, D).
        num_classes: K.
        grid: ``lr`` and ``weight_decay``.
        seed: Of the first weights and of the order of clips, the same for all settings.

    Yields:
        The setting, its pooler, and a classifier of what that gives.
    """
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    tokens = torch.from_numpy(data.features)
    labels = torch.from_numpy(np.asarray(data.labels)).long()
    for setting in grid:
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(seed)
            pooler = AttentivePooler(tokens.shape[2]).to(device)
            layer = nn.Linear(tokens.shape[2], num_classes).to(device)
            _train(pooler, layer, tokens, labels, setting)
        pooler.requires_grad_(False).eval()
        weight, bias = (p.detach().cpu() for p in (layer.weight, layer.bias))
        yield setting, pooler, Classifier(weight, bias)


def _train(
    pooler: nn.Module,
    layer: nn.Module,
    tokens: Tensor,
    labels: Tensor,
    setting: Mapping[str, float],
) -> None:
    device = layer.weight.device
    parameters = [*pooler.parameters(), *layer.parameters()]
    groups = [
        {'params': [p for p in parameters if p.squeeze().ndim > 1]},
        {'params': [p for p in parameters if p.squeeze().ndim <= 1], 'weight_decay': 0},
    ]
    optimizer = torch.optim.AdamW(groups, **setting)
    total = EPOCHS * math.ceil(len(tokens) / BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate(step, total)
    )
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(tokens)).split(BATCH_SIZE):
            logits = layer(pooler(tokens[rows].to(device)))
            loss = F.cross_entropy(logits, labels[rows].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def _rate(step: int, total: int) -> float:
    """Share of the peak rate at a step."""
    warmup = max(1, total // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
