import pytest
import torch

from mmma.checkpoints import load_state
from mmma.models.backbones.videomae import VideoMAEViT
from mmma.models.backbones.videomae_keys import from_hub, from_original

BLOCK = (
    'norm1.weight',
    'norm1.bias',
    'attn.q_bias',
    'attn.v_bias',
    'attn.qkv.weight',
    'attn.proj.weight',
    'attn.proj.bias',
    'norm2.weight',
    'norm2.bias',
    'mlp.fc1.weight',
    'mlp.fc1.bias',
    'mlp.fc2.weight',
    'mlp.fc2.bias',
)
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


def test_names_are_mapped_one_to_one():
    renamed = from_original(numbered(TUNED))
    assert list(renamed.values()) == list(range(len(TUNED)))
    assert renamed['backbone.patch_embed.projection.bias'] == 1
    assert renamed['backbone.blocks.1.mlp.layers.0.0.weight'] == TUNED.index(
        'blocks.1.mlp.fc1.weight'
    )
    assert renamed['backbone.blocks.0.mlp.layers.1.bias'] == TUNED.index(
        'blocks.0.mlp.fc2.bias'
    )
    assert renamed['cls_head.fc_cls.bias'] == len(TUNED) - 1


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
OURS = dict(embed_dims=24, depth=3, num_heads=3, img_size=32, num_frames=4)


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
        dict(backbone=VideoMAEViT(OURS), cls_head=torch.nn.Linear(24, 2))
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
    model = VideoMAEViT(OURS)
    model.load_state_dict(published(theirs.state_dict()), strict=True)
    expected = theirs.videomae.encoder.layer[2].output.dense.bias
    assert torch.equal(model.blocks[2].mlp.layers[1].bias, expected)


def test_pretraining_weights_of_the_hub_give_the_encoder_alone():
    weights = hub_model('VideoMAEForPreTraining', use_mean_pooling=False).state_dict()
    assert set(from_hub(published(weights))) == {
        n for n in VideoMAEViT(OURS).state_dict() if n[:3] not in ('fc_', 'pos')
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
    model = torch.nn.ModuleDict(dict(backbone=VideoMAEViT(OURS)))
    with pytest.raises(ValueError, match=r'1 missing: backbone\.blocks\.1\.attn\.qkv'):
        load_state(model, weights, min_matched=1)


def test_other_weights_are_left_to_others():
    weights = VideoMAEViT(OURS).state_dict()
    assert from_hub(weights) == {}
    assert from_hub({'encoder.layer.0.norm1.weight': torch.ones(2)}) == {}
