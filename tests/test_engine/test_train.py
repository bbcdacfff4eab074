"""A run that is stopped and resumed equals one that was not."""

import pytest
import torch
from adapter_runs import StopAfter

from mmma.apis import load_config
from mmma.engine.run import TestOptions, TrainOptions, open_run
from mmma.engine.train import latest_checkpoint
from mmma.engine.train import train as train_run

TINY = 'configs/recog/videomae-tiny_mma82_indomain.py'


def train(cfg, **options):
    """Work dir of a training with these options."""
    options = TrainOptions(**options)
    return train_run(open_run(cfg, options=options), options).work_dir


def config(root):
    cfg = load_config(TINY, {'domain': 'lab'}, data_root=str(root))
    for subset in ('train', 'val', 'test'):
        cfg[f'{subset}_dataloader'].num_workers = 0
        cfg[f'{subset}_dataloader'].persistent_workers = False
        cfg[f'{subset}_dataloader'].batch_size = 2
    cfg.train_cfg.max_epochs = 4
    cfg.param_scheduler = [dict(type='CosineAnnealingLR', T_max=4, by_epoch=True)]
    cfg.model.backbone.drop_path_rate = 0.5
    return cfg


def final_state(work_dir):
    content = torch.load(latest_checkpoint(work_dir), weights_only=True)
    assert content['meta']['epoch'] == 4
    return content


def test_resumed_equals_uninterrupted_bit_for_bit(video_root, tmp_path):
    whole = train(config(video_root), work_dir=str(tmp_path / 'whole'))
    work_dir = str(tmp_path / 'parts')
    stopped = config(video_root)
    stopped.custom_hooks.append(dict(type=StopAfter.__name__, epochs=2))
    with pytest.raises(KeyboardInterrupt):
        train(stopped, work_dir=work_dir)
    parts = train(config(video_root), work_dir=work_dir, resume=True)
    expected, found = final_state(whole), final_state(parts)
    for key in ('pretrain_data', 'seen_domains', 'protocol', 'data'):
        assert found['meta'][key] == expected['meta'][key]
    assert found['meta']['pretrain_data'] == 'none'
    for name, weight in expected['state_dict'].items():
        assert torch.equal(weight, found['state_dict'][name]), name
    for key, state in expected['optimizer']['state'].items():
        for name, value in state.items():
            assert torch.equal(value, found['optimizer']['state'][key][name])
    assert expected['param_schedulers'] == found['param_schedulers']


def test_what_the_starting_weights_saw_is_not_forgotten(video_root, tmp_path):
    first = load_config(TINY, {'domain': 'street'}, data_root=str(video_root))
    options = dict(work_dir=str(tmp_path / 'street'), fast_dev_run=True)
    start = latest_checkpoint(train(first, **options))
    second = load_config(TINY, {'protocol': 'zeroshot'}, data_root=str(video_root))
    options = dict(work_dir=str(tmp_path / 'lab'), fast_dev_run=True)
    work_dir = train(second, load_from=start, **options)
    meta = torch.load(latest_checkpoint(work_dir), weights_only=True)['meta']
    assert meta['protocol']['train_domains'] == ['lab']
    assert meta['seen_domains'] == ['lab', 'street']
    assert meta['pretrain_data'] == 'none + mma82-fixture'


def test_short_runs_take_clips_of_every_domain(video_root):
    options = TrainOptions(fast_dev_run=True)
    cfg = open_run(TINY, data_root=str(video_root), options=options).cfg
    clips = cfg.test_dataloader.dataset.clips
    assert len(clips) == 4
    domains = {c.split('_')[0] for c in clips}
    assert domains == {'lab', 'psychiatric', 'street', 'emotion'}


def test_work_dirs_are_named_after_model_and_protocol(video_root):
    flags = {'protocol': 'zeroshot', 'seed': 2}
    expected = 'work_dirs/videomae-tiny_mma82/zeroshot-seed2'
    for options, inside in ((TrainOptions(), ''), (TestOptions(), '/test')):
        run = open_run(TINY, flags, str(video_root), options=options)
        assert str(run.work_dir) == expected + inside


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without a GPU')
def test_mixed_precision_needs_a_gpu(video_root, tmp_path):
    with pytest.raises(ValueError, match='--amp needs a GPU'):
        train(config(video_root), work_dir=str(tmp_path), amp=True)


def test_a_folder_without_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no checkpoint'):
        latest_checkpoint(tmp_path)
