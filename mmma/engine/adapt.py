"""Adaptation to the clips of a target whose labels nobody sees, and its control.

``bn``: batch norms have the clips' statistics. Source: AdaBN, arXiv 1603.04779.
``t3a``: the classifier becomes a template per class: the mean direction of features it
takes for the class, those of low entropy; its weights are the first of them. Source:
Iwasawa & Matsuo, NeurIPS 2021; github.com/matsuolab/T3A, adapt_algorithms.py.
``tent``: scale and shift of norms go down the entropy of what the model predicts, one
step of Adam per batch, under the batch's statistics. Source: Wang et al., ICLR 2021;
github.com/DequanWang/tent, tent.py; of layer norms Niu et al., ICLR 2023.
``pseudo``: the classifier is refitted, as in few-shot, to clips that the model is sure
of. Source: Lee, 'Pseudo-Label', ICML 2013 workshop; the threshold as in FixMatch.

On the target's train subset a model is adapted, then frozen. On the tested clips T3A
and Tent are online, as published: a batch is scored with what it and those before it
gave. The seed draws the order of clips: that of a table may go by class. The control
does the same with as many clips of the source: what it gains, the target did not give.
"""

import copy
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmma.engine.features import Features, FeatureSource, Row, find_classifier, row_of
from mmma.engine.fewshot import Classifier, adapt_linear, source_classifier, with_bodies
from mmma.engine.run import Run
from mmma.engine.runner import unwrapped
from mmma.evaluation.form import check_value
from mmma.evaluation.rows import Group
from mmma.evaluation.scores import ScoreTable
from mmma.taxonomy import check_choice, own_table

METHODS = ('bn', 't3a', 'tent', 'pseudo')
_FORM = own_table('forms')['adapt']
Pool = tuple[str, tuple[str, ...], Features]
"""Subset, domains, and clips in the order in which they come, without labels."""


def adapt_settings(cfg: Any) -> dict[str, Any]:
    """All of ``cfg.adapt`` but its methods; ValueError: missing, or not allowed."""
    settings = dict(cfg.get('adapt') or {})
    check_value(settings, _FORM, 'adapt')
    for key, kind in _FORM.items():
        if kind == 'number' and settings[key] <= 0:
            raise ValueError(f'adapt.{key} {settings[key]}: use a number above 0.')
    settings['batch_size'] = settings['batch_size'] or cfg.test_dataloader.batch_size
    return {key: value for key, value in settings.items() if key != 'method'}


def choose_methods(cfg: Any, model: nn.Module) -> tuple[list[str], dict[str, str]]:
    """Methods of ``cfg.adapt`` that fit a model, else ValueError; why others do not."""
    given = cfg.adapt.method
    named = list(given) if isinstance(given, (list, tuple)) else [given]
    for name in named:
        check_choice('adapt.method', name, ('all', *METHODS))
    norms, lacks = _norms(model), {}
    if not any(isinstance(m, _BatchNorm) for m in norms):
        lacks['bn'] = 'the model has no batch norm that keeps statistics'
    if not any(m.weight is not None for m in norms):
        lacks['tent'] = 'the model has no batch or layer norm with scale and shift'
    try:
        find_classifier(model)
    except ValueError as error:
        lacks |= dict.fromkeys(('t3a', 'pseudo'), str(error))
    wanted = [m for m in METHODS if m in named or 'all' in named]
    left = {name: lacks[name] for name in wanted if name in lacks}
    if len(left) == len(wanted) or (left and 'all' not in named):
        told = '; '.join(f'{name}: {why}' for name, why in left.items())
        raise ValueError(f'adapt.method {named} does not fit this model: {told}')
    return [name for name in wanted if name not in left], left


def templates(source: Classifier, features: np.ndarray, supports: Any) -> Classifier:
    """A classifier of templates, by T3A, from features (N, views, D) of any clips.

    Of each class the ``supports`` of least entropy are kept; None keeps all.
    """
    x = torch.cat([source.weight, torch.from_numpy(features).mean(dim=1)])  # (K + N, D)
    scores = F.linear(x, source.weight, source.bias).softmax(dim=1)
    labels, order = scores.argmax(dim=1), entropy(scores).argsort(stable=True)
    x, sums = F.normalize(x, dim=1), torch.zeros_like(source.weight)
    for label in labels.unique():
        kept = order[labels[order] == label][: supports or None]
        sums[label] = x[kept].sum(dim=0)
    return replace(source, weight=F.normalize(sums, dim=1), bias=0 * source.bias)


def entropy(scores: Tensor) -> Tensor:
    """Entropy (N,) of probabilities (N, K); the gradient of one of 0 is finite."""
    return -(scores * scores.clamp_min(1e-30).log()).sum(dim=1)


def score_adapt(run: Run, runner: Any, cached: str | None, subset: str) -> list[Group]:
    """Of each target zero-shot, and every method with its control.

    ``cached`` is the SHA-256 of weights whose features are kept, or None.
    """
    own, found = adapt_settings(run.cfg), []
    methods, left = choose_methods(run.cfg, runner.model)
    for name, why in left.items():
        print_log(f'adapt: {name} does not fit: {why}', 'current')
    source = FeatureSource(runner, cached, bool({'t3a', 'pseudo'} & {*methods}))
    for target in run.protocol.target:
        tested = subset, (target,), source.features(subset, target)
        labels: dict[str, Any] = {'target': target, 'control': 'zero-shot'}
        labels |= {'left_out': left} if left else {}
        found.append(Group(labels, tested[2].table(), tested[2].broken))
        seeds = [run.protocol.seed, zlib.crc32(target.encode())]
        part = subset if own['on'] == 'test' else 'train'
        few = 8 if part == 'train' and run.cfg.get('fast_dev_run') else None
        ours = _draw(run, source, (part, (target,)), seeds, few)
        where, most = (own['control'], run.protocol.train_domains), len(ours[2].names)
        theirs = _draw(run, source, where, seeds, most)
        for method in methods:
            for pool, control in (ours, {}), (theirs, {'control': 'source'}):
                labels = {'target': target, 'method': method, **control}
                print_log(f'adapt: {labels}', 'current')
                table, told = _score(source, method, own, pool, tested)
                told |= {'subset': pool[0], 'domains': [*pool[1]]}
                broken = sorted({*tested[2].broken, *pool[2].broken})
                found.append(Group({**labels, 'adapted_on': told}, table, broken))
    return found


def _draw(run: Run, source: FeatureSource, where: Any, seeds: Any, most: Any) -> Pool:
    """Clips of a subset of domains, at ``most`` so many, drawn by the seeds."""
    subset, domains = where
    domain_of = {c.clip: c.domain for c in run.clips() if c.subset == subset}
    names = sorted(name for name, domain in domain_of.items() if domain in domains)
    if not names:
        raise ValueError(
            f'{", ".join(domains)} has no {subset} clip to adapt to: use another '
            'adapt.on where it is a target, another adapt.control where the source.'
        )
    drawn = np.random.default_rng(seeds).permutation(names)[:most].tolist()
    there = {domain_of[name] for name in drawn}
    rows = {n: row for d in there for n, row in source.stream(subset, d, drawn)}
    return *where, Features.join(rows).take(drawn)


def _score(
    source: FeatureSource, method: str, own: Mapping[str, Any], to: Pool, tested: Pool
) -> tuple[ScoreTable, dict[str, Any]]:
    """Scores of tested clips by a model adapted to a pool, and numbers of it."""
    (*place, clips), (*tested_place, seen) = to, tested
    online, count = place == tested_place, len(clips.names)
    blocks = np.array_split(range(count), -(-count // own['batch_size']))
    if method in ('bn', 'tent'):
        dataset = source.dataset(*place, clips.names)
        places = {name: i for i, name in enumerate(dataset.metainfo['clips'])}
        order = np.array([places[name] for name in clips.names])
        loader = source.load(dataset, [order[block].tolist() for block in blocks])
        rate = own['lr'] if method == 'tent' else None
        with adapted(source.runner, loader, rate, online) as rows:
            if not rows:
                model = FeatureSource(source.runner, linear=False)
                rows = dict(model.stream(tested[0], *tested[1], seen.names))
        return Features.join(rows).table().select(seen.names), {'clips': count}
    layer, told = source_classifier(source.runner.model), {'clips': count}
    if method == 't3a' and online:
        scores = []
        for block in blocks:
            now = templates(layer, clips.features[: block[-1] + 1], own['supports'])
            scores.append(now.predict(clips.features[block]))
        table = with_bodies(layer, np.concatenate(scores), clips)
        return table.select(seen.names), told
    if method == 't3a':
        layer = templates(layer, clips.features, own['supports'])
    else:
        sure = clips.scores.max(axis=1) >= own['confidence']
        told['sure'] = int(sure.sum())
        if sure.any():
            given = clips.features[sure], clips.scores[sure].argmax(axis=1)
            layer = adapt_linear(layer, *given, own['proximity'])
    return with_bodies(layer, layer.predict(seen.features), seen), told


@contextmanager
def adapted(runner: Any, loader: Any, rate: float | None, online: bool) -> Iterator:
    """A copy of a runner's model with adapted norms, until the ``with`` block ends.

    With a ``rate`` by Tent; if it is ``online``, come the rows that it gave on its way.
    Else batch norms get, then or without it, the statistics of the clips.
    """
    source, rows = runner.model, {}
    runner.model = model = copy.deepcopy(unwrapped(source)).requires_grad_(False)
    try:
        if rate:
            moved = [p for m in _norms(model) for p in m.parameters(recurse=False)]
            optimizer = torch.optim.Adam([p.requires_grad_() for p in moved], rate)
            rows = _pass(model, loader, optimizer)
        if not (rate and online):
            rows = _pass(model, loader) and {}
        model.eval()
        yield rows
    finally:
        runner.model = source


def _pass(model: nn.Module, loader: Any, optimizer: Any = None) -> dict[str, Row]:
    """Rows of a pass over clips that sets statistics, or takes steps of Tent."""
    batch_norms = [m for m in _norms(model.eval()) if isinstance(m, _BatchNorm)]
    rows: dict[str, Row] = {}
    for batch in loader if batch_norms or optimizer else ():
        for norm in batch_norms:  # a mean over all clips: the first batch counts whole
            size = len(batch['data_samples'])
            norm.train().momentum = size / (len(rows) + size)
        with torch.set_grad_enabled(optimizer is not None):
            samples = model.test_step(batch)
            if optimizer:
                scores = torch.stack([sample.pred_score for sample in samples])
                optimizer.zero_grad()
                entropy(scores).mean().backward()
                optimizer.step()
        rows |= {s.clip: row_of(s.detach(), np.zeros((1, 0))) for s in samples}
    return rows


def _norms(model: nn.Module) -> list[Any]:
    """Batch norms that keep statistics, and layer norms."""
    found = [m for m in model.modules() if isinstance(m, (_BatchNorm, nn.LayerNorm))]
    return [m for m in found if getattr(m, 'running_mean', True) is not None]
