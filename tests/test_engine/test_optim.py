import pytest
import torch
from adapter_runs import model_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from mmma.models.backbones.shift_resnet import ShiftResNet
from mmma.models.backbones.videomae import VideoMAEViT
from mmma.models.heads.action_head import ActionHead
from mmma.models.heads.manet_head import MANetHead
from mmma.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS

OPTIMIZER = dict(type='AdamW', lr=1e-4, weight_decay=0.05)


@pytest.fixture(autouse=True)
def _scope():
    OPTIM_WRAPPER_CONSTRUCTORS.get('AdapterOptimWrapperConstructor')
    with DefaultScope.overwrite_default_scope('mmma'):
        yield


def build(net, optimizer=OPTIMIZER, **options):
    return build_optim_wrapper(
        net,
        dict(
            type='OptimWrapper',
            constructor='AdapterOptimWrapperConstructor',
            optimizer=optimizer,
            paramwise_cfg=options,
        ),
    ).optimizer.param_groups


def settings(net, **options):
    names = {id(p): n for n, p in net.named_parameters()}
    return {
        names[id(p)]: (g['lr'], g['weight_decay'])
        for g in build(net, **options)
        for p in g['params']
    }


@pytest.mark.parametrize('frozen', [False, True])
@pytest.mark.parametrize('options', [dict(), dict(adapters_lr=4)])
def test_every_trained_parameter_is_in_one_group(frozen, options):
    net = MODELS.build(model_config(frozen=frozen))
    grouped = [id(p) for g in build(net, **options) for p in g['params']]
    trained = [id(p) for p in net.parameters() if p.requires_grad]
    assert sorted(grouped) == sorted(trained)


def test_groups_of_adatad():
    found = settings(MODELS.build(model_config()), adapters_lr=4)
    adapter = 'backbone.blocks.1.adapter.'
    for name in ('up_proj.weight', 'dwconv.bias', 'gamma'):
        assert found[adapter + name] == pytest.approx((4e-4, 0.05))
    for name in (
        'projection.embed.0.conv.weight',
        'projection.stem.0.mlp.0.weight',
        'rpn_head.cls_head.weight',
    ):
        assert found[name] == (1e-4, 0.05)
    for name in (
        'projection.stem.0.ln1.weight',
        'projection.stem.0.mlp.0.bias',
        'projection.stem.0.drop_path_mlp.scale',
        'neck.fpn_norms.0.bias',
        'rpn_head.scale.1.scale',
    ):
        assert found[name] == (1e-4, 0)


def test_without_the_option_all_learn_at_one_rate():
    found = settings(MODELS.build(model_config()))
    assert {lr for lr, _ in found.values()} == {1e-4}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(adapter_lr=4), "unknown option 'adapter_lr' .* Did you mean 'adapters_"),
        (dict(adapters_lr=0), 'adapters_lr is 0: use a number above 0'),
        (dict(adapters_lr=4), 'the model has no adapters'),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(nn.Linear(2, 2), **options)


@pytest.mark.parametrize('name', ['lr', 'weight_decay'])
def test_the_optimizer_names_rate_and_decay(name):
    optimizer = {k: v for k, v in OPTIMIZER.items() if k != name}
    with pytest.raises(ValueError, match=f'optim_wrapper.optimizer lacks {name}'):
        build(nn.Linear(2, 2), optimizer)


DEPTH = 3
OPTIMIZER_LAYER_DECAY = dict(type='AdamW', lr=1.0, weight_decay=0.05)


@pytest.fixture(autouse=True)
def _scope_of_layer_decay():
    OPTIM_WRAPPER_CONSTRUCTORS.get('LayerDecayOptimWrapperConstructor')
    with DefaultScope.overwrite_default_scope('mmma'):
        yield


@pytest.fixture
def model():
    net = nn.Module()
    net.backbone = VideoMAEViT(
        dict(embed_dims=8, depth=DEPTH, num_heads=1, img_size=16, num_frames=2)
    )
    net.cls_head = nn.Linear(8, 5)
    return net


def build_of_layer_decay(net, optimizer=OPTIMIZER_LAYER_DECAY, **options):
    return build_optim_wrapper(
        net,
        dict(
            type='OptimWrapper',
            constructor='LayerDecayOptimWrapperConstructor',
            optimizer=optimizer,
            paramwise_cfg=options,
        ),
    )


def settings_of_layer_decay(net, **options):
    """Group of each parameter, by name."""
    names = {id(p): n for n, p in net.named_parameters()}
    groups = build_of_layer_decay(net, **options).optimizer.param_groups
    return {names[id(p)]: g for g in groups for p in g['params']}


def test_every_trained_parameter_is_in_one_group_of_layer_decay(model):
    model.cls_head.bias.requires_grad_(False)
    groups = build_of_layer_decay(model, decay_rate=0.5).optimizer.param_groups
    grouped = [id(p) for g in groups for p in g['params']]
    trained = [id(p) for p in model.parameters() if p.requires_grad]
    assert sorted(grouped) == sorted(trained)


@pytest.mark.parametrize(
    ('name', 'power'),
    [
        ('backbone.patch_embed.projection.weight', DEPTH + 1),
        ('backbone.patch_embed.projection.bias', DEPTH + 1),
        ('backbone.blocks.0.attn.qkv.weight', DEPTH),
        ('backbone.blocks.2.mlp.layers.0.0.bias', 1),
        ('backbone.fc_norm.weight', 0),
        ('cls_head.weight', 0),
    ],
)
def test_rates_shrink_towards_the_input(model, name, power):
    group = settings_of_layer_decay(model, decay_rate=0.5)[name]
    assert group['lr'] == group['lr_scale'] == 0.5**power


def test_only_matrices_are_decayed(model):
    decays = {
        n: g['weight_decay']
        for n, g in settings_of_layer_decay(model, decay_rate=0.75).items()
    }
    parameters = dict(model.named_parameters())
    assert {n for n, d in decays.items() if d == 0.05} == {
        n for n, p in parameters.items() if p.ndim > 1
    }
    assert set(decays.values()) == {0.0, 0.05}


def test_a_rate_of_one_keeps_the_learning_rate(model):
    assert {g['lr'] for g in settings_of_layer_decay(model, decay_rate=1).values()} == {
        1.0
    }


def test_a_frozen_backbone_leaves_the_head(model):
    model.backbone.requires_grad_(False)
    assert set(settings_of_layer_decay(model, decay_rate=0.5)) == {
        'cls_head.weight',
        'cls_head.bias',
    }


def test_optimizer_state_survives_saving(model):
    wrapper = build_of_layer_decay(model, decay_rate=0.5)
    model.cls_head(torch.ones(1, 8)).sum().backward()
    wrapper.step()
    again = build_of_layer_decay(model, decay_rate=0.5)
    again.load_state_dict(wrapper.state_dict())
    assert [g['lr'] for g in again.param_groups] == [
        g['lr'] for g in wrapper.param_groups
    ]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            dict(decay_rat=0.5),
            r"unknown option 'decay_rat'.* Did you mean 'decay_rate'\?",
        ),
        (dict(decay_rate=0), r'decay_rate is 0: use a number above 0'),
        (dict(decay_rate=1.5), r'decay_rate is 1\.5: use a number above 0'),
        (dict(), r'decay_rate is None'),
        (
            dict(decay_rate=0.5, optimizer=dict(type='AdamW', lr=1.0)),
            r'optimizer lacks weight_decay',
        ),
        (
            dict(decay_rate=0.5, optimizer=dict(type='AdamW', weight_decay=0.0)),
            r'optimizer lacks lr',
        ),
    ],
)
def test_bad_settings_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        build_of_layer_decay(model, **options)


def test_a_backbone_without_layers_is_refused():
    net = nn.Module()
    net.backbone = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r'Linear has no layer_of'):
        build_of_layer_decay(net, decay_rate=0.5)


OPTIMIZER_TSM_GROUPS = dict(type='SGD', lr=1.0, weight_decay=0.1)


@pytest.fixture(autouse=True)
def _scope_of_tsm_groups():
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


def build_of_tsm_groups(net, optimizer=OPTIMIZER_TSM_GROUPS, **options):
    return build_optim_wrapper(
        net,
        dict(
            type='OptimWrapper',
            constructor='ShiftOptimWrapperConstructor',
            optimizer=optimizer,
            paramwise_cfg=options,
        ),
    )


def settings_of_tsm_groups(net, **options):
    """Multiples (lr, weight decay) of each parameter, by name."""
    names = {id(p): n for n, p in net.named_parameters()}
    groups = build_of_tsm_groups(net, **options).optimizer.param_groups
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
def test_every_trained_parameter_is_in_one_group_of_tsm_groups(kwargs, options):
    net = make(**kwargs)
    net.backbone.conv1.requires_grad_(False)
    groups = build_of_tsm_groups(net, **options).optimizer.param_groups
    grouped = [id(p) for g in groups for p in g['params']]
    trained = [id(p) for p in net.parameters() if p.requires_grad]
    assert sorted(grouped) == sorted(trained)
    assert len({g['group_name'] for g in groups}) == len(groups)


@pytest.mark.parametrize('first', [False, True])
def test_groups_of_tsm(first):
    found = settings_of_tsm_groups(make(first=first), fc_lr5=True)
    assert found['backbone.conv1.conv.weight'] == (1, 1)
    assert found['backbone.layer1.0.conv1.conv.net.weight'] == (1, 1)
    assert found['backbone.layer1.0.conv1.bn.weight'] == (1, 0)
    assert found['backbone.layer1.0.conv1.bn.bias'] == (1, 0)
    assert found['cls_head.fc_cls.weight'] == (5, 1)
    assert found['cls_head.fc_cls.bias'] == (10, 0)


def test_without_options_the_classifier_is_a_layer_like_others():
    found = settings_of_tsm_groups(make())
    assert found['cls_head.fc_cls.weight'] == (1, 1)
    assert found['cls_head.fc_cls.bias'] == (2, 0)


def test_gates_learn_faster_in_all_their_parameters():
    found = settings_of_tsm_groups(make(context={}), gates_lr=5)
    gates = {n: v for n, v in found.items() if '.gc.' in n}
    assert len(gates) == 12
    assert {n for n, v in gates.items() if v == (5, 1)} == {
        f'backbone.layer1.0.gc.{g}.conv.weight' for g in 'ltsg'
    }
    assert {v for n, v in gates.items() if '.bn.' in n} == {(5, 0)}
    assert found['cls_head.fc_cls.bias'] == (2, 0)


def test_legacy_takes_the_last_layer_of_manet():
    found = settings_of_tsm_groups(make(squeeze=4, head=MANetHead), legacy_fc_lr5=True)
    assert found['cls_head.fc_emb_t.weight'] == (5, 1)
    assert found['cls_head.fc_emb_t.bias'] == (10, 0)
    assert found['cls_head.fc_cls.weight'] == (1, 1)
    assert found['backbone.layer1.0.conv1.conv.fcce.0.weight'] == (1, 1)


def test_body_classifier_learns_like_the_other():
    net = make()
    net.cls_head = ActionHead(82, 64, pooling='segments', body={})
    assert settings_of_tsm_groups(net, fc_lr5=True)['cls_head.fc_body.bias'] == (10, 0)


def test_other_norms_and_bare_parameters():
    net = make()
    net.norm = nn.LayerNorm((3, 4))
    net.scale = nn.Parameter(torch.ones(3))
    net.token = nn.Parameter(torch.ones(1, 3))
    found = settings_of_tsm_groups(net)
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
def test_bad_settings_are_refused_of_tsm_groups(options, message):
    with pytest.raises(ValueError, match=message):
        build_of_tsm_groups(make(), **options)
