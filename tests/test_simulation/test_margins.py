"""Tables with exact margins."""

import numpy as np
import pytest

from mmma.simulation.margins import apportion, fit_margins, integer_table, round_margins


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def random_margins(rng, rows, columns):
    """A prior with zeros, and margins that some whole table with them has."""
    counts = rng.integers(0, 40, (rows, columns)) * (rng.random((rows, columns)) < 0.8)
    prior = (0.1 + rng.random((rows, columns))) * (counts > 0)
    return prior, counts.sum(axis=1), counts.sum(axis=0)


@pytest.mark.parametrize(
    ('total', 'weights', 'least', 'expected'),
    [
        (10, [1, 1, 2], 0, [3, 2, 5]),  # 2.5 2.5 5: the first of equal remainders
        (10, [5, 1, 1, 0], 1, [7, 1, 1, 1]),
        (7, [0, 1], [3, 0], [3, 4]),
        (3, [1, 1, 1], 1, [1, 1, 1]),
    ],
)
def test_apportion(total, weights, least, expected):
    assert apportion(total, np.array(weights), np.array(least)).tolist() == expected


def test_apportion_gives_back_whole_shares(rng):
    counts = rng.integers(1, 5000, 82)
    assert (apportion(counts.sum(), counts, 4 * (counts > 3)) == counts).all()


def test_apportion_refuses_too_little():
    with pytest.raises(ValueError, match='cannot share 2 units: 3 are needed'):
        apportion(2, np.ones(3), 1)


def test_fit_by_hand():
    # Odds ratio 4 is kept; with margins 3 3 and 3 3 the diagonal is twice the rest.
    table = fit_margins(np.array([[4.0, 1.0], [1.0, 1.0]]), [3, 3], [3, 3])
    assert table == pytest.approx(np.array([[2.0, 1.0], [1.0, 2.0]]))


@pytest.mark.parametrize('trial', range(5))
def test_fit_meets_margins_and_keeps_zeros(trial):
    prior, rows, columns = random_margins(np.random.default_rng(trial), 12, 30)
    table = fit_margins(prior, rows, columns)
    assert table.sum(axis=1) == pytest.approx(rows)
    assert table.sum(axis=0) == pytest.approx(columns)
    assert (table[prior == 0] == 0).all()


def test_fit_refuses_different_totals():
    with pytest.raises(ValueError, match='row totals add up to 3, column totals to 4'):
        fit_margins(np.ones((2, 2)), [1, 2], [2, 2])


def test_fit_refuses_unreachable_margins():
    with pytest.raises(ValueError, match='no table with these zeros has these margins'):
        fit_margins(np.eye(2), [1, 2], [2, 1])


@pytest.mark.parametrize('trial', range(20))
def test_rounding_is_exact(trial):
    rng = np.random.default_rng(trial)
    prior, rows, columns = random_margins(rng, 12, 82)
    table = fit_margins(prior, rows, columns)
    whole = round_margins(table, rng)
    assert (whole.sum(axis=1) == rows).all()
    assert (whole.sum(axis=0) == columns).all()
    assert np.abs(whole - table).max() < 1


def test_rounding_is_unbiased(rng):
    table = np.array([[0.3, 0.7, 1.0], [0.9, 0.6, 0.5], [0.8, 0.7, 0.5]])
    mean = np.mean([round_margins(table, rng) for _ in range(1000)], axis=0)
    assert mean == pytest.approx(table, abs=0.06)  # four standard errors


def test_rounding_refuses_broken_sums(rng):
    with pytest.raises(ValueError, match='needs whole row and column sums'):
        round_margins(np.array([[0.5, 0.5], [0.5, 0.4]]), rng)


def test_integer_table_keeps_least_cells(rng):
    least = np.array([[1, 1, 1], [0, 0, 0]])
    table = integer_table(np.ones((2, 3)), [5, 95], [1, 49, 50], least, rng)
    assert (table >= least).all()
    assert table.sum(axis=1).tolist() == [5, 95]
    assert table.sum(axis=0).tolist() == [1, 49, 50]


def test_integer_table_refuses_least_above_margin(rng):
    with pytest.raises(ValueError, match=r'exceed a margin: rows \[0\], columns \[\]'):
        integer_table(np.ones((2, 2)), [1, 5], [3, 3], np.array([[1, 1], [0, 0]]), rng)
