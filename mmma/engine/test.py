"""Testing a checkpoint under a protocol.

Detectors: scoring one under a protocol, and running one over a video of any length.

A video is cut into windows that overlap. Their detections are joined, and thinned out
by one NMS per level (``mmma.structures.samples``).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmma.checkpoints import check_simulated, load_trained
from mmma.data.clips import Clip
from mmma.data.root import DataRoot
from mmma.data.videos import Video
from mmma.engine.features import Features, FeatureSource
from mmma.engine.fewshot import (
    adapt_linear,
    adapt_prototype,
    fewshot_settings,
    finetuned,
    source_classifier,
)
from mmma.engine.hooks import tell_classes
from mmma.engine.run import (
    DetectedVideos,
    Outcome,
    Scored,
    TestOptions,
    default_folder,
    set_environment,
)
from mmma.engine.weights import Weights, check_extractor, read_checkpoint, with_frozen
from mmma.evaluation.metrics import DetectionMetric, join_videos
from mmma.evaluation.recognition import (
    class_prior,
    fuse_body_scores,
    mask_to_classes,
    reweight_by_prior,
)
from mmma.evaluation.rows import DetectionOptions, detection_row, detection_rows
from mmma.evaluation.scores import ScoreTable
from mmma.evaluation.segment_files import DetectionTable, DetectionTruth
from mmma.protocols import SOURCE, Protocol, draw_supports, make_protocol
from mmma.registry import METRICS
from mmma.structures.samples import MergeOptions, WindowMerger
from mmma.structures.segments import Detections
from mmma.taxonomy import LabelSpace, load_label_space


def score_detector(runner: Runner) -> list[Scored]:
    """Detect in the tested videos of a protocol.

    Args:
        runner: Built from a resolved config; its model holds the checkpoint.

    Returns:
        For ``indomain`` one group over all tested domains; for ``zeroshot`` one per
        target.
    """
    protocol = make_protocol(runner.cfg.protocol)
    runner.test()
    metric = runner.test_loop.evaluator.metrics[0]
    found = DetectedVideos(metric.detections, metric.body_detections)
    if protocol.name == 'indomain':
        return [Scored(found, {'domain': protocol.domain}, metric.broken)]
    meta = runner.test_dataloader.dataset.metainfo
    domain_of = dict(zip(meta['videos'], meta['domains'], strict=True))
    return [
        Scored(
            found.select(n for n in found.names if domain_of[n] == target),
            {'target': target},
            [n for n in metric.broken if domain_of[n] == target],
        )
        for target in protocol.target
    ]


def detected_rows(
    groups: Sequence[Scored],
    videos: Iterable[Video],
    space: LabelSpace,
    options: DetectionOptions,
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Rows of ``results.json``, each behind the labels of its group.

    Args:
        groups: From :func:`score_detector`.
        videos: Of the data root.
        space: Its label space.
        options: Choices that move a number.

    Raises:
        ValueError: Nothing happens in the videos of a group.
    """
    truth = DetectionTruth.from_videos(videos)
    place = {name: i for i, name in enumerate(truth.names)}
    rows: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for group in groups:
        own = truth.select([place[name] for name in group.table.names])
        if not len(own.instances):
            raise ValueError(
                f'{group.labels}: there is no instance in its {len(own.names)} videos, '
                'so nothing can be measured: choose other domains or another subset.'
            )
        levels = {
            'action': join_videos(group.table.actions),
            'body': join_videos(group.table.bodies),
        }
        if 'target' in group.labels:
            found = [detection_row(levels, own, space, options)]
        else:
            found = detection_rows(levels, own, space, options)
        rows += [(group.labels, row) for row in found]
    return rows


def evaluation_options(
    evaluator: Mapping[str, Any],
) -> tuple[DetectionOptions, dict[str, Any]]:
    """How the results of a config are evaluated.

    Args:
        evaluator: Its ``test_evaluator``.

    Returns:
        The options, with intervals, and what ``results.json`` says of the merging.
    """
    metric: DetectionMetric = METRICS.build(dict(evaluator))
    options = DetectionOptions(
        preset=metric.options.preset, body_rule=metric.options.body_rule
    )
    merging = {
        'nms': asdict(metric.merging.nms),
        'max_candidates': metric.merging.max_candidates,
    }
    return options, {**options.record(), **merging}


def detection_table(groups: Sequence[Scored]) -> DetectionTable:
    """Detections of actions of all groups, to be written."""
    found = {n: d for group in groups for n, d in group.table.actions.items()}
    return DetectionTable(tuple(found), join_videos(found))


@torch.no_grad()
def detect_videos(
    model: nn.Module,
    windows: Iterable[Mapping[str, Any]],
    body_of: Sequence[int],
    options: MergeOptions | None = None,
    batch_size: int = 1,
) -> Iterator[tuple[str, dict[str, Detections]]]:
    """Detect in videos of any length with constant memory.

    What is held are the windows of a batch and ``options.max_candidates`` detections
    per level, if ``windows`` makes each when it is asked for.

    Args:
        model: A ``SegmentDetector`` in evaluation mode.
        windows: Packed samples; those of a video follow one another, as an
            ``UntrimmedDataset`` in test mode gives them.
        body_of: (K,) body group of each action.
        options: Of the merging.
        batch_size: Windows that the model sees at once.

    Yields:
        Each video as soon as its last window is done, with its detections by level.
    """
    merger = WindowMerger(body_of, options)
    waiting = iter(windows)
    while batch := list(islice(waiting, batch_size)):
        for sample in model.test_step(pseudo_collate(batch)):
            merger.add(sample.pred, sample.get('pred_body'))
            if sample.window_index == sample.num_windows - 1:
                yield sample.video, merger.finish()


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
