"""Intervals by resampling subjects or clips, paired tests, seeds.

Bootstrap intervals of the recognition metrics.

Metrics need only counts per class, so a resample is a weighting of units: one matrix
product gives the counts of a block of resamples, and the metrics follow at once.

Bootstrap intervals of detection mAP, by resampling videos or subjects.

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

Paired tests of two models on the same clips.

Both ask whether other clips of these kinds could turn the difference round, with the
weights as they are. Neither knows how much training again would move a number.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmma.evaluation.detection import (
    Matches,
    Predictions,
    detection_metrics,
    envelope,
    preset_columns,
    split_classes,
)
from mmma.evaluation.recognition import (
    ClassCounts,
    FloatArray,
    IntArray,
    Outcomes,
    count_classes,
    recognition_metrics,
)

MIN_SUBJECTS = 5
_BLOCK = 250


@dataclass(frozen=True)
class _Units:
    """What is drawn with replacement.

    Attributes:
        name: ``subject`` or ``clip``.
        drawn: Units drawn for a resample, as many as there are.
        chances: (U,) probability of each unit or kind of unit.
        counts: Level to (U, 4, K): what drawing it adds to each field of ClassCounts.
    """

    name: str
    drawn: int
    chances: FloatArray
    counts: dict[str, FloatArray]


@dataclass(frozen=True)
class BootstrapOptions:
    """How intervals are made.

    Attributes:
        resamples: Number of resamples; 0 switches intervals off.
        seed: Seed of the resampling.
        level: Coverage as a fraction.
    """

    resamples: int = 1000
    seed: int = 0
    level: float = 0.95


@dataclass(frozen=True)
class Intervals:
    """Percentile intervals and how they came about.

    Attributes:
        unit: What was drawn with replacement: ``subject`` or ``clip``.
        units: How many of them there are.
        options: The options used.
        bounds: Metric key to (low, high) fractions.
    """

    unit: str
    units: int
    options: BootstrapOptions
    bounds: dict[str, tuple[float, float]]

    def record(self, scale: float = 1.0) -> dict[str, Any]:
        """As plain types, bounds multiplied by ``scale``."""
        return {
            'method': 'percentile bootstrap',
            'unit': self.unit,
            'units': self.units,
            'resamples': self.options.resamples,
            'seed': self.options.seed,
            'level': self.options.level,
            'bounds': {
                key: [low * scale, high * scale]
                for key, (low, high) in self.bounds.items()
            },
        }


def bootstrap_intervals(
    levels: Mapping[str, Outcomes],
    subjects: Sequence[str],
    class_set: str = 'present',
    options: BootstrapOptions | None = None,
) -> Intervals:
    """Percentile intervals by resampling subjects, or clips where subjects are few.

    Subjects are drawn with all their clips if there are at least five and every clip
    names one. Classes of a class set are those of the resample.

    Args:
        levels: ``action`` and ``body`` to the outcomes of the same N clips.
        subjects: (N,) names; empty where unknown.
        class_set: Classes over which MCA and macro F1 are means.
        options: Resamples, seed and level.

    Raises:
        ValueError: No resamples, or a level outside (0, 1).
    """
    options = options or BootstrapOptions()
    if options.resamples < 1 or not 0 < options.level < 1:
        raise ValueError(
            f'{options.resamples} resamples at level {options.level}: use at least one '
            'resample and a level between 0 and 1'
        )
    names, subject_of = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    if len(names) >= MIN_SUBJECTS and '' not in names:
        units = _subject_units(levels, subject_of.reshape(-1))
    else:
        units = _clip_units(levels)
    tail = (1 - options.level) / 2
    bounds = {
        key: (float(np.quantile(v, tail)), float(np.quantile(v, 1 - tail)))
        for key, v in _resampled_metrics(units, class_set, options).items()
    }
    return Intervals(units.name, units.drawn, options, bounds)


def _subject_units(levels: Mapping[str, Outcomes], subject_of: IntArray) -> _Units:
    num_subjects = int(subject_of.max()) + 1
    return _Units(
        name='subject',
        drawn=num_subjects,
        chances=np.full(num_subjects, 1 / num_subjects),
        counts={k: _unit_counts(o, subject_of) for k, o in levels.items()},
    )


def _clip_units(levels: Mapping[str, Outcomes]) -> _Units:
    # Clips with equal outcomes are interchangeable: drawing how many of each kind
    # come up is the same as drawing clips, on a smaller table.
    columns = [c for o in levels.values() for c in (o.labels, o.predictions, o.top5)]
    _, first, sizes = np.unique(
        np.stack(columns, axis=1), axis=0, return_index=True, return_counts=True
    )
    one_each = np.arange(len(first), dtype=np.int64)
    counts = {}
    for level, o in levels.items():
        kinds = replace(
            o,
            labels=o.labels[first],
            predictions=o.predictions[first],
            top5=o.top5[first],
        )
        counts[level] = _unit_counts(kinds, one_each)
    return _Units('clip', int(sizes.sum()), sizes / sizes.sum(), counts)


def _unit_counts(outcomes: Outcomes, unit_of: IntArray) -> FloatArray:
    """(U, 4, K) counts of each unit, in the order of the fields of ClassCounts."""
    num_units, k = int(unit_of.max()) + 1, outcomes.num_classes
    labels, predictions, top5 = outcomes.labels, outcomes.predictions, outcomes.top5
    hit = labels == predictions

    def count(units: IntArray, classes: IntArray) -> FloatArray:
        cells = np.bincount(units * k + classes, minlength=num_units * k)
        return cells.reshape(num_units, k).astype(np.float64)

    columns = [
        count(unit_of, labels),
        count(unit_of, predictions),
        count(unit_of[hit], labels[hit]),
        count(unit_of[top5], labels[top5]),
    ]
    return np.stack(columns, axis=1)


def _resampled_metrics(
    units: _Units, class_set: str, options: BootstrapOptions
) -> dict[str, FloatArray]:
    """Metric key to its (R,) values over all resamples."""
    rng = np.random.default_rng(options.seed)
    blocks = []
    for start in range(0, options.resamples, _BLOCK):
        size = min(_BLOCK, options.resamples - start)
        weights = rng.multinomial(units.drawn, units.chances, size=size).astype(float)
        resampled = {}
        for level, counts in units.counts.items():
            flat = weights @ counts.reshape(len(counts), -1)  # (R, U) @ (U, 4K)
            resampled[level] = ClassCounts(*np.split(flat, 4, axis=1))
        blocks.append(recognition_metrics(resampled, class_set))
    return {key: np.concatenate([b[key] for b in blocks]) for key in blocks[0]}


METHOD = 'percentile bootstrap, centred on the measured value'


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


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test.

    Attributes:
        gained: Clips that the model has right and the baseline wrong.
        lost: Clips that the baseline has right and the model wrong.
        p: Two-sided.
    """

    gained: int
    lost: int
    p: float


@dataclass(frozen=True)
class Difference:
    """Model minus baseline of one metric, as fractions.

    Attributes:
        value: On the clips themselves.
        low: Lower bound of the percentile interval.
        high: Upper bound.
        p: Two-sided: twice the share of resamples on the rarer side of 0.
    """

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class PairedDifferences:
    """Differences of every metric and how they came about.

    Attributes:
        unit: What was drawn with replacement: ``subject`` or ``clip``.
        units: How many of them there are.
        differences: Metric key to its difference.
    """

    unit: str
    units: int
    differences: dict[str, Difference]


def mcnemar_exact(model: ArrayLike, baseline: ArrayLike) -> McNemar:
    """McNemar's exact test of two columns of hits.

    Only clips on which the two disagree count; were the models equal, each of them
    would be a fair coin. Clips are taken as independent of each other.

    Args:
        model: (N,) whether the model has the clip right.
        baseline: (N,) the same of the baseline.

    Raises:
        ValueError: Columns of different length.

    Source: McNemar, Psychometrika 12, 1947; in its exact, binomial form.
    """
    own, other = np.asarray(model, dtype=np.bool_), np.asarray(baseline, dtype=np.bool_)
    if own.shape != other.shape or own.ndim != 1:
        raise ValueError(
            f'hits of shape {own.shape} and {other.shape}: give one column of the same '
            'clips for each'
        )
    gained, lost = int((own & ~other).sum()), int((other & ~own).sum())
    term = tail = 1  # binomial coefficients, in whole numbers
    for k in range(min(gained, lost)):
        term = term * (gained + lost - k) // (k + 1)
        tail += term
    return McNemar(gained, lost, min(1.0, 2 * tail / 2 ** (gained + lost)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values after Holm's step-down correction, in the order given.

    Args:
        p_values: Of all comparisons of one family.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def paired_bootstrap(
    model: Sequence[Mapping[str, Outcomes]],
    baseline: Sequence[Mapping[str, Outcomes]],
    subjects: Sequence[str],
    class_set: str = 'present',
    options: BootstrapOptions | None = None,
) -> PairedDifferences:
    """Difference of every metric, by resampling what both models were tested on.

    Subjects are drawn with all their clips if there are at least five and every clip
    names one, else clips. Of several runs of a model the metrics are averaged in each
    resample.

    Args:
        model: Per run, ``action`` and ``body`` to outcomes of the same N clips.
        baseline: The same of the baseline; it may have another number of runs.
        subjects: (N,) names; empty where unknown.
        class_set: Classes over which MCA and macro F1 are means.
        options: Resamples, seed and level.

    Raises:
        ValueError: No run, or runs of other clips.
    """
    options = options or BootstrapOptions(resamples=10000)
    runs = [*model, *baseline]
    if not model or not baseline or len({_truth(run) for run in runs}) > 1:
        raise ValueError(
            f'{len(model)} and {len(baseline)} runs: give at least one of each, all on '
            'the same clips in the same order'
        )
    unit, unit_of = _units(subjects)
    units = int(unit_of.max()) + 1
    counts = [_paired_unit_counts(run, unit_of) for run in runs]
    rng = np.random.default_rng(options.seed)
    whole = _difference(counts, len(model), np.ones((1, units)), class_set)
    blocks = []
    for start in range(0, options.resamples, _BLOCK):
        size = min(_BLOCK, options.resamples - start)
        drawn = rng.multinomial(units, np.full(units, 1 / units), size=size)
        blocks.append(_difference(counts, len(model), drawn, class_set))
    found = {
        key: _summarize(
            float(whole[key][0]), np.concatenate([b[key] for b in blocks]), options
        )
        for key in whole
    }
    return PairedDifferences(unit, units, found)


def _truth(run: Mapping[str, Outcomes]) -> tuple[bytes, ...]:
    return tuple(run[level].labels.tobytes() for level in sorted(run))


def _units(subjects: Sequence[str]) -> tuple[str, IntArray]:
    names, unit_of = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    if len(names) >= MIN_SUBJECTS and '' not in names:
        return 'subject', unit_of.reshape(-1).astype(np.int64)
    return 'clip', np.arange(len(subjects), dtype=np.int64)


def _paired_unit_counts(
    run: Mapping[str, Outcomes], unit_of: IntArray
) -> dict[str, NDArray[np.float32]]:
    """Level to (U, 4, K): what drawing a unit adds to each field of ClassCounts.

    Float32 for speed: sums of whole numbers are exact up to 16 million.
    """
    order = np.argsort(unit_of, kind='stable')
    parts = np.split(order, np.flatnonzero(np.diff(unit_of[order])) + 1)
    table = {}
    for level, o in run.items():
        cells = np.empty((len(parts), 4, o.num_classes), dtype=np.float32)
        for row, clips in enumerate(parts):
            own = replace(
                o,
                labels=o.labels[clips],
                predictions=o.predictions[clips],
                top5=o.top5[clips],
            )
            counts = count_classes(own)
            cells[row] = (
                counts.support, counts.predicted, counts.hits, counts.top5_hits,
            )  # fmt: skip
        table[level] = cells
    return table


def _difference(
    counts: Sequence[Mapping[str, NDArray[np.float32]]],
    models: int,
    weights: NDArray[Any],
    class_set: str,
) -> dict[str, FloatArray]:
    """Metric key to (R,): mean of the first ``models`` runs minus that of the others.

    Args:
        counts: Per run, level to (U, 4, K).
        models: Runs of the model; those of the baseline follow.
        weights: (R, U) how often each unit was drawn.
        class_set: As for :func:`paired_bootstrap`.
    """
    metrics = []
    for run in counts:
        levels = {}
        for level, cells in run.items():
            flat = weights.astype(np.float32) @ cells.reshape(len(cells), -1)
            flat = flat.astype(np.float64)  # (R, U) @ (U, 4K) -> (R, 4K)
            levels[level] = ClassCounts(*np.split(flat, 4, axis=1))
        metrics.append(recognition_metrics(levels, class_set))
    return {
        key: np.mean([m[key] for m in metrics[:models]], axis=0)
        - np.mean([m[key] for m in metrics[models:]], axis=0)
        for key in metrics[0]
    }


def _summarize(
    value: float, drawn: FloatArray, options: BootstrapOptions
) -> Difference:
    # Rounding must not make two models differ that are equal in every resample.
    drawn = np.where(np.abs(drawn) < 1e-12, 0.0, drawn)
    rarer = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    tail = (1 - options.level) / 2
    return Difference(
        value=value,
        low=float(np.quantile(drawn, tail)),
        high=float(np.quantile(drawn, 1 - tail)),
        p=min(1.0, 2 * (rarer + 1) / (len(drawn) + 1)),
    )


@dataclass(frozen=True)
class Spread:
    """What n values came to.

    Attributes:
        n: How many.
        mean: Their mean.
        sd: Standard deviation of a sample; None of one value.
        half_width: Of the t-interval around the mean; None of one value.
    """

    n: int
    mean: float
    sd: float | None
    half_width: float | None


def spread(values: Sequence[float], level: float = 0.95) -> Spread:
    """Mean and t-interval of independent values.

    Args:
        values: At least one.
        level: Coverage as a fraction.

    Raises:
        ValueError: No value.

    Source: Student, Biometrika 6, 1908.
    """
    n = len(values)
    if not n:
        raise ValueError('no values to average: give at least one')
    mean = statistics.fmean(values)
    if n == 1:
        return Spread(1, mean, None, None)
    sd = statistics.stdev(values)
    half_width = t_quantile((1 + level) / 2, n - 1) * sd / math.sqrt(n)
    return Spread(n, mean, sd, half_width)


def t_quantile(p: float, freedom: int) -> float:
    """Quantile of Student's t distribution.

    Args:
        p: At least 0.5 and below 1.
        freedom: Degrees of freedom, from 1.

    Raises:
        ValueError: Another ``p`` or ``freedom``.
    """
    if not 0.5 <= p < 1 or freedom < 1:
        raise ValueError(
            f'quantile {p} of t with {freedom} degrees of freedom: use 0.5 <= p < 1 '
            'and at least one degree'
        )
    low, high = 0.0, 1.0
    while _t_cdf(high, freedom) < p:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_cdf(middle, freedom) < p else (low, middle)
    return (low + high) / 2


def _t_cdf(t: float, freedom: int) -> float:
    """Share below ``t``, which is not negative.

    Source: Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan(t / math.sqrt(freedom))
    square = math.cos(angle) ** 2
    odd = freedom % 2
    term = total = (math.cos(angle) if odd else 1.0) * (freedom > 1)
    for k in range(2 + odd, freedom - 1, 2):
        term *= square * (k - 1) / k
        total += term
    within = math.sin(angle) * total
    return 0.5 + ((angle + within) / math.pi if odd else within / 2)
