"""Paired tests of two models on the same clips.

Both ask whether other clips of these kinds could turn the difference round, with the
weights as they are. Neither knows how much training again would move a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmma.evaluation.functional.intervals import MIN_SUBJECTS, BootstrapOptions
from mmma.evaluation.functional.recognition import (
    ClassCounts,
    FloatArray,
    IntArray,
    Outcomes,
    count_classes,
    recognition_metrics,
)

_BLOCK = 250


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
    counts = [_unit_counts(run, unit_of) for run in runs]
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


def _unit_counts(
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
