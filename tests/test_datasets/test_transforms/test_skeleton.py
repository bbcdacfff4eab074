"""Skeletons: reading, sampling, normalising, features, random changes."""

import numpy as np
import pytest

from mmma.data.arrays import SkeletonWriter
from mmma.data.joints import JOINT_SETS, WHOLEBODY65, JointLayout, joint_tree
from mmma.datasets.transforms.augment import (
    SkeletonBend,
    SkeletonCrop,
    SkeletonFlip,
    SkeletonJitter,
)
from mmma.datasets.transforms.rgb import DecodeFrames
from mmma.datasets.transforms.skeleton import (
    LoadSkeleton,
    NormalizeSkeleton,
    SkeletonCompact,
    SkeletonFeatures,
    UniformSkeletonFrames,
    body_size,
    fill_missing,
)
from mmma.registry import TRANSFORMS

WIDTH, HEIGHT, FPS = 320, 240, 25.0
OTHER = JointLayout(
    names=('neck', 'right_wrist', 'left_wrist', 'nose'),
    flip_pairs=(('left_wrist', 'right_wrist'),),
    limbs=(('neck', 'nose'), ('neck', 'left_wrist'), ('neck', 'right_wrist')),
)


def write_store(root, layout=WHOLEBODY65, frames=20, persons=1):
    rng = np.random.default_rng(0)
    shape = (persons, frames, len(layout.names))
    keypoint = np.round(rng.uniform(1, 200, (*shape, 2)) * 16) / 16
    score = np.round(rng.uniform(0.1, 1, shape), 3)
    with SkeletonWriter(root, 'rec', layout, max_persons=persons) as writer:
        writer.append('a', keypoint, score, FPS, WIDTH, HEIGHT)
    return keypoint, score


def load(root, **kwargs):
    return LoadSkeleton(**kwargs)(dict(clip='a', data_root=str(root)))


def flip(prob, results):
    step = SkeletonFlip()
    step.prob = prob
    return step(results)


def test_load_gives_the_store_and_its_facts(tmp_path):
    keypoint, score = write_store(tmp_path)
    results = load(tmp_path)
    np.testing.assert_array_equal(results['keypoint'], keypoint)
    np.testing.assert_allclose(results['keypoint_score'], score, atol=1e-4)
    assert results['joint_tree'] == joint_tree('wholebody65')
    assert (results['total_frames'], results['fps']) == (20, FPS)
    assert results['img_shape'] == (HEIGHT, WIDTH)


@pytest.mark.parametrize('joints', ['body17', 'upper', 'ends31', ['nose', 'left_hip']])
def test_load_takes_joints_by_name(tmp_path, joints):
    keypoint, _ = write_store(tmp_path)
    names = JOINT_SETS[joints] if isinstance(joints, str) else joints
    expected = keypoint[:, :, [WHOLEBODY65.names.index(n) for n in names]]
    np.testing.assert_array_equal(load(tmp_path, joints=joints)['keypoint'], expected)


def test_load_from_another_layout_scores_what_it_lacks_0(tmp_path):
    keypoint, _ = write_store(tmp_path, OTHER)
    results = load(tmp_path, joints='body17')
    seen = results['keypoint_score'][0].any(axis=0)
    names = results['joint_tree'].names
    wrists = {'nose', 'left_wrist', 'right_wrist'}
    assert {n for n, s in zip(names, seen, strict=True) if s} == wrists
    wrist = results['keypoint'][:, :, names.index('left_wrist')]
    np.testing.assert_array_equal(wrist, keypoint[:, :, 2])
    assert not results['keypoint'][:, :, ~seen].any()


def test_load_in_the_stores_own_layout(tmp_path):
    write_store(tmp_path, OTHER)
    tree = load(tmp_path, layout=None)['joint_tree']
    assert tree.names == OTHER.names
    assert tree.flip_order == (0, 2, 1, 3)
    assert tree.parents == (3, 0, 0, 3)  # from the nose over the neck


def test_load_keeps_the_surest_person_and_pads_with_score_0(tmp_path):
    keypoint, score = write_store(tmp_path, persons=2)
    best = score.mean(axis=(1, 2)).argmax()
    np.testing.assert_array_equal(load(tmp_path)['keypoint'], keypoint[[best]])
    results = load(tmp_path, num_person=3)
    np.testing.assert_array_equal(results['keypoint'][:2], keypoint)
    assert not results['keypoint_score'][2].any()


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(layout='wholebody'), "Did you mean 'wholebody65'"),
        (dict(joints='body71'), "unknown joint set 'body71'.*Did you mean 'body17'"),
        (dict(joints=['left_rist']), "unknown joint 'left_rist'.*'left_wrist'"),
        (dict(joints=['nose', 'nose']), 'each once'),
        (dict(joints=[]), 'at least one'),
        (dict(num_person=0), 'num_person 0'),
    ],
)
def test_load_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        LoadSkeleton(**kwargs)


def sequence(frames):
    time = np.arange(frames, dtype=np.float32)
    keypoint = np.broadcast_to(time[None, :, None, None], (1, frames, 3, 2)).copy()
    return dict(keypoint=keypoint, keypoint_score=keypoint[..., 0] + 1, fps=FPS)


def test_training_frames_lie_one_in_each_part():
    for frames in (5, 16, 17, 100):
        np.random.seed(0)
        results = UniformSkeletonFrames(16)(sequence(frames))
        inds, edges = results['frame_inds'], np.arange(17) * frames / 16
        assert (inds >= np.floor(edges[:-1])).all()
        assert (inds <= np.ceil(edges[1:])).all()
        assert (np.diff(inds) >= 0).all()
        np.testing.assert_array_equal(results['keypoint'][0, :, 0, 0], inds)


@pytest.mark.parametrize(
    ('clip_len', 'views', 'frames', 'expected'),
    [
        (4, 1, 12, [1, 4, 7, 10]),
        (4, 3, 12, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]),
        (6, 1, 3, [0, 0, 1, 1, 2, 2]),  # a short clip repeats neighbours
    ],
)
def test_test_frames_are_fixed(clip_len, views, frames, expected):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    results = UniformSkeletonFrames(clip_len, views, True)(sequence(frames))
    assert results['frame_inds'].tolist() == expected
    assert results['num_clips'] == views
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(
    ('args', 'message'), [((0,), 'clip_len 0'), ((4, 2), 'views 2: several views need')]
)
def test_sampling_refuses(args, message):
    with pytest.raises(ValueError, match=message):
        UniformSkeletonFrames(*args)


def test_flip_mirrors_and_swaps_or_changes_nothing(tmp_path):
    keypoint, _ = write_store(tmp_path)
    flipped = flip(1, load(tmp_path))
    names = [f'{side}_pinky_finger4' for side in ('left', 'right')]
    left, right = map(WHOLEBODY65.names.index, names)
    wanted = keypoint[0, :, right] * [-1, 1] + [WIDTH, 0]
    assert flipped['flip']
    np.testing.assert_array_equal(flipped['keypoint'][0, :, left], wanted)
    results = flip(0, load(tmp_path))
    assert not results['flip']
    np.testing.assert_array_equal(results['keypoint'], keypoint)


@pytest.mark.parametrize('joints', ['all', 'ends31', ['left_wrist', 'nose']])
def test_flip_of_flip_is_identity(tmp_path, joints):
    write_store(tmp_path)
    once = load(tmp_path, joints=joints)
    once['keypoint_score'][:, 3:6, :2] = 0
    twice = flip(1, flip(1, dict(once)))
    np.testing.assert_array_equal(twice['keypoint'], once['keypoint'])
    np.testing.assert_array_equal(twice['keypoint_score'], once['keypoint_score'])


def test_flip_leaves_missing_joints_at_0(tmp_path):
    write_store(tmp_path, OTHER)
    results = flip(1, load(tmp_path, joints='body17'))
    assert not results['keypoint'][results['keypoint_score'] == 0].any()


def test_crop_hides_only_what_is_below_the_hips(tmp_path):
    write_store(tmp_path)
    results = load(tmp_path)
    names = results['joint_tree'].names
    hips = [names.index('left_hip'), names.index('right_hip')]
    results['keypoint'][..., 1] = 50
    results['keypoint'][:, :, hips, 1] = 100
    results['keypoint'][:, :, names.index('left_ankle'), 1] = 200
    before = results['keypoint_score'].copy()
    cropped = SkeletonCrop(prob=1)(results)['keypoint_score']
    changed = {names[v] for v in np.flatnonzero((cropped != before).any(axis=(0, 1)))}
    assert changed == {'left_ankle'}


def test_crop_without_hips_changes_nothing(tmp_path):
    write_store(tmp_path)
    results = load(tmp_path, joints=['nose', 'left_ankle'])
    assert (SkeletonCrop(prob=1)(results)['keypoint_score'] > 0).all()


TREE = joint_tree('wholebody65', 'ends31')
INDEX = {name: v for v, name in enumerate(TREE.names)}


def person(frames=6, seed=0):
    rng = np.random.default_rng(seed)
    keypoint = rng.uniform(20, 200, (1, frames, len(TREE.names), 2)).astype(np.float32)
    return keypoint, np.ones(keypoint.shape[:3], np.float32)


def normalize(keypoint, score):
    results = dict(keypoint=keypoint, keypoint_score=score, joint_tree=TREE)
    return NormalizeSkeleton()(results)['keypoint']


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
def test_missing_joints_never_give_nan(share):
    keypoint, score = person(frames=9)
    score[np.random.default_rng(1).random(score.shape) < share] = 0
    keypoint[score == 0] = np.nan
    assert np.isfinite(normalize(keypoint, score)).all()


def test_normalizing_takes_out_place_and_size():
    keypoint, score = person()
    near = normalize(3 * keypoint + [40, -7], score)
    np.testing.assert_allclose(near, normalize(keypoint, score), atol=1e-4)


def test_one_origin_per_clip_keeps_sway():
    keypoint, score = person(frames=1)
    sway = np.arange(5.0).reshape(1, 5, 1, 1)
    keypoint, score = keypoint + sway, np.repeat(score, 5, axis=1)
    assert np.ptp(normalize(keypoint, score)[..., 0], axis=1).min() > 0


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


ARM = joint_tree('wholebody65', ['nose', 'left_shoulder', 'left_elbow'])


def sample(frames=4, **extra):
    rng = np.random.default_rng(0)
    keypoint = rng.normal(size=(1, frames, 3, 2)).astype(np.float32)
    score = np.ones(keypoint.shape[:3], np.float32)
    return dict(keypoint=keypoint, keypoint_score=score, joint_tree=ARM, **extra)


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


def test_score_stays_for_formatting_or_goes():
    assert 'keypoint_score' in SkeletonFeatures()(sample())
    assert 'keypoint_score' not in SkeletonFeatures(score=False)(sample())


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


def test_changes_of_nothing_are_identity():
    for step in (SkeletonJitter(0, 0, 0), SkeletonBend(0, 0, 0)):
        out = step(sample())['keypoint']
        np.testing.assert_allclose(out, sample()['keypoint'], rtol=1e-6, atol=1e-6)


def bend(**kwargs):
    np.random.seed(0)
    return SkeletonBend(**kwargs)(sample(frames=8))['keypoint']


def test_bend_turns_bones_and_keeps_their_lengths_and_the_root():
    before, after = sample(frames=8)['keypoint'], bend(degrees=20, scale=0)
    np.testing.assert_array_equal(after[:, :, 0], before[:, :, 0])
    parents = list(ARM.parents)
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


PoseCompact = TRANSFORMS.get('PoseCompact')


def make(low=(100, 50), high=(180, 200), joints=9):
    rng = np.random.default_rng(0)
    keypoint = rng.uniform(low, high, (1, 4, joints, 2)).astype(np.float32)
    score = np.ones((1, 4, joints), np.float32)
    return dict(keypoint=keypoint, keypoint_score=score, img_shape=(240, 320))


@pytest.mark.parametrize('hw_ratio', [None, 1.0, 1.5])
def test_the_box_is_that_of_upstream(hw_ratio):
    for padding in (0.0, 0.25):
        ours = SkeletonCompact(padding, 10, hw_ratio).transform(make())
        theirs = PoseCompact(padding, 10, hw_ratio).transform(make())
        assert ours['img_shape'] == tuple(theirs['img_shape'])
        np.testing.assert_allclose(ours['keypoint'], theirs['keypoint'], atol=1e-4)


def test_a_missing_joint_is_outside_and_a_joint_at_the_edge_counts():
    results = make()
    results['keypoint'][0, 0, 0] = 3000
    results['keypoint_score'][0, 0, 0] = 0
    results['keypoint'][0, 0, 1] = 0  # seen in the very corner
    before = results['keypoint'].copy()
    found = SkeletonCompact(padding=0, hw_ratio=None).transform(results)
    assert found['img_shape'][0] <= 200
    np.testing.assert_array_equal(found['keypoint'][0, 0, 1], [0, 0])
    np.testing.assert_array_equal(found['keypoint'], before)


@pytest.mark.parametrize('change', ['small', 'unseen'])
def test_what_cannot_be_cut_is_left(change):
    results = make(high=(109, 200)) if change == 'small' else make()
    if change == 'unseen':
        results['keypoint_score'][:] = 0
    before = results['keypoint'].copy()
    found = SkeletonCompact().transform(results)
    assert found['img_shape'] == (240, 320)
    np.testing.assert_array_equal(found['keypoint'], before)


@pytest.mark.parametrize('options', [dict(padding=-1), dict(hw_ratio=0)])
def test_bad_options(options):
    with pytest.raises(ValueError, match='use a padding from 0 and a ratio above 0'):
        SkeletonCompact(**options)


class Film:
    """A video whose frames are wide x high, dark, with a bright pixel at (x, y)."""

    def __init__(self, wide, high, x, y):
        self.frames = np.zeros((4, high, wide, 3), np.uint8)
        self.frames[:, y, x] = 255
        self.shared = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def list_frames(self, inds):
        return list(self.frames[inds])


def test_frames_and_joints_are_cut_and_flipped_alike():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x, y = rng.integers(3, (60, 44)).tolist()
        low, high = rng.uniform(-20, 8, 2), rng.uniform(40, 90, 2)  # beyond the frame
        joints = np.array([low, high, (x + 0.5, y + 0.5)], np.float32)
        places = np.tile(joints * 2, (1, 4, 1, 1))  # of pictures twice as large
        tree = joint_tree('wholebody65', ['nose', 'left_wrist', 'right_wrist'])
        found = dict(keypoint=places, keypoint_score=np.ones((1, 4, 3), np.float32))
        found |= dict(img_shape=(96, 128), joint_tree=tree, modality='RGB+Pose')
        found |= dict(video_reader=Film(64, 48, x, y), frame_inds=np.arange(2))
        found |= dict(filename='a.mp4', clip='a')
        found = SkeletonCompact()(DecodeFrames()(found))
        assert found['imgs'][0].shape[:2] == found['img_shape']
        np.random.seed(seed)
        found = flip(1.0, found) if seed % 2 else found
        (bright,) = np.argwhere(found['imgs'][1].sum(axis=2)).tolist()
        joint = found['keypoint'][0, 1, 1 if seed % 2 else 2]  # wrists change places
        np.testing.assert_allclose(joint, np.add(bright[::-1], 0.5), atol=1e-3)


def test_joints_of_another_picture_are_refused():
    found = dict(make(), video_reader=Film(64, 64, 0, 0), frame_inds=np.arange(2))
    with pytest.raises(
        ValueError,
        match=r'a.mp4 has pictures of 64 x 64, the skelet.*'
        r"'c' are of 320 x 240: find them in these files",
    ):
        DecodeFrames()(dict(found, filename='a.mp4', clip='c'))
