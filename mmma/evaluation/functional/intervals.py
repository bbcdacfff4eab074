"""Bootstrap intervals of the recognition metrics.

Metrics need only counts per class, so a resample is a weighting of units: one matrix
product gives the counts of a block of resamples, and the metrics follow at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmma.evaluation.functional.recognition import (
    ClassCounts,
    FloatArray,
    IntArray,
    Outcomes,
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
