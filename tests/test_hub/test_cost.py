"""Costs against hand-made and published numbers."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import nn

from mmma.apis import load_config
from mmma.hub.cost import count_flops, model_cost


class Attention(nn.Module):
    def forward(self, x):
        return F.scaled_dot_product_attention(x, x, x)


class GraphProduct(nn.Module):
    def forward(self, x):
        graph = torch.ones(3, 6, 6, device=x.device)
        return torch.einsum('nkctv,kvw->nctw', x, graph)


@pytest.mark.parametrize(
    ('module', 'shape', 'multiply_adds'),
    [
        # out channels * in channels * kernel * output pixels
        (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 4, 5), 8 * 3 * 9 * 4 * 5),
        (nn.Conv3d(4, 8, (3, 1, 1), groups=2), (2, 4, 6, 5, 5), 2 * 8 * 2 * 3 * 100),
        (nn.Linear(5, 7), (2, 5), 2 * 5 * 7),
        # queries by keys, then weights by values: heads * L * L * d each
        (Attention(), (1, 2, 16, 8), 2 * 2 * 16 * 16 * 8),
        (GraphProduct(), (1, 3, 4, 5, 6), 3 * 6 * 4 * 5 * 6),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AvgPool2d(2)), (1, 3, 4, 4), 0),
    ],
    ids=['conv', 'grouped', 'linear', 'attention', 'graph', 'uncounted'],
)
def test_multiply_adds_by_hand(module, shape, multiply_adds):
    with torch.device('meta'):
        found = count_flops(module.to('meta').eval(), torch.empty(shape))
    assert found == multiply_adds


def published_stgcnpp():
    """ST-GCN++ for NTU60: 17 joints of two persons, one view."""
    cfg = load_config('recog/stgcnpp_mma82_indomain')
    cfg.model.backbone.update(joints='body17', num_person=2)
    cfg.model.cls_head.num_classes = 60
    pipeline = cfg.test_dataloader.dataset.pipeline
    pipeline[0].update(joints='body17', num_person=2)
    pipeline[-2].num_person = 2
    return cfg


def test_stgcnpp_costs_what_was_published():
    cost = model_cost(published_stgcnpp())
    assert cost.params == pytest.approx(1.39e6, rel=0.005)  # PYSKL's table
    # MMAction2's metafile, whose counter adds norms
    assert cost.flops == pytest.approx(1.95e9, rel=0.02)
    assert cost.input_shape == (1, 2, 100, 17, 3)  # one of ten views


@pytest.mark.parametrize(
    ('config', 'classes', 'params', 'gflops', 'shape'),
    [
        # VideoMAE's table of Kinetics-400
        ('videomae', 400, 87e6, 180, (1, 3, 16, 224, 224)),
        ('videomae-s', 400, 22e6, 57, (1, 3, 16, 224, 224)),
        ('videomae-l', 400, 305e6, 597, (1, 3, 16, 224, 224)),
        ('videomae-h', 400, 633e6, 1192, (1, 3, 16, 224, 224)),
        # TSM's table of Kinetics, 8 frames
        ('tsm', 400, 24.3e6, 33, (8, 3, 224, 224)),
        # MMAction2's metafile, NTU60
        ('posec3d', 60, 2.03e6, 20.6, (1, 17, 48, 64, 64)),
    ],
)
def test_models_cost_what_was_published(config, classes, params, gflops, shape):
    cfg = load_config(f'recog/{config}_mma82_indomain')
    cfg.model.cls_head.num_classes = classes
    cost = model_cost(cfg)
    assert cost.params == pytest.approx(params, rel=0.01)
    assert cost.flops / 1e9 == pytest.approx(gflops, rel=0.01)
    assert cost.input_shape == shape
    classifier = classes * (cfg.model.cls_head.in_channels + 1)
    assert cost.backbone_params == cost.params - classifier


def test_frozen_parameters_are_not_trainable():
    cfg = load_config('recog/videomae-tiny_mma82_indomain')
    cfg.model.backbone.return_feat_map = True  # freezes its last norm, of 128 channels
    cfg.model.cls_head.pooling = 'clip'
    cost = model_cost(cfg)
    assert cost.params - cost.trainable_params == 2 * 128


def detector_cost(config):
    return model_cost(load_config(f'det/{config}_mma82'))


@pytest.mark.parametrize(
    ('config', 'shape'),
    [
        ('adatad_videomae-tiny', (1, 3, 128, 64, 64)),
        ('skeletondet-tiny', (1, 1, 256, 31, 4)),
        ('actionformer_videomae-s-features', (1, 384, 256)),
    ],
)
def test_the_input_of_a_detector_is_one_window(config, shape):
    cost = detector_cost(config)
    assert cost.input_shape == shape
    assert cost.window_sec == pytest.approx(256 / 15)
    assert (cost.backbone_params == 0) is ('features' in config)


def test_adatad_freezes_its_vit_and_runs_it_on_every_chunk():
    cost = detector_cost('adatad_videomae-s')
    recognizer = model_cost(load_config('recog/videomae-s_mma82_indomain'))
    # The recognizer's last norm, 384 weights and as many biases, is not there.
    assert cost.params - cost.trainable_params == recognizer.backbone_params - 2 * 384
    tokens, chunks, dim, blocks = 8 * 10 * 10, 16, 384, 12
    block = 12 * tokens * dim**2 + 2 * tokens**2 * dim  # linear layers, attention
    patches = tokens * dim * 3 * 2 * 16 * 16
    adapters = (cost.backbone_params - recognizer.backbone_params) * tokens
    by_hand = chunks * (blocks * block + patches + adapters)
    assert cost.flops == pytest.approx(by_hand, rel=0.02)  # and the detector


def frames_config(num_frames):
    """A 2D network that takes 4 frames, and a pipeline of so many."""
    pipeline = [
        dict(type='OpenVideo'),
        dict(type='UniformFrames', clip_len=num_frames, test_mode=True),
        dict(type='DecodeFrames'),
        dict(type='Resize', scale=(-1, 40)),
        dict(type='ThreeCrop', crop_size=40),
        dict(type='FormatShape', input_format='NCHW'),
        dict(type='PackClip'),
    ]
    model = dict(
        type='Recognizer2D',
        backbone=dict(type='ResNetTSM', depth=50, num_segments=4),
        cls_head=dict(type='TSMHead', num_segments=4, num_classes=82, in_channels=2048),
    )
    return Config(
        dict(model=model, test_dataloader=dict(dataset=dict(pipeline=pipeline)))
    )


def test_a_view_of_a_2d_network_is_its_frames():
    assert model_cost(frames_config(4)).input_shape == (4, 3, 40, 40)


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match=r'gives 3 frames: the model takes 4'):
        model_cost(frames_config(1))
