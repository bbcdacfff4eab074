import pytest
import torch

from mmma.models.losses.diou import SegmentDIoULoss


@pytest.mark.parametrize(
    ('pred', 'target', 'wanted'),
    [
        ((0, 4), (0, 4), 0),
        ((0, 4), (2, 6), 1 - 2 / 6 + (2 / 6) ** 2),
        ((0, 1), (3, 4), 1 + (3 / 4) ** 2),
        ((-1, 3), (-2, 2), 1 - 3 / 5 + (1 / 5) ** 2),
    ],
)
def test_by_hand(pred, target, wanted):
    loss = SegmentDIoULoss()(torch.tensor([pred]), torch.tensor([target]))
    assert loss.item() == pytest.approx(wanted)


def test_pairs_are_alone_and_none_is_nothing():
    pred = torch.randn(7, 2).sort(dim=1).values.requires_grad_()
    target = torch.randn(7, 2).sort(dim=1).values
    loss = SegmentDIoULoss()(pred, target)
    loss[3].backward()
    assert pred.grad.abs().sum(1).nonzero().tolist() == [[3]]
    none = SegmentDIoULoss()(pred[:0], target[:0])
    assert none.shape == (0,)
    assert none.sum().item() == 0
