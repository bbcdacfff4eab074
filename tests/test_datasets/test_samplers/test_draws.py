"""Counts of grouped draws against their definition."""

import numpy as np
import pytest

from mmma.datasets.samplers.draws import (
    GroupedDraws,
    check_power,
    grouped_draws,
)

SIZES = np.array([7, 1, 3, 5])
WEIGHTS = np.array([0.1, 2.3, 0.0, 1.7])


@pytest.fixture(params=[1, 10, 57])
def draws(request):
    return GroupedDraws(np.repeat(np.arange(4), SIZES), WEIGHTS, request.param)


def test_each_group_and_run_of_groups_is_exact_up_to_rounding(draws):
    expected = draws.length * WEIGHTS / WEIGHTS.sum()
    assert draws.expected == pytest.approx(expected)
    counts = draws.counts(3, np.arange(50))
    assert counts.shape == (50, 4)
    for first in range(4):
        for last in range(first + 1, 5):
            drawn = counts[:, first:last].sum(axis=1)
            wanted = expected[first:last].sum()
            assert drawn.min() >= np.floor(wanted - 1e-6)
            assert drawn.max() <= np.ceil(wanted + 1e-6)
    assert (counts.sum(axis=1) == draws.length).all()


def test_what_is_rounded_evens_out_over_epochs(draws):
    drawn = draws.counts(3, np.arange(200)).sum(axis=0)
    assert np.abs(drawn - 200 * draws.expected).max() < 3  # i.i.d.: 3 to 60


def test_indices_have_the_counts(draws):
    for epoch in range(5):
        indices = draws.indices(3, epoch)
        assert indices.tolist() == sorted(indices)
        groups = np.bincount(draws.group_of[indices], minlength=4)
        assert groups.tolist() == draws.counts(3, epoch).tolist()


def test_none_of_a_group_is_drawn_again_before_the_others(draws):
    drawn = [np.bincount(draws.indices(3, e), minlength=16) for e in range(12)]
    for first in range(12):
        total = np.zeros(16, int)
        for counts in drawn[first:]:
            total += counts
            for group in range(4):
                inside = total[draws.group_of == group]
                assert inside.max() - inside.min() <= 1


def test_even_splits_are_never_rounded():
    thirds = GroupedDraws(np.arange(3), np.full(3, 1 / 3), 300_000)
    assert set(thirds.counts(0, np.arange(100)).ravel()) == {100_000}


def test_seeds_differ(draws):
    turns = {s: draws.indices(s, 0).tolist() for s in range(5)}
    assert len({tuple(t) for t in turns.values()}) > 1
    assert turns[0] == draws.indices(0, 0).tolist()


def test_groups_that_begin_alike_stay_together():
    groups = [('lab', 0), ('street', 1), ('lab', 1), ('street', 0)] * 3
    weights = np.array([3, 1, 1.4, 0.6] * 3)
    draws = grouped_draws(groups, weights, 10)
    assert draws.expected == pytest.approx([5, 7 / 3, 1, 5 / 3])
    lab = draws.counts(0, np.arange(30))[:, :2].sum(axis=1)
    assert set(lab) == {7, 8}  # 22 / 3


@pytest.mark.parametrize('power', [-0.1, 1.5, '0.5', None, True, float('nan')])
def test_bad_power(power):
    with pytest.raises(ValueError, match=r'power .*: use a number from 0'):
        check_power('power', power)
