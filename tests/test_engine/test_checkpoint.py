import logging
import random
import time
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmma.checkpoints import load_weights_file
from mmma.engine.checkpoint import (
    AtomicLocalBackend,
    get_random_state,
    set_random_state,
)

EPOCHS, CLIPS, BATCH = 4, 8, 4
MEASURED = ('train/loss', 'train/lr', 'val/score')


class Stop(Exception):
    """Stands for the end of a process."""


class StopHook(Hook):
    """Stops a run before an iteration of training or of validation."""

    def __init__(self, train_iter=None, val_epoch=None):
        self.train_iter, self.val_epoch = train_iter, val_epoch

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.train_iter:
            raise Stop

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == self.val_epoch:
            raise Stop


class Clips(torch.utils.data.Dataset):
    metainfo = {'label_space': 'toy', 'classes': ['a', 'b'], 'clips': ['c0', 'c1']}

    def __len__(self):
        return CLIPS

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        return {'inputs': torch.from_numpy(rng.normal(size=6).astype('float32'))}


class Net(BaseModel):
    """Has all that randomness and state can hide in: drop-out and batch norm."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5)
        )
        self.cls_head = nn.Linear(8, 2)

    def forward(self, inputs, mode='tensor'):
        scores = self.cls_head(self.layers(inputs))
        if mode == 'loss':
            noise = random.random() + np.random.rand()
            return {'loss': scores.square().mean() * (1 + noise)}
        return list(scores)


class Score(BaseMetric):
    """Best at the second epoch, so that forgetting it would show."""

    def process(self, data_batch, data_samples):
        self.results += [float(score.sum()) for score in data_samples]

    def compute_metrics(self, results):
        return {'score': np.float64(np.mean(results))}


def make_runner(
    work_dir,
    *,
    stop=None,
    resume=False,
    workers=0,
    cfg=None,
    by_epoch=True,
    custom_hooks=(),
):
    torch.manual_seed(0)
    loader = {
        'dataset': Clips(),
        'batch_size': BATCH,
        'num_workers': workers,
        'persistent_workers': workers > 0,
        'collate_fn': {'type': 'default_collate'},
    }
    checkpoint = {'type': 'PlainCheckpointHook', 'interval': 1}
    checkpoint |= {'save_best': 'score', 'rule': 'less', 'max_keep_ckpts': 1}
    checkpoint['by_epoch'] = by_epoch
    hooks = [{'type': 'SeedHook'}, *custom_hooks]
    length = {'max_epochs': EPOCHS} if by_epoch else {'max_iters': EPOCHS * 2}
    return Runner(
        model=Net(),
        work_dir=str(work_dir),
        train_dataloader={**loader, 'sampler': {'type': 'DefaultSampler'}},
        train_cfg={'by_epoch': by_epoch, 'val_interval': 1 if by_epoch else 2, **length},
        val_dataloader={
            **loader,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        },
        val_evaluator=Evaluator(Score()),
        val_cfg={},
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 0.05}},
        param_scheduler=[
            {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'end': 3},
            {'type': 'CosineAnnealingLR', 'T_max': EPOCHS, 'eta_min': 1e-3},
        ],
        default_hooks={'checkpoint': checkpoint, 'logger': {'type': 'LoggerHook'}},
        custom_hooks=hooks + ([StopHook(**stop)] if stop else []),
        randomness={'seed': 3},
        resume=resume,
        log_level='ERROR',
        default_scope='mmma',
        experiment_name=f'{work_dir.name}-{random.SystemRandom().random()}',
        cfg=Config(cfg or {}),
    )


def train(work_dir, **kwargs):
    """Train, and return the last checkpoint."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        runner = make_runner(work_dir, **kwargs)
        if kwargs.get('stop'):
            with pytest.raises(Stop):
                runner.train()
            return None
        runner.train()
    return load_weights_file((work_dir / 'last_checkpoint').read_text())


def assert_equal(left, right, where=''):
    """Equal bit for bit, at any depth."""
    assert type(left) is type(right), where
    if isinstance(left, dict):
        assert list(left) == list(right), where
        for key in left:
            assert_equal(left[key], right[key], f'{where}.{key}')
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), where
        for i, pair in enumerate(zip(left, right, strict=True)):
            assert_equal(*pair, f'{where}.{i}')
    elif isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype, where
        assert torch.equal(left, right), where
    else:
        assert left == right, where


def comparable(checkpoint):
    """A checkpoint without what tells the time or the folder."""
    hub = checkpoint['message_hub']
    kept = {k: v for k, v in checkpoint.items() if k not in ('message_hub', 'meta')}
    kept['log'] = {k: hub['log_scalars'][k] for k in MEASURED}
    kept['best_score'] = hub['runtime_info']['best_score']
    kept['best'] = hub['runtime_info']['best_ckpt'].rsplit('/')[-1]
    kept['random_state'] = checkpoint['meta']['random_state']
    return kept


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
    return train(tmp_path_factory.mktemp('whole'))


@pytest.mark.parametrize(
    'stop',
    [
        pytest.param({'train_iter': 4}, id='between epochs'),
        pytest.param({'train_iter': 5}, id='within an epoch'),
        pytest.param({'val_epoch': 2}, id='in validation'),
    ],
)
def test_resumed_run_equals_a_run_not_interrupted(tmp_path, uninterrupted, stop):
    train(tmp_path, stop=stop)
    resumed = train(tmp_path, resume=True)
    assert resumed['meta']['epoch'] == EPOCHS
    assert_equal(comparable(resumed), comparable(uninterrupted))


def test_workers_change_nothing(tmp_path, uninterrupted):
    train(tmp_path, workers=2, stop={'train_iter': 4})
    resumed = train(tmp_path, workers=2, resume=True)
    # Data loaders with workers draw seeds for them, which nothing here reads.
    left, right = comparable(resumed), comparable(uninterrupted)
    assert_equal(left | {'random_state': None}, right | {'random_state': None})


def test_averaged_weights_are_resumed(tmp_path):
    hooks = {'custom_hooks': [{'type': 'EMAHook', 'momentum': 0.1}]}
    whole = train(tmp_path / 'whole', **hooks)
    train(tmp_path / 'parts', stop={'train_iter': 5}, **hooks)
    resumed = train(tmp_path / 'parts', resume=True, **hooks)
    average = whole['state_dict']['cls_head.weight']
    assert not average.equal(whole['ema_state_dict']['module.cls_head.weight'])
    assert_equal(comparable(resumed), comparable(whole))


@pytest.mark.parametrize('stop', [{'train_iter': 5}, {'val_epoch': 0}])
def test_runs_by_iteration_are_resumed(tmp_path, stop, monkeypatch):
    monkeypatch.setattr(time, 'sleep', lambda _: None)  # MMEngine waits 2 s per epoch
    whole = train(tmp_path / 'whole', by_epoch=False)
    train(tmp_path / 'parts', by_epoch=False, stop=stop)
    resumed = train(tmp_path / 'parts', by_epoch=False, resume=True)
    assert_equal(comparable(resumed), comparable(whole))


def test_only_the_newest_and_the_best_stay(tmp_path):
    train(tmp_path)
    names = sorted(p.name for p in tmp_path.glob('*.pth'))
    assert names[-1] == f'epoch_{EPOCHS}.pth'
    assert [n.split('_')[0] for n in names] == ['best', 'epoch']
