"""Matching of detections with true instances: numpy arrays in, arrays out.

Everything that is measured of detections follows from :class:`Matches`: which
prediction takes which truth, per threshold. Matching is the greedy walk of the
ActivityNet evaluation, exactly: predictions of a class by falling score over all
videos, each taking the truth of largest tIoU among those of its video and class that
reach the threshold and are not taken yet. Nothing is rounded.

Ties: of equal scores the earlier video comes first, then the earlier start, then the
earlier end; of equal tIoU the truth that starts (then ends) first is taken. The order
of the input therefore moves no number.

Source: ActivityNet evaluation, eval_detection.py, compute_average_precision_detection.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmma.evaluation.functional.detection_instances import (
    FloatArray,
    Instances,
    IntArray,
    Predictions,
    expand_runs,
    merge_duplicates,
)
from mmma.structures.segments import tiou_pairs

Pairs = tuple[NDArray[np.int32], NDArray[np.int32], FloatArray]

THRESHOLDS: tuple[float, ...] = tuple(float(t) for t in np.arange(1, 10) / 10)
"""tIoU 0.1 to 0.9; ``np.arange(.1, 1, .1)`` would give .30000000000000004."""


@dataclass(frozen=True)
class MatchOptions:
    """Choices of matching.

    Attributes:
        thresholds: tIoU thresholds, rising.
        score_decimals: Round scores first; None does not. OpenTAD writes 4.
        late_ties: Of equal scores the later row of the input comes first, as the
            ``argsort()[::-1]`` of the ActivityNet evaluation has it wherever its sort
            is stable. Needed for parity only: the order of a file then moves numbers.
    """

    thresholds: tuple[float, ...] = THRESHOLDS
    score_decimals: int | None = None
    late_ties: bool = False

    def __post_init__(self) -> None:
        steps = np.diff((0.0, *self.thresholds, 1.0 + 1e-9))
        if not self.thresholds or (steps <= 0).any():
            raise ValueError(
                f'thresholds {self.thresholds}: use rising numbers above 0, up to 1'
            )


LEGACY = MatchOptions(score_decimals=4, late_ties=True)


@dataclass(frozen=True)
class Matches:
    """Which prediction takes which truth; C classes, those with truth.

    Attributes:
        thresholds: (T,) tIoU.
        classes: (C,) labels with truth, ascending.
        truth: The truths once duplicates are merged, by class, video, start, end.
        truths: (C,) how many of each class.
        order: (P,) rows of the predictions of these classes, by class, best first.
        starts: (C + 1,) where each class starts in ``order``.
        hits: Per threshold, positions in ``order`` of the predictions that take a
            truth, ascending.
        taken: Per threshold, the row of ``truth`` that each of them takes.
        merged: Duplicate truths that were dropped.
        ignored: Predictions of labels without truth.
    """

    thresholds: FloatArray
    classes: IntArray
    truth: Instances
    truths: IntArray
    order: IntArray
    starts: IntArray
    hits: tuple[IntArray, ...]
    taken: tuple[IntArray, ...]
    merged: int
    ignored: int

    def class_of(self, positions: IntArray) -> IntArray:
        """(n,) index into ``classes`` of positions in ``order``."""
        found = np.searchsorted(self.starts, positions, side='right') - 1
        return found.astype(np.int64)


def rank_predictions(
    predictions: Predictions, options: MatchOptions | None = None
) -> IntArray:
    """(n,) rows of all predictions, best first, ties as the head of this module says.

    One ranking serves every relabelling of the predictions.
    """
    options = options or MatchOptions()
    scores = predictions.scores
    if options.score_decimals is not None:
        scores = np.round(scores, options.score_decimals)
    if options.late_ties:
        return np.argsort(scores, kind='stable')[::-1].astype(np.int64)
    order = np.argsort(-scores)
    ranked = scores[order]
    again = ranked[1:] == ranked[:-1]
    tied = np.flatnonzero(np.r_[False, again] | np.r_[again, False])
    if len(tied):  # only these are sorted by all keys: unrounded scores have few
        rows = order[tied]
        run = np.cumsum(np.r_[True, ~again])[tied]
        starts, ends = predictions.segments[rows].T
        order[tied] = rows[np.lexsort((ends, starts, predictions.videos[rows], run))]
    return order.astype(np.int64, copy=False)


def match_detections(
    truth: Instances,
    predictions: Predictions,
    options: MatchOptions | None = None,
    ranking: IntArray | None = None,
) -> Matches:
    """Match predictions with truths, for every threshold independently.

    Args:
        truth: True instances; duplicates are merged here.
        predictions: Those of other labels than the truths are ignored, and counted.
        options: Choices of matching.
        ranking: Of :func:`rank_predictions`, if it is known already.

    Raises:
        ValueError: No truth, or one that does not end after it starts.
    """
    options = options or MatchOptions()
    if not len(truth):
        raise ValueError('no true instance: nothing can be measured')
    empty = np.flatnonzero(truth.segments[:, 1] <= truth.segments[:, 0])
    if len(empty):
        raise ValueError(
            f'{len(empty)} truths do not end after they start, the first is row '
            f'{empty[0]}: {truth.segments[empty[0]].tolist()}'
        )
    if ranking is None:
        ranking = rank_predictions(predictions, options)
    merged = merge_duplicates(truth)
    classes, counts = np.unique(merged.labels, return_counts=True)
    order, starts = _by_class(predictions, ranking, classes)
    pairs = _overlapping_pairs(merged, predictions, order, starts, options)
    found = [_greedy(pairs, t, merged, len(order)) for t in options.thresholds]
    return Matches(
        thresholds=np.array(options.thresholds),
        classes=classes.astype(np.int64),
        truth=merged,
        truths=counts.astype(np.int64),
        order=order,
        starts=starts,
        hits=tuple(hits for hits, _ in found),
        taken=tuple(taken for _, taken in found),
        merged=len(truth) - len(merged),
        ignored=len(predictions) - len(order),
    )


def _by_class(
    predictions: Predictions, ranking: IntArray, classes: NDArray[Any]
) -> tuple[IntArray, IntArray]:
    """The ranking stably parted by class, and where each class starts in it."""
    highest = max(int(classes[-1]), int(predictions.labels.max(initial=0)))
    index_of = np.full(highest + 1, len(classes), dtype=_small(len(classes)))
    index_of[classes] = np.arange(len(classes))
    column = index_of[predictions.labels[ranking]]
    order = ranking[np.argsort(column, kind='stable')]  # radix sort of small integers
    counts = np.bincount(column, minlength=len(classes) + 1)[:-1]
    starts = np.r_[0, np.cumsum(counts)].astype(np.int64)
    return order[: starts[-1]], starts


def _small(size: int) -> Any:
    return np.int16 if size < 2**15 else np.int64


def _overlapping_pairs(
    truth: Instances,
    predictions: Predictions,
    order: IntArray,
    starts: IntArray,
    options: MatchOptions,
) -> Pairs:
    """Pairs of the same class and video that reach the lowest threshold.

    Returns:
        Positions in ``order``, rows of ``truth``, tIoU; by group (class and video),
        then rank, then falling tIoU, then truth.
    """
    first, sizes = _groups(truth)[1:]
    videos = int(max(truth.videos.max(), predictions.videos.max(initial=0))) + 1
    heads = truth.labels[first].astype(np.int64)
    classes = np.unique(heads)
    cell = np.searchsorted(classes, heads) * videos + truth.videos[first]
    table = np.full(len(classes) * videos, -1, dtype=np.int32)
    table[cell] = np.arange(len(first))
    positions = []
    for column, (low, high) in enumerate(itertools.pairwise(starts)):
        own = table[column * videos :][:videos][predictions.videos[order[low:high]]]
        at = np.flatnonzero(own >= 0)
        positions.append(low + at[np.argsort(own[at], kind='stable')])
    position = np.concatenate(positions) if positions else np.empty(0, dtype=np.int64)
    label = np.searchsorted(starts, position, side='right') - 1
    group = table[label * videos + predictions.videos[order[position]]]
    pieces: list[Pairs] = [_no_pairs()]
    for rows, members in expand_runs(first[group], sizes[group]):
        own = position[rows]
        tiou = tiou_pairs(predictions.segments[order[own]], truth.segments[members])
        near = tiou >= options.thresholds[0]
        pair = own[near].astype(np.int32), members[near].astype(np.int32), tiou[near]
        pieces.append(_best_first(*pair))
    return tuple(np.concatenate(column) for column in zip(*pieces, strict=True))  # type: ignore[return-value]


def _no_pairs() -> Pairs:
    none = np.empty(0, dtype=np.int32)
    return none, none, np.empty(0)


def _best_first(
    positions: NDArray[np.int32], members: NDArray[np.int32], tiou: FloatArray
) -> Pairs:
    """Sort the pairs of each prediction by falling tIoU; few have more than one."""
    again = positions[1:] == positions[:-1]
    several = np.flatnonzero(np.r_[False, again] | np.r_[again, False])
    if len(several):
        run = np.cumsum(np.r_[True, ~again])[several]
        sort = several[np.lexsort((members[several], -tiou[several], run))]
        members[several], tiou[several] = members[sort], tiou[sort]
    return positions, members, tiou


def _groups(truth: Instances) -> tuple[IntArray, IntArray, IntArray]:
    """Group of each truth, first truth of each group, truths in it."""
    new = np.r_[True, (np.diff(truth.labels) != 0) | (np.diff(truth.videos) != 0)]
    first = np.flatnonzero(new)
    return np.cumsum(new) - 1, first, np.diff(np.r_[first, len(truth)])


def _greedy(
    pairs: Pairs, threshold: float, truth: Instances, size: int
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
    hits: list[IntArray] = []
    taken: list[IntArray] = []
    while len(group):
        first = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
        hits.append(position[first].astype(np.int64))
        taken.append(member[first].astype(np.int64))
        locked[member[first]] = True
        used[position[first]] = True
        left = ~(locked[member] | used[position])
        position, member, group = position[left], member[left], group[left]
    if not hits:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    found, owner = np.concatenate(hits), np.concatenate(taken)
    sort = np.argsort(found)
    return found[sort], owner[sort]
