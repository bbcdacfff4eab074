"""Layers: ramps, angles, feet, hands."""

import dataclasses

import numpy as np
import pytest

from mmma.simulation.domains import DOMAIN_STYLES, make_subject
from mmma.simulation.geometry import Draw, ramp_weight
from mmma.simulation.layers import (
    CHANNELS,
    Layer,
    add_angles,
    make_ramp,
    move_feet,
    move_hands,
    resting_hands,
)
from mmma.simulation.motion import simulate_motion
from mmma.simulation.programs import load_shapes, locate

T = 30


def layer(track, main=0, sides=None, weight=1.0):
    return Layer(
        track=track,
        sides=sides or (main,),
        frames=slice(0, T),
        time_sec=np.arange(T) / 30,
        weight=np.broadcast_to(weight, T),
        draw=Draw(np.random.default_rng(0)),
        posture='seated',
    )


def angles(track, **kwargs):
    channels = np.zeros((T, len(CHANNELS)))
    add_angles(channels, layer(track, **kwargs))
    return {name: channels[0, i] for name, i in CHANNELS.items() if channels[0, i]}


def test_angles_are_radians_and_shifts_metres():
    moved = angles({'torso': {'lean': 10, 'rise': 0.05}})
    assert moved['torso.lean'] == pytest.approx(np.radians(10))
    assert moved['torso.rise'] == pytest.approx(0.05)


def test_positive_goes_towards_the_main_side():
    for channel, sign in (('yaw', 1), ('roll', -1), ('pitch', None), ('thrust', None)):
        left, right = (
            angles({'head': {channel: 10}}, main=m)[f'head.{channel}'] for m in (0, 1)
        )
        assert left * (sign or 1) > 0
        assert right == (left if sign is None else -left)


def feet(track, **kwargs):
    targets = np.zeros((3, T, 2, 3))
    targets[0] = [0.1, 0.08, 0.4]
    move_feet(targets, layer(track, **kwargs))
    return targets


def test_feet_go_to_a_place_or_by_a_distance():
    gone = feet({'foot': 'main', 'to': [0, 0.3, 0.3]})[0]
    assert gone[0, 0].tolist() == [0, 0.3, 0.3]
    by = [{'axis': [0, 0, 2], 'how': 'hold', 'size': 0.1}]
    moved = feet({'foot': 'both', 'by': by}, sides=(1, 0))
    np.testing.assert_allclose(moved[0][0], [[0.1, 0.08, 0.5]] * 2)


def test_lifted_heel_leaves_the_toes_down():
    moved = feet({'foot': 'main', 'heel': 30})
    assert moved[0][0, 0, 1] > 0.08 + 0.04
    assert moved[2][0, 0, 1] == pytest.approx(np.radians(30))
    assert moved[0][0, 1].tolist() == [0.1, 0.08, 0.4]


def test_lifted_toes_leave_the_ankle():
    moved = feet({'foot': 'main', 'toe': 20, 'turn': 10})
    assert moved[0][0, 0].tolist() == [0.1, 0.08, 0.4]
    np.testing.assert_allclose(
        moved[2][0, 0], [np.radians(10), -np.radians(20), 0], atol=1e-9
    )


def test_ramp_fits_into_short_events():
    ramp = make_ramp({'hand': 'main'}, (1.0, 1.2), Draw(np.random.default_rng(0)))
    weight = ramp_weight(ramp, np.linspace(1.0, 1.2, 50))
    assert weight.max() > 0.99
    assert ramp[1] + ramp[3] <= 0.2


def test_what_stays_falls_after_the_end():
    for stay in (0.0, 1.0):
        track = {'head': {}, 'release': 0.4, 'stay': stay}
        ramp = make_ramp(track, (0.0, 2.0), Draw(np.random.default_rng(0)))
        assert (ramp_weight(ramp, np.array([2.0]))[0] > 0.9) == bool(stay)


TRACK = {
    'hand': 'main',
    'at': 'nose',
    'touch': 'wrist',
    'fingers': [0, 1, 0],
    'palm': [0, 0, -1],
    'elbow': [0, -1, 0],
    'shape': 'point',
}


@pytest.fixture(scope='module')
def figure():
    subject = dataclasses.replace(make_subject(1, 'lab'), sway=0.0)
    style = dataclasses.replace(DOMAIN_STYLES['lab'], distraction=0.0)
    motion = simulate_motion(subject, style, [], 1.0, 30, np.random.default_rng(0))
    return motion.figure


def moved(figure, track, **kwargs):
    hands = resting_hands(T)
    move_hands(hands, figure, layer(track, **kwargs))
    return hands


def test_wrist_goes_to_the_place(figure):
    hands = moved(figure, TRACK)
    nose, _ = locate(figure, 'nose', 0, 'seated', slice(None))
    assert np.linalg.norm(hands['wrists'][:, 0] - nose, axis=1).max() < 0.04
    assert np.abs(hands['wrists'][:, 1]).max() == 0
    np.testing.assert_allclose(hands['shapes'][0, 0], load_shapes()['point'])
    assert hands['fingers'][0, 0, 1] > 0.8
    assert hands['palms'][0, 0, 2] < -0.8


def test_both_hands_are_mirrored(figure):
    front = {**TRACK, 'hand': 'both', 'at': 'front', 'offset': [0.2, -0.2, 0.3]}
    left, right = moved(figure, front, sides=(0, 1))['wrists'][0]
    gap = left - right
    assert gap[0] == pytest.approx(0.4, abs=0.05)
    assert np.abs(gap[1:]).max() < 0.06


def test_twist_turns_the_hand_and_leaves_the_wrist(figure):
    twist = [{'about': 'palm', 'how': 'oscillate', 'size': 30, 'rate': 2}]
    hands = moved(figure, {**TRACK, 'twist': twist})
    assert np.ptp(hands['fingers'][:, 0, 0]) > 0.6
    assert np.ptp(hands['wrists'][:, 0], axis=0).max() < 1e-9


def test_shape_moves_stay_possible(figure):
    waves = [{'slots': [3, 4], 'how': 'oscillate', 'size': 3.0, 'rate': 2}]
    curls = moved(figure, {**TRACK, 'shape_moves': waves})['shapes'][:, 0, 3:5]
    assert curls.min() == 0.0
    assert curls.max() == pytest.approx(1.1)


def test_shift_starts_from_where_the_hand_is(figure):
    by = [{'axis': [0, 1, 0], 'how': 'hold', 'size': 0.05}]
    hands = resting_hands(T)
    hands['wrists'][:] = 1.0
    move_hands(hands, figure, layer({'shift_hand': 'main', 'by': by}))
    assert np.linalg.norm(hands['wrists'][0, 0] - 1.0) == pytest.approx(0.05)
    assert (hands['wrists'][:, 1] == 1.0).all()
