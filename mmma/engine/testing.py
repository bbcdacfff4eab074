"""Scoring a checkpoint under a protocol."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmma import registry  # noqa: F401  (fills the registries)
from mmma.checkpoints import check_simulated, load_trained
from mmma.engine.classes import tell_classes
from mmma.engine.detection import score_detector
from mmma.engine.features import Features, FeatureSource
from mmma.engine.fewshot import (
    adapt_linear,
    adapt_prototype,
    fewshot_settings,
    source_classifier,
)
from mmma.engine.finetune import finetuned
from mmma.engine.outcome import (
    Outcome,
    Scored,
    TestOptions,
    default_folder,
    set_environment,
)
from mmma.engine.skeleton_origin import check_extractor
from mmma.engine.weights import Weights, read_checkpoint, with_frozen
from mmma.evaluation.functional.bodies import fuse_body_scores
from mmma.evaluation.functional.controls import (
    class_prior,
    mask_to_classes,
    reweight_by_prior,
)
from mmma.evaluation.scores import ScoreTable
from mmma.layout.rec import Clip
from mmma.layout.root import DataRoot
from mmma.protocols import SOURCE, Protocol, draw_supports, make_protocol
from mmma.taxonomy import load_label_space


def load_runner(
    cfg: Any, checkpoint: str | Weights, options: TestOptions
) -> tuple[Runner, Weights]:
    """Build what tests a checkpoint.

    Args:
        cfg: From :func:`mmma.apis.load_config`; changed in place.
        checkpoint: Path or URL of the weights, or the weights as read.
        options: How to test.

    Returns:
        A runner whose model holds the weights, and what the checkpoint says of them.

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: The weights do not fit, or are not allowed on these data.
    """
    cfg.work_dir = options.work_dir or str(default_folder(cfg) / 'test')
    set_environment(cfg, options.launcher)
    loader = cfg.test_dataloader
    loader.dataset.subset = options.subset
    loader.dataset.on_broken = 'skip' if options.skip_broken else 'raise'
    if isinstance(checkpoint, Weights):
        weights = checkpoint
    else:
        weights = read_checkpoint(checkpoint, trust=options.trust)
    root = DataRoot(cfg.data_root)
    check_simulated(weights.meta, root.info, options.allow_simulated)
    check_extractor(weights.meta, cfg, options)
    cfg.load_from, cfg.resume = None, False
    runner = Runner.from_cfg(cfg)
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    space = load_label_space(root.info.label_space)
    names = (space.name, space.actions, str(weights.path), space.bodies)
    weights = with_frozen(model, weights, cfg)
    load_trained(model, weights.content, *names)
    tell_classes(model, runner.test_dataloader.dataset.metainfo)
    return runner, weights


def score_checkpoint(cfg: Any, checkpoint: str, options: TestOptions) -> Outcome:
    """Score a checkpoint under the protocol of a config, on every rank.

    Args:
        cfg: From :func:`mmma.apis.load_config`; changed in place.
        checkpoint: Path or URL of the weights.
        options: How to test.

    Raises:
        FileNotFoundError: Data or checkpoint are missing.
        ValueError: As :func:`load_runner`; or a clip or video that cannot be read.
    """
    runner, weights = load_runner(cfg, checkpoint, options)
    record = weights.record()
    if cfg.task == 'det':
        groups = score_detector(runner)
    else:
        clips = DataRoot(cfg.data_root).read_rec()
        cached = record['sha256'] if options.cache else None
        groups = score_protocol(runner, clips, options.subset, cached)
    return Outcome(
        groups=groups,
        checkpoint=record,
        seen_domains=weights.seen_domains,
        selected_on=weights.meta.get('selected_on'),
        device=device_name(),
    )


def device_name() -> str:
    """Name of the GPU, or ``cpu``."""
    gpu = torch.cuda.is_available()
    return torch.cuda.get_device_name() if gpu else 'cpu'


def score_protocol(
    runner: Runner, clips: list[Clip], subset: str, cached: str | None = None
) -> list[Scored]:
    """Score the tested clips of a protocol.

    Args:
        runner: Built from a resolved config; its model holds the checkpoint.
        clips: All clips of the data root.
        subset: ``test`` or ``val``.
        cached: SHA-256 of the checkpoint, to keep features under; None keeps none.

    Returns:
        For ``indomain`` one table over all tested domains; for ``zeroshot`` one per
        target; for ``fewshot`` per target: zero-shot, its two controls, and one table
        per number of shots and run.
    """
    protocol = make_protocol(runner.cfg.protocol)
    if protocol.name == 'fewshot':
        settings = fewshot_settings(runner.cfg.fewshot)
        linear = settings['adapt'] != 'finetune'
        source = FeatureSource(runner, cached, linear)
        fewshot = FewShot(runner, protocol, subset, source)
        return [row for t in protocol.target for row in fewshot.score(t, clips)]
    table, broken = _score(runner)
    if protocol.name == 'indomain':
        return [Scored(table, {'domain': protocol.domain}, broken)]
    domain_of = {c.clip: c.domain for c in clips}
    return [
        Scored(
            table.select([n for n in table.names if domain_of[n] == target]),
            {'target': target},
            [n for n in broken if domain_of[n] == target],
        )
        for target in protocol.target
    ]


def _score(runner: Runner) -> tuple[ScoreTable, list[str]]:
    runner.test()
    metric = runner.test_loop.evaluator.metrics[0]
    return metric.score_table, metric.broken


class FewShot:
    """Adapts a model to targets; afterwards it is as it was.

    Args:
        runner: Holds the model, and the config with its ``fewshot`` settings.
        protocol: A ``fewshot`` protocol.
        subset: ``test`` or ``val``.
        source: Where features come from.
    """

    def __init__(
        self, runner: Runner, protocol: Protocol, subset: str, source: FeatureSource
    ) -> None:
        self.runner = runner
        self.protocol = protocol
        self.subset = subset
        self.source = source
        self.settings = fewshot_settings(runner.cfg.fewshot)
        self.trains = self.settings['adapt'] == 'finetune'

    def score(self, target: str, clips: list[Clip]) -> list[Scored]:
        """Zero-shot, its controls and every support draw of one target."""
        pool = _actions(clips, 'train', target)
        runs = range(self.protocol.runs)
        draws = [draw_supports(pool, target, self.protocol, run) for run in runs]
        wanted = {name for draw in draws for names in draw.values() for name in names}
        supports = self.source.features('train', target, wanted)
        tested = self.source.features(self.subset, target)
        rows = _zero_shot_rows(tested, target, pool, _actions(clips, 'train', SOURCE))
        for run, draw in enumerate(draws):
            for shots, drawn in draw.items():
                labels = {'target': target, 'shots': shots, 'run': run}
                names = [name for name in drawn if name not in supports.broken]
                print_log(f'{self.settings["adapt"]}: {labels}', 'current')
                if self.trains:
                    table = self._finetune(target, run, names)
                else:
                    table = self._adapt(supports.take(names), pool, tested)
                labels['effective_shots'] = len(names) / len(set(pool.values()))
                labels['supports'] = names
                rows.append(Scored(table, labels, tested.broken + supports.broken))
        return rows

    def _adapt(
        self, support: Features, pool: dict[str, int], tested: Features
    ) -> ScoreTable:
        source = source_classifier(self.runner.model)
        actions = np.array([pool[name] for name in support.names])
        if self.settings['adapt'] == 'prototype':
            options = (len(source.bias), self.settings['temperature'])
            adapted = adapt_prototype(support.features, actions, *options)
        else:
            proximity = self.settings['proximity']
            adapted = adapt_linear(source, support.features, actions, proximity)
        scores = self._fuse(adapted.predict(tested.features), tested.body_scores)
        return ScoreTable(tuple(tested.names), scores, tested.body_scores)

    def _fuse(self, scores: np.ndarray, bodies: np.ndarray | None) -> np.ndarray:
        """As the head does it: the body classifier stays the source's."""
        head = getattr(self.runner.model, 'module', self.runner.model).cls_head
        weight = getattr(head, 'fusion_weight', 0)
        if bodies is None or not weight:
            return scores
        return fuse_body_scores(scores, bodies, head.body_of.tolist(), weight)

    def _finetune(self, target: str, run: int, names: list[str]) -> ScoreTable:
        seeds = (self.protocol.seed, run, zlib.crc32(target.encode()))
        with finetuned(self.runner, target, names, self.settings, seeds):
            scorer = FeatureSource(self.runner, linear=False)
            tested = scorer.features(self.subset, target)
        return ScoreTable(tuple(tested.names), tested.scores, tested.body_scores)


def _zero_shot_rows(
    tested: Features, target: str, pool: dict[str, int], source: dict[str, int]
) -> list[Scored]:
    """The source model as it is, masked to the target's classes, and with its prior.

    Supports tell more than how classes look: which exist, and how often. These rows
    tell how much of a few-shot gain that alone explains.
    """
    num_classes = tested.scores.shape[1]
    masked = mask_to_classes(tested.scores, sorted(set(pool.values())))
    reweighted = reweight_by_prior(
        tested.scores,
        class_prior(list(source.values()), num_classes),
        class_prior(list(pool.values()), num_classes),
    )
    variants = {None: tested.scores, 'classes': masked, 'prior': reweighted}
    rows = []
    for control, scores in variants.items():
        labels = {'target': target, 'shots': 0}
        if control:
            labels['control'] = control
        rows.append(
            Scored(
                ScoreTable(tuple(tested.names), scores, tested.body_scores),
                labels,
                tested.broken,
            )
        )
    return rows


def _actions(clips: list[Clip], subset: str, domain: str) -> dict[str, int]:
    return {
        c.clip: c.action
        for c in clips
        if c.subset == subset and c.domain == domain and c.action is not None
    }
