"""Drawn parts of the body."""

import numpy as np
from figure_scenes import painted, scene

from mmma.simulation.drawing import (
    body_parts,
    fixed,
    head_part,
    object_parts,
    seat_parts,
    shade,
)


def test_fixed_points_have_four_bits_and_stay_in_range():
    assert fixed(np.array([1.5, -1e9])).tolist() == [24, -48000]


def test_shade():
    assert shade((100, 200, 0), 0.5) == (50, 100, 0)
    assert shade((100, 200, 0), 3) == (255, 255, 0)


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


def test_hair_hangs_down():
    for haircut in ('short', 'bob', 'long'):
        subject, view = scene(haircut=haircut, hair=(0, 255, 0), skin=(255, 0, 0))
        canvas = painted([head_part(view, subject, False)], view)
        rows = np.flatnonzero((canvas[..., 1] > 200).any(axis=1))
        face = np.flatnonzero((canvas[..., 0] > 200).any(axis=1))
        assert (rows.max() > face.max()) == (haircut == 'long')


def test_glasses():
    subject, view = scene(skin=(255, 255, 255), hair=(200, 200, 200))
    bare, worn = (painted([head_part(view, subject, on)], view) for on in (False, True))
    assert worn.sum() < bare.sum()


def test_seats():
    for domain, count in (('lab', 5), ('psychiatric', 7), ('street', 0)):
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
