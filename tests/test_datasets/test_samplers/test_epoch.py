"""Order of an epoch and the shares of processes."""

import numpy as np
import pytest

from mmma.datasets.samplers import SampleKey, epoch
from mmma.datasets.samplers.epoch import EpochSampler, earlier_draws


@pytest.fixture
def shares(monkeypatch):
    """Samplers of all processes of a world."""

    def make(world_size, size=10, cls=EpochSampler, **options):
        samplers = []
        for rank in range(world_size):
            monkeypatch.setattr(epoch, 'get_dist_info', lambda r=rank: (r, world_size))
            samplers.append(cls(range(size), **options))
        return samplers

    return make


def indices(sampler):
    return [key.index for key in sampler]


def test_in_order_without_shuffling(shares):
    (sampler,) = shares(1, size=3, shuffle=False, seed=9)
    assert list(sampler) == [SampleKey(9, 0, i) for i in range(3)]


def test_epoch_and_seed_decide(shares):
    orders = {}
    for seed in (0, 1):
        (sampler,) = shares(1, size=50, seed=seed)
        for number in (0, 1):
            sampler.set_epoch(number)
            orders[seed, number] = indices(sampler)
            assert indices(sampler) == orders[seed, number]
            assert {key.epoch for key in sampler} == {number}
    assert len({tuple(o) for o in orders.values()}) == 4
    assert all(sorted(o) == list(range(50)) for o in orders.values())


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('world_size', [2, 3, 4])
def test_a_step_is_the_same_for_any_world_size(shares, shuffle, world_size):
    (alone,) = shares(1, size=24, seed=5, shuffle=shuffle)
    together = shares(world_size, size=24, seed=5, shuffle=shuffle)
    interleaved = [key for step in zip(*together, strict=True) for key in step]
    assert interleaved == list(alone)


def test_rounding_up_repeats_the_first(shares):
    samplers = shares(4, size=10, shuffle=False, seed=0)
    assert [indices(s) for s in samplers] == [
        [0, 4, 8],
        [1, 5, 9],
        [2, 6, 0],
        [3, 7, 1],
    ]
    assert [len(s) for s in samplers] == [3, 3, 3, 3]
    assert {key.repeat for s in samplers for key in s} == {0}  # the same sample again


def test_fewer_samples_than_processes(shares):
    assert [indices(s) for s in shares(5, size=2, shuffle=False)] == [
        [0],
        [1],
        [0],
        [1],
        [0],
    ]


def test_processes_agree_on_a_seed(shares, monkeypatch):
    monkeypatch.setattr(epoch, 'sync_random_seed', lambda: 77)
    assert {s.seed for s in shares(2, seed=None)} == {77}


class _Twice(EpochSampler):
    def epoch_size(self):
        return 4

    def epoch_order(self):
        return np.array([3, 1, 3, 3])


def test_a_sampler_that_draws_again_marks_repeats(shares):
    (sampler,) = shares(1, cls=_Twice, seed=0)
    assert [(k.index, k.repeat) for k in sampler] == [(3, 0), (1, 0), (3, 1), (3, 2)]
    assert len(sampler) == 4


def test_earlier_draws_by_counting():
    order = np.random.default_rng(0).integers(0, 9, 100)
    counted = [int((order[:i] == order[i]).sum()) for i in range(100)]
    assert earlier_draws(order).tolist() == counted
