"""Seats and held objects."""

import pytest
from figure_scenes import painted, scene

from mmma.simulation.furniture import object_parts, seat_parts


@pytest.mark.parametrize(
    ('domain', 'count'), [('lab', 5), ('psychiatric', 7), ('street', 0)]
)
def test_seats(domain, count):
    subject, view = scene(domain)
    assert len(seat_parts(view, subject)) == count


def test_objects():
    kinds = set()
    for seed in range(12):
        _, view = scene(action='playing objects', seed=seed)
        parts = object_parts(view, view.motion.objects)
        assert painted(parts, view, frame=7).any()
        kinds |= {held.kind for held in view.motion.objects}
    assert kinds == {'phone', 'pen', 'cup'}
