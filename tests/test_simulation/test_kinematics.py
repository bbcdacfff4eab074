"""Rotations and inverse kinematics."""

import numpy as np
import pytest

from mmma.simulation.kinematics import (
    axis_rotation,
    direction_frame,
    euler_rotation,
    norm,
    rotate,
    smoothstep,
    two_bone_ik,
    unit,
)

LENGTHS = (0.3, 0.25)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ('angles', 'vector', 'expected'),
    [
        ((0.5, 0, 0), (0, 0, 1), (1, 0, 0)),  # yaw turns the front to the left
        ((0, 0.5, 0), (0, 0, 1), (0, -1, 0)),  # pitch turns it down
        ((0, 0, 0.5), (0, 1, 0), (-1, 0, 0)),  # roll leans to the right
    ],
)
def test_signs_of_angles(angles, vector, expected):
    turned = rotate(euler_rotation(*(np.pi * np.array(angles))), np.array(vector))
    np.testing.assert_allclose(turned, expected, atol=1e-12)


def test_euler_is_roll_then_pitch_then_yaw(rng):
    yaw, pitch, roll = rng.normal(size=(3, 20))
    y, x, z = (0, 1, 0), (1, 0, 0), (0, 0, 1)
    steps = [
        axis_rotation(np.broadcast_to(np.array(axis, float), (20, 3)), angle)
        for axis, angle in ((y, yaw), (x, pitch), (z, roll))
    ]
    expected = steps[0] @ steps[1] @ steps[2]
    np.testing.assert_allclose(euler_rotation(yaw, pitch, roll), expected, atol=1e-12)


def test_direction_frame_is_a_rotation(rng):
    first, second = rng.normal(size=(2, 50, 3))
    frame = direction_frame(first, second)
    np.testing.assert_allclose(frame[..., 0], unit(first))
    eye = np.broadcast_to(np.eye(3), frame.shape)
    np.testing.assert_allclose(
        frame @ np.swapaxes(frame, -1, -2), eye, rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(frame), 1.0)
    assert (np.einsum('ti,ti->t', frame[..., 1], second) > 0).all()


def test_ik_reaches_what_is_in_reach(rng):
    root, pole = rng.normal(size=(2, 500, 3))
    distance = rng.uniform(0.06, 0.54, (500, 1))
    target = root + distance * unit(rng.normal(size=(500, 3)))
    middle, end = two_bone_ik(root, target, LENGTHS, pole)
    assert norm(end - target).max() < 1e-6
    np.testing.assert_allclose(norm(middle - root), LENGTHS[0])
    np.testing.assert_allclose(norm(end - middle), LENGTHS[1])


@pytest.mark.parametrize(('distance', 'reached'), [(2.0, 0.55), (0.01, 0.05)])
def test_ik_goes_as_near_as_bones_allow(distance, reached):
    root, aim = np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]])
    middle, end = two_bone_ik(root, distance * aim, LENGTHS, np.array([[0.0, 1, 0]]))
    np.testing.assert_allclose(end, reached * aim, atol=1e-6)
    np.testing.assert_allclose(norm(end - middle), LENGTHS[1])


def test_ik_bends_towards_the_pole():
    target = np.array([[0.0, 0.0, 0.4]])
    middle, _ = two_bone_ik(
        np.zeros((1, 3)), target, LENGTHS, np.array([[0, -1.0, 3.0]])
    )
    assert middle[0, 1] < -0.05
    assert abs(middle[0, 0]) < 1e-12


def test_smoothstep():
    np.testing.assert_allclose(
        smoothstep(np.array([-1, 0, 0.5, 1, 2])), [0, 0, 0.5, 1, 1]
    )
