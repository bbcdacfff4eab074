"""Layers: ramps, angles, feet."""

import numpy as np
import pytest

from mmma.simulation.generators import Draw
from mmma.simulation.layers import (
    CHANNELS,
    Feet,
    Layer,
    add_angles,
    blend,
    make_ramp,
    move_feet,
    sum_waves,
)

T = 30


def layer(track, main=0, weight=1.0, who=None):
    sides = {'both': (main, 1 - main)}.get(who, (main,))
    return Layer(
        track=track,
        sides=sides,
        frames=slice(0, T),
        time_sec=np.arange(T) / 30,
        weight=np.full(T, weight),
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


@pytest.mark.parametrize(
    ('channel', 'sign'), [('yaw', 1), ('roll', -1), ('pitch', None), ('thrust', None)]
)
def test_positive_goes_towards_the_main_side(channel, sign):
    left, right = (angles({'head': {channel: 10}}, main=m) for m in (0, 1))
    left, right = left[f'head.{channel}'], right[f'head.{channel}']
    if sign is None:
        assert left == right > 0
    else:
        assert left == -right
        assert np.sign(left) == sign


def test_weight_scales_angles():
    half = angles({'head': {'yaw': 10}}, weight=0.5)
    assert half['head.yaw'] == pytest.approx(np.radians(5))


def feet(track, **kwargs):
    targets = Feet.empty(T)
    targets.at[:] = [0.1, 0.08, 0.4]
    move_feet(targets, layer(track, **kwargs))
    return targets


def test_feet_go_to_a_place_or_by_a_distance():
    assert feet({'foot': 'main', 'to': [0, 0.3, 0.3]}).at[0, 0].tolist() == [
        0,
        0.3,
        0.3,
    ]
    by = [{'axis': [0, 0, 2], 'how': 'hold', 'size': 0.1}]
    moved = feet({'foot': 'both', 'by': by}, who='both', main=1)
    np.testing.assert_allclose(moved.at[0], [[0.1, 0.08, 0.5]] * 2)


def test_lifted_heel_leaves_the_toes_down():
    moved = feet({'foot': 'main', 'heel': 30})
    assert moved.at[0, 0, 1] > 0.08 + 0.04
    assert moved.angles[0, 0, 1] == pytest.approx(np.radians(30))
    assert moved.at[0, 1].tolist() == [0.1, 0.08, 0.4]


def test_lifted_toes_leave_the_ankle():
    moved = feet({'foot': 'main', 'toe': 20, 'turn': 10})
    assert moved.at[0, 0].tolist() == [0.1, 0.08, 0.4]
    np.testing.assert_allclose(
        moved.angles[0, 0], [np.radians(10), -np.radians(20), 0], atol=1e-9
    )


def test_ramp_fits_into_short_events():
    ramp = make_ramp({'hand': 'main'}, (1.0, 1.2), Draw(np.random.default_rng(0)))
    weight = ramp.values(np.linspace(1.0, 1.2, 50))
    assert weight.max() > 0.99
    assert ramp.attack + ramp.release <= 0.2


@pytest.mark.parametrize(('stay', 'late'), [(0.0, False), (1.0, True)])
def test_what_stays_falls_after_the_end(stay, late):
    track = {'head': {}, 'release': 0.4, 'stay': stay}
    ramp = make_ramp(track, (0.0, 2.0), Draw(np.random.default_rng(0)))
    assert (ramp.values(np.array([2.0]))[0] > 0.9) == late


def test_waves_add_up_along_their_axes():
    waves = layer({}).waves(
        [
            {'axis': [2, 0, 0], 'how': 'hold', 'size': 0.3},
            {'axis': [0, 1, 0], 'how': 'hold', 'size': 0.1},
        ]
    )
    np.testing.assert_allclose(
        sum_waves(waves, np.zeros(2), False), [[0.3, 0.1, 0]] * 2
    )


def test_blend():
    here = np.zeros((2, 3))
    blend(here, np.array([1.0, 2, 3]), np.array([0.5, 1.0]))
    np.testing.assert_allclose(here, [[0.5, 1, 1.5], [1, 2, 3]])
