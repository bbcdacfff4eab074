"""Drawn frames."""

import dataclasses
import time

import numpy as np
import pytest

from mmma.simulation.body import JOINT
from mmma.simulation.domains import DOMAIN_STYLES
from mmma.simulation.motion import Event, simulate_motion
from mmma.simulation.render import render_frames
from mmma.simulation.subjects import make_subject


def draw(domain='lab', action='waving', sec=0.5, seed=0, **changes):
    style, subject = DOMAIN_STYLES[domain], make_subject(seed, domain)
    style = dataclasses.replace(style, **changes)
    subject = dataclasses.replace(
        subject, skin=(250, 30, 30), top=(30, 250, 30), bottom=(30, 30, 250)
    )
    rng = np.random.default_rng(seed)
    motion = simulate_motion(subject, style, [Event(action, 0, sec)], sec, 30, rng)
    return motion, np.stack(list(render_frames(motion, subject, style, rng)))


@pytest.mark.parametrize('domain', DOMAIN_STYLES)
def test_frames(domain):
    motion, frames = draw(domain)
    width, height = DOMAIN_STYLES[domain].size
    assert frames.shape == (len(motion.joints), height, width, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 10
    assert np.abs(np.diff(frames.astype(int), axis=0)).mean() > 0.5


def test_same_dice_same_pixels():
    assert draw('street')[1].tobytes() == draw('street')[1].tobytes()


@pytest.mark.parametrize(
    ('joint', 'channel'), [('waist', 1), ('left_knee', 2), ('right_knee', 2)]
)
def test_parts_have_their_colours(joint, channel):
    motion, frames = draw(action='waving')
    points, _ = motion.camera.project(motion.joints)
    x, y = points[0, JOINT[joint]].astype(int)
    patch = frames[0, y - 2 : y + 3, x - 2 : x + 3].mean(axis=(0, 1))
    assert np.argmax(patch) == channel


def test_dim_rooms_are_darker():
    assert draw('psychiatric')[1].mean() < 0.75 * draw('lab')[1].mean()


def test_face_shows_where_it_turns():
    def dark_side(seed):
        """Where the dark eyes are against the head's centre, pixels; and the turn."""
        style = DOMAIN_STYLES['lab']
        picture = dataclasses.replace(style.picture, noise=0.0)
        subject = dataclasses.replace(
            make_subject(1, 'lab'), haircut='short', glasses=False, hair=(90, 60, 200)
        )
        rng = np.random.default_rng(seed)
        style = dataclasses.replace(style, picture=picture)
        event = Event('turning head', -2.0, 8.0)
        motion = simulate_motion(subject, style, [event], 0.1, 30, rng)
        frame = next(iter(render_frames(motion, subject, style, rng))).astype(int)
        points, _ = motion.camera.project(motion.joints)
        x, y = points[0, JOINT['head']].astype(int)
        patch = frame[y - 20 : y + 20, x - 20 : x + 20]
        _, columns = np.nonzero(patch.max(axis=2) < 60)
        nose = points[0, JOINT['nose'], 0] - points[0, JOINT['head'], 0]
        return columns.mean() - 20, nose

    sides = [dark_side(seed) for seed in range(4)]
    assert all(np.sign(eyes) == np.sign(nose) for eyes, nose in sides if abs(nose) > 6)
    assert any(abs(nose) > 6 for _, nose in sides)


@pytest.mark.parametrize('action', ['playing objects', 'pushing glasses'])
def test_objects_are_held(action):
    motion, _ = draw(action=action)
    assert next(held.kind for held in motion.objects) in (
        'phone',
        'pen',
        'cup',
        'glasses',
    )


def test_speed():
    started = time.process_time()
    _, frames = draw(sec=1.0)
    assert (time.process_time() - started) / len(frames) < 0.03  # about 0.003 s
