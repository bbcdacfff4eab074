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
        ({**HAND, 'at': 'noes'}, r"x.json: a: unknown place 'noes'.*mean 'nose'"),
        ({**HAND, 'shape': 'pointy'}, r"unknown hand shape 'pointy'.*mean 'point'"),
        ({**HAND, 'touch': 'elbow'}, r"unknown contact 'elbow'"),
        ({**HAND, 'hand': 'left'}, r"unknown limb 'left'; known: both, main, other"),
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
