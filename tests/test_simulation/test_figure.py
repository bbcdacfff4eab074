"""Hand shapes, and a figure whose bones keep their lengths."""

import numpy as np
import pytest

from mmma.data.joints import WHOLEBODY65
from mmma.simulation.domains import make_subject
from mmma.simulation.figure import (
    JOINT,
    JOINTS,
    Build,
    finger_joints,
    hand_frames,
    joint_pair,
    pose_arms,
    pose_hands,
    pose_legs,
    pose_trunk,
)
from mmma.simulation.geometry import norm
from mmma.simulation.programs import load_shapes

SHAPES = load_shapes()


def reach(name):
    """(5,) how far each fingertip is from the wrist."""
    return norm(finger_joints(SHAPES[name])[:, 3])


def test_bones_do_not_depend_on_shape():
    lengths = [norm(np.diff(finger_joints(shape), axis=1)) for shape in SHAPES.values()]
    assert np.ptp(lengths, axis=0).max() < 1e-9


def test_stretched_fingers():
    for name, stretched in {
        'fist': (),
        'point': (1,),
        'v': (1, 2),
        'three': (1, 2, 3),
        'call': (4,),
        'spread': (1, 2, 3, 4),
    }.items():
        ratio = reach(name)[1:] / reach('flat')[1:]
        assert [i + 1 for i in np.flatnonzero(ratio > 0.9)] == list(stretched), name
        assert (np.delete(ratio, np.array(stretched, int) - 1) < 0.7).all(), name


T = 12


@pytest.fixture(scope='module')
def figure():
    """Random angles, limbs that go to random places."""
    rng = np.random.default_rng(0)
    angles = dict(
        base=rng.normal(size=(T, 3)),
        pelvis=0.3 * rng.normal(size=(T, 3)),
        chest=0.3 * rng.normal(size=(T, 3)),
        head=0.4 * rng.normal(size=(T, 3)),
        thrust=0.2 * rng.normal(size=T),
        shoulders=0.2 * rng.normal(size=(T, 2, 2)),
    )
    figure = pose_trunk(Build(make_subject(0, 'lab')), **angles)
    near = figure.joints[:, None, JOINT['pelvis']]
    pose_legs(figure, near + rng.normal(size=(T, 2, 3)), *rng.normal(size=(2, T, 2, 3)))
    pose_arms(figure, near + rng.normal(size=(T, 2, 3)), rng.normal(size=(T, 2, 3)))
    frames = hand_frames(*rng.normal(size=(2, T, 2, 3)), np.array([1.0, -1.0]))
    shapes = np.broadcast_to(load_shapes()['claw'], (T, 2, 9))
    pose_hands(figure, frames, shapes)
    return figure


def test_order_of_joints():
    assert JOINTS[:65] == WHOLEBODY65.names
    assert joint_pair('wrist') == [
        WHOLEBODY65.names.index('left_wrist'),
        WHOLEBODY65.names.index('right_wrist'),
    ]


LOOSE = ('left_shoulder', 'right_shoulder')  # collar bones turn about the neck
BONES = [limb for limb in WHOLEBODY65.limbs if not set(limb) & set(LOOSE)]
BONES += [(a, b) for a, b in WHOLEBODY65.limbs if a in LOOSE and 'elbow' in b]


def test_bones_keep_their_length(figure):
    change = {}
    for limb in [*BONES, ('neck', 'left_shoulder'), ('waist', 'neck')]:
        a, b = (figure.joints[:, JOINT[name]] for name in limb)
        change[limb] = np.ptp(norm(a - b))
    assert {limb for limb, much in change.items() if much >= 1e-9} == set()


def test_hand_root_is_the_wrist(figure):
    np.testing.assert_array_equal(
        figure.joints[:, joint_pair('hand_root')], figure.joints[:, joint_pair('wrist')]
    )


def test_thumbs_lie_inside_when_palms_face_down():
    fingers = np.tile([0.0, 0, 1], (2, 1))
    palms = np.tile([0.0, -1, 0], (2, 1))
    thumb = hand_frames(fingers, palms, np.array([1.0, -1.0]))[..., 2]
    np.testing.assert_allclose(thumb, [[-1, 0, 0], [1, 0, 0]], atol=1e-12)
