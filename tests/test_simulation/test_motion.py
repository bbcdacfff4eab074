"""Motion: every action moves what its name says, and only rest is still."""

import dataclasses
import itertools

import numpy as np
import pytest

from mmma.data.joints import WHOLEBODY65
from mmma.simulation.domains import DOMAIN_STYLES, make_subject
from mmma.simulation.figure import HAND_START, JOINT, joint_pair
from mmma.simulation.geometry import norm, rotate
from mmma.simulation.motion import Event, observe_skeleton, simulate_motion
from mmma.simulation.programs import find_program, locate
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


def test_every_action_moves_what_it_names():
    wrong = []
    for action, posture in itertools.product(SPACE.actions, ['seated', 'standing']):
        body = SPACE.bodies[SPACE.body_of[SPACE.action_id(action)]]
        names, frame, least = EVIDENCE.get(body, (HAND_JOINTS, 'chest', 0.03))
        motion = move(action, dataclasses.replace(QUIET, posture=posture))
        moved = travel(motion, names, frame).max(axis=1)
        if moved[:20].max() >= 1e-6 or moved.max() <= least:  # not before it begins
            wrong.append((action, posture))
    assert wrong == []


HEAD_AXES = {'nodding': 1, 'bowing head': 1, 'raising head': 1, 'shaking head': 0}
HEAD_AXES |= {'turning head': 0, 'tilting head': 2}


def test_axis_of_head_actions():
    wrong = []
    for (action, axis), seed in itertools.product(HEAD_AXES.items(), range(4)):
        extent = np.ptp(head_angles(move(action, seed=seed)), axis=0)
        if np.argmax(extent) != axis or extent[axis] <= 5:
            wrong.append((action, seed))
    assert wrong == []


def test_nodding_repeats_and_bowing_stays():
    nods, bows = [], []
    for seed in range(6):
        for action, low in (('nodding', nods), ('bowing head', bows)):
            pitch = head_angles(move(action, seed=seed))[:, 1]
            half = pitch[0] + (pitch.max() - pitch[0]) / 2
            low.append((pitch > half).mean())
    assert max(nods) < min(bows)


POSTURES = ('seated', 'armchair', 'standing')
TOUCHES = [
    action
    for action, body in zip(SPACE.actions, SPACE.body_of, strict=True)
    if SPACE.bodies[body] in ('head-hand', 'body-hand', 'leg-hand')
    and action != 'folding hands on legs'
]


def test_hands_reach_their_place():
    far = []
    for action, posture in itertools.product(TOUCHES, POSTURES):
        subject = dataclasses.replace(QUIET, posture=posture)
        for seed in range(3):
            motion = move(action, subject, seed=seed)
            gaps = []
            for variant in find_program(action, posture):
                track = next(t for t in variant if 'hand' in t)
                gaps += [place_gap(motion, track['at'], i, posture) for i in (0, 1)]
            if min(gaps) >= 0.075:
                far.append((action, posture, seed))
    assert far == []


def place_gap(motion, name, side, posture):
    """Least distance of a hand's joints to a place, metres."""
    every = slice(0, len(motion.joints))
    where, _ = locate(motion.figure, name, side, posture, every)
    start = HAND_START[side]
    hand = motion.joints[:, start : start + 21]
    return norm(hand - where[:, None]).min()


def test_touching_nose_brings_a_fingertip_to_the_nose():
    for seed in range(5):
        motion = move('touching nose', seed=seed)
        tips = [start + 4 * i for start in HAND_START for i in range(1, 6)]
        gap = norm(motion.joints[:, tips] - motion.joints[:, None, JOINT['nose']])
        assert gap.min() < 0.035 < 0.25 < gap[0].min()


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


def test_similar_actions_differ():
    joints = {action: move(action).joints for pair in SIMILAR for action in pair}
    gaps = {pair: norm(joints[pair[0]] - joints[pair[1]]).max() for pair in SIMILAR}
    assert {pair for pair, gap in gaps.items() if gap <= 0.008} == set()


def test_idle_people_hardly_move():
    for domain, seed in itertools.product(DOMAIN_STYLES, range(3)):
        style = dataclasses.replace(DOMAIN_STYLES[domain], distraction=0.0)
        motion = move(None, make_subject(seed, domain), style, seed)
        assert 0.001 < np.ptp(motion.joints, axis=0).max() < 0.15, domain


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
        (Event('nodding', 1.0, 1.0), 2.0, 'ends at 1.0 s, which is not after its'),
        (Event('noding', 0.0, 1.0), 2.0, "no motion program for action 'noding'"),
        (Event('nodding', 0.0, 1.0), 0.0, 'has no frame'),
    ],
)
def test_bad_input(event, sec, message):
    with pytest.raises(ValueError, match=message):
        simulate_motion(QUIET, LAB, [event], sec, 30, np.random.default_rng(0))


NAMES = WHOLEBODY65.names
ERRORS = ('joint_noise', 'joint_drift', 'hand_miss', 'toe_miss', 'glitch')
CLEAN = dict.fromkeys(ERRORS, 0.0)


def observe(domain='lab', action='waving', seed=0, sec=2.0, **errors):
    subject = make_subject(seed, domain)
    style = dataclasses.replace(DOMAIN_STYLES[domain], **errors)
    rng = np.random.default_rng(seed)
    events = [Event(action, 0.0, sec)]
    motion = simulate_motion(subject, style, events, sec, 30, rng)
    return motion, *observe_skeleton(motion, style, rng)


def test_shapes_and_ranges():
    for domain, style in DOMAIN_STYLES.items():
        _, keypoints, scores = observe(domain)
        assert keypoints.shape == (60, 65, 2)
        assert scores.shape == (60, 65)
        assert keypoints.dtype == scores.dtype == np.float32
        assert keypoints.min() >= 0
        assert (keypoints.max(axis=(0, 1)) <= np.array(style.size) - 1).all()
        assert 0 <= scores.min() <= scores.max() <= 1


def test_clean_extractor_sees_the_joints_in_layout_order():
    motion, keypoints, _ = observe(**CLEAN)
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
    motion, _, scores = observe('emotion', **CLEAN)
    points, _ = motion.camera.project(motion.joints)
    outside = (points[:, :65, 1] > 239) | (points[:, :65, 1] < 0)
    assert outside.any()
    assert (scores[outside] == 0).all()
    ankles = [NAMES.index('left_ankle'), NAMES.index('right_ankle')]
    assert (scores[:, ankles] == 0).all()


def test_hidden_hands_are_doubtful():
    _, _, behind = observe(action='hands behind back', **CLEAN)
    _, _, before = observe(action='waving', **CLEAN)
    assert behind[30, 23:].mean() < 0.6 < before[30, 23:].mean()


def test_missed_hands_come_in_runs():
    errors = {**CLEAN, 'hand_miss': 0.3}
    _, _, scores = observe(action='nodding', sec=20.0, **errors)
    missed = scores[:, 23:44].max(axis=1) < 0.31
    assert 0.1 < missed.mean() < 0.5
    assert (np.diff(missed.astype(int)) != 0).sum() < missed.sum() / 2


def test_glitches_are_rare_jumps():
    motion, keypoints, _ = observe(**{**CLEAN, 'glitch': 0.01})
    points, _ = motion.camera.project(motion.joints)
    jumped = np.abs(keypoints - points[:, :65]).max(axis=2) > 1
    assert 0.002 < jumped.mean() < 0.02


def test_same_dice_same_skeleton_and_one_frame():
    a, b = (observe('street', seed=4)[1:] for _ in range(2))
    assert a[0].tobytes() == b[0].tobytes()
    assert a[1].tobytes() == b[1].tobytes()
    _, keypoints, scores = observe(sec=1 / 30)
    assert keypoints.shape == (1, 65, 2)
    assert np.isfinite(scores).all()
