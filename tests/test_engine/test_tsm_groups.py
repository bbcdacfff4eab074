import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from mmma.models.backbones.shift_resnet import ShiftResNet
from mmma.models.heads import ActionHead, MANetHead
from mmma.registry import OPTIM_WRAPPER_CONSTRUCTORS

OPTIMIZER = dict(type='SGD', lr=1.0, weight_decay=0.1)


@pytest.fixture(autouse=True)
def _scope():
    OPTIM_WRAPPER_CONSTRUCTORS.get('ShiftOptimWrapperConstructor')
    with DefaultScope.overwrite_default_scope('mmma'):
        yield


def make(head=ActionHead, first=False, **kwargs):
    net = nn.Module()
    parts = dict(
        backbone=ShiftResNet((1,), 16, num_segments=2, **kwargs),
        cls_head=head(82, 64, pooling='segments', num_segments=2),
    )
    for name in reversed(parts) if first else parts:
        net.add_module(name, parts[name])
    return net


def build(net, optimizer=OPTIMIZER, **options):
    return build_optim_wrapper(
        net,
        dict(
            type='OptimWrapper',
            constructor='ShiftOptimWrapperConstructor',
            optimizer=optimizer,
            paramwise_cfg=options,
        ),
    )


def settings(net, **options):
    """Multiples (lr, weight decay) of each parameter, by name."""
    names = {id(p): n for n, p in net.named_parameters()}
    groups = build(net, **options).optimizer.param_groups
    return {
        names[id(p)]: (g['lr'], round(g['weight_decay'] / 0.1))
        for g in groups
        for p in g['params']
    }


@pytest.mark.parametrize(
    ('kwargs', 'options'),
    [
        (dict(), dict()),
        (dict(), dict(fc_lr5=True)),
        (dict(context={}), dict(gates_lr=5)),
        (dict(squeeze=4, head=MANetHead), dict(legacy_fc_lr5=True)),
    ],
)
def test_every_trained_parameter_is_in_one_group(kwargs, options):
    net = make(**kwargs)
    net.backbone.conv1.requires_grad_(False)
    groups = build(net, **options).optimizer.param_groups
    grouped = [id(p) for g in groups for p in g['params']]
    trained = [id(p) for p in net.parameters() if p.requires_grad]
    assert sorted(grouped) == sorted(trained)
    assert len({g['group_name'] for g in groups}) == len(groups)


@pytest.mark.parametrize('first', [False, True])
def test_groups_of_tsm(first):
    found = settings(make(first=first), fc_lr5=True)
    assert found['backbone.conv1.conv.weight'] == (1, 1)
    assert found['backbone.layer1.0.conv1.conv.net.weight'] == (1, 1)
    assert found['backbone.layer1.0.conv1.bn.weight'] == (1, 0)
    assert found['backbone.layer1.0.conv1.bn.bias'] == (1, 0)
    assert found['cls_head.fc_cls.weight'] == (5, 1)
    assert found['cls_head.fc_cls.bias'] == (10, 0)


def test_without_options_the_classifier_is_a_layer_like_others():
    found = settings(make())
    assert found['cls_head.fc_cls.weight'] == (1, 1)
    assert found['cls_head.fc_cls.bias'] == (2, 0)


def test_gates_learn_faster_in_all_their_parameters():
    found = settings(make(context={}), gates_lr=5)
    gates = {n: v for n, v in found.items() if '.gc.' in n}
    assert len(gates) == 12
    assert {n for n, v in gates.items() if v == (5, 1)} == {
        f'backbone.layer1.0.gc.{g}.conv.weight' for g in 'ltsg'
    }
    assert {v for n, v in gates.items() if '.bn.' in n} == {(5, 0)}
    assert found['cls_head.fc_cls.bias'] == (2, 0)


def test_legacy_takes_the_last_layer_of_manet():
    found = settings(make(squeeze=4, head=MANetHead), legacy_fc_lr5=True)
    assert found['cls_head.fc_emb_t.weight'] == (5, 1)
    assert found['cls_head.fc_emb_t.bias'] == (10, 0)
    assert found['cls_head.fc_cls.weight'] == (1, 1)
    assert found['backbone.layer1.0.conv1.conv.fcce.0.weight'] == (1, 1)


def test_body_classifier_learns_like_the_other():
    net = make()
    net.cls_head = ActionHead(82, 64, pooling='segments', body={})
    assert settings(net, fc_lr5=True)['cls_head.fc_body.bias'] == (10, 0)


def test_other_norms_and_bare_parameters():
    net = make()
    net.norm = nn.LayerNorm((3, 4))
    net.scale = nn.Parameter(torch.ones(3))
    net.token = nn.Parameter(torch.ones(1, 3))
    found = settings(net)
    assert found['norm.weight'] == found['norm.bias'] == found['scale'] == (1, 0)
    assert found['token'] == (1, 1)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(fc_lr=True), r"unknown option 'fc_lr'.* Did you mean 'fc_lr5'\?"),
        (dict(fc_lr5=True, legacy_fc_lr5=True), r'both fc_lr5 and legacy_fc_lr5'),
        (dict(gates_lr=0), r'gates_lr is 0: use a number above 0'),
        (dict(gates_lr=5), r'has no GroupContext'),
        (dict(legacy_fc_lr5=True), r'legacy_fc_lr5: .* no layer cls_head\.fc_emb_t'),
        (dict(optimizer=dict(type='SGD', lr=1.0)), r'lacks weight_decay'),
        (dict(optimizer=dict(type='SGD', weight_decay=0.0)), r'lacks lr'),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(make(), **options)
