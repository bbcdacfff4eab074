"""How detection depends on what the instances are like: length, coverage, company.

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

from mmma.evaluation.functional.detection import Matches
from mmma.evaluation.functional.detection_instances import (
    FloatArray,
    Instances,
    IntArray,
)
from mmma.evaluation.functional.error_profile import mean_truths, normalised_ap

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
