import numpy as np
import pytest
from scipy import stats

from mmma.evaluation.functional.intervals import BootstrapOptions
from mmma.evaluation.functional.paired import (
    holm,
    mcnemar_exact,
    paired_bootstrap,
)
from mmma.evaluation.functional.recognition import (
    count_classes,
    rank_outcomes,
    recognition_metrics,
)

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
    found = mcnemar_exact([1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0])
    assert (found.gained, found.lost) == (3, 1)
    assert found.p == 2 * (1 + 4) / 16  # none or one of four fair coins, both sides


@pytest.mark.parametrize('seed', range(8))
def test_mcnemar_agrees_with_scipy(seed):
    rng = np.random.default_rng(seed)
    model, baseline = rng.random((2, 40 * (seed + 1))) < [[0.6], [0.5]]
    found = mcnemar_exact(model, baseline)
    theirs = stats.binomtest(found.gained, found.gained + found.lost, 0.5)
    assert found.p == pytest.approx(theirs.pvalue, rel=1e-12)


def test_mcnemar_of_equal_columns_and_of_thousands_of_clips():
    assert mcnemar_exact([1, 0], [1, 0]).p == 1
    many = np.ones(20000, dtype=bool)
    assert mcnemar_exact(many, ~many).p == 0  # below the smallest float


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
    found = paired_bootstrap(
        [ours], [theirs], [''] * N, 'present', BootstrapOptions(99)
    )
    values = [
        recognition_metrics({level: count_classes(o) for level, o in run.items()})
        for run in (ours, theirs)
    ]
    assert found.unit == 'clip'
    assert set(found.differences) == set(values[0])
    for key, difference in found.differences.items():
        assert difference.value == pytest.approx(values[0][key] - values[1][key])
        assert difference.low <= difference.value <= difference.high


def test_a_large_difference_is_significant_and_none_is_not():
    ours, theirs = outcomes(0, 0.7), outcomes(1, 0.4)
    options = BootstrapOptions(resamples=400)
    subjects = [f's{i % 20}' for i in range(N)]
    found = paired_bootstrap([ours], [theirs], subjects, options=options)
    assert (found.unit, found.units) == ('subject', 20)
    assert found.differences['action/mca'].p == pytest.approx(2 / 401)
    same = paired_bootstrap([ours], [ours], subjects, options=options)
    assert {d.p for d in same.differences.values()} == {1.0}


def test_its_interval_agrees_with_scipy():
    ours, theirs = outcomes(0, 0.6), outcomes(1, 0.5)
    hits = [o['action'].labels == o['action'].predictions for o in (ours, theirs)]
    scipys = stats.bootstrap(
        hits,
        lambda a, b, axis=-1: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True, vectorized=True, method='percentile', n_resamples=4000, rng=0,
    ).confidence_interval  # fmt: skip
    options = BootstrapOptions(resamples=4000)
    own = paired_bootstrap([ours], [theirs], [''] * N, options=options)
    own = own.differences['action/top1']
    assert (own.low, own.high) == pytest.approx(tuple(scipys), abs=0.015)


def test_metrics_of_several_runs_are_averaged():
    runs = [outcomes(seed, 0.6) for seed in range(3)]
    base, few = outcomes(9, 0.5), BootstrapOptions(resamples=10)
    together = paired_bootstrap(runs, [base], [''] * N, options=few).differences
    alone = [paired_bootstrap([r], [base], [''] * N, options=few) for r in runs]
    values = [found.differences['action/macro_f1'].value for found in alone]
    assert together['action/macro_f1'].value == pytest.approx(np.mean(values))


@pytest.mark.parametrize('baseline', [[], [outcomes(0, 0.5, clips=N - 1)]])
def test_runs_of_other_clips_are_refused(baseline):
    with pytest.raises(ValueError, match='all on the same clips in the same order'):
        paired_bootstrap([outcomes(0, 0.5)], baseline, [''] * N)
