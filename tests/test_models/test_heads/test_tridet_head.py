import pytest
import torch

from mmma.models.points import Pairs, PointOutputs, default_ranges, pyramid_points
from mmma.registry import MODELS

BINS = 2


def head(**options):
    settings = dict(num_classes=2, in_channels=4, feat_channels=4, num_levels=2)
    return MODELS.build(dict(type='TriDetHead', num_bins=BINS) | settings | options)


def test_ends_are_expected_bins():
    """Starts of class 1 look like position 1 of level 0 and position 0 of level 1."""
    values = dict(
        reg=torch.zeros(1, 6, 2 * (BINS + 1)),
        start=torch.zeros(1, 2, 4 + 2 + 2 * BINS),
        end=torch.zeros(1, 2, 4 + 2 + 2 * BINS),
    )
    values['start'][0, 1, BINS + 1] = 50.0
    values['start'][0, 1, 4 + 2 * BINS] = 50.0
    values['end'][0, 1, 3] = 50.0
    points = pyramid_points([4, 2], [1, 2], default_ranges(2))
    outputs = PointOutputs(values, points, torch.ones(1, 6).bool())
    point = torch.tensor([2, 3, 5, 2])
    pairs = Pairs(torch.zeros(4).long(), point, torch.tensor([1, 1, 1, 0]))
    found = head().offsets(outputs, pairs)
    assert found[0].tolist() == pytest.approx([1, 1])  # point 2: from 1 to 3
    assert found[1].tolist() == pytest.approx([2, 0])
    assert found[2].tolist() == pytest.approx([1, 1])  # level 1: from its 0, end even
    assert found[3].tolist() == pytest.approx([1, 1])  # another class: even over bins


def test_a_point_has_a_say_in_its_bins():
    values = {k: torch.zeros(1, 1, 4 + BINS) for k in ('start', 'end')}
    values['reg'] = torch.zeros(1, 4, 2, BINS + 1)
    values['reg'][..., 0, 0] = 50.0  # the first bin of starts is the furthest
    values['reg'][..., 1, 0] = 50.0  # that of ends the nearest
    values['reg'] = values['reg'].flatten(2)
    outputs = PointOutputs(
        values, pyramid_points([4], [1], default_ranges(1)), torch.ones(1, 4).bool()
    )
    pairs = Pairs(*torch.tensor([[0], [2], [0]]))
    found = head(num_classes=1).offsets(outputs, pairs)
    assert found[0].tolist() == pytest.approx([2, 0])


def test_classes_learn_their_own_segments():
    by_class = torch.tensor([[[-1, -1], [5, 7], [-1, 3]]])
    pairs, truths = head().targets_of(torch.tensor([[-1, 5, 3]]), by_class)
    assert pairs.point.tolist() == [1, 1, 2]
    assert pairs.label.tolist() == [0, 1, 1]
    assert truths.tolist() == [5, 7, 3]


def test_true_scores_count_by_iou():
    pairs = Pairs(*torch.tensor([[0], [2], [1]]))
    logits, hits = torch.zeros(1, 4, 2), torch.zeros(1, 4, 2).bool()
    hits[0, 2, 1] = True
    ends = (torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 3.0]]))  # IoU 0.5
    weighed = head()._score_loss(logits, hits, pairs, ends)
    plain = head(iou_power=0.0)._score_loss(logits, hits, pairs, ends)
    ratio = weighed / plain
    assert ratio[0, 2, 1].item() == pytest.approx(0.5**0.2)
    assert ratio.sum().item() == pytest.approx(7 + 0.5**0.2)


def test_what_does_not_exist_looks_like_nothing():
    found = head().forward_level(0, torch.randn(1, 4, 8), torch.arange(8)[None] < 5)
    for name, first in (('start', BINS), ('end', 0)):
        exists = found[name].abs().sum(dim=(0, 1)).nonzero()[:, 0]
        assert exists.tolist() == list(range(first, first + 5))


def test_boundary_towers_do_not_train_what_is_below():
    model = head()
    x = torch.randn(1, 4, 8, requires_grad=True)
    found = model.forward_level(0, x, torch.ones(1, 8).bool())
    found['start'].sum().backward(retain_graph=True)
    assert x.grad is None
    found['cls'].sum().backward()
    assert x.grad.abs().sum() > 0
