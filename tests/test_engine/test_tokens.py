import pytest
import torch
from mmengine.config import ConfigDict

from mmma.apis import load_config
from mmma.engine.tokens import TokenHead, show_tokens
from mmma.models.heads.action_head import ActionHead


@pytest.mark.parametrize(
    ('pooling', 'shape'),
    [
        ('clip', (2, 6, 3, 4, 5)),
        ('graph', (2, 1, 6, 3, 5)),
        ('segments', (6, 6, 4, 5)),
    ],
)
def test_the_mean_over_tokens_is_what_the_recipe_pools(pooling, shape):
    options = dict(num_classes=82, in_channels=6, pooling=pooling, num_segments=3)
    x = torch.randn(shape)
    tokens = TokenHead(**options).eval().pool(x)
    assert tokens.shape == (6, 6)
    pooled = ActionHead(**options).eval().pool(x)
    torch.testing.assert_close(tokens.view(2, 3, 6).mean(dim=1), pooled)


def test_features_without_a_map_are_refused():
    head = TokenHead(82, 6, pooling='clip')
    with pytest.raises(ValueError, match='hold no tokens for pooling'):
        head.pool(torch.randn(2, 6))


def test_a_backbone_that_pools_is_told_not_to():
    cfg = load_config('recog/videomae-tiny_mma82_indomain')
    show_tokens(cfg.model)
    assert cfg.model.backbone.return_feat_map
    assert cfg.model.cls_head.pooling == 'clip'
    assert cfg.model.cls_head.type == 'TokenHead'


@pytest.mark.parametrize(
    ('head', 'message'),
    [
        (dict(type='GCNHead'), 'GCNHead: tokens are taken from recipes whose head'),
        (dict(type='ActionHead', pooling='none'), 'SlowFast gives one feature per'),
    ],
)
def test_recipes_without_tokens(head, message):
    model = ConfigDict(backbone=dict(type='SlowFast'), cls_head=head)
    with pytest.raises(ValueError, match=message):
        show_tokens(model)
