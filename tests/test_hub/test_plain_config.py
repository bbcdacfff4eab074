"""Configs in checkpoints: read without running them, and without their machine."""

import math

import pytest

from mmma.apis import load_config
from mmma.hub.plain_config import measured_otherwise, parse_config, portable
from mmma.hub.scrubbing import Scrubber

CONFIG = 'configs/recog/skeletontcn-tiny_mma82_zeroshot.py'


@pytest.mark.parametrize(
    'config',
    [CONFIG, 'configs/det/adatad_videomae-tiny_mma82.py', 'recog/tsm_mma82_fewshot'],
)
def test_what_mmengine_prints_is_read_back(config):
    cfg = load_config(config)
    assert parse_config(cfg.pretty_text, 'a.pth') == cfg.to_dict()


def test_values():
    text = "a = dict(b=[(1, -2.5), {'c d': dict(e=None)}], f=inf)"
    assert parse_config(text, 'a') == {
        'a': {'b': [(1, -2.5), {'c d': {'e': None}}], 'f': math.inf}
    }


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        "a = __import__('os').system('true')",
        'a = dict(1)',
        'a = dict(**b)',
        'a = [x for x in y]',
        'a.b = 1',
        'a = {**b}',
        'a = b = 1',
        'a = (',
        '(' * 5000,
    ],
)
def test_what_is_no_plain_config(text):
    with pytest.raises(ValueError, match=r'a\.pth: its config is not one of plain val'):
        parse_config(text, 'a.pth')


def test_a_run_leaves_no_trace():
    leaf = load_config(CONFIG).to_dict()
    cfg = load_config(CONFIG, data_root='/x/my data')
    cfg.work_dir, cfg.launcher, cfg.resume = '/x/runs/a', 'slurm', True
    cfg.pretrain_data, cfg.env_cfg.dist_cfg.backend = 'none', 'gloo'
    assert portable(cfg.to_dict(), leaf, Scrubber()) == leaf
    alone = portable(cfg.to_dict(), None, Scrubber())
    assert alone['data_root'] == 'data/mma82'
    assert alone['test_dataloader']['dataset']['data_root'] == 'data/mma82'
    assert not {'work_dir', 'resume', 'pretrain_data'} & alone.keys()
    assert alone['launcher'] == 'none'


@pytest.mark.parametrize(
    ('option', 'found'),
    [
        ('model.backbone.joints=body13', ['model.backbone.joints']),
        ('test_dataloader.dataset.pipeline.1.clip_len=32',
         ['test_dataloader.dataset.pipeline']),
        ('+test_evaluator.class_set=all', ['test_evaluator.class_set']),
        ('train_dataloader.batch_size=3', []),
        ('test_dataloader.batch_size=3', []),
    ],
)  # fmt: skip
def test_what_moves_a_number(option, found):
    other = load_config(CONFIG, cfg_options=[option])
    leaf = load_config(CONFIG, data_root='elsewhere')
    assert list(measured_otherwise(other.to_dict(), leaf.to_dict())) == found
