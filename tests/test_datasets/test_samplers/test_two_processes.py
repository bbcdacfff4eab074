"""Two processes draw, train and score as one does with twice the batch."""

import os

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.dist import all_reduce, get_world_size
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmma import datasets, evaluation  # noqa: F401  (fill the registries)
from mmma.evaluation.metrics import RecognitionMetric

SAMPLERS = {
    'EpochSampler': {},
    'DomainBalancedSampler': {'shares': {'lab': 0.3, 'street': 0.7}},
    'ClassBalancedSampler': {'power': 0.5},
    'ClassBalancedWithinDomainSampler': {'domain_power': 1},
}
LABELS = [0] * 12 + [1] * 3 + [0] * 2 + [1] * 3 + [2] * 2


class Points(Dataset):
    """Points near the centre of their class, displaced as the key says."""

    def __init__(self, size):
        self.metainfo = {
            'label_space': 'letters',
            'classes': ['a', 'b', 'c'],
            'bodies': ['x', 'y'],
            'body_of': [0, 0, 1],
            'clips': [str(i) for i in range(size)],
            'labels': LABELS[:size],
            'domains': (['lab'] * 15 + ['street'] * 7)[:size],
            'subjects': ['s'] * size,
        }

    def __len__(self):
        return len(self.metainfo['clips'])

    def __getitem__(self, key):
        noise = np.random.default_rng(list(key)).normal(0, 1.5, 4)
        return key, np.eye(4)[LABELS[key.index]] + noise


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
    for keys, x in batches(22, 6, {'type': name, 'shuffle': True, **SAMPLERS[name]}):
        truth = torch.eye(3)[torch.tensor(LABELS)[keys[:, 2]]]
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
    torch.save([train_and_score(name) for name in SAMPLERS], folder / f'{rank}.pt')
    dist.destroy_process_group()
    os._exit(0)  # a fork of the test process: leave its exit handlers alone


@pytest.fixture(scope='module')
def both(tmp_path_factory):
    """What each process found, per sampler."""
    folder = tmp_path_factory.mktemp('gloo')
    mp.start_processes(_worker, (folder,), nprocs=2, start_method='fork')
    ranks = [torch.load(folder / f'{r}.pt', weights_only=True) for r in range(2)]
    return dict(zip(SAMPLERS, zip(*ranks, strict=True), strict=True))


@pytest.mark.parametrize('name', SAMPLERS)
def test_two_processes_are_as_one(both, name):
    steps, metrics = train_and_score(name)
    (first, first_metrics), (second, second_metrics) = both[name]
    together = [sorted(a + b) for a, b in zip(first, second, strict=True)]
    assert together == [sorted(step) for step in steps]
    assert first_metrics == second_metrics == metrics
    assert 0 < metrics['action/top1'] < 100
