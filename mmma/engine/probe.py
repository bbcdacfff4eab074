"""Probes: a frozen backbone under every protocol, from one pass over the clips.

A probe is trained and chosen on the train and val subsets of a protocol's source:
all domains, one, or ``lab``, from which zero-shot and few-shot start. Nothing is chosen
on a target. Few-shot refits the last, linear layer of the ``lab`` probe.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import nn

from mmma.engine.features import Features
from mmma.engine.fewshot import Classifier, fewshot_settings
from mmma.engine.frozen_backbone import FrozenBackbone, weights_sha256
from mmma.engine.outcome import Outcome, Scored
from mmma.engine.probe_attentive import (
    ATTENTIVE_GRID,
    BATCH_SIZE,
    EPOCHS,
    AttentivePooler,
    fit_attentive,
)
from mmma.engine.probe_linear import L2_GRID, Labelled, fit_path
from mmma.engine.testing import FewShot, device_name
from mmma.evaluation.scores import ScoreTable
from mmma.layout.rec import Clip
from mmma.layout.root import DatasetInfo
from mmma.protocols import SOURCE, TARGETS, Protocol, make_protocol
from mmma.taxonomy import DOMAINS, SUBSETS

PROBES = ('linear', 'attentive')
SELECTED_BY = 'action/top1'
Candidate = tuple[Mapping[str, float], AttentivePooler | None, Classifier]


@dataclass(frozen=True)
class Probe:
    """A classifier on a frozen backbone.

    Attributes:
        kind: One of ``PROBES``.
        pooler: Makes features of tokens; None takes features as they are.
        classifier: The last layer.
        domains: Whose train and val subsets it was trained and chosen on.
        chosen: Its setting.
        tried: All settings, with ``val_top1`` in percent.
    """

    kind: str
    pooler: AttentivePooler | None
    classifier: Classifier
    domains: tuple[str, ...]
    chosen: dict[str, float]
    tried: list[dict[str, float]]

    def embed(self, features: np.ndarray) -> np.ndarray:
        """What the classifier takes, of features or tokens (N, views, D)."""
        return self.pooler.embed(features) if self.pooler else features

    def apply(self, found: Features) -> Features:
        """Features and scores of this probe, of those of the backbone."""
        features = self.embed(found.features)
        return replace(
            found, features=features, scores=self.classifier.predict(features)
        )

    def sha256(self) -> str:
        """SHA-256 of its weights."""
        model = nn.ModuleDict({'cls_head': _Head(self.classifier)})
        if self.pooler:
            model['pooler'] = self.pooler
        return weights_sha256(model)

    def record(self) -> dict[str, Any]:
        """What ``results.json`` says of the probe."""
        fixed = {'epochs': EPOCHS, 'batch_size': BATCH_SIZE} if self.pooler else {}
        return {
            'kind': self.kind,
            'domains': list(self.domains),
            **self.chosen,
            **fixed,
            'tried': self.tried,
        }


class _Head(nn.Module):
    """A classifier where few-shot adaptation looks for it."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.fc_cls = nn.Linear(*reversed(classifier.weight.shape))
        self.fc_cls.weight.data = classifier.weight
        self.fc_cls.bias.data = classifier.bias
        self.average_clips = classifier.average


def fit_probe(
    candidates: Iterable[Candidate], kind: str, domains: Sequence[str], val: Labelled
) -> Probe:
    """The best of some candidates, by Top-1 on val; of equals the first.

    Args:
        candidates: Setting, pooler and classifier of each.
        kind: One of ``PROBES``.
        domains: Whose clips they were trained on, and ``val`` is of.
        val: Features or tokens to choose by.
    """
    best: Probe | None = None
    tried: list[dict[str, float]] = []
    top = -1.0
    for setting, pooler, classifier in candidates:
        probe = Probe(kind, pooler, classifier, tuple(domains), dict(setting), tried)
        scores = classifier.predict(probe.embed(val.features))
        top1 = 100 * float((scores.argmax(axis=1) == val.labels).mean())
        tried.append({**setting, 'val_top1': top1})
        if top1 > top:
            best, top = probe, top1
    assert best is not None  # no grid is empty
    return best


class Prober:
    """Probes of one frozen backbone on one data root.

    Args:
        backbone: With tokens for ``attentive``.
        clips: All clips of the data root.
        kind: One of ``PROBES``.
        seed: Of the weights that an attentive probe starts from.
        cache: Keep features on disk, and use those that are there.
    """

    def __init__(
        self,
        backbone: FrozenBackbone,
        clips: Sequence[Clip],
        kind: str = 'linear',
        seed: int = 0,
        cache: bool = True,
    ) -> None:
        self.backbone = backbone
        self.kind = kind
        self.seed = seed
        self.counts = {(s, d): 0 for s in SUBSETS for d in DOMAINS}
        for clip in clips:
            self.counts[clip.subset, clip.domain] += 1
        self._clips = list(clips)
        self._action = {c.clip: c.action for c in clips}
        self._source = backbone.source(cache)
        self._bank: dict[tuple[str, str], Features] = {}
        self._probes: dict[tuple[str, ...], Probe] = {}

    def plan(
        self, protocols: Sequence[str], subset: str = 'test'
    ) -> list[dict[str, Any]]:
        """Flags of the protocols that the data can fill, of those that are wanted.

        In-domain is all domains, then each. Domains that lack a subset are left out.

        Args:
            protocols: Names; a name twice counts once.
            subset: To score.

        Raises:
            ValueError: None can be filled.
        """
        whole = [d for d in DOMAINS if self._has(d, 'train', 'val', subset)]
        flags: list[dict[str, Any]] = []
        if 'indomain' in protocols and whole:
            together = ['all'] if len(whole) > 1 else []
            flags += [{'protocol': 'indomain', 'domain': d} for d in together + whole]
        if self._has(SOURCE, 'train', 'val'):
            for name, needs in (('zeroshot', ()), ('fewshot', ('train',))):
                targets = [d for d in TARGETS if self._has(d, subset, *needs)]
                if name in protocols and targets:
                    flags.append({'protocol': name, 'target': targets})
        if not flags:
            raise ValueError(
                f'no protocol of {", ".join(protocols)} can be filled: it needs train '
                f'and val clips of its source, and {subset} clips. There are '
                + ', '.join(f'{d} {s} {n}' for (s, d), n in self.counts.items() if n)
            )
        return flags

    def parts(
        self, protocols: Iterable[Protocol], subset: str
    ) -> list[tuple[str, str]]:
        """Subsets and domains whose features some protocols need.

        Args:
            protocols: With every option filled in.
            subset: To score.
        """
        wanted: dict[tuple[str, str], None] = {}
        for protocol in protocols:
            trained = [(s, d) for d in protocol.train_domains for s in SUBSETS[:2]]
            tested = [(subset, d) for d in protocol.test_domains]
            drawn = protocol.target if protocol.name == 'fewshot' else ()
            supports = [('train', d) for d in drawn]
            wanted.update(dict.fromkeys([*trained, *tested, *supports]))
        return [part for part in wanted if self.counts[part]]

    def extract(
        self,
        parts: Sequence[tuple[str, str]],
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Run the clips through the backbone, or read what it gave them before.

        Args:
            parts: Subsets and domains.
            on_progress: Called with the clips done, and all, after each part.

        Raises:
            ValueError: A clip that cannot be read, unless those are skipped.
        """
        total = sum(self.counts[part] for part in parts)
        done = 0
        for part in parts:
            self.features(*part)
            done += self.counts[part]
            on_progress(done, total)

    def features(self, subset: str, domain: str) -> Features:
        """Features of a subset of a domain, extracted at most once."""
        part = (subset, domain)
        if part not in self._bank:
            self._bank[part] = self._source.features(subset, domain)
        return self._bank[part]

    def probe(self, domains: Sequence[str], num_classes: int, average: str) -> Probe:
        """The probe of some training domains, trained at most once.

        Args:
            domains: Those that have clips count.
            num_classes: K.
            average: What is averaged over views: ``prob`` or ``score``.
        """
        key = tuple(d for d in domains if self.counts['train', d])
        if key not in self._probes:
            train, val = self._labelled('train', key), self._labelled('val', key)
            found: Iterator[Candidate]
            if self.kind == 'attentive':
                found = fit_attentive(train, num_classes, ATTENTIVE_GRID, self.seed)
            else:
                path = fit_path(train, num_classes, L2_GRID, average)
                found = (({'l2': l2}, None, layer) for l2, layer in path)
            self._probes[key] = fit_probe(found, self.kind, key, val)
        return self._probes[key]

    def score(
        self, cfg: Any, info: DatasetInfo, subset: str = 'test'
    ) -> tuple[Probe, Outcome]:
        """The probe of a protocol, and what it scores.

        Args:
            cfg: From :func:`mmma.apis.load_config`, with the protocol.
            info: Of the data root.
            subset: ``test`` or ``val``.
        """
        protocol, head = make_protocol(cfg.protocol), cfg.model.cls_head
        average = head.get('average_clips') or 'prob'
        probe = self.probe(protocol.train_domains, head.num_classes, average)
        if protocol.name == 'fewshot':
            groups = self._fewshot(cfg, protocol, probe, subset)
        else:
            groups = self._groups(protocol, probe, subset)
        seen = self.backbone.seen_domains
        return probe, Outcome(
            groups=groups,
            checkpoint=self._record(probe, info),
            seen_domains=None if seen is None else sorted({*seen, *probe.domains}),
            selected_on=selected_on(probe),
            device=device_name(),
        )

    def _has(self, domain: str, *subsets: str) -> bool:
        return all(self.counts[subset, domain] for subset in subsets)

    def _labelled(self, subset: str, domains: Sequence[str]) -> Labelled:
        """Clips of some domains whose action is known."""
        parts = [self.features(subset, d) for d in domains if self._has(d, subset)]
        actions = [self._action[name] for part in parts for name in part.names]
        known = np.array([action is not None for action in actions])
        features = np.concatenate([part.features for part in parts])
        labels = np.array([a for a in actions if a is not None], np.int64)
        return Labelled(features if known.all() else features[known], labels)

    def _groups(self, protocol: Protocol, probe: Probe, subset: str) -> list[Scored]:
        domains = [d for d in protocol.test_domains if self._has(d, subset)]
        found = [probe.apply(self.features(subset, d)) for d in domains]
        if protocol.name == 'zeroshot':
            return [
                Scored(_table([part]), {'target': domain}, part.broken)
                for domain, part in zip(domains, found, strict=True)
            ]
        broken = [name for part in found for name in part.broken]
        return [Scored(_table(found), {'domain': protocol.domain}, broken)]

    def _fewshot(
        self, cfg: Any, protocol: Protocol, probe: Probe, subset: str
    ) -> list[Scored]:
        model = SimpleNamespace(cls_head=_Head(probe.classifier))
        runner = SimpleNamespace(model=model, cfg=cfg)
        source = _ProbedSource(self, probe)
        fewshot = FewShot(runner, protocol, subset, source)  # type: ignore[arg-type]
        return [
            row
            for target in protocol.target
            for row in fewshot.score(target, self._clips)
        ]

    def _record(self, probe: Probe, info: DatasetInfo) -> dict[str, Any]:
        """Of the weights that were tested: the backbone's and the probe's."""
        record = self.backbone.record
        both = f'{self.backbone.sha256} {probe.sha256()}'
        return {
            **record,
            'sha256': hashlib.sha256(both.encode()).hexdigest(),
            'backbone_sha256': self.backbone.sha256,
            'random_backbone': self.backbone.is_random,
            'trained_on': info.name,
            'simulated': record['simulated'] or info.simulated,
        }


@dataclass(frozen=True)
class _ProbedSource:
    """Features of a probe, as ``FeatureSource`` gives those of a model."""

    prober: Prober
    probe: Probe

    def features(
        self, subset: str, domain: str, names: Iterable[str] | None = None
    ) -> Features:
        found = self.prober.features(subset, domain)
        if names is not None:
            wanted = set(names)
            kept = found.take([name for name in found.names if name in wanted])
            broken = sorted(wanted & set(found.broken))
            found = replace(kept, broken=broken)
        return self.probe.apply(found)


def check_adaptation(cfg: Any) -> None:
    """Refuse few-shot settings that a probe cannot follow.

    Args:
        cfg: A config with its protocol.

    Raises:
        ValueError: The model is to be trained.
    """
    if cfg.protocol.name != 'fewshot':
        return
    if fewshot_settings(cfg.fewshot)['adapt'] == 'finetune':
        raise ValueError(
            "fewshot.adapt 'finetune' trains the backbone, which a probe leaves "
            "frozen: use 'linear' or 'prototype'."
        )


def selected_on(probe: Probe) -> dict[str, Any]:
    """How a probe was chosen, as checkpoints and results tell it."""
    return {'subset': 'val', 'domains': list(probe.domains), 'metric': SELECTED_BY}


def _table(parts: Sequence[Features]) -> ScoreTable:
    names = tuple(name for part in parts for name in part.names)
    return ScoreTable(names, np.concatenate([part.scores for part in parts]))
