"""Few-shot adaptation on features that are extracted once.

The backbone of the source model stays as it is; its classifier is refitted to the
support clips. The objective is convex, so there is no number of steps or rate to tune
on the target: with features x scaled to unit root mean square norm, minimise

    mean cross entropy(W x + b) + proximity / 2 * (|W - W0|^2 + |b - b0|^2)

where W0, b0 are the source model's classifier.

Source: logistic regression with a Gaussian prior centred on the source model, as in
Chelba & Acero, 'Adaptation of Maximum Entropy Capitalizer: Little Data Can Help a
Lot', EMNLP 2004.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dist import all_gather_object
from torch import Tensor, nn


@dataclass(frozen=True)
class Features:
    """What a model sees of some clips.

    Attributes:
        names: (N,) clip names.
        features: (N, views, D) inputs of the classifier, float32.
        scores: (N, K) probabilities of the model as it is, float32.
        broken: Names of clips that could not be read and were left out.
    """

    names: list[str]
    features: np.ndarray
    scores: np.ndarray
    broken: list[str] = field(default_factory=list)

    def take(self, names: list[str]) -> Features:
        """The features of some of the clips, in the given order."""
        where = {name: i for i, name in enumerate(self.names)}
        rows = [where[name] for name in names]
        return Features(names, self.features[rows], self.scores[rows])


@dataclass(frozen=True)
class Classifier:
    """A linear classifier: ``weight`` (K, D) and ``bias`` (K,), float32."""

    weight: Tensor
    bias: Tensor

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (N, K), averaged over views, of features (N, views, D)."""
        logits = F.linear(torch.from_numpy(features), self.weight, self.bias)
        return logits.softmax(dim=-1).mean(dim=1).numpy()


def find_classifier(model: nn.Module) -> nn.Linear:
    """The linear layer that gives a recognizer its class scores.

    Raises:
        ValueError: The model's head has no such layer called ``fc_cls`` or ``fc``.
    """
    head = getattr(model, 'module', model).cls_head
    for name in ('fc_cls', 'fc'):
        layer = getattr(head, name, None)
        if isinstance(layer, nn.Linear):
            return layer
    raise ValueError(
        f'{type(head).__name__} has no linear layer `fc_cls` or `fc`: few-shot '
        'adaptation of the classifier needs one.'
    )


@torch.no_grad()
def extract_features(model: nn.Module, dataloader) -> Features:
    """Run a model over every clip of a dataloader once, on every rank.

    Args:
        model: A recognizer with one linear classifier.
        dataloader: In test mode; its samples carry ``clip`` in their meta info.

    Returns:
        Features of all clips of all ranks, each clip once, sorted by name.
    """
    seen: list[Tensor] = []
    hook = find_classifier(model).register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].float().cpu())
    )
    model.eval()
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    broken: list[str] = []
    try:
        for batch in dataloader:
            samples = model.test_step(batch)
            features = torch.cat(seen).view(len(samples), -1, seen[0].shape[-1])
            seen.clear()
            for sample, feature in zip(samples, features, strict=True):
                if sample.get('broken'):
                    broken.append(sample.clip)
                else:
                    score = sample.pred_score.float().cpu().numpy()
                    found[sample.clip] = (feature.numpy(), score)
    finally:
        hook.remove()
    return _gather(found, broken)


def _gather(
    found: dict[str, tuple[np.ndarray, np.ndarray]], broken: list[str]
) -> Features:
    """Join the clips of all ranks, each once, sorted by name."""
    parts = all_gather_object((found, broken))
    merged = {name: values for part, _ in parts for name, values in part.items()}
    names = sorted(merged)
    if not names:
        raise ValueError(f'none of the {len(broken)} clips could be read')
    return Features(
        names,
        np.stack([merged[n][0] for n in names]),
        np.stack([merged[n][1] for n in names]),
        sorted({name for _, part in parts for name in part}),
    )


def adapt_linear(
    source: Classifier, features: np.ndarray, labels: np.ndarray, proximity: float
) -> Classifier:
    """Refit a classifier to support clips, held near the source's.

    Args:
        source: The source model's classifier.
        features: (N, views, D) features of the supports.
        labels: (N,) action indices.
        proximity: Weight of the distance to the source; larger adapts less.

    Returns:
        The adapted classifier.

    Raises:
        ValueError: ``proximity`` is not above 0.
    """
    if not proximity > 0:
        raise ValueError(f'fewshot.proximity {proximity}: use a number above 0.')
    views = features.shape[1]
    x = torch.from_numpy(features).flatten(0, 1).double()  # (N, V, D) -> (N*V, D)
    y = torch.from_numpy(labels).long().repeat_interleave(views)
    scale = x.square().sum(dim=1).mean().sqrt().clamp_min(1e-12)
    x = x / scale
    weight0, bias0 = source.weight.double() * scale, source.bias.double()
    weight = weight0.clone().requires_grad_()
    bias = bias0.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=200, line_search_fn='strong_wolfe'
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        distance = (weight - weight0).square().sum() + (bias - bias0).square().sum()
        loss = F.cross_entropy(F.linear(x, weight, bias), y)
        loss = loss + proximity / 2 * distance
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(objective)
    return Classifier((weight / scale).detach().float(), bias.detach().float())


def source_classifier(model: nn.Module) -> Classifier:
    """The classifier of a model, copied to the CPU."""
    layer = find_classifier(model)
    bias = layer.bias if layer.bias is not None else layer.weight.new_zeros(1)
    return Classifier(
        layer.weight.detach().float().cpu().clone(),
        bias.detach().float().cpu().expand(layer.out_features).clone(),
    )
