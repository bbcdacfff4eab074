"""Average precision, recall at N and their names, from matched detections.

Fractions throughout. The class set is that of the truth: a class with truth and no
prediction has AP 0, a class without truth is no class of the mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmma.evaluation.functional.detection import THRESHOLDS, Matches
from mmma.evaluation.functional.detection_instances import (
    FloatArray,
    IntArray,
    Predictions,
)

LEVELS = ('action', 'body')
PRESETS: dict[str, tuple[float, ...]] = {'mma82': THRESHOLDS, 'mac': (0.2, 0.5, 0.7)}
"""Thresholds whose mean is ``mAP``: of MMA-82, and of the Micro-Action Challenge."""
MIN_TRUTHS = 10
"""From so many truths on a class counts as frequent: below, one hit moves its AP by
more than ten points."""
RECALL_AT = (1, 5, 10, 50, 100)


def metric_keys(levels: Sequence[str] = LEVELS) -> tuple[str, ...]:
    """Names of the metrics of some levels; ``AVG`` needs both."""
    keys = [f'{lv}/mAP{at}' for lv in levels for at in (*_suffixes(THRESHOLDS), '')]
    return (*keys, 'AVG') if set(levels) == set(LEVELS) else tuple(keys)


def average_precisions(matches: Matches) -> FloatArray:
    """(T, C) average precision, all points under the precision envelope.

    Source: PASCAL VOC 2011 development kit, VOCap.
    """
    found = np.zeros((len(matches.thresholds), len(matches.classes)))
    for row, positions in enumerate(matches.hits):
        for column, own in enumerate(split_classes(matches, positions)):
            ranks = own - matches.starts[column] + 1
            precision = np.arange(1, len(own) + 1) / ranks
            found[row, column] = envelope(precision).sum()
    return found / matches.truths


def envelope(precision: FloatArray) -> FloatArray:
    """(..., n) the largest precision at this or any later recall."""
    falling = np.maximum.accumulate(precision[..., ::-1], axis=-1)
    return np.asarray(falling[..., ::-1], dtype=np.float64)


def split_classes(matches: Matches, positions: IntArray) -> list[IntArray]:
    """Ascending positions in ``matches.order``, one array per class."""
    return np.split(positions, np.searchsorted(positions, matches.starts[1:-1]))


def detection_metrics(
    precisions: Mapping[str, FloatArray],
    members: Mapping[str, NDArray[Any]] | None = None,
    preset: str = 'mma82',
) -> dict[str, FloatArray]:
    """mAP at each threshold and averaged, per level, and the average of both levels.

    Args:
        precisions: Level to (..., T, C) average precision at ``THRESHOLDS``.
        members: Level to (..., C) weights 0 or 1 of the classes; by default all count.
            Where none counts the metric is 0.
        preset: Key of ``PRESETS``.

    Returns:
        :func:`metric_keys` to (...,) fractions.

    Raises:
        ValueError: Another preset.
    """
    averaged = preset_columns(preset)
    metrics: dict[str, FloatArray] = {}
    for level, table in precisions.items():
        weight = np.ones(table.shape[-1]) if members is None else members[level]
        weight = np.asarray(weight, dtype=np.float64)[..., None, :]
        size = np.maximum(weight.sum(axis=-1), 1)
        means = (table * weight).sum(axis=-1) / size  # (..., T)
        for column, suffix in enumerate(_suffixes(THRESHOLDS)):
            metrics[f'{level}/mAP{suffix}'] = means[..., column]
        metrics[f'{level}/mAP'] = means[..., averaged].mean(axis=-1)
    if set(precisions) == set(LEVELS):
        metrics['AVG'] = (metrics['action/mAP'] + metrics['body/mAP']) / 2
    return metrics


def preset_columns(preset: str) -> list[int]:
    """Positions in ``THRESHOLDS`` of those a preset averages.

    Raises:
        ValueError: Another preset.
    """
    if preset not in PRESETS:
        raise ValueError(f'preset {preset!r}: use one of {", ".join(PRESETS)}')
    return [THRESHOLDS.index(t) for t in PRESETS[preset]]


def recall_at(
    matches: Matches,
    predictions: Predictions,
    ranking: IntArray,
    numbers: Sequence[int] = RECALL_AT,
) -> dict[int, FloatArray]:
    """Share of all truths found by the N best predictions of each video.

    A match depends on better-ranked predictions alone, so keeping the first N of each
    video before matching would find the same truths.

    Args:
        matches: At any level.
        predictions: What was matched.
        ranking: All of them, best first, of :func:`rank_predictions`.
        numbers: The Ns.

    Returns:
        N to (T,) recall.
    """
    videos = predictions.videos[ranking]
    by_video = np.argsort(videos, kind='stable')
    counts = np.bincount(videos)
    place = np.empty(len(ranking), dtype=np.int64)
    start = np.repeat(np.cumsum(counts) - counts, counts)
    place[ranking[by_video]] = np.arange(len(ranking)) - start
    found = [place[matches.order[positions]] for positions in matches.hits]
    truths = int(matches.truths.sum())
    return {n: np.array([(f < n).sum() for f in found]) / truths for n in numbers}


def _suffixes(thresholds: Sequence[float]) -> list[str]:
    return [f'@{threshold:.2f}' for threshold in thresholds]
