"""The data files: complete, checked, with names that exist."""

import pytest

from mmma.simulation.programs import (
    action_effectors,
    check_track,
    find_program,
    load_habits,
    load_programs,
    load_rest,
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
