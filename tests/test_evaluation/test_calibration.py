"""Planted temperatures and curves are found again; too little is told, order kept."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, log_softmax, logit, softmax

from mmma.evaluation.calibration import (
    MIN_CLIPS,
    MIN_HITS,
    best_threshold,
    calibrated,
    calibration_error,
    described,
    fit,
    fit_curve,
    outcomes,
    read_calibration,
    reliability,
)
from mmma.evaluation.detection import average_precisions, match_detections
from mmma.evaluation.scores import ScoreTable
from mmma.structures.segments import Segments
from mmma.taxonomy import load_label_space

SPACE = load_label_space()
PLACE = 'val of lab of toy'
HEAD, BODY = (SPACE.bodies.index(name) for name in ('head', 'body'))


def clips(number, temperature, seed=0):
    """Scores sharpened by a temperature, and labels drawn by what they were."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (number, SPACE.num_actions))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    names = tuple(f'c{i}' for i in range(number))
    return ScoreTable(names, np.float32(softmax(logits * temperature, axis=1))), labels


@pytest.mark.parametrize('planted', [0.5, 1.0, 2.5])
def test_a_planted_temperature_is_found_on_other_clips_too(planted):
    table, labels = clips(3000, planted)
    told = fit(table, labels, SPACE, PLACE)
    assert told['action']['temperature'] == pytest.approx(planted, rel=0.05)
    assert told['on'] == 'val of lab of toy, 3000 clips'
    other, truth = clips(3000, planted, seed=1)
    scores = calibrated(told, 'action', other.scores, SPACE)
    assert scores.sum(axis=1) == pytest.approx(1)
    assert (scores.argsort(axis=1) == other.scores.argsort(axis=1)).all()
    own = log_softmax(np.log(scores), axis=1)[np.arange(3000), truth].mean()
    assert own == pytest.approx(-told_loss(other, truth, planted), abs=1e-3)
    before, after = told['action']['ece']
    assert after < 0.03
    assert planted == 1 or after < before / 3


def told_loss(table, truth, temperature):
    logs = np.log(table.scores.astype(float)) / temperature
    return -log_softmax(logs, axis=1)[np.arange(len(truth)), truth].mean()


def test_too_few_clips():
    told = fit(*clips(MIN_CLIPS - 1, 2.0), SPACE, PLACE)
    assert told == {'why_not': f'{PLACE}, 99 clips, is too small: it takes 100'}
    scores = np.eye(3)
    assert calibrated(told, 'action', scores, SPACE) is scores
    assert 'not calibrated: val of lab of toy, 99 clips' in described(told)
    assert 'action' in fit(*clips(MIN_CLIPS, 2.0), SPACE, PLACE)


CURVES = {HEAD: (2.0, 1.0), BODY: (0.5, -1.0)}


def videos(numbers, seed=0):
    """Truth and detections whose scores are right as the curve of their group says."""
    rng = np.random.default_rng(seed)
    rows, true, names = [], [], []
    for group, number in numbers.items():
        label = SPACE.body_of.index(group)
        slope, shift = CURVES[group]
        for score in rng.beta(2, 3, number):
            hit = rng.random() < expit(slope * logit(score) + shift)
            time = (0.0, 2.0) if hit else (5.0, 6.0)
            rows.append((*time, score, label, len(names)))
            true.append((0.0, 2.0, label, len(names)))
            names.append(f'v{len(names)}')
    start, end, score, label, video = np.array(rows).T
    places = label.astype(int), video.astype(int), tuple(names)
    found = Segments(np.stack([start, end], 1), score, *places)
    bodies = replace(found, labels=np.array(SPACE.body_of)[found.labels])
    truth = replace(
        found, segments_sec=np.array(true)[:, :2], scores=np.ones(len(score))
    )
    return {'action': found, 'body': bodies}, truth


def test_a_planted_curve_per_group_is_found_and_order_is_kept():
    found, truth = videos(dict.fromkeys(CURVES, 4000))
    told = fit(found, truth, SPACE, PLACE)
    assert told['on'] == 'val of lab of toy, 8000 videos'
    for level in ('action', 'body'):
        curves = told[level]['curves']
        assert curves.keys() == {'', 'head', 'body'}
        for group, curve in CURVES.items():
            assert curves[SPACE.bodies[group]] == pytest.approx(curve, abs=0.15)
        assert told[level]['ece'][1] < 0.02 < told[level]['ece'][0]
        ((_, scores, hits, truths, _),) = (
            row for row in outcomes(told, found, truth, SPACE) if row[0] == level
        )
        kept = scores >= told[level]['threshold']
        f1 = 2 * (hits & kept).sum() / (kept.sum() + truths)
        assert told[level]['f1'] == pytest.approx(f1)
        # That of the best F1 is half of it: Lipton et al., 2014.
        assert told[level]['threshold'] == pytest.approx(f1 / 2, abs=0.06)
    changed = replace(
        found['action'], scores=calibrated(told, 'action', found['action'], SPACE)
    )
    pair = (match_detections(truth, own) for own in (found['action'], changed))
    before, after = map(average_precisions, pair)
    assert (before == after).all()


def test_a_group_with_few_takes_the_curve_of_all_and_few_of_all_none():
    found, truth = videos({HEAD: 400, BODY: 20})
    told = fit(found, truth, SPACE, PLACE)
    curves = told['action']['curves']
    assert curves.keys() == {'', 'head'}
    label = SPACE.body_of.index(BODY)
    one = Segments([[0, 1]], [0.4], [label])
    slope, shift = curves['']
    expected = expit(slope * logit(0.4) + shift)
    assert calibrated(told, 'action', one, SPACE) == pytest.approx([expected])
    told = fit(*videos({BODY: 40}), SPACE, PLACE)
    assert f'it takes {MIN_HITS} segments that are right, not 7' in told['why_not']
    nothing = truth.select(np.zeros(len(truth), bool))
    assert 'not 0' in fit(found, nothing, SPACE, PLACE)['why_not']


def test_scores_that_are_right_less_the_higher_they_are_keep_their_order():
    scores = np.linspace(0.01, 0.99, 200)
    slope, _ = fit_curve(scores, scores < 0.5)
    assert 0 < slope < 0.01


def test_errors_by_hand():
    scores = np.array([0.01, 0.05, 0.98, 1.0])
    table = reliability(scores, np.array([False, True, True, True]))
    assert table.shape == (15, 3)
    assert table[0] == pytest.approx([2, 0.03, 0.5])
    assert table[14] == pytest.approx([2, 0.99, 1])
    assert np.isnan(table[1:14, 1:]).all()
    assert calibration_error(table) == pytest.approx((2 * 0.47 + 2 * 0.01) / 4)


def test_thresholds_by_hand():
    scores = np.array([0.9, 0.8, 0.6, 0.4, 0.2])
    hits = np.array([True, False, True, False, False])
    # F1 at 1, ..., 5 segments against 2 truths: 2/3, 2/4, 4/5, 4/6, 4/7
    assert best_threshold(scores, hits, 2) == pytest.approx((0.5, 0.8))
    tied = np.array([0.9, 0.5, 0.5, 0.5, 0.5])
    assert best_threshold(tied, hits, 2) == pytest.approx((0.7, 2 / 3))


def test_damaged_ones_are_refused():
    clip = {'on': 'a', 'action': {'temperature': 2.0}}
    curve = {'curves': {'': [1.0, 0.0], 'head': [2.0, 1.0]}, 'threshold': 0.3}
    assert read_calibration({'calibration': clip}, 'rec') == clip
    assert read_calibration({}, 'det') == {}
    assert 'tells nothing' in described({})
    own = {'on': 'a', 'action': curve, 'body': curve}
    assert read_calibration({'calibration': own}, 'det') == own
    wrong = [
        *({**clip, 'action': {'temperature': t}} for t in (0, -1, 'a', None, np.nan)),
        *(7, ['action'], own, {'action': clip['action']}),
    ]
    for told in wrong:
        with pytest.raises(
            ValueError, match='calibration of the checkpoint is damaged'
        ):
            read_calibration({'calibration': told}, 'rec')
    for part in (
        {'curves': {'': [0, 1]}},
        {'curves': {'head': [1, 1]}},
        {'threshold': 0},
    ):
        told = {**own, 'body': {**curve, **part}}
        with pytest.raises(
            ValueError, match='calibration of the checkpoint is damaged'
        ):
            read_calibration({'calibration': told}, 'det')
