from math import comb

import numpy as np
import pytest
from detection_problems import random_problem
from scipy import stats
from scipy.stats import binom

from mmma.evaluation import bootstrap
from mmma.evaluation.bootstrap import (
    BootstrapOptions,
    bootstrap_intervals,
    choose_units,
    detection_intervals,
    holm,
    mcnemar_exact,
    paired_bootstrap,
    resample,
    spread,
)
from mmma.evaluation.detection import (
    Instances,
    Predictions,
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
    options = BootstrapOptions(20, seed=3)
    result = bootstrap_intervals(levels, names, options=options)
    record = result.record(scale=100.0)
    assert (record['unit'], record['units']) == (unit, units)
    assert (record['resamples'], record['seed'], record['level']) == (20, 3, 0.95)
    assert record['bounds'].keys() == set(METRIC_KEYS)
    low, high = result.bounds['action/mca']
    assert record['bounds']['action/mca'] == [100 * low, 100 * high]
    assert paired_bootstrap([levels], [levels], names, options=options)[0] == unit
    name, unit_of = choose_units(names, 'video')
    assert (name == 'subject', len(set(unit_of.tolist()))) == (unit == 'subject', units)


@pytest.mark.parametrize('class_set', ['present', 'union'])
def test_subject_intervals_equal_resampling_clip_by_clip(levels, class_set):
    options = BootstrapOptions(resamples=60, seed=5)
    result = bootstrap_intervals(levels, subjects(6), class_set, options)
    weights = np.random.default_rng(5).multinomial(6, [1 / 6] * 6, size=60)
    values = []
    for weight in weights:
        rows = np.repeat(np.arange(NUM_CLIPS), weight[np.arange(NUM_CLIPS) % 6])
        drawn = {k: count_classes(o.select(rows)) for k, o in levels.items()}
        values.append(recognition_metrics(drawn, class_set))
    for key, bounds in result.bounds.items():
        expected = np.quantile([v[key] for v in values], [0.025, 0.975])
        assert bounds == pytest.approx(tuple(expected), abs=1e-12)


def test_clip_intervals_of_top1_follow_the_binomial(levels):
    options = BootstrapOptions(resamples=4000)
    bounds = bootstrap_intervals(levels, subjects(1), options=options).bounds
    rate = (levels['action'].labels == levels['action'].predictions).mean()
    expected = binom.ppf([0.025, 0.975], NUM_CLIPS, rate) / NUM_CLIPS
    assert bounds['action/top1'] == pytest.approx(tuple(expected), abs=1.5 / NUM_CLIPS)


@pytest.mark.parametrize('names', [subjects(1), subjects(30)])
def test_same_seed_same_interval_whatever_the_block(levels, names, monkeypatch):
    options = BootstrapOptions(resamples=50, seed=1)
    first = bootstrap_intervals(levels, names, options=options)
    monkeypatch.setattr(bootstrap, '_BLOCK', 7)
    assert bootstrap_intervals(levels, names, options=options) == first
    other = bootstrap_intervals(levels, names, options=BootstrapOptions(50, seed=2))
    assert other.bounds != first.bounds


def problem(seed):
    """Without tied scores within a video, where copies of it could be told apart."""
    truth, found = random_problem(seed)
    scores = np.random.default_rng(seed).permutation(len(found)) / 100 + 0.001
    return truth, Predictions(found.videos, found.labels, found.segments, scores)


def drawn_anew(truth, found, weights):
    """Truth and predictions with each video copied as often as it was drawn."""
    copies = np.repeat(np.arange(len(weights)), weights)

    def copy(table):
        rows = [np.flatnonzero(table.videos == v) for v in copies]
        new = np.repeat(np.arange(len(copies)), [len(own) for own in rows])
        own = table.select(np.concatenate(rows))
        return type(table)(**{**vars(own), 'videos': new})

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
    options = BootstrapOptions(resamples=300, seed=1)
    levels = {'action': match}
    intervals, classes = detection_intervals(levels, [''] * videos, options=options)
    measured = detection_metrics({'action': average_precisions(match)})
    for key, (low, high) in intervals.bounds.items():
        assert 0 <= low <= measured[key] <= high <= 1
    assert (intervals.unit, intervals.units) == ('video', videos)
    assert classes['action'].shape == (len(match.classes), 2)
    again, _ = detection_intervals(levels, [''] * videos, options=options)
    assert again == intervals


@pytest.mark.parametrize(('resamples', 'level'), [(0, 0.95), (9, 1.0), (9, 0.0)])
def test_bad_options(levels, resamples, level):
    options = BootstrapOptions(resamples, level=level)
    match = match_detections(*problem(0))
    names = subjects(1)
    for make in (
        lambda: bootstrap_intervals(levels, names, options=options),
        lambda: detection_intervals({'action': match}, [''] * 9, options=options),
        lambda: paired_bootstrap([levels], [levels], names, options=options),
    ):
        with pytest.raises(ValueError, match='use at least one resample and a level'):
            make()


def test_instances_of_a_video_without_predictions_count():
    truth = Instances(np.arange(3), np.zeros(3, int), np.tile([0.0, 1], (3, 1)))
    found = Predictions(
        np.array([0]), np.zeros(1, int), np.array([[0.0, 1]]), np.ones(1)
    )
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


def test_mcnemar_by_hand():
    # Three gained and one lost: none or one of four fair coins, both sides.
    p = mcnemar_exact([1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0])
    assert p == pytest.approx(2 * (1 + 4) / 16)
    assert mcnemar_exact([1, 0], [0, 1]) == 1


def test_mcnemar_agrees_with_whole_numbers():
    for gained, lost in ((0, 1), (7, 3), (40, 80), (301, 300)):
        hits = np.r_[np.ones(gained, bool), np.zeros(lost, bool)]
        tail = sum(comb(gained + lost, k) for k in range(min(gained, lost) + 1))
        exact = min(1.0, 2 * tail / 2 ** (gained + lost))
        assert mcnemar_exact(hits, ~hits) == pytest.approx(exact, rel=1e-12)


def test_mcnemar_of_equal_columns_and_of_thousands_of_clips():
    assert mcnemar_exact([1, 0], [1, 0]) == 1
    many = np.ones(20000, dtype=bool)
    assert mcnemar_exact(many, ~many) == 0  # below the smallest float


def test_mcnemar_refuses_columns_of_other_clips():
    with pytest.raises(ValueError, match='one column of the same clips'):
        mcnemar_exact([1, 0], [1])


def test_holm_by_hand():
    # 0.01 * 3, then 0.02 * 2, then 0.03 is raised to what came before it.
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_difference_is_that_of_the_metrics():
    ours, theirs = outcomes(0, 0.7), outcomes(1, 0.4)
    unit, found = paired_bootstrap(
        [ours], [theirs], [''] * N, 'present', BootstrapOptions(99)
    )
    values = [
        recognition_metrics({level: count_classes(o) for level, o in run.items()})
        for run in (ours, theirs)
    ]
    assert unit == 'clip'
    assert set(found) == set(values[0])
    for key, difference in found.items():
        assert difference.value == pytest.approx(values[0][key] - values[1][key])
        assert difference.low <= difference.value <= difference.high


def test_a_large_difference_is_significant_and_none_is_not():
    ours, theirs = outcomes(0, 0.7), outcomes(1, 0.4)
    options = BootstrapOptions(resamples=400)
    subjects = [f's{i % 20}' for i in range(N)]
    unit, found = paired_bootstrap([ours], [theirs], subjects, options=options)
    assert unit == 'subject'
    assert found['action/mca'].p == pytest.approx(2 / 401)
    _, same = paired_bootstrap([ours], [ours], subjects, options=options)
    assert {d.p for d in same.values()} == {1.0}


def test_its_interval_agrees_with_scipy():
    ours, theirs = outcomes(0, 0.6), outcomes(1, 0.5)
    hits = [o['action'].labels == o['action'].predictions for o in (ours, theirs)]
    scipys = stats.bootstrap(
        hits,
        lambda a, b, axis=-1: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True, vectorized=True, method='percentile', n_resamples=4000, rng=0,
    ).confidence_interval  # fmt: skip
    options = BootstrapOptions(resamples=4000)
    own = paired_bootstrap([ours], [theirs], [''] * N, options=options)[1][
        'action/top1'
    ]
    assert (own.low, own.high) == pytest.approx(tuple(scipys), abs=0.015)


def test_metrics_of_several_runs_are_averaged():
    runs = [outcomes(seed, 0.6) for seed in range(3)]
    base, few = outcomes(9, 0.5), BootstrapOptions(resamples=10)
    _, together = paired_bootstrap(runs, [base], [''] * N, options=few)
    alone = [paired_bootstrap([r], [base], [''] * N, options=few)[1] for r in runs]
    values = [found['action/macro_f1'].value for found in alone]
    assert together['action/macro_f1'].value == pytest.approx(np.mean(values))


@pytest.mark.parametrize('baseline', [[], [outcomes(0, 0.5, clips=N - 1)]])
def test_runs_of_other_clips_are_refused(baseline):
    with pytest.raises(ValueError, match='all on the same clips in the same order'):
        paired_bootstrap([outcomes(0, 0.5)], baseline, [''] * N)


def test_spread_by_hand():
    found = spread([10.0, 12.0, 14.0])
    assert (found.n, found.mean, found.sd) == (3, 12.0, 2.0)
    # 4.3027 is the tabulated 97.5 % quantile of t with 2 degrees of freedom.
    assert found.half_width == pytest.approx(4.3027 * 2 / 3**0.5, rel=1e-4)
    for n, level in ((2, 0.5), (5, 0.95), (31, 0.99)):
        found = spread(list(range(n)), level)
        expected = stats.t.ppf((1 + level) / 2, n - 1) * found.sd / n**0.5
        assert found.half_width == pytest.approx(expected, rel=1e-12)


def test_one_value_has_no_spread():
    found = spread([7.0])
    assert (found.mean, found.sd, found.half_width) == (7.0, None, None)
    with pytest.raises(ValueError, match='no values to average'):
        spread([])
