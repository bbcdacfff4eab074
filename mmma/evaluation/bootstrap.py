"""Intervals by resampling subjects, clips or videos; paired tests; spread of seeds.

Recognition metrics need only counts per class and detections of a video are matched
within it, so a resample is a weighting of units: a matrix product gives the counts of
a block of resamples, and the metrics follow at once.

Detection: a video drawn w times stands w times in the ranking, its copies side by side:
each of its predictions counts w times, each of its truths is found w times or never.
Per class, the predictions between two neighbouring hits are counted once per unit. The
result is that of evaluating each resample anew, except where predictions of one video
have equal scores: there copies stay side by side. The precision envelope favours
repeated hits, so AP of resamples is too large on average. Their percentiles are
therefore shifted until their mean is the measured value. Cost: R times the truths times
the units.

Paired tests ask whether other clips of these kinds could turn a difference of two
models round, with the weights as they are. None knows how much training again would
move a number.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmma.evaluation.detection import (
    Matches,
    detection_metrics,
    envelope,
    preset_columns,
)
from mmma.evaluation.recognition import ClassCounts, Outcomes, recognition_metrics
from mmma.structures.segments import BoolArray, FloatArray, IntArray

MIN_SUBJECTS = 5
LEVEL = 0.95
"""Coverage of every interval."""
_BLOCK = 250


Unit = tuple[str, int]
"""What is drawn, and how many there are."""


def choose_units(subjects: Sequence[str], single: str) -> tuple[Unit, IntArray]:
    """Choose what is drawn: subjects where all items name one of at least five.

    Returns:
        ``subject``, or else ``single`` (``clip``, ``video``), and their number; the
        (N,) units of items.
    """
    names, unit_of = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    if len(names) >= MIN_SUBJECTS and '' not in names:
        return ('subject', len(names)), unit_of.reshape(-1).astype(np.int64)
    return (single, len(subjects)), np.arange(len(subjects), dtype=np.int64)


def _draws(
    units: int, resamples: int, seed: int, chances: FloatArray | None = None
) -> Iterator[IntArray]:
    """Blocks (R, U) of how often each unit, or kind of unit, is drawn."""
    if resamples < 1:
        raise ValueError(f'{resamples} resamples: use at least one resample')
    chances = np.full(units, 1 / units) if chances is None else chances
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _BLOCK):
        yield rng.multinomial(units, chances, size=min(_BLOCK, resamples - start))


def _quantiles(values: FloatArray) -> FloatArray:
    """(2, ...) ends of the middle share of (R, ...) values; NaN left out."""
    tail = (1 - LEVEL) / 2
    return np.asarray(np.nanquantile(values, (tail, 1 - tail), axis=0))


def _joined(blocks: Sequence[Mapping[str, FloatArray]]) -> dict[str, FloatArray]:
    """Metric key to its (R,) values over all blocks."""
    return {key: np.concatenate([b[key] for b in blocks]) for key in blocks[0]}


FEW_UNITS = 30  # with fewer, intervals cover visibly less than their level


def coverage(units: int) -> float:
    """Share of percentile intervals of that many normal units that hold the mean.

    Source: ``P(|t| < z * sqrt((n - 1) / n))`` of Student's t (Hesterberg, The
        American Statistician 69, 2015), by Abramowitz and Stegun 26.7.3 and 26.7.4:
        evaluation needs numpy alone.
    """
    if units < 2:
        return 0.0
    freedom, z = units - 1, statistics.NormalDist().inv_cdf((1 + LEVEL) / 2)
    angle, odd = math.atan(z / math.sqrt(units)), freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for k in range(2 + odd, freedom, 2):
        term *= math.cos(angle) ** 2 * (k - 1) / k
        total += term
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if odd else total


def weighted_intervals(
    measure: Callable[[IntArray], Mapping[str, FloatArray]],
    unit: Unit,
    resamples: int,
    seed: int,
    chances: FloatArray | None = None,
    centred: bool = False,
) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Percentile intervals of what is measured of (R, U) weights of units.

    Args:
        measure: Metric key to (R, ...) fractions.
        chances: (U,) of being drawn, where units are kinds of units.
        centred: Move intervals to lie around what is measured of all, within [0, 1].

    Returns:
        Facts as of :func:`recognition_intervals`, and metric key to its (2, ...) ends;
        NaN where no resample has a value.
    """
    draws = _draws(unit[1], resamples, seed, chances)
    drawn, bounds = _joined([measure(weights) for weights in draws]), {}
    whole = measure(np.ones((1, unit[1]), dtype=np.int64)) if centred else {}
    for key, values in drawn.items():
        missing = np.isnan(values).all(axis=0)
        values = np.where(missing, whole.get(key, 0), values)
        ends = _quantiles(values)
        if centred:
            ends = ends + (whole[key][0] - np.nanmean(values, axis=0))
            bounds[key] = np.clip(ends, 0.0, 1.0)
        else:
            bounds[key] = np.where(missing, np.nan, ends)
    facts = {
        'method': 'percentile bootstrap' + ', centred on the measured value' * centred,
        'unit': unit[0],
        'units': unit[1],
        'resamples': resamples,
        'seed': seed,
        'level': LEVEL,
        **({'coverage': coverage(unit[1])} if unit[1] < FEW_UNITS else {}),
    }
    return facts, bounds


def _percent(bounds: Mapping[str, FloatArray]) -> dict[str, list[float]]:
    return {key: [100.0 * end for end in ends.tolist()] for key, ends in bounds.items()}


def recognition_intervals(
    levels: Mapping[str, Outcomes],
    subjects: Sequence[str],
    class_set: str = 'present',
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Percentile intervals by resampling subjects, or clips where subjects are few.

    Subjects are drawn with all their clips if there are at least five and every clip
    names one. Classes of a class set are those of the resample.

    Args:
        levels: ``action`` and ``body`` to the outcomes of the same N clips.
        subjects: (N,) names; empty where unknown.

    Returns:
        ``method``, ``unit``, ``units``, ``resamples``, ``seed``, ``level``, of fewer
        than 30 units ``coverage`` (what share of such intervals hold the truth), and
        ``bounds``: metric key to [low, high] in percent.

    Raises:
        ValueError: No resamples.
    """
    unit, unit_of = choose_units(subjects, 'clip')
    chances = None
    if unit[0] == 'clip':
        # Clips with equal outcomes are interchangeable: drawing how many of each kind
        # come up is the same as drawing clips, on a smaller table.
        arrays = [c for o in levels.values() for c in (o.labels, o.predictions, o.top5)]
        rows = np.stack(arrays, axis=1)
        _, first, sizes = np.unique(rows, axis=0, return_index=True, return_counts=True)
        levels = {level: o.select(first) for level, o in levels.items()}
        unit_of, chances = np.arange(len(first), dtype=np.int64), sizes / unit[1]
    measure = partial(_weighted_metrics, _unit_counts(levels, unit_of), class_set)
    facts, bounds = weighted_intervals(measure, unit, resamples, seed, chances)
    return {**facts, 'bounds': _percent(bounds)}


def _unit_counts(
    levels: Mapping[str, Outcomes], unit_of: IntArray
) -> dict[str, NDArray[np.float32]]:
    """Level to (U, 4, K): what drawing a unit adds to each field of ClassCounts.

    Float32 for speed: sums of whole numbers are exact up to 16 million.
    """
    units, table = int(unit_of.max()) + 1, {}
    for level, o in levels.items():
        columns = [
            (unit_of, o.labels),
            (unit_of, o.predictions),
            (unit_of[o.hits], o.labels[o.hits]),
            (unit_of[o.top5], o.labels[o.top5]),
        ]
        shape, size = (units, o.num_classes), units * o.num_classes
        cells = [np.bincount(u * o.num_classes + c, minlength=size) for u, c in columns]
        parts = [cell.reshape(shape).astype(np.float32) for cell in cells]
        table[level] = np.stack(parts, axis=1)
    return table


def _weighted_metrics(
    counts: Mapping[str, NDArray[np.float32]], class_set: str, weights: NDArray[Any]
) -> dict[str, FloatArray]:
    """Metric key to (R,) values, of (R, U) weights of the units."""
    levels = {}
    for level, cells in counts.items():
        # (R, U) @ (U, 4K) -> (R, 4K)
        flat = weights.astype(np.float32) @ cells.reshape(len(cells), -1)
        levels[level] = ClassCounts(*np.split(flat.astype(np.float64), 4, axis=1))
    return recognition_metrics(levels, class_set)


def detection_intervals(
    levels: Mapping[str, Matches],
    subjects: Sequence[str],
    preset: str = 'mma82',
    resamples: int = 200,
    seed: int = 0,
) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Intervals of every metric, and of the AP of every class.

    Classes of the means are those with truth in the resample; resamples without truth
    of a class say nothing of its AP.

    Returns:
        The intervals as of :func:`recognition_intervals`, and per level the (C, 2)
        bounds of the AP of each class, fractions averaged over the thresholds of the
        preset.
    """
    unit, unit_of = choose_units(subjects, 'video')

    def measure(weights: IntArray) -> dict[str, FloatArray]:
        metrics, by_class = resample(levels, unit_of, weights, preset)
        return metrics | by_class  # whose keys are levels

    found = weighted_intervals(measure, unit, resamples, seed, centred=True)
    classes = {level: found[1].pop(level).T for level in levels}
    return {**found[0], 'bounds': _percent(found[1])}, classes


def resample(
    levels: Mapping[str, Matches],
    unit_of: IntArray,
    weights: IntArray,
    preset: str = 'mma82',
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Metrics of R resamples, by (R, U) counts of the units of (V,) videos.

    Returns:
        Metric to (R,) fractions; level to (R, C) AP of its classes, NaN for those
        without truth in the resample.
    """
    precisions, members, by_class = {}, {}, {}
    for key, matches in levels.items():
        table, present = _resample(matches, unit_of, weights)
        precisions[key], members[key] = table, present
        means = table[:, preset_columns(preset)].mean(axis=1)
        by_class[key] = np.where(present, means, np.nan)
    return detection_metrics(precisions, members, preset), by_class


def _resample(
    matches: Matches, unit_of: IntArray, weights: IntArray
) -> tuple[FloatArray, BoolArray]:
    """(R, T, C) average precision, and (R, C) whether the class has truth."""
    drawn = weights.astype(np.float32)  # whole numbers, exact below 2 ** 24
    hits = [matches.split(positions) for positions in matches.hits]
    truth_unit = unit_of[matches.truth.videos]
    found_unit = unit_of[matches.found.videos[matches.order]]
    bounds = np.r_[0, np.cumsum(matches.truths)]
    shape = (len(weights), len(hits), len(matches.classes))
    precisions, members = np.zeros(shape), np.zeros((shape[0], shape[2]), dtype=bool)
    for column in range(shape[2]):
        units = truth_unit[bounds[column] : bounds[column + 1]]
        truths = weights[:, units].sum(axis=1)
        members[:, column] = truths > 0
        own = [h[column] for h in hits]
        places = np.unique(np.concatenate(own))
        ranks = _weighted_ranks(found_unit, places, int(matches.starts[column]), drawn)
        for row, positions in enumerate(own):
            weight = weights[:, found_unit[positions]]
            rank = ranks[:, np.searchsorted(places, positions)]
            precision = np.cumsum(weight, axis=1) / np.maximum(rank, 1)
            area = (envelope(precision) * weight).sum(axis=1)
            precisions[:, row, column] = area / np.maximum(truths, 1)
    return precisions, members


def _weighted_ranks(
    unit: IntArray, places: IntArray, start: int, drawn: NDArray[np.float32]
) -> FloatArray:
    """(R, n) predictions from ``start`` up to and including each of n places."""
    units = drawn.shape[1]
    sizes = np.diff(np.r_[start, places + 1])
    owner = unit[start : start + int(sizes.sum())]
    cells = np.repeat(np.arange(len(places)), sizes) * units + owner
    counts = np.bincount(cells, minlength=len(places) * units)
    steps = drawn @ counts.reshape(len(places), units).astype(np.float32).T
    return np.cumsum(steps, axis=1, dtype=np.float64)


def paired_bootstrap(
    model: Sequence[Mapping[str, Outcomes]],
    baseline: Sequence[Mapping[str, Outcomes]],
    subjects: Sequence[str],
    class_set: str = 'present',
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[str, dict[str, tuple[float, float, float, float]]]:
    """Difference of every metric, by resampling what both models were tested on.

    Levels, subjects and units are those of :func:`recognition_intervals`. Of several
    runs of a model, as many as it has, the metrics are averaged in each resample.

    Returns:
        ``subject`` or ``clip``, and metric key to the difference (fractions): its
        value, the bounds of its interval, and its two-sided p, twice the share of
        resamples on the rarer side of 0.

    Raises:
        ValueError: No run, runs of other clips, or no resamples.
    """
    runs = [*model, *baseline]
    truths = {tuple(run[k].labels.tobytes() for k in sorted(run)) for run in runs}
    if not model or not baseline or len(truths) > 1:
        told = f'{len(model)} and {len(baseline)} runs: give at least one of each'
        raise ValueError(f'{told}, all on the same clips in the same order')
    (unit, units), unit_of = choose_units(subjects, 'clip')
    counts = [_unit_counts(run, unit_of) for run in runs]

    def difference(weights: NDArray[Any]) -> dict[str, FloatArray]:
        metrics = [_weighted_metrics(own, class_set, weights) for own in counts]
        return {
            key: np.mean([m[key] for m in metrics[: len(model)]], axis=0)
            - np.mean([m[key] for m in metrics[len(model) :]], axis=0)
            for key in metrics[0]
        }

    whole = difference(np.ones((1, units)))
    drawn = _joined([difference(w) for w in _draws(units, resamples, seed)])
    found = {}
    for key, values in drawn.items():
        # Rounding must not make two models differ that are equal in every resample.
        values = np.where(np.abs(values) < 1e-12, 0.0, values)
        rarer = min(int((values <= 0).sum()), int((values >= 0).sum()))
        low, high = _quantiles(values).tolist()
        p = min(1.0, 2 * (rarer + 1) / (len(values) + 1))
        found[key] = (float(whole[key][0]), low, high, p)
    return unit, found


def mcnemar_exact(model: ArrayLike, baseline: ArrayLike) -> float:
    """Two-sided p value of McNemar's exact test of two columns of hits.

    Only clips on which the two disagree count; were the models equal, each of them
    would be a fair coin. Clips are taken as independent of each other.

    Raises:
        ValueError: Columns of different length.

    Source: McNemar, Psychometrika 12, 1947; in its exact, binomial form.
    """
    from scipy.stats import binomtest

    own, other = np.asarray(model, dtype=np.bool_), np.asarray(baseline, dtype=np.bool_)
    if own.shape != other.shape or own.ndim != 1:
        told = f'hits of shape {own.shape} and {other.shape}'
        raise ValueError(f'{told}: give one column of the same clips for each')
    gained, lost = int((own & ~other).sum()), int((other & ~own).sum())
    if gained == lost:
        return 1.0
    return float(binomtest(gained, gained + lost, 0.5).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values of one family after Holm's step-down correction, in the order given.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def spread(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Mean of independent values and its t-interval.

    Returns:
        The mean, the standard deviation of a sample, and the half width of the
        interval; the latter two are None of one value.

    Raises:
        ValueError: No value.

    Source: Student, Biometrika 6, 1908.
    """
    from scipy.special import stdtrit  # scipy.stats.t.ppf, which takes long to load

    if not (n := len(values)):
        raise ValueError('no values to average: give at least one')
    mean = statistics.fmean(values)
    if n == 1:
        return mean, None, None
    sd = statistics.stdev(values)
    half_width = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * sd / math.sqrt(n)
    return mean, sd, half_width
