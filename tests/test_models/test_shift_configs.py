from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

import mmma.engine  # noqa: F401
from mmma.datasets.transforms.rgb import UniformFrames
from mmma.registry import MODELS, TRANSFORMS

CONFIGS = Path(__file__).parents[2] / 'configs'
RECIPES = ('tsm', 'gctsm', 'manet', 'gctsm-tiny')


def load(name):
    return Config.fromfile(CONFIGS / f'recog/{name}_mma82_indomain.py')


@pytest.fixture(params=RECIPES)
def cfg(request):
    return load(request.param)


def build(cfg):
    cfg = cfg.model.copy()
    cfg.pop('data_preprocessor')  # its mean and std need real numbers
    with torch.device('meta'):
        return MODELS.build(cfg)


def test_models_fit_their_heads_data_and_schedules(cfg):
    model = build(cfg)
    head = model.cls_head
    assert head.fc_cls.in_features == model.backbone.out_channels
    assert head.fc_cls.out_features == 82
    steps = [t.clip_len for t in cfg.train_pipeline if t.type == 'UniformFrames']
    assert steps == [head.num_segments] == [model.backbone.num_segments]
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    grouped = sum(len(g['params']) for g in wrapper.optimizer.param_groups)
    assert grouped == sum(p.requires_grad for p in model.parameters())
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_epochs


@pytest.mark.parametrize('name', RECIPES[:3])
def test_pretrained_files_carry_their_hash(name):
    pretrained = load(name).pretrained
    assert pretrained.url.endswith(f'-{pretrained.sha8}.pth')
    assert 'imagenet' in pretrained.data


def clip_of(views, side=(40, 56)):
    """A decoded clip whose frames show the number of their view."""
    results = dict(times_sec=np.arange(48) / 24, duration_sec=2.0)
    results = UniformFrames(clip_len=8, views=views, test_mode=True)(results)
    frames = [np.full((*side, 3), v, np.uint8) for v in range(views) for _ in range(8)]
    return dict(results, imgs=frames, img_shape=side, modality='RGB')


def test_views_and_crops_stay_together():
    steps = [dict(type='ThreeCrop', crop_size=40), dict(type='FormatShape')]
    steps[1]['input_format'] = 'NCHW'
    imgs = Compose([TRANSFORMS.build(s) for s in steps])(clip_of(views=2))['imgs']
    assert imgs.shape == (3 * 2 * 8, 3, 40, 40)
    assert imgs.reshape(6, 8, -1).max(axis=(1, 2)).tolist() == [0, 1] * 3
    assert imgs.reshape(6, 8, -1).min(axis=(1, 2)).tolist() == [0, 1] * 3


def test_views_are_averaged_as_probabilities():
    cfg = load('gctsm-tiny').model
    model = MODELS.build(cfg).eval()
    views = torch.rand(1, 16, 3, 32, 32)
    with torch.inference_mode():
        logits = [model.cls_head(model.backbone(v)) for v in views[0].split(8)]
        sample = model(views, [ActionDataSample()], mode='predict')[0]
    scores = torch.cat(logits).softmax(dim=1).mean(dim=0)
    torch.testing.assert_close(sample.pred_score, scores)


@pytest.mark.parametrize('data', ['mma82_rgb_8x224', 'mma82_rgb_8x64'])
@pytest.mark.parametrize('pipeline', ['train_pipeline', 'test_pipeline'])
def test_pipelines_give_frames_first(data, pipeline):
    cfg = Config.fromfile(CONFIGS / f'_base_/datasets/{data}.py')
    steps = [s for s in cfg[pipeline] if s.type not in ('OpenVideo', 'DecodeFrames')]
    assert steps.pop(0).type == 'UniformFrames'
    assert steps.pop().type == 'PackClip'
    imgs = Compose([TRANSFORMS.build(s) for s in steps])(clip_of(1))['imgs']
    side = int(data.rpartition('x')[2])
    assert imgs.shape == (8, 3, side, side)
