"""Scoring a detector under a protocol, and streaming a long video through it."""

import gc
import json
import shutil
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from adapter_runs import StopAfter
from fewshot_runs import TINY, make_run
from video_files import make_video_root

from mmma.apis import load_config
from mmma.cli import main
from mmma.cli import test as command
from mmma.data.clips import write_rec
from mmma.data.root import DataRoot
from mmma.data.videos import Video
from mmma.engine import features
from mmma.engine.features import FeatureSource
from mmma.engine.fewshot import adapt_linear, source_classifier
from mmma.engine.run import TestOptions, TrainOptions, open_run
from mmma.engine.test import detect_videos, load_runner, score_protocol, summarize
from mmma.engine.train import latest_checkpoint, train
from mmma.evaluation.recognition import (
    class_prior,
    fuse_body_scores,
    reweight_by_prior,
)
from mmma.evaluation.rows import DetectionOptions, Group, group_rows
from mmma.registry import DATASETS
from mmma.structures.samples import WindowMerger
from mmma.structures.segments import Segments
from mmma.taxonomy import load_label_space

DETECTOR = 'configs/det/skeletondet-tiny_mma82.py'


@pytest.fixture(scope='module')
def root(det_root, tmp_path_factory):
    """The small root, all truth known."""
    folder = tmp_path_factory.mktemp('known') / 'root'
    shutil.copytree(det_root, folder)
    table = json.loads((folder / 'det.json').read_text())
    table['database']['lab_test_1']['annotations'] = []
    (folder / 'det.json').write_text(json.dumps(table))
    return folder


def config(root, window=None, **flags):
    cfg = load_config(DETECTOR, flags, data_root=str(root))
    for subset in ('train', 'val', 'test'):
        loader = cfg[f'{subset}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.window.update(window or dict(positions=32))
    cfg.model.backbone.channels = (8, 8, 8, 8)
    cfg.model.projection.update(in_channels=8, out_channels=8)
    cfg.model.neck.in_channels = 8
    cfg.model.head.update(in_channels=8, feat_channels=8)
    return cfg


@pytest.fixture(scope='module')
def trained(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    options = TrainOptions(work_dir=str(folder), fast_dev_run=True)
    run = open_run(config(root, protocol='zeroshot'), options=options)
    return latest_checkpoint(train(run, options).work_dir)


def opened(cfg, checkpoint, folder):
    options = TestOptions(work_dir=str(folder))
    run = open_run(cfg, options=options)
    return run, load_runner(run, checkpoint, options)[0]


def scored(root, checkpoint, folder, **flags):
    run, runner = opened(config(root, **flags), checkpoint, folder)
    return runner, score_protocol(run, runner)


def rows_of(groups, root):
    options = DetectionOptions(body_rule='before nms')
    space = DataRoot(root).label_space()
    return group_rows(groups, DataRoot(root).read_det(), space, options)


def test_one_group_indomain_and_one_per_target(root, trained, tmp_path):
    _, (joint,) = scored(root, trained, tmp_path, protocol='indomain')
    assert joint.labels == {'domain': 'all'}
    assert joint.names == ('lab_test_0', 'lab_test_1', 'street_test_0')
    rows = [row for _, row in rows_of([joint], root)]
    assert [r['domain'] for r in rows] == ['all', 'lab', 'street']
    assert [r['counts']['videos'] for r in rows] == [3, 2, 1]
    flags = dict(protocol='zeroshot', target=['street'])
    _, (street,) = scored(root, trained, tmp_path, **flags)
    assert street.labels == {'target': 'street'}
    assert street.names == ('street_test_0',)
    ((labels, row),) = rows_of([street], root)
    assert labels == street.labels
    assert row['metrics'] == rows[2]['metrics']


def test_a_target_in_which_nothing_happens():
    space = load_label_space('mma82')
    videos = [Video('v', '', 'test', 'street', 's', 10.0, 20, 2.0)]
    nothing = {k: Segments([], [], [], names=('v',)) for k in ('action', 'body')}
    group = Group({'target': 'street'}, nothing)
    with pytest.raises(ValueError, match=r"street'.: there is no instance in its 1"):
        group_rows([group], videos, space, DetectionOptions())
    videos = [Video('v', '', 'test', 'street', 's', 10.0, 20, 2.0, withheld=True)]
    with pytest.raises(ValueError, match=r"annotations of 1 videos are withheld .*'v'"):
        group_rows([group], videos, space, DetectionOptions())


def test_short_runs_take_videos_in_which_something_happens(root):
    cfg = open_run(config(root), options=TrainOptions(fast_dev_run=True)).cfg
    assert cfg.test_dataloader.dataset.videos == ['lab_test_0', 'street_test_0']


def resumable(root, folder, resume=False, hooks=()):
    cfg = config(root, protocol='zeroshot')
    cfg.train_cfg.update(max_epochs=2, val_interval=1)
    cfg.param_scheduler = [dict(type='CosineAnnealingLR', T_max=2, by_epoch=True)]
    cfg.custom_hooks.append(dict(type='EMAHook', momentum=0.1))
    cfg.custom_hooks += hooks
    options = TrainOptions(str(folder), resume=resume, allow_changed_config=resume)
    trained = train(open_run(cfg, options=options), options)
    return torch.load(latest_checkpoint(trained.work_dir), weights_only=True)


def test_resumed_equals_uninterrupted_bit_for_bit(root, tmp_path):
    whole = resumable(root, tmp_path / 'whole')
    stop = dict(type=StopAfter.__name__, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        resumable(root, tmp_path / 'parts', hooks=[stop])
    parts = resumable(root, tmp_path / 'parts', resume=True)
    assert whole['meta']['epoch'] == parts['meta']['epoch'] == 2
    for part in ('state_dict', 'ema_state_dict'):
        for name, weight in whole[part].items():
            assert torch.equal(weight, parts[part][name]), name


@pytest.fixture(scope='module')
def long_root(tmp_path_factory):
    """Videos of one and of ten minutes that repeat one movement."""
    from mmma.data.arrays import JointLayout, SkeletonWriter
    from mmma.data.root import DatasetInfo, write_info
    from mmma.data.videos import Instance, write_det

    folder = tmp_path_factory.mktemp('long')
    names = ('nose', 'left_shoulder', 'right_shoulder')
    layout = JointLayout(names=names, flip_pairs=(), limbs=())
    once = np.random.default_rng(0).uniform(0, 30, (1, 100, 3, 2))
    videos = []
    with SkeletonWriter(folder, 'det', layout) as writer:
        for minutes in (1, 10):
            joints = np.tile(once, (1, 6 * minutes, 1, 1))
            name, frames = f'm{minutes}', joints.shape[1]
            writer.append(name, joints, np.ones(joints.shape[:3]), 10, 40, 32)
            entry = (name, '', 'test', 'lab', 's', 10.0, frames, frames / 10)
            videos.append(Video(*entry, (Instance(1.0, 3.0, 5),)))
    write_det(folder / 'det.json', videos, load_label_space('mma82'))
    write_info(folder, DatasetInfo('long', 'mma82', simulated=True))
    return folder


def stream(model, cfg, video):
    """Detections of a video, and the most memory that numpy and Python took."""
    dataset = DATASETS.build({**cfg.test_dataloader.dataset, 'videos': [video]})
    dataset.full_init()
    windows = (dataset[i] for i in range(len(dataset)))
    gc.collect()
    tracemalloc.start()
    merger = WindowMerger(dataset.metainfo['body_of'])
    found = dict(detect_videos(model, windows, merger))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found[video], peak


def test_a_stream_takes_constant_memory_and_finds_the_same(
    long_root, trained, tmp_path
):
    cfg = config(long_root, dict(overlap=0.0), protocol='indomain')
    run, runner = opened(cfg, trained, tmp_path)
    (group,) = score_protocol(run, runner)
    model = runner.model.eval()
    _, short = stream(model, cfg, 'm1')
    found, long = stream(model, cfg, 'm10')
    assert long < 1.1 * short + 2**20
    assert len(found['action']) == 200
    for level, table in group.table.items():
        whole, streamed = table.of(['m10']), found[level]
        np.testing.assert_allclose(whole.scores, streamed.scores, rtol=1e-4)


def test_a_stream_gives_videos_one_by_one(root, trained, tmp_path):
    cfg = config(root, protocol='indomain')
    _, runner = opened(cfg, trained, tmp_path)
    dataset = runner.test_dataloader.dataset
    taken = []

    def windows():
        for i in range(len(dataset)):
            taken.append(i)
            yield dataset[i]

    merger = WindowMerger(dataset.metainfo['body_of'], max_candidates=5)
    first, found = next(detect_videos(runner.model.eval(), windows(), merger))
    assert first == 'lab_test_0'
    assert len(taken) == dataset.metainfo['videos'].count(first) > 1
    assert len(found['action']) <= 5


@pytest.fixture(scope='module')
def pool(tmp_path_factory):
    return make_video_root(tmp_path_factory.mktemp('pool'), actions=(0, 7), clips=5)


@pytest.fixture(scope='module')
def long_tailed(pool, tmp_path_factory):
    """The pool; train clips of actions 0 and 7: 4 and 1 of lab, 3 and 2 of street."""
    folder = tmp_path_factory.mktemp('long') / 'root'
    shutil.copytree(pool, folder)
    root = DataRoot(pool)
    rows = [
        replace(c, action=0, body=0) if c.clip == 'lab_train_1' else c
        for c in root.read_rec()
    ]
    write_rec(folder / 'rec.csv', rows, root.label_space())
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))


def score(pool, folder, cached=None, settings=(), **options):
    run, runner = make_run(pool, folder, **options)
    run.cfg.fewshot.update(dict(settings))
    return score_protocol(run, runner, 'test', cached)


def keyed(groups):
    keys = ('shots', 'run', 'control')
    return {tuple(g.labels.get(k) for k in keys): g for g in groups}


def same(left, right):
    assert left.labels == right.labels
    assert left.table.names == right.table.names
    np.testing.assert_array_equal(left.table.scores, right.table.scores)


@pytest.mark.parametrize('adapt', ['linear', 'prototype'])
def test_a_run_depends_on_neither_cache_nor_other_runs_and_shots(
    pool, tmp_path, home, adapt
):
    settings = {'adapt': adapt}
    alone = keyed(score(pool, tmp_path, settings=settings))
    cold = score(pool, tmp_path, 'sha', settings, shots=[1, 2], runs=2)
    warm = score(pool, tmp_path, 'sha', settings, shots=[1, 2], runs=2)
    assert len(cold) == 3 + 2 * (2 * 2)
    for left, right in zip(cold, warm, strict=True):
        same(left, right)
    check_alone(alone, keyed(cold))


def test_a_finetuned_run_does_not_depend_on_other_runs_and_shots(pool, tmp_path):
    settings = {'adapt': 'finetune', 'train': 'head', 'iters': 1, 'lr': 0.1}
    alone = keyed(score(pool, tmp_path, settings=settings))
    grid = score(pool, tmp_path, settings=settings, shots=[2, 1], runs=2)
    check_alone(alone, keyed(grid))


def check_alone(alone, grid):
    for key, group in alone.items():
        same(group, grid[key])
    scores = [grid[1, run, None].table.scores for run in (0, 1)]
    assert not np.array_equal(*scores)
    assert not np.array_equal(scores[0], grid[0, None, None].table.scores)


def test_adapted_scores_are_fused_with_the_bodies_of_the_source(pool, tmp_path):
    run, runner = make_run(pool, tmp_path, body=True)
    *_, group = score_protocol(run, runner)
    source = FeatureSource(runner)
    support = source.features('train', 'street').take(group.labels['supports'])
    tested = source.features('test', 'street')
    actions = {c.clip: c.action for c in DataRoot(pool).read_rec()}
    labels = np.array([actions[name] for name in support.names])
    adapted = adapt_linear(
        source_classifier(runner.model), support.features, labels, 0.1
    ).predict(tested.features)
    body_of = DataRoot(pool).label_space().body_of
    expected = fuse_body_scores(adapted, tested.body_scores, body_of, 0.5)
    np.testing.assert_array_equal(group.table.scores, expected)
    np.testing.assert_array_equal(group.table.body_scores, tested.body_scores)
    assert not np.allclose(expected, adapted)


SAMPLER = {'type': 'ClassBalancedSampler', 'power': 0.5}
ADJUSTED = {'type': 'LogitAdjustedCrossEntropy', 'tau': 1.0}


@pytest.mark.parametrize(
    ('sampler', 'loss', 'meta', 'power'),
    [
        (None, None, {}, 1),
        (SAMPLER, None, {}, 0.5),
        (None, ADJUSTED, {}, 0),
        (SAMPLER, None, {'class_power': 1.0}, 1),  # trained otherwise than tested
        (None, {'type': 'ClassBalancedFocalLoss'}, {}, None),
        (None, None, {'protocol': {'train_domains': ['lab', 'street']}}, None),
    ],
)
def test_controls_of_priors_know_what_supports_show_and_how_the_source_was_trained(
    long_tailed, tmp_path, sampler, loss, meta, power
):
    run, runner = make_run(long_tailed, tmp_path, shots=[1, 2], runs=2)
    run.cfg.train_dataloader.sampler = sampler or run.cfg.train_dataloader.sampler
    run.cfg.model.cls_head.loss_cls = loss
    groups = score_protocol(run, runner, meta=meta)
    found = keyed(groups)
    assert ((0, None, 'oracle-prior') in found) == (power is not None)
    assert ((2, 1, 'prior') in found) == (power is not None)
    if power is None:
        assert {g.labels.get('control') for g in groups} == {None, 'classes'}
        return
    clips = DataRoot(long_tailed).read_rec()
    lab, street = (
        [c.action for c in clips if (c.subset, c.domain) == ('train', domain)]
        for domain in ('lab', 'street')
    )
    zero_shot = found[0, None, None].table
    source = class_prior(lab, zero_shot.scores.shape[1]) ** power
    for key, shown in {
        (0, None, 'oracle-prior'): street,
        (1, 0, 'prior'): [0, 7],
        (2, 1, 'prior'): [0, 0, 7, 7],
    }.items():
        own = class_prior(shown, len(source))
        expected = reweight_by_prior(zero_shot.scores, source, own)
        np.testing.assert_allclose(found[key].table.scores, expected)
        assert found[key].table.names == zero_shot.names


def test_the_flags_of_the_command(pool, tmp_path, monkeypatch, capsys):
    make_run(pool, tmp_path)
    argv = [TINY, str(tmp_path / 'source.pth')]
    argv += ['--data-root', str(pool), '--work-dir', str(tmp_path / 'test')]
    argv += ['--out', str(tmp_path / 'out.json')]
    assert main('test', [*argv, '--protocol', 'zeroshot', '--adapt', 'linear']) == 2
    assert "--adapt is no option of protocol 'zeroshot'" in capsys.readouterr().err
    given = {}
    monkeypatch.setattr(
        command, 'report', lambda run, _, options, *__: given.update(
            adapt=run.cfg.fewshot.adapt, cache=options.cache
        )
    )  # fmt: skip
    assert main('test', [*argv, '--adapt', 'prototype', '--no-cache']) == 0
    assert given == {'adapt': 'prototype', 'cache': False}
    assert main('test', argv) == 0
    assert given == {'adapt': 'linear', 'cache': True}


def test_results_say_which_adaptation_with_its_settings_alone(pool, tmp_path, home):
    run, runner = make_run(pool, tmp_path)
    run.cfg.fewshot.adapt = 'prototype'
    groups = score_protocol(run, runner, 'test', 'sha')
    origin = dict(checkpoint={}, seen_domains=None, selected_on=None)
    results = summarize(run, groups, origin, TestOptions())
    assert results['adaptation'] == {'adapt': 'prototype', 'temperature': 0.1}
    assert [r['shots'] for r in results['runs']] == [0, 0, 0, 1, 1]
    assert len(list((tmp_path / 'home' / 'features').glob('*/*/*.npz'))) == 2
    assert features.CLIPS_PER_ROUND > 5
