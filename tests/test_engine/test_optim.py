import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

from mmma.apis import load_config
from mmma.models.backbones.videomae import VideoMAEViT
from mmma.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS

DEPTH = 3
OPTIMIZER = dict(type='AdamW', lr=1.0, weight_decay=0.05)


@pytest.fixture(autouse=True)
def _scope():
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


def build(net, optimizer=OPTIMIZER, **options):
    return build_optim_wrapper(
        net,
        dict(
            type='OptimWrapper',
            constructor='LayerDecayOptimWrapperConstructor',
            optimizer=optimizer,
            paramwise_cfg=options,
        ),
    )


def settings(net, **options):
    """Group of each parameter, by name."""
    names = {id(p): n for n, p in net.named_parameters()}
    groups = build(net, **options).optimizer.param_groups
    return {names[id(p)]: g for g in groups for p in g['params']}


def test_every_trained_parameter_is_in_one_group(model):
    model.cls_head.bias.requires_grad_(False)
    groups = build(model, decay_rate=0.5).optimizer.param_groups
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
    group = settings(model, decay_rate=0.5)[name]
    assert group['lr'] == group['lr_scale'] == 0.5**power


def test_only_matrices_are_decayed(model):
    decays = {n: g['weight_decay'] for n, g in settings(model, decay_rate=0.75).items()}
    parameters = dict(model.named_parameters())
    assert {n for n, d in decays.items() if d == 0.05} == {
        n for n, p in parameters.items() if p.ndim > 1
    }
    assert set(decays.values()) == {0.0, 0.05}


def test_a_rate_of_one_keeps_the_learning_rate(model):
    assert {g['lr'] for g in settings(model, decay_rate=1).values()} == {1.0}


def test_a_frozen_backbone_leaves_the_head(model):
    model.backbone.requires_grad_(False)
    assert set(settings(model, decay_rate=0.5)) == {
        'cls_head.weight',
        'cls_head.bias',
    }


def test_optimizer_state_survives_saving(model):
    wrapper = build(model, decay_rate=0.5)
    model.cls_head(torch.ones(1, 8)).sum().backward()
    wrapper.step()
    again = build(model, decay_rate=0.5)
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
        build(model, **options)


def test_a_backbone_without_layers_is_refused():
    net = nn.Module()
    net.backbone = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r'Linear has no layer_of'):
        build(net, decay_rate=0.5)


def test_constructors_of_old_dumped_configs_say_what_to_do(model):
    for name in ('ShiftOptimWrapperConstructor', 'AdapterOptimWrapperConstructor'):
        old = dict(constructor=name, optimizer=OPTIMIZER, paramwise_cfg={'gates_lr': 5})
        with pytest.raises(ValueError, match=r'is gone, .* Use the config that comes'):
            build_optim_wrapper(model, old)


def recipe_groups(config):
    """Multiples (rate, decay) of each trained parameter of a recipe, and the model."""
    cfg = load_config(config)
    net = MODELS.build(cfg.model)
    optimizer = cfg.optim_wrapper.optimizer
    names = {id(p): n for n, p in net.named_parameters()}
    groups = build_optim_wrapper(net, cfg.optim_wrapper).optimizer.param_groups
    found = {
        names[id(p)]: (
            round(g['lr'] / optimizer.lr, 6),
            round(g['weight_decay'] / optimizer.weight_decay, 6),
        )
        for g in groups
        for p in g['params']
    }
    assert set(found) == {n for n, p in net.named_parameters() if p.requires_grad}
    return found, net


@pytest.mark.parametrize(
    ('config', 'fast'),
    [
        ('recog/tsm_mma82_indomain', 'cls_head.fc_cls'),
        ('recog/manet_mma82_indomain', 'cls_head.fc_emb_t'),
        ('recog/gctsm_mma82_indomain', None),
    ],
)
def test_groups_of_shift_networks(config, fast):
    """Those of MMAction2 (tsm_optim_wrapper_constructor), Group-Contextualization."""
    found, net = recipe_groups(f'configs/{config}.py')
    norms = {
        f'{name}.'
        for name, part in net.named_modules()
        if isinstance(part, nn.modules.batchnorm._NormBase | nn.LayerNorm)
    }
    wrong = {}
    for name, value in found.items():
        owner, _, kind = name.rpartition('.')
        bias = kind == 'bias' and f'{owner}.' not in norms
        expected = (2, 0) if bias else (1, int(f'{owner}.' not in norms))
        if owner == fast:
            expected = (10, 0) if bias else (5, 1)
        if '.gc.' in name:
            expected = (5, expected[1])
        if value != expected:
            wrong[name] = value
    assert not wrong
    assert config.startswith('recog/gctsm') == any('.gc.' in name for name in found)


@pytest.mark.parametrize(
    ('config', 'rate'),
    [
        ('adatad_videomae-tiny', 1),
        ('adatad_videomae-s', 4),
        ('actionformer_videomae-s-features', None),
    ],
)
def test_groups_of_detectors(config, rate):
    """Those of OpenTAD: all of an adapter decays; outside, matrices, convolutions."""
    found, net = recipe_groups(f'configs/det/{config}_mma82.py')
    parameters = dict(net.named_parameters())
    wrong = {}
    for name, value in found.items():
        plain = parameters[name].ndim < 2 or name.endswith('.scale')
        expected = (rate, 1) if '.adapter.' in name else (1, int(not plain))
        if value != expected:
            wrong[name] = value
    assert not wrong
    assert (rate is not None) == any('.adapter.' in name for name in found)
