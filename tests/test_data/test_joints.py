"""Joints chosen by name."""

import json

import numpy as np
import pytest

from mmma.data.joints import (
    JOINT_SETS,
    WHOLEBODY65,
    JointLayout,
    decode_joints,
    encode_joints,
    get_layout,
    joint_tree,
    layout_text,
    read_layout,
    select_limbs,
)


def test_wholebody_counts_and_places():
    names = WHOLEBODY65.names
    assert len(names) == 65
    assert names[:3] == ('nose', 'left_eye', 'right_eye')
    assert names[15:23] == (
        *('left_ankle', 'right_ankle', 'left_big_toe', 'left_small_toe', 'left_heel'),
        *('right_big_toe', 'right_small_toe', 'right_heel'),
    )
    assert names[23:25] == ('left_hand_root', 'left_thumb1')
    assert names[44] == 'right_hand_root'
    assert names[64] == 'right_pinky_finger4'


def test_wholebody_limbs_reach_every_joint():
    reached = {0}
    for _ in range(65):
        for a, b in WHOLEBODY65.limb_indices():
            if a in reached or b in reached:
                reached |= {a, b}
    assert reached == set(range(65))
    assert len(set(WHOLEBODY65.limbs)) == len(WHOLEBODY65.limbs)


def test_layout_reads_back(tmp_path, two_joints):
    (tmp_path / 'layout.json').write_text(layout_text(two_joints))
    assert read_layout(tmp_path) == two_joints


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'joints': ['left_eye', 'left_eye']}, 'each of them once'),
        ({'joints': []}, 'joints must be there'),
        ({'limbs': [['left_eye', 'rigth_eye']]}, "Did you mean 'right_eye'"),
        ({'score_scale': 40000}, r'score_scale 40000 is not in 1\.\.32767'),
        ({'limbs': [['left_eye']]}, 'layout.json: needs joints, flip_pairs'),
        ({'extractor': ...}, r"needs joints.*KeyError: 'extractor'"),
    ],
)
def test_bad_layouts(tmp_path, two_joints, change, message):
    path = tmp_path / 'layout.json'
    content = {**json.loads(layout_text(two_joints)), **change}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))
    with pytest.raises(ValueError, match=message):
        read_layout(tmp_path)


def test_named_sets_are_joints_of_wholebody():
    sizes = {name: len(set(joints)) for name, joints in JOINT_SETS.items()}
    assert sizes == {'body17': 17, 'upper': 55, 'ends31': 31}
    assert set().union(*JOINT_SETS.values()) <= set(WHOLEBODY65.names)


@pytest.mark.parametrize('name', ['all', *JOINT_SETS])
def test_trees_have_one_root_no_circle_and_mirror_images(name):
    tree = joint_tree('wholebody65', name)
    swap = {'left': 'right', 'right': 'left'}
    for joint, mirror in zip(tree.names, tree.flip_order, strict=True):
        side, _, part = joint.partition('_')
        assert tree.names[mirror] == (f'{swap[side]}_{part}' if part else joint)
    assert tree.names[tree.root] == 'nose'
    assert len(tree.bones) == len(tree.names) - 1
    at = list(range(len(tree.names)))
    for _ in tree.names:
        at = [tree.parents[v] for v in at]
    assert set(at) == {tree.root}


def test_joints_left_out_are_skipped():
    tree = joint_tree('wholebody65', ['left_pinky_finger4', 'left_shoulder', 'nose'])
    assert tree.parents == (1, 2, 2)
    assert tree.flip_order == (0, 1, 2)  # the mirror images are left out too


def test_a_joint_that_the_layout_lacks_hangs_on_nothing():
    layout = JointLayout(names=('nose', 'neck'), limbs=(('nose', 'neck'),))
    tree = joint_tree(layout, ['neck', 'nose', 'left_ear'])
    assert tree.parents == (1, 1, 2)


def test_layout_by_name_by_fields_and_itself():
    assert get_layout('wholebody65') is get_layout(WHOLEBODY65) is WHOLEBODY65
    fields = dict(names=['a', 'b'], limbs=[['a', 'b']])
    assert get_layout(fields) == JointLayout(names=('a', 'b'), limbs=(('a', 'b'),))


@pytest.mark.parametrize(
    ('joints', 'message'),
    [
        ('uper', "unknown joint set 'uper'.*Did you mean 'upper'"),
        (['left_elbo'], "unknown joint 'left_elbo'.*Did you mean 'left_elbow'"),
        ([], 'name at least one, each once'),
        (['nose', 'nose'], 'name at least one, each once'),
    ],
)
def test_choices_refused(joints, message):
    with pytest.raises(ValueError, match=message):
        joint_tree(WHOLEBODY65, joints)


@pytest.mark.parametrize(
    ('layout', 'message'),
    [
        ('wholebody', "unknown joint layout 'wholebody'.*'wholebody65'"),
        (dict(name=['a']), "unknown field 'name'.*Did you mean 'names'"),
        (dict(limbs=[]), 'no names'),
        (dict(names=['a'], flip_pairs=[['a', 'b']]), "names 'b', which is no joint"),
    ],
)
def test_layouts_refused(layout, message):
    with pytest.raises(ValueError, match=message):
        get_layout(layout)


def test_the_published_limbs():
    """MMAction2 gives them as indices of COCO's joints, with those on either side."""
    limbs = select_limbs('body17', 'wholebody65', 'body17')
    text = '0-5 0-6 5-7 7-9 6-8 8-10 5-11 11-13 13-15 6-12 12-14 14-16 0-1 0-2 1-3 2-4'
    assert [f'{a}-{b}' for a, b in limbs] == [*text.split(), '11-12']
    assert select_limbs([['nose', 'left_ear']], 'wholebody65', 'body17') == ((0, 3),)
    tree = joint_tree('wholebody65', 'ends31')
    assert select_limbs('tree', 'wholebody65', 'ends31') == tuple(tree.bones)


@pytest.mark.parametrize(
    ('limbs', 'message'),
    [
        ('body', "unknown limb set 'body'.*Did you mean 'body17'"),
        ([['nose', 'nose']], 'name two joints'),
        ([['nose', 'left_heel']], "left_heel: 'left_heel' is not among the chosen"),
        ([], 'name at least one'),
    ],
)
def test_limbs_refused(limbs, message):
    with pytest.raises(ValueError, match=message):
        select_limbs(limbs, 'wholebody65', 'body17')


def test_joints_are_stored_time_first_with_a_sixteenth_and_scaled_scores():
    points, scores = np.zeros((2, 5, 3, 2)), np.ones((2, 5, 3))
    points[1, 4, 2], scores[1, 4, 2] = (1, 2.04), 0.5
    points[0, 0, 0], scores[0, 0, 0] = (np.nan, 1e9), 0  # not kept: nothing was found
    encoded = encode_joints(points, scores, score_scale=1000)
    assert (encoded.dtype, encoded.shape) == (np.int16, (5, 2, 3, 3))
    assert encoded[4, 1, 2].tolist() == [16, 33, 500]
    assert encoded[0, 0, 0].tolist() == [0, 0, 0]
    points, scores = decode_joints(encoded, 1000)
    assert (points.shape, scores.shape) == ((2, 5, 3, 2), (2, 5, 3))
    assert (points[1, 4, 2].tolist(), scores[1, 4, 2]) == ([1, 33 / 16], 0.5)


@pytest.mark.parametrize(
    ('point', 'score', 'message'),
    [
        (np.nan, 1, 'must be finite and within 2048 pixels'),
        (2500, 1, 'within 2048 pixels'),
        (1, 1.5, r'scores must be in \[0, 1\]'),
        (1, np.nan, r'scores must be in \[0, 1\]'),
    ],
)
def test_values_that_cannot_be_stored(point, score, message):
    with pytest.raises(ValueError, match=message):
        encode_joints(np.full((1, 1, 1, 2), point), np.full((1, 1, 1), score), 10)


@pytest.mark.parametrize('shape', [(1, 1, 2, 2), (1, 1, 1, 3), (1, 1, 2)])
def test_shapes_that_do_not_fit(shape):
    with pytest.raises(ValueError, match=r'need \(M, T, V, 2\) and \(M, T, V\)'):
        encode_joints(np.zeros(shape), np.zeros((1, 1, 1)), 10)


def test_fields_of_other_kinds_are_refused():
    for odd in (
        {'names': 3},
        {'names': 'ab'},
        {'names': [1, 2]},
        {'names': ['a', 'b'], 'limbs': 3},
        {'names': ['a', 'b'], 'score_scale': 'x'},
    ):
        with pytest.raises(ValueError, match=r'^joint layout: '):
            get_layout(odd)
