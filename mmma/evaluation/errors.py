"""Errors of a detector by kind, and what the instances that it misses are like.

**Error profile** (DETAD), also where labels overlap. Of each class the best 10 G
predictions are looked at, G being its number of truths. A prediction that takes no
truth at a threshold t is, by the first line that holds:

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

**Sensitivity** to length, coverage and company of the instances. Per bin of a
characteristic: the share of its truths that no prediction finds, and the normalised AP
of its truths alone. For that AP a prediction that takes a truth of another bin is
neither hit nor error.

All results are percent, averaged over thresholds.

Source: Alwassel et al., Diagnosing Error in Temporal Action Detectors, ECCV 2018.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmma.evaluation.detection import Matches, envelope, same_video
from mmma.structures.segments import FloatArray, IntArray, Segments, tiou_pairs

KINDS = (
    *('true positive', 'double', 'wrong label'),
    *('localization', 'confusion', 'background'),
)
DEPTH = 10
"""Predictions of a class looked at, in multiples of its truths."""
NEAR = 0.1
EDGES: dict[str, tuple[float, ...]] = {
    'length': (0.0, 1.0, 2.0, 4.0, 8.0, np.inf),
    'coverage': (0.0, 0.2, 0.4, 0.6, 0.8, np.inf),
    'instances': (1.0, 2.0, 5.0, 9.0, np.inf),
}
"""Bin edges, lower ones included: seconds, fraction of the video, instances of the
class in the video. Micro-actions are short, so length has bins of its own."""


def profile_levels(
    found: Mapping[str, Matches], durations: ArrayLike, legacy: bool = False
) -> dict[str, dict[str, Any]]:
    """Error profile and sensitivity of each level's matches, as plain types.

    Durations are (V,) seconds of the videos, NaN where unknown; ``legacy`` is the
    original's rule, which looks at one truth alone.
    """
    profiles = {}
    for level, own in found.items():
        values = characteristics(own.truth, durations)
        bins = {k: sensitivity(own, values[k], EDGES[k]) for k in EDGES if k in values}
        rule = {'rule': 'nearest truth' if legacy else 'own class first'}
        profiles[level] = rule | error_profile(own, legacy) | {'sensitivity': bins}
    return profiles


def error_profile(matches: Matches, legacy: bool = False) -> dict[str, Any]:
    """Kinds of errors by rank, and what removing each would gain.

    Returns:
        ``kinds``, ``slices`` (their shares among the k-th G predictions of each class;
        0 where there are none), ``predictions`` (in each slice), ``mAP_N`` (normalised)
        and ``gain`` (of it, without each kind of error).
    """
    sizes = np.minimum(np.diff(matches.starts), DEPTH * matches.truths)
    runs = zip(matches.starts[:-1], sizes, strict=True)
    top = np.concatenate([np.arange(start, start + size) for start, size in runs])
    kinds = _classify(matches, top, legacy)
    column = np.searchsorted(matches.starts, top, side='right') - 1
    slices = (top - matches.starts[column]) // matches.truths[column]
    shares = np.zeros((DEPTH, len(kinds), len(KINDS)))
    for row, own in enumerate(kinds):
        cells = np.bincount(slices * len(KINDS) + own, minlength=DEPTH * len(KINDS))
        table = cells.reshape(DEPTH, len(KINDS))
        shares[:, row] = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    map_n = _mean_normalised_ap(matches, top, kinds)
    odd = range(1, len(KINDS))
    gains = [_mean_normalised_ap(matches, top, kinds, kind) - map_n for kind in odd]
    gain = np.stack(gains, axis=1).mean(axis=0) * 100.0
    return {
        'kinds': list(KINDS),
        'slices': (shares.mean(axis=1) * 100.0).tolist(),
        'predictions': np.bincount(slices, minlength=DEPTH).tolist(),
        'mAP_N': float(map_n.mean()) * 100.0,
        'gain': dict(zip(KINDS[1:], gain.tolist(), strict=True)),
    }


def _classify(matches: Matches, top: IntArray, legacy: bool) -> IntArray:
    """(T, n) index into KINDS of the predictions at ``top``."""
    truth, best = matches.truth, matches.found.select(matches.order[top])
    # Largest tIoU with truths of the own label, and of others, in the same video.
    same, other = np.zeros((2, len(best)))
    for rows, members in same_video(best, truth):
        tiou = tiou_pairs(best.segments_sec[rows], truth.segments_sec[members])
        own = best.labels[rows] == truth.labels[members]
        np.maximum.at(same, rows[own], tiou[own])
        np.maximum.at(other, rows[~own], tiou[~own])
    if legacy:
        own = same >= other
        same, other = np.where(own, same, 0.0), np.where(own, 0.0, other)
    kinds = np.empty((len(matches.thresholds), len(top)), dtype=np.int64)
    for row, threshold in enumerate(matches.thresholds):
        taken = np.isin(top, matches.hits[row])
        found = [tiou >= low for low in (threshold, NEAR) for tiou in (same, other)]
        kinds[row] = np.select([taken, *found], range(5), default=5)
    return kinds


def _mean_normalised_ap(
    matches: Matches, top: IntArray, kinds: IntArray, without: int | None = None
) -> FloatArray:
    """(T,) mean over classes, predictions of one kind removed."""
    sizes = itertools.repeat(float(matches.truths.sum() / len(matches.classes)))
    cuts, means = np.searchsorted(top, matches.starts[1:-1]), np.zeros(len(kinds))
    for row, own in enumerate(kinds):
        parts = [part[part != without] == 0 for part in np.split(own, cuts)]
        ranks = [np.flatnonzero(part) + 1 for part in parts]
        values = map(normalised_ap, ranks, matches.truths.tolist(), sizes)
        means[row] = np.mean(list(values))
    return means


def normalised_ap(ranks: IntArray, truths: int, mean_truths: float) -> float:
    """All-point AP, of (n,) rising ranks of the hits from 1, whatever the class's size.

    Precision is as if the class had ``mean_truths`` truths, the mean over classes.
    """
    hits = np.arange(1, len(ranks) + 1)
    scaled = hits / truths * mean_truths
    precision = scaled / (scaled + ranks - hits)
    return float(envelope(precision).sum() / truths)


def characteristics(truth: Segments, durations: ArrayLike) -> dict[str, FloatArray]:
    """Keys of ``EDGES`` to (G,) values, in videos of (V,) seconds.

    There is no coverage where one of them is not a number.
    """
    lengths = truth.segments_sec[:, 1] - truth.segments_sec[:, 0]
    pairs = np.stack([truth.labels, truth.videos], axis=1)
    _, group, sizes = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    found = {'length': lengths, 'instances': sizes[group.reshape(-1)].astype(float)}
    known = np.asarray(durations, dtype=np.float64)[truth.videos]
    if np.isfinite(known).all():
        found['coverage'] = lengths / known
    return found


def sensitivity(
    matches: Matches, values: FloatArray, edges: tuple[float, ...]
) -> list[dict[str, Any]]:
    """Misses and AP per bin of one characteristic, by (G,) values of the truths.

    Returns:
        Per bin ``bin`` (its name), ``truths``, ``missed`` (those that no prediction
        takes; 0 without truths) and ``mAP_N`` (over the classes with truths in it).
    """
    bins = len(edges) - 1
    bin_of = np.clip(np.searchsorted(edges, values, side='right') - 1, 0, bins - 1)
    truths = np.bincount(bin_of, minlength=bins)
    missed, map_n = [], []
    for hits, taken in zip(matches.hits, matches.taken, strict=True):
        found = np.bincount(bin_of[taken], minlength=bins)
        missed.append((truths - found) / np.maximum(truths, 1))
        map_n.append([_bin_ap(matches, hits, taken, bin_of == b) for b in range(bins)])
    means = (np.mean(own, axis=0) * 100.0 for own in (missed, map_n))
    names = [f'{low:g}..{high:g}' for low, high in itertools.pairwise(edges)]
    names = [name.replace('..inf', ' and more') for name in names]
    rows = zip(names, truths.tolist(), *(own.tolist() for own in means), strict=True)
    keys = 'bin', 'truths', 'missed', 'mAP_N'
    return [dict(zip(keys, row, strict=True)) for row in rows]


def _bin_ap(
    matches: Matches, hits: IntArray, taken: IntArray, inside: NDArray[np.bool_]
) -> float:
    """Mean over classes of the normalised AP of the truths ``inside`` a bin."""
    column_of = np.searchsorted(matches.classes, matches.truth.labels)
    truths = np.bincount(column_of[inside], minlength=len(matches.classes))
    size = float(matches.truths.sum() / len(matches.classes))
    own = np.split(inside[taken], np.searchsorted(hits, matches.starts[1:-1]))
    values = []
    for column, positions in enumerate(matches.split(hits)):
        if truths[column]:
            # Hits of other bins are left out: they hold no rank.
            elsewhere = np.cumsum(~own[column])
            ranks = positions - matches.starts[column] + 1 - elsewhere
            values.append(normalised_ap(ranks[own[column]], int(truths[column]), size))
    return float(np.mean(values)) if values else 0.0
