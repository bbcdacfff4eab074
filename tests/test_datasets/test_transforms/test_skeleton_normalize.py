"""Filling, centring and scaling skeletons."""

import numpy as np
import pytest

from mmma.datasets.transforms.skeleton_normalize import (
    NormalizeSkeleton,
    body_size,
    fill_missing,
)
from mmma.layout.joint_sets import joint_tree

TREE = joint_tree('wholebody65', 'ends31')
INDEX = {name: v for v, name in enumerate(TREE.names)}


def person(frames=6, seed=0):
    rng = np.random.default_rng(seed)
    keypoint = rng.uniform(20, 200, (1, frames, len(TREE.names), 2)).astype(np.float32)
    return keypoint, np.ones(keypoint.shape[:3], np.float32)


def normalize(keypoint, score, **kwargs):
    results = dict(keypoint=keypoint, keypoint_score=score, joint_tree=TREE)
    return NormalizeSkeleton(**kwargs)(results)['keypoint']


def test_fill_moves_evenly_between_seen_frames_and_rests_outside():
    keypoint, score = person()
    keypoint[0, :, 0] = 999
    keypoint[0, [1, 4], 0] = [[10, 0], [40, 30]]
    score[0, [0, 2, 3, 5], 0] = 0
    filled = fill_missing(keypoint, score, TREE)
    assert filled[0, :, 0, 0].tolist() == [10, 10, 20, 30, 40, 40]
    assert filled[0, :, 0, 1].tolist() == [0, 0, 10, 20, 30, 30]
    np.testing.assert_array_equal(filled[:, :, 1:], keypoint[:, :, 1:])


def test_a_joint_never_seen_lies_on_its_nearest_seen_ancestor():
    keypoint, score = person()
    for name in ('left_wrist', 'left_thumb4', 'left_forefinger4'):
        score[..., INDEX[name]] = 0
    filled = fill_missing(keypoint, score, TREE)
    elbow = keypoint[:, :, INDEX['left_elbow']]
    np.testing.assert_array_equal(filled[:, :, INDEX['left_thumb4']], elbow)
    np.testing.assert_array_equal(filled[:, :, INDEX['left_wrist']], elbow)


def test_a_root_never_seen_lies_in_the_middle():
    keypoint, score = person()
    score[..., INDEX['nose']] = 0
    filled = fill_missing(keypoint, score, TREE)
    middle = keypoint[:, :, 1:].mean(axis=2)
    np.testing.assert_allclose(filled[:, :, INDEX['nose']], middle, rtol=1e-5)


@pytest.mark.parametrize('share', [0.2, 0.9, 1.0])
@pytest.mark.parametrize('center', ['clip', 'frame'])
def test_missing_joints_never_give_nan(share, center):
    keypoint, score = person(frames=9)
    score[np.random.default_rng(1).random(score.shape) < share] = 0
    keypoint[score == 0] = np.nan
    assert np.isfinite(normalize(keypoint, score, center=center)).all()


def test_normalizing_takes_out_place_and_size():
    keypoint, score = person()
    near = normalize(3 * keypoint + [40, -7], score)
    np.testing.assert_allclose(near, normalize(keypoint, score), atol=1e-4)


def test_one_origin_per_clip_keeps_sway_and_one_per_frame_does_not():
    keypoint, score = person(frames=1)
    sway = np.arange(5.0).reshape(1, 5, 1, 1)
    keypoint, score = keypoint + sway, np.repeat(score, 5, axis=1)
    assert np.ptp(normalize(keypoint, score, center='clip')[..., 0], axis=1).min() > 0
    frame = normalize(keypoint, score, center='frame')
    np.testing.assert_allclose(np.ptp(frame, axis=1), 0, atol=1e-5)


def standing(shoulders):
    """A person of stature 100 whose shoulders look that wide."""
    keypoint = np.zeros((1, len(TREE.names), 2))
    for side, sign in (('left', 1), ('right', -1)):
        x = sign * shoulders / 2
        down = dict(shoulder=0, elbow=18.6, wrist=33.2, hip=28.8, knee=53.3, ankle=77.9)
        for part, y in down.items():
            keypoint[0, INDEX[f'{side}_{part}']] = x, y
    return keypoint


@pytest.mark.parametrize('shoulders', [25.9, 12.0, 3.0])
def test_body_size_does_not_shrink_when_the_body_turns(shoulders):
    ever = np.ones(len(TREE.names), bool)
    assert body_size(standing(shoulders), ever, TREE) == pytest.approx(25.9, rel=1e-3)


def test_body_size_without_limbs_comes_from_the_box():
    tree = joint_tree('wholebody65', ['nose', 'left_ear'])
    keypoint = np.array([[[0.0, 0.0], [30.0, 40.0]]])
    assert body_size(keypoint, np.array([True, True]), tree) == 12.5
    assert body_size(keypoint, np.array([False, False]), tree) == 1


def test_another_center_is_refused():
    with pytest.raises(ValueError, match="center 'hip': use clip or frame"):
        NormalizeSkeleton(center='hip')
