import numpy as np
import pytest

from mmma.pose.extractors import JOINTS, NUM_JOINTS
from mmma.pose.hands import Hand, pair_with_wrists, place_hands

LEFT, RIGHT = (slice(JOINTS[f'{s}_hand_root'], JOINTS[f'{s}_hand_root'] + 21)
               for s in ('left', 'right'))  # fmt: skip


def hand_at(x, y, side='left', score=0.9):
    return Hand(np.array([x, y]) + np.arange(21)[:, None] * [0, 0.5], score, side)


@pytest.fixture
def body():
    """A person of 100 px from shoulder to shoulder, wrists at (160, 200), (40, 200)."""
    places = {
        'left_shoulder': (150, 0), 'left_elbow': (170, 90), 'left_wrist': (160, 200),
        'right_shoulder': (50, 0), 'right_elbow': (30, 90), 'right_wrist': (40, 200),
    }  # fmt: skip
    keypoints, scores = np.zeros((NUM_JOINTS, 2)), np.zeros(NUM_JOINTS)
    for name, place in places.items():
        keypoints[JOINTS[name]], scores[JOINTS[name]] = place, 1
    return keypoints, scores


@pytest.mark.parametrize(
    ('hands', 'sides'),
    [
        ([hand_at(158, 205, 'right')], [0]),  # the wrist, not the look
        ([hand_at(42, 205), hand_at(158, 205)], [1, 0]),
        ([hand_at(40, 300)], [None]),  # another person's
        ([hand_at(40, 300), hand_at(40, 205)], [None, 1]),
        ([], []),
    ],
)
def test_hands_go_to_the_nearest_wrist(body, hands, sides):
    assert pair_with_wrists(body[0], hands) == sides


@pytest.mark.parametrize(
    ('hands', 'sides'),
    [
        ([hand_at(108, 200), hand_at(102, 200)], [0, 1]),  # one each, the least way
        ([hand_at(103, 200, 'right')], [1]),  # 6 px nearer to the left: the look
        ([hand_at(107, 200, 'right')], [0]),  # 14 px nearer: the wrist
    ],
)
def test_folded_hands(body, hands, sides):
    body[0][JOINTS['left_wrist']] = 110, 200
    body[0][JOINTS['right_wrist']] = 90, 200
    assert pair_with_wrists(body[0], hands) == sides


def test_placed_hands_keep_points_and_score(body):
    keypoints, scores = body
    place_hands(keypoints, scores, [hand_at(42, 205, score=0.7)])
    assert (scores[RIGHT] == 0.7).all()
    assert not scores[LEFT].any()
    assert keypoints[RIGHT][20].tolist() == [42, 215]


def test_without_a_body_the_better_of_two_alike_stays():
    keypoints, scores = np.zeros((NUM_JOINTS, 2)), np.zeros(NUM_JOINTS)
    hands = [hand_at(1, 1, score=0.9), hand_at(5, 5, score=0.6)]
    place_hands(keypoints, scores, hands)
    assert keypoints[LEFT][0].tolist() == [1, 1]
    assert not scores[RIGHT].any()
