"""Distortions and streams."""

import numpy as np
import pytest

from mmma.datasets.transforms.skeleton_features import (
    SkeletonBend,
    SkeletonFeatures,
    SkeletonJitter,
)
from mmma.layout.joint_sets import joint_tree

TREE = joint_tree('wholebody65', ['nose', 'left_shoulder', 'left_elbow'])


def sample(frames=4, **extra):
    rng = np.random.default_rng(0)
    keypoint = rng.normal(size=(1, frames, 3, 2)).astype(np.float32)
    score = np.ones(keypoint.shape[:3], np.float32)
    return dict(keypoint=keypoint, keypoint_score=score, joint_tree=TREE, **extra)


def test_streams_side_by_side():
    joint = sample()['keypoint']
    streams = ['joint', 'bone', 'joint_motion', 'bone_motion']
    out = SkeletonFeatures(streams)(sample())['keypoint']
    bone = joint - joint[:, :, [0, 0, 1]]
    np.testing.assert_array_equal(out[..., 0:2], joint)
    np.testing.assert_array_equal(out[..., 2:4], bone)
    np.testing.assert_array_equal(out[:, :-1, :, 4:6], np.diff(joint, axis=1))
    np.testing.assert_array_equal(out[:, :-1, :, 6:8], np.diff(bone, axis=1))
    assert not out[:, -1, :, 4:].any()
    assert not out[:, :, 0, 2:4].any()  # a root has no bone


def test_motion_stops_at_the_end_of_each_view():
    out = SkeletonFeatures(['joint_motion'])(sample(num_clips=2))['keypoint']
    assert not out[:, [1, 3]].any()
    assert out[:, [0, 2]].all()


@pytest.mark.parametrize('score', [True, False])
def test_score_stays_for_formatting_or_goes(score):
    assert ('keypoint_score' in SkeletonFeatures(score=score)(sample())) is score


@pytest.mark.parametrize(
    ('streams', 'message'),
    [
        (['joints'], "unknown stream 'joints'.*Did you mean 'joint'"),
        ([], 'give a list'),
        ('joint', 'give a list'),
    ],
)
def test_streams_refused(streams, message):
    with pytest.raises(ValueError, match=message):
        SkeletonFeatures(streams)


def test_jitter_is_one_map_for_the_clip():
    np.random.seed(0)
    before = sample(frames=8)['keypoint'].reshape(-1, 2)
    after = SkeletonJitter()(sample(frames=8))['keypoint'].reshape(-1, 2)
    matrix, residual, *_ = np.linalg.lstsq(before, after, rcond=None)
    assert residual.max() < 1e-8
    assert 0.01 < np.abs(matrix - np.eye(2)).max() < 0.5


def test_jitter_of_nothing_is_identity():
    out = SkeletonJitter(degrees=0, scale=0, shear=0)(sample())['keypoint']
    np.testing.assert_allclose(out, sample()['keypoint'], rtol=1e-6)


def test_jitter_noise_differs_by_frame():
    np.random.seed(0)
    jitter = SkeletonJitter(degrees=0, scale=0, shear=0, noise=0.1)
    change = jitter(sample(frames=50))['keypoint'] - sample(frames=50)['keypoint']
    assert change.std() == pytest.approx(0.1, rel=0.2)


def bend(**kwargs):
    np.random.seed(0)
    return SkeletonBend(**kwargs)(sample(frames=8))['keypoint']


def test_bend_of_nothing_is_identity():
    out = bend(degrees=0, leg_degrees=0, scale=0)
    np.testing.assert_allclose(out, sample(frames=8)['keypoint'], atol=1e-6)


def test_bend_turns_bones_and_keeps_their_lengths_and_the_root():
    before, after = sample(frames=8)['keypoint'], bend(degrees=20, scale=0)
    np.testing.assert_array_equal(after[:, :, 0], before[:, :, 0])
    parents = list(TREE.parents)
    bones = [k - k[:, :, parents] for k in (before, after)]
    lengths = [np.linalg.norm(b, axis=-1) for b in bones]
    np.testing.assert_allclose(*lengths, rtol=1e-4)
    assert np.abs(bones[0] - bones[1])[:, :, 1:].max() > 0.05


def test_bend_turns_legs_alone_where_told_to():
    tree = joint_tree('wholebody65', ['nose', 'left_shoulder', 'left_hip', 'left_knee'])
    rng = np.random.default_rng(0)
    keypoint = rng.normal(size=(1, 5, 4, 2)).astype(np.float32)
    results = dict(keypoint=keypoint.copy(), joint_tree=tree)
    np.random.seed(0)
    out = SkeletonBend(degrees=0, leg_degrees=30, scale=0)(results)['keypoint']
    np.testing.assert_allclose(out[:, :, :3], keypoint[:, :, :3], atol=1e-5)
    assert np.abs(out[:, :, 3] - keypoint[:, :, 3]).max() > 0.05
