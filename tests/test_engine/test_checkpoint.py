import functools
import logging
import os
import random
import shutil
import time
import warnings

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import Runner
from torch import nn

from mmma.checkpoints import load_weights_file, to_plain
from mmma.engine.checkpoint import (
    AtomicLocalBackend,
    get_random_state,
    set_random_state,
)
from mmma.layout.root import DataRoot

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
        # Lowest at the second epoch, so that forgetting the best would show.
        distance = (self.layers[1].num_batches_tracked - 4).abs()
        return list(scores.sum(dim=1) / 1000 + distance)


class Score(BaseMetric):
    """Mean of what the model gives, in numpy's type."""

    def process(self, data_batch, data_samples):
        self.results += [float(score) for score in data_samples]

    def compute_metrics(self, results):
        return {'score': np.mean(results)}


def make_runner(
    work_dir,
    *,
    stop=None,
    resume=False,
    workers=0,
    cfg=None,
    by_epoch=True,
    custom_hooks=(),
    wrapper='OptimWrapper',
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
        train_cfg={
            'by_epoch': by_epoch,
            'val_interval': 1 if by_epoch else 2,
            **length,
        },
        val_dataloader={
            **loader,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        },
        val_evaluator=Evaluator(Score()),
        val_cfg={},
        optim_wrapper={'type': wrapper, 'optimizer': {'type': 'AdamW', 'lr': 0.05}},
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
        try:
            runner.train()
        except Stop:
            assert kwargs.get('stop')
        finally:
            stop_workers(runner)
    return load_weights_file((work_dir / 'last_checkpoint').read_text())


def stop_workers(runner):
    """Without this the garbage collector waits 5 s for each worker."""
    for loader in (runner.train_dataloader, runner.val_dataloader):
        if loader._iterator is not None:
            loader._iterator._shutdown_workers()


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


def test_loss_scale_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    scaler = functools.partial(torch.amp.GradScaler, 'cpu', growth_interval=3)
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', scaler)
    whole = train(tmp_path / 'whole', wrapper='AmpOptimWrapper')
    train(tmp_path / 'parts', wrapper='AmpOptimWrapper', stop={'train_iter': 5})
    resumed = train(tmp_path / 'parts', wrapper='AmpOptimWrapper', resume=True)
    assert whole['optimizer']['loss_scaler']['scale'] == 2**18  # grew twice in 8 steps
    assert_equal(comparable(resumed), comparable(whole))


@pytest.mark.parametrize('stop', [{'train_iter': 5}, {'val_epoch': 0}])
def test_runs_by_iteration_are_resumed(tmp_path, stop, monkeypatch):
    monkeypatch.setattr(time, 'sleep', lambda _: None)  # MMEngine waits 2 s per epoch
    whole = train(tmp_path / 'whole', by_epoch=False)
    train(tmp_path / 'parts', by_epoch=False, stop=stop)
    resumed = train(tmp_path / 'parts', by_epoch=False, resume=True)
    assert_equal(comparable(resumed), comparable(whole))


def test_only_the_newest_and_the_best_stay(tmp_path, uninterrupted):
    train(tmp_path)
    best = comparable(uninterrupted)['best']
    assert sorted(p.name for p in tmp_path.glob('*.pth')) == [best, 'epoch_4.pth']
    assert best == 'best_score_epoch_2.pth'


def test_selection_is_noted(tmp_path, video_root):
    cfg = {
        'protocol': {'name': 'zeroshot', 'target': ['street']},
        'data_root': str(video_root),
        'pretrain_data': 'K400',
    }
    last = train(tmp_path, cfg=cfg)['meta']
    best = load_weights_file(next(tmp_path.glob('best_*')))['meta']
    assert last['selected_on'] is None
    assert best['selected_on'] == {
        'subset': 'val',
        'domains': ['lab'],
        'metric': 'score',
    }
    for meta in (last, best):
        assert meta['protocol']['train_domains'] == ['lab']
        assert meta['data']['name'] == DataRoot(video_root).info.name
        assert meta['data']['fingerprint'] == DataRoot(video_root).fingerprint()
        assert (meta['label_space'], meta['classes']) == ('toy', ['a', 'b'])
        assert meta['pretrain_data'] == 'K400'
        assert 'dataset_meta' not in meta


def test_lists_of_clips_stay_out(uninterrupted):
    hub = uninterrupted['message_hub']
    assert 'dataset_meta' not in hub['runtime_info']
    assert set(hub['resumed_keys']) <= set(hub['runtime_info']) | set(
        hub['log_scalars']
    )
    assert "'c0'" not in str(uninterrupted)


def test_resuming_on_other_data_is_told(tmp_path, video_root, caplog):
    root = shutil.copytree(video_root, tmp_path / 'root')
    cfg = {'data_root': str(root)}
    train(tmp_path / 'run', cfg=cfg, stop={'train_iter': 4})
    table = (root / 'rec.csv').read_text().splitlines(keepends=True)
    (root / 'rec.csv').write_text(''.join(table[:-1]))
    with caplog.at_level(logging.WARNING):
        runner = make_runner(tmp_path / 'run', cfg=cfg, resume=True)
        runner.logger.addHandler(caplog.handler)
        runner.train()
    assert 'resuming on other data: the run began with' in caplog.text
    assert 'FileClient' not in caplog.text


def test_checkpoints_start_another_run(tmp_path, uninterrupted):
    runner = make_runner(tmp_path)
    path = tmp_path / 'a.pth'
    torch.save(uninterrupted, path)
    runner.load_checkpoint(str(path))
    for name, value in uninterrupted['state_dict'].items():
        assert value.equal(runner.model.state_dict()[name])


def test_text_in_a_checkpoint_is_not_run(tmp_path, uninterrupted):
    # MMEngine reads meta['config'] as Python when it resumes.
    evil = f'open({str(tmp_path / "ran")!r}, "w")'
    uninterrupted['meta']['config'] = evil
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    torch.save(uninterrupted, work_dir / 'a.pth')
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'a.pth'))
    train(work_dir, resume=True)
    assert not (tmp_path / 'ran').exists()


def test_files_are_written_whole(tmp_path, monkeypatch):
    path = tmp_path / 'a' / 'b.pth'
    backend = AtomicLocalBackend()
    backend.put(b'first', path)

    def fail(_):
        raise OSError('disk full')

    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(OSError, match='disk full'):
        backend.put(b'second', path)
    assert path.read_bytes() == b'first'
    assert list(path.parent.iterdir()) == [path]


def test_random_states_are_put_back():
    state = to_plain(get_random_state())
    drawn = [random.random(), np.random.rand(), torch.rand(1)]
    set_random_state(state)
    assert drawn == [random.random(), np.random.rand(), torch.rand(1)]
