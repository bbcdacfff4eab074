import math

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmma.checkpoints import load_state
from mmma.models.adapters import (
    LoraLinear,
    TIAdapter,
    adapt_blocks,
    adapters_of,
    is_adapter,
    merge_lora,
)
from mmma.models.backbones.videomae import VideoMAEViT
from mmma.models.backbones.videomae_tia import VideoMAETIA

SMALL = dict(embed_dims=24, depth=3, num_heads=3, img_size=32, num_frames=4)
ADAPTERS = (dict(lora={}), dict(tia=True), dict(lora={}, tia=True))
LINEAR = ('attn.qkv', 'attn.proj', 'mlp.layers.0.0', 'mlp.layers.1')


def build(scale=0.2, kind=VideoMAEViT, **options):
    """A small backbone, all of its parameters random unless ``scale`` is 0."""
    torch.manual_seed(0)
    model = kind(SMALL, **options)
    for parameter in model.parameters() if scale else ():
        nn.init.normal_(parameter, std=scale)
    return model


def clips(count=2, frames=4):
    return torch.randn(
        count, 3, frames, 32, 32, generator=torch.Generator().manual_seed(1)
    )


@pytest.mark.parametrize('init', [False, True])
@pytest.mark.parametrize(
    'options', [dict(lora={}), dict(tia=True), dict(lora={}, tia=True)]
)
def test_it_starts_as_the_model_without(options, init):
    plain = build()
    model = build(scale=0, **options)
    if init:
        model.init_weights()
    report = load_state(model, plain.state_dict())
    assert report.ratio == 1
    assert all(map(is_adapter, report.missing))
    torch.testing.assert_close(model(clips()), plain(clips()), rtol=0, atol=0)


def test_lora_is_the_formula_of_the_paper():
    torch.manual_seed(0)
    plain = nn.Linear(6, 4)
    layer = LoraLinear(plain, rank=2, alpha=6.0, dropout=0.0)
    assert (layer.weight is plain.weight, layer.bias is plain.bias) == (True, True)
    assert layer.lora_A.weight.abs().max() <= 1 / math.sqrt(6)  # PEFT's draw
    nn.init.normal_(layer.lora_B.weight)
    x = torch.randn(3, 5, 6)
    change = 3 * x @ layer.lora_A.weight.T @ layer.lora_B.weight.T
    torch.testing.assert_close(layer(x), plain(x) + change)
    merged = layer.merged()
    assert type(merged) is nn.Linear
    torch.testing.assert_close(merged(x), layer(x))


@pytest.mark.parametrize('kind', [VideoMAEViT, VideoMAETIA])
def test_names_are_those_of_peft_and_targets_are_chosen_as_there(kind):
    def changed(targets):
        names = build(kind=kind, lora=dict(rank=2, targets=targets)).state_dict()
        return {n.removesuffix('.lora_A.weight') for n in names if 'lora_A' in n}

    everything = {f'blocks.{i}.{name}' for i in range(3) for name in LINEAR}
    assert changed('all-linear') == everything
    assert changed(['qkv']) == {n for n in everything if n.endswith('.qkv')}
    assert changed(('attn.proj', 'layers.1')) == {
        n for n in everything if n.endswith(('.proj', '.layers.1'))
    }


@pytest.mark.parametrize('with_cp', [False, True])
@pytest.mark.parametrize(
    'options', [dict(lora={}), dict(tia=True), dict(lora={}, tia=True)]
)
def test_adapters_alone_learn_and_the_rest_is_told(options, with_cp):
    model = build(with_cp=with_cp, drop_path_rate=0.1, **options).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=0.05, weight_decay=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        (model(clips()) - 1).square().mean().backward()
        assert all(p.grad is not None for p in learning)
        optimizer.step()
    same = {n for n, v in model.state_dict().items() if torch.equal(v, before[n])}
    assert same == set(model.frozen_names())
    assert same == {n for n in before if not is_adapter(n)}
    assert build(**options, frozen=False).frozen_names() == build().frozen_names() == []


def test_checkpointing_changes_no_gradient():
    found = []
    for with_cp in (False, True):
        model = build(with_cp=with_cp, lora=dict(rank=2), tia=True)
        model(clips()).square().sum().backward()
        found.append([p.grad for p in model.parameters() if p.requires_grad])
    for plain, recomputed in zip(*found, strict=True):
        torch.testing.assert_close(recomputed, plain)


def test_dropout_is_of_the_change_alone_and_off_in_evaluation():
    model = build(lora=dict(dropout=0.5)).train()
    x = clips()
    assert not torch.equal(model(x), model(x))
    assert torch.equal(model.eval()(x), model(x))
    block = model.train().blocks[0]
    assert (block.attn.training, block.attn.qkv.training) == (False, True)
    for layer in adapters_of(model):
        nn.init.zeros_(layer.lora_B.weight)
    assert torch.equal(model(x), model.eval()(x))


@pytest.mark.parametrize('kind', [VideoMAEViT, VideoMAETIA])
def test_merged_changes_give_a_model_without_lora(kind):
    model = build(kind=kind, lora=dict(rank=2, alpha=3)).eval()
    expected = model(clips())
    assert merge_lora(model) == 3 * len(LINEAR)
    torch.testing.assert_close(model(clips()), expected)
    plain = build(kind=kind)
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(plain.eval()(clips()), expected)


def test_layers_keep_their_rates():
    model = nn.ModuleDict(dict(backbone=build(lora={}), cls_head=nn.Linear(24, 2)))
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor='LayerDecayOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.0),
            paramwise_cfg=dict(decay_rate=0.5),
        ),
    )
    rates = sorted({group['lr'] for group in wrapper.param_groups})
    assert rates == [0.125, 0.25, 0.5, 1.0]  # three blocks and the classifier


def test_it_is_peft_with_the_same_weights():
    peft = pytest.importorskip('peft')
    layer = nn.Sequential(nn.Linear(8, 6), nn.GELU(), nn.Linear(6, 4))
    ours = nn.ModuleList([nn.Sequential(nn.Linear(8, 6), nn.GELU(), nn.Linear(6, 4))])
    ours[0].load_state_dict(layer.state_dict())
    adapt_blocks(ours, 8, dict(rank=3, alpha=5), tia=False)
    options = dict(r=3, lora_alpha=5, target_modules=['0', '2'])
    theirs = peft.get_peft_model(layer, peft.LoraConfig(**options))
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    told = peft.get_peft_model_state_dict(theirs)
    names = {n.removeprefix('base_model.model.'): v for n, v in told.items()}
    assert names.keys() == {n for n in ours[0].state_dict() if 'lora_' in n}
    own = {n.replace('base_layer.', ''): v for n, v in layer.state_dict().items()}
    ours[0].load_state_dict({n: v for n, v in own.items() if 'lora' not in n} | names)
    x = torch.randn(5, 8)
    torch.testing.assert_close(ours[0](x), theirs(x))


@pytest.mark.parametrize(
    ('lora', 'message'),
    [
        (dict(rang=4), r"unknown option 'rang'.* Did you mean 'rank'\?"),
        (dict(rank=0), r'lora.rank is 0: use a whole number from 1, such as 8'),
        (dict(rank=2.0), r'lora.rank is 2.0'),
        (dict(alpha=-1), r'lora.alpha is -1: use a number above 0'),
        (dict(dropout=1), r'lora.dropout is 1: use a share below 1'),
        (
            dict(targets=['query']),
            r"lora.targets has 'query', and .* are attn.proj, attn",
        ),
        (True, r'lora is True: use options, such as dict\(rank=8\), or None'),
        (dict(targets=[]), r'lora.targets has \[\]'),
    ],
)
def test_bad_options_are_refused(lora, message):
    with pytest.raises(ValueError, match=message):
        build(lora=lora)


def test_adapters_of_a_model_are_found():
    model = build(lora=dict(targets=['proj']), tia=True)
    kinds = [type(part) for part in adapters_of(model)]
    assert (kinds.count(LoraLinear), kinds.count(TIAdapter)) == (3, 3)
