import re

import pytest
import torch
from detection_windows import window
from mmengine.optim import build_optim_wrapper

import mmma.engine  # noqa: F401
from mmma.apis import load_config
from mmma.config import config_folders
from mmma.registry import MODELS

CONFIGS = config_folders()[0]
SIZES = ('s', 'b', 'l', 'h')
ADATAD = [f'adatad_videomae-{size}' for size in SIZES]
FEATURES = ['actionformer_videomae-s-features', 'tridet_videomae-s-features']
MODELS_AT_HAND = [*ADATAD, 'adatad_videomae-tiny', *FEATURES]


def load(name, protocol=None, **options):
    return load_config(str(CONFIGS / f'det/{name}_mma82.py'), protocol, **options)


@pytest.mark.parametrize('name', MODELS_AT_HAND)
def test_levels_fit_the_window(name):
    cfg = load(name)
    assert cfg.model.neck.num_levels == cfg.model.head.num_levels
    assert cfg.model.projection.arch[2] + 1 == cfg.model.head.num_levels
    positions = cfg.train_dataloader.dataset.window.positions
    assert positions % 2 ** (cfg.model.head.num_levels - 1) == 0
    assert positions % 16 == 0  # frames of a chunk


@pytest.mark.parametrize(
    ('size', 'rate', 'millions'),
    [('s', 4e-4, 1.01), ('b', 4e-4, 4.00), ('l', 2e-4, 14.2), ('h', 1e-4, 29.6)],
)
def test_adapters_learn_at_the_rate_of_their_size(size, rate, millions):
    cfg = load(f'adatad_videomae-{size}')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    set_of = {id(p): (g['lr'], g['weight_decay']) for g in groups for p in g['params']}
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
    adapters = {n for n in learning if '.adapter.' in n}
    (found,) = {set_of[id(learning[n])][0] for n in adapters}
    assert found == pytest.approx(rate)
    rest = {set_of[id(p)] for n, p in learning.items() if n not in adapters}
    assert rest == {(1e-4, 0.05), (1e-4, 0.0)}
    count = sum(learning[n].numel() for n in adapters)
    assert count / 1e6 == pytest.approx(millions, rel=5e-3)
    assert model.backbone.arch.embed_dims == cfg.model.projection.in_channels


@pytest.mark.parametrize('size', SIZES)
def test_adatad_starts_from_the_weights_of_recognition(size):
    size_of = '' if size == 'b' else f'-{size}'
    theirs = load_config(f'recog/videomae{size_of}_mma82_indomain')
    assert load(f'adatad_videomae-{size}').pretrained == theirs.pretrained


@pytest.mark.parametrize('size', SIZES)
def test_recipes_say_what_the_paper_reached(size):
    text = (CONFIGS / f'det/adatad_videomae-{size}_mma82.py').read_text()
    text = re.sub(r'\n# ', ' ', text)
    published = {'s': '18.77', 'b': '21.36', 'l': '23.41', 'h': '23.07'}
    assert f'Expected: AVG {published[size]} ' in text


@pytest.mark.parametrize('name', ['adatad_videomae-tiny', *FEATURES])
def test_a_model_learns_and_detects(name):
    cfg = load(name)
    if name in FEATURES:  # as deep, but narrower
        cfg.model.projection.update(out_channels=32, num_heads=2)
        cfg.model.projection.pop('num_heads' if 'tridet' in name else 'hidden', None)
        cfg.model.neck.in_channels = 32
        cfg.model.head.update(in_channels=32, feat_channels=32)
    model = MODELS.build(cfg.model)
    rgb = 'adatad' in name
    positions = 128 if rgb else 256
    shape = (3, positions, 64, 64) if rgb else (384, positions)
    inputs = (
        torch.randint(0, 256, shape, dtype=torch.uint8) if rgb else torch.randn(shape)
    )
    sample = window([[1.0, 4.0], [2.0, 9.0]], [3, 81], positions, positions=positions)
    batch = model.data_preprocessor(dict(inputs=[inputs], data_samples=[sample]), True)
    losses = model.train()(**batch, mode='loss')
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    found = model.eval()(**batch, mode='predict')[0].pred
    assert found.labels.max() <= 81
