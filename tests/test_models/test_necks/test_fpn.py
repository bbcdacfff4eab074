import torch

from mmma.registry import MODELS

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


def test_top_down_adds_coarse_to_fine_where_both_exist():
    neck = MODELS.build(
        dict(type='TopDownFPN', in_channels=6, out_channels=4, num_levels=2)
    )
    for layer in (*neck.lateral_convs, *neck.fpn_convs):
        torch.nn.init.ones_(layer.conv.bias)
    levels = [torch.randn(1, 6, 8), torch.randn(1, 6, 4)]
    fine, coarse = (
        layer.conv(x) * mask
        for layer, x, mask in zip(neck.lateral_convs, levels, MASKS, strict=True)
    )
    fine = (fine + coarse.repeat_interleave(2, dim=2)) * MASKS[0]
    wanted = [
        layer.conv(x) * mask
        for layer, x, mask in zip(neck.fpn_convs, (fine, coarse), MASKS, strict=True)
    ]
    torch.testing.assert_close(neck(levels, MASKS), wanted)
