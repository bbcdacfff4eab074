"""Few-shot evaluation: adaptation of a model to K clips per class of a target.

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

``finetune``: the model itself is trained, all of it, its last block and head, or its
head. The supports go through the recipe's training pipeline, loss, optimizer and
parameter groups. Number of steps and learning rate are constants of the config; the
rate falls linearly to 0. Running means of batch norms stay the source's, for a few
supports make poor statistics. All that is random follows from the seeds given.
"""

import copy
import itertools
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor, nn

from mmma.data.clips import Clip
from mmma.engine.features import Features, FeatureSource, find_classifier
from mmma.engine.hooks import seed_everything, tell_classes
from mmma.engine.run import Run
from mmma.evaluation.recognition import (
    class_prior,
    fuse_body_scores,
    mask_to_classes,
    reweight_by_prior,
)
from mmma.evaluation.rows import Group
from mmma.evaluation.scores import ScoreTable
from mmma.protocols import draw_supports
from mmma.taxonomy import check_choice

ADAPTATIONS = {
    'linear': ('proximity',),
    'prototype': ('temperature',),
    'finetune': ('train', 'iters', 'lr'),
}
"""The settings of ``cfg.fewshot`` that each adaptation has."""
_BLOCK = re.compile(r'backbone\.(?:.+?\.)?\d+\.')


def fewshot_settings(configured: Mapping[str, Any]) -> dict[str, Any]:
    """The adaptation of ``cfg.fewshot``, and those of the settings that it uses.

    Unknown or missing ones, and values that are not allowed, raise ValueError.
    """
    adapt = check_choice('fewshot.adapt', configured.get('adapt'), tuple(ADAPTATIONS))
    known = ('adapt', *(key for keys in ADAPTATIONS.values() for key in keys))
    for key in configured:
        check_choice('setting', key, known, 'fewshot')
    settings = {'adapt': adapt}
    for key in ADAPTATIONS[adapt]:
        if key not in configured:
            raise ValueError(f'fewshot.{key} is missing; {adapt!r} needs it.')
        value = settings[key] = configured[key]
        if key == 'train':
            check_choice('fewshot.train', value, ('all', 'last', 'head'))
        elif value is not None and not value > 0:
            raise ValueError(f'fewshot.{key} {value}: use a number above 0.')
    return settings


@dataclass(frozen=True)
class Classifier:
    """A linear classifier.

    Attributes:
        weight: (K, D) float32.
        bias: (K,) float32.
        average: What is averaged over views: ``prob``, or ``score`` for logits.
        fusion_weight: Of the body scores in those of the actions; 0 where the model's
            head does not fuse them.
        body_of: (K,) body group of each action, where it does.
    """

    weight: Tensor
    bias: Tensor
    average: str = 'prob'
    fusion_weight: float = 0.0
    body_of: Sequence[int] = ()

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Probabilities (N, K) of features (N, views, D)."""
        logits = F.linear(torch.from_numpy(features), self.weight, self.bias)
        if self.average == 'score':
            return logits.mean(dim=1).softmax(dim=-1).numpy()
        return logits.softmax(dim=-1).mean(dim=1).numpy()


def adapt_linear(
    source: Classifier, features: np.ndarray, labels: np.ndarray, proximity: float
) -> Classifier:
    """Refit the source's classifier to support clips, held near what it is.

    Features are (N, views, D) of the supports, labels (N,) their actions; ``proximity``
    is the weight of the distance to the source, above 0: larger adapts less.
    """
    x = torch.from_numpy(features).flatten(0, 1).double()  # (N, V, D) -> (N*V, D)
    y = torch.from_numpy(labels).long().repeat_interleave(features.shape[1])
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
    zero = x.new_zeros(len(bias), x.shape[1]), torch.zeros_like(bias)
    limits = dict(steps=200, tolerances=(1e-8, 1e-12))
    step, shift = fit_softmax((x, y), zero, proximity, prior=start, **limits)
    if basis is not None:
        step = step @ basis.T
    weight = ((weight + step) / scale).float()
    return replace(source, weight=weight, bias=(bias + shift).float())


def fit_softmax(
    data: tuple[Tensor, Tensor],
    start: tuple[Tensor, Tensor],
    penalty: float,
    *,
    prior: Tensor | None = None,
    scale: Tensor | float = 1.0,
    steps: int,
    tolerances: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """Minimise mean cross entropy + penalty / 2 * distance to a prior, by L-BFGS.

    Args:
        data: Features (N, D) and labels (N,).
        start: Weights (K, D) and biases (K,) to start from.
        prior: (N, K) logits of the classifier that the distance is to, in weights and
            biases, of which the result is the difference. None: 0, and biases are free.
        scale: (D,) units in which all directions of the weights are about equally
            steep.
        tolerances: Of gradient and change.
    """
    x, y = data
    weight, bias = start
    units = (weight / scale).requires_grad_()
    shift = bias.clone().requires_grad_()
    limits = dict(tolerance_grad=tolerances[0], tolerance_change=tolerances[1])
    limits |= dict(max_iter=steps, line_search_fn='strong_wolfe')
    optimizer = torch.optim.LBFGS([units, shift], **limits)

    def objective() -> Tensor:
        optimizer.zero_grad()
        weight = units * scale
        logits, distance = F.linear(x, weight, shift), weight.square().sum()
        if prior is not None:
            logits = prior + logits
            distance = distance + shift.square().sum()
        loss = F.cross_entropy(logits, y) + penalty / 2 * distance
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(objective)
    return (units * scale).detach(), shift.detach()


def prototype_scores(
    supports: np.ndarray,
    labels: np.ndarray,
    tested: np.ndarray,
    num_classes: int,
    temperature: float,
) -> np.ndarray:
    """Probabilities (M, K) of classes by the cosine with their prototypes, over views.

    Supports are (N, views, D) features with labels (N,), ``tested`` (M, views, D) those
    of other clips. Of K classes those without supports get probability 0. The
    temperature, above 0, divides the cosine before the softmax.
    """
    x = F.normalize(torch.from_numpy(supports), dim=-1).mean(dim=1)
    classes, place = torch.from_numpy(labels).long().unique(return_inverse=True)
    sums = x.new_zeros(len(classes), x.shape[1]).index_add(0, place, x)
    x = F.normalize(torch.from_numpy(tested), dim=-1)
    cosine = x @ F.normalize(sums, dim=-1).T  # (M, views, classes with supports)
    known = (cosine / temperature).softmax(dim=-1).mean(dim=1)
    scores = known.new_zeros(len(known), num_classes)
    return scores.index_copy(1, classes, known).numpy()


def source_classifier(model: nn.Module) -> Classifier:
    """The classifier of a model, copied to the CPU."""
    layer = find_classifier(model)
    head = getattr(model, 'module', model).cls_head
    bias = layer.bias if layer.bias is not None else layer.weight.new_zeros(1)
    return Classifier(
        layer.weight.detach().float().cpu().clone(),
        bias.detach().float().cpu().expand(layer.out_features).clone(),
        getattr(head, 'average_clips', None) or 'prob',
        getattr(head, 'fusion_weight', 0),
        head.body_of.tolist() if getattr(head, 'fusion_weight', 0) else (),
    )


def score_fewshot(
    run: Run,
    features: Callable[..., Features],
    source: Classifier | Runner,
    subset: str = 'test',
    power: float | None = 1.0,
) -> list[Group]:
    """Zero-shot, its controls and every support draw, of each target.

    Supports tell more than how classes look: which exist, and how often. The control
    ``prior`` of a draw is zero-shot with the class prior that the drawn supports show:
    of a few-shot gain, it is what that alone explains. ``oracle-prior`` knows the
    labels of the target's whole train subset, which no few-shot method does.

    Args:
        features: ``features`` of a :class:`FeatureSource`, or the like of it.
        source: What is adapted: the source's classifier, or a runner, whose model is
            trained and is as it was afterwards.
        power: The scores assume classes of n source clips to be as frequent as
            n**power; None where that is unknown: there are no controls of priors then.
    """
    protocol, clips = run.protocol, run.clips()
    settings = fewshot_settings(run.cfg.fewshot)
    prior = None
    if power is None:
        told = 'no controls of class priors: what the scores assume is unknown for this'
        print_log(f'{told} sampler, loss or source', 'current')
    else:
        domains = protocol.train_domains
        known = [action for d in domains for action in _trained(clips, d).values()]
        assumed = class_prior(known, run.space.num_actions) ** power
        prior = assumed / assumed.sum()
    found: list[Group] = []
    for target in protocol.target:
        pool = _trained(clips, target)
        draws = [draw_supports(pool, target, protocol, r) for r in range(protocol.runs)]
        wanted = {n for draw in draws for names in draw.values() for n in names}
        supports = features('train', target, wanted)
        tested = features(subset, target)
        found += _zero_shot(tested, target, pool, prior)
        zero_shot = tested.table()
        for number, draw in enumerate(draws):
            for shots, drawn in draw.items():
                labels = {'target': target, 'shots': shots, 'run': number}
                print_log(f'{settings["adapt"]}: {labels}', 'current')
                own = supports.take(drawn)
                actions = np.array([pool[name] for name in own.names])
                broken = tested.broken + supports.broken
                if prior is not None:
                    shown = class_prior(actions, len(prior))
                    scores = reweight_by_prior(zero_shot.scores, prior, shown)
                    control = {**labels, 'control': 'prior'}
                    table = replace(zero_shot, scores=scores)
                    found.append(Group(control, table, broken))
                if isinstance(source, Classifier):
                    known = own.features, actions
                    if settings['adapt'] == 'prototype':
                        options = (len(source.bias), settings['temperature'])
                        scores = prototype_scores(*known, tested.features, *options)
                    else:
                        adapted = adapt_linear(source, *known, settings['proximity'])
                        scores = adapted.predict(tested.features)
                    table = with_bodies(source, scores, tested)
                else:
                    seeds = (protocol.seed, number, zlib.crc32(target.encode()))
                    with finetuned(source, target, own.names, settings, seeds):
                        model = FeatureSource(source, linear=False)
                        table = model.features(subset, target).table()
                labels['effective_shots'] = len(own.names) / len(set(pool.values()))
                labels['supports'] = own.names
                found.append(Group(labels, table, broken))
    return found


def with_bodies(source: Classifier, scores: Any, tested: Features) -> ScoreTable:
    """Scores of clips, fused with bodies as the source's head does."""
    bodies = tested.body_scores
    if bodies is not None and source.fusion_weight:  # the body classifier stays
        scores = fuse_body_scores(scores, bodies, source.body_of, source.fusion_weight)
    return replace(tested.table(), scores=scores)


def _zero_shot(
    tested: Features, target: str, pool: Mapping[str, int], prior: np.ndarray | None
) -> list[Group]:
    """The source model as it is, masked to the target's classes, with their prior."""
    table, own = tested.table(), list(pool.values())
    classes = mask_to_classes(table.scores, sorted(set(own)))
    variants = {None: table.scores, 'classes': classes}
    if prior is not None:
        oracle = class_prior(own, len(prior))
        variants['oracle-prior'] = reweight_by_prior(table.scores, prior, oracle)
    found = []
    for name, scores in variants.items():
        labels = {'target': target, 'shots': 0} | ({'control': name} if name else {})
        found.append(Group(labels, replace(table, scores=scores), tested.broken))
    return found


def _trained(clips: Sequence[Clip], domain: str) -> dict[str, int]:
    """Actions of the train clips of a domain, where they are known."""
    own = [c for c in clips if (c.subset, c.domain) == ('train', domain)]
    return {c.clip: c.action for c in own if c.action is not None}


@contextmanager
def finetuned(
    runner: Runner,
    target: str,
    supports: Sequence[str],
    settings: Mapping[str, Any],
    seeds: Sequence[int],
) -> Iterator[None]:
    """A copy of a runner's model trained on supports, until the ``with`` block ends.

    Args:
        supports: Clips of the target's train subset.
        settings: ``train``, ``iters`` and ``lr``, as in ``cfg.fewshot``.
        seeds: Whole numbers from 0 that all randomness follows from.
    """
    source = runner.model
    runner.model = model = copy.deepcopy(getattr(source, 'module', source))
    try:
        chosen = trained_parameters(model, settings['train'])
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and name in chosen)
        # Supports in the recipe's training pipeline, in batches of the recipe's size.
        loader = runner.cfg.train_dataloader.to_dict()
        share = -(-len(supports) // get_world_size())
        own = dict(subset='train', domains=[target], clips=list(supports))
        loader['dataset'].update(own, on_broken='replace', serialize_data=False)
        loader['batch_size'] = min(loader['batch_size'], share)
        sampler = dict(type='EpochSampler', shuffle=True)
        loader.update(sampler=sampler, batch_sampler=None, drop_last=False)
        seed = int(np.random.SeedSequence(list(seeds)).generate_state(1)[0])
        batches = Runner.build_dataloader(loader, seed=seed)
        _train(runner, batches, settings, seeds)
        yield
    finally:
        runner.model = source


def trained_parameters(model: nn.Module, part: str) -> set[str]:
    """Names of the parameters of a recognizer's part: ``all``, ``head`` or ``last``.

    ``last`` is the last numbered block of the backbone and all that comes after it; a
    backbone without any raises ValueError.
    """
    names = [name for name, _ in model.named_parameters()]
    if part == 'all':
        return set(names)
    head = {name for name in names if name.startswith('cls_head.')}
    if part == 'head':
        return head
    found = [m.group() for m in map(_BLOCK.match, names) if m]
    if not found:
        raise ValueError(
            f"fewshot.train 'last': {type(model.backbone).__name__} has no numbered "
            "blocks; use 'all' or 'head'."
        )
    first = next(i for i, name in enumerate(names) if name.startswith(found[-1]))
    return set(names[first:]) | head


def _train(
    runner: Runner, loader: Any, settings: Mapping[str, Any], seeds: Sequence[int]
) -> None:
    model = runner.model
    cfg, iters, rate = runner.cfg, settings['iters'], settings['lr']
    tell_classes(model, loader.dataset.metainfo, training=True)
    optimizer = runner.build_optim_wrapper(copy.deepcopy(cfg.optim_wrapper))
    factor = 0.1  # of the recipe's learning rate, where the config gives none
    if rate is None:
        runner.scale_lr(optimizer, cfg.get('auto_scale_lr'))
    else:
        factor = rate / cfg.optim_wrapper.optimizer.lr  # groups keep their ratios
    rates = [group['lr'] * factor for group in optimizer.param_groups]
    optimizer.initialize_count_status(model, 0, iters)
    # Wrapped anew: the runner's wrapper waits for gradients of what is frozen now.
    trainee = runner.wrap_model(copy.deepcopy(cfg.get('model_wrapper_cfg')), model)
    trainee.train()
    _freeze(model)
    for step, batch in enumerate(itertools.islice(_epochs(loader), iters)):
        seed_everything(*seeds, get_rank(), step)
        for group, first in zip(optimizer.param_groups, rates, strict=True):
            group['lr'] = first * (1 - step / iters)
        trainee.train_step(batch, optim_wrapper=optimizer)
    model.eval()


def _freeze(model: nn.Module) -> None:
    """No dropout in modules whose parameters are all frozen, no batch statistics."""
    for module in model.modules():
        own = list(module.parameters())
        frozen = own and not any(parameter.requires_grad for parameter in own)
        if frozen or isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _epochs(loader: Any) -> Iterator[Any]:
    """Batches of one epoch after the other, without end."""
    for epoch in itertools.count():
        loader.sampler.set_epoch(epoch)
        yield from loader
