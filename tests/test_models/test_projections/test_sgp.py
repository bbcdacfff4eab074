import pytest
import torch

from mmma.models.projections.sgp import SGPBlock


def conv(layer, x):
    size = layer.weight.shape[2]
    return torch.nn.functional.conv1d(
        x, layer.weight, layer.bias, padding=size // 2, groups=4
    )


@pytest.mark.parametrize(('kernel_size', 'wide'), [(1, 3), (3, 7)])
def test_a_block_by_its_formula(kernel_size, wide):
    block = SGPBlock(4, kernel_size=kernel_size, k=1.5, hidden=8)
    for layer in (block.fc, block.psi, block.global_fc):
        torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 4, 7)
    y = torch.nn.functional.layer_norm(x.transpose(1, 2), (4,)).transpose(1, 2)
    whole = conv(block.global_fc, y.mean(dim=-1, keepdim=True)).relu()
    window = conv(block.convw, y) + conv(block.convkw, y)
    out = x + conv(block.fc, y) * whole + window * conv(block.psi, y) + y
    out = out + block.mlp(torch.nn.functional.group_norm(out, 4))
    torch.testing.assert_close(block(x, torch.ones(2, 7).bool()), out)
    assert block.convkw.kernel_size == (wide,)  # 1.5 * (w + 1), made odd
