"""Cameras: projection, framing, cuts."""

import dataclasses

import numpy as np
import pytest

from mmma.simulation.camera import film
from mmma.simulation.domains import DOMAIN_STYLES

SIZE = (320, 240)
CENTRE = np.array([0.0, 1.0, 0.0])
TIME = np.arange(300) / 30
STILL = dataclasses.replace(
    DOMAIN_STYLES['lab'].camera,
    view_height=(1.2, 1.2),
    distance=(3.0, 3.0),
    yaw=(0.0, 0.0),
    pitch=(0.0, 0.0),
)


def look(style, seed=0):
    return film(style, SIZE, CENTRE, TIME, np.random.default_rng(seed))


def seen(camera, *points):
    return camera.project(np.tile(np.array(points, float), (len(TIME), 1, 1)))


def test_frontal_view_mirrors_nothing():
    camera = look(STILL)
    points, depth = seen(camera, CENTRE, (0.1, 1.0, 0.0), (0.0, 1.1, 0.0))
    origin, left, up = points[0]
    # The person's left is on the right of the picture, up is up; 200 pixels a metre.
    np.testing.assert_allclose(left - origin, [20, 0], atol=1e-9)
    np.testing.assert_allclose(up - origin, [0, -20], atol=1e-9)
    np.testing.assert_allclose(depth[:, 0], 3.0)
    assert np.abs(origin - (160, 120)).max() < 0.06 * 240


def test_near_things_are_larger():
    points, _ = seen(look(STILL), (0, 1, 0), (0.1, 1, 0), (0, 1, 1), (0.1, 1, 1))
    assert points[0, 3, 0] - points[0, 2, 0] > 1.3 * (points[0, 1, 0] - points[0, 0, 0])


def test_lab_camera_stands_still():
    camera = look(DOMAIN_STYLES['lab'].camera)
    assert np.ptp(camera.rotation, axis=0).max() < 1e-12
    assert camera.shot.max() == 0


def test_street_camera_shakes():
    camera = look(DOMAIN_STYLES['street'].camera)
    spot = seen(camera, CENTRE)[0][:, 0]
    assert 1 < np.std(spot, axis=0).max() < 60


def test_cuts_change_the_view():
    style = dataclasses.replace(DOMAIN_STYLES['emotion'].camera, cuts_per_sec=0.5)
    camera = look(style)
    cuts = np.flatnonzero(np.diff(camera.shot))
    assert 1 <= len(cuts) <= 15
    jump = np.linalg.norm(np.diff(camera.position, axis=0), axis=1)
    assert jump[cuts].min() > 5 * np.delete(jump, cuts).max()


@pytest.mark.parametrize('domain', DOMAIN_STYLES)
def test_rotation_is_a_rotation(domain):
    rotation = look(DOMAIN_STYLES[domain].camera).rotation
    eye = np.broadcast_to(np.eye(3), rotation.shape)
    np.testing.assert_allclose(
        rotation @ np.swapaxes(rotation, 1, 2), eye, rtol=0, atol=1e-12
    )


def test_what_is_behind_the_camera_stays_finite():
    points, depth = seen(look(STILL), (0, 1, 10))
    assert np.isfinite(points).all()
    assert (depth > 0).all()
