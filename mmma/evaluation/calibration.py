"""Scores as probabilities, and the score from which a segment is shown.

Fitted on a validation alone, and kept in the checkpoint that it chose. Of clips, one
temperature makes scores softer or sharper. Of segments, a curve per body group turns
the score into the probability that a truth of the label lies there, at a tIoU of 0.5 or
more. Both keep the order of the actions of a clip and of the segments of a class, so
that no metric changes.

Source: Guo et al., On Calibration of Modern Neural Networks, 2017, sections 2 and 4.2;
Platt, Probabilistic Outputs for Support Vector Machines, 1999.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmma.evaluation.detection import match_detections
from mmma.evaluation.recognition import LEVELS
from mmma.evaluation.scores import ScoreTable, are_probabilities
from mmma.structures.segments import BoolArray, FloatArray, Segments
from mmma.taxonomy import LabelSpace

MIN_CLIPS = 100
"""With fewer there is no temperature."""
MIN_HITS = 30
"""A body group with fewer segments that are right, or wrong, takes the curve of all;
with fewer of all there is none. Ten per number that is fitted (Peduzzi et al., 1996):
two of the curve, and the threshold."""
NEAR = 4
"""Segments that count, the best, per truth: the thousands below would alone decide."""
TIOU = 0.5
BINS = 15


def scaled(probabilities: FloatArray, temperature: float) -> FloatArray:
    """(..., K) logarithms of probabilities to the power of one over a temperature."""
    from scipy.special import log_softmax  # takes long to load

    logs = np.log(np.clip(probabilities, 1e-38, None, dtype=np.float64))
    return np.asarray(log_softmax(logs / temperature, axis=-1))


def fit_temperature(probabilities: FloatArray, labels: NDArray[Any]) -> float:
    """Temperature, 0.05 to 20, of least negative log-likelihood of (N,) labels."""
    from scipy.optimize import minimize_scalar  # takes long to load

    rows, among = np.arange(len(labels)), np.log([0.05, 20])

    def loss(log: float) -> Any:
        return -scaled(probabilities, np.exp(log))[rows, labels].mean()

    return float(np.exp(minimize_scalar(loss, bounds=among, method='bounded').x))


def softened(
    tables: Sequence[ScoreTable], temperatures: Sequence[float]
) -> list[ScoreTable]:
    """Tables with action scores :func:`scaled`; those of bodies stay.

    Raises:
        ValueError: Scores that are no probabilities.
    """
    if not all(are_probabilities(table.scores) for table in tables):
        told = '--temperature takes probabilities alone (rows that add up to 1)'
        raise ValueError(f'{told}: write the score files with softmax outputs')
    pairs = zip(tables, temperatures, strict=True)
    return [replace(t, scores=np.exp(scaled(t.scores, own))) for t, own in pairs]


def fit_curve(scores: FloatArray, hits: BoolArray) -> list[float]:
    """Slope and shift of the logits of (n,) scores, by Platt's smoothed targets."""
    from scipy.optimize import minimize

    logits, right = _logits(scores), hits.sum()
    targets = np.where(hits, (right + 1) / (right + 2), 1 / (len(hits) - right + 2))

    def loss(curve: FloatArray) -> float:
        z = curve[0] * logits + curve[1]
        return float((np.logaddexp(0, z) - targets * z).mean())

    rising = (1e-3, None), (None, None)
    return list(map(float, minimize(loss, [1.0, 0.0], bounds=rising).x))


def _logits(scores: FloatArray) -> FloatArray:
    from scipy.special import logit

    return np.asarray(logit(np.clip(scores, 1e-12, 1 - 1e-12, dtype=np.float64)))


def reliability(scores: FloatArray, hits: BoolArray) -> FloatArray:
    """(BINS, 3) of equal width: count, mean score, share of hits; NaN where empty."""
    place = np.clip((scores * BINS).astype(np.int64), 0, BINS - 1)
    counts, *sums = (np.bincount(place, own, BINS) for own in (None, scores, hits))
    with np.errstate(invalid='ignore'):
        return np.column_stack([counts, *(own / counts for own in sums)])


def calibration_error(table: FloatArray) -> float:
    """Expected calibration error, in [0, 1], of what :func:`reliability` gives."""
    gaps = np.nan_to_num(np.abs(table[:, 1] - table[:, 2]))
    return float((table[:, 0] * gaps).sum() / table[:, 0].sum())


def best_threshold(
    scores: FloatArray, hits: BoolArray, truths: int
) -> tuple[float, float]:
    """Score from which (n,) segments have the best F1 against the truths; that F1.

    It lies midway to the next score; of equal F1 the fewest segments are taken.
    """
    order = np.argsort(-scores)
    ranked = np.append(scores[order], 0.0)
    f1 = 2 * np.cumsum(hits[order]) / (np.arange(1, len(ranked)) + truths)
    last = ranked[1:] != ranked[:-1]  # equal scores are taken together
    best = int(np.argmax(np.where(last, f1, -1)))
    return float(ranked[best : best + 2].mean()), float(f1[best])


def calibrated(
    told: Mapping[str, Any] | None, level: str, found: Any, space: LabelSpace
) -> FloatArray:
    """Scores of a level by a calibration; as they are where it says nothing of them.

    ``told`` is from :func:`fit`, ``found`` (..., K) scores of clips, or ``Segments``.
    """
    from scipy.special import expit

    own, clips = (told or {}).get(level), not isinstance(found, Segments)
    if own is None:
        return np.asarray(found) if clips else found.scores
    if clips:
        return np.exp(scaled(found, own['temperature']))
    curves = own['curves']
    table = np.array([curves.get(name, curves['']) for name in (*space.bodies, '')])
    slopes, shifts = table[_groups(level, found, space)].T
    return np.asarray(expit(slopes * _logits(found.scores) + shifts))


def _groups(level: str, found: Segments, space: LabelSpace) -> NDArray[Any]:
    """(n,) body groups of segments; -1 where the label space has none."""
    body_of = np.array(space.body_of or [-1] * space.num_actions)
    return found.labels if level == 'body' else body_of[found.labels]


def outcomes(
    told: Mapping[str, Any] | None, found: Any, truth: Any, space: LabelSpace
) -> Iterator[tuple[str, FloatArray, BoolArray, int, Any]]:
    """Level, (n,) scores by a calibration, which are right, number of truths, groups.

    ``found`` is a ``ScoreTable``, of which the best action of each clip counts, and
    ``truth`` (N,) labels; or level to ``Segments``, and those of true actions.
    """
    if isinstance(found, ScoreTable):
        scores = calibrated(told, 'action', found.scores, space)
        right = scores.argmax(axis=1) == truth
        yield 'action', scores.max(axis=1), right, len(truth), None
        return
    for level in space.levels if len(truth) else ():
        true = truth.relabel(space.body_of) if level == 'body' else truth
        own = found[level].of(truth.names)
        matches = match_detections(true, own, thresholds=(TIOU,))
        hits = np.zeros(len(own), dtype=np.bool_)
        hits[matches.order[matches.hits[0]]] = True
        near = matches.ranking[: NEAR * len(matches.truth)]
        best, truths = own.select(near), len(matches.truth)
        scores = calibrated(told, level, best, space)
        groups = _groups(level, best, space)
        yield level, scores, hits[near], truths, groups


def fit(found: Any, truth: Any, space: LabelSpace, place: str) -> dict[str, Any]:
    """Fit a calibration on a place; other arguments as of :func:`outcomes`.

    Returns:
        ``why_not``; or ``on`` (place, number of clips or videos), and for ``action``
        and ``body``: ``temperature``; or ``curves`` (group to slope and shift of the
        logit, ``''`` for the others), ``threshold`` of best F1 over all groups, that
        ``f1``, and ``truths``; ``ece`` before and after.
    """
    clips = isinstance(found, ScoreTable)
    size = f'{len(truth)} clips' if clips else f'{len(truth.names)} videos'
    before = list(outcomes(None, found, truth, space))
    right = before[0][2].sum() if before else 0
    if len(truth) < MIN_CLIPS if clips else right < MIN_HITS:
        least = f'{MIN_HITS} segments that are right, not {right}'
        least = str(MIN_CLIPS) if clips else least
        return {'why_not': f'{place}, {size}, is too small: it takes {least}'}
    told: dict[str, Any] = {'on': f'{place}, {size}'}
    for level, scores, hits, _, groups in before:
        if clips:
            told[level] = {'temperature': fit_temperature(found.scores, truth)}
            continue
        curves = {'': fit_curve(scores, hits)}
        for group, name in enumerate(space.bodies):
            own = groups == group
            if min(hits[own].sum(), (~hits[own]).sum()) >= MIN_HITS:
                curves[name] = fit_curve(scores[own], hits[own])
        told[level] = {'curves': curves}
    after = outcomes(told, found, truth, space)
    both = zip(before, after, strict=True)
    for (level, raw, *_), (_, scores, hits, truths, _) in both:
        tables = reliability(raw, hits), reliability(scores, hits)
        told[level]['ece'] = list(map(calibration_error, tables))
        if not clips:
            threshold, f1 = best_threshold(scores, hits, truths)
            told[level] |= {'threshold': threshold, 'f1': f1, 'truths': truths}
    return told


def read_calibration(meta: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Calibration that a checkpoint tells of, or empty; ValueError of another form."""
    told = meta.get('calibration') or {}
    try:
        for own in (told[level] for level in LEVELS if level in told):
            curves = {'': (own['temperature'], 0)} if task == 'rec' else own['curves']
            above = own['threshold'] if task == 'det' else 1
            pairs = [(above, 0), curves[''], *curves.values()]
            if not all(0 < a < np.inf and abs(b) < np.inf for a, b in pairs):
                raise ValueError
        return {**told, 'on': str(told['on'])} if 'action' in told else dict(told)
    except (TypeError, ValueError, KeyError, AttributeError):
        text = 'meta.calibration of the checkpoint is damaged: ask for another file.'
        raise ValueError(text) from None


def described(told: Mapping[str, Any]) -> str:
    """Words on what :func:`read_calibration` gives."""
    if 'action' in told:
        return f'scores are calibrated on {told["on"]}'
    why = told.get('why_not', 'its checkpoint tells nothing of it')
    return f'scores are as the model gives them, not calibrated: {why}'
