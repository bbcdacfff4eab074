"""Shares of domains and classes against their definition."""

from collections import Counter

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from mmma.datasets.samplers.balanced import (
    ClassBalancedSampler,
    ClassBalancedWithinDomainSampler,
    DomainBalancedSampler,
)
from mmma.registry import DATA_SAMPLERS

SAMPLERS = (
    DomainBalancedSampler,
    ClassBalancedSampler,
    ClassBalancedWithinDomainSampler,
)
DOMAINS = ['lab'] * 64 + ['street'] * 16
LABELS = [0] * 48 + [1] * 12 + [2] * 4 + [0] * 12 + [1] * 3 + [2]


class Clips(list):
    """80 clips of two domains and three classes: 60, 15 and 5."""

    def __init__(self, domains=DOMAINS, labels=LABELS):
        super().__init__(range(len(labels)))
        self.metainfo = {'domains': domains, 'labels': labels}


def counts(sampler, epoch=0):
    """Draws of each domain, of each class, and of each class of each domain."""
    sampler.set_epoch(epoch)
    meta = sampler.dataset.metainfo
    pairs = [(meta['domains'][k.index], meta['labels'][k.index]) for k in sampler]
    assert len(pairs) == len(sampler)
    return Counter(d for d, _ in pairs), Counter(c for _, c in pairs), Counter(pairs)


def near(drawn, shares, length=80):
    """Whether each count is its share of the length, rounded up or down."""
    total = sum(shares.values())
    return (
        all(
            abs(drawn[key] - length * share / total) < 1
            for key, share in shares.items()
        )
        and sum(drawn.values()) == length
    )


@pytest.mark.parametrize(
    ('options', 'shares'),
    [
        ({}, {'lab': 1, 'street': 1}),
        ({'power': 0}, {'lab': 64, 'street': 16}),
        ({'power': 0.5}, {'lab': 8, 'street': 4}),
        ({'shares': {'lab': 0.3, 'street': 0.7}}, {'lab': 3, 'street': 7}),
        ({'shares': {'lab': 0, 'street': 5}}, {'lab': 0, 'street': 1}),
    ],
)
def test_shares_of_domains(options, shares):
    sampler = DomainBalancedSampler(Clips(), seed=1, **options)
    for epoch in range(5):
        assert near(counts(sampler, epoch)[0], shares)


@pytest.mark.parametrize(
    ('power', 'shares'),
    [
        (0, {0: 60, 1: 15, 2: 5}),
        (0.5, {0: 60**0.5, 1: 15**0.5, 2: 5**0.5}),
        (1, {0: 1, 1: 1, 2: 1}),
    ],
)
def test_shares_of_classes(power, shares):
    sampler = ClassBalancedSampler(Clips(), power, seed=1)
    for epoch in range(5):
        assert near(counts(sampler, epoch)[1], shares)


@pytest.mark.parametrize(
    ('options', 'lab', 'street'),
    [({}, 64, 16), ({'domain_power': 1}, 1, 1), ({'domain_power': 0.5}, 8, 4),
     ({'shares': {'lab': 1, 'street': 9}}, 1, 9)],
)  # fmt: skip
@pytest.mark.parametrize('power', [0, 0.5, 1])
def test_shares_of_classes_within_domains(options, lab, street, power):
    sampler = ClassBalancedWithinDomainSampler(Clips(), power=power, seed=1, **options)
    inside = {
        'lab': np.array([48, 12, 4]) ** (1.0 - power),
        'street': np.array([12, 3, 1]) ** (1.0 - power),
    }
    shares = {
        (domain, label): share * inside[domain][label] / inside[domain].sum()
        for domain, share in (('lab', lab), ('street', street))
        for label in range(3)
    }
    for epoch in range(5):
        domains, _, pairs = counts(sampler, epoch)
        assert near(domains, {'lab': lab, 'street': street})
        assert near(pairs, shares)


def test_power_0_is_every_sample_once():
    sampler = ClassBalancedSampler(Clips(), power=0, seed=1)
    assert sorted(k.index for k in sampler) == list(range(80))
    assert {k.repeat for k in sampler} == {0}


def test_videos_are_drawn_by_their_rarest_class():
    labels = [[0]] * 6 + [[0, 1]] * 2 + [[]] * 2  # weights 1/8, 1/2 and 1/8
    videos = Clips(['lab'] * 10, labels)
    sampler = ClassBalancedSampler(videos, power=1, seed=1)
    drawn = Counter(k.index for k in sampler)
    assert drawn[6] + drawn[7] == 5  # 10 * (2/2) / (6/8 + 2/2 + 2/8)
    assert {drawn[6], drawn[7]} == {2, 3}
    assert sum(drawn[i] for i in range(6)) in (3, 4)


def test_videos_are_balanced_within_domains():
    labels = [[0]] * 3 + [[0, 1]] + [[2]] * 2 + [[]] * 2
    videos = Clips(['lab'] * 4 + ['street'] * 4, labels)
    sampler = ClassBalancedWithinDomainSampler(videos, seed=1)
    drawn = Counter()
    for epoch in range(7):
        sampler.set_epoch(epoch)
        drawn.update(k.index for k in sampler)
    assert sum(drawn[i] for i in range(4)) == 28
    assert [drawn[i] for i in range(3)] == [4] * 3  # 28 * (1/4) / (3/4 + 1)
    assert drawn[3] == 16
    assert [drawn[i] for i in range(4, 8)] == [7] * 4


@pytest.mark.parametrize('cls', SAMPLERS)
def test_an_epoch_depends_on_seed_and_epoch_alone(cls):
    keys = {}
    for seed in (0, 1):
        ongoing = cls(Clips(), seed=seed)
        for epoch in (0, 1, 2):
            ongoing.set_epoch(epoch)
            keys[seed, epoch] = list(ongoing)
            resumed = cls(Clips(), seed=seed)
            resumed.set_epoch(epoch)
            assert list(resumed) == keys[seed, epoch]
    assert len({tuple(k.index for k in order) for order in keys.values()}) == 6


@pytest.mark.parametrize('cls', SAMPLERS)
def test_a_drawn_sample_comes_with_its_repeat(cls):
    keys = list(cls(Clips(), seed=0))
    assert len(set(keys)) == 80
    for index in range(80):
        repeats = [k.repeat for k in keys if k.index == index]
        assert repeats == list(range(len(repeats)))


@pytest.mark.parametrize('cls', SAMPLERS)
def test_without_shuffling_draws_are_in_order(cls):
    sampler = cls(Clips(), seed=0, shuffle=False)
    indices = [k.index for k in sampler]
    assert indices == sorted(indices)
    assert (
        cls.__name__
        == type(
            DATA_SAMPLERS.build(dict(type=cls.__name__, dataset=Clips(), shuffle=True))
        ).__name__
    )


def test_every_pass_of_an_endless_loop_is_another_epoch(monkeypatch):
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda _: None)

    class Echo(Clips):
        def __getitem__(self, key):
            return key

    loader = DataLoader(
        Echo(),
        batch_size=40,
        sampler=ClassBalancedSampler(Echo(), seed=0),
        collate_fn=pseudo_collate,
    )
    endless = _InfiniteDataloaderIterator(loader)
    epochs = [next(endless)[1] for _ in range(6)]
    assert [list(e) for e in epochs] == [[n] * 40 for n in (0, 0, 1, 1, 2, 2)]


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda d: DomainBalancedSampler(d, 1, {'lab': 1}), 'power 1 and shares'),
        (
            lambda d: ClassBalancedWithinDomainSampler(
                d, domain_power=0, shares={'lab': 1}
            ),
            'domain_power 0 and shares',
        ),
        (lambda d: DomainBalancedSampler(d, 2), 'power 2: use a number from 0'),
        (lambda d: ClassBalancedSampler(d, -1), 'power -1: use a number from 0'),
        (
            lambda d: ClassBalancedWithinDomainSampler(d, domain_power=3),
            'domain_power 3: use a number from 0',
        ),
        (
            lambda d: ClassBalancedSampler(Clips(['lab'] * 2, [0, -1])),
            '1 of 2 samples have no label',
        ),
    ],
)
def test_options_that_do_not_fit(build, message):
    with pytest.raises(ValueError, match=message):
        build(Clips())
