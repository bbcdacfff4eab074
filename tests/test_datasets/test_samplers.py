"""Samplers: keys, shares, order, and any number of processes."""

import os
from collections import Counter

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.dataset import ConcatDataset, RepeatDataset, pseudo_collate
from mmengine.dist import all_reduce, get_world_size
from mmengine.runner import Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader, Dataset

from mmma.datasets import clips as clip_dataset
from mmma.datasets.samplers import (
    ClassBalancedSampler,
    ClassBalancedWithinDomainSampler,
    DomainBalancedSampler,
    EpochSampler,
    GroupedDraws,
    SampleKey,
    class_power,
    class_weights,
    domain_shares,
    read_column,
    read_labels,
)
from mmma.evaluation.metrics import RecognitionMetric
from mmma.registry import DATA_SAMPLERS

SIZES = np.array([7, 1, 3, 5])
WEIGHTS = np.array([0.1, 2.3, 0.0, 1.7])


@pytest.fixture(params=[1, 10, 57])
def draws(request):
    groups = np.repeat(np.arange(4), SIZES)
    return GroupedDraws(groups.tolist(), (WEIGHTS / SIZES)[groups], request.param)


def test_each_group_and_run_of_groups_is_exact_up_to_rounding(draws):
    expected = draws.length * WEIGHTS / WEIGHTS.sum()
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
    expected = draws.length * WEIGHTS / WEIGHTS.sum()
    assert np.abs(drawn - 200 * expected).max() < 3  # i.i.d.: 3 to 60


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
    thirds = GroupedDraws(range(3), np.full(3, 1 / 3), 300_000)
    assert set(thirds.counts(0, np.arange(100)).ravel()) == {100_000}


def test_groups_that_begin_alike_stay_together():
    groups = [('lab', 0), ('street', 1), ('lab', 1), ('street', 0)] * 3
    weights = np.array([3, 1, 1.4, 0.6] * 3)
    draws = GroupedDraws(groups, weights, 10)
    lab = draws.counts(0, np.arange(30))[:, :2].sum(axis=1)
    assert set(lab) == {7, 8}  # 22 / 3


@pytest.mark.parametrize('power', [-0.1, 1.5, '0.5', True, float('nan')])
def test_bad_power(power):
    with pytest.raises(ValueError, match=r'power .*: use a number from 0'):
        domain_shares(['lab'], power, None)


class Listed(list):
    """Samples with metainfo."""

    def __init__(self, size=4, **metainfo):
        super().__init__(range(size))
        self.metainfo = metainfo

    def full_init(self):
        self.ready = True


def test_labels_are_one_per_clip_or_several_per_video():
    clips = Listed(labels=[2, np.int64(0), 1, 2])
    assert read_labels(clips) == [(2,), (0,), (1,), (2,)]
    videos = Listed(labels=[[3, 1, 3], [], (2,), np.array([5, 4])])
    assert read_labels(videos) == [(1, 3), (), (2,), (4, 5)]


def test_a_lazy_data_set_is_read_first(video_root):
    dataset = clip_dataset.ClipDataset(video_root, 'train', [], lazy_init=True)
    domains = read_column(dataset, 'domains')
    assert len(domains) == len(dataset) == len(read_labels(dataset))
    assert set(domains) == {'lab', 'psychiatric', 'street', 'emotion'}


@pytest.mark.parametrize('dataset', [[1, 2], Listed(labels=[0])])
def test_a_data_set_that_lists_nothing(dataset):
    with pytest.raises(ValueError, match=r"has no metainfo\['domains'\].*EpochSampler"):
        read_column(dataset, 'domains')


@pytest.mark.parametrize('wrap', [lambda d: RepeatDataset(d, 3), ConcatDataset])
def test_wrappers_are_refused(video_root, wrap):
    def inner():
        return clip_dataset.ClipDataset(video_root, 'train', [])

    dataset = wrap([inner(), inner()] if wrap is ConcatDataset else inner())
    message = rf'{type(dataset).__name__} has \d+ samples.*`train_cfg.max_epochs`'
    with pytest.raises(ValueError, match=message):
        read_labels(dataset)


@pytest.mark.parametrize('labels', [[0, 1, -1, -1], [[0], [1], [-1, 2], [-1]]])
def test_withheld_labels_are_refused(labels):
    with pytest.raises(ValueError, match=r'2 of 4 samples have no label .* number 2'):
        read_labels(Listed(labels=labels))


def test_weights_of_clips():
    classes, weights = class_weights([(0,), (0,), (0,), (0,), (1,)], power=0.5)
    assert classes == [0, 0, 0, 0, 1]
    assert weights.tolist() == [0.5, 0.5, 0.5, 0.5, 1]


@pytest.mark.parametrize(
    ('sampler', 'power'),
    [
        ({'type': 'EpochSampler'}, 1),
        ({'type': 'DomainBalancedSampler', 'power': 0.5}, 1),  # of domains
        ({'type': 'DefaultSampler', 'shuffle': True}, 1),
        ({'type': 'ClassBalancedSampler'}, 0),
        ({'type': 'ClassBalancedSampler', 'power': 0.25}, 0.75),
        ({'type': 'ClassBalancedWithinDomainSampler', 'power': 0.5}, 0.5),
        ({'type': 'InfiniteSampler'}, None),
    ],
)
def test_power_of_the_frequencies_that_a_sampler_draws(sampler, power):
    assert class_power(sampler) == power


def test_what_is_drawn_has_the_power_of_its_sampler():
    _, weights = class_weights([(0,)] * 90 + [(1,)] * 10, power=0.25)
    power = class_power({'type': 'ClassBalancedSampler', 'power': 0.25})
    assert weights[:90].sum() / weights[90:].sum() == pytest.approx(9**power)


def test_the_rarest_class_of_a_video_counts():
    videos = [(0, 1), (0,), (0, 2), (), (2,), (0,)]  # classes of 4, 1 and 2 videos
    classes, weights = class_weights(videos, power=1)
    assert classes == [1, 0, 2, -1, 2, 0]
    assert weights.tolist() == [1, 1 / 4, 1 / 2, 1 / 4, 1 / 2, 1 / 4]


def test_videos_without_any_instance_weigh_the_same():
    assert class_weights([(), ()], power=1)[1].tolist() == [1, 1]


@pytest.mark.parametrize(
    ('power', 'shares', 'lab'),
    [
        (0, None, 0.8),
        (0.5, None, 2 / 3),
        (1, None, 0.5),
        (1, {'lab': 3, 'street': 1}, 0.75),
        (1, {'lab': 0, 'street': 0.2}, 0),
    ],
)
def test_domain_shares(power, shares, lab):
    power = None if shares else power
    found = domain_shares(['lab'] * 4 + ['street'], power, shares)
    assert found == pytest.approx({'lab': lab, 'street': 1 - lab})


@pytest.mark.parametrize(
    ('shares', 'message'),
    [
        ({'lab': 1, 'stret': 1}, "no sample is of domain 'stret'.*mean 'street'"),
        ({'lab': 1, 'street': 1, 'emotion': 1}, 'no sample .*--domain all'),
        ({'lab': 1}, 'shares: none for street: give one to each of lab, street'),
        ({'lab': 0, 'street': 0}, 'shares: all are 0'),
        ({'lab': -1, 'street': 1}, 'shares: lab=-1: use a number from 0'),
        ({'lab': '1', 'street': 1}, "shares: lab='1': use a number"),
        ([0.5, 0.5], r'write dict\(lab=0.4, street=0.6\)'),
    ],
)
def test_shares_that_do_not_fit(shares, message):
    with pytest.raises(ValueError, match=message):
        domain_shares(['lab', 'street'], None, shares)


@pytest.fixture
def shares(monkeypatch):
    """Samplers of all processes of a world."""

    def make(world_size, size=10, cls=EpochSampler, **options):
        samplers = []
        for rank in range(world_size):
            place = 'mmengine.dataset.sampler.get_dist_info'
            monkeypatch.setattr(place, lambda r=rank: (r, world_size))
            samplers.append(cls(range(size), **options))
        return samplers

    return make


def indices(sampler):
    return [key.index for key in sampler]


def test_in_order_without_shuffling(shares):
    (sampler,) = shares(1, size=3, shuffle=False, seed=9)
    assert list(sampler) == [SampleKey(9, 0, i) for i in range(3)]


def test_epoch_and_seed_decide(shares):
    (sampler,) = shares(1, size=50, seed=0)
    sampler.set_epoch(3)
    assert sorted(indices(sampler)) == list(range(50))
    assert {key.epoch for key in sampler} == {3}


@pytest.mark.parametrize('shuffle', [True, False])
def test_a_step_is_the_same_for_any_world_size(shares, shuffle):
    (alone,) = shares(1, size=24, seed=5, shuffle=shuffle)
    for world_size in (2, 3, 4):
        together = shares(world_size, size=24, seed=5, shuffle=shuffle)
        interleaved = [key for step in zip(*together, strict=True) for key in step]
        assert interleaved == list(alone)


def test_rounding_up_repeats_the_first(shares):
    samplers = shares(4, size=10, shuffle=False, seed=0)
    found = [indices(s) for s in samplers]
    assert found == [[0, 4, 8], [1, 5, 9], [2, 6, 0], [3, 7, 1]]
    assert [len(s) for s in samplers] == [3, 3, 3, 3]
    assert {key.repeat for s in samplers for key in s} == {0}  # the same sample again


def test_draws_are_given_twice_in_a_row_with_other_random_numbers(shares):
    (alone,) = shares(1, size=11, seed=5, repeats=2)
    keys = list(alone)
    assert len(alone) == len(keys) == 22
    assert keys[::2] == list(*shares(1, size=11, seed=5))  # the first as ever
    assert keys[1::2] == [key._replace(repeat=1) for key in keys[::2]]
    together = shares(2, size=11, seed=5, repeats=2)
    interleaved = [key for step in zip(*together, strict=True) for key in step]
    assert interleaved == keys


def test_repeats_of_balanced_draws_all_differ():
    drawn = list(ClassBalancedSampler(Clips(), seed=0, repeats=2))
    assert len(set(drawn)) == len(drawn) == 160
    assert [key.index for key in drawn[::2]] == [key.index for key in drawn[1::2]]


@pytest.mark.parametrize('repeats', [0, -1, 1.5, True, None])
def test_bad_repeats_are_refused(repeats):
    with pytest.raises(ValueError, match=r'repeats .*: use a whole number from 1'):
        EpochSampler(Clips(), repeats=repeats)


def test_fewer_samples_than_processes(shares):
    found = [indices(s) for s in shares(5, size=2, shuffle=False)]
    assert found == [[0], [1], [0], [1], [0]]


def test_processes_agree_on_a_seed(shares, monkeypatch):
    monkeypatch.setattr('mmengine.dataset.sampler.sync_random_seed', lambda: 77)
    assert {s.seed for s in shares(2, seed=None)} == {77}


WITHIN = ClassBalancedWithinDomainSampler
BALANCED = (
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
    """True if each count is its share of the length, rounded up or down."""
    total = sum(shares.values())
    apart = [abs(drawn[k] - length * share / total) for k, share in shares.items()]
    return max(apart) < 1 and sum(drawn.values()) == length


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


@pytest.mark.parametrize('cls', [EpochSampler, *BALANCED])
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
    drawn = keys[0, 0]
    assert len(set(drawn)) == 80
    for index in range(80):
        repeats = [k.repeat for k in drawn if k.index == index]
        assert repeats == list(range(len(repeats)))
    plain = [k.index for k in cls(Clips(), seed=0, shuffle=False)]
    assert plain == sorted(plain)
    assert DATA_SAMPLERS.get(cls.__name__) is cls


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
        (lambda d: WITHIN(d, domain_power=0, shares={'lab': 1}), 'domain_power 0 and'),
        (lambda d: DomainBalancedSampler(d, 2), 'power 2: use a number from 0'),
        (lambda d: ClassBalancedSampler(d, -1), 'power -1: use a number from 0'),
        (lambda d: WITHIN(d, domain_power=3), 'domain_power 3: use a number from 0'),
        (
            lambda d: ClassBalancedSampler(Clips(['lab'] * 2, [0, -1])),
            '1 of 2 samples have no label',
        ),
    ],
)
def test_options_that_do_not_fit(build, message):
    with pytest.raises(ValueError, match=message):
        build(Clips())


OPTIONS = {
    'EpochSampler': {},
    'DomainBalancedSampler': {'shares': {'lab': 0.3, 'street': 0.7}},
    'ClassBalancedSampler': {'power': 0.5},
    'ClassBalancedWithinDomainSampler': {'domain_power': 1},
}
SOME_LABELS = [0] * 12 + [1] * 3 + [0] * 2 + [1] * 3 + [2] * 2


class Points(Dataset):
    """Points near the centre of their class, displaced as the key says."""

    def __init__(self, size):
        self.metainfo = {
            'label_space': 'letters',
            'classes': ['a', 'b', 'c'],
            'bodies': ['x', 'y'],
            'body_of': [0, 0, 1],
            'clips': [str(i) for i in range(size)],
            'labels': SOME_LABELS[:size],
            'domains': (['lab'] * 15 + ['street'] * 7)[:size],
            'subjects': ['s'] * size,
        }

    def __len__(self):
        return len(self.metainfo['clips'])

    def __getitem__(self, key):
        noise = np.random.default_rng(list(key)).normal(0, 1.5, 4)
        return key, np.eye(4)[SOME_LABELS[key.index]] + noise


def batches(size, total_batch, sampler):
    """Keys (n, 4) and points (n, 4) of each step of this process."""
    loader = Runner.build_dataloader(
        {
            'dataset': Points(size),
            'batch_size': total_batch // get_world_size(),
            'num_workers': 0,
            'sampler': {**sampler, '_scope_': 'mmma'},
            'collate_fn': {'type': 'default_collate'},
        },
        seed=7,
    )
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        for keys, points in loader:
            yield torch.stack(list(keys), dim=1), points


def train_and_score(name):
    """Keys of all steps, and metrics of a softmax regression after them."""
    weight, steps = torch.zeros(4, 3, dtype=torch.float64), []
    for keys, x in batches(22, 6, {'type': name, 'shuffle': True, **OPTIONS[name]}):
        truth = torch.eye(3)[torch.tensor(SOME_LABELS)[keys[:, 2]]]
        gradient = x.T @ (torch.softmax(x @ weight, 1) - truth) / len(x)
        all_reduce(gradient, 'mean')
        weight -= gradient
        steps.append(keys.tolist())
    metric = RecognitionMetric()
    metric.dataset_meta = Points(21).metainfo  # odd: one process scores a copy
    for keys, x in batches(21, 4, {'type': 'EpochSampler', 'shuffle': False}):
        for index, score in zip(keys[:, 2], torch.softmax(x @ weight, 1), strict=True):
            sample = {'index': index, 'clip': str(int(index)), 'pred_score': score}
            metric.process(None, [sample])
    return steps, metric.evaluate(21)


def _worker(rank, folder):
    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    torch.save([train_and_score(name) for name in OPTIONS], folder / f'{rank}.pt')
    dist.destroy_process_group()
    os._exit(0)  # a fork of the test process: leave its exit handlers alone


@pytest.fixture(scope='module')
def both(tmp_path_factory):
    """Findings of each process, per sampler."""
    folder = tmp_path_factory.mktemp('gloo')
    mp.start_processes(_worker, (folder,), nprocs=2, start_method='fork')
    ranks = [torch.load(folder / f'{r}.pt', weights_only=True) for r in range(2)]
    return dict(zip(OPTIONS, zip(*ranks, strict=True), strict=True))


@pytest.mark.parametrize('name', OPTIONS)
def test_two_processes_are_as_one(both, name):
    steps, metrics = train_and_score(name)
    (first, first_metrics), (second, second_metrics) = both[name]
    together = [sorted(a + b) for a, b in zip(first, second, strict=True)]
    assert together == [sorted(step) for step in steps]
    assert first_metrics == second_metrics == metrics
    assert 0 < metrics['action/top1'] < 100
