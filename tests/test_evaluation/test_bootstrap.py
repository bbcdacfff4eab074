from dataclasses import replace
from math import comb

import numpy as np
import pytest
from detection_problems import instances, predictions, random_problem
from scipy import stats
from scipy.stats import binom

from mmma.evaluation import bootstrap
from mmma.evaluation.bootstrap import (
    choose_units,
    coverage,
    detection_intervals,
    holm,
    mcnemar_exact,
    paired_bootstrap,
    recognition_intervals,
    resample,
    spread,
)
from mmma.evaluation.detection import (
    average_precisions,
    detection_metrics,
    match_detections,
)
from mmma.evaluation.recognition import (
    METRIC_KEYS,
    Outcomes,
    count_classes,
    rank_outcomes,
    recognition_metrics,
)

NUM_CLIPS = 120


@pytest.fixture(scope='module')
def levels() -> dict[str, Outcomes]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 8, NUM_CLIPS)
    scores = rng.random((NUM_CLIPS, 8))
    scores[np.arange(NUM_CLIPS), labels] += 0.3
    return {
        'action': rank_outcomes(scores, labels),
        'body': rank_outcomes(scores[:, :2], labels % 2),
    }


def subjects(number: int) -> list[str]:
    return [f's{i % number}' for i in range(NUM_CLIPS)]


@pytest.mark.parametrize(
    ('names', 'unit', 'units'),
    [
        (subjects(5), 'subject', 5),
        (subjects(4), 'clip', NUM_CLIPS),
        (['', *subjects(9)[1:]], 'clip', NUM_CLIPS),
    ],
)
def test_subjects_are_drawn_where_there_are_five(levels, names, unit, units):
    record = recognition_intervals(levels, names, resamples=20, seed=3)
    assert (record['unit'], record['units']) == (unit, units)
    assert (record['resamples'], record['seed'], record['level']) == (20, 3, 0.95)
    assert record['bounds'].keys() == set(METRIC_KEYS)
    assert paired_bootstrap([levels], [levels], names, resamples=20)[0] == unit
    (name, _), unit_of = choose_units(names, 'video')
    assert (name == 'subject', len(set(unit_of.tolist()))) == (unit == 'subject', units)


@pytest.mark.parametrize('class_set', ['present', 'union'])
def test_subject_intervals_equal_resampling_clip_by_clip(levels, class_set):
    result = recognition_intervals(levels, subjects(6), class_set, 60, seed=5)
    weights = np.random.default_rng(5).multinomial(6, [1 / 6] * 6, size=60)
    values = []
    for weight in weights:
        rows = np.repeat(np.arange(NUM_CLIPS), weight[np.arange(NUM_CLIPS) % 6])
        drawn = {k: count_classes(o.select(rows)) for k, o in levels.items()}
        values.append(recognition_metrics(drawn, class_set))
    for key, bounds in result['bounds'].items():
        expected = 100 * np.quantile([v[key] for v in values], [0.025, 0.975])
        assert bounds == pytest.approx(expected.tolist(), abs=1e-10)


def test_clip_intervals_of_top1_follow_the_binomial(levels):
    bounds = recognition_intervals(levels, subjects(1), resamples=4000)['bounds']
    rate = levels['action'].hits.mean()
    expected = 100 * binom.ppf([0.025, 0.975], NUM_CLIPS, rate) / NUM_CLIPS
    assert bounds['action/top1'] == pytest.approx(list(expected), abs=150 / NUM_CLIPS)


@pytest.mark.parametrize('names', [subjects(1), subjects(30)])
def test_same_seed_same_interval_whatever_the_block(levels, names, monkeypatch):
    first = recognition_intervals(levels, names, resamples=50, seed=1)
    monkeypatch.setattr(bootstrap, '_BLOCK', 7)
    assert recognition_intervals(levels, names, resamples=50, seed=1) == first
    other = recognition_intervals(levels, names, resamples=50, seed=2)
    assert other['bounds'] != first['bounds']


def problem(seed):
    """Without tied scores within a video, where copies of it could be told apart."""
    truth, found = random_problem(seed)
    scores = np.random.default_rng(seed).permutation(len(found)) / 100 + 0.001
    return truth, replace(found, scores=scores)


def drawn_anew(truth, found, weights):
    """Truth and predictions with each video copied as often as it was drawn."""
    copies = np.repeat(np.arange(len(weights)), weights)

    def copy(table):
        rows = [np.flatnonzero(table.videos == v) for v in copies]
        new = np.repeat(np.arange(len(copies)), [len(own) for own in rows])
        return replace(table.select(np.concatenate(rows)), videos=new)

    return copy(truth), copy(found)


@pytest.mark.parametrize('seed', range(12))
def test_a_resample_equals_evaluating_its_videos_anew(seed):
    truth, found = problem(seed)
    rng = np.random.default_rng(seed)
    videos = int(max(truth.videos.max(), found.videos.max(initial=0))) + 1
    weights = rng.multinomial(videos, np.full(videos, 1 / videos), size=6)
    match = match_detections(truth, found)
    metrics, by_class = resample({'action': match}, np.arange(videos), weights)
    compared = 0
    for row, own in enumerate(weights):
        if not own[truth.videos].any():
            continue
        again = match_detections(*drawn_anew(truth, found, own))
        precisions = average_precisions(again)
        for key, value in detection_metrics({'action': precisions}).items():
            assert metrics[key][row] == pytest.approx(float(value), abs=1e-9)
        present = np.isin(match.classes, again.classes)
        assert np.isnan(by_class['action'][row][~present]).all()
        expected = precisions.mean(axis=0)
        assert by_class['action'][row][present] == pytest.approx(expected, abs=1e-9)
        compared += 1
    assert compared > 0


def test_intervals_hold_the_measured_value():
    truth, found = problem(3)
    videos = int(max(truth.videos.max(), found.videos.max())) + 1
    match = match_detections(truth, found)
    given = ({'action': match}, [''] * videos, 'mma82', 300, 1)
    intervals, classes = detection_intervals(*given)
    measured = detection_metrics({'action': average_precisions(match)})
    for key, (low, high) in intervals['bounds'].items():
        assert 0 <= low <= 100 * measured[key] <= high <= 100
    assert (intervals['unit'], intervals['units']) == ('video', videos)
    assert 'centred' in intervals['method']
    assert classes['action'].shape == (len(match.classes), 2)
    assert detection_intervals(*given)[0] == intervals


def test_few_subjects_say_what_their_intervals_cover():
    # Of normal subjects, by drawing; percentile intervals of the mean.
    rng = np.random.default_rng(0)
    for units, expected in ((5, 0.846), (8, 0.891), (13, 0.916), (30, 0.936)):
        samples = rng.normal(size=(4000, units))
        weights = rng.multinomial(units, np.full(units, 1 / units), size=1000) / units
        low, high = np.quantile(samples @ weights.T, (0.025, 0.975), axis=1)
        held = ((low < 0) & (high > 0)).mean()
        assert coverage(units) == pytest.approx(expected, abs=5e-4)
        assert held == pytest.approx(expected, abs=0.02)
    assert coverage(1) == 0
    for units in range(2, 31):
        bound = stats.norm.ppf(0.975) * np.sqrt((units - 1) / units)
        held = 1 - 2 * stats.t.sf(bound, units - 1)
        assert coverage(units) == pytest.approx(held, abs=1e-12)


@pytest.mark.parametrize('units', [6, 29, 30])
def test_intervals_of_fewer_than_30_units_record_their_coverage(levels, units):
    names = [f's{i % units}' for i in range(len(levels['action'].labels))]
    record = recognition_intervals(levels, names, resamples=5)
    if len(set(names)) < 30:
        assert record['coverage'] == coverage(record['units']) < record['level']
    else:
        assert 'coverage' not in record


def test_no_resamples(levels):
    match = match_detections(*problem(0))
    names = subjects(1)
    for make in (
        lambda: recognition_intervals(levels, names, resamples=0),
        lambda: detection_intervals({'action': match}, [''] * 9, resamples=0),
        lambda: paired_bootstrap([levels], [levels], names, resamples=0),
    ):
        with pytest.raises(ValueError, match='0 resamples: use at least one resample'):
            make()


def test_instances_of_a_video_without_predictions_count():
    truth = instances(*((video, 0, 0, 1) for video in range(3)))
    found = predictions((0, 0, 0, 1, 1))
    level = match_detections(truth, found)
    weights = np.array([[3, 0, 0], [0, 3, 0], [1, 1, 1]])
    metrics, _ = resample({'action': level}, np.arange(3), weights)
    assert metrics['action/mAP'] == pytest.approx([1, 0, 1 / 3])


N = 200


def outcomes(seed, right, clips=N):
    """Both levels of a model that is right with the given chance."""
    rng = np.random.default_rng(seed)
    labels = np.arange(clips) % 6
    scores = rng.random((clips, 6))
    hit = rng.random(clips) < right
    scores[np.flatnonzero(hit), labels[hit]] += 2
    return {
        'action': rank_outcomes(scores, labels),
        'body': rank_outcomes(scores[:, :3] + scores[:, 3:], labels % 3),
    }


def test_mcnemar_by_hand_and_in_whole_numbers():
    # Three gained and one lost: none or one of four fair coins, both sides.
    p = mcnemar_exact([1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0])
    assert p == pytest.approx(2 * (1 + 4) / 16)
    assert mcnemar_exact([1, 0], [0, 1]) == mcnemar_exact([1, 0], [1, 0]) == 1
    for gained, lost in ((0, 1), (7, 3), (40, 80), (301, 300)):
        hits = np.r_[np.ones(gained, bool), np.zeros(lost, bool)]
        tail = sum(comb(gained + lost, k) for k in range(min(gained, lost) + 1))
        exact = min(1.0, 2 * tail / 2 ** (gained + lost))
        assert mcnemar_exact(hits, ~hits) == pytest.approx(exact, rel=1e-12)
    many = np.ones(20000, dtype=bool)
    assert mcnemar_exact(many, ~many) == 0  # below the smallest float
    with pytest.raises(ValueError, match='one column of the same clips'):
        mcnemar_exact([1, 0], [1])


def test_holm_by_hand():
    # 0.01 * 3, then 0.02 * 2, then 0.03 is raised to what came before it.
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_difference_is_that_of_the_metrics():
    ours, theirs = outcomes(0, 0.7), outcomes(1, 0.4)
    unit, found = paired_bootstrap([ours], [theirs], [''] * N, resamples=99)
    values = [
        recognition_metrics({level: count_classes(o) for level, o in run.items()})
        for run in (ours, theirs)
    ]
    assert unit == 'clip'
    assert set(found) == set(values[0])
    for key, (value, low, high, _) in found.items():
        assert value == pytest.approx(values[0][key] - values[1][key])
        assert low <= value <= high


def test_a_large_difference_is_significant_and_none_is_not():
    ours, theirs = outcomes(0, 0.7), outcomes(1, 0.4)
    subjects = [f's{i % 20}' for i in range(N)]
    unit, found = paired_bootstrap([ours], [theirs], subjects, resamples=400)
    assert unit == 'subject'
    assert found['action/mca'][3] == pytest.approx(2 / 401)
    _, same = paired_bootstrap([ours], [ours], subjects, resamples=400)
    assert {p for *_, p in same.values()} == {1.0}


def test_its_interval_agrees_with_scipy():
    ours, theirs = outcomes(0, 0.6), outcomes(1, 0.5)
    hits = [o['action'].hits for o in (ours, theirs)]
    scipys = stats.bootstrap(
        hits,
        lambda a, b, axis=-1: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True, vectorized=True, method='percentile', n_resamples=4000, rng=0,
    ).confidence_interval  # fmt: skip
    _, found = paired_bootstrap([ours], [theirs], [''] * N, resamples=4000)
    assert found['action/top1'][1:3] == pytest.approx(tuple(scipys), abs=0.015)


def test_metrics_of_several_runs_are_averaged():
    runs = [outcomes(seed, 0.6) for seed in range(3)]
    base, few = outcomes(9, 0.5), dict(resamples=10)
    _, together = paired_bootstrap(runs, [base], [''] * N, **few)
    alone = [paired_bootstrap([r], [base], [''] * N, **few)[1] for r in runs]
    values = [found['action/macro_f1'][0] for found in alone]
    assert together['action/macro_f1'][0] == pytest.approx(np.mean(values))


@pytest.mark.parametrize('baseline', [[], [outcomes(0, 0.5, clips=N - 1)]])
def test_runs_of_other_clips_are_refused(baseline):
    with pytest.raises(ValueError, match='all on the same clips in the same order'):
        paired_bootstrap([outcomes(0, 0.5)], baseline, [''] * N)


def test_spread_by_hand():
    mean, sd, half_width = spread([10.0, 12.0, 14.0])
    assert (mean, sd) == (12.0, 2.0)
    # 4.3027 is the tabulated 97.5 % quantile of t with 2 degrees of freedom.
    assert half_width == pytest.approx(4.3027 * 2 / 3**0.5, rel=1e-4)
    for n in (2, 5, 31):
        _, sd, half_width = spread(list(range(n)))
        expected = stats.t.ppf(0.975, n - 1) * sd / n**0.5
        assert half_width == pytest.approx(expected, rel=1e-12)
    assert spread([7.0]) == (7.0, None, None)
    with pytest.raises(ValueError, match='no values to average'):
        spread([])
