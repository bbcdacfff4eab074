"""Probes of a frozen backbone, under every protocol from one pass over the clips.

A probe is trained and chosen on the train and val subsets of a protocol's source:
all domains, one, or ``lab``, from which zero-shot and few-shot start. Nothing is chosen
on a target. Few-shot refits the last, linear layer of the ``lab`` probe.

``linear``: multinomial logistic regression. Features are standardised by the mean and
spread of the training clips; with x the result, W and b minimise

    mean cross entropy(W x + b) + l2 / 2 * |W|^2

which is convex, so there is no rate and no number of steps. ``l2`` is chosen from a
grid by Top-1 on validation clips of the training domains. Standardising is folded into
W and b afterwards: they take features as they are, as a recipe's ``fc_cls``.

``attentive``: one learned query looks at the tokens of a clip.

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

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.runner import Runner
from torch import Tensor, nn

from mmma import __version__
from mmma.checkpoints import to_plain
from mmma.checkpoints.files import weights_sha256
from mmma.data.clips import Clip
from mmma.datasets.clips import space_meta
from mmma.engine.features import Features, FeatureSource, domain_groups
from mmma.engine.fewshot import Classifier, fewshot_settings, fit_softmax, score_fewshot
from mmma.engine.run import Run, describe_data
from mmma.evaluation.rows import Group
from mmma.files import atomic_write
from mmma.taxonomy import DOMAINS, SUBSETS

L2_GRID = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Strengths that are tried, strongest first; each fit starts from the one before."""
_EXACT = 1 << 16  # numbers: features are float64; more are float32, for speed
_MAX_STEPS = 100

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

    ``dims`` is D of tokens and of the result; heads have 64 channels where that divides
    it, else there is one.
    """

    def __init__(self, dims: int) -> None:
        super().__init__()
        heads = dims // _HEAD_DIM if dims % _HEAD_DIM == 0 else 1
        self.query = nn.Parameter(torch.zeros(1, 1, dims))
        self.norm1 = nn.LayerNorm(dims)
        self.attention = nn.MultiheadAttention(dims, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(dims)
        layers = nn.Linear(dims, 4 * dims), nn.GELU(), nn.Linear(4 * dims, dims)
        self.mlp = nn.Sequential(*layers)
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


Candidate = tuple[Mapping[str, float], AttentivePooler | None, Classifier]
"""A setting; what makes features of tokens, None takes features as they are; and the
last layer."""


def fit_linear(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    average: str = 'prob',
    grid: Sequence[float] = L2_GRID,
) -> Iterator[Candidate]:
    """Fit a linear probe with each strength of a grid, all above 0.

    Features are (N, views, D) float32, whose views count as clips of their own; labels
    (N,) are of K classes. It is quickest where each strength is below the one before.
    """
    exact = features.size <= _EXACT
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    x = torch.from_numpy(features).flatten(0, 1)  # (N, V, D) -> (N*V, D)
    x = x.to(device, torch.float64 if exact else torch.float32)
    y = torch.from_numpy(labels).long().to(device)
    y = y.repeat_interleave(features.shape[1])
    mean = x.mean(dim=0)
    x = x - mean
    spread = x.square().mean(dim=0).sqrt()
    noise = 1e-6 * (mean.square() + spread.square()).mean().sqrt()
    spread = spread.where(spread > noise, torch.inf)  # what does not vary weighs 0
    x = x / spread
    # On the axes along which they vary, features are easier to fit.
    variance, axes = torch.linalg.eigh(x.T @ x / len(x))
    x, variance = x @ axes, variance.clamp_min(0)
    weight, bias = x.new_zeros(num_classes, x.shape[1]), x.new_zeros(num_classes)
    limits: dict[str, Any] = dict(steps=3 * _MAX_STEPS if exact else _MAX_STEPS)
    limits['tolerances'] = 1e-5, 1e-9 if exact else 1e-7
    for l2 in grid:
        # A class of probability p bends the loss by p (1 - p) times the variance.
        scale, start = (variance / num_classes + l2).rsqrt(), (weight, bias)
        weight, bias = fit_softmax((x, y), start, l2, scale=scale, **limits)
        raw = (weight @ axes.T).double() / spread.double()
        shift = bias.double() - raw @ mean.double()
        layer = Classifier(raw.float().cpu(), shift.float().cpu(), average)
        yield {'l2': l2}, None, layer


def fit_attentive(
    tokens: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    seed: int = 0,
    grid: Sequence[Mapping[str, float]] = ATTENTIVE_GRID,
) -> Iterator[Candidate]:
    """Train an attentive probe with each setting of a grid.

    Tokens are (N, L, D) float32, labels (N,) of K classes. The seed is that of the
    first weights and of the order of clips, the same for all settings.
    """
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    x, y = torch.from_numpy(tokens), torch.from_numpy(labels).long()
    total = EPOCHS * math.ceil(len(x) / BATCH_SIZE)
    for setting in grid:
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(seed)
            pooler = AttentivePooler(x.shape[2]).to(device)
            layer = nn.Linear(x.shape[2], num_classes).to(device)
            parameters = [*pooler.parameters(), *layer.parameters()]
            matrices = [p for p in parameters if p.squeeze().ndim > 1]
            others = [p for p in parameters if p.squeeze().ndim <= 1]
            groups = [{'params': matrices}, {'params': others, 'weight_decay': 0}]
            optimizer = torch.optim.AdamW(groups, **setting)
            rate = partial(_rate, total=total)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
            for _ in range(EPOCHS):
                for rows in torch.randperm(len(x)).split(BATCH_SIZE):
                    logits = layer(pooler(x[rows].to(device)))
                    loss = nn.functional.cross_entropy(logits, y[rows].to(device))
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
        pooler.requires_grad_(False).eval()
        weight, bias = (p.detach().cpu() for p in (layer.weight, layer.bias))
        yield setting, pooler, Classifier(weight, bias)


def _rate(step: int, total: int) -> float:
    """Share of the peak rate at a step."""
    warmup = max(1, total // 10)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


@dataclass(frozen=True)
class Probe:
    """A classifier on a frozen backbone.

    Attributes:
        pooler: Of an attentive probe, makes features of tokens.
        classifier: The last layer.
        domains: Whose train and val subsets it was trained and chosen on.
        chosen: Its setting.
        tried: All settings, with ``val_top1`` in percent.
    """

    pooler: AttentivePooler | None
    classifier: Classifier
    domains: tuple[str, ...]
    chosen: dict[str, float]
    tried: list[dict[str, float]]

    @property
    def kind(self) -> str:
        """``linear`` or ``attentive``."""
        return 'attentive' if self.pooler else 'linear'

    def embed(self, features: np.ndarray) -> np.ndarray:
        """Inputs of the classifier, from features or tokens (N, views, D)."""
        return self.pooler.embed(features) if self.pooler else features

    def apply(self, found: Features) -> Features:
        """Features and scores of this probe, of those of the backbone."""
        features = self.embed(found.features)
        scores = self.classifier.predict(features)
        return replace(found, features=features, scores=scores)

    def state(self) -> dict[str, Tensor]:
        """Its weights, under the names that they have in a recognizer."""
        pooler = self.pooler.state_dict() if self.pooler else {}
        return {
            'cls_head.fc_cls.weight': self.classifier.weight,
            'cls_head.fc_cls.bias': self.classifier.bias,
            **{f'pooler.{name}': value for name, value in pooler.items()},
        }

    def record(self) -> dict[str, Any]:
        """Entry of ``results.json`` for the probe."""
        fixed = {'epochs': EPOCHS, 'batch_size': BATCH_SIZE} if self.pooler else {}
        told = {'kind': self.kind, 'domains': list(self.domains)}
        return {**told, **self.chosen, **fixed, 'tried': self.tried}


class Prober:
    """Probes of one frozen backbone on one data root.

    Args:
        runner: With the backbone; with tokens for an attentive probe.
        origin: Of its weights, as ``load_backbone`` tells it.
        cache: Keep features on disk, and use those that are there; apart from those of
            the same weights with a classifier.
    """

    def __init__(
        self,
        runner: Runner,
        origin: Mapping[str, Any],
        clips: Sequence[Clip],
        kind: str = 'linear',
        seed: int = 0,
        cache: bool = True,
    ) -> None:
        key = f'backbone-{origin["checkpoint"]["backbone_sha256"]}' if cache else None
        self.source = FeatureSource(runner, key)
        self.origin, self.kind, self.seed = origin, kind, seed
        self._action = {c.clip: c.action for c in clips}
        self.counts = Counter((c.subset, c.domain) for c in clips)
        self._bank: dict[tuple[str, str], Features] = {}
        self._probes: dict[tuple[str, ...], Probe] = {}

    def plan(
        self,
        protocols: Sequence[str],
        subset: str = 'test',
        domains: Sequence[str] = DOMAINS,
        source: str = DOMAINS[0],
    ) -> list[dict[str, Any]]:
        """Flags of the protocols that the data can fill, of those that are wanted.

        In-domain is all domains, then each. Domains that lack a subset are left out.
        ``subset`` is what is scored; zero-shot and few-shot train on the ``source``.
        If none can be filled, ValueError is raised.
        """
        has = self._with_clips
        flags: list[dict[str, Any]] = []
        if 'indomain' in protocols:
            whole = has(domains, 'train', 'val', subset)
            together = ['all'] if len(whole) > 1 else []
            flags += [{'protocol': 'indomain', 'domain': d} for d in together + whole]
        others = [d for d in domains if d != source]
        for name, needs in (('zeroshot', ()), ('fewshot', ('train',))):
            targets = has(others, subset, *needs)
            if name in protocols and targets and has([source], 'train', 'val'):
                flags.append({'protocol': name, 'target': targets})
        if not flags:
            held = [(s, d, self.counts[s, d]) for s in SUBSETS for d in domains]
            raise ValueError(
                f'no protocol of {", ".join(protocols)} can be filled: it needs train '
                f'and val clips of its source, and {subset} clips. There are '
                + ', '.join(f'{d} {s} {n}' for s, d, n in held if n)
            )
        return flags

    def extract(
        self, runs: Iterable[Run], subset: str, on_progress: Callable[[int, int], None]
    ) -> None:
        """Run the clips of some runs through the backbone, unless they are on disk.

        Few-shot settings that a probe cannot follow raise ValueError; so does a clip
        that cannot be read, unless those are skipped.

        Args:
            subset: To score.
            on_progress: Called with the clips done, and all, after each part.
        """
        wanted: dict[tuple[str, str], None] = {}
        for run in runs:
            protocol = run.protocol
            parts = [(s, d) for d in protocol.train_domains for s in SUBSETS[:2]]
            parts += [(subset, d) for d in protocol.test_domains]
            if protocol.name == 'fewshot':
                if fewshot_settings(run.cfg.fewshot)['adapt'] == 'finetune':
                    raise ValueError(
                        "fewshot.adapt 'finetune' trains the backbone, which a probe "
                        "leaves frozen: use 'linear' or 'prototype'."
                    )
                parts += [('train', d) for d in protocol.target]
            wanted.update((part, None) for part in parts if self.counts[part])
        sizes = [self.counts[part] for part in wanted]
        for part, done in zip(wanted, accumulate(sizes), strict=True):
            self.features(*part)
            on_progress(done, sum(sizes))

    def features(
        self, subset: str, domain: str, names: Iterable[str] | None = None
    ) -> Features:
        """Features of a subset of a domain, extracted at most once."""
        part = (subset, domain)
        if part not in self._bank:
            self._bank[part] = self.source.features(subset, domain)
        found = self._bank[part]
        return found if names is None else found.take(sorted(names))

    def probe(self, domains: Sequence[str], num_classes: int, average: str) -> Probe:
        """The probe of those of the domains that have clips, trained at most once.

        It is the best of its kind's grid by Top-1 on val clips; of equals the first.
        """
        key = tuple(self._with_clips(domains, 'train'))
        if key in self._probes:
            return self._probes[key]
        train, (features, labels) = (self._labelled(s, key) for s in ('train', 'val'))
        if self.kind == 'attentive':
            candidates = fit_attentive(*train, num_classes, self.seed)
        else:
            candidates = fit_linear(*train, num_classes, average)
        tried: list[dict[str, float]] = []
        top = -1.0
        for setting, pooler, classifier in candidates:
            probe = Probe(pooler, classifier, key, dict(setting), tried)
            scores = classifier.predict(probe.embed(features))
            top1 = 100 * float((scores.argmax(axis=1) == labels).mean())
            tried.append({**setting, 'val_top1': top1})
            if top1 > top:
                self._probes[key], top = probe, top1
        return self._probes[key]

    def score(
        self, run: Run, subset: str = 'test'
    ) -> tuple[Probe, list[Group], dict[str, Any]]:
        """The probe of a protocol, what it scores, and what results tell of it."""
        protocol, head = run.protocol, run.cfg.model.cls_head
        average = head.get('average_clips') or 'prob'
        probe = self.probe(protocol.train_domains, head.num_classes, average)

        def features(*wanted: Any) -> Features:
            return probe.apply(self.features(*wanted))

        if protocol.name == 'fewshot':
            groups = score_fewshot(run, features, probe.classifier, subset)
        else:
            domains = self._with_clips(protocol.test_domains, subset)
            found = [features(subset, domain) for domain in domains]
            groups = domain_groups(protocol, domains, found)
        seen, domains = self.origin['seen_domains'], list(probe.domains)
        record, info = self.origin['checkpoint'], run.root.info
        both = f'{record["backbone_sha256"]} {weights_sha256(probe.state())}'
        selected = {'subset': 'val', 'domains': domains, 'metric': 'action/top1'}
        tested = record | {'sha256': hashlib.sha256(both.encode()).hexdigest()}
        simulated = record['simulated'] or info.simulated
        tested |= {'trained_on': info.name, 'simulated': simulated}
        seen = None if seen is None else sorted({*seen, *domains})
        told = {'checkpoint': tested, 'seen_domains': seen, 'selected_on': selected}
        return probe, groups, told

    def _with_clips(self, domains: Iterable[str], *subsets: str) -> list[str]:
        return [d for d in domains if all(self.counts[s, d] for s in subsets)]

    def _labelled(
        self, subset: str, domains: Iterable[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features and actions of the clips of some domains whose action is known."""
        parts = [self.features(subset, d) for d in self._with_clips(domains, subset)]
        actions = [self._action[name] for part in parts for name in part.names]
        known = np.array([action is not None for action in actions])
        features = np.concatenate([part.features for part in parts])
        labels = np.array([a for a in actions if a is not None], np.int64)
        return features if known.all() else features[known], labels


def save_probe(
    path: Path, run: Run, model: nn.Module, probe: Probe, origin: Mapping[str, Any]
) -> None:
    """Write backbone and classifier of a linear probe as ``test.py`` takes them.

    ``model`` has the backbone; ``origin`` is what :meth:`Prober.score` tells of it. One
    that is not linear, or of a recipe without ``cls_head.fc_cls``, raises ValueError.
    """
    state, own = dict(model.state_dict()), probe.state()
    if probe.kind != 'linear' or not state.keys() >= own.keys():
        raise ValueError(
            f'this {probe.kind} probe is no checkpoint of the recipe: only linear '
            'probes take the place of a head with `fc_cls`.'
        )
    state.update(own)
    root, record = run.root, origin['checkpoint']
    meta = {
        'mmma_version': __version__,
        'config_name': Path(run.cfg.filename).name,
        **space_meta(root.label_space()),
        'protocol': {**run.protocol.as_dict(), 'train_domains': list(probe.domains)},
        'seen_domains': origin['seen_domains'],
        'pretrain_data': record['pretrain_data'],
        'selected_on': origin['selected_on'],
        'data': {**describe_data(run), 'simulated': record['simulated']},
        'probe': probe.record(),
        'cfg': run.cfg.to_dict(),
    }
    with atomic_write(Path(path), 'wb') as file:
        torch.save(to_plain({'state_dict': state, 'meta': meta}), file)
