import json
import sys

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmma.checkpoints import load_state, load_weights_file, weights_of
from mmma.models.adapters import is_adapter
from mmma.models.backbones.hub_encoder import HubVideoEncoder, read_config

TINY = dict(hidden_size=24, num_hidden_layers=3, num_attention_heads=3)
CLIP = dict(image_size=32, num_frames=4, intermediate_size=48)
CONFIGS = dict(
    vjepa2=dict(model_type='vjepa2', crop_size=32, mlp_ratio=2, **TINY),
    videomae=dict(model_type='videomae', **CLIP, **TINY),
    vivit=dict(model_type='vivit', **CLIP, **TINY),
    timesformer=dict(model_type='timesformer', **CLIP, **TINY),
)
KINDS = tuple(CONFIGS)


@pytest.fixture(scope='module')
def transformers():
    return pytest.importorskip('transformers')


@pytest.fixture(scope='module')
def build(transformers):
    """A tiny encoder whose parameters are all random and not tiny."""

    def build(kind='vjepa2', **kwargs):
        torch.manual_seed(0)
        model = HubVideoEncoder(CONFIGS[kind], **kwargs)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.2)
        return model

    return build


def clips(frames=4, side=32):
    return torch.randn(2, 3, frames, side, side)


def whole(transformers, kind):
    """Model that the library itself builds, random all over."""
    torch.manual_seed(1)
    model = transformers.AutoModel.from_config(read_config(CONFIGS[kind])).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


@pytest.mark.parametrize('kind', KINDS)
def test_the_feature_is_the_mean_of_the_map(build, kind):
    model = build(kind).eval()
    imgs = clips()
    feature = model(imgs)
    model.output = 'map'
    maps = model(imgs)
    slices = 4 if kind == 'timesformer' else 2
    assert maps.shape == (2, model.config.hidden_size, slices, 2, 2)
    torch.testing.assert_close(maps.mean(dim=(2, 3, 4)), feature)


def test_vjepa2_takes_any_even_number_of_frames(build):
    model = build(output='map').eval()
    assert model(clips(frames=8)).shape == (2, 24, 4, 2, 2)


@pytest.mark.parametrize('kind', KINDS)
def test_a_map_keeps_places(build, kind):
    """A change of the last frames and of one corner shows most where it happened."""
    model = build(kind, output='map').eval()
    imgs = clips()
    changed = imgs.clone()
    changed[:, :, 2:, :16, 16:] += 5
    moved = (model(changed) - model(imgs)).abs().mean(dim=(0, 1))  # (t, h, w)
    slices, row, column = torch.unravel_index(moved.argmax(), moved.shape)
    assert (slices >= moved.shape[0] // 2, row, column) == (True, 0, 1)


@pytest.mark.parametrize('kind', KINDS)
def test_every_parameter_learns_when_nothing_is_frozen(build, kind):
    model = build(kind, freeze='none')
    model(clips()).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    assert (model.config._attn_implementation == 'sdpa') is (kind != 'timesformer')


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('freeze', [0, 2, 'all'])
def test_frozen_parts_get_no_gradient_and_stay_in_evaluation(build, kind, freeze):
    model = build(kind, freeze=freeze)
    last = 4 if freeze == 'all' else freeze
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    assert learning == {n for n in model.state_dict() if model.layer_of(n) > last}
    model.train()
    for name, module in model.named_modules():
        inner = [f'{name}.{n}' for n, _ in module.named_parameters()]
        if name and inner:
            assert module.training is any(n in learning for n in inner)
    assert model(clips()).requires_grad is (freeze != 'all')


def test_frozen_weights_stay_equal_while_the_rest_moves(build):
    model = nn.ModuleDict(
        dict(backbone=build(freeze=2, with_cp=True), head=nn.Linear(24, 2))
    )
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            constructor='LayerDecayOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=1e-2, weight_decay=0.05),
            paramwise_cfg=dict(decay_rate=0.5),
        ),
    )
    rates = sorted({group['lr'] for group in wrapper.param_groups})
    assert rates == pytest.approx([5e-3, 1e-2])  # the last block; norm and head
    before = {n: w.clone() for n, w in model.state_dict().items()}
    imgs = clips()
    for _ in range(3):
        scores = model['head'](model['backbone'](imgs))
        wrapper.update_params(nn.functional.cross_entropy(scores, torch.tensor([0, 1])))
    after = model.state_dict()
    moved = {n for n, w in before.items() if not torch.equal(w, after[n])}
    assert moved == {n for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize('freeze', ['none', 'all'])
def test_one_batch_is_learned(build, freeze):
    model = build(freeze=freeze).train()
    head = nn.Linear(24, 2)
    learning = [p for p in (*model.parameters(), *head.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=0.1)
    imgs, labels = clips(), torch.tensor([0, 1])
    for _ in range(60):
        loss = nn.functional.cross_entropy(head(model(imgs)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05


def test_checkpointing_gives_the_same_gradients(build):
    imgs = clips()
    gradients = []
    for with_cp in (False, True):
        model = build(freeze='none', with_cp=with_cp).train()
        calls = []
        model.model.layer[1].mlp.register_forward_pre_hook(
            lambda *_, c=calls: c.append(1)
        )
        model(imgs).square().sum().backward()
        assert len(calls) == 1 + with_cp
        gradients.append([p.grad for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


@pytest.mark.parametrize('suffix', ['safetensors', 'pth'])
def test_a_whole_vjepa2_file_loads_into_the_encoder(
    transformers, build, tmp_path, suffix, capsys
):
    full = whole(transformers, 'vjepa2')
    path = tmp_path / f'model.{suffix}'
    if suffix == 'pth':
        torch.save(full.state_dict(), path)
    else:
        pytest.importorskip('safetensors.torch').save_file(full.state_dict(), path)
    model = nn.ModuleDict(dict(backbone=build(), cls_head=nn.Linear(24, 2))).eval()
    report = load_state(model, weights_of(load_weights_file(path)))
    assert (report.ratio, report.unexpected) == (1.0, ())
    assert set(report.missing) == {'cls_head.weight', 'cls_head.bias'}
    assert 'unexpected' not in capsys.readouterr().err
    imgs = clips()
    tokens = full(imgs.transpose(1, 2), skip_predictor=True).last_hidden_state
    torch.testing.assert_close(model['backbone'](imgs), tokens.mean(dim=1))
    assert not any('predictor' in name for name in model.state_dict())


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('prefix', ['', 'base'])
def test_the_library_s_own_weights_load_strictly(transformers, build, kind, prefix):
    full = whole(transformers, kind)
    named = f'{full.base_model_prefix}.' if prefix else ''
    model = build(kind).eval()
    model.load_state_dict({f'{named}{n}': w for n, w in full.state_dict().items()})
    imgs = clips()
    options = dict(skip_predictor=True) if kind == 'vjepa2' else {}
    tokens = full(imgs.transpose(1, 2), **options).last_hidden_state
    extra = tokens.shape[1] % 2  # of class tokens; those of clips are even in number
    torch.testing.assert_close(model(imgs), tokens[:, extra:].mean(dim=1))


def test_published_names_of_videomae_load(transformers, build):
    names = {}
    for name, weight in whole(transformers, 'videomae').state_dict().items():
        old = name.replace('query.bias', 'q_bias').replace('value.bias', 'v_bias')
        names[f'videomae.{old}'] = weight
    assert any(name.endswith('.q_bias') for name in names)
    model = nn.ModuleDict(dict(backbone=build('videomae')))
    report = load_state(model, {**names, 'classifier.weight': torch.ones(400, 24)})
    assert (report.ratio, report.unexpected) == (1.0, ())


def test_own_weights_load_as_they_are(build):
    weights = {n: w + 1 for n, w in build().state_dict().items()}
    model = build()
    model.load_state_dict(weights)
    assert all(torch.equal(w, weights[n]) for n, w in model.state_dict().items())


def test_weights_of_another_model_are_refused(transformers, build):
    with pytest.raises(ValueError, match=r'fits only 0\.0% of the parameters'):
        load_state(
            nn.ModuleDict(dict(backbone=build('vivit'))),
            whole(transformers, 'vjepa2').state_dict(),
        )


@pytest.mark.parametrize(
    ('fields', 'millions'),
    [
        # The library's whole V-JEPA 2 ViT-L has 326 M, 22 M of them in its predictor.
        (dict(model_type='vjepa2'), 303.9),
        (dict(model_type='videomae'), 86.2),
    ],
    ids=['vjepa2-l', 'videomae-b'],
)
def test_sizes_are_those_published(transformers, fields, millions):
    with torch.device('meta'):
        model = HubVideoEncoder(fields)
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert count == pytest.approx(millions, abs=0.05)


def test_a_local_folder_gives_the_config(transformers, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no folder with a config\.json'):
        HubVideoEncoder(str(tmp_path))
    (tmp_path / 'config.json').write_text(json.dumps(CONFIGS['vjepa2']))
    for path in (tmp_path, tmp_path / 'config.json'):
        assert HubVideoEncoder(str(path)).config.hidden_size == 24


def test_first_weights_are_those_of_the_library(transformers):
    model = HubVideoEncoder(CONFIGS['vjepa2'])
    before = model.state_dict()['model.layer.0.mlp.fc1.weight'].clone()
    model.init_weights()
    after = model.state_dict()['model.layer.0.mlp.fc1.weight']
    assert torch.equal(after, before)
    assert before.std().item() == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize(
    ('kind', 'shape', 'message'),
    [
        ('vjepa2', (3, 32), 'clips of 3 frames: .* takes a multiple of 2'),
        ('videomae', (8, 32), 'clips of 8 frames: .* takes 4'),
        ('vjepa2', (4, 48), '48x48 pixels: this encoder takes 32x32'),
    ],
)
def test_clips_that_do_not_fit_are_refused(build, kind, shape, message):
    with pytest.raises(ValueError, match=message):
        build(kind)(clips(*shape))


def test_an_unknown_number_of_tokens_is_refused(build):
    model = build('vivit')
    model.config.tubelet_size = (4, 16, 16)
    with pytest.raises(ValueError, match=r'vivit gives 9 tokens where .* tells 4'):
        model(clips())


@pytest.mark.parametrize(
    ('config', 'options', 'message'),
    [
        ({}, {}, 'model_type None in config: transformers has no such model'),
        ({'model_type': 'vjepa'}, {}, r"'vjepa' .* Did you mean 'vjepa2'\?"),
        ({'model_type': 'vit'}, {}, 'vit is no encoder of video'),
        (
            {'model_type': 'vjepa2', 'hidden_sise': 24},
            {},
            r"unknown field 'hidden_sise' .* Did you mean 'hidden_size'\?",
        ),
        (CONFIGS['vjepa2'], dict(freeze=4), "freeze=4: use 'all', 'none' or a number"),
        (CONFIGS['vjepa2'], dict(freeze=True), 'freeze=True: use'),
        (CONFIGS['vjepa2'], dict(freeze='some'), "freeze='some': use"),
        (CONFIGS['vjepa2'], dict(output='maps'), r"unknown output 'maps'.* 'map'\?"),
    ],
)
def test_bad_options_are_refused(transformers, config, options, message):
    with pytest.raises(ValueError, match=message):
        HubVideoEncoder(config, **options)


def test_models_that_do_not_fit_are_refused(build, monkeypatch):
    monkeypatch.delitem(
        sys.modules['mmma.models.backbones.hub_encoder']._TOKEN_ORDERS, 'vivit'
    )
    with pytest.raises(ValueError, match="the order of vivit's tokens is unknown"):
        build('vivit', output='map')
    monkeypatch.setattr(nn, 'ModuleList', tuple)
    with pytest.raises(ValueError, match='vjepa2: no list of 3 blocks in it'):
        HubVideoEncoder._find_blocks(build())


def test_a_missing_library_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, 'transformers', None)
    with pytest.raises(ImportError, match=r"pip install 'mmma\[hub\]'"):
        HubVideoEncoder(CONFIGS['vjepa2'])


@pytest.mark.parametrize('kind', KINDS)
def test_adapters_start_as_the_encoder_and_learn_alone(build, kind):
    tia = kind in ('vjepa2', 'videomae')
    plain, imgs = build(kind).eval(), clips()
    model = HubVideoEncoder(CONFIGS[kind], lora=dict(rank=2), tia=tia, with_cp=True)
    report = load_state(nn.ModuleDict(dict(backbone=model)), plain.state_dict())
    assert report.ratio == 1
    torch.testing.assert_close(model.train()(imgs), plain(imgs))
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    assert learning == {n for n in model.state_dict() if is_adapter(n)}
    assert model.frozen_names() == [n for n in model.state_dict() if n not in learning]
    assert model.model.get_submodule(
        'layer' if kind == 'vjepa2' else 'encoder'
    ).training
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    before = {n: v.clone() for n, v in model.state_dict().items()}
    for _ in range(2):
        model(imgs).square().sum().backward()
        optimizer.step()
    moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert moved == learning


def test_adapters_reach_other_chunks_of_a_window(build):
    model = build(output='map', chunk=4, tia=True).eval()
    imgs = clips(frames=12)
    assert model(imgs).shape == (2, 24, 6, 2, 2)
    alone = build(output='map', chunk=4).eval()
    parts = [alone(part) for part in imgs.split(4, dim=2)]
    torch.testing.assert_close(alone(imgs), torch.cat(parts, dim=2))
    alone.output = 'mean'
    whole = torch.cat(parts, dim=2).mean(dim=(2, 3, 4))
    torch.testing.assert_close(alone(imgs), whole)
    changed = imgs.clone()
    changed[:, :, 4:] += 1
    assert not torch.equal(model(changed)[:, :, 1], model(imgs)[:, :, 1])
    with pytest.raises(ValueError, match=r'windows of 6 frames: .* its chunk, 4'):
        model(clips(frames=6))
    with pytest.raises(ValueError, match=r'tia: adapters .*; timesformer has not'):
        build('timesformer', tia=True)


@pytest.mark.parametrize('kind', KINDS[:2])
def test_an_adapter_file_of_peft_gives_the_same_features(transformers, kind):
    peft = pytest.importorskip('peft')
    full = whole(transformers, kind)
    base = {n: v.clone() for n, v in full.state_dict().items()}
    named = ['query', 'value']
    options = dict(r=3, lora_alpha=5, target_modules=named)
    if kind == 'vjepa2':
        options['exclude_modules'] = 'predictor.*'
    theirs = peft.get_peft_model(full, peft.LoraConfig(**options)).eval()
    for parameter in theirs.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2)
    told = peft.get_peft_model_state_dict(theirs)
    names = {k.removeprefix('base_model.model.'): v for k, v in told.items()}
    model = HubVideoEncoder(CONFIGS[kind], lora=dict(rank=3, alpha=5, targets=named))
    load_state(nn.ModuleDict(dict(backbone=model)), base)
    found = model.load_state_dict(names, strict=False)
    assert found.unexpected_keys == []
    imgs = clips()
    more = dict(skip_predictor=True) if kind == 'vjepa2' else {}
    tokens = theirs(imgs.transpose(1, 2), **more).last_hidden_state
    torch.testing.assert_close(model.eval()(imgs), tokens.mean(dim=1))
