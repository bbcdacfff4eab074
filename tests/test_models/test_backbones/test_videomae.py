import math

import pytest
import torch
import torch.nn.functional as F

from mmma.checkpoints import load_state
from mmma.models.backbones.videomae import (
    VideoMAEViT,
    find_arch,
    from_hub,
    from_original,
    resize_table,
)
from mmma.models.layers import sinusoid_table
from mmma.registry import MODELS

SMALL = dict(embed_dims=24, depth=3, num_heads=3, img_size=32, num_frames=4)
BLOCK = (
    'norm1.weight', 'norm1.bias', 'attn.q_bias', 'attn.v_bias', 'attn.qkv.weight',
    'attn.proj.weight', 'attn.proj.bias', 'norm2.weight', 'norm2.bias',
    'mlp.fc1.weight', 'mlp.fc1.bias', 'mlp.fc2.weight', 'mlp.fc2.bias',
)  # fmt: skip
EMBED = ('patch_embed.proj.weight', 'patch_embed.proj.bias')
BLOCKS = tuple(f'blocks.{i}.{name}' for i in range(2) for name in BLOCK)
TUNED = (*EMBED, *BLOCKS, 'fc_norm.weight', 'fc_norm.bias', 'head.weight', 'head.bias')
PRETRAINED = (
    'mask_token',
    *(f'encoder.{name}' for name in (*EMBED, *BLOCKS, 'norm.weight', 'norm.bias')),
    'decoder.blocks.0.norm1.weight',
    'decoder.head.bias',
    'encoder_to_decoder.weight',
)


def numbered(names):
    return {name: i for i, name in enumerate(names)}


def test_every_weight_arrives_in_the_backbone():
    model = VideoMAEViT(dict(embed_dims=4, depth=2, num_heads=1, img_size=16))
    shapes = [p.shape for p in model.parameters()]
    original = {
        name: torch.full(shape, float(i))
        for i, (name, shape) in enumerate(zip(TUNED, shapes, strict=False))
    }
    renamed = from_original({'module': original})
    weights = {k.removeprefix('backbone.'): v for k, v in renamed.items()}
    model.load_state_dict(weights, strict=True)
    firsts = [p.flatten()[0].item() for p in model.parameters()]
    assert firsts == list(range(len(shapes)))
    assert list(from_original(numbered(TUNED)).values()) == list(range(len(TUNED)))
    assert 'cls_head.fc_cls.bias' in from_original(numbered(TUNED))


def test_pretraining_files_give_the_encoder_alone():
    renamed = from_original({'model': numbered(PRETRAINED), 'epoch': 800})
    assert set(renamed) == {k for k in from_original(numbered(TUNED)) if 'fc_' not in k}


@pytest.mark.parametrize(
    ('weights', 'message'),
    [
        ({'conv1.weight': 0, 'fc.bias': 1}, '2 unknown names, first conv1.weight'),
        ({'head.bias': 0}, 'no weights of transformer blocks'),
    ],
)
def test_other_files_are_refused(weights, message):
    with pytest.raises(ValueError, match=f'not an original VideoMAE file: .*{message}'):
        from_original(weights)


HUB = dict(
    hidden_size=24,
    num_hidden_layers=3,
    num_attention_heads=3,
    intermediate_size=96,
    image_size=32,
    num_frames=4,
    layer_norm_eps=1e-6,  # of the original; the library's own default is 1e-12
)


def hub_model(name='VideoMAEForVideoClassification', **options):
    """A VideoMAE of the transformers library, random all over."""
    library = pytest.importorskip('transformers')
    torch.manual_seed(0)
    model = getattr(library, name)(library.VideoMAEConfig(**HUB, **options)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def published(weights):
    """The names of files, which are older than those of transformers 5."""
    return {
        n.replace('.query.bias', '.q_bias').replace('.value.bias', '.v_bias'): w
        for n, w in weights.items()
    }


@pytest.mark.parametrize('names', [dict, published])
def test_hub_weights_give_the_features_of_the_hub_model(names, capsys):
    theirs = hub_model()
    weights = names(theirs.state_dict())
    model = torch.nn.ModuleDict(
        dict(backbone=VideoMAEViT(SMALL), cls_head=torch.nn.Linear(24, 2))
    ).eval()
    report = load_state(model, weights)
    assert (report.ratio, report.unexpected) == (1.0, ())
    assert set(report.missing) == {'cls_head.weight', 'cls_head.bias'}
    imgs = torch.randn(2, 3, 4, 32, 32)
    seen = []
    theirs.classifier.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    theirs(imgs.transpose(1, 2))
    torch.testing.assert_close(model['backbone'](imgs), seen[0])


def test_hub_weights_load_into_a_bare_backbone():
    theirs = hub_model()
    model = VideoMAEViT(SMALL)
    model.load_state_dict(published(theirs.state_dict()), strict=True)
    expected = theirs.videomae.encoder.layer[2].output.dense.bias
    assert torch.equal(model.blocks[2].mlp.layers[1].bias, expected)


def test_pretraining_weights_of_the_hub_give_the_encoder_alone():
    weights = hub_model('VideoMAEForPreTraining', use_mean_pooling=False).state_dict()
    assert set(from_hub(published(weights))) == {
        n for n in VideoMAEViT(SMALL).state_dict() if n[:3] not in ('fc_', 'pos')
    }


def test_hub_shapes_are_ours_at_full_size():
    library = pytest.importorskip('transformers')
    with torch.device('meta'):
        theirs = library.VideoMAEForVideoClassification(
            library.VideoMAEConfig(
                hidden_size=1280,
                num_hidden_layers=2,  # of 32
                num_attention_heads=16,
                intermediate_size=5120,
            )
        ).state_dict()
        ours = VideoMAEViT(dict(embed_dims=1280, depth=2, num_heads=16)).state_dict()
    ours.pop('pos_embed')
    found = from_hub(theirs)
    assert {n: w.shape for n, w in found.items()} == {
        n: w.shape for n, w in ours.items()
    }


def test_a_hub_file_with_a_hole_is_refused():
    weights = hub_model().state_dict()
    del weights['videomae.encoder.layer.1.attention.attention.key.weight']
    model = torch.nn.ModuleDict(dict(backbone=VideoMAEViT(SMALL)))
    with pytest.raises(ValueError, match=r'1 missing: backbone\.blocks\.1\.attn\.qkv'):
        load_state(model, weights, min_matched=1)


def test_other_weights_are_left_to_others():
    weights = VideoMAEViT(SMALL).state_dict()
    assert from_hub(weights) == {}
    assert from_hub({'encoder.layer.0.norm1.weight': torch.ones(2)}) == {}


def build_small(**kwargs):
    """A small backbone whose parameters are all random and not tiny."""
    model = VideoMAEViT(SMALL, **kwargs)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def build_upstream(arch, **kwargs):
    sizes = dict(vars(find_arch(arch)))
    return MODELS.get('VisionTransformer')(**sizes, **kwargs)


def count(model):
    return sum(p.numel() for p in model.parameters()) / 1e6


def test_sizes_have_the_published_number_of_parameters():
    millions = dict(tiny=1, small=22, base=86, large=304, huge=632)
    with torch.device('meta'):
        models = {arch: VideoMAEViT(arch) for arch in millions}
    assert {arch: round(count(m)) for arch, m in models.items()} == millions


def test_state_dict_is_that_of_upstream():
    for arch in ('small', 'base'):
        with torch.device('meta'):
            ours = VideoMAEViT(arch).state_dict()
        theirs = build_upstream(arch).state_dict()
        shapes = [{k: v.shape for k, v in each.items()} for each in (ours, theirs)]
        assert shapes[0] == shapes[1]


@pytest.mark.parametrize('return_feat_map', [False, True])
def test_outputs_and_gradients_are_those_of_upstream(return_feat_map):
    for size in ((32, 32), (48, 64)):
        ours = build_small(return_feat_map=return_feat_map)
        theirs = build_upstream(SMALL, return_feat_map=return_feat_map)
        theirs.load_state_dict(ours.state_dict())
        imgs = torch.randn(2, 3, 4, *size)
        output, expected = ours(imgs), theirs(imgs)
        torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
        weight = torch.randn_like(output)
        (output * weight).sum().backward()
        (expected * weight).sum().backward()
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            if mine.requires_grad:
                torch.testing.assert_close(mine.grad, other.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('return_feat_map', [False, True])
def test_every_trained_parameter_gets_a_gradient(return_feat_map):
    model = build_small(return_feat_map=return_feat_map)
    output = model(torch.randn(2, 3, 4, 32, 32))
    assert output.shape == ((2, 24, 2, 2, 2) if return_feat_map else (2, 24))
    output.square().sum().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == (['fc_norm.weight', 'fc_norm.bias'] if return_feat_map else [])
    assert all(not dict(model.named_parameters())[n].requires_grad for n in without)


def test_checkpointing_recomputes_every_block_for_the_same_gradients():
    imgs = torch.randn(4, 3, 4, 32, 32)
    model, calls = build_small(drop_path_rate=0.5), []
    model.blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    gradients = []
    for with_cp in (False, True):
        model.with_cp = with_cp
        model.zero_grad()
        torch.manual_seed(1)
        model(imgs).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert len(calls) == 1 + 2


def test_drop_path_grows_linearly_and_drops_at_its_rate():
    model = build_small(drop_path_rate=0.6)
    rates = [getattr(b.drop_path, 'drop_prob', 0) for b in model.blocks]
    assert rates == pytest.approx([0, 0.3, 0.6])
    tokens = torch.randn(4000, 1, 24)
    dropped = (model.blocks[2].drop_path(tokens) == 0).all(dim=2).float().mean()
    assert dropped.item() == pytest.approx(0.6, abs=0.03)
    kept = model.blocks[2].drop_path(torch.ones(4000, 1, 1))
    assert kept.mean().item() == pytest.approx(1, abs=0.1)
    model.eval()
    assert torch.equal(model.blocks[2].drop_path(tokens), tokens)


def test_bfloat16_autocast_is_close():
    model = build_small().eval()
    imgs = torch.randn(2, 3, 4, 32, 32)
    with torch.autocast('cpu', torch.bfloat16):
        output = model(imgs)
        output.float().sum().backward()
    expected = model(imgs)
    cosine = F.cosine_similarity(output.float(), expected)
    assert cosine.min() > 0.99
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_initial_weights_have_no_outlier():
    model = VideoMAEViT('tiny')
    model.init_weights()
    weight = model.blocks[0].mlp.layers[0][0].weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert weight.abs().max() <= 0.1
    assert model.blocks[0].mlp.layers[1].bias.eq(0).all()


def test_sinusoid_table():
    table = sinusoid_table(3, 4)[0]
    assert table[0].tolist() == [0, 1, 0, 1]
    angles = [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)]
    assert table[2].tolist() == pytest.approx(angles)


def test_a_resized_table_keeps_a_constant_slice_constant():
    table = torch.tensor([1.0, 5.0]).repeat_interleave(4).reshape(1, 8, 1)
    resized = resize_table(table, (2, 2, 2), (3, 4))
    assert resized.shape == (1, 24, 1)
    torch.testing.assert_close(resized[0, :12, 0], torch.full((12,), 1.0))
    torch.testing.assert_close(resized[0, 12:, 0], torch.full((12,), 5.0))


@pytest.mark.parametrize('num_frames', [4, 8, 16, 32])
def test_a_published_table_loads_at_any_length_and_size(num_frames):
    arch = dict(embed_dims=8, depth=1, num_heads=1, img_size=112)
    model = VideoMAEViT(arch, num_frames=num_frames)
    published = sinusoid_table(1568, 8)
    weights = {**model.state_dict(), 'pos_embed': published}
    model.load_state_dict(weights)
    slices = num_frames // 2
    full = sinusoid_table(196 * slices, 8)
    expected = resize_table(full, (slices, 14, 14), (7, 7))
    torch.testing.assert_close(model.pos_embed, expected)
    assert weights['pos_embed'] is published


def test_other_tables_load_or_are_refused():
    model = VideoMAEViT(SMALL)
    weights = model.state_dict()
    table = weights.pop('pos_embed').clone()
    model.load_state_dict(weights, strict=True)  # the original files have none
    assert torch.equal(model.pos_embed, table)
    stored = torch.randn(1, 2 * 9, 24)
    model.load_state_dict({**weights, 'pos_embed': stored})
    expected = resize_table(stored, (2, 3, 3), (2, 2))
    torch.testing.assert_close(model.pos_embed, expected)
    with pytest.raises(ValueError, match='position table of 7 tokens'):
        model.load_state_dict({**weights, 'pos_embed': torch.zeros(1, 7, 24)})
    with pytest.raises(RuntimeError, match='size mismatch for pos_embed'):
        model.load_state_dict({**weights, 'pos_embed': torch.zeros(1, 8, 6)})


def test_layers_run_from_the_embedding_to_the_norm():
    model = VideoMAEViT(SMALL)
    names = (
        'patch_embed.projection.weight',
        'blocks.0.norm1.bias',
        'blocks.2.attn.q_bias',
    )
    assert [model.layer_of(n) for n in (*names, 'fc_norm.bias')] == [0, 1, 3, 4]


@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        ((1, 3, 8, 32, 32), r'clips of 8 frames: .* takes 4\..* num_frames=8'),
        ((1, 3, 4, 32, 40), r'frames of 32x40 pixels: .* multiples of the patch, 16'),
    ],
)
def test_clips_that_do_not_fit_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        VideoMAEViT(SMALL)(torch.zeros(shape))


@pytest.mark.parametrize(
    ('arch', 'message'),
    [
        ('smal', r"unknown arch 'smal'.* Did you mean 'small'\?"),
        ({**SMALL, 'dept': 3}, r"unknown field 'dept'.* Did you mean 'depth'\?"),
        ({'embed_dims': 8}, 'arch lacks depth, num_heads'),
        ({**SMALL, 'num_heads': 5}, 'embed_dims=24 is not a multiple of num_heads=5'),
        ({**SMALL, 'img_size': 40}, 'img_size=40 is not a multiple of patch_size=16'),
        ({**SMALL, 'num_frames': 3}, 'num_frames=3 is not a multiple of tubelet_size'),
    ],
)
def test_bad_architectures_are_refused(arch, message):
    with pytest.raises(ValueError, match=message):
        VideoMAEViT(arch)
