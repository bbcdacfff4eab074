"""Detection metrics: matching, average precision, recall at N, mAP of segments.

Arrays in, fractions out. Everything follows from :class:`Matches`: which prediction
takes which truth, per threshold. Matching is the greedy walk of the ActivityNet
evaluation, exactly: predictions of a class by falling score over all videos, each
taking the truth of largest tIoU among those of its video and class that reach the
threshold and are not taken yet. Nothing is rounded.

Ties: of equal scores the earlier video comes first, then the earlier start, then the
earlier end; of equal tIoU the truth that starts (then ends) first is taken. The order
of the input therefore moves no number.

Classes are those of the truth: a class with truth and no prediction has AP 0, a class
without truth is no class of the mean.

Frame mAP: a video has moments, so many per second from its start (all frames in
MultiTHUMOS), or 25 in all (Charades). A truth covers those from its start up to its
end, or else the nearest one; a moment's score for a class is that of a dense head, or
the largest of the segments of that class that cover it. Per class, AP over the moments
of all videos is scikit-learn's: equal scores count together, last what nothing covers.

Source: ActivityNet evaluation, eval_detection.py, compute_average_precision_detection;
frame mAP: MultiTHUMOS (Yeung et al., 2015), Charades (Sigurdsson et al., 2016).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmma.evaluation.recognition import LEVELS
from mmma.structures.segments import (
    MOMENT_MARGIN,
    FloatArray,
    IntArray,
    Segments,
    tiou_pairs,
)
from mmma.taxonomy import check_choice

Pairs = tuple[NDArray[np.int32], NDArray[np.int32], FloatArray]

THRESHOLDS: tuple[float, ...] = tuple(float(t) for t in np.arange(1, 10) / 10)
"""tIoU 0.1 to 0.9; ``np.arange(.1, 1, .1)`` would give .30000000000000004."""
SAME_SEC = 1e-3
"""Truths of one label both of whose ends are this close are one truth."""
FRAME_RATE = 15.0
"""Moments per second of frame mAP: the positions of the recipes here."""
CHARADES_POINTS = 25
LEGACY_DECIMALS = 4
"""Decimals of scores that OpenTAD writes."""
_CHUNK = 2_000_000  # pairs that are looked at together
PRESETS: dict[str, tuple[float, ...]] = {'mma82': THRESHOLDS, 'mac': (0.2, 0.5, 0.7)}
"""Thresholds whose mean is ``mAP``: of MMA-82, and of the Micro-Action Challenge."""
MIN_TRUTHS = 10
"""A class of so many truths is frequent: with fewer, one hit moves its AP by more than
ten points."""
RECALL_AT = (1, 5, 10, 50, 100)
SHOWN = (0.2, 0.5, 0.7)
"""Thresholds that tables show."""
_AT = {**{f'{t:g}'[1:]: f'mAP@{t:.2f}' for t in SHOWN}, 'mAP': 'mAP'}
COLUMNS = {f'{lv} {at}': f'{lv}/{name}' for lv in LEVELS for at, name in _AT.items()}
COLUMNS['AVG'] = 'AVG'
"""Titles and keys of tables: a metric that tables show is added here."""
FRAME_COLUMNS = {f'{lv} frame mAP': f'{lv}/frame_mAP' for lv in LEVELS}
"""Of what was measured here; the paper has none."""


def merge_duplicates(truth: Segments) -> Segments:
    """Truths by label, video, start, end, without repeated ones.

    A truth is dropped if an earlier one that is kept has its label and video and both
    ends within ``SAME_SEC``.

    Source: OpenTAD, remove_duplicate_annotations.
    """
    starts, ends = truth.segments_sec.T
    truth = truth.select(np.lexsort((ends, starts, truth.videos, truth.labels)))
    group, times = _groups(truth)[0], truth.segments_sec
    near = (np.diff(group) == 0) & (np.diff(times[:, 0]) <= SAME_SEC)
    keep = np.ones(len(truth), dtype=np.bool_)
    for row in np.flatnonzero(near) + 1:
        for before in range(row - 1, -1, -1):
            gap = np.abs(times[row] - times[before])
            if group[before] != group[row] or gap[0] > SAME_SEC:
                break
            if keep[before] and gap[1] <= SAME_SEC:
                keep[row] = False
                break
    return truth.select(keep)


def expand_runs(
    first: NDArray[Any], sizes: NDArray[Any], chunk: int = _CHUNK
) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows 0..n-1, each repeated beside the (n,) ``sizes`` members of its run.

    Chunk by chunk of about so many pairs; ``first`` is (n,) first members.
    """
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    cuts = np.searchsorted(ends, np.arange(chunk, total, chunk))
    for low, high in zip([0, *cuts], [*cuts, len(sizes)], strict=True):
        size = np.asarray(sizes[low:high])
        rows = np.repeat(np.arange(low, high), size)
        offsets = np.repeat(np.cumsum(size) - size, size)
        yield rows, np.arange(len(rows)) - offsets + first[rows]


def same_video(a: Segments, b: Segments) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows of the one beside all rows of the other in the same video, in chunks."""
    order = np.argsort(b.videos, kind='stable')
    first = np.searchsorted(b.videos[order], a.videos)
    sizes = np.searchsorted(b.videos[order], a.videos, 'right') - first
    for rows, places in expand_runs(first, sizes):
        yield rows, order[places]


@dataclass(frozen=True)
class Matches:
    """Predictions with the truths that they take; C classes, those with truth.

    Attributes:
        thresholds: (T,) tIoU.
        truth: Truths once duplicates are merged, by class, video, start, end.
        found: Predictions.
        ranking: (n,) rows of all predictions, best first.
        classes: (C,) labels with truth, ascending.
        truths: (C,) how many of each class.
        order: (P,) rows of the predictions of these classes, by class, best first.
        starts: (C + 1,) where each class starts in ``order``.
        hits: Per threshold, positions in ``order`` of the predictions that take a
            truth, ascending.
        taken: Per threshold, the row of ``truth`` that each of them takes.
        merged: Duplicate truths that were dropped.
    """

    thresholds: tuple[float, ...]
    truth: Segments
    found: Segments
    ranking: IntArray
    classes: IntArray
    truths: IntArray
    order: IntArray
    starts: IntArray
    hits: tuple[IntArray, ...]
    taken: tuple[IntArray, ...]
    merged: int

    def split(self, positions: IntArray) -> list[IntArray]:
        """Ascending positions in ``order``, one array per class."""
        return np.split(positions, np.searchsorted(positions, self.starts[1:-1]))


def rank_predictions(found: Segments, legacy: bool = False) -> IntArray:
    """(n,) rows of all predictions, best first, ties as the head of this module says.

    One ranking serves every relabelling of the predictions. ``legacy`` is needed for
    parity only: scores are rounded to four decimals; of equal ones the later row of the
    input comes first, as the ``argsort()[::-1]`` of the ActivityNet evaluation has it
    wherever its sort is stable. The order of a file then moves numbers.
    """
    if legacy:
        rounded = np.round(found.scores, LEGACY_DECIMALS)
        return np.argsort(rounded, kind='stable')[::-1].astype(np.int64)
    order = np.argsort(-found.scores)
    tied, run = _ties(found.scores[order])  # only these are sorted by all keys
    rows = order[tied]
    starts, ends = found.segments_sec[rows].T
    order[tied] = rows[np.lexsort((ends, starts, found.videos[rows], run))]
    return order.astype(np.int64, copy=False)


def _ties(values: NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Places of values that equal a neighbour, and the number of the run of each."""
    again = values[1:] == values[:-1]
    tied = np.flatnonzero(np.r_[False, again] | np.r_[again, False])
    return tied, np.cumsum(np.r_[True, ~again])[tied]


def match_detections(
    truth: Segments,
    found: Segments,
    ranking: IntArray | None = None,
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> Matches:
    """Match predictions with truths, for every threshold independently.

    Duplicate truths are merged, predictions of other labels than the truths ignored. No
    truth, one that does not end after it starts, and thresholds that do not rise raise
    ValueError.
    """
    if not thresholds or (np.diff((0.0, *thresholds, 1.0 + 1e-9)) <= 0).any():
        raise ValueError(f'thresholds {thresholds}: use rising numbers above 0 up to 1')
    if not len(truth):
        raise ValueError('no true instance: nothing can be measured')
    if len(empty := np.flatnonzero(np.diff(truth.segments_sec)[:, 0] <= 0)):
        raise ValueError(
            f'{len(empty)} truths do not end after they start, the first is row '
            f'{empty[0]}: {truth.segments_sec[empty[0]].tolist()}'
        )
    ranking = rank_predictions(found) if ranking is None else ranking
    merged = merge_duplicates(truth)
    classes, truths = np.unique(merged.labels, return_counts=True)
    order, starts = _by_class(found, ranking, classes)
    pairs = _overlapping_pairs(merged, found, order, starts, thresholds[0])
    walks = [_greedy(pairs, t, merged, len(order)) for t in thresholds]
    hits, taken = zip(*walks, strict=True)
    classes, truths = classes.astype(np.int64), truths.astype(np.int64)
    given = thresholds, merged, found, ranking, classes, truths, order, starts
    return Matches(*given, hits, taken, len(truth) - len(merged))


def _by_class(
    found: Segments, ranking: IntArray, classes: NDArray[Any]
) -> tuple[IntArray, IntArray]:
    """The ranking stably parted by class, and where each class starts in it."""
    highest = max(int(classes[-1]), int(found.labels.max(initial=0)))
    small = np.int16 if len(classes) < 2**15 else np.int64
    index_of = np.full(highest + 1, len(classes), dtype=small)
    index_of[classes] = np.arange(len(classes))
    column = index_of[found.labels[ranking]]
    order = ranking[np.argsort(column, kind='stable')]  # radix sort of small integers
    counts = np.bincount(column, minlength=len(classes) + 1)[:-1]
    starts = np.r_[0, np.cumsum(counts)].astype(np.int64)
    return order[: starts[-1]], starts


def _overlapping_pairs(
    truth: Segments, found: Segments, order: IntArray, starts: IntArray, lowest: float
) -> Pairs:
    """Pairs of the same class and video that reach the lowest threshold.

    Returns:
        Positions in ``order``, rows of ``truth``, tIoU; by group (class and video),
        then rank, then falling tIoU, then truth.
    """
    first, sizes = _groups(truth)[1:]
    videos = int(max(truth.videos.max(), found.videos.max(initial=0))) + 1
    heads = truth.labels[first].astype(np.int64)
    classes = np.unique(heads)
    cell = np.searchsorted(classes, heads) * videos + truth.videos[first]
    table, positions = np.full(len(classes) * videos, -1, dtype=np.int32), []
    table[cell] = np.arange(len(first))
    for column, (low, high) in enumerate(itertools.pairwise(starts)):
        own = table[column * videos :][:videos][found.videos[order[low:high]]]
        at = np.flatnonzero(own >= 0)
        positions.append(low + at[np.argsort(own[at], kind='stable')])
    position = np.concatenate(positions)
    label = np.searchsorted(starts, position, side='right') - 1
    group = table[label * videos + found.videos[order[position]]]
    none = np.empty(0, dtype=np.int32)
    pieces: list[Pairs] = [(none, none, np.empty(0))]
    for rows, members in expand_runs(first[group], sizes[group]):
        own = position[rows]
        tiou = tiou_pairs(found.segments_sec[order[own]], truth.segments_sec[members])
        near = tiou >= lowest
        pair = own[near].astype(np.int32), members[near].astype(np.int32), tiou[near]
        tied, run = _ties(pair[0])  # few predictions have more than one
        sort = tied[np.lexsort((pair[1][tied], -pair[2][tied], run))]
        for part in pair[1:]:
            part[tied] = part[sort]
        pieces.append(pair)
    return tuple(np.concatenate(column) for column in zip(*pieces, strict=True))  # type: ignore[return-value]


def _groups(truth: Segments) -> tuple[IntArray, IntArray, IntArray]:
    """Group of each truth, first truth of each group, truths in it."""
    new = np.r_[True, (np.diff(truth.labels) != 0) | (np.diff(truth.videos) != 0)]
    first = np.flatnonzero(new)
    return np.cumsum(new) - 1, first, np.diff(np.r_[first, len(truth)])


def _greedy(
    pairs: Pairs, threshold: float, truth: Segments, size: int
) -> tuple[IntArray, IntArray]:
    """The greedy walk at one threshold, in all groups at once.

    The first pair that is left in a group is the next to match: the best-ranked
    prediction that can still take a truth, with the best truth that it can take. It
    removes the pairs of both. A round does that in every group, so there are as many
    rounds as a group has truths at most.
    """
    near = pairs[2] >= threshold
    position, member = pairs[0][near], pairs[1][near]
    group = _groups(truth)[0][member]
    locked = np.zeros(len(truth), dtype=np.bool_)
    used = np.zeros(size, dtype=np.bool_)
    pieces = [np.empty((2, 0), dtype=np.int64)]
    while len(group):
        first = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        pieces.append(np.stack([position[first], member[first]]).astype(np.int64))
        locked[member[first]] = True
        used[position[first]] = True
        left = ~(locked[member] | used[position])
        position, member, group = position[left], member[left], group[left]
    found, owner = np.concatenate(pieces, axis=1)
    sort = np.argsort(found)
    return found[sort], owner[sort]


def average_precisions(matches: Matches) -> FloatArray:
    """(T, C) average precision, all points under the precision envelope.

    Source: PASCAL VOC 2011 development kit, VOCap.
    """
    found = np.zeros((len(matches.thresholds), len(matches.classes)))
    for row, positions in enumerate(matches.hits):
        for column, own in enumerate(matches.split(positions)):
            ranks = own - matches.starts[column] + 1
            precision = np.arange(1, len(own) + 1) / ranks
            found[row, column] = envelope(precision).sum()
    return found / matches.truths


def envelope(precision: FloatArray) -> FloatArray:
    """(..., n) the largest precision at this or any later recall."""
    falling = np.maximum.accumulate(precision[..., ::-1], axis=-1)
    return np.asarray(falling[..., ::-1], dtype=np.float64)


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

    Returns:
        Metric key to (...,) fractions; ``AVG`` needs both levels.
    """
    averaged = preset_columns(preset)
    metrics: dict[str, FloatArray] = {}
    for level, table in precisions.items():
        weight = np.ones(table.shape[-1]) if members is None else members[level]
        weight = np.asarray(weight, dtype=np.float64)[..., None, :]
        size = np.maximum(weight.sum(axis=-1), 1)
        means = (table * weight).sum(axis=-1) / size  # (..., T)
        for column, threshold in enumerate(THRESHOLDS):
            metrics[f'{level}/mAP@{threshold:.2f}'] = means[..., column]
        metrics[f'{level}/mAP'] = means[..., averaged].mean(axis=-1)
    if set(precisions) == set(LEVELS):
        metrics['AVG'] = (metrics['action/mAP'] + metrics['body/mAP']) / 2
    return metrics


def preset_columns(preset: str) -> list[int]:
    """Positions in ``THRESHOLDS`` of those a preset averages; ValueError of others."""
    check_choice('preset', preset, PRESETS)
    return [THRESHOLDS.index(t) for t in PRESETS[preset]]


def recall_at(
    matches: Matches, numbers: Sequence[int] = RECALL_AT
) -> dict[int, FloatArray]:
    """(T,) share of all truths found by the N best predictions of each video, by N.

    A match depends on better-ranked predictions alone, so keeping the first N of each
    video before matching would find the same truths.
    """
    ranking = matches.ranking
    videos = matches.found.videos[ranking]
    by_video = np.argsort(videos, kind='stable')
    counts = np.bincount(videos)
    place = np.empty(len(ranking), dtype=np.int64)
    start = np.repeat(np.cumsum(counts) - counts, counts)
    place[ranking[by_video]] = np.arange(len(ranking)) - start
    found = [place[matches.order[positions]] for positions in matches.hits]
    truths = int(matches.truths.sum())
    return {n: np.array([(f < n).sum() for f in found]) / truths for n in numbers}


def frame_average_precisions(
    truth: Segments,
    found: Segments | Sequence[NDArray[Any]],
    durations: ArrayLike,
    rate: float = FRAME_RATE,
) -> tuple[IntArray, FloatArray]:
    """AP over moments of each class, in videos of (V,) seconds, all above 0.

    Args:
        found: Segments; or scores of the frames of each video, (n, C), evenly from its
            start to its end: those of the frame at a moment count.
        rate: Moments per second; 0 for 25 per video.

    Returns:
        (C,) labels with truth, ascending, and their (C,) fractions.
    """
    seconds = np.asarray(durations, dtype=np.float64)
    if len(bad := np.flatnonzero(~(np.isfinite(seconds) & (seconds > 0)))):
        told = f'{len(bad)} videos without a duration, the first is number {bad[0]}'
        raise ValueError(f'{told}: frame mAP needs the length of each video')
    rates = np.full(len(seconds), rate) if rate else CHARADES_POINTS / seconds
    counts = np.maximum(np.ceil(seconds * rates - MOMENT_MARGIN), 1).astype(np.int64)
    values, labels = [], np.unique(truth.labels)
    if isinstance(found, Segments):
        ends = seconds[found.videos]
        inside = (found.segments_sec[:, 1] >= 0) & (found.segments_sec[:, 0] < ends)
        found = found.select(inside)
    else:
        pairs = zip(found, counts, strict=True)
        table = np.concatenate([s[np.arange(n) * len(s) // n] for s, n in pairs])
    for label in labels:
        true = np.zeros(int(counts.sum()), dtype=np.bool_)
        for _, covered in _covered(truth.select(truth.labels == label), counts, rates):
            true[covered] = True
        scores = np.full(len(true), -np.inf)
        if isinstance(found, Segments):
            own = found.select(found.labels == label)
            for rows, covered in _covered(own, counts, rates):
                np.maximum.at(scores, covered, own.scores[rows])
        else:
            scores = table[:, label]
        values.append(average_precision(true, scores))
    return labels.astype(np.int64), np.array(values)


def average_precision(true: NDArray[np.bool_], scores: FloatArray) -> float:
    """AP of n scored items with at least one true one; equal scores count together.

    Source: scikit-learn, average_precision_score.
    """
    shown = np.flatnonzero(scores > -np.inf)  # the rest come last, together
    order = shown[np.argsort(-scores[shown])]
    ranked = np.append(scores[order], -np.inf)
    last = np.flatnonzero(ranked[1:] != ranked[:-1])
    hits = np.append(np.cumsum(true[order])[last], true.sum())
    steps = np.diff(np.r_[0, hits]) / hits[-1]
    return float((steps * hits / np.append(last + 1, len(true))).sum())


def _covered(
    segments: Segments, counts: IntArray, rates: FloatArray
) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows of segments beside the moments that they cover, in chunks."""
    count, end = (own[segments.videos] for own in (counts, np.cumsum(counts)))
    places = segments.segments_sec.T * rates[segments.videos]
    first, stop = np.clip(np.ceil(places - MOMENT_MARGIN), 0, count).astype(np.int64)
    nearest = np.clip(np.round(places.mean(axis=0)), 0, count - 1).astype(np.int64)
    between = stop <= first
    first = np.where(between, nearest, first)
    return expand_runs(end - count + first, np.where(between, 1, stop - first))


def unmatched_notes(file: str, found: Segments, truth: Segments) -> list[str]:
    """A line where no prediction overlaps a truth of its label, and why that may be."""

    def matched(shift: int) -> Iterator[bool]:
        rows = zip(truth.segments_sec, truth.labels, truth.videos, strict=True)
        for (start_sec, end_sec), label, video in rows:
            own = (found.videos == video) & (found.labels == label + shift)
            starts, ends = found.segments_sec[own].T
            yield bool(((starts < end_sec) & (ends > start_sec)).any())

    if not len(found) or any(matched(0)):
        return []
    note = f'{file}: no prediction overlaps a truth of its label; '
    for shift, told in (1, 'labels counted from 1'), (-1, 'labels one too low'):
        if 2 * (count := sum(matched(shift))) > len(truth):
            return [f'{note}with {told}, {count} of {len(truth)} truths have one']
    return [f'{note}labels in another order, or times in another unit?']
