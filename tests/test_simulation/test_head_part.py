"""The drawn head."""

import numpy as np
import pytest
from figure_scenes import painted, scene

from mmma.simulation.head_part import Head


@pytest.mark.parametrize('haircut', ['short', 'bob', 'long'])
def test_hair_hangs_down(haircut):
    subject, view = scene(haircut=haircut, hair=(0, 255, 0), skin=(255, 0, 0))
    canvas = painted([Head(view, subject, np.zeros(15))], view)
    rows = np.flatnonzero((canvas[..., 1] > 200).any(axis=1))
    face = np.flatnonzero((canvas[..., 0] > 200).any(axis=1))
    assert (rows.max() > face.max()) == (haircut == 'long')


def test_glasses():
    subject, view = scene(skin=(255, 255, 255), hair=(200, 200, 200))
    bare, worn = (
        painted([Head(view, subject, np.full(15, on))], view) for on in (0.0, 1.0)
    )
    assert worn.sum() < bare.sum()
