"""Where detections fail: error profile and sensitivity.

What kinds of errors a detector makes (DETAD), also where labels overlap.

Of each class the best 10 G predictions are looked at, G being its number of truths. A
prediction that takes no truth at a threshold t is, by the first line that holds:

==============  ===================================================================
double          tIoU >= t with a truth of its class (which is taken already)
wrong label     tIoU >= t with a truth of another class
localization    0.1 <= tIoU < t with a truth of its class
confusion       0.1 <= tIoU < t with a truth of another class
background      none of these
==============  ===================================================================

The original looks at the truth of largest tIoU alone, whatever its class. Where
instances of different classes overlap, that is often another class although a truth of
the own class reaches t as well; ``legacy`` keeps that rule (of equal tIoU, the own
class counts).

AP is normalised, so that classes of different size compare: precision is
rec N / (rec N + FP) with N the mean number of truths per class.

Source: Alwassel et al., Diagnosing Error in Temporal Action Detectors, ECCV 2018.

How detection depends on what the instances are like: length, coverage, company.

Per bin of a characteristic: the share of its truths that no prediction finds, and the
normalised AP of its truths alone. For that AP a prediction that takes a truth of
another bin is neither hit nor error.

Source: Alwassel et al., Diagnosing Error in Temporal Action Detectors, ECCV 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmma.evaluation.detection import (
    BoolArray,
    FloatArray,
    Instances,
    IntArray,
    Matches,
    Predictions,
    envelope,
    expand_runs,
)
from mmma.structures.segments import tiou_pairs

KINDS = (
    'true positive',
    'double',
    'wrong label',
    'localization',
    'confusion',
    'background',
)
DEPTH = 10
"""Predictions of a class looked at, in multiples of its truths."""
NEAR = 0.1


@dataclass(frozen=True)
class ErrorProfile:
    """Errors of one level.

    Attributes:
        shares: (DEPTH, T, 6) fractions of KINDS among the k-th G predictions of each
            class; 0 where there are none.
        predictions: (DEPTH,) predictions in each slice.
        map_n: (T,) mean normalised AP.
        gain: (T, 5) what it would gain without each kind of error, KINDS[1:].
    """

    shares: FloatArray
    predictions: IntArray
    map_n: FloatArray
    gain: FloatArray

    def record(self, scale: float = 100.0) -> dict[str, Any]:
        """As plain types, averaged over thresholds, multiplied by ``scale``."""
        shares = self.shares.mean(axis=1) * scale
        return {
            'kinds': list(KINDS),
            'slices': shares.tolist(),
            'predictions': self.predictions.tolist(),
            'mAP_N': float(self.map_n.mean()) * scale,
            'gain': dict(
                zip(KINDS[1:], (self.gain.mean(axis=0) * scale).tolist(), strict=True)
            ),
        }


def error_profile(
    matches: Matches, predictions: Predictions, legacy: bool = False
) -> ErrorProfile:
    """Kinds of errors by rank, and what removing each would gain.

    Args:
        matches: At any level.
        predictions: What was matched, at that level.
        legacy: The rule of the original, see the head of this module.
    """
    top = top_positions(matches)
    kinds = classify(matches, predictions, top, legacy)
    column = matches.class_of(top)
    slices = (top - matches.starts[column]) // matches.truths[column]
    return ErrorProfile(
        shares=_shares(kinds, slices),
        predictions=np.bincount(slices, minlength=DEPTH),
        map_n=_mean_normalised_ap(matches, top, kinds),
        gain=np.stack(
            [
                _mean_normalised_ap(matches, top, kinds, without=kind)
                - _mean_normalised_ap(matches, top, kinds)
                for kind in range(1, len(KINDS))
            ],
            axis=1,
        ),
    )


def top_positions(matches: Matches) -> IntArray:
    """Positions in ``matches.order`` of the best DEPTH G predictions of each class."""
    sizes = np.minimum(np.diff(matches.starts), DEPTH * matches.truths)
    runs = zip(matches.starts[:-1], sizes, strict=True)
    return np.concatenate([np.arange(start, start + size) for start, size in runs])


def classify(
    matches: Matches, predictions: Predictions, top: IntArray, legacy: bool = False
) -> IntArray:
    """(T, n) index into KINDS of the predictions at ``top``."""
    same, other = nearest_truths(matches.truth, predictions.select(matches.order[top]))
    if legacy:
        same, other = (
            np.where(same >= other, same, 0.0),
            np.where(same >= other, 0.0, other),
        )
    kinds = np.empty((len(matches.thresholds), len(top)), dtype=np.int64)
    for row, threshold in enumerate(matches.thresholds):
        kinds[row] = np.select(
            [
                np.isin(top, matches.hits[row]),
                same >= threshold,
                other >= threshold,
                same >= NEAR,
                other >= NEAR,
            ],
            range(5),
            default=5,
        )
    return kinds


def nearest_truths(
    truth: Instances, predictions: Predictions
) -> tuple[FloatArray, FloatArray]:
    """Largest tIoU of each prediction in its video.

    Returns:
        (n,) with truths of its own label, and with those of other labels; 0 where
        the video has none.
    """
    by_video = truth.select(np.argsort(truth.videos, kind='stable'))
    low = np.searchsorted(by_video.videos, predictions.videos, side='left')
    high = np.searchsorted(by_video.videos, predictions.videos, side='right')
    same, other = np.zeros(len(predictions)), np.zeros(len(predictions))
    for rows, members in expand_runs(low, high - low):
        tiou = tiou_pairs(predictions.segments[rows], by_video.segments[members])
        own = predictions.labels[rows] == by_video.labels[members]
        np.maximum.at(same, rows[own], tiou[own])
        np.maximum.at(other, rows[~own], tiou[~own])
    return same, other


def normalised_ap(ranks: IntArray, truths: int, mean_truths: float) -> float:
    """All-point AP whose precision does not depend on the size of the class.

    Args:
        ranks: (n,) rising ranks of the hits, from 1.
        truths: Truths of the class.
        mean_truths: N, truths per class on average.
    """
    hits = np.arange(1, len(ranks) + 1)
    scaled = hits / truths * mean_truths
    precision = scaled / (scaled + ranks - hits)
    return float(envelope(precision).sum() / truths)


def mean_truths(matches: Matches) -> float:
    """N of the normalised AP: truths per class."""
    return float(matches.truths.sum() / len(matches.classes))


def _shares(kinds: IntArray, slices: IntArray) -> FloatArray:
    shares = np.zeros((DEPTH, len(kinds), len(KINDS)))
    for row, own in enumerate(kinds):
        cells = np.bincount(slices * len(KINDS) + own, minlength=DEPTH * len(KINDS))
        table = cells.reshape(DEPTH, len(KINDS))
        shares[:, row] = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    return shares


def _mean_normalised_ap(
    matches: Matches, top: IntArray, kinds: IntArray, without: int | None = None
) -> FloatArray:
    """(T,) mean over classes, predictions of one kind removed."""
    size = mean_truths(matches)
    cuts = np.searchsorted(top, matches.starts[1:-1])
    means = np.zeros(len(kinds))
    for row, own in enumerate(kinds):
        parts = np.split(own, cuts)
        means[row] = np.mean(
            [
                normalised_ap(_hit_ranks(part[part != without] == 0), int(truths), size)
                for part, truths in zip(parts, matches.truths, strict=True)
            ]
        )
    return means


def _hit_ranks(hit: BoolArray) -> IntArray:
    return np.flatnonzero(hit) + 1


LENGTH_SEC = (0.0, 1.0, 2.0, 4.0, 8.0, np.inf)
COVERAGE = (0.0, 0.2, 0.4, 0.6, 0.8, np.inf)
COMPANY = (1.0, 2.0, 5.0, 9.0, np.inf)
EDGES: dict[str, tuple[float, ...]] = {
    'length': LENGTH_SEC,
    'coverage': COVERAGE,
    'instances': COMPANY,
}
"""Bin edges, lower ones included: seconds, fraction of the video, instances of the
class in the video. Micro-actions are short, so length has bins of its own."""


@dataclass(frozen=True)
class Sensitivity:
    """What depends on one characteristic; B bins.

    Attributes:
        edges: (B + 1,) of the bins.
        truths: (B,) truths in each.
        missed: (T, B) fraction of them that no prediction takes; 0 without truths.
        map_n: (T, B) mean normalised AP over the classes with truths in the bin.
    """

    edges: tuple[float, ...]
    truths: IntArray
    missed: FloatArray
    map_n: FloatArray

    def record(self, scale: float = 100.0) -> list[dict[str, Any]]:
        """A row per bin as plain types, averaged over thresholds."""
        bins = [
            f'{low:g}..{high:g}' if np.isfinite(high) else f'{low:g} and more'
            for low, high in zip(self.edges[:-1], self.edges[1:], strict=True)
        ]
        missed, map_n = self.missed.mean(axis=0), self.map_n.mean(axis=0)
        return [
            {
                'bin': name,
                'truths': int(self.truths[i]),
                'missed': float(missed[i]) * scale,
                'mAP_N': float(map_n[i]) * scale,
            }
            for i, name in enumerate(bins)
        ]


def characteristics(
    truth: Instances, durations: ArrayLike | None = None
) -> dict[str, FloatArray]:
    """Keys of ``EDGES`` to (G,) values.

    Args:
        truth: As in ``Matches.truth``.
        durations: (V,) seconds; without them, or with one that is not a number,
            there is no coverage.
    """
    lengths = truth.segments[:, 1] - truth.segments[:, 0]
    pairs = np.stack([truth.labels, truth.videos], axis=1)
    _, group, sizes = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    found = {'length': lengths, 'instances': sizes[group.reshape(-1)].astype(float)}
    if durations is not None:
        known = np.asarray(durations, dtype=np.float64)[truth.videos]
        if np.isfinite(known).all():
            found['coverage'] = lengths / known
    return found


def sensitivity(
    matches: Matches, values: FloatArray, edges: tuple[float, ...]
) -> Sensitivity:
    """Misses and AP per bin of one characteristic.

    Args:
        matches: At any level.
        values: (G,) of each row of ``matches.truth``.
        edges: Rising; a value belongs to the bin whose lower edge it reaches.
    """
    num_bins = len(edges) - 1
    bin_of = np.searchsorted(edges, values, side='right') - 1
    bin_of = np.clip(bin_of, 0, num_bins - 1)
    truths = np.bincount(bin_of, minlength=num_bins)
    missed, map_n = [], []
    for hits, taken in zip(matches.hits, matches.taken, strict=True):
        found = np.bincount(bin_of[taken], minlength=num_bins)
        missed.append((truths - found) / np.maximum(truths, 1))
        map_n.append(
            [_bin_ap(matches, hits, taken, bin_of == b) for b in range(num_bins)]
        )
    return Sensitivity(edges, truths, np.array(missed), np.array(map_n))


def _bin_ap(matches: Matches, hits: IntArray, taken: IntArray, inside: Any) -> float:
    """Mean over classes of the normalised AP of the truths ``inside`` a bin."""
    column_of = np.searchsorted(matches.classes, matches.truth.labels)
    truths = np.bincount(column_of[inside], minlength=len(matches.classes))
    size = mean_truths(matches)
    cuts = np.searchsorted(hits, matches.starts[1:-1])
    own = np.split(inside[taken], cuts)
    values = []
    for column, positions in enumerate(np.split(hits, cuts)):
        if truths[column]:
            # Hits of other bins are left out: they hold no rank.
            elsewhere = np.cumsum(~own[column])
            ranks = positions - matches.starts[column] + 1 - elsewhere
            values.append(normalised_ap(ranks[own[column]], int(truths[column]), size))
    return float(np.mean(values)) if values else 0.0
