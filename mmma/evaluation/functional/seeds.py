"""Mean, spread and interval of a few values, as of one recipe under several seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """What n values came to.

    Attributes:
        n: How many.
        mean: Their mean.
        sd: Standard deviation of a sample; None of one value.
        half_width: Of the t-interval around the mean; None of one value.
    """

    n: int
    mean: float
    sd: float | None
    half_width: float | None


def spread(values: Sequence[float], level: float = 0.95) -> Spread:
    """Mean and t-interval of independent values.

    Args:
        values: At least one.
        level: Coverage as a fraction.

    Raises:
        ValueError: No value.

    Source: Student, Biometrika 6, 1908.
    """
    n = len(values)
    if not n:
        raise ValueError('no values to average: give at least one')
    mean = statistics.fmean(values)
    if n == 1:
        return Spread(1, mean, None, None)
    sd = statistics.stdev(values)
    half_width = t_quantile((1 + level) / 2, n - 1) * sd / math.sqrt(n)
    return Spread(n, mean, sd, half_width)


def t_quantile(p: float, freedom: int) -> float:
    """Quantile of Student's t distribution.

    Args:
        p: At least 0.5 and below 1.
        freedom: Degrees of freedom, from 1.

    Raises:
        ValueError: Another ``p`` or ``freedom``.
    """
    if not 0.5 <= p < 1 or freedom < 1:
        raise ValueError(
            f'quantile {p} of t with {freedom} degrees of freedom: use 0.5 <= p < 1 '
            'and at least one degree'
        )
    low, high = 0.0, 1.0
    while _t_cdf(high, freedom) < p:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_cdf(middle, freedom) < p else (low, middle)
    return (low + high) / 2


def _t_cdf(t: float, freedom: int) -> float:
    """Share below ``t``, which is not negative.

    Source: Abramowitz & Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan(t / math.sqrt(freedom))
    square = math.cos(angle) ** 2
    odd = freedom % 2
    term = total = (math.cos(angle) if odd else 1.0) * (freedom > 1)
    for k in range(2 + odd, freedom - 1, 2):
        term *= square * (k - 1) / k
        total += term
    within = math.sin(angle) * total
    return 0.5 + ((angle + within) / math.pi if odd else within / 2)
