"""Order of an epoch, and each process's share of it."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmma.datasets.samplers.draws import GroupedDraws
from mmma.datasets.samplers.keys import SampleKey
from mmma.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler[SampleKey]):
    """Every sample once per epoch, in an order that depends on seed and epoch alone.

    Each process computes the order of the whole epoch and takes every ``world size``-th
    sample, so that the samples of a step are the same for any world size with the same
    total batch. The first samples are repeated until all processes have equally many;
    in evaluation the metric drops the copies. A subclass that draws samples otherwise
    sets ``draws``; or it overrides :meth:`epoch_order`, and :meth:`epoch_size` if an
    epoch has another length.

    Args:
        dataset: The data set.
        shuffle: Shuffle anew in each epoch; else the order is that of the data set.
        seed: Same in all processes; None lets them agree on a random one.

    Attributes:
        draws: How often an epoch has each sample; None for once.
    """

    draws: GroupedDraws | None = None

    def __init__(
        self,
        dataset: Sized,
        shuffle: bool = True,
        seed: int | None = None,
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives, from 0."""
        self.epoch = epoch

    def epoch_size(self) -> int:
        """Samples of one epoch over all processes, copies not counted."""
        return len(self.dataset) if self.draws is None else self.draws.length

    def epoch_order(self) -> np.ndarray:
        """Indices of the whole epoch, (n,), the same in every process."""
        if self.draws is None:
            drawn = np.arange(len(self.dataset))
        else:
            drawn = self.draws.indices(self.seed, self.epoch)
        if not self.shuffle:
            return drawn
        rng = np.random.default_rng([self.seed, self.epoch])
        return drawn[rng.permutation(len(drawn))]

    def __iter__(self) -> Iterator[SampleKey]:
        order = self.epoch_order()
        repeats = earlier_draws(order)
        for place in range(self.rank, self._padded(), self.world_size):
            place %= len(order)
            yield SampleKey(
                self.seed, self.epoch, int(order[place]), int(repeats[place])
            )

    def __len__(self) -> int:
        return len(range(self.rank, self._padded(), self.world_size))

    def _padded(self) -> int:
        """Samples over all processes, copies counted."""
        size = self.epoch_size()
        return size + -size % self.world_size


def earlier_draws(order: np.ndarray) -> np.ndarray:
    """How often each index came before its place.

    Args:
        order: (n,) indices.

    Returns:
        (n,) int64: 0 for a first draw, 1 for a second.
    """
    by_index = np.argsort(order, kind='stable')
    ordered = order[by_index]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    first_place = np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    draws = np.empty(len(order), np.int64)
    draws[by_index] = np.arange(len(order)) - first_place
    return draws
