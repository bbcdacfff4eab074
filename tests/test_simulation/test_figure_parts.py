"""Drawn parts of the body."""

import numpy as np
import pytest
from figure_scenes import painted, scene

from mmma.simulation.figure_parts import body_parts, fixed, shade
from mmma.simulation.furniture import seat_parts


def test_fixed_points_have_four_bits_and_stay_in_range():
    assert fixed(np.array([1.5, -1e9])).tolist() == [24, -48000]


@pytest.mark.parametrize(
    ('factor', 'expected'), [(0.5, (50, 100, 0)), (3, (255, 255, 0))]
)
def test_shade(factor, expected):
    assert shade((100, 200, 0), factor) == expected


def test_figure_covers_its_joints():
    subject, view = scene()
    canvas = painted(body_parts(view, subject), view)
    x, y = view.points[0, 5:17].astype(int).T  # shoulders to ankles
    assert (canvas[y, x].max(axis=1) > 0).all()


def test_every_part_knows_its_depth():
    subject, view = scene()
    parts = body_parts(view, subject) + seat_parts(view, subject)
    assert all(part.depth.shape == (15,) for part in parts)
    assert all(part.depth.min() > 0.5 for part in parts)
