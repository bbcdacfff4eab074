import re
import warnings

import pytest
import torch
from mmaction.structures import ActionDataSample
from torch import nn

from mmma.checkpoints import load_state, load_trained
from mmma.models.backbones.shift_resnet import (
    GATES,
    GroupContext,
    ShiftResNet,
    adapted_names,
    shift_in_time,
)
from mmma.registry import MODELS

T, WIDTH = 4, 4


def make(cdiv=4, **kwargs):
    return GroupContext(WIDTH * cdiv, T, cdiv=cdiv, **kwargs).eval()


def features(channels, clips=2):
    return torch.randn(clips * T, channels, 5, 5)


@torch.no_grad()
def set_gates(module, **biases):
    """Make each gate the sigmoid of one number."""
    for name in GATES:
        gate = getattr(module, name)
        gate.conv.weight.zero_()
        gate.bn.bias.fill_(biases.get(name, 0.0))


@pytest.mark.parametrize('cdiv', [4, 8])
def test_each_channel_is_gated_once_and_in_order(cdiv):
    module, x = make(cdiv), features(WIDTH * cdiv)
    biases = dict(l=-1.0, t=0.5, s=1.0, g=2.0)
    set_gates(module, **biases)
    factors = (module(x) / x).unflatten(1, (cdiv, WIDTH)).mean(dim=(0, 2, 3, 4))
    gates = torch.tensor([biases[n] for n in GATES]).sigmoid()
    torch.testing.assert_close(factors, torch.cat([gates, torch.ones(cdiv - 4)]))


@pytest.mark.parametrize(
    ('name', 'frames', 'rows', 'columns'),
    [
        ('l', {1, 2, 3}, {2}, {2}),
        ('t', {1, 2, 3}, set(range(7)), set(range(7))),
        ('s', {0, 1, 2, 3, 4}, {0, 2, 4}, {0, 2, 4}),
        ('g', {0, 1, 2, 3, 4}, set(range(7)), set(range(7))),
    ],
)
def test_what_each_gate_sees(name, frames, rows, columns):
    module = GroupContext(16, 5).double().eval()
    torch.nn.init.normal_(module.g.conv.weight)
    x = torch.randn(1, 5, 4, 7, 7, dtype=torch.double)
    moved = x.clone()
    moved[0, 2, :, 2, 2] += 5
    gate = getattr(module, name)
    changed = (gate(moved) != gate(x)).expand_as(x)[0].any(dim=1)
    found = changed.nonzero().T
    assert [set(axis.tolist()) for axis in found] == [frames, rows, columns]


def test_the_local_gate_is_a_convolution_over_time():
    gate = make().l
    x = torch.randn(2, T, WIDTH, 5, 5)
    expected = gate.bn(gate.conv(x.transpose(1, 2))).sigmoid().transpose(1, 2)
    torch.testing.assert_close(gate(x), expected)


def test_the_released_spatial_gate_leaves_its_bn_out():
    ours, released = make(), make(s_use_bn=False)
    released.load_state_dict(ours.state_dict())
    x = torch.randn(2, T, WIDTH, 5, 5)
    with torch.no_grad():
        for module in (ours, released):
            module.s.bn.bias.fill_(3.0)
    conv = ours.s.conv(x.mean(dim=1))
    torch.testing.assert_close(released.s(x), conv.sigmoid()[:, None])
    torch.testing.assert_close(ours.s(x), ours.s.bn(conv).sigmoid()[:, None])
    assert not any(p.requires_grad for p in released.s.bn.parameters())


def test_one_clip_in_training_uses_running_statistics():
    module = make().train()
    x = features(4 * WIDTH, clips=1)[None]
    group = x[:, :, :WIDTH]
    with pytest.warns(UserWarning, match=r'with one clip: .*batch_size of 8'):
        trained = module.g(group)
    assert module.g.bn.num_batches_tracked == 0
    torch.testing.assert_close(trained, module.g.eval()(group))


def test_two_clips_in_training_are_normed_over_clips():
    module = make().train()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        module(features(4 * WIDTH))
    assert module.g.bn.num_batches_tracked == 1


def test_groups_that_do_not_fit_are_refused():
    for channels, cdiv in ((16, 3), (18, 4)):
        message = rf'cdiv={cdiv}: .* from 4 .* {channels} chan'
        with pytest.raises(ValueError, match=message):
            GroupContext(channels, T, cdiv=cdiv)


def test_names_of_other_programs():
    names = {
        'conv1.weight': 'conv1.conv.weight',
        'bn1.running_var': 'conv1.bn.running_var',
        'layer1.0.conv1.weight': 'layer1.0.conv1.conv.net.weight',
        'layer3.5.conv1.net.weight': 'layer3.5.conv1.conv.net.weight',
        'layer3.5.conv1.conv.weight': 'layer3.5.conv1.conv.net.weight',
        'layer2.1.conv3.weight': 'layer2.1.conv3.conv.weight',
        'layer2.1.bn2.bias': 'layer2.1.conv2.bn.bias',
        'layer4.0.downsample.0.weight': 'layer4.0.downsample.conv.weight',
        'layer4.0.downsample.1.running_mean': 'layer4.0.downsample.bn.running_mean',
        'layer1.2.eft1.conv.weight': 'layer1.2.gc.l.conv.weight',
        'layer1.2.eft4.bn1.weight': 'layer1.2.gc.g.bn.weight',
    }
    for wrap in ('', 'base_model.', 'backbone.'):
        wanted = {wrap + old: f'backbone.{new}' for old, new in names.items()}
        assert adapted_names(wanted, 'backbone.') == wanted


def test_own_names_and_heads_stay():
    names = (
        'backbone.conv1.conv.weight',
        'backbone.layer1.0.conv1.conv.net.weight',
        'backbone.layer1.0.conv1.conv.fcce.2.weight',
        'backbone.layer1.0.conv2.bn.running_mean',
        'backbone.layer1.0.downsample.conv.weight',
        'backbone.layer1.0.gc.s.bn.bias',
        'cls_head.fc_cls.weight',
        'fc.weight',
    )
    assert adapted_names(names, 'backbone.') == {}


def test_a_bare_backbone_needs_no_prefix():
    assert adapted_names(['layer1.0.bn1.bias'], '') == {
        'layer1.0.bn1.bias': 'layer1.0.conv1.bn.bias'
    }


def test_the_head_of_tsm_and_the_unused_layers_of_manet():
    unused = 'backbone.layer1.0.conv1.conv.action_p2_squeeze.weight'
    assert adapted_names(['new_fc.bias', unused], 'backbone.') == {
        'new_fc.bias': 'cls_head.fc_cls.bias',
        unused: '',
    }


KINDS = {'tsm': {}, 'gctsm': dict(context=dict()), 'manet': dict(squeeze=4)}
kinds = pytest.mark.parametrize('kind', KINDS)


def make_net(kind='tsm', **kwargs):
    options = dict(stage_blocks=(1, 2), base_channels=16, num_segments=T)
    return ShiftResNet(**{**options, **KINDS[kind], **kwargs})


def recognizer(kind='tsm', num_classes=82):
    head = 'MANetHead' if kind == 'manet' else 'ActionHead'
    return MODELS.build(
        dict(
            type='Recognizer2D',
            backbone=dict(
                type='ShiftResNet',
                stage_blocks=(1, 2),
                base_channels=16,
                num_segments=T,
                **KINDS[kind],
            ),
            cls_head=dict(
                type=head,
                pooling='segments',
                num_segments=T,
                num_classes=num_classes,
                in_channels=128,
            ),
        )
    )


@torch.no_grad()
def randomize(module):
    """Other values for all parameters and statistics."""
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.05, 0.3)
    return module


def test_shift_by_hand():
    # 2 frames of 8 channels: one from the next frame, one from the one before.
    x = torch.stack([torch.arange(1.0, 9.0), torch.arange(11.0, 19.0)])[..., None, None]
    shifted = shift_in_time(x, num_segments=2, shift_div=8)
    assert shifted[..., 0, 0].tolist() == [
        [11, 0, 3, 4, 5, 6, 7, 8],
        [0, 2, 13, 14, 15, 16, 17, 18],
    ]


def test_clips_do_not_mix():
    x = torch.randn(2 * T, 8, 2, 2)
    both = shift_in_time(x, T, 4)
    torch.testing.assert_close(both[T:], shift_in_time(x[T:], T, 4))


def test_equals_mmaction2_with_the_same_weights():
    upstream = dict(type='ResNetTSM', depth=50, num_segments=8, pretrained2d=False)
    theirs = MODELS.build(upstream)
    theirs.eval()  # returns None
    ours = ShiftResNet().eval()
    gen = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in theirs.state_dict().items():
            if name.endswith(('bn.running_var', 'bn.weight')):
                value.uniform_(0.5, 1.5, generator=gen)
            elif name.endswith(('bn.running_mean', 'bn.bias')):
                value.normal_(std=0.1, generator=gen)
    ours.load_state_dict(theirs.state_dict())
    frames = torch.randn(16, 3, 40, 40, generator=gen)
    with torch.inference_mode():
        expected = theirs(frames)
        torch.testing.assert_close(ours(frames), expected)
    assert expected.std() > 0.01


def test_parameters_at_full_size():
    for options, millions in (
        (dict(), 23.508032),  # torchvision's ResNet-50 without its classifier
        (dict(context=dict()), 23.508032 + 1.257472 + 0.007552),  # convolutions, norms
        (dict(squeeze=4), 23.508032 + 7.964672),
    ):
        with torch.device('meta'):
            net = ShiftResNet(**options)
        assert sum(p.numel() for p in net.parameters()) == round(millions * 1e6)
        assert net.out_channels == 2048


@kinds
def test_shapes_and_gradients(kind):
    net = make_net(kind)
    out = net(torch.randn(2 * T, 3, 32, 32))
    assert out.shape == (2 * T, 128, 4, 4)
    assert net.out_channels == 128
    out.square().mean().backward()
    assert all(p.grad is not None for p in net.parameters())
    with torch.autocast('cpu', torch.bfloat16):
        assert net(torch.randn(2 * T, 3, 32, 32)).isfinite().all()


def test_gates_stand_between_conv2_and_its_relu():
    block = make_net('gctsm').layer1[0]
    seen = {}

    def keep(name):
        def hook(_, inputs, output):
            seen[name] = inputs[0].clone(), output.clone()

        return hook

    for name in ('conv1', 'conv2', 'gc', 'conv3'):
        getattr(block, name).register_forward_hook(keep(name))
    block.conv2.bn.register_forward_hook(keep('bn2'))
    block(torch.randn(2 * T, 16, 6, 6))
    assert list(seen) == ['conv1', 'bn2', 'conv2', 'gc', 'conv3']
    assert seen['conv1'][1].min() == 0
    assert torch.equal(seen['bn2'][1], seen['gc'][0])
    assert seen['gc'][1].min() < 0
    assert torch.equal(seen['gc'][1].relu(), seen['conv3'][0])


def test_manet_gates_then_shifts():
    conv = make_net('manet').layer1[0].conv1.conv
    x = torch.randn(2 * T, 16, 3, 3)
    down, up = conv.fcce[0].weight, conv.fcce[2].weight
    gate = ((x.mean(dim=(2, 3)) @ down.T).relu() @ up.T).sigmoid()
    expected = conv.net(shift_in_time(x * gate[..., None, None], T, 8))
    torch.testing.assert_close(conv(x), expected)


def test_init_weights_leaves_the_gates_their_own():
    net = make_net('gctsm', base_channels=64)
    net.init_weights()
    assert net.layer2[0].gc.g.conv.weight.std().item() == pytest.approx(1e-3, rel=0.2)
    conv = net.layer2[1].conv2.conv.weight
    assert conv.std().item() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.05)


def test_frames_that_are_no_clips_are_refused():
    with pytest.raises(ValueError, match=r'6 frames .* clips of 4: sample clip_len=4'):
        make_net()(torch.randn(6, 3, 32, 32))


@kinds
def test_one_batch_is_learned(kind):
    model = recognizer(kind)
    model.init_weights()
    frames = torch.randn(4, T, 3, 32, 32)
    samples = make_samples(4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = None
    for _ in range(25):
        losses = model.loss(frames, samples)
        loss = losses['loss_cls'] + losses.get('loss_embedding', 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first = first or loss.item()
    assert losses['loss_cls'].item() < 0.5
    assert loss.item() < 0.5 * first


def make_samples(clips):
    return [ActionDataSample().set_gt_label(i) for i in range(clips)]


def as_torchvision(name):
    name = name.removeprefix('backbone.').replace('.net', '').replace('.conv.', '.')
    name = name.replace('downsample.weight', 'downsample.0.weight')
    name = name.replace('downsample.bn', 'downsample.1')
    return re.sub(r'conv(\d)\.bn', r'bn\1', name)


def as_gc(name):
    name = re.sub(
        r'gc\.([ltsg])\.',
        lambda m: f'eft{"ltsg".index(m[1]) + 1}.',
        name.replace('cls_head.fc_cls', 'new_fc'),
    )
    if 'eft' in name:
        name = name.removeprefix('backbone.').replace('.bn.', '.bn1.')
        return f'base_model.{name}'
    return name if name.startswith('new_fc') else f'base_model.{as_torchvision(name)}'


def test_torchvision_weights_start_every_kind():
    weights = randomize(recognizer()).backbone.state_dict()
    file = {as_torchvision(n): v for n, v in weights.items()}
    assert {'bn1.weight', 'layer1.0.conv1.weight', 'layer1.0.downsample.1.bias'} <= {
        *file
    }
    for kind in KINDS:
        model = recognizer(kind)
        report = load_state(model, {**file, 'fc.weight': torch.ones(1000, 128)})
        assert report.ratio == 1
        assert report.unexpected == ('fc.weight',)
        own = model.backbone.state_dict()
        assert all(torch.equal(own[n], v) for n, v in weights.items())


def test_released_gc_weights_load_with_their_head():
    source, model = randomize(recognizer('gctsm')), recognizer('gctsm')
    weights = {as_gc(n): v for n, v in source.state_dict().items()}
    assert 'base_model.layer2.1.eft3.conv.weight' in weights
    report = load_state(model, weights)
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    assert torch.equal(model.cls_head.fc_cls.weight, source.cls_head.fc_cls.weight)
    assert torch.equal(
        model.backbone.layer2[1].gc.g.conv.weight,
        source.backbone.layer2[1].gc.g.conv.weight,
    )


def test_published_manet_weights_load_by_name():
    source, model = randomize(recognizer('manet')), recognizer('manet')
    weights = dict(source.state_dict())
    for part in ('squeeze', 'conv1', 'expand'):
        name = f'backbone.layer1.0.conv1.conv.action_p2_{part}.weight'
        weights[name] = torch.ones(1)
    classes = [str(i) for i in range(82)]
    report = load_trained(model, {'state_dict': weights}, 'mma82', classes)
    assert len(report.matched) == len(source.state_dict())


@pytest.mark.parametrize('kind', ['gctsm', 'manet'])
def test_gates_may_be_absent_at_the_start_only(kind):
    weights = randomize(recognizer()).state_dict()
    model = recognizer(kind)
    gates = [p.clone() for m in model.modules() if is_gate(m) for p in m.parameters()]
    report = load_state(model, weights)
    assert report.ratio == 1
    assert report.missing
    kept = [p for m in model.modules() if is_gate(m) for p in m.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(gates, kept, strict=True))
    with pytest.raises(ValueError, match=r'of another model: .* missing: backbone'):
        load_trained(
            model, {'state_dict': weights}, 'mma82', [str(i) for i in range(82)]
        )


def is_gate(module: nn.Module):
    return getattr(module, 'starts_fresh', False)


def test_half_a_gate_counts_as_missing():
    weights = randomize(recognizer('gctsm')).state_dict()
    broken = {n: v for n, v in weights.items() if '.gc.' not in n or '.l.' in n}
    with pytest.raises(ValueError, match=r'fits only'):
        load_state(recognizer('gctsm'), broken)
