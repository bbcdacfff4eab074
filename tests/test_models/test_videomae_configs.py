import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

import mmma.engine  # noqa: F401
from mmma.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
SIZES = ('tiny', 's', 'b', 'l', 'h')


def load_model(size):
    name = 'videomae' if size == 'b' else f'videomae-{size}'
    return Config.fromfile(CONFIGS / f'recog/{name}_mma82_indomain.py')


def make_batch(clips=4, frames=16, side=112):
    torch.manual_seed(0)
    imgs = torch.randint(0, 256, (clips, 1, 3, frames, side, side), dtype=torch.uint8)
    samples = [ActionDataSample().set_gt_label(i) for i in range(clips)]
    return dict(inputs=list(imgs), data_samples=samples)


@pytest.mark.parametrize('size', SIZES)
def test_model_configs_build(size):
    cfg = load_model(size).model
    cfg.data_preprocessor.pop('blending', None)  # its distributions need real numbers
    with torch.device('meta'):
        model = MODELS.build(cfg)
    assert model.cls_head.fc_cls.in_features == model.backbone.arch.embed_dims
    assert model.cls_head.fc_cls.out_features == 82
    assert model.cls_head.average_clips == 'prob'


@pytest.mark.parametrize('size', ['s', 'b', 'l'])
def test_pretrained_files_carry_their_hash(size):
    pretrained = load_model(size).pretrained
    assert pretrained.url.endswith(f'-{pretrained.sha8}.pth')
    assert pretrained.url.startswith('https://download.openmmlab.com/mmaction/v1.0/')


def test_a_pretrained_file_of_unknown_hash_is_pinned_and_says_so():
    pretrained = load_model('h').pretrained
    assert re.search('/resolve/[0-9a-f]{40}/', pretrained.url)
    assert (pretrained.sha8, 'unverified' in pretrained.note) == ('', True)


def test_schedule_and_model_give_layerwise_rates():
    model = MODELS.build(load_model('tiny').model)
    wrapper = build_optim_wrapper(model, load_model('b').optim_wrapper)
    rates = sorted({g['lr'] for g in wrapper.optimizer.param_groups})
    assert rates == pytest.approx([5e-4 * 0.75**i for i in range(5, -1, -1)])


def blend(seed):
    """Labels (4, 4) and normalised clips (4, 1, 3, 2, 16, 16) of one batch.

    Clip i is i all over before it is blended.
    """
    preprocessor = MODELS.build(load_model('b').model.data_preprocessor)
    ones = torch.ones(1, 3, 2, 16, 16) * preprocessor.std
    batch = make_batch()
    batch['inputs'] = [ones * i + preprocessor.mean for i in range(4)]
    np.random.seed(seed)
    torch.manual_seed(seed)
    data = preprocessor(batch, training=True)
    labels = torch.stack([s.gt_label for s in data['data_samples']])
    assert labels.shape == (4, 82)
    return labels[:, :4], data['inputs']


@pytest.mark.parametrize('seed', range(8))
def test_blending_mixes_clips_and_labels_alike(seed):
    labels, imgs = blend(seed)
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(4))
    values = imgs.mean(dim=(1, 2, 3, 4, 5))
    torch.testing.assert_close(values, labels @ torch.arange(4.0), atol=1e-4, rtol=1e-4)
    assert torch.equal(imgs[..., 0, :, :], imgs[..., 1, :, :])  # one box for all frames


def test_blending_is_mixup_or_cutmix():
    def has_box(seed):
        values = blend(seed)[1].flatten(1)
        return bool((values.amax(dim=1) - values.amin(dim=1) > 0.5).any())

    assert {has_box(seed) for seed in range(10)} == {True, False}


def test_blending_is_off_in_testing_and_fixed_by_the_seed():
    cfg = load_model('s').model.data_preprocessor
    preprocessor = MODELS.build(cfg)
    tested = preprocessor(make_batch(side=16))
    assert [s.gt_label.tolist() for s in tested['data_samples']] == [[0], [1], [2], [3]]
    assert torch.equal(blend(3)[1], blend(3)[1])


@pytest.mark.parametrize('batch_size', [1, 4])
def test_a_blended_training_step_runs(batch_size):
    cfg = load_model('tiny').model
    cfg.data_preprocessor.blending = load_model('b').model.data_preprocessor.blending
    cfg.cls_head.label_smooth_eps = 0.1
    model = MODELS.build(cfg)
    optim_wrapper = build_optim_wrapper(
        model, dict(optimizer=dict(type='AdamW', lr=1e-3))
    )
    before = model.backbone.patch_embed.projection.weight.detach().clone()
    losses = model.train_step(make_batch(batch_size), optim_wrapper)
    assert list(losses) == ['loss', 'loss_cls']
    assert losses['loss'].isfinite()
    assert not torch.equal(model.backbone.patch_embed.projection.weight, before)


def test_the_tiny_model_learns_one_batch():
    cfg = load_model('tiny')
    model = MODELS.build(cfg.model)
    model.init_weights()
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch = make_batch(clips=4, side=64)
    losses = [model.train_step(batch, optim_wrapper)['loss'].item() for _ in range(15)]
    assert losses[0] > 3.5
    assert losses[-1] < 0.2 * losses[0]
    with torch.no_grad():
        scores = torch.stack([s.pred_score for s in model.test_step(batch)])
    assert scores.argmax(dim=1).tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(4))
