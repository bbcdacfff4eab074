import pytest
import torch

from mmma.models.masked_layers import (
    MaskedConv,
    MaskedGroupNorm,
    ScaledDropPath,
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
    layer = MaskedConv(3, 4, stride=stride, norm=False, bias=True)
    torch.nn.init.ones_(layer.conv.bias)
    out = layer(torch.zeros(1, 3, 8), masked(8, [5]))
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
    layer = ScaledDropPath(1, 0.25, start=2.0)
    out = layer(torch.ones(4000, 1, 1))
    assert out.unique().tolist() == pytest.approx([0, 2 / 0.75])
    assert out.mean().item() == pytest.approx(2, abs=0.1)
    assert layer.eval()(torch.ones(1, 1, 1)).item() == 2
