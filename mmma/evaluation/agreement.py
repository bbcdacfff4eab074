"""Agreement of two annotations of the same videos: of two people, or one and a model.

Time is cut into units from the start of each video; less than half a unit at its end
belongs to the last one. A label is in the units whose middle it covers; what covers no
middle, as a point, is in the unit of its own. The code of a unit is the set of its
labels: ``kappa`` is that of BORIS, but of whole videos, and where no labels overlap
that of one track; ``kappa_pooled`` takes each label on its own.

All is made of counts that add up over videos: resamples are products of matrices. But
for precision and recall the two may change places.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmma.convert.events import Recording
from mmma.evaluation.bootstrap import MIN_SUBJECTS, choose_units, weighted_intervals
from mmma.evaluation.detection import expand_runs, same_video
from mmma.evaluation.scores import first_of
from mmma.files import tell
from mmma.structures.segments import FloatArray, IntArray, Segments, tiou_pairs

NONE = '(none)'
SPANS_SEC = 1.0, 10.0, 0.5
"""Seconds of a time unit, of a window of partial intervals, of tolerance."""
_MOST_UNITS = 1e8  # 100 hours of 3.6 ms
_SAME_SEC = 1e-9  # so much two times differ that are written alike


def cohen_kappa(
    agreed: FloatArray, first: FloatArray, second: FloatArray, pooled: bool = False
) -> FloatArray:
    """Cohen's kappa of (...,) units of one code, and (..., C) of each code by each.

    NaN where both use one and the same code alone. ``pooled`` makes one of all along
    the last axis of ``agreed``, by the means of what is observed and expected.

    Source: Cohen, Educational and Psychological Measurement 20, 1960; time units:
        Bakeman and Quera, Sequential Analysis and Observational Methods, 2011, p. 77;
        pooled: de Vries et al., Field Methods 20, 2008.
    """
    units = np.maximum(first.sum(axis=-1), 1)
    observed, expected = agreed / units, (first * second).sum(axis=-1) / units**2
    if pooled:
        observed, expected = observed.mean(axis=-1), expected.mean(axis=-1)
    return _ratio(observed - expected, 1 - expected)


def krippendorff_alpha(differing: FloatArray, values: FloatArray) -> FloatArray:
    """Krippendorff's nominal alpha of two coders; NaN where one value is all.

    Of (...,) units of different values, and (..., C) how often both together give each.
    What one of them alone has coded has no counterpart and does not count.

    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011.
    """
    total = values.sum(axis=-1)
    return 1 - _ratio(2 * differing * (total - 1), total**2 - (values**2).sum(axis=-1))


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """The one by the other, NaN where that is 0, or nothing but rounding."""
    return np.asarray(part / np.where(whole > 1e-12, whole, np.nan), dtype=np.float64)


def unit_counts(durations_sec: ArrayLike, unit_sec: float) -> IntArray:
    """(V,) whole units of (V,) videos, at least one each; ValueError of too many."""
    length = np.round(np.asarray(durations_sec, dtype=np.float64) / unit_sec, 6)
    if length.sum() > _MOST_UNITS:
        raise ValueError(f'{length.sum():.3g} units of {unit_sec:g} s: use longer ones')
    return np.maximum(np.ceil(length - 0.5), 1).astype(np.int64)


def unit_cells(
    found: Segments, sizes: IntArray, unit_sec: float, classes: int, any_part: bool
) -> IntArray:
    """Numbers ``unit * classes + label`` of the labels in units, ascending, each once.

    Units of the (V,) ``sizes`` are numbered through. With ``any_part`` a label is in
    all that it touches: partial-interval recording.
    """
    starts, ends = times = np.round(found.segments_sec.T / unit_sec, 6)
    low, high = (np.floor(starts), np.ceil(ends)) if any_part else np.ceil(times - 0.5)
    middle, last = np.floor((starts + ends) / 2), sizes[found.videos] - 1
    short = high <= low
    low = np.clip(np.where(short, middle, low), 0, last).astype(np.int64)
    high = np.clip(np.where(short, middle + 1, high), low + 1, last + 1)
    first = (np.cumsum(sizes) - sizes)[found.videos] + low
    runs = expand_runs(first, high.astype(np.int64) - low)
    cells = [units * classes + found.labels[rows] for rows, units in runs]
    return np.unique(np.concatenate(cells)).astype(np.int64)


def unit_codes(cells: Sequence[IntArray], units: int, classes: int) -> IntArray:
    """(M, N) codes of N units by M coders, equal where the sets of labels are."""
    marks = np.random.default_rng(0).integers(2**62, size=classes)
    codes = np.zeros((len(cells), units), dtype=np.int64)
    for row, own in zip(codes, cells, strict=True):
        np.add.at(row, own // classes, marks[own % classes])  # sets, by 62 random bits
    return np.unique(codes, return_inverse=True)[1].reshape(codes.shape)


def match_events(
    a: Segments, b: Segments, tolerance_sec: float, ends: bool = True
) -> IntArray:
    """Most pairs of events of one label and video, one to one; (n, 2) rows of both.

    Their starts, and if ``ends`` their ends, differ by the tolerance at most. The
    matching is optimal, as sed_eval's; there ends have more, relative to the reference.

    Source: Mesaros et al., Applied Sciences 6, 2016, event-based F-score.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    edges = [np.zeros((2, 0), dtype=np.int64)]
    for rows, others in same_video(a, b):
        gaps = np.abs(a.segments_sec[rows] - b.segments_sec[others])[:, : 1 + ends]
        near = (gaps <= tolerance_sec + _SAME_SEC).all(axis=1)
        near &= a.labels[rows] == b.labels[others]
        edges.append(np.stack([rows[near], others[near]]))
    pairs = np.concatenate(edges, axis=1)
    shape = (len(a) + 1, len(b) + 1)  # scipy refuses empty ones
    graph = coo_matrix((np.ones(pairs.shape[1]), pairs), shape).tocsr()
    partner = maximum_bipartite_matching(graph, perm_type='column')
    taken = np.flatnonzero(partner >= 0)
    return np.stack([taken, partner[taken]], axis=1).astype(np.int64)


def pair_by_overlap(a: Segments, b: Segments, tolerance_sec: float) -> IntArray:
    """Pairs of events that overlap, whatever they are called, one to one, (n, 2) rows.

    Equal labels come first, then the larger tIoU. A point is as long as the tolerance.
    """
    half = max(tolerance_sec / 2, _SAME_SEC) * np.array([-1, 1])
    times = a.segments_sec, b.segments_sec
    own, theirs = (t + half * (np.diff(t) == 0) for t in times)
    pairs, weights = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0)]
    for rows, others in same_video(a, b):
        tiou = tiou_pairs(own[rows], theirs[others])
        pairs.append(np.stack([rows, others], axis=1)[tiou > 0])
        weights.append((tiou + (a.labels[rows] == b.labels[others]))[tiou > 0])
    order = np.argsort(-np.concatenate(weights), kind='stable')
    taken, used = {}, set()
    for row, other in np.concatenate(pairs)[order].tolist():
        if row not in taken and other not in used:
            taken[row] = other
            used.add(other)
    return np.array([*taken.items()], dtype=np.int64).reshape(-1, 2)


def agreement_counts(
    sides: tuple[Segments, Segments],
    durations_sec: ArrayLike,
    unit_of: IntArray,
    classes: int,
    spans_sec: tuple[float, float, float],
) -> dict[str, Any]:
    """Counts of which all measures are made, of the G units that (V,) videos are of.

    Returns:
        ``agreed`` (G,) time units of one code, ``codes`` of each coder, (G, C), sparse;
        ``units``, ``windows`` (3, G, K) of the one, the other, both, of ``all_units``,
        ``all_windows`` (G,); ``events`` (4, G, K) of the one, the other, matched, and
        matched by their starts.
    """
    from scipy.sparse import coo_matrix

    groups, counts = int(unit_of.max()) + 1, {}

    def table(group: IntArray, label: IntArray) -> FloatArray:
        cells = np.bincount(group * classes + label, minlength=groups * classes)
        return cells.reshape(groups, classes).astype(np.float64)

    for name, span_sec in ('windows', spans_sec[1]), ('units', spans_sec[0]):
        sizes, part = unit_counts(durations_sec, span_sec), name == 'windows'
        owner = np.repeat(unit_of, sizes)
        found = [unit_cells(own, sizes, span_sec, classes, part) for own in sides]
        cells = *found, np.intersect1d(*found, assume_unique=True)
        tables = [table(owner[own // classes], own % classes) for own in cells]
        counts[name] = np.stack(tables)
        counts[f'all_{name}'] = np.bincount(owner, minlength=groups).astype(np.float64)
    codes = unit_codes(found, len(owner), classes)
    counts['agreed'] = np.bincount(owner, codes[0] == codes[1], groups)
    ones, shape = np.ones(len(owner)), (groups, int(codes.max()) + 1)
    counts['codes'] = [coo_matrix((ones, (owner, c)), shape).tocsr() for c in codes]
    pairs = [match_events(*sides, spans_sec[2], ends) for ends in (True, False)]
    listed = *sides, *(sides[0].select(own[:, 0]) for own in pairs)
    counts['events'] = np.stack([table(unit_of[s.videos], s.labels) for s in listed])
    return counts


def agreement_metrics(
    counts: Mapping[str, Any], weights: FloatArray
) -> dict[str, FloatArray]:
    """Measures (R,), and (R, K) those of ``class/``, of (R, G) weights of the counts.

    ``interval_agreement`` is the share of windows and labels of which both say the
    same, ``interval_occurrence`` of those that anybody says to hold the label.

    Source: Cooper, Heron and Heward, Applied Behavior Analysis, 2007, chapter 5.
    """
    first, second = (weights @ codes for codes in counts['codes'])
    units, agreed = weights @ counts['all_units'], weights @ counts['agreed']
    found = {
        'kappa': cohen_kappa(agreed, first, second),
        'alpha': krippendorff_alpha(units - agreed, first + second),
        'unit_agreement': agreed / units,
    }
    for name, kind in ('units', 'kappa'), ('windows', 'interval_kappa'):
        total = (weights @ counts[f'all_{name}'])[:, None]
        one, other, both = weights @ counts[name]  # (R, K) each
        same = total - one - other + 2 * both
        a, b = (np.stack([side, total - side], axis=-1) for side in (one, other))
        found[f'class/{kind}'] = cohen_kappa(same, a, b)
        key = 'kappa_pooled' if kind == 'kappa' else kind
        found[key] = cohen_kappa(same, a, b, pooled=True)
    found['interval_agreement'] = (same / total).mean(axis=1)
    found['interval_occurrence'] = _ratio(both.sum(1), (one + other - both).sum(1))
    events = weights @ counts['events']
    found['class/event_f1'] = _ratio(2 * events[2], events[0] + events[1])
    one, other, matched, starts = events.sum(axis=2)
    found['event_f1'] = _ratio(2 * matched, one + other)
    found['event_precision'] = _ratio(matched, other)
    found['event_recall'] = _ratio(matched, one)
    found['onset_f1'] = _ratio(2 * starts, one + other)
    return found


def agreement(
    sides: tuple[Segments, Segments],
    labels: Sequence[str],
    durations_sec: ArrayLike,
    subjects: Sequence[str],
    spans_sec: tuple[float, float, float] = SPANS_SEC,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """All measures of two annotations of the same videos, with intervals.

    The first is the reference of precision and recall. Of (V,) videos at least five
    ``subjects``, if all have one, are resampled; else at least five videos; with fewer,
    or no ``resamples``, there are no intervals. Labels are (K,) names.

    Returns:
        Measures as fractions, None where undefined; ``intervals`` with their ends;
        ``bootstrap``, how these came about, or empty; ``per_class``, with counts of the
        one, the other, both; ``confusion``, the last row and column for what is alone.
    """
    unit, unit_of = choose_units(subjects, 'video')
    groups, size = unit[1], len(labels)
    counts = agreement_counts(sides, durations_sec, unit_of, size, spans_sec)
    measure = partial(agreement_metrics, counts)
    found = {key: own[0] for key, own in measure(np.ones((1, groups))).items()}
    facts, bounds = {}, {}
    if resamples and groups >= MIN_SUBJECTS:
        facts, bounds = weighted_intervals(measure, unit, resamples, seed)
    per_class: dict[str, Any] = {'label': list(labels)}
    for key in 'units', 'windows', 'events':
        per_class[key] = counts[key][:3].sum(axis=1).astype(int).tolist()
    for key in [key for key in found if key.startswith('class/')]:
        per_class[key[6:]] = _plain(found.pop(key))
        if key in bounds:
            per_class[f'{key[6:]}_interval'] = _plain(bounds.pop(key).T)
    (a, b), pairs = (s.labels for s in sides), pair_by_overlap(*sides, spans_sec[2])
    table = np.zeros((size + 1, size + 1), dtype=np.int64)
    np.add.at(table, (a[pairs[:, 0]], b[pairs[:, 1]]), 1)
    table[:size, size] = np.bincount(a, minlength=size) - table[:size].sum(axis=1)
    table[size, :size] = np.bincount(b, minlength=size) - table.sum(axis=0)[:size]
    return {
        **{key: _plain(value) for key, value in found.items()},
        'intervals': {key: _plain(ends) for key, ends in bounds.items()},
        'bootstrap': facts,
        'units': int(counts['all_units'].sum()),
        'per_class': per_class,
        'confusion': {'labels': [*labels, NONE], 'counts': table.tolist()},
    }


def _plain(values: FloatArray) -> Any:
    """Numbers and lists of them as JSON has them: None for NaN."""
    return np.where(np.isnan(values), None, values).tolist()


def compare(sides: Mapping[str, Sequence[Recording]], *given: Any) -> dict[str, Any]:
    """Measures of all pairs of annotations, on the videos that all of them have.

    Videos go by name, or if none is in all, by that without folder and suffix. Where
    every event names its subject, subjects of a video are observed one by one. Fewer
    than two annotations, and no video in all of them, raise ValueError.

    Args:
        sides: Name of an annotation -> its recordings; the first is the reference.
        given: Spans, resamples and seed, as for :func:`agreement`.

    Returns:
        What :func:`agreement` says of the first pair; ``n`` videos that all have, those
        of each ``alone`` that not all have, ``simulated``, and all ``pairs``.
    """
    if len(sides) < 2:
        raise ValueError('one annotation: give two or more, of the same videos')
    named = {side: {r.name: r for r in own} for side, own in sides.items()}
    if not set.intersection(*map(set, named.values())):
        stems = {s: {PurePath(r.name).stem: r for r in own} for s, own in sides.items()}
        if all(len(stems[side]) == len(own) for side, own in sides.items()):
            named = stems
    shared = sorted(set.intersection(*map(set, named.values())))
    alone = {side: sorted({*own}.difference(shared)) for side, own in named.items()}
    left = [(side, len(own), first_of(own)) for side, own in alone.items() if own]
    told = [f'{side}: {n} videos not in all: {names}' for side, n, names in left]
    if not shared:
        raise ValueError('; '.join(['no video is in all annotations', *told]))
    sides_of = enumerate(named.values())
    rows = [(s, n, e) for s, own in sides_of for n in shared for e in own[n].events]
    split = all(event.subject for *_, event in rows)
    people = {(name, event.subject) for _, name, event in rows if event.subject}
    if not split and len(people) > len({name for name, _ in people}):
        told += ['subjects of a video are taken together: not every event names one']
    keys = {(name, split * event.subject) for _, name, event in rows}
    keys |= {(name, '') for name in {*shared}.difference(name for name, _ in keys)}
    place = {key: i for i, key in enumerate(sorted(keys))}
    used = {(s, event.label) for s, _, event in rows}
    users = Counter(label for _, label in used)
    labels = sorted(users)
    for s, side in enumerate(named):
        own = [label for label in labels if (s, label) in used and users[label] == 1]
        told += [f'{side}: labels that no other has: {first_of(own)}'] if own else []
    tell(told)
    times = np.array([(e.start_sec, e.end_sec) for *_, e in rows]).reshape(-1, 2)
    cells = [(labels.index(e.label), place[n, split * e.subject]) for _, n, e in rows]
    every = Segments(times, None, *np.array(cells, dtype=np.int64).reshape(-1, 2).T)
    side = np.array([s for s, *_ in rows], dtype=np.int64)
    found = [every.select(side == s) for s in range(len(named))]
    durations_sec, subjects = [], []
    for name, who in place:
        own = [side[name] for side in named.values()]
        known = [r.duration_sec for r in own if r.duration_sec == r.duration_sec]
        ends = [event.end_sec for r in own for event in r.events]
        durations_sec.append((known or [max(ends, default=0.0)])[0])
        subjects.append(who or max(r.subject for r in own))
    simulated = any(own.simulated for side in named.values() for own in side.values())
    given = labels, durations_sec, subjects, *given
    pairs = [
        {'a': a, 'b': b, **agreement((one, other), *given)}
        for (a, one), (b, other) in combinations(zip(named, found, strict=True), 2)
    ]
    more = {'n': len(shared), 'alone': alone, 'simulated': simulated}
    return {**pairs[0], **more, 'pairs': pairs}
