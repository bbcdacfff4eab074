import numpy as np
import pytest
import torch

from mmma.structures.segments import tiou_pairs
from mmma.structures.segments_torch import segment_diou_pairs, segment_iou_pairs


def segments(n, seed=0):
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, 10, n)
    return torch.from_numpy(np.stack([starts, starts + rng.gamma(2, 0.5, n)], 1))


def test_iou_of_pairs_is_that_of_numpy():
    a, b = segments(80).round(), segments(80, seed=1).round()
    assert segment_iou_pairs(a, b).numpy() == pytest.approx(tiou_pairs(a, b), abs=1e-9)


@pytest.mark.parametrize(
    ('pred', 'gt', 'expected'),
    [
        ([0, 2], [0, 2], 1.0),
        ([0, 2], [1, 3], 1 / 3 - (1 / 3) ** 2),
        ([0, 1], [3, 4], -((3 / 4) ** 2)),
        ([1, 1], [1, 1], 0.0),
        ([0, 0], [4, 4], -1.0),
        ([1, 1], [0, 2], 0.0),
    ],
)
def test_diou_of_worked_pairs(pred, gt, expected):
    pred, gt = torch.tensor([pred, [0, 1]]).float(), torch.tensor([gt, [0, 1]]).float()
    assert segment_diou_pairs(pred, gt).tolist() == pytest.approx([expected, 1.0])


def test_gradients_are_finite_and_right():
    rows = [[0, 2], [1, 1], [1, 1], [3, 4], [0, 0], [0, 1e-7]]
    pred = torch.tensor(rows).float().requires_grad_()
    gt = torch.tensor([[0, 2], [1, 1], [0, 2], [0, 1], [4, 4], [0, 0]]).float()
    segment_diou_pairs(pred, gt).sum().backward()
    assert pred.grad.isfinite().all()
    assert pred.grad.abs().max() < 10
    assert pred.grad[3].tolist() != [0, 0]
    a, b = segments(10).requires_grad_(), segments(10, seed=1)
    assert torch.autograd.gradcheck(segment_diou_pairs, (a, b))


def test_half_precision_is_computed_in_single():
    pred, gt = torch.tensor([[0, 300.0]]).half(), torch.tensor([[1, 300.0]]).half()
    found = segment_diou_pairs(pred, gt)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(299 / 300 - (0.5 / 300) ** 2)


def test_memory_grows_with_the_pairs():
    pred = torch.rand(10**6, 2).sort(1).values  # a square table would be 4 TB
    assert segment_diou_pairs(pred, pred).min() >= 0


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match=r'shapes \(2, 2\) and \(1, 2\): give two'):
        segment_diou_pairs(torch.zeros(2, 2), torch.zeros(1, 2))
