"""Reading, sampling, mirroring and cropping skeletons."""

import numpy as np
import pytest

from mmma.datasets.transforms.skeleton import (
    LoadSkeleton,
    SkeletonCrop,
    SkeletonFlip,
    UniformSkeletonFrames,
)
from mmma.layout.joint_sets import JOINT_SETS, joint_tree
from mmma.layout.joints import WHOLEBODY65, JointLayout
from mmma.layout.skeletons import SkeletonWriter

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
    assert {n for n, s in zip(names, seen, strict=True) if s} == {
        'nose',
        'left_wrist',
        'right_wrist',
    }
    np.testing.assert_array_equal(
        results['keypoint'][:, :, names.index('left_wrist')], keypoint[:, :, 2]
    )
    assert not results['keypoint'][:, :, ~seen].any()


def test_load_in_the_stores_own_layout(tmp_path):
    write_store(tmp_path, OTHER)
    tree = load(tmp_path, layout=None)['joint_tree']
    assert tree.names == OTHER.names
    assert tree.flip_order == (0, 2, 1, 3)
    assert tree.parents == (3, 0, 0, 3)  # from the nose over the neck


def test_load_keeps_the_surest_person(tmp_path):
    keypoint, score = write_store(tmp_path, persons=2)
    best = score.mean(axis=(1, 2)).argmax()
    loaded = load(tmp_path, num_person=1)['keypoint']
    np.testing.assert_array_equal(loaded, keypoint[[best]])


def test_load_pads_persons_with_score_0(tmp_path):
    keypoint, _ = write_store(tmp_path, persons=2)
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


@pytest.mark.parametrize('frames', [5, 16, 17, 100])
def test_training_frames_lie_one_in_each_part(frames):
    np.random.seed(0)
    results = UniformSkeletonFrames(16)(sequence(frames))
    edges = np.arange(17) * frames / 16
    assert (results['frame_inds'] >= np.floor(edges[:-1])).all()
    assert (results['frame_inds'] <= np.ceil(edges[1:])).all()
    assert (np.diff(results['frame_inds']) >= 0).all()
    np.testing.assert_array_equal(
        results['keypoint'][0, :, 0, 0], results['frame_inds']
    )


def test_training_frames_follow_numpys_state():
    np.random.seed(3)
    first = UniformSkeletonFrames(8)(sequence(100))['frame_inds']
    second = UniformSkeletonFrames(8)(sequence(100))['frame_inds']
    np.random.seed(3)
    again = UniformSkeletonFrames(8)(sequence(100))['frame_inds']
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()


def test_test_frames_are_midpoints_and_leave_the_random_state_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    results = UniformSkeletonFrames(4, test_mode=True)(sequence(12))
    assert results['frame_inds'].tolist() == [1, 4, 7, 10]
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_views_follow_each_other_and_differ():
    results = UniformSkeletonFrames(4, views=3, test_mode=True)(sequence(12))
    expected = [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    assert results['frame_inds'].reshape(3, 4).tolist() == expected
    assert results['num_clips'] == 3


def test_a_short_clip_repeats_neighbours():
    results = UniformSkeletonFrames(6, test_mode=True)(sequence(3))
    assert results['frame_inds'].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ('args', 'message'), [((0,), 'clip_len 0'), ((4, 2), 'views 2: several views need')]
)
def test_sampling_refuses(args, message):
    with pytest.raises(ValueError, match=message):
        UniformSkeletonFrames(*args)


def test_flip_mirrors_and_swaps(tmp_path):
    keypoint, _ = write_store(tmp_path)
    flipped = SkeletonFlip(prob=1)(load(tmp_path))
    left, right = (
        WHOLEBODY65.names.index(f'{s}_pinky_finger4') for s in ('left', 'right')
    )
    assert flipped['flip']
    np.testing.assert_array_equal(
        flipped['keypoint'][0, :, left, 0], WIDTH - keypoint[0, :, right, 0]
    )
    np.testing.assert_array_equal(
        flipped['keypoint'][0, :, left, 1], keypoint[0, :, right, 1]
    )


@pytest.mark.parametrize('joints', ['all', 'ends31', ['left_wrist', 'nose']])
def test_flip_of_flip_is_identity(tmp_path, joints):
    write_store(tmp_path)
    once = load(tmp_path, joints=joints)
    once['keypoint_score'][:, 3:6, :2] = 0
    twice = SkeletonFlip(1)(SkeletonFlip(1)(dict(once)))
    np.testing.assert_array_equal(twice['keypoint'], once['keypoint'])
    np.testing.assert_array_equal(twice['keypoint_score'], once['keypoint_score'])


def test_flip_leaves_missing_joints_at_0(tmp_path):
    write_store(tmp_path, OTHER)
    results = SkeletonFlip(prob=1)(load(tmp_path, joints='body17'))
    assert not results['keypoint'][results['keypoint_score'] == 0].any()


def test_flip_at_probability_0_changes_nothing(tmp_path):
    keypoint, _ = write_store(tmp_path)
    results = SkeletonFlip(prob=0)(load(tmp_path))
    assert not results['flip']
    np.testing.assert_array_equal(results['keypoint'], keypoint)


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
