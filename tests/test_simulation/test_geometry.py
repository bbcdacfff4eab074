"""Rotations, inverse kinematics, courses in time, cameras."""

import dataclasses

import numpy as np
import pytest

from mmma.simulation.domains import DOMAIN_STYLES
from mmma.simulation.geometry import (
    Draw,
    axis_rotation,
    direction_frame,
    draw_wave,
    euler_rotation,
    film,
    norm,
    ramp_weight,
    rotate,
    two_bone_ik,
    unit,
)

LENGTHS = (0.3, 0.25)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_signs_of_angles():
    for angles, vector, expected in (
        ((0.5, 0, 0), (0, 0, 1), (1, 0, 0)),  # yaw turns the front to the left
        ((0, 0.5, 0), (0, 0, 1), (0, -1, 0)),  # pitch turns it down
        ((0, 0, 0.5), (0, 1, 0), (-1, 0, 0)),  # roll leans to the right
    ):
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
    assert np.abs(frame @ np.swapaxes(frame, -1, -2) - np.eye(3)).max() < 1e-12
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


def test_ik_goes_as_near_as_bones_allow():
    root, aim = np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]])
    for distance, reached in ((2.0, 0.55), (0.01, 0.05)):
        pole = np.array([[0.0, 1, 0]])
        middle, end = two_bone_ik(root, distance * aim, LENGTHS, pole)
        np.testing.assert_allclose(end, reached * aim, atol=1e-6)
        np.testing.assert_allclose(norm(end - middle), LENGTHS[1])


def test_ik_bends_towards_the_pole():
    target = np.array([[0.0, 0.0, 0.4]])
    middle, _ = two_bone_ik(
        np.zeros((1, 3)), target, LENGTHS, np.array([[0, -1.0, 3.0]])
    )
    assert middle[0, 1] < -0.05
    assert abs(middle[0, 0]) < 1e-12


TIME = np.linspace(0.0, 4.0, 401)


def course(spec, second=False, **kwargs):
    draw = Draw(np.random.default_rng(3), **kwargs)
    return draw_wave(spec, draw)(TIME, second)


def turns(values):
    """Number of times that a course passes its middle."""
    return int(
        (np.diff(np.sign(values - (values.max() + values.min()) / 2)) != 0).sum()
    )


def test_extent_and_rate():
    for how, low, high in (('oscillate', -2, 2), ('nod', 0, 2), ('flick', -0.9, 2)):
        values = course({'how': how, 'size': 2, 'rate': 1})
        extent = [values.min(), values.max()]
        np.testing.assert_allclose(extent, [low, high], atol=0.01)
    for how in ('oscillate', 'nod'):
        cycles = turns(course({'how': how, 'size': 1, 'rate': 1.5}))
        assert cycles == pytest.approx(12, abs=1)


def test_count_ends_at_rest():
    values = course({'how': 'nod', 'size': 1, 'rate': 1, 'count': 2})
    assert values[TIME > 2.01].max() == 0.0
    assert values[:200].max() == pytest.approx(1.0)


def test_settle_overshoots_then_holds():
    values = course({'how': 'settle', 'size': 1, 'rate': 1})
    assert values.max() > 1.2
    assert values[-1] == pytest.approx(1.0, abs=0.02)


def test_anti_moves_against():
    for how in ('oscillate', 'wander'):
        spec = {'how': how, 'size': 1, 'rate': 1, 'anti': True}
        np.testing.assert_allclose(course(spec, second=True), -course(spec), atol=1e-9)


def test_unknown_generator():
    with pytest.raises(ValueError, match=r"unknown generator 'jump': use one of hold"):
        course({'how': 'jump', 'size': 1})


def test_ramp():
    times = np.array([0.9, 1.25, 1.5, 2.0, 2.5, 3.1])
    values = ramp_weight((1.0, 0.5, 3.0, 1.0), times)
    np.testing.assert_allclose(values, [0, 0.5, 1, 1, 0.5, 0], atol=1e-9)


SIZE = (320, 240)
CENTRE = np.array([0.0, 1.0, 0.0])
TIME_CAMERA = np.arange(300) / 30
STILL = dataclasses.replace(
    DOMAIN_STYLES['lab'],
    view_height=(1.2, 1.2),
    distance=(3.0, 3.0),
    yaw=(0.0, 0.0),
    pitch=(0.0, 0.0),
)


def look(style, seed=0):
    return film(
        dataclasses.replace(style, size=SIZE),
        CENTRE,
        TIME_CAMERA,
        np.random.default_rng(seed),
    )


def seen(camera, *points):
    return camera.project(np.tile(np.array(points, float), (len(TIME_CAMERA), 1, 1)))


def test_frontal_view_mirrors_nothing():
    camera = look(STILL)
    points, depth = seen(camera, CENTRE, (0.1, 1.0, 0.0), (0.0, 1.1, 0.0))
    origin, left, up = points[0]
    # The person's left is on the right of the picture, up is up; 200 pixels a metre.
    np.testing.assert_allclose(left - origin, [20, 0], atol=1e-9)
    np.testing.assert_allclose(up - origin, [0, -20], atol=1e-9)
    np.testing.assert_allclose(depth[:, 0], 3.0)
    assert np.abs(origin - (160, 120)).max() < 0.06 * 240


def test_lab_camera_stands_still_and_that_of_the_street_shakes():
    still, shaky = (look(DOMAIN_STYLES[domain]) for domain in ('lab', 'street'))
    assert np.ptp(still.rotation, axis=0).max() < 1e-12
    assert still.shot.max() == 0
    assert 1 < np.std(seen(shaky, CENTRE)[0][:, 0], axis=0).max() < 60


def test_cuts_change_the_view():
    style = dataclasses.replace(DOMAIN_STYLES['emotion'], cuts_per_sec=0.5)
    camera = look(style)
    cuts = np.flatnonzero(np.diff(camera.shot))
    assert 1 <= len(cuts) <= 15
    jump = np.linalg.norm(np.diff(camera.position, axis=0), axis=1)
    assert jump[cuts].min() > 5 * np.delete(jump, cuts).max()


def test_rotation_is_a_rotation():
    for style in DOMAIN_STYLES.values():
        rotation = look(style).rotation
        product = rotation @ np.swapaxes(rotation, 1, 2)
        assert np.abs(product - np.eye(3)).max() < 1e-12


def test_what_is_behind_the_camera_stays_finite():
    points, depth = seen(look(STILL), (0, 1, 10))
    assert np.isfinite(points).all()
    assert (depth > 0).all()
