"""Observed skeletons."""

import dataclasses

import numpy as np
import pytest

from mmma.layout.joints import WHOLEBODY65
from mmma.simulation.domains import DOMAIN_STYLES, ExtractorStyle
from mmma.simulation.motion import Event, simulate_motion
from mmma.simulation.skeleton import observe_skeleton
from mmma.simulation.subjects import make_subject

NAMES = WHOLEBODY65.names
CLEAN = ExtractorStyle(0.0, 0.0, 0.0, 0.0, 0.0)


def observe(domain='lab', action='waving', extractor=None, seed=0, sec=2.0):
    style, subject = DOMAIN_STYLES[domain], make_subject(seed, domain)
    if extractor is not None:
        style = dataclasses.replace(style, extractor=extractor)
    rng = np.random.default_rng(seed)
    events = [Event(action, 0.0, sec)]
    motion = simulate_motion(subject, style, events, sec, 30, rng)
    return motion, *observe_skeleton(motion, subject, style, rng)


@pytest.mark.parametrize('domain', DOMAIN_STYLES)
def test_shapes_and_ranges(domain):
    _, keypoints, scores = observe(domain)
    assert keypoints.shape == (60, 65, 2)
    assert scores.shape == (60, 65)
    assert keypoints.dtype == scores.dtype == np.float32
    width, height = DOMAIN_STYLES[domain].size
    assert keypoints.min() >= 0
    assert keypoints[..., 0].max() <= width - 1
    assert keypoints[..., 1].max() <= height - 1
    assert 0 <= scores.min() <= scores.max() <= 1


def test_clean_extractor_sees_the_joints_in_layout_order():
    motion, keypoints, _ = observe(extractor=CLEAN)
    points, _ = motion.camera.project(motion.joints)
    np.testing.assert_allclose(keypoints, points[:, :65], atol=1e-3)
    mean = dict(zip(NAMES, keypoints.mean(axis=0), strict=True))
    # The person faces the camera, so that left is on the right of the picture.
    assert mean['left_shoulder'][0] > mean['right_shoulder'][0]
    assert mean['nose'][1] < mean['left_hip'][1] < mean['left_ankle'][1]
    assert mean['left_heel'][1] > mean['left_knee'][1]


def test_lab_shows_the_whole_person():
    scores = np.stack([observe(seed=s, action='nodding')[2] for s in range(5)])
    assert (scores > 0).mean() > 0.99


def test_joints_out_of_the_picture_have_no_score():
    motion, _, scores = observe('emotion', extractor=CLEAN)
    points, _ = motion.camera.project(motion.joints)
    outside = (points[:, :65, 1] > 239) | (points[:, :65, 1] < 0)
    assert outside.any()
    assert (scores[outside] == 0).all()
    ankles = [NAMES.index('left_ankle'), NAMES.index('right_ankle')]
    assert (scores[:, ankles] == 0).all()


def test_hidden_hands_are_doubtful():
    _, _, behind = observe(action='hands behind back', extractor=CLEAN)
    _, _, before = observe(action='waving', extractor=CLEAN)
    assert behind[30, 23:].mean() < 0.6 < before[30, 23:].mean()


def test_noise_grows_with_the_style():
    def jitter(domain):
        style = dataclasses.replace(
            DOMAIN_STYLES['lab'], extractor=DOMAIN_STYLES[domain].extractor
        )
        subject = dataclasses.replace(make_subject(0, 'lab'), sway=0.0)
        rng = np.random.default_rng(0)
        motion = simulate_motion(subject, style, [], 4.0, 30, rng)
        keypoints, _ = observe_skeleton(motion, subject, style, rng)
        return np.abs(np.diff(keypoints, axis=0)).mean()

    assert jitter('lab') < jitter('psychiatric')
    assert jitter('lab') < 4.0


def test_missed_hands_come_in_runs():
    extractor = ExtractorStyle(0.0, 0.0, 0.3, 0.0, 0.0)
    _, _, scores = observe(extractor=extractor, action='nodding', sec=20.0)
    missed = scores[:, 23:44].max(axis=1) < 0.31
    assert 0.1 < missed.mean() < 0.5
    assert (np.diff(missed.astype(int)) != 0).sum() < missed.sum() / 2


def test_toes_are_missed_and_knees_are_not():
    extractor = ExtractorStyle(0.0, 0.0, 0.0, 0.5, 0.0)
    _, _, scores = observe(extractor=extractor, action='nodding', sec=10.0)
    assert (scores[:, NAMES.index('left_small_toe')] < 0.31).mean() > 0.2
    assert (scores[:, NAMES.index('left_knee')] < 0.31).mean() == 0


def test_glitches_are_rare_jumps():
    extractor = ExtractorStyle(0.0, 0.0, 0.0, 0.0, 0.01)
    motion, keypoints, _ = observe(extractor=extractor)
    points, _ = motion.camera.project(motion.joints)
    jumped = np.abs(keypoints - points[:, :65]).max(axis=2) > 1
    assert 0.002 < jumped.mean() < 0.02


def test_same_dice_same_skeleton():
    a, b = (observe('street', seed=4)[1:] for _ in range(2))
    assert a[0].tobytes() == b[0].tobytes()
    assert a[1].tobytes() == b[1].tobytes()


def test_one_frame():
    _, keypoints, scores = observe(sec=1 / 30)
    assert keypoints.shape == (1, 65, 2)
    assert np.isfinite(scores).all()
