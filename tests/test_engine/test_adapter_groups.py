import pytest
from adapter_runs import model_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import nn

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
