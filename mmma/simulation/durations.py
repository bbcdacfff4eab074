"""Random lengths with a given mean."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np


def spread_normal(count: int, rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers, one from each of ``count`` equally likely ranges.

    Their mean and spread differ far less from 0 and 1 than those of independent ones.

    Args:
        count: How many.
        rng: Draws the place in each range, and the order.

    Returns:
        (count,) float64, in random order.
    """
    places = (np.arange(count) + rng.uniform(0.05, 0.95, count)) / max(count, 1)
    inverse = NormalDist().inv_cdf
    return rng.permutation(np.array([inverse(place) for place in places]))


def lognormal_lengths(
    exponents: np.ndarray, mean: float, low: float, high: float | np.ndarray
) -> np.ndarray:
    """Lengths ``exp(shift + exponents)``, clipped, with the shift that gives a mean.

    Args:
        exponents: (N,) normal numbers times the wanted spread.
        mean: Wanted mean, seconds.
        low: Shortest length, seconds.
        high: Longest: one number or (N,) of them.

    Returns:
        (N,) float64, seconds; its mean is as near to ``mean`` as the clipping allows.
    """
    exponents = np.asarray(exponents, dtype=float)
    floor, ceiling = np.log(mean) - 5.0, np.log(mean) + 5.0
    for _ in range(50):
        shift = (floor + ceiling) / 2
        lengths = np.minimum(np.maximum(np.exp(exponents + shift), low), high)
        if lengths.size and lengths.mean() < mean:
            floor = shift
        else:
            ceiling = shift
    return lengths
