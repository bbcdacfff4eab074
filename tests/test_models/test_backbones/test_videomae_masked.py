"""Masked video modelling: the objective by hand, against others, and what loads."""

import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmma.checkpoints.loading import load_state
from mmma.config import config_folders
from mmma.models.backbones.videomae import ViTArch
from mmma.models.backbones.videomae_masked import normalised_patches
from mmma.registry import MODELS

CONFIGS = config_folders()[0]
MILLIONS = {'tiny': 1.20, 's': 24.0, 'b': 94.2}
PLAIN = {'type': 'BaseDataPreprocessor'}


def load(size):
    return Config.fromfile(CONFIGS / f'pretrain/videomae-{size}_mma82.py')


def small(arch=None, side=32):
    """A model of 2 slices of 2x2 tokens, weights drawn by seed 0, as is its batch."""
    torch.manual_seed(0)
    cfg = load('tiny').model
    sizes = dict(embed_dims=16, depth=2, num_heads=2, img_size=side, num_frames=4)
    cfg.backbone.arch = arch or sizes
    cfg.decoder = dict(embed_dims=8, depth=1, num_heads=2)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def batch(side=32, frames=4, clips=2, ratio=0.5):
    rng = np.random.default_rng(0)
    shape = (clips, 1, 3, frames, side, side)
    imgs = torch.from_numpy(rng.integers(0, 256, shape, np.uint8))
    places = (side // 16) ** 2
    masks = [rng.permutation(places) < int(ratio * places) for _ in range(clips)]
    samples = [
        ActionDataSample(metainfo={'mask': m.reshape(side // 16, -1)}) for m in masks
    ]
    return dict(inputs=list(imgs), data_samples=samples)


def test_pixels_of_a_token_are_normalised_in_each_colour():
    arch = ViTArch(8, 1, 1, img_size=4, num_frames=4, patch_size=2)
    imgs = torch.rand(1, 3, 4, 4, 4)
    found = normalised_patches(imgs, arch)
    assert found.shape == (1, 2 * 2 * 2, 2 * 2 * 2 * 3)
    # The token of the second slice, first row, second column, by hand.
    token = imgs[0, :, 2:4, 0:2, 2:4].numpy()
    for colour in range(3):
        own = token[colour].reshape(-1)
        wanted = (own - own.mean()) / (own.std(ddof=1) + 1e-6)
        assert found[0, 5, colour::3].numpy() == pytest.approx(wanted, abs=1e-5)


def test_the_loss_is_the_squared_error_of_what_is_hidden():
    model, data = small().eval(), batch()
    given = model.data_preprocessor(data, True)
    loss = model(**given)['loss_pixels'].item()
    errors = []
    for clip, sample in enumerate(data['data_samples']):
        hidden = np.tile(sample.mask.reshape(-1), 2)
        drawn = model.draw_hidden(
            given['inputs'][clip], torch.from_numpy(hidden)[None]
        )[0].detach()
        raw = data['inputs'][clip][0].double().numpy() / 255  # (3, T, H, W)
        for row, place in zip(drawn, np.flatnonzero(hidden), strict=True):
            t, y, x = place // 4 * 2, place % 4 // 2 * 16, place % 2 * 16
            own = raw[:, t : t + 2, y : y + 16, x : x + 16].reshape(3, -1)
            mean, std = own.mean(1, keepdims=True), own.std(1, ddof=1, keepdims=True)
            wanted = ((own - mean) / (std + 1e-6)).T.reshape(-1)
            errors.append((row.double().numpy() - wanted) ** 2)
    assert len(errors) == 2 * 2 * 2  # clips, slices, half of four places
    assert loss == pytest.approx(np.mean(errors), rel=1e-5)


def test_the_encoder_sees_no_hidden_pixel_and_every_visible_one():
    model, data = small().eval(), batch()
    imgs = model.data_preprocessor(data, True)['inputs'][:, 0]
    hidden = torch.tensor([[False, True, True, False] * 2] * 2)
    drawn = model.draw_hidden(imgs, hidden)
    other = imgs.clone()
    other[..., :16, 16:] = other[..., 16:, :16] = 7.0
    torch.testing.assert_close(model.draw_hidden(other, hidden), drawn)
    for t, y, x in ((0, 0, 0), (2, 20, 20)):
        other = imgs.clone()
        other[:, :, t, y, x] += 3
        assert (model.draw_hidden(other, hidden) != drawn).flatten(1).any(1).all()


def test_other_sizes_and_masks_that_do_not_fit():
    model = small()
    assert model(**model.data_preprocessor(batch(64), True))['loss_pixels'] > 0
    data = model.data_preprocessor(batch(64), True)
    data['data_samples'] = batch(32)['data_samples']
    with pytest.raises(
        ValueError, match=r'masks of \[\(2, 2\)\] for clips of \[4, 4\] patches'
    ):
        model(**data)
    data['data_samples'] = [ActionDataSample()] * 2
    with pytest.raises(ValueError, match=r'pipeline a TubeMask'):
        model(**data)


def test_it_equals_that_of_the_transformers_library():
    transformers = pytest.importorskip('transformers')
    sizes = dict(image_size=112, hidden_size=128, num_hidden_layers=4)
    sizes |= dict(num_attention_heads=4, intermediate_size=512, layer_norm_eps=1e-6)
    drawing = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=2)
    sizes |= {f'decoder_{k}': v for k, v in drawing.items()}
    sizes |= dict(decoder_intermediate_size=256, use_mean_pooling=False)
    torch.manual_seed(0)
    config = transformers.VideoMAEConfig(**sizes)
    theirs = transformers.VideoMAEForPreTraining(config).eval()
    for weight in theirs.parameters():
        weight.data += 0.02 * torch.randn_like(weight)
    model = MODELS.build(load('tiny').model).eval()
    report = load_state(model, theirs.state_dict())
    assert set(report.missing) == {'backbone.fc_norm.weight', 'backbone.fc_norm.bias'}
    assert not report.unexpected + report.mismatched
    given = model.data_preprocessor(batch(112, 16, ratio=0.9), True)
    masks = np.stack([sample.mask for sample in given['data_samples']])
    hidden = torch.from_numpy(masks).flatten(1).repeat(1, 8)
    imgs = given['inputs'][:, 0]
    wanted = theirs(imgs.transpose(1, 2), bool_masked_pos=hidden)
    drawn = model.draw_hidden(imgs, hidden)
    torch.testing.assert_close(drawn, wanted.logits, rtol=1e-4, atol=1e-5)
    loss = model(**given)['loss_pixels']
    torch.testing.assert_close(loss, wanted.loss, rtol=1e-5, atol=0)
    loss.backward()
    wanted.loss.backward()
    first = theirs.videomae.embeddings.patch_embeddings.projection.weight.grad
    found = model.backbone.patch_embed.projection.weight.grad
    torch.testing.assert_close(found, first, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(model.mask_token.grad, theirs.mask_token.grad)


def as_original(name):
    """Name of a weight in a file of MCG-NJU/VideoMAE."""
    name = name.replace('backbone.', 'encoder.').replace('.projection.', '.proj.')
    name = name.replace('layers.0.0.', 'fc1.').replace('layers.1.', 'fc2.')
    return f'encoder.{name}' if name.startswith('norm.') else name


def test_original_names_load():
    for decoder in (1, 3):  # so that most names begin with encoder. or not
        model = small()
        cfg = load('tiny').model
        cfg.backbone.arch = vars(model.backbone.arch)
        cfg.decoder = dict(embed_dims=8, depth=decoder, num_heads=2)
        model, fresh = MODELS.build(cfg), MODELS.build(cfg)
        torch.manual_seed(1)
        state = {n: torch.randn_like(v) for n, v in model.state_dict().items()}
        absent = {n for n in state if 'fc_norm' in n or 'pos_embed' in n}
        theirs = {as_original(n): v for n, v in state.items() if n not in absent}
        assert {n.split('.')[0] for n in theirs} == {
            *('encoder', 'decoder', 'encoder_to_decoder', 'mask_token')
        }
        report = load_state(fresh, theirs, min_matched=0.9)
        assert set(report.missing) == {n for n in absent if 'fc_norm' in n}
        assert not report.unexpected
        for name in state.keys() - absent:
            assert torch.equal(fresh.state_dict()[name], state[name]), name


def test_its_weights_start_a_recipe_whose_last_norm_is_fresh():
    weights = MODELS.build(load('tiny').model)
    weights.init_weights()
    cfg = Config.fromfile(CONFIGS / 'recog/videomae-tiny_mma82_indomain.py')
    model = MODELS.build(cfg.model)
    report = load_state(model, weights.state_dict())
    assert report.ratio == 1
    assert {n.split('.')[0] for n in report.missing} == {'cls_head'}
    for name, value in weights.backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], value)
    assert torch.equal(model.backbone.fc_norm.weight, torch.ones(128))


@pytest.mark.parametrize('size', MILLIONS)
def test_sizes_and_groups(size):
    cfg = load(size)
    cfg.model.data_preprocessor = PLAIN
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert not any('fc_norm' in name for name in learning)
    count = sum(p.numel() for p in learning.values())
    assert count / 1e6 == pytest.approx(MILLIONS[size], rel=5e-3)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    decay = {id(p): g['weight_decay'] for g in groups for p in g['params']}
    for name, weight in learning.items():
        plain = weight.ndim == 1 or name == 'mask_token'
        assert decay[id(weight)] == (0 if plain else 0.05), name
    loader = cfg.train_dataloader
    assert (loader.sampler.repeats, loader.dataset.subsets) == (4, ['train', 'val'])
    assert loader.dataset.other_domains == []
    *_, last = cfg.param_scheduler
    assert last.end == cfg.train_cfg.max_epochs == last.begin + last.T_max


def test_it_learns_a_batch():
    model = small()
    assert 0 < model.mask_token.abs().max() <= 0.02
    # Stripes whose places tell them: what is hidden can be drawn.
    x = torch.arange(32) % 16
    imgs = (x * 8 + 60).expand(2, 1, 3, 4, 32, 32).to(torch.uint8)
    data = dict(batch(), inputs=list(imgs.contiguous()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = model(**model.data_preprocessor(data, True))['loss_pixels']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.8
    assert losses[-1] < 0.05
