"""Backgrounds."""

import dataclasses

import numpy as np
import pytest

from mmma.simulation.backgrounds import Background, draw_passers
from mmma.simulation.camera import film
from mmma.simulation.domains import DOMAIN_STYLES

TIME = np.arange(60) / 30


def camera(domain, **changes):
    style = dataclasses.replace(DOMAIN_STYLES[domain].camera, **changes)
    centre = np.array([0.0, 1.0, 0.0])
    return film(style, (160, 128), centre, TIME, np.random.default_rng(0))


def frames(kind, seen):
    background = Background(kind, seen, np.random.default_rng(0))
    return np.stack([background.frame(i) for i in range(len(TIME))])


@pytest.mark.parametrize('kind', ['wall', 'room', 'street', 'set'])
def test_pictures(kind):
    pictures = frames(kind, camera('lab'))
    assert pictures.shape == (60, 128, 160, 3)
    assert pictures.std() > 5


def test_wall_stands_still_and_frames_are_copies():
    pictures = frames('wall', camera('lab'))
    assert (pictures == pictures[0]).all()
    background = Background('wall', camera('lab'), np.random.default_rng(0))
    background.frame(0)[:] = 0
    assert background.frame(1).min() > 0


def test_background_slides_with_the_camera():
    pictures = frames('room', camera('street')).astype(int)
    assert np.abs(np.diff(pictures, axis=0)).max() > 30


def test_cut_changes_the_set():
    seen = camera('emotion', cuts_per_sec=1.0, shake=0.0, drift=0.0)
    pictures = frames('set', seen).astype(int)
    change = np.abs(np.diff(pictures, axis=0)).mean(axis=(1, 2, 3))
    np.testing.assert_array_equal(change > 1, np.diff(seen.shot) > 0)
    assert (change > 1).any()


def test_passers_move():
    passers = draw_passers(camera('street'), np.random.default_rng(0))
    left = np.array([[corner[0][0] for corner in corners] for corners, _ in passers])
    assert left.shape == (4, 60)
    assert (np.ptp(left, axis=1) > 5).all()
