"""Motion: every action moves what its name says, and only rest is still."""

import dataclasses
import itertools
import time

import numpy as np
import pytest

from mmma.layout.joints import WHOLEBODY65
from mmma.simulation.body import HAND_START, JOINT, joint_pair
from mmma.simulation.domains import DOMAIN_STYLES
from mmma.simulation.kinematics import norm, rotate
from mmma.simulation.motion import Event, simulate_motion
from mmma.simulation.places import find_place, locate
from mmma.simulation.programs import find_program
from mmma.simulation.subjects import make_subject
from mmma.taxonomy import load_label_space

SPACE = load_label_space()
QUIET = dataclasses.replace(make_subject(1, 'lab'), sway=0.0)
LAB = dataclasses.replace(DOMAIN_STYLES['lab'], distraction=0.0)
# Joints, against the chest, that an action of each body group must move, and how far.
EVIDENCE = {
    'body': (['neck', 'left_shoulder', 'right_shoulder'], 'room', 0.01),
    'head': (['nose', 'left_ear', 'right_ear'], 'chest', 0.015),
    'lower limb': (
        [f'{s}_{p}' for s in ('left', 'right') for p in ('knee', 'heel', 'big_toe')],
        'room',
        0.02,
    ),
}
HAND_JOINTS = [WHOLEBODY65.names[i] for i in range(HAND_START[0], 65)]


def move(action=None, subject=QUIET, style=LAB, seed=0, span=(1.0, 3.2), sec=4.0):
    events = [Event(action, *span)] if action else []
    rng = np.random.default_rng(seed)
    return simulate_motion(subject, style, events, sec, 30, rng)


def travel(motion, names, frame):
    """(T, n) metres by which joints have moved since the first frame."""
    points = motion.joints[:, [JOINT[n] for n in names]]
    if frame == 'chest':
        points = points - motion.joints[:, None, JOINT['neck']]
        points = rotate(np.swapaxes(motion.figure.chest, 1, 2)[:, None], points)
    return norm(points - points[0])


def head_angles(motion):
    """(T, 3) yaw, pitch, roll of the head against the chest, degrees."""
    r = np.swapaxes(motion.figure.chest, 1, 2) @ motion.figure.head
    yaw = np.arctan2(r[:, 0, 2], r[:, 2, 2])
    pitch = -np.arcsin(r[:, 1, 2])
    roll = np.arctan2(r[:, 1, 0], r[:, 1, 1])
    return np.degrees(np.stack([yaw, pitch, roll], axis=1))


@pytest.mark.parametrize('posture', ['seated', 'standing'])
@pytest.mark.parametrize('action', SPACE.actions)
def test_action_moves_what_it_names(action, posture):
    body = SPACE.bodies[SPACE.body_of[SPACE.action_id(action)]]
    names, frame, least = EVIDENCE.get(body, (HAND_JOINTS, 'chest', 0.03))
    motion = move(action, dataclasses.replace(QUIET, posture=posture))
    moved = travel(motion, names, frame).max(axis=1)
    assert moved[:20].max() < 1e-6  # nothing before it begins
    assert moved.max() > least


@pytest.mark.parametrize(
    ('action', 'axis'),
    [
        ('nodding', 1),
        ('bowing head', 1),
        ('raising head', 1),
        ('shaking head', 0),
        ('turning head', 0),
        ('tilting head', 2),
    ],
)
@pytest.mark.parametrize('seed', range(4))
def test_axis_of_head_actions(action, axis, seed):
    extent = np.ptp(head_angles(move(action, seed=seed)), axis=0)
    assert np.argmax(extent) == axis
    assert extent[axis] > 5


def test_nodding_repeats_and_bowing_stays():
    nods, bows = [], []
    for seed in range(6):
        for action, low in (('nodding', nods), ('bowing head', bows)):
            pitch = head_angles(move(action, seed=seed))[:, 1]
            half = pitch[0] + (pitch.max() - pitch[0]) / 2
            low.append((pitch > half).mean())
    assert max(nods) < min(bows)


def test_bowing_looks_down_and_raising_up():
    first, *_ = bow = head_angles(move('bowing head'))[:, 1]
    assert bow.max() > first + 10
    first, *_ = rise = head_angles(move('raising head'))[:, 1]
    assert rise.min() < first - 8


TOUCHES = [
    action
    for action, body in zip(SPACE.actions, SPACE.body_of, strict=True)
    if SPACE.bodies[body] in ('head-hand', 'body-hand', 'leg-hand')
    and action != 'folding hands on legs'
]


@pytest.mark.parametrize('posture', ['seated', 'armchair', 'standing'])
@pytest.mark.parametrize('action', TOUCHES)
def test_hands_reach_their_place(action, posture):
    subject = dataclasses.replace(QUIET, posture=posture)
    for seed in range(3):
        motion = move(action, subject, seed=seed)
        gaps = []
        for variant in find_program(action, posture):
            track = next(t for t in variant if 'hand' in t)
            gaps += [place_gap(motion, track['at'], side, posture) for side in (0, 1)]
        assert min(gaps) < 0.075, seed


def place_gap(motion, name, side, posture):
    """Least distance of a hand's joints to a place, metres."""
    every = slice(0, len(motion.joints))
    where, _ = locate(motion.figure, find_place(name, side, posture), side, every)
    start = HAND_START[side]
    hand = motion.joints[:, start : start + 21]
    return norm(hand - where[:, None]).min()


@pytest.mark.parametrize('seed', range(5))
def test_touching_nose_brings_a_fingertip_to_the_nose(seed):
    motion = move('touching nose', seed=seed)
    tips = [start + 4 * i for start in HAND_START for i in range(1, 6)]
    gap = norm(motion.joints[:, tips] - motion.joints[:, None, JOINT['nose']])
    assert gap.min() < 0.035
    assert gap[0].min() > 0.25


SIMILAR = [
    ('nodding', 'bowing head'),
    ('touching nose', 'scratching or touching philtrum'),
    ('rubbing hands', 'rubbing hands with clenched'),
    ('rubbing hands', 'rubbing spire hands'),
    ('touching legs', 'patting legs'),
    ('touching legs', 'scratching legs'),
    ('interlace fingers', 'holding fingers'),
    ('holding fingers', 'holding hands'),
    ('crossing legs', 'curling legs'),
    ('shaking body', 'swing body'),
    ('folding arms', 'folding arms rubbing'),
]


@pytest.mark.parametrize('pair', SIMILAR, ids=' / '.join)
def test_similar_actions_differ(pair):
    a, b = (move(action).joints for action in pair)
    assert norm(a - b).max() > 0.008


@pytest.mark.parametrize(('seed', 'other'), [(0, 1), (2, 3)])
def test_instances_of_an_action_vary(seed, other):
    a, b = (move('waving', seed=s).joints for s in (seed, other))
    assert norm(a - b).max() > 0.05


def test_same_dice_same_motion():
    subject, style = make_subject(3, 'emotion'), DOMAIN_STYLES['emotion']
    a, b = (move('clapping', subject, style, seed=5) for _ in range(2))
    assert a.joints.tobytes() == b.joints.tobytes()
    assert a.camera.rotation.tobytes() == b.camera.rotation.tobytes()


@pytest.mark.parametrize('domain', DOMAIN_STYLES)
def test_idle_people_hardly_move(domain):
    style = dataclasses.replace(DOMAIN_STYLES[domain], distraction=0.0)
    for seed in range(3):
        motion = move(None, make_subject(seed, domain), style, seed)
        assert 0.001 < np.ptp(motion.joints, axis=0).max() < 0.15


def test_bones_keep_their_length_in_motion():
    motion = simulate_motion(
        make_subject(2, 'street'),
        DOMAIN_STYLES['street'],
        [Event('waving', 0, 2), Event('tiptoe', 0.5, 2), Event('turning head', 0, 2)],
        3.0,
        30,
        np.random.default_rng(0),
    )
    chains = [('shoulder', 'elbow', 'wrist'), ('hip', 'knee', 'ankle')]
    for a, b in itertools.chain.from_iterable(map(itertools.pairwise, chains)):
        gap = motion.joints[:, joint_pair(a)] - motion.joints[:, joint_pair(b)]
        assert np.ptp(norm(gap), axis=0).max() < 1e-9


def test_actions_of_different_limbs_overlap():
    events = [Event('nodding', 0.5, 3.5), Event('waving', 0.5, 3.5)]
    motion = simulate_motion(QUIET, LAB, events, 4.0, 30, np.random.default_rng(0))
    assert np.ptp(head_angles(motion)[:, 1]) > 5
    assert travel(motion, HAND_JOINTS, 'chest').max() > 0.2


def test_events_may_begin_before_the_first_frame():
    motion = move('folding arms', span=(-1.0, 6.0))
    assert travel(motion, HAND_JOINTS, 'chest').max() < 0.05


def test_leading_hand():
    def leads_right(subject, seed):
        joints = move('touching nose', subject, seed=seed).joints
        gap = norm(joints[:, HAND_START] - joints[:, None, JOINT['nose']])
        return gap[:, 1].min() < gap[:, 0].min()

    for right_handed in (True, False):
        subject = dataclasses.replace(QUIET, right_handed=right_handed)
        share = np.mean([leads_right(subject, seed) for seed in range(30)])
        assert (share > 0.55) == right_handed


@pytest.mark.parametrize(
    ('event', 'sec', 'message'),
    [
        (
            Event('nodding', 1.0, 1.0),
            2.0,
            'ends at 1.0 s, which is not after its start',
        ),
        (Event('noding', 0.0, 1.0), 2.0, "no motion program for action 'noding'"),
        (Event('nodding', 0.0, 1.0), 0.0, 'has no frame'),
    ],
)
def test_bad_input(event, sec, message):
    with pytest.raises(ValueError, match=message):
        simulate_motion(QUIET, LAB, [event], sec, 30, np.random.default_rng(0))


def test_speed():
    started = time.process_time()
    for action in SPACE.actions[::4]:
        move(action, sec=2.7)
    assert time.process_time() - started < 21 * 0.05  # about 0.003 s each
