"""Agreement of two annotations of the same videos: of two people, or one and a model.

Time is cut into units from the start of each video; less than half a unit at its end
belongs to the last one. A label is in the units whose middle it covers; a point, or
what is too short for that, is in the unit of its own middle, so that every event
counts. The code of a unit is the set of its labels: ``kappa`` is that of BORIS (but of
whole videos: BORIS counts from the first event to the last), and that of one track
where no labels overlap. ``kappa_pooled`` takes each label on its own.

All is made of counts that add up over videos, so that resamples of subjects or videos
are products of matrices. Only precision and recall know which annotation is the first.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmma.data.convert.events import Recording
from mmma.evaluation.bootstrap import MIN_SUBJECTS, choose_units, weighted_intervals
from mmma.evaluation.detection import expand_runs
from mmma.evaluation.scores import first_of
from mmma.files import tell
from mmma.structures.segments import FloatArray, IntArray, Segments, tiou_pairs

NONE = '(none)'
SPANS_SEC = 1.0, 10.0, 0.5
"""Seconds of a time unit, of a window of partial intervals, of tolerance."""
_SAME_SEC = 1e-9  # so much two times differ that are written alike


def cohen_kappa(
    agreed: FloatArray, first: FloatArray, second: FloatArray, pooled: bool = False
) -> FloatArray:
    """Cohen's kappa, up to 1; NaN where both coders use one and the same code alone.

    Args:
        agreed: (...,) units with the same code.
        first: (..., C) units of each code by the one coder; ``second`` by the other.
        pooled: Make one of all kappas along the last axis of ``agreed``, by the means
            of what is observed and what is expected.

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

    What one of them alone has coded has no counterpart and does not count.

    Args:
        differing: (...,) units of different values.
        values: (..., C) how often both together give each.

    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011.
    """
    total = values.sum(axis=-1)
    return 1 - _ratio(2 * differing * (total - 1), total**2 - (values**2).sum(axis=-1))


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """The one by the other, NaN where that is 0, or nothing but rounding."""
    return np.asarray(part / np.where(whole > 1e-12, whole, np.nan), dtype=np.float64)


def unit_counts(durations_sec: ArrayLike, unit_sec: float) -> IntArray:
    """(V,) whole units of (V,) videos, at least one each."""
    length = np.round(np.asarray(durations_sec, dtype=np.float64) / unit_sec, 6)
    return np.maximum(np.ceil(length - 0.5), 1).astype(np.int64)


def unit_cells(
    found: Segments, sizes: IntArray, unit_sec: float, classes: int, any_part: bool
) -> IntArray:
    """Numbers ``unit * classes + label`` of the labels in units, ascending, each once.

    Args:
        sizes: (V,) units of the videos, which are numbered through.
        any_part: A label is in all units that it touches: partial-interval recording.
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


def _same_video(a: Segments, b: Segments) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows of the one beside all rows of the other in the same video, in chunks."""
    order = np.argsort(b.videos, kind='stable')
    first, stop = (
        np.searchsorted(b.videos[order], a.videos, side) for side in ('left', 'right')
    )
    for rows, places in expand_runs(first, stop - first):
        yield rows, order[places]


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
    for rows, others in _same_video(a, b):
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
    own, theirs = (
        s.segments_sec + half * (np.diff(s.segments_sec) == 0) for s in (a, b)
    )
    pairs, weights = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0)]
    for rows, others in _same_video(a, b):
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
    a: Segments,
    b: Segments,
    durations_sec: ArrayLike,
    unit_of: IntArray,
    classes: int,
    spans_sec: tuple[float, float, float] = SPANS_SEC,
) -> dict[str, Any]:
    """Counts of which all measures are made, of G units of resampling and K classes.

    Args:
        durations_sec: (V,) of the videos.
        unit_of: (V,) which of the G a video belongs to.

    Returns:
        ``agreed`` (G,) units of one code, ``codes`` of each coder, (G, C), sparse;
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
        sizes = unit_counts(durations_sec, span_sec)
        owner, part = np.repeat(unit_of, sizes), name == 'windows'
        found = [unit_cells(own, sizes, span_sec, classes, part) for own in (a, b)]
        both = np.intersect1d(*found, assume_unique=True)
        tables = [table(owner[c // classes], c % classes) for c in (*found, both)]
        counts[name] = np.stack(tables)
        counts[f'all_{name}'] = np.bincount(owner, minlength=groups).astype(np.float64)
    codes = unit_codes(found, len(owner), classes)
    counts['agreed'] = np.bincount(owner, codes[0] == codes[1], groups)
    ones, shape = np.ones(len(owner)), (groups, int(codes.max()) + 1)
    counts['codes'] = [coo_matrix((ones, (owner, c)), shape).tocsr() for c in codes]
    pairs = (match_events(a, b, spans_sec[2], ends) for ends in (True, False))
    sides = a, b, *(a.select(own[:, 0]) for own in pairs)
    counts['events'] = np.stack([table(unit_of[s.videos], s.labels) for s in sides])
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
    a: Segments,
    b: Segments,
    labels: Sequence[str],
    durations_sec: ArrayLike,
    subjects: Sequence[str],
    spans_sec: tuple[float, float, float] = SPANS_SEC,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """All measures of two annotations of the same V videos, with intervals.

    Args:
        a: The one, reference of ``event_precision`` and ``event_recall``.
        b: The other.
        labels: (K,) names.
        durations_sec: (V,) of the videos.
        subjects: (V,) names. Subjects are resampled if all name one of at least five,
            else videos if they are at least five; else there are no intervals.
        resamples: 0 leaves the intervals out.

    Returns:
        Measures as fractions, None where undefined; ``intervals`` with their ends;
        ``bootstrap``, how these came about; ``per_class``, with counts of the one, the
        other, both; ``confusion``, rows of the one, columns of the other, the last ones
        for what is alone.
    """
    unit, unit_of = choose_units(subjects, 'video')
    groups, size = int(unit_of.max()) + 1, len(labels)
    counts = agreement_counts(a, b, durations_sec, unit_of, size, spans_sec)
    found = {
        k: v[0] for k, v in agreement_metrics(counts, np.ones((1, groups))).items()
    }
    facts, bounds = None, {}
    if resamples and groups >= MIN_SUBJECTS:
        facts, bounds = weighted_intervals(
            lambda drawn: agreement_metrics(counts, drawn),
            (unit, groups),
            resamples,
            seed,
        )
    per_class: dict[str, Any] = {'label': list(labels)}
    for key in 'units', 'windows', 'events':
        per_class[key] = counts[key][:3].sum(axis=1).astype(int).tolist()
    for key in [key for key in found if key.startswith('class/')]:
        per_class[key[6:]] = _plain(found.pop(key))
        if key in bounds:
            per_class[f'{key[6:]}_interval'] = _plain(bounds.pop(key).T)
    pairs = pair_by_overlap(a, b, spans_sec[2])
    table = np.zeros((size + 1, size + 1), dtype=np.int64)
    np.add.at(table, (a.labels[pairs[:, 0]], b.labels[pairs[:, 1]]), 1)
    table[:size, size] = np.bincount(a.labels, minlength=size) - table[:size].sum(
        axis=1
    )
    table[size, :size] = (
        np.bincount(b.labels, minlength=size) - table.sum(axis=0)[:size]
    )
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


def compare(
    sides: Mapping[str, Sequence[Recording]],
    spans_sec: tuple[float, float, float] = SPANS_SEC,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures of all pairs of annotations, on the videos that all of them have.

    Videos go by name, or if none is in all, by that without folder and suffix. Where
    every event names its subject, subjects of a video are observed one by one.

    Args:
        sides: Name of an annotation -> its recordings; the first is the reference.

    Returns:
        What :func:`agreement` says of the first pair; ``n`` videos that all have, those
        of each ``alone`` that not all have, ``simulated``, and all ``pairs``.

    Raises:
        ValueError: Fewer than two annotations, or no video is in all of them.
    """
    if len(sides) < 2:
        raise ValueError('one annotation: give two or more, of the same videos')
    named = {side: {r.name: r for r in own} for side, own in sides.items()}
    if not set.intersection(*({*own} for own in named.values())):
        stems = {
            s: {PurePath(n).stem: r for n, r in v.items()} for s, v in named.items()
        }
        unique = all(len(own) == len(sides[side]) for side, own in stems.items())
        named = stems if unique else named
    shared = sorted(set.intersection(*({*own} for own in named.values())))
    alone = {side: sorted({*own}.difference(shared)) for side, own in named.items()}
    left = {side: own for side, own in alone.items() if own}
    told = [
        f'{s}: {len(x)} videos that not all have: {first_of(x)}'
        for s, x in left.items()
    ]
    if not shared:
        raise ValueError('; '.join(['no video is in all annotations', *told]))
    tell(told)
    events = {
        s: [(n, e) for n in shared for e in v[n].events] for s, v in named.items()
    }
    every = [pair for own in events.values() for pair in own]
    split = all(event.subject for _, event in every)
    keys = {(name, split * event.subject) for name, event in every}
    keys |= {(name, '') for name in {*shared}.difference(name for name, _ in keys)}
    place = {key: i for i, key in enumerate(sorted(keys))}
    labels = sorted({event.label for _, event in every})
    index, found = {label: i for i, label in enumerate(labels)}, {}
    for side, own in events.items():
        rows = [(index[e.label], place[n, split * e.subject]) for n, e in own]
        times = np.array([(e.start_sec, e.end_sec) for _, e in own])
        columns = np.array(rows, dtype=np.int64).reshape(-1, 2).T
        found[side] = Segments(times, None, *columns)  # type: ignore[arg-type]
    ends_sec = dict.fromkeys(shared, 0.0)
    for name, event in every:
        ends_sec[name] = max(ends_sec[name], event.end_sec)
    for own in reversed(named.values()):
        known = {n: own[n].duration_sec for n in shared}
        ends_sec |= {n: length for n, length in known.items() if length == length}
    people = [who or max(own[n].subject for own in named.values()) for n, who in place]
    given = labels, [ends_sec[n] for n, _ in place], people, spans_sec, resamples, seed
    pairs = [
        {'a': a, 'b': b, **agreement(found[a], found[b], *given)}
        for a, b in combinations(found, 2)
    ]
    marks = [own.annotator for side in named.values() for own in side.values()]
    simulated = any(mark.startswith('simulated') for mark in marks)
    more = {'n': len(shared), 'alone': alone, 'simulated': simulated, 'pairs': pairs}
    return {**pairs[0], **more}
