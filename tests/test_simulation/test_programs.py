"""The data files: complete, checked, with names that exist."""

import dataclasses

import numpy as np
import pytest

from mmma.simulation.domains import DOMAIN_STYLES, make_subject
from mmma.simulation.figure import JOINT
from mmma.simulation.geometry import Draw, ramp_weight
from mmma.simulation.motion import simulate_motion
from mmma.simulation.programs import (
    CHANNELS,
    Layer,
    action_effectors,
    add_angles,
    check_track,
    find_program,
    load_programs,
    load_rest,
    load_shapes,
    load_table,
    locate,
    make_ramp,
    move_feet,
    move_hands,
    part_frame,
    resting_hands,
)
from mmma.taxonomy import load_label_space

SPACE = load_label_space()
HAND = {
    'hand': 'main',
    'at': 'nose',
    'touch': 'index',
    'fingers': [0, 1, 0],
    'palm': [0, 0, -1],
    'elbow': [0, -1, 0],
    'shape': 'point',
}
# What an action of each body group moves at least.
MOVES = {
    'body': {'torso', 'shoulders'},
    'head': {'head'},
    'upper limb': {'hands'},
    'lower limb': {'legs'},
    'body-hand': {'hands'},
    'head-hand': {'hands'},
    'leg-hand': {'hands'},
}


def test_every_action_has_one_program():
    assert set(load_programs()) == set(SPACE.actions)


def test_effectors_fit_the_body_group():
    for action, body in zip(SPACE.actions, SPACE.body_of, strict=True):
        assert action_effectors(action) & MOVES[SPACE.bodies[body]], action


def test_standing_people_may_have_their_own_variants():
    tiptoe = load_programs()['tiptoe']
    assert tiptoe['seated'] != tiptoe['standing']
    assert find_program('tiptoe', 'armchair') is tiptoe['seated']
    assert find_program('tiptoe', 'standing') is tiptoe['standing']


def test_rest_places_all_limbs():
    for rest in load_rest().values():
        for part, limb in (('hands', 'hand'), ('legs', 'foot')):
            for variant in rest[part]:
                whose = {track[limb] for track in variant if limb in track}
                assert 'both' in whose or whose == {'main', 'other'}


@pytest.mark.parametrize(
    ('track', 'message'),
    [
        ({**HAND, 'at': 'noes'}, r"unknown place 'noes' in x.json: a: .*mean 'nose'"),
        ({**HAND, 'shape': 'pointy'}, r"unknown hand shape 'pointy'.*mean 'point'"),
        ({**HAND, 'touch': 'elbow'}, r"unknown contact 'elbow'"),
        ({**HAND, 'hand': 'left'}, r"unknown limb 'left' .* main, other, both"),
        ({**HAND, 'fingerz': 1}, r"unknown key 'fingerz'.*Did you mean 'fingers'"),
        ({'hand': 'main'}, "a hand track needs 'at'"),
        ({k: v for k, v in HAND.items() if k != 'shape'}, "a hand track needs 'shape'"),
        ({'head': {'jaw': 3}}, r"unknown channel of head 'jaw'.*Did you mean 'yaw'"),
        ({'foot': 'both', 'heal': 3}, r"unknown key 'heal'"),
        ({'shift_hand': 'mine', 'by': []}, r"unknown limb 'mine'"),
    ],
)
def test_bad_tracks(track, message):
    with pytest.raises(ValueError, match=message):
        check_track(track, 'x.json: a')


def test_unknown_action():
    for look_up in (action_effectors, lambda action: find_program(action, 'seated')):
        with pytest.raises(ValueError, match=r"no motion program.*mean 'nodding'"):
            look_up('noding')


LAB = dataclasses.replace(DOMAIN_STYLES['lab'], distraction=0.0)
EVERY = slice(None)


def pose(posture='seated'):
    subject = dataclasses.replace(make_subject(1, 'lab'), sway=0.0, posture=posture)
    return simulate_motion(subject, LAB, [], 0.1, 30, np.random.default_rng(0)).figure


FIGURE = pose()


def where(name, side=0, figure=FIGURE, posture='seated'):
    return locate(figure, name, side, posture, EVERY)[0][0]


def joint(name):
    return FIGURE.joints[0, JOINT[name]]


def test_places_lie_where_their_name_says():
    for name, near, within in (
        ('nose', 'nose', 0.03),
        ('eye', 'left_eye', 0.03),
        ('ear', 'left_ear', 0.03),
        ('shoulder', 'left_shoulder', 0.12),
        ('knee', 'left_knee', 0.1),
        ('foot', 'left_heel', 0.1),
    ):
        assert np.linalg.norm(where(name) - joint(near)) < within, name


def test_sides():
    for name in ('eye', 'shoulder', 'thigh', 'knee', 'waist'):
        left, right, other = where(name, 0), where(name, 1), where(f'{name}.other', 0)
        assert left[0] > right[0], name
        np.testing.assert_allclose(other, right, atol=1e-9)


def test_a_hand_goes_to_the_other_arm():
    arm = [joint(f'right_{end}') for end in ('shoulder', 'elbow', 'wrist')]
    for name in ('forearm', 'upper_arm', 'back_of_hand'):
        assert min(np.linalg.norm(where(name) - point) for point in arm) < 0.2, name


def test_axes_of_a_thigh():
    for posture, forward, up in (
        ('seated', (0, 0, 1), (0, 1, 0)),
        ('standing', (0, -1, 0), (0, 0, 1)),
    ):
        axes = part_frame(pose(posture), 'thigh', 0, 0, EVERY)[1][0]
        assert axes[:, 2] @ forward > 0.85
        assert axes[:, 1] @ up > 0.85


def test_outward_points_away_from_the_body():
    for part in ('head', 'chest', 'pelvis', 'thigh', 'shank', 'foot'):
        for side, sign in enumerate((1, -1)):
            axes = part_frame(FIGURE, part, side, side, EVERY)[1][0]
            assert axes[0, 0] * sign > 0.5, part


def test_some_places_lie_elsewhere_when_standing():
    standing = pose('standing')
    lap = where('lap', 0, standing, 'standing') - standing.joints[0, JOINT['pelvis']]
    assert lap[1] < 0.02
    assert (where('lap') - joint('pelvis'))[1] > 0.08
    assert 'standing' in load_table('places')['lap']


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
