"""The data files: complete, checked, with names that exist."""

import dataclasses

import numpy as np
import pytest

from mmma.simulation.domains import DOMAIN_STYLES, make_subject
from mmma.simulation.figure import JOINT
from mmma.simulation.motion import simulate_motion
from mmma.simulation.programs import (
    action_effectors,
    check_track,
    find_program,
    load_habits,
    load_programs,
    load_rest,
    load_table,
    locate,
    part_frame,
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


@pytest.mark.parametrize('action', SPACE.actions)
def test_effectors_fit_the_body_group(action):
    body = SPACE.bodies[SPACE.body_of[SPACE.action_id(action)]]
    assert action_effectors(action) & MOVES[body]


def test_standing_people_may_have_their_own_variants():
    tiptoe = load_programs()['tiptoe']
    assert tiptoe['seated'] != tiptoe['standing']
    assert find_program('tiptoe', 'armchair') is tiptoe['seated']
    assert find_program('tiptoe', 'standing') is tiptoe['standing']


@pytest.mark.parametrize('posture', ['seated', 'armchair', 'standing'])
def test_rest_places_all_limbs(posture):
    rest = load_rest()[posture]
    for part, limb in (('hands', 'hand'), ('legs', 'foot')):
        for variant in rest[part]:
            whose = {track[limb] for track in variant if limb in track}
            assert 'both' in whose or whose == {'main', 'other'}


def test_habits_are_small():
    angles = [
        max(abs(v) for v in wave)
        for variants in load_habits().values()
        for variant in variants
        for track in variant
        for channels in (track.get('head', {}), track.get('torso', {}))
        for wave in channels.values()
        if isinstance(wave, list)
    ]
    assert angles
    assert max(angles) <= 22


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'at': 'noes'}, r"x.json: a: unknown place 'noes'.*Did you mean 'nose'"),
        ({'shape': 'pointy'}, r"unknown hand shape 'pointy'.*Did you mean 'point'"),
        ({'touch': 'elbow'}, r"unknown contact 'elbow'"),
        ({'hand': 'left'}, r"unknown limb 'left'; known: both, main, other"),
        ({'fingerz': 1}, r"unknown key 'fingerz'.*Did you mean 'fingers'"),
    ],
)
def test_bad_hand_tracks(change, message):
    with pytest.raises(ValueError, match=message):
        check_track({**HAND, **change}, 'x.json: a')


@pytest.mark.parametrize('key', ['at', 'touch', 'elbow', 'shape'])
def test_hand_track_without_what_it_needs(key):
    track = {k: v for k, v in HAND.items() if k != key}
    with pytest.raises(ValueError, match=f"a hand track needs '{key}'"):
        check_track(track, 'x.json: a')


@pytest.mark.parametrize(
    ('track', 'message'),
    [
        ({'head': {'jaw': 3}}, r"unknown channel of head 'jaw'.*Did you mean 'yaw'"),
        ({'foot': 'both', 'heal': 3}, r"unknown key 'heal'"),
        ({'shift_hand': 'mine', 'by': []}, r"unknown limb 'mine'"),
    ],
)
def test_other_bad_tracks(track, message):
    with pytest.raises(ValueError, match=message):
        check_track(track, 'x.json: a')


@pytest.mark.parametrize(
    'look_up', [action_effectors, lambda a: find_program(a, 'seated')]
)
def test_unknown_action(look_up):
    with pytest.raises(ValueError, match=r"no motion program.*Did you mean 'nodding'"):
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


@pytest.mark.parametrize(
    ('name', 'near', 'within'),
    [
        ('nose', 'nose', 0.03),
        ('eye', 'left_eye', 0.03),
        ('ear', 'left_ear', 0.03),
        ('shoulder', 'left_shoulder', 0.12),
        ('knee', 'left_knee', 0.1),
        ('foot', 'left_heel', 0.1),
    ],
)
def test_places_lie_where_their_name_says(name, near, within):
    assert np.linalg.norm(where(name) - joint(near)) < within


@pytest.mark.parametrize('name', ['eye', 'shoulder', 'thigh', 'knee', 'waist'])
def test_sides(name):
    left, right, other = where(name, 0), where(name, 1), where(f'{name}.other', 0)
    assert left[0] > right[0]
    np.testing.assert_allclose(other, right, atol=1e-9)


def test_order_of_the_face():
    heights = [where(n)[1] for n in ('forehead', 'nose', 'philtrum', 'lips', 'chin')]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize('part', ['forearm', 'upper_arm', 'hand'])
def test_a_hand_goes_to_the_other_arm(part):
    name = {'hand': 'back_of_hand'}.get(part, part)
    arm = [joint(f'right_{end}') for end in ('shoulder', 'elbow', 'wrist')]
    assert min(np.linalg.norm(where(name) - point) for point in arm) < 0.2


@pytest.mark.parametrize(
    ('posture', 'forward', 'up'),
    [('seated', (0, 0, 1), (0, 1, 0)), ('standing', (0, -1, 0), (0, 0, 1))],
)
def test_axes_of_a_thigh(posture, forward, up):
    axes = part_frame(pose(posture), 'thigh', 0, 0, EVERY)[1][0]
    assert axes[:, 2] @ forward > 0.85
    assert axes[:, 1] @ up > 0.85


@pytest.mark.parametrize('side', [0, 1])
@pytest.mark.parametrize('part', ['head', 'chest', 'pelvis', 'thigh', 'shank', 'foot'])
def test_outward_points_away_from_the_body(part, side):
    axes = part_frame(FIGURE, part, side, side, EVERY)[1][0]
    assert axes[0, 0] * (1, -1)[side] > 0.5


def test_some_places_lie_elsewhere_when_standing():
    standing = pose('standing')
    lap = where('lap', 0, standing, 'standing') - standing.joints[0, JOINT['pelvis']]
    assert lap[1] < 0.02
    assert (where('lap') - joint('pelvis'))[1] > 0.08
    assert 'standing' in load_table('places')['lap']
