"""Hooks: checkpoints, averages, classes, seeds, unreadable clips."""

import functools
import logging
import os
import random
import shutil
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from adapter_runs import make_runner, pretrained_file, train
from mmaction.structures import ActionDataSample
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from mmma.apis import load_config
from mmma.checkpoints import load_weights_file, to_plain
from mmma.checkpoints.files import frozen_names
from mmma.data.arrays import SkeletonWriter
from mmma.data.clips import Clip, write_rec
from mmma.data.joints import WHOLEBODY65
from mmma.data.root import DataRoot, DatasetInfo, write_info
from mmma.engine import hooks
from mmma.engine.hooks import (
    AtomicLocalBackend,
    PlainCheckpointHook,
    SeedHook,
    TrainedEMAHook,
    get_random_state,
    seed_everything,
    set_random_state,
    tell_classes,
)
from mmma.engine.run import Run, TestOptions, TrainOptions, open_run
from mmma.engine.test import load_runner, score_protocol
from mmma.engine.train import build_trainer, latest_checkpoint
from mmma.engine.weights import StartFrom, Weights, starting_weights, with_frozen
from mmma.evaluation.recognition import BODY_SCORES
from mmma.evaluation.rows import body_variants
from mmma.protocols import make_protocol
from mmma.registry import HOOKS
from mmma.taxonomy import load_label_space


def batch(*broken):
    samples = [
        ActionDataSample(metainfo={'broken': name} if name else {}) for name in broken
    ]
    return {'inputs': [], 'data_samples': samples}


def test_replaced_clips_are_told_after_the_epoch(monkeypatch):
    said = []
    runner = SimpleNamespace(epoch=2, logger=SimpleNamespace(warning=said.append))
    hook = HOOKS.build({'type': 'BrokenClipHook'})
    hook.after_train_iter(runner, 0, batch('b', None, 'a'))
    hook.after_train_iter(runner, 1, batch(None, 'b'))
    assert said == []
    hook.after_train_epoch(runner)
    assert said[0].startswith('2 broken clips were replaced in epoch 3: a, b; `tools/')
    hook.after_train(runner)  # told before
    assert len(said) == 1
    hook.after_train_iter(runner, 0, batch(*'gfedcba'))
    hook.after_train(runner)
    assert said[1].startswith('7 broken clips were replaced in training: a, b, c, d, ')
    assert 'e, ...;' in said[1]
    others = [{'z'}, {'a', 'y'}]  # of other processes
    monkeypatch.setattr(hooks, 'all_gather_object', lambda own: [own, *others])
    hook.after_train_iter(runner, 0, batch('a'))
    hook.after_train_epoch(runner)
    assert ' in epoch 3: a, y, z;' in said[2]


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


def make_small_runner(
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
    runner = Runner(
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
    if cfg:
        run = Run(
            runner.cfg, make_protocol(cfg['protocol']), DataRoot(cfg['data_root'])
        )
        next(h for h in runner.hooks if isinstance(h, PlainCheckpointHook)).run = run
    return runner


def train_small(work_dir, **kwargs):
    """Train, and return the last checkpoint."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        runner = make_small_runner(work_dir, **kwargs)
        try:
            runner.train()
        except Stop:
            assert kwargs.get('stop')
        finally:
            stop_workers(runner)
    return load_weights_file(latest_checkpoint(work_dir))


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
    return train_small(tmp_path_factory.mktemp('whole'))


@pytest.mark.parametrize(
    'stop',
    [
        pytest.param({'train_iter': 4}, id='between epochs'),
        pytest.param({'train_iter': 5}, id='within an epoch'),
        pytest.param({'val_epoch': 2}, id='in validation'),
    ],
)
def test_a_resumed_run_equals_one_not_interrupted(tmp_path, uninterrupted, stop):
    train_small(tmp_path, stop=stop)
    resumed = train_small(tmp_path, resume=True)
    assert resumed['meta']['epoch'] == EPOCHS
    assert_equal(comparable(resumed), comparable(uninterrupted))
    # Only the newest and the best file stay.
    best = comparable(uninterrupted)['best']
    assert best == 'best_score_epoch_2.pth'
    assert sorted(p.name for p in tmp_path.glob('*.pth')) == [best, 'epoch_4.pth']


def test_workers_change_nothing(tmp_path, uninterrupted):
    train_small(tmp_path, workers=2, stop={'train_iter': 4})
    resumed = train_small(tmp_path, workers=2, resume=True)
    # Data loaders with workers draw seeds for them, which nothing here reads.
    left, right = comparable(resumed), comparable(uninterrupted)
    assert_equal(left | {'random_state': None}, right | {'random_state': None})


def test_loss_scale_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    scaler = functools.partial(torch.amp.GradScaler, 'cpu', growth_interval=3)
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', scaler)
    whole = train_small(tmp_path / 'whole', wrapper='AmpOptimWrapper')
    train_small(tmp_path / 'parts', wrapper='AmpOptimWrapper', stop={'train_iter': 5})
    resumed = train_small(tmp_path / 'parts', wrapper='AmpOptimWrapper', resume=True)
    assert whole['optimizer']['loss_scaler']['scale'] == 2**18  # grew twice in 8 steps
    assert_equal(comparable(resumed), comparable(whole))


@pytest.mark.parametrize('stop', [{'train_iter': 5}, {'val_epoch': 0}])
def test_runs_by_iteration_are_resumed(tmp_path, stop, monkeypatch):
    monkeypatch.setattr(time, 'sleep', lambda _: None)  # MMEngine waits 2 s per epoch
    whole = train_small(tmp_path / 'whole', by_epoch=False)
    train_small(tmp_path / 'parts', by_epoch=False, stop=stop)
    resumed = train_small(tmp_path / 'parts', by_epoch=False, resume=True)
    assert_equal(comparable(resumed), comparable(whole))


def test_selection_is_noted(tmp_path, video_root):
    cfg = {
        'protocol': {'name': 'zeroshot', 'target': ['street']},
        'data_root': str(video_root),
        'pretrain_data': 'K400',
    }
    last = train_small(tmp_path, cfg=cfg)['meta']
    best = load_weights_file(next(tmp_path.glob('best_*')))['meta']
    assert last['selected_on'] is None
    selected = {'subset': 'val', 'domains': ['lab'], 'metric': 'score'}
    assert best['selected_on'] == selected
    assert 'is seen in another way than tests are' in best['calibration']['why_not']
    assert 'calibration' not in last
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
    cfg = {'protocol': {'name': 'zeroshot'}, 'data_root': str(root)}
    train_small(tmp_path / 'run', cfg=cfg, stop={'train_iter': 4})
    table = (root / 'rec.csv').read_text().splitlines(keepends=True)
    (root / 'rec.csv').write_text(''.join(table[:-1]))
    with caplog.at_level(logging.WARNING):
        runner = make_small_runner(tmp_path / 'run', cfg=cfg, resume=True)
        runner.logger.addHandler(caplog.handler)
        runner.train()
    assert 'resuming on other data: the run began with' in caplog.text


def test_checkpoints_that_name_no_arrays_are_of_the_same_data(
    tmp_path, video_root, caplog
):
    root = shutil.copytree(video_root, tmp_path / 'root')
    cfg = {'protocol': {'name': 'zeroshot'}, 'data_root': str(root)}
    train_small(tmp_path / 'run', cfg=cfg, stop={'train_iter': 4})
    (root / 'skeletons').mkdir()
    (root / 'skeletons' / 'rec.npy').write_bytes(b'x')
    with caplog.at_level(logging.WARNING):
        runner = make_small_runner(tmp_path / 'run', cfg=cfg, resume=True)
        runner.logger.addHandler(caplog.handler)
        runner.train()
    assert 'resuming on other data' not in caplog.text


def test_checkpoints_start_another_run(tmp_path, uninterrupted):
    runner = make_small_runner(tmp_path)
    path = tmp_path / 'a.pth'
    torch.save(uninterrupted, path)
    runner.load_checkpoint(str(path))
    for name, value in uninterrupted['state_dict'].items():
        assert value.equal(runner.model.state_dict()[name])


def test_the_best_goes_after_the_next_is_there(tmp_path, monkeypatch, uninterrupted):
    events, write = [], hooks.write_file

    def noted(path, content):
        events.append((path.name, sorted(p.name for p in tmp_path.glob('best_*'))))
        write(path, content)

    monkeypatch.setattr(hooks, 'write_file', noted)
    train_small(tmp_path)
    best = {name: there for name, there in events if name.startswith('best')}
    assert list(best) == ['best_score_epoch_1.pth', 'best_score_epoch_2.pth']
    assert best['best_score_epoch_2.pth'] == ['best_score_epoch_1.pth']
    assert [p.name for p in tmp_path.glob('best_*')] == ['best_score_epoch_2.pth']


def test_a_kill_while_the_best_is_written_leaves_the_last_best(tmp_path, monkeypatch):
    write = hooks.write_file

    def fail(path, content):
        if path.name == 'best_score_epoch_2.pth':
            raise Stop
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(hooks, 'write_file', fail)
        train_small(tmp_path, stop={'train_iter': 99})
    assert [p.name for p in tmp_path.glob('best_*')] == ['best_score_epoch_1.pth']
    (tmp_path / 'best_score_epoch_2.pth').touch()  # as if killed with both there
    resumed = train_small(tmp_path, resume=True)
    assert comparable(resumed)['best'] == 'best_score_epoch_2.pth'
    assert [p.name for p in tmp_path.glob('best_*')] == ['best_score_epoch_2.pth']


def test_text_in_a_checkpoint_is_not_run(tmp_path, uninterrupted):
    # MMEngine reads meta['config'] as Python when it resumes.
    evil = f'open({str(tmp_path / "ran")!r}, "w")'
    uninterrupted['meta']['config'] = evil
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    torch.save(uninterrupted, work_dir / 'a.pth')
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'a.pth'))
    train_small(work_dir, resume=True)
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
    backend.remove(path)  # when the next is there, which cannot be written
    with pytest.raises(OSError, match='disk full'):
        backend.put(b'next', path.with_name('c.pth'))
    monkeypatch.undo()
    backend.put(b'of another run', tmp_path / 'd.pth')
    assert list(path.parent.iterdir()) == [path]


def test_random_states_are_put_back():
    state = to_plain(get_random_state())
    drawn = [random.random(), np.random.rand(), torch.rand(1)]
    set_random_state(state)
    assert drawn == [random.random(), np.random.rand(), torch.rand(1)]


SPACE = load_label_space('mma82')
MOVED = 20  # an action to which the data give another body group than the taxonomy
ROWS = [
    *(('lab', 'train', action) for action in (0, 0, 0, 7, MOVED, None)),
    *(('street', 'train', action) for action in (7, 7)),
    *(('lab', subset, a) for subset in ('val', 'test') for a in (0, 7, MOVED)),
]


def body_of(action):
    return (SPACE.body_of[action] + (action == MOVED)) % SPACE.num_bodies


@pytest.fixture(scope='module')
def moved_root(tmp_path_factory):
    """A data root of skeletons with one action in another body group."""
    folder = tmp_path_factory.mktemp('skeleton_root')
    rng = np.random.default_rng(0)
    clips = []
    with SkeletonWriter(folder, 'rec', WHOLEBODY65) as writer:
        for i, (domain, subset, action) in enumerate(ROWS):
            body = None if action is None else body_of(action)
            clips.append(Clip(f'c{i:02}', '', subset, domain, f's{i}', action, body))
            place = rng.uniform(20, 200, (1, 12, 65, 2))
            writer.append(f'c{i:02}', place, np.ones((1, 12, 65)), 30, 320, 240)
    write_rec(folder / 'rec.csv', clips, SPACE)
    write_info(folder, DatasetInfo('skeletons', 'mma82', simulated=True))
    return folder


def config(root, **flags):
    path = 'configs/recog/skeletontcn-tiny_mma82_indomain.py'
    cfg = load_config(path, flags, data_root=str(root))
    cfg.model.cls_head.update(
        body=dict(loss_weight=0.5),
        loss_cls=dict(type='LogitAdjustedCrossEntropy'),
    )
    return cfg


def expected_map():
    return [body_of(action) for action in range(SPACE.num_actions)]


@pytest.fixture(scope='module')
def trained(moved_root, tmp_path_factory):
    work_dir = str(tmp_path_factory.mktemp('work'))
    options = TrainOptions(work_dir=work_dir, fast_dev_run=True)
    runner = build_trainer(open_run(config(moved_root, domain='lab'), options=options))
    runner.train()
    return runner, latest_checkpoint(runner.work_dir)


def test_training_counts_the_clips_that_it_may_use(trained):
    head = trained[0].model.cls_head
    counts = head.loss_cls.class_counts
    assert {k: int(counts[k]) for k in counts.nonzero()[:, 0].tolist()} == {
        0: 3, 7: 1, MOVED: 1
    }  # fmt: skip
    assert head.body_of.tolist() == expected_map()


def test_testing_tells_the_map_but_not_the_truth(moved_root, trained, tmp_path):
    options = TestOptions(work_dir=str(tmp_path))
    run = open_run(config(moved_root, domain='lab'), options=options)
    runner, _ = load_runner(run, trained[1], options)
    head = runner.model.cls_head
    assert head.body_of.tolist() == expected_map()
    assert len(head.loss_cls.class_counts) == 0
    stored = trained[0].model.cls_head.fc_body.weight
    assert torch.equal(head.fc_body.weight, stored)
    clips = DataRoot(moved_root).read_rec()
    (scored,) = score_protocol(run, runner)
    space = SPACE.with_body_of(expected_map())
    variants = body_variants(scored.table, space, 'head')
    assert set(variants) == set(BODY_SCORES)
    tested = [c for c in clips if c.subset == 'test']
    assert variants['head'].shape == (len(tested), SPACE.num_bodies)
    np.testing.assert_allclose(variants['head'].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(scored.table.scores.sum(axis=1), 1, rtol=1e-5)


class Listening(nn.Module):
    def set_classes(self, dataset_meta):
        self.heard = dataset_meta


def test_every_part_is_told_through_wrappers():
    inner = Listening()
    wrapped = nn.DataParallel(nn.Sequential(nn.Linear(1, 1), inner))
    for training, heard in ((True, dict(labels=[0])), (False, {})):
        tell_classes(wrapped, dict(classes=['a'], labels=[0]), training)
        assert inner.heard == dict(classes=['a'], **heard)


DECAY = 0.75
AVERAGED = dict(hooks=[dict(type='TrainedEMAHook', decay=DECAY)])
NAME = 'rpn_head.cls_head.weight'


@pytest.fixture
def scope():
    HOOKS.get('TrainedEMAHook')
    with DefaultScope.overwrite_default_scope('mmma'):
        yield


class Watch(Hook):
    """Keeps a weight after each iteration, and in validation."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.steps, self.validated = [], []

    def _now(self, runner):
        return runner.model.state_dict()[NAME].clone()

    def before_train(self, runner):
        self.start = self._now(runner)

    def after_train_iter(self, runner, *args, **kwargs):
        self.steps.append(self._now(runner))

    def before_val_iter(self, runner, *args, **kwargs):
        self.validated.append(self._now(runner))


def test_averages_are_validated_and_saved(tmp_path, scope):
    watch = Watch()
    runner, saved = train(tmp_path, start=watch, **AVERAGED)
    average, averages = watch.start, []
    for value in watch.steps:
        average = DECAY * average + (1 - DECAY) * value
        averages.append(average)
    torch.testing.assert_close(watch.validated[0], averages[1])
    torch.testing.assert_close(watch.validated[-1], averages[-1])
    torch.testing.assert_close(saved['state_dict'][NAME], averages[-1])
    assert torch.equal(saved['ema_state_dict'][f'module.{NAME}'], watch.steps[-1])
    assert torch.equal(runner.model.state_dict()[NAME], watch.steps[-1])


def test_only_trained_parameters_are_averaged(tmp_path, scope):
    runner, saved = train(tmp_path, **AVERAGED)
    trained = {n for n, p in runner.model.named_parameters() if p.requires_grad}
    names = {n.removeprefix('module.') for n in saved['ema_state_dict']}
    assert names == trained
    last = saved['ema_state_dict'].items()
    last = {**saved['state_dict'], **{n.removeprefix('module.'): v for n, v in last}}
    assert set(last) == set(runner.model.state_dict())
    for name, value in runner.model.state_dict().items():
        assert torch.equal(last[name], value), name


def test_a_checkpoint_without_averages_is_told(tmp_path, scope, caplog):
    train(tmp_path, hooks=[], stop=3)
    runner = make_runner(tmp_path, resume=True, **AVERAGED)
    runner.logger.addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING):
        runner.train()
    assert 'has no averages: they start from its weights' in caplog.text


def test_bad_decays_are_refused():
    for decay in (0, 1, 1.5):
        with pytest.raises(ValueError, match='decay of TrainedEMAHook is'):
            TrainedEMAHook(decay)


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def drawn_at(hook, iteration):
    hook.before_train_iter(SimpleNamespace(seed=3, iter=iteration), 0)
    return draw()


def test_draws_depend_on_seed_rank_and_iteration_alone(monkeypatch):
    first = drawn_at(SeedHook(), 7)
    draw()
    assert drawn_at(SeedHook(), 8) != first
    assert drawn_at(SeedHook(), 7) == first
    assert drawn_at(SeedHook(seed=4), 7) != first
    monkeypatch.setattr(hooks, 'get_rank', lambda: 1)
    assert drawn_at(SeedHook(), 7) != first


def test_every_generator_follows_the_keys():
    for left, right in (((0, 1), (1, 0)), ((0,), (0, 0)), ((2**40,), (0,))):
        seed_everything(*left)
        first = draw()
        seed_everything(*right)
        assert all(a != b for a, b in zip(first, draw(), strict=True))
        seed_everything(*left)
        assert draw() == first


TRAINED_ONLY = dict(
    hooks=[dict(type='TrainedOnlyHook'), dict(type='TrainedEMAHook', decay=0.5)]
)


@pytest.fixture
def recipe(tmp_path, monkeypatch, scope):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path))
    return pretrained_file(tmp_path / 'checkpoints')


def start(recipe):
    cfg = ConfigDict(pretrained=recipe)
    return StartFrom(starting_weights(cfg, None, pretrained=True))


def run(tmp_path, recipe, **kwargs):
    return train(
        tmp_path,
        start=start(recipe),
        pretrained=recipe,
        **TRAINED_ONLY,
        **kwargs,
    )


def as_read(checkpoint):
    return Weights(Path('epoch_3.pth'), checkpoint, 'noise')


def test_frozen_weights_are_left_out_and_found_again(tmp_path, recipe):
    runner, saved = run(tmp_path / 'run', recipe)
    names = frozen_names(runner.model)
    assert names
    assert not set(names) & set(saved['state_dict'])
    assert saved['meta']['frozen']['count'] == len(names)
    assert saved['meta']['frozen']['source'] == 'vit.pth'
    other = make_runner(tmp_path / 'other', pretrained=recipe, **TRAINED_ONLY)
    whole = with_frozen(other.model, as_read(saved), other.cfg)
    other.model.load_state_dict(whole.content['state_dict'])
    expected = runner.model.state_dict()
    for name in names:
        assert torch.equal(other.model.state_dict()[name], expected[name]), name


def test_a_resumed_run_of_trained_weights_equals_one_not_interrupted(tmp_path, recipe):
    _, whole = run(tmp_path / 'whole', recipe)
    run(tmp_path / 'parts', recipe, stop=3)
    _, resumed = train(
        tmp_path / 'parts', resume=True, pretrained=recipe, **TRAINED_ONLY
    )
    assert resumed['meta']['epoch'] == 3
    assert resumed['meta']['frozen'] == whole['meta']['frozen']
    for part in ('state_dict', 'ema_state_dict', 'optimizer'):
        assert_equal(resumed[part], whole[part])


def test_all_is_saved_without_the_weights_of_a_recipe(tmp_path, recipe):
    runner, saved = train(tmp_path / 'plain', **TRAINED_ONLY)
    assert set(saved['state_dict']) == set(runner.model.state_dict())
    assert 'frozen' not in saved['meta']
    whole = as_read(saved)
    assert with_frozen(runner.model, whole, runner.cfg) is whole
    # So is where nothing is frozen.
    runner, saved = run(tmp_path / 'run', recipe, frozen=False)
    assert set(saved['state_dict']) == set(runner.model.state_dict())


def test_a_run_that_starts_from_such_a_checkpoint_leaves_them_out_too(tmp_path, recipe):
    _, first = run(tmp_path / 'first', recipe)
    _, second = train(
        tmp_path / 'second',
        start=StartFrom(as_read(first)),
        pretrained=recipe,
        **TRAINED_ONLY,
    )
    assert second['meta']['frozen'] == first['meta']['frozen']
    assert list(second['state_dict']) == list(first['state_dict'])


def test_other_frozen_weights_are_an_error(tmp_path, recipe):
    runner, saved = run(tmp_path / 'run', recipe)
    pretrained_file(tmp_path / 'checkpoints', seed=6)
    with pytest.raises(ValueError, match='was trained on other frozen weights'):
        with_frozen(runner.model, as_read(saved), runner.cfg)


def test_a_config_without_pretrained_weights_is_an_error(tmp_path, recipe):
    runner, saved = run(tmp_path / 'run', recipe)
    runner.cfg.pretrained = None
    with pytest.raises(ValueError, match=r'epoch_3\.pth leaves out its .* of vit\.pth'):
        with_frozen(runner.model, as_read(saved), runner.cfg)
