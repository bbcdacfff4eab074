import pytest
import torch

from mmma.models.points import default_ranges, pyramid_points


def test_ranges_are_those_of_thumos():
    assert default_ranges(6) == [
        (0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 10000),
    ]  # fmt: skip


def test_points_lie_at_multiples_of_the_stride():
    points = pyramid_points([4, 2], [1, 2], default_ranges(2))
    assert points.times.tolist() == [0, 1, 2, 3, 0, 2]
    assert points.strides.tolist() == [1, 1, 1, 1, 2, 2]
    assert points.levels.tolist() == [0, 0, 0, 0, 1, 1]
    assert points.low.tolist() == [0, 0, 0, 0, 4, 4]
    assert points.high.tolist() == [4, 4, 4, 4, 10000, 10000]


def test_decode_by_hand_and_as_the_inverse_of_encode():
    points = pyramid_points([8, 4, 2], [1, 2, 4], default_ranges(3))
    index = torch.tensor([3, 9, 13])  # at 3, 2 and 4
    segments = torch.tensor([[0.5, 4.25], [1.0, 8.0], [-2.0, 5.0]])
    offsets = points.encode(segments, index)
    assert offsets.tolist() == [[2.5, 1.25], [0.5, 3.0], [1.5, 0.25]]
    assert torch.equal(points.decode(offsets, index), segments)


def test_levels_must_agree():
    with pytest.raises(ValueError, match='1 levels of features, 2 strides and 3 rang'):
        pyramid_points([4], [1, 2], default_ranges(3))
