import pytest
import torch

from mmma.registry import MODELS

KINDS = {
    'full': dict(type='Conv1DTransformerProj', num_heads=2),
    'local': dict(type='Conv1DTransformerProj', num_heads=2, window=[5, 3, 3]),
    'places': dict(type='Conv1DTransformerProj', num_heads=2, max_seq_len=64),
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


def test_windows_are_of_levels():
    with pytest.raises(ValueError, match='2 attention windows for 3 levels'):
        MODELS.build(
            dict(
                type='Conv1DTransformerProj',
                in_channels=4,
                arch=(1, 0, 2),
                window=[3, 3],
            )
        )
