import pytest
import torch

from mmma.models.projections.attention import MaskedAttention, TransformerBlock


def masked(positions, *valid):
    return torch.arange(positions)[None] < torch.tensor(valid)[:, None]


def test_full_attention_is_pytorchs():
    attention = MaskedAttention(8, num_heads=2)
    reference = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    x, mask = torch.randn(2, 8, 6), masked(6, 6, 4)
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
    block = TransformerBlock(8, 2, stride, window)
    x = torch.randn(1, 8, 24, requires_grad=True)
    block(x, masked(24, 24))[0, :, 12 // stride].sum().backward()
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
