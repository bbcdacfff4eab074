"""Drawn parts of the body."""

import numpy as np
from figure_scenes import painted, scene

from mmma.simulation.drawing import (
    body_parts,
    head_part,
    object_parts,
    seat_parts,
)


def test_figure_covers_its_joints():
    subject, view = scene()
    canvas = painted(body_parts(view, subject), view)
    x, y = view.points[0, 5:17].astype(int).T  # shoulders to ankles
    assert (canvas[y, x].max(axis=1) > 0).all()


def test_hair_hangs_down():
    for haircut in ('short', 'bob', 'long'):
        subject, view = scene(haircut=haircut, hair=(0, 255, 0), skin=(255, 0, 0))
        canvas = painted([head_part(view, subject, False)], view)
        rows = np.flatnonzero((canvas[..., 1] > 200).any(axis=1))
        face = np.flatnonzero((canvas[..., 0] > 200).any(axis=1))
        assert (rows.max() > face.max()) == (haircut == 'long')


def test_the_back_of_a_head_is_hair():
    subject, view = scene(haircut='short', hair=(0, 255, 0), skin=(255, 0, 0))
    front = painted([head_part(view, subject, False)], view)
    view.motion.figure.head *= (-1.0, 1.0, -1.0)
    back = painted([head_part(view, subject, False)], view)
    hidden, seen = ((c[..., 0] > 200).sum() for c in (back, front))  # skin
    assert hidden < seen / 2


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
        assert not painted(parts, view, frame=0).any()  # not taken up yet
        kinds |= {kind for kind, _, _ in view.motion.objects}
    assert kinds == {'phone', 'pen', 'cup'}
