"""Bootstrap intervals of detection mAP, by resampling videos or subjects.

A video drawn w times stands w times in the ranking, its copies side by side: each of
its predictions counts w times, each of its truths is found w times or never. Matching
is within a video, so it is done once; a resample only reweighs. Per class, the
predictions between two neighbouring hits are counted once per unit, and one matrix
product turns these counts into the cumulative counts of a block of resamples. The
result is that of evaluating each resample anew, except where predictions of one video
have equal scores: there copies stay side by side.

The precision envelope favours repeated hits, so AP of resamples is too large on
average. Their percentiles are therefore shifted until their mean is the measured value.

Cost: R times the truths times the units, as a matrix product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmma.evaluation.functional.detection import Matches
from mmma.evaluation.functional.detection_ap import (
    detection_metrics,
    envelope,
    preset_columns,
    split_classes,
)
from mmma.evaluation.functional.detection_instances import (
    FloatArray,
    IntArray,
    Predictions,
)
from mmma.evaluation.functional.intervals import (
    MIN_SUBJECTS,
    BootstrapOptions,
    Intervals,
)

METHOD = 'percentile bootstrap, centred on the measured value'
_BLOCK = 250


@dataclass(frozen=True)
class Level:
    """One level of what is resampled.

    Attributes:
        matches: Matched at every threshold.
        videos: (P,) video of each row of ``matches.order``.
    """

    matches: Matches
    videos: IntArray

    @classmethod
    def of(cls, matches: Matches, predictions: Predictions) -> Level:
        """Keep what resampling needs of the predictions."""
        return cls(matches, predictions.videos[matches.order])


def choose_units(subjects: Sequence[str]) -> tuple[str, IntArray]:
    """What is drawn: subjects where at least five are named in all videos, or videos.

    Args:
        subjects: (V,) names; empty where unknown.

    Returns:
        ``subject`` or ``video``, and the (V,) unit of each video.
    """
    names, unit_of = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    if len(names) >= MIN_SUBJECTS and '' not in names:
        return 'subject', unit_of.reshape(-1).astype(np.int64)
    return 'video', np.arange(len(subjects), dtype=np.int64)


def detection_intervals(
    levels: Mapping[str, Level],
    subjects: Sequence[str],
    preset: str = 'mma82',
    options: BootstrapOptions | None = None,
) -> tuple[Intervals, dict[str, FloatArray]]:
    """Intervals of every metric, and of the AP of every class.

    Classes of the means are those with truth in the resample; resamples without truth
    of a class say nothing of its AP.

    Args:
        levels: ``action``, ``body`` or both, of the same V videos.
        subjects: (V,) names; empty where unknown.
        preset: Key of ``PRESETS``.
        options: Resamples, seed and level.

    Returns:
        The intervals, and per level the (C, 2) bounds of the AP of each class,
        averaged over the thresholds of the preset.

    Raises:
        ValueError: No resamples, or a level outside (0, 1).
    """
    options = options or BootstrapOptions()
    if options.resamples < 1 or not 0 < options.level < 1:
        raise ValueError(
            f'{options.resamples} resamples at level {options.level}: use at least one '
            'resample and a level between 0 and 1'
        )
    name, unit_of = choose_units(subjects)
    units = int(unit_of.max()) + 1
    rng = np.random.default_rng(options.seed)
    chances = np.full(units, 1 / units)
    blocks = []
    for start in range(0, options.resamples, _BLOCK):
        size = min(_BLOCK, options.resamples - start)
        weights = rng.multinomial(units, chances, size=size)
        blocks.append(resample(levels, unit_of, weights, preset))
    measured, by_class = resample(
        levels, unit_of, np.ones((1, units), dtype=np.int64), preset
    )
    bounds = {}
    for key, value in measured.items():
        values = np.concatenate([metrics[key] for metrics, _ in blocks])
        low, high = _bounds(values, value, options)
        bounds[key] = (float(low), float(high))
    classes = {}
    for level, values in by_class.items():
        drawn = np.concatenate([own[level] for _, own in blocks])
        classes[level] = _bounds(drawn, values[0], options).T
    return Intervals(name, units, options, bounds), classes


def resample(
    levels: Mapping[str, Level],
    unit_of: IntArray,
    weights: IntArray,
    preset: str = 'mma82',
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Metrics of R resamples.

    Args:
        levels: ``action``, ``body`` or both.
        unit_of: (V,) unit of each video.
        weights: (R, U) how often each unit was drawn.
        preset: Key of ``PRESETS``.

    Returns:
        Metric to (R,) fractions; level to (R, C) AP of its classes, NaN for those
        without truth in the resample.
    """
    precisions, members, by_class = {}, {}, {}
    averaged = preset_columns(preset)
    for key, level in levels.items():
        table, present = _resample(level, unit_of, weights)
        precisions[key], members[key] = table, present
        means = table[:, averaged].mean(axis=1)
        by_class[key] = np.where(present, means, np.nan)
    return detection_metrics(precisions, members, preset), by_class


def _resample(
    level: Level, unit_of: IntArray, weights: IntArray
) -> tuple[FloatArray, Any]:
    """(R, T, C) average precision, and (R, C) whether the class has truth."""
    matches = level.matches
    drawn = weights.astype(np.float32)  # whole numbers, exact below 2 ** 24
    hits = [split_classes(matches, positions) for positions in matches.hits]
    truth_unit = unit_of[matches.truth.videos]
    bounds = np.r_[0, np.cumsum(matches.truths)]
    shape = (len(weights), len(hits), len(matches.classes))
    precisions, members = np.zeros(shape), np.zeros((shape[0], shape[2]), dtype=bool)
    for column in range(shape[2]):
        units = truth_unit[bounds[column] : bounds[column + 1]]
        truths = weights[:, units].sum(axis=1)
        members[:, column] = truths > 0
        own = [h[column] for h in hits]
        places = np.unique(np.concatenate(own))
        ranks = _weighted_ranks(level, places, column, (unit_of, drawn))
        for row, positions in enumerate(own):
            weight = weights[:, unit_of[level.videos[positions]]]
            rank = ranks[:, np.searchsorted(places, positions)]
            precision = np.cumsum(weight, axis=1) / np.maximum(rank, 1)
            area = (envelope(precision) * weight).sum(axis=1)
            precisions[:, row, column] = area / np.maximum(truths, 1)
    return precisions, members


def _weighted_ranks(
    level: Level,
    places: IntArray,
    column: int,
    drawing: tuple[IntArray, Any],
) -> FloatArray:
    """(R, n) predictions of a class up to and including each of n places."""
    unit_of, drawn = drawing
    start = int(level.matches.starts[column])
    units = drawn.shape[1]
    sizes = np.diff(np.r_[start, places + 1])
    owner = unit_of[level.videos[start : start + int(sizes.sum())]]
    cells = np.repeat(np.arange(len(places)), sizes) * units + owner
    counts = np.bincount(cells, minlength=len(places) * units)
    steps = drawn @ counts.reshape(len(places), units).astype(np.float32).T
    return np.cumsum(steps, axis=1, dtype=np.float64)


def _bounds(
    values: FloatArray, measured: FloatArray, options: BootstrapOptions
) -> FloatArray:
    """(2, ...) quantiles of (R, ...) values around the measured (...); NaN left out."""
    tail = (1 - options.level) / 2
    missing = np.isnan(values)
    values = np.where(missing.all(axis=0), measured, values)
    shift = measured - np.nanmean(values, axis=0)
    found = np.nanquantile(values, (tail, 1 - tail), axis=0) + shift
    return np.asarray(np.clip(found, 0.0, 1.0), dtype=np.float64)
