import torch

from mmma.models.points import Pairs
from mmma.registry import MODELS


def test_learns_one_segment_per_point():
    head = MODELS.build(
        dict(
            type='ActionFormerHead',
            num_classes=2,
            in_channels=4,
            feat_channels=4,
            num_levels=1,
        )
    )
    owners = torch.tensor([[-1, 5, 3]])
    by_class = torch.tensor([[[-1, -1], [5, 7], [-1, 3]]])
    pairs, truths = head.targets_of(owners, by_class)
    assert isinstance(pairs, Pairs)
    assert pairs.point.tolist() == [1, 2]
    assert truths.tolist() == [5, 3]
