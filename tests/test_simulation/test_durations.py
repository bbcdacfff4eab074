"""Random lengths."""

import numpy as np
import pytest

from mmma.simulation.durations import lognormal_lengths, spread_normal


def test_spread_normal_is_evenly_spread():
    numbers = spread_normal(1000, np.random.default_rng(0))
    assert numbers.mean() == pytest.approx(0, abs=0.002)
    assert numbers.std() == pytest.approx(1, abs=0.01)
    assert not (np.diff(numbers) > 0).all()


@pytest.mark.parametrize('mean', [1.67, 2.68, 15.1])
def test_mean_holds_after_clipping(mean):
    exponents = 0.5 * spread_normal(500, np.random.default_rng(0))
    lengths = lognormal_lengths(exponents, mean, 0.5 * mean, 2 * mean)
    assert lengths.mean() == pytest.approx(mean, rel=1e-6)
    assert lengths.min() == 0.5 * mean
    assert lengths.max() == 2 * mean


def test_each_has_its_own_longest():
    high = np.array([1.0, 9.0, 9.0])
    lengths = lognormal_lengths(np.zeros(3), 3.0, 0.1, high)
    assert lengths == pytest.approx([1.0, 4.0, 4.0])
