import numpy as np
import pytest
from scipy.stats import binom

from mmma.evaluation.functional import intervals
from mmma.evaluation.functional.intervals import BootstrapOptions, bootstrap_intervals
from mmma.evaluation.functional.recognition import (
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
    result = bootstrap_intervals(levels, names, options=BootstrapOptions(20, seed=3))
    record = result.record(scale=100.0)
    assert (record['unit'], record['units']) == (unit, units)
    assert (record['resamples'], record['seed'], record['level']) == (20, 3, 0.95)
    assert record['bounds'].keys() == set(METRIC_KEYS)
    low, high = result.bounds['action/mca']
    assert record['bounds']['action/mca'] == [100 * low, 100 * high]


@pytest.mark.parametrize('class_set', ['present', 'union'])
def test_subject_intervals_equal_resampling_clip_by_clip(levels, class_set):
    options = BootstrapOptions(resamples=60, seed=5)
    result = bootstrap_intervals(levels, subjects(6), class_set, options)
    weights = np.random.default_rng(5).multinomial(6, [1 / 6] * 6, size=60)
    values = []
    for weight in weights:
        rows = np.repeat(np.arange(NUM_CLIPS), weight[np.arange(NUM_CLIPS) % 6])
        drawn = {
            level: count_classes(
                Outcomes(
                    o.labels[rows], o.predictions[rows], o.top5[rows], o.num_classes
                )
            )
            for level, o in levels.items()
        }
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
    monkeypatch.setattr(intervals, '_BLOCK', 7)
    assert bootstrap_intervals(levels, names, options=options) == first
    other = bootstrap_intervals(levels, names, options=BootstrapOptions(50, seed=2))
    assert other.bounds != first.bounds


@pytest.mark.parametrize(('resamples', 'level'), [(0, 0.95), (9, 1.0), (9, 0.0)])
def test_bad_options(levels, resamples, level):
    options = BootstrapOptions(resamples, level=level)
    with pytest.raises(ValueError, match='use at least one resample and a level'):
        bootstrap_intervals(levels, subjects(1), options=options)
