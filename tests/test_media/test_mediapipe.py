import importlib.machinery
import importlib.util
import os
from types import SimpleNamespace

import numpy as np
import pytest
from figure_scenes import pictures

from mmma.data.joints import LAYOUTS
from mmma.media import mediapipe as mediapipe_backend
from mmma.media.mediapipe import (
    MediapipeExtractor,
    describe,
    pair_with_wrists,
    to_joints,
)
from mmma.media.pose import JOINTS, NUM_JOINTS, PoseOptions

LEFT, RIGHT = (slice(JOINTS[f'{s}_hand_root'], JOINTS[f'{s}_hand_root'] + 21)
               for s in ('left', 'right'))  # fmt: skip


def hand_at(x, y, side='left', score=0.9):
    points = np.array([x, y]) + np.arange(21)[:, None] * [0, 0.5]
    return points, score, ['left', 'right'].index(side)


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
    names = LAYOUTS['blazepose33'].names
    points, scores = np.zeros((33, 2)), np.zeros(33)
    for name in names:
        if body[1][JOINTS.get(name, 0)]:
            points[names.index(name)] = body[0][JOINTS[name]]
            scores[names.index(name)] = 0.8
    keypoints, scores = to_joints((points, scores), [hand_at(42, 205, score=0.7)])
    assert (scores[RIGHT] == 0.7).all()
    assert not scores[LEFT].any()
    assert keypoints[RIGHT][20].tolist() == [42, 215]
    assert keypoints[JOINTS['left_wrist']].tolist() == [160, 200]
    assert scores[JOINTS['left_wrist']] == 0.8


def test_without_a_body_the_better_of_two_alike_stays():
    hands = [hand_at(1, 1, score=0.9), hand_at(5, 5, score=0.6)]
    keypoints, scores = to_joints(None, hands)
    assert keypoints[LEFT][0].tolist() == [1, 1]
    assert not scores[RIGHT].any()


def marks(points, visibility=0.5):
    landmarks = [SimpleNamespace(x=x, y=y, visibility=visibility) for x, y in points]
    return SimpleNamespace(landmark=landmarks)


def kind(label, score=0.8):
    return SimpleNamespace(classification=[SimpleNamespace(label=label, score=score)])


class Solution:
    """Gives what it was told, frame by frame."""

    def __init__(self, *results):
        self._results, self._left = results, []

    def reset(self):
        self._left = list(self._results)

    def process(self, frame):
        return self._left.pop(0)


def extract(bodies, hands, size=(40, 20)):
    frames = [np.zeros((size[1], size[0], 3), np.uint8)] * len(bodies)
    extractor = MediapipeExtractor(
        Solution(*(SimpleNamespace(pose_landmarks=body) for body in bodies)),
        Solution(*(SimpleNamespace(multi_hand_landmarks=[h[0] for h in found] or None,
                                   multi_handedness=[h[1] for h in found] or None)
                   for found in hands)),
    )  # fmt: skip
    extractor.extract(frames, 30)
    return extractor.extract(frames, 30)  # the second clip as the first


def test_landmarks_become_joints_by_name():
    body = marks([(i / 100, i / 50) for i in range(33)])
    keypoints, scores = extract([body, None], [[], []])
    assert keypoints.shape == (1, 2, 65, 2)
    for name, mark in {'nose': 0, 'right_eye': 5, 'left_wrist': 15, 'right_knee': 26,
                       'left_heel': 29, 'right_big_toe': 32}.items():  # fmt: skip
        assert keypoints[0, 0, JOINTS[name]] == pytest.approx([mark * 0.4, mark * 0.4])
    missing = [n for n, j in JOINTS.items() if not scores[0, 0, j] and 'hand' not in n]
    assert missing[:2] == ['left_small_toe', 'right_small_toe']
    assert not scores[0, 1].any()
    assert (scores[0, 0] > 0).sum() == 21


def test_labels_of_hands_are_those_of_a_mirrored_picture():
    hand = (marks([(0.5, 0.5)] * 21), kind('Left'))
    keypoints, scores = extract([None], [[hand]])
    root = JOINTS['right_hand_root']
    assert keypoints[0, 0, root].tolist() == [20, 10]
    assert scores[0, 0, root] == 0.8
    assert not scores[0, 0, JOINTS['left_hand_root']]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'persons': 2}, 'BlazePose finds one person'),
        ({'models': '.'}, 'brings its own, unlike rtmlib'),
    ],
)
def test_options_of_the_other_backend(options, message):
    with pytest.raises(ValueError, match=message):
        describe(PoseOptions('mediapipe', **options))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A mediapipe 9.9 without models; returns its folder."""
    spec = importlib.machinery.ModuleSpec('mediapipe', None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: spec)
    monkeypatch.setattr(mediapipe_backend, '_version', lambda: '9.9')
    return tmp_path


def test_what_is_recorded(installed):
    model = installed / 'modules/pose_landmark/pose_landmark_full.tflite'
    model.parent.mkdir(parents=True)
    model.touch()
    expected = 'mediapipe 9.9 body=blazepose-full hands=full smooth=on'
    assert describe(PoseOptions('mediapipe', smooth=True)) == expected


def test_mediapipe_without_models(installed):
    with pytest.raises(ValueError, match=r'mediapipe 9\.9 comes without models: pip'):
        describe(PoseOptions('mediapipe'))


def test_mediapipe_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='mediapipe is not installed: pip install'):
        describe(PoseOptions('mediapipe'))


def test_errors_are_heard_again_after_silence(capfd):
    with mediapipe_backend.silent():
        os.write(2, b'unheard')
    os.write(2, b'heard')
    assert capfd.readouterr().err == 'heard'


def test_the_library_itself():
    pytest.importorskip('mediapipe')
    options = PoseOptions('mediapipe')
    assert describe(options).startswith('mediapipe 0.10.21')
    frames = pictures('lab', 'nodding', 2.7)[13::27]
    extractor = mediapipe_backend.build(options)
    first, again = (extractor.extract(frames, 30) for _ in range(2))
    assert (first[0] == again[0]).all()
    keypoints, scores = first
    assert scores[0, :, JOINTS['nose']].min() > 0.9
    nose, hip = (keypoints[0, :, JOINTS[name], 1] for name in ('nose', 'left_hip'))
    assert (nose < hip).all()
