"""How often each sample is drawn in an epoch, where it is not once."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np

_OFFSETS = 2**20  # places of the grid on which the rounding of an epoch starts
_STEP = 648055  # _OFFSETS by the golden ratio, odd: epochs visit the grid evenly


class GroupedDraws:
    """Draws that give each group its share of every epoch, up to rounding.

    In each epoch a group of expected e draws has floor(e) or ceil(e); so has any run of
    consecutive groups, which nested groups (the classes of a domain) make use of. Which
    of the two changes with the epoch, so that over many epochs the mean is e.

    Inside a group, samples take turns in a random cyclic order that goes on over the
    epochs: none is drawn again before each of the others has been drawn, in every
    stretch of epochs. All depends on seed and epoch alone.

    Args:
        group_of: (n,) group of each sample, from 0, each group with a sample.
        weights: (G,) weight of each group, not negative, at least one above 0.
        length: Draws per epoch.

    Source: systematic sampling (Madow, 'On the Theory of Systematic Sampling, II',
    Annals of Mathematical Statistics 1949), over groups.
    """

    def __init__(self, group_of: np.ndarray, weights: np.ndarray, length: int) -> None:
        self.group_of = np.asarray(group_of)
        self.sizes = np.bincount(self.group_of, minlength=len(weights))  # (G,)
        self.length = length
        ends = np.cumsum(weights, dtype=np.float64)
        # Whole numbers stay whole: an even split must not be rounded at random.
        self._ends = np.round(np.r_[0, ends / ends[-1] * length], 9)  # (G + 1,)

    @property
    def expected(self) -> np.ndarray:
        """Mean draws of each group per epoch, (G,)."""
        return np.diff(self._ends)

    def counts(self, seed: int, epochs: int | np.ndarray) -> np.ndarray:
        """Draws of each group.

        Args:
            seed: Of the run.
            epochs: (E,) numbers of epochs, or one of them.

        Returns:
            (E, G) int64, or (G,) for one epoch; each row adds up to ``length``.
        """
        first = _rng(seed).integers(_OFFSETS)
        places = (first + np.asarray(epochs, np.int64) * _STEP) % _OFFSETS
        ends = np.floor(self._ends + places[..., None] / _OFFSETS)
        return np.diff(ends).astype(np.int64)

    def indices(self, seed: int, epoch: int) -> np.ndarray:
        """Samples drawn in an epoch, (length,), ascending, with repeats."""
        now = self.counts(seed, epoch)
        before = self.counts(seed, np.arange(epoch)).sum(axis=0)
        shuffled = _rng(seed).permutation(len(self.group_of))
        turns = shuffled[np.argsort(self.group_of[shuffled], kind='stable')]
        group = np.repeat(np.arange(len(now)), now)  # (length,)
        drawn = np.arange(self.length) - np.repeat(np.cumsum(now) - now, now)
        turn = (before[group] + drawn) % self.sizes[group]
        starts = np.cumsum(self.sizes) - self.sizes
        return np.sort(turns[starts[group] + turn])


def _rng(seed: int) -> np.random.Generator:
    """Of the run; its third number keeps it apart from [seed, epoch], the shuffling."""
    return np.random.default_rng([seed, 0, 1])


def grouped_draws(
    groups: Sequence[tuple], weights: np.ndarray, length: int
) -> GroupedDraws:
    """Draws by the weights of samples, which are equal inside a group.

    Args:
        groups: (n,) what samples have in common, as (domain, class); groups that begin
            alike stay together and their total is as exact as each.
        weights: (n,) weight of each sample.
        length: Draws per epoch.
    """
    places = {group: place for place, group in enumerate(sorted(set(groups)))}
    group_of = np.array([places[group] for group in groups])
    return GroupedDraws(group_of, np.bincount(group_of, weights=weights), length)


def check_power(name: str, power: float) -> float:
    """Refuse a power that is no number from 0 to 1.

    Raises:
        ValueError: It is not.
    """
    if isinstance(power, Real) and not isinstance(power, bool) and 0 <= power <= 1:
        return float(power)
    raise ValueError(
        f'{name} {power!r}: use a number from 0 (as often as they are) over 0.5 '
        '(square root) to 1 (all equally often)'
    )
