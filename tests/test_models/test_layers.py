import pytest
import torch

from mmma.models.layers import (
    MaskedAttention,
    MaskedConv,
    MaskedGroupNorm,
    ScaledDropPath,
    TransformerBlock,
    pad_positions,
    pool_positions,
)


def masked(positions, valid):
    return torch.arange(positions)[None] < torch.tensor(valid)[:, None]


def test_padding_to_a_multiple():
    x, mask = pad_positions(torch.ones(2, 3, 5), masked(5, [5, 2]), 4)
    assert x[:, 0].tolist() == [[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]]
    assert mask.sum(1).tolist() == [5, 2]


def test_maximum_ignores_what_does_not_exist():
    x = torch.tensor([[[-1.0, -2.0, -3.0, 0.0]]])
    pooled = pool_positions(x, masked(4, [3]), 2)
    assert pooled.tolist() == [[[-1, -2]]]
    assert pool_positions(x, masked(4, [0]), 2).tolist() == [[[0, 0]]]


@pytest.mark.parametrize('stride', [1, 2])
def test_convolution_gives_zeros_where_nothing_exists(stride):
    layer = MaskedConv(3, 4, stride=stride, norm=False)
    torch.nn.init.ones_(layer.conv.weight)
    out = layer(torch.ones(1, 3, 8), masked(8, [5])).sign()
    assert out[0, 0].tolist() == ([1] * 5 + [0] * 3 if stride == 1 else [1] * 3 + [0])


def test_group_norm_is_pytorchs_where_all_exists_and_ignores_padding():
    x = torch.randn(2, 8, 6)
    norm = MaskedGroupNorm(4, 8)
    torch.nn.init.normal_(norm.weight)
    wanted = torch.nn.functional.group_norm(x, 4, norm.weight, norm.bias)
    everything = masked(6, [6, 6])
    torch.testing.assert_close(norm(x, everything), wanted)
    padded = norm(*pad_positions(x, everything, 10))
    torch.testing.assert_close(padded[..., :6], wanted)


def test_dropped_branches_keep_the_mean():
    layer = ScaledDropPath(1, 0.25)
    torch.nn.init.constant_(layer.scale, 2.0)
    out = layer(torch.ones(4000, 1, 1))
    assert out.unique().tolist() == pytest.approx([0, 2 / 0.75])
    assert out.mean().item() == pytest.approx(2, abs=0.1)
    assert layer.eval()(torch.ones(1, 1, 1)).item() == 2


def test_full_attention_is_pytorchs():
    attention = MaskedAttention(8, num_heads=2)
    reference = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    x, mask = torch.randn(2, 8, 6), masked(6, [6, 4])
    parts = [
        getattr(attention, f'{name}_norm')(
            getattr(attention, f'{name}_conv')(x * mask[:, None], mask), mask
        )
        for name in ('query', 'key', 'value')
    ]
    layers = [attention.query, attention.key, attention.value]
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([m.weight[..., 0] for m in layers]))
        reference.out_proj.weight.copy_(attention.proj.weight[..., 0])
    wanted, _ = reference(*(p.transpose(1, 2) for p in parts), key_padding_mask=~mask)
    wanted = wanted.transpose(1, 2) * mask[:, None]
    torch.testing.assert_close(attention(x * mask[:, None], mask), wanted)


def reach(window, stride=1):
    """Positions of the input that change the output in its middle."""
    block = TransformerBlock(8, 2, stride, window, 0.0)
    x = torch.randn(1, 8, 24, requires_grad=True)
    block(x, masked(24, [24]))[0, :, 12 // stride].sum().backward()
    return x.grad[0].abs().sum(0).nonzero()[:, 0].tolist()


def test_local_attention_sees_its_window_and_what_its_convolutions_add():
    assert reach(5) == list(range(9, 16))
    assert reach(3, stride=2) == list(range(9, 16))
    assert reach(-1) == list(range(24))


def test_heads_share_the_channels():
    with pytest.raises(ValueError, match='3 heads cannot share 8 channels'):
        MaskedAttention(8, 3)


@pytest.mark.parametrize('window', [4, 1, 0])
def test_a_window_has_a_middle(window):
    with pytest.raises(ValueError, match=f'attention window {window}: use an odd'):
        MaskedAttention(8, 2, window=window)
