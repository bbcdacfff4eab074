"""Skeleton recipes: pipeline and model fit, and the model learns."""

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.optim import build_optim_wrapper

import mmma.datasets  # noqa: F401
from mmma.apis import load_config
from mmma.data.arrays import SkeletonWriter
from mmma.data.joints import WHOLEBODY65
from mmma.registry import MODELS

RECIPES = ('stgcnpp', 'skeletontcn-tiny')
TINY = RECIPES[1:]
CLIPS = 4


@pytest.fixture(scope='module')
def skeletons(tmp_path_factory):
    """A store of four clips, each with joints missing now and then."""
    root = tmp_path_factory.mktemp('skeletons')
    rng = np.random.default_rng(0)
    with SkeletonWriter(root, 'rec', WHOLEBODY65) as writer:
        for clip in range(CLIPS):
            place = rng.uniform(20, 200, (1, 1, 65, 2))
            keypoint = place + rng.normal(0, 3, (1, 30, 65, 2))
            score = (rng.random((1, 30, 65)) > 0.1).astype(float)
            writer.append(f'c{clip}', keypoint, score, 30, 320, 240)
    return root


def make_batch(pipeline, root, clips=CLIPS):
    np.random.seed(0)
    steps = Compose([dict(step) for step in pipeline])
    rows = [
        dict(clip=f'c{i}', data_root=str(root), label=i, modality='Pose')
        for i in range(clips)
    ]
    return pseudo_collate([steps(row) for row in rows])


def build(recipe):
    cfg = load_config(f'recog/{recipe}_mma82_indomain')
    return cfg, MODELS.build(cfg.model)


@pytest.mark.parametrize('recipe', TINY)
def test_one_batch_is_learnt(recipe, skeletons):
    cfg, model = build(recipe)
    model.cls_head.dropout.p = 0
    batch = make_batch(cfg.val_pipeline, skeletons)
    optim = build_optim_wrapper(model, dict(optimizer=dict(type='AdamW', lr=3e-3)))
    for _ in range(15):
        losses = model.train_step(batch, optim)
    assert losses['top1_acc'] == 1


@pytest.mark.parametrize('recipe', RECIPES)
def test_train_pipeline_fits_the_model(recipe, skeletons):
    cfg, model = build(recipe)
    batch = make_batch(cfg.train_pipeline, skeletons, clips=2)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    losses['loss_cls'].backward()
    assert torch.isfinite(losses['loss_cls'])
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize('recipe', RECIPES)
def test_test_pipeline_gives_one_score_per_clip(recipe, skeletons):
    cfg, model = build(recipe)
    pipeline = cfg.test_dataloader.dataset.pipeline
    pipeline[1].views = min(pipeline[1].get('views', 1), 2)  # ten take seconds
    samples = model.eval().test_step(make_batch(pipeline, skeletons, clips=2))
    scores = torch.stack([s.pred_score for s in samples])
    assert scores.shape == (2, 82)
    torch.testing.assert_close(scores.sum(1), torch.ones(2))
    assert [s.clip for s in samples] == ['c0', 'c1']


@pytest.mark.parametrize('recipe', RECIPES)
def test_every_pipeline_takes_the_joints_of_the_model(recipe):
    cfg, _ = build(recipe)
    for subset in ('train', 'val', 'test'):
        load = cfg[f'{subset}_dataloader'].dataset.pipeline[0]
        wanted = cfg.model.backbone
        assert (load.joints, load.layout) == (wanted.joints, wanted.layout)
