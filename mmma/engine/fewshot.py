"""Few-shot adaptation of a classifier on features that are extracted once.

``linear``: the source's classifier is refitted to the support clips. The objective is
convex, so there is no number of steps or rate to tune on the target: with features x
scaled to unit root mean square norm, minimise

    mean cross entropy(W x + b) + proximity / 2 * (|W - W0|^2 + |b - b0|^2)

where W0, b0 are the source model's classifier. Source: logistic regression with a
Gaussian prior centred on the source model, as in Chelba & Acero, 'Adaptation of Maximum
Entropy Capitalizer: Little Data Can Help a Lot', EMNLP 2004.

``prototype``: the class of a clip is told by the cosine between its features and the
mean of each class's supports; the source's classifier plays no part. A class without
supports has no prototype and gets probability 0: the cosine with a source weight is on
another scale than that with a mean of features. Sources: prototypes, Snell et al.,
'Prototypical Networks for Few-shot Learning', NeurIPS 2017; cosine with a scale, which
starts at 10, Gidaris & Komodakis, 'Dynamic Few-Shot Visual Learning without
Forgetting', CVPR 2018; also Chen et al., 'A Closer Look at Few-shot Classification',
ICLR 2019. Here the temperature, 1 / scale, is a constant.

``finetune`` trains the model itself: see ``finetune.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmma.engine.features import find_classifier
from mmma.taxonomy import check_choice, suggest

ADAPTATIONS = {
    'linear': ('proximity',),
    'prototype': ('temperature',),
    'finetune': ('train', 'iters', 'lr'),
}
"""The settings of ``cfg.fewshot`` that each adaptation has."""
TRAINED_PARTS = ('all', 'last', 'head')


def fewshot_settings(configured: Mapping[str, Any]) -> dict[str, Any]:
    """The adaptation of a config, and those settings that it uses.

    Args:
        configured: ``cfg.fewshot``; settings of other adaptations are left out.

    Raises:
        ValueError: An unknown adaptation or setting, one that is missing, or a value
            that is not allowed.
    """
    adapt = check_choice('fewshot.adapt', configured.get('adapt'), tuple(ADAPTATIONS))
    known = ('adapt', *(key for keys in ADAPTATIONS.values() for key in keys))
    for key in configured:
        if key not in known:
            raise ValueError(
                f'unknown fewshot.{key}: there are {", ".join(known)}.'
                f'{suggest(key, known)}'
            )
    missing = [key for key in ADAPTATIONS[adapt] if key not in configured]
    if missing:
        raise ValueError(f'fewshot.{missing[0]} is missing; {adapt!r} needs it.')
    settings = {'adapt': adapt, **{k: configured[k] for k in ADAPTATIONS[adapt]}}
    for key in ('proximity', 'temperature', 'iters', 'lr'):
        value = settings.get(key)
        if value is not None and not value > 0:
            raise ValueError(f'fewshot.{key} {value}: use a number above 0.')
    if 'train' in settings:
        check_choice('fewshot.train', settings['train'], TRAINED_PARTS)
    return settings


@dataclass(frozen=True)
class Classifier:
    """A linear classifier.

    Attributes:
        weight: (K, D) float32.
        bias: (K,) float32.
        average: What is averaged over views: ``prob``, or ``score`` for logits.
    """

    weight: Tensor
    bias: Tensor
    average: str = 'prob'

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (N, K) of features (N, views, D)."""
        logits = F.linear(torch.from_numpy(features), self.weight, self.bias)
        if self.average == 'score':
            return logits.mean(dim=1).softmax(dim=-1).numpy()
        return logits.softmax(dim=-1).mean(dim=1).numpy()


@dataclass(frozen=True)
class CosineClassifier:
    """Classes by the cosine with their prototypes.

    Attributes:
        prototypes: (C, D) of unit norm, float32.
        classes: (C,) the class of each.
        num_classes: K; those without prototype get probability 0.
        temperature: Divides the cosine before the softmax; above 0.
    """

    prototypes: Tensor
    classes: Tensor
    num_classes: int
    temperature: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (N, K), averaged over views, of features (N, views, D)."""
        x = F.normalize(torch.from_numpy(features), dim=-1)
        cosine = x @ self.prototypes.T  # (N, views, C)
        known = (cosine / self.temperature).softmax(dim=-1).mean(dim=1)
        scores = known.new_zeros(len(known), self.num_classes)
        return scores.index_copy(1, self.classes, known).numpy()


def adapt_linear(
    source: Classifier, features: np.ndarray, labels: np.ndarray, proximity: float
) -> Classifier:
    """Refit a classifier to support clips, held near the source's.

    Args:
        source: The source model's classifier.
        features: (N, views, D) features of the supports.
        labels: (N,) action indices.
        proximity: Weight of the distance to the source, above 0; larger adapts less.

    Returns:
        The adapted classifier.
    """
    views = features.shape[1]
    x = torch.from_numpy(features).flatten(0, 1).double()  # (N, V, D) -> (N*V, D)
    y = torch.from_numpy(labels).long().repeat_interleave(views)
    scale = x.square().sum(dim=1).mean().sqrt().clamp_min(1e-12)
    x = x / scale
    weight, bias = source.weight.double() * scale, source.bias.double()
    start = F.linear(x, weight, bias)
    # What moves the weights is a sum of supports: where these are few, look for it in
    # an orthonormal basis of their span, which costs more than it saves for many.
    basis = None
    if 2 * len(x) <= x.shape[1]:
        basis, triangle = torch.linalg.qr(x.T)
        x = triangle.T
    step, shift = _minimise(start, x, y, proximity)
    if basis is not None:
        step = step @ basis.T
    return Classifier(
        ((weight + step) / scale).float(), (bias + shift).float(), source.average
    )


def _minimise(
    start: Tensor, x: Tensor, y: Tensor, proximity: float
) -> tuple[Tensor, Tensor]:
    """Steps (K, D) and (K,) from weights whose logits are ``start`` (N, K)."""
    step = x.new_zeros(start.shape[1], x.shape[1], requires_grad=True)
    shift = x.new_zeros(start.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [step, shift],
        max_iter=200,
        tolerance_grad=1e-8,
        tolerance_change=1e-12,
        line_search_fn='strong_wolfe',
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        distance = step.square().sum() + shift.square().sum()
        loss = F.cross_entropy(start + F.linear(x, step, shift), y)
        loss = loss + proximity / 2 * distance
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(objective)
    return step.detach(), shift.detach()


def adapt_prototype(
    features: np.ndarray, labels: np.ndarray, num_classes: int, temperature: float
) -> CosineClassifier:
    """Prototypes of the classes of the supports.

    Args:
        features: (N, views, D) features of the supports.
        labels: (N,) action indices.
        num_classes: K.
        temperature: Divides the cosine before the softmax; above 0.
    """
    x = F.normalize(torch.from_numpy(features), dim=-1).mean(dim=1)
    classes, place = torch.from_numpy(labels).long().unique(return_inverse=True)
    sums = x.new_zeros(len(classes), x.shape[1]).index_add(0, place, x)
    return CosineClassifier(
        F.normalize(sums, dim=-1), classes, num_classes, temperature
    )


def source_classifier(model: nn.Module) -> Classifier:
    """The classifier of a model, copied to the CPU."""
    layer = find_classifier(model)
    head = getattr(model, 'module', model).cls_head
    bias = layer.bias if layer.bias is not None else layer.weight.new_zeros(1)
    return Classifier(
        layer.weight.detach().float().cpu().clone(),
        bias.detach().float().cpu().expand(layer.out_features).clone(),
        getattr(head, 'average_clips', None) or 'prob',
    )
