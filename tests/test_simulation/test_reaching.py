"""Hands that go to places."""

import dataclasses

import numpy as np
import pytest

from mmma.simulation.domains import DOMAIN_STYLES
from mmma.simulation.generators import Draw
from mmma.simulation.layers import Layer
from mmma.simulation.motion import simulate_motion
from mmma.simulation.places import find_place, locate
from mmma.simulation.programs import load_shapes
from mmma.simulation.reaching import Hands, move_hands, needs_arms
from mmma.simulation.subjects import make_subject

TRACK = {
    'hand': 'main',
    'at': 'nose',
    'touch': 'wrist',
    'fingers': [0, 1, 0],
    'palm': [0, 0, -1],
    'elbow': [0, -1, 0],
    'shape': 'point',
}
T = 30


@pytest.fixture(scope='module')
def figure():
    subject = dataclasses.replace(make_subject(1, 'lab'), sway=0.0)
    style = dataclasses.replace(DOMAIN_STYLES['lab'], distraction=0.0)
    motion = simulate_motion(subject, style, [], 1.0, 30, np.random.default_rng(0))
    return motion.figure


def layer(track, sides=(0,), weight=None):
    return Layer(
        track=track,
        sides=sides,
        frames=slice(0, T),
        time_sec=np.arange(T) / 30,
        weight=np.ones(T) if weight is None else weight,
        draw=Draw(np.random.default_rng(0)),
        posture='seated',
    )


def moved(figure, track, **kwargs):
    hands = Hands.empty(T)
    move_hands(hands, figure, layer(track, **kwargs))
    return hands


def test_wrist_goes_to_the_place(figure):
    hands = moved(figure, TRACK)
    nose, _ = locate(figure, find_place('nose', 0, 'seated'), 0, slice(None))
    assert np.linalg.norm(hands.wrists[:, 0] - nose, axis=1).max() < 0.04
    assert np.abs(hands.wrists[:, 1]).max() == 0
    np.testing.assert_allclose(hands.shapes[0, 0], load_shapes()['point'])
    assert hands.fingers[0, 0, 1] > 0.8
    assert hands.palms[0, 0, 2] < -0.8


def test_weight_decides_how_far(figure):
    weight = np.linspace(0, 1, T)
    x = moved(figure, TRACK, weight=weight).wrists[:, 0, 1]
    assert x[0] == 0
    assert (np.diff(x) > 0).all()


def test_both_hands_are_mirrored(figure):
    front = {**TRACK, 'hand': 'both', 'at': 'front', 'offset': [0.2, -0.2, 0.3]}
    left, right = moved(figure, front, sides=(0, 1)).wrists[0]
    gap = left - right
    assert gap[0] == pytest.approx(0.4, abs=0.05)
    assert np.abs(gap[1:]).max() < 0.06


@pytest.mark.parametrize('anti', [False, True])
def test_rubbing_hands_move_with_or_against_each_other(figure, anti):
    wave = {'axis': [0, 1, 0], 'how': 'oscillate', 'size': 0.05, 'rate': 2}
    track = {**TRACK, 'at': 'front', 'moves': [{**wave, 'anti': anti}]}
    y = moved(figure, track, sides=(0, 1)).wrists[..., 1]
    y = y - y.mean(axis=0)
    assert np.ptp(y[:, 0]) == pytest.approx(0.1, abs=0.02)
    np.testing.assert_allclose(y[:, 1], -y[:, 0] if anti else y[:, 0], atol=1e-6)


def test_twist_turns_the_hand_and_leaves_the_wrist(figure):
    twist = [{'about': 'palm', 'how': 'oscillate', 'size': 30, 'rate': 2}]
    hands = moved(figure, {**TRACK, 'twist': twist})
    assert np.ptp(hands.fingers[:, 0, 0]) > 0.6
    assert np.ptp(hands.wrists[:, 0], axis=0).max() < 1e-9


def test_shape_moves_stay_possible(figure):
    waves = [{'slots': [3, 4], 'how': 'oscillate', 'size': 3.0, 'rate': 2}]
    curls = moved(figure, {**TRACK, 'shape_moves': waves}).shapes[:, 0, 3:5]
    assert curls.min() == 0.0
    assert curls.max() == pytest.approx(1.1)


def test_shift_starts_from_where_the_hand_is(figure):
    by = [{'axis': [0, 1, 0], 'how': 'hold', 'size': 0.05}]
    hands = Hands.empty(T)
    hands.wrists[:] = 1.0
    move_hands(hands, figure, layer({'shift_hand': 'main', 'by': by}))
    assert np.linalg.norm(hands.wrists[0, 0] - 1.0) == pytest.approx(0.05)
    assert (hands.wrists[:, 1] == 1.0).all()


@pytest.mark.parametrize(('place', 'late'), [('nose', False), ('forearm', True)])
def test_hands_on_arms_wait_for_the_arms(place, late):
    assert needs_arms(layer({**TRACK, 'at': place})) == late
    assert not needs_arms(layer({'shift_hand': 'main', 'by': []}))
