"""Detectors: scoring one under a protocol, and running one over a video of any length.

A video is cut into windows that overlap. Their detections are joined, and thinned out
by one NMS per level (``mmma.structures.merging``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from torch import nn

from mmma.engine.outcome import DetectedVideos, Scored
from mmma.evaluation.detection import DetectionOptions, evaluate_row, evaluate_rows
from mmma.evaluation.detection_truth import DetectionTruth
from mmma.evaluation.detections_file import DetectionTable
from mmma.evaluation.metrics.detection import DetectionMetric, join_videos
from mmma.layout.det import Video
from mmma.protocols import make_protocol
from mmma.registry import METRICS
from mmma.structures.detections import Detections
from mmma.structures.merging import MergeOptions, WindowMerger
from mmma.taxonomy import LabelSpace


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


def detection_rows(
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
            found = [evaluate_row(levels, own, space, options)]
        else:
            found = evaluate_rows(levels, own, space, options)
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
