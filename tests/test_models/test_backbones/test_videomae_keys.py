import pytest
import torch

from mmma.models.backbones.videomae import VideoMAEViT
from mmma.models.backbones.videomae_keys import from_original

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
