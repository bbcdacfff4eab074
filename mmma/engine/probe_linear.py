"""Linear probes: multinomial logistic regression on features of a frozen backbone.

Features are standardised by the mean and spread of the training clips; with x the
result, W and b minimise

    mean cross entropy(W x + b) + l2 / 2 * |W|^2

which is convex, so there is no rate and no number of steps. ``l2`` is chosen from a
grid by Top-1 on validation clips of the training domains. Standardising is folded into
W and b afterwards: they take features as they are, as a recipe's ``fc_cls``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmma.engine.fewshot import Classifier

L2_GRID = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Strengths that are tried, strongest first; each fit starts from the one before."""
_EXACT = 1 << 16
"""Up to so many numbers, features are float64; more are float32, for speed."""
_MAX_STEPS = 100


@dataclass(frozen=True)
class Labelled:
    """Features with their truth.

    Attributes:
        features: (N, views, D) float32.
        labels: (N,) action indices.
    """

    features: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Standardised:
    """Features on the axes along which they vary, standardised before.

    Attributes:
        x: (N * views, D) rotated features.
        y: (N * views,) labels.
        mean: (D,) of the raw features.
        spread: (D,) their standard deviation; where nothing varies, infinite.
        axes: (D, D) orthonormal, from standardised to rotated features.
        variance: (D,) of the rotated features.
    """

    x: Tensor
    y: Tensor
    mean: Tensor
    spread: Tensor
    axes: Tensor
    variance: Tensor

    @classmethod
    def of(cls, data: Labelled) -> Standardised:
        """Standardise and rotate, on a GPU where there is one."""
        exact = data.features.size <= _EXACT
        gpu = torch.cuda.is_available()
        x = torch.from_numpy(data.features).flatten(0, 1)  # (N, V, D) -> (N*V, D)
        x = x.to('cuda' if gpu else 'cpu', torch.float64 if exact else torch.float32)
        y = torch.from_numpy(np.asarray(data.labels)).long().to(x.device)
        mean = x.mean(dim=0)
        x = x - mean
        spread = x.square().mean(dim=0).sqrt()
        noise = 1e-6 * (mean.square() + spread.square()).mean().sqrt()
        spread = spread.where(spread > noise, torch.inf)
        x = x / spread
        variance, axes = torch.linalg.eigh(x.T @ x / len(x))
        y = y.repeat_interleave(data.features.shape[1])
        return cls(x @ axes, y, mean, spread, axes, variance.clamp_min(0))

    def unfold(self, weight: Tensor, bias: Tensor, average: str) -> Classifier:
        """A classifier of raw features from one of rotated ones."""
        weight = (weight @ self.axes.T).double() / self.spread.double()
        bias = bias.double() - weight @ self.mean.double()
        return Classifier(weight.float().cpu(), bias.float().cpu(), average)


def fit_path(
    data: Labelled,
    num_classes: int,
    grid: Sequence[float] = L2_GRID,
    average: str = 'prob',
) -> Iterator[tuple[float, Classifier]]:
    """Classifiers for each strength of a grid.

    Args:
        data: What to fit; views count as clips of their own.
        num_classes: K.
        grid: Strengths above 0; quickest where each is below the one before.
        average: As of ``Classifier``.

    Yields:
        The strength and its classifier.
    """
    space = Standardised.of(data)
    weight = space.x.new_zeros(num_classes, space.x.shape[1])
    bias = space.x.new_zeros(num_classes)
    for l2 in grid:
        weight, bias = _minimise(space, weight, bias, l2)
        yield l2, space.unfold(weight, bias, average)


def _minimise(
    space: Standardised, weight: Tensor, bias: Tensor, l2: float
) -> tuple[Tensor, Tensor]:
    # A class of probability p bends the loss by p (1 - p) times the variance: scaled by
    # that, all directions are about equally steep, and few steps are needed.
    scale = (space.variance / len(bias) + l2).rsqrt()  # (D,)
    steps = (weight / scale).requires_grad_()
    shift = bias.clone().requires_grad_()
    exact = space.x.dtype == torch.float64
    optimizer = torch.optim.LBFGS(
        [steps, shift],
        max_iter=3 * _MAX_STEPS if exact else _MAX_STEPS,
        tolerance_grad=1e-5,
        tolerance_change=1e-9 if exact else 1e-7,
        line_search_fn='strong_wolfe',
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        weight = steps * scale
        loss = F.cross_entropy(F.linear(space.x, weight, shift), space.y)
        loss = loss + l2 / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(objective)
    return (steps * scale).detach(), shift.detach()
