import pytest
import torch

from mmma.models.pyramid import SGPBlock
from mmma.registry import MODELS


def test_without_layers_the_channels_stay():
    with pytest.raises(ValueError, match='cannot turn 4 channels into 8'):
        MODELS.build(
            dict(type='TriDetProj', in_channels=4, out_channels=8, arch=[0] * 3)
        )


KINDS = {
    'full': dict(type='Conv1DTransformerProj', num_heads=2),
    'local': dict(type='Conv1DTransformerProj', num_heads=2, window=5),
    'sgp': dict(type='TriDetProj', hidden=16),
}


def projection(kind):
    torch.manual_seed(1)
    model = MODELS.build(
        KINDS[kind] | dict(in_channels=6, out_channels=8, arch=(1, 1, 2))
    )
    for name, parameter in model.named_parameters():
        if name.endswith(('bias', 'scale')):  # that start at 0 or almost
            torch.nn.init.normal_(parameter)
    return model.eval()


@pytest.mark.parametrize('kind', KINDS)
def test_levels_halve_and_train_all_weights(kind):
    model = projection(kind).train()
    mask = torch.arange(14)[None] < torch.tensor([[14], [9]])
    levels, masks = model(torch.randn(2, 6, 14), mask)
    assert [x.shape for x in levels] == [(2, 8, 16), (2, 8, 8), (2, 8, 4)]
    assert [m.sum(1).tolist() for m in masks] == [[14, 9], [7, 5], [4, 3]]
    sum((x * torch.randn_like(x)).sum() for x in levels).backward()
    without = {n for n, p in model.named_parameters() if not p.grad.abs().sum() > 0}
    # A bias common to all keys cancels in the softmax.
    assert all(n.endswith(('attn.key.bias', 'key_norm.bias')) for n in without)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('valid', [12, 11])
def test_padding_changes_nothing_that_exists(kind, valid):
    model = projection(kind)
    x = torch.randn(1, 6, valid)
    short, masks = model(x, torch.ones(1, valid).bool())
    noise = torch.cat([x, 100 * torch.randn(1, 6, 24 - valid)], dim=2)
    long, _ = model(noise, torch.arange(24)[None] < valid)
    for a, b, mask in zip(short, long, masks, strict=True):
        count = int(mask.sum())
        torch.testing.assert_close(a[..., :count], b[..., :count])
        assert b[..., count:].abs().sum() == 0


@pytest.mark.parametrize('kind', KINDS)
def test_a_window_without_positions_is_finite(kind):
    levels, _ = projection(kind)(torch.randn(1, 6, 8), torch.zeros(1, 8).bool())
    assert all((x == 0).all() for x in levels)


def conv(layer, x):
    size = layer.weight.shape[2]
    return torch.nn.functional.conv1d(
        x, layer.weight, layer.bias, padding=size // 2, groups=4
    )


@pytest.mark.parametrize(('k', 'wide'), [(1.5, 3), (5, 11)])
def test_a_block_by_its_formula(k, wide):
    block = SGPBlock(4, 1, k, hidden=8)
    for layer in (block.fc, block.psi, block.global_fc):
        torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 4, 7)
    y = torch.nn.functional.layer_norm(x.transpose(1, 2), (4,)).transpose(1, 2)
    whole = conv(block.global_fc, y.mean(dim=-1, keepdim=True)).relu()
    window = conv(block.convw, y) + conv(block.convkw, y)
    out = x + conv(block.fc, y) * whole + window * conv(block.psi, y) + y
    out = out + block.mlp(torch.nn.functional.group_norm(out, 4))
    torch.testing.assert_close(block(x, torch.ones(2, 7).bool()), out)
    assert block.convkw.kernel_size == (wide,)  # 2k, made odd


MASKS = [torch.arange(8)[None] < 5, torch.arange(4)[None] < 3]


def test_identity_is_a_layer_norm_of_each_level():
    neck = MODELS.build(dict(type='FPNIdentity', in_channels=6, num_levels=2))
    torch.nn.init.ones_(neck.fpn_norms[0].bias)
    levels = [torch.randn(1, 6, 8), torch.randn(1, 6, 4)]
    fine, coarse = neck(levels, MASKS)
    wanted = torch.nn.functional.layer_norm(levels[1].transpose(1, 2), (6,))
    torch.testing.assert_close(coarse[..., :3], wanted.transpose(1, 2)[..., :3])
    torch.testing.assert_close(fine.mean(1)[0, :5], torch.ones(5))
    assert fine[..., 5:].abs().sum() == 0
