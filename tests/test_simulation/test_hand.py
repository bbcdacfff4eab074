"""Hand shapes and what they do to the fingers."""

import numpy as np
import pytest

from mmma.simulation.hand import CONTACTS, contact_point, finger_joints
from mmma.simulation.kinematics import norm
from mmma.simulation.programs import load_shapes

SHAPES = load_shapes()
STRETCH = {'index': 1, 'middle': 2, 'ring': 3, 'little': 4}


def reach(name):
    """(5,) how far each fingertip is from the wrist."""
    return norm(finger_joints(SHAPES[name])[:, 3])


@pytest.mark.parametrize('name', SHAPES)
def test_bones_do_not_depend_on_shape(name):
    lengths = norm(np.diff(finger_joints(SHAPES[name]), axis=1))
    expected = norm(np.diff(finger_joints(SHAPES['flat']), axis=1))
    np.testing.assert_allclose(lengths, expected)


@pytest.mark.parametrize(
    ('name', 'stretched'),
    [
        ('fist', ()),
        ('point', (1,)),
        ('v', (1, 2)),
        ('three', (1, 2, 3)),
        ('call', (4,)),
        ('spread', (1, 2, 3, 4)),
    ],
)
def test_stretched_fingers(name, stretched):
    ratio = reach(name)[1:] / reach('flat')[1:]
    assert [i + 1 for i in np.flatnonzero(ratio > 0.9)] == list(stretched)
    assert (ratio[[i - 1 for i in range(1, 5) if i not in stretched]] < 0.7).all()


@pytest.mark.parametrize('name', ['ok', 'pinch'])
def test_thumb_meets_index(name):
    joints = finger_joints(SHAPES[name])
    assert norm(joints[0, 3] - joints[1, 3]) < 0.003


def test_curled_fingers_point_out_of_the_palm():
    assert finger_joints(SHAPES['fist'])[1:, 1, 1].min() > 0.0
    assert abs(finger_joints(SHAPES['flat'])[1:, 3, 1]).max() < 0.01


@pytest.mark.parametrize('touch', CONTACTS)
def test_contacts_are_on_the_hand(touch):
    assert norm(contact_point(touch, SHAPES['relaxed'])) < 0.2


def test_contact_of_two_tips_is_their_middle():
    joints = finger_joints(SHAPES['claw'])
    np.testing.assert_allclose(
        contact_point('pinch', SHAPES['claw']), joints[:2, 3].mean(axis=0)
    )
