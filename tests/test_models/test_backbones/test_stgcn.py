"""ST-GCN++ on joint layouts."""

import pytest
import torch

from mmma.models.backbones.stgcn import SkeletonSTGCN
from mmma.registry import MODELS

PLUS = dict(gcn_adaptive='init', gcn_with_res=True, tcn_type='mstcn')
TINY = dict(base_channels=12, num_stages=3, inflate_stages=[2], down_stages=[3])


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_same_weights_same_output_as_mmaction():
    torch.manual_seed(0)
    ours = SkeletonSTGCN(joints='body17', in_channels=3, **PLUS, **TINY)
    stock = MODELS.build(
        dict(
            type='STGCN',
            graph_cfg=dict(layout='coco', mode='spatial'),
            in_channels=3,
            **PLUS,
            **TINY,
        )
    )
    stock.load_state_dict(ours.state_dict())
    inputs = torch.randn(2, 1, 8, 17, 3)
    torch.testing.assert_close(ours(inputs), stock(inputs))


def test_published_size():
    """1.39 M parameters, PYSKL's ST-GCN++ on NTU60 with 2D skeletons."""
    model = SkeletonSTGCN(joints='body17', **PLUS)
    assert count(model) / 1e6 == pytest.approx(1.38, abs=0.02)


def test_shape_at_any_layout():
    model = SkeletonSTGCN(in_channels=4, **PLUS, **TINY)
    assert model(torch.randn(2, 1, 9, 65, 4)).shape == (2, 1, 24, 5, 65)


def test_stacked_frames_are_channels_in_order():
    torch.manual_seed(0)
    tiny = dict(joints='body17', **PLUS, **TINY)
    stacked = SkeletonSTGCN(in_channels=2, stack_frames=3, **tiny).eval()
    plain = SkeletonSTGCN(in_channels=6, **tiny).eval()
    plain.load_state_dict(stacked.state_dict())
    x = torch.randn(1, 1, 6, 17, 2)
    steps = torch.stack(
        [torch.cat([x[:, :, 3 * s + f] for f in range(3)], -1) for s in range(2)], 2
    )
    torch.testing.assert_close(stacked(x), plain(steps))


def test_frames_that_do_not_stack_are_refused():
    model = SkeletonSTGCN(stack_frames=3, **PLUS, **TINY)
    with pytest.raises(ValueError, match='8 frames are no multiple of stack_frames 3'):
        model(torch.randn(1, 1, 8, 65, 3))
