"""Joints chosen by name."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mmma.data.joints import (
    JOINT_SETS,
    LAYOUTS,
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


def test_named_layouts_mirror_and_hold_together():
    sizes = {'wholebody65': 65, 'coco17': 17, 'halpe26': 26, 'halpe68': 68}
    sizes |= {'halpe136': 136, 'openpose25': 25, 'blazepose33': 33}
    assert {name: len(layout.names) for name, layout in LAYOUTS.items()} == sizes
    found = []
    for name, layout in LAYOUTS.items():
        tree = joint_tree(name)
        order = np.array(tree.flip_order)
        swapped = set(layout.flip_pairs)
        left = {n[5:] for n in layout.names if n.startswith('left_')}
        limbs = {frozenset(pair) for pair in layout.limb_indices()}
        roots = [n for v, n in enumerate(tree.names) if tree.parents[v] == v]
        rules = {
            'twice is the identity': (order[order] == np.arange(len(order))).all(),
            'sides': left == {n[6:] for n in layout.names if n.startswith('right_')},
            'every side': {(f'left_{n}', f'right_{n}') for n in left} <= swapped,
            'each limb once': len(limbs) == len(layout.limbs),
            'mirrored limbs': limbs == {frozenset(order[[*pair]]) for pair in limbs},
            'one body': {n for n in roots if 'face' not in n} <= {'nose', 'left_mouth'},
        }
        found += [(name, rule) for rule, kept in rules.items() if not kept]
    assert found == []


def pairs_of(text):
    return [tuple(map(int, pair.split('-'))) for pair in text.split()]


# As indices, in the files that ``LAYOUTS`` cites; hands and feet of AlphaPose are pairs
# that change places.
PUBLISHED = {
    'halpe26': '0-1 0-2 1-3 2-4 5-18 6-18 5-7 7-9 6-8 8-10 17-18 18-19 19-11 19-12 '
    '11-13 12-14 13-15 14-16 20-24 21-25 23-25 22-24 15-24 16-25 18-0',
    'openpose25': '1-8 1-2 1-5 2-3 3-4 5-6 6-7 8-9 9-10 10-11 8-12 12-13 13-14 1-0 '
    '0-15 15-17 0-16 16-18 14-19 19-20 14-21 11-22 22-23 11-24',
    'blazepose33': '0-1 1-2 2-3 3-7 0-4 4-5 5-6 6-8 9-10 11-12 11-13 13-15 15-17 15-19 '
    '15-21 17-19 12-14 14-16 16-18 16-20 16-22 18-20 11-23 12-24 23-24 23-25 24-26 '
    '25-27 26-28 27-29 28-30 29-31 30-32 27-31 28-32',
}  # 18-0 of Halpe is ours


@pytest.mark.parametrize('name', PUBLISHED)
def test_limbs_and_order_are_those_published(name):
    wanted = {frozenset(pair) for pair in pairs_of(PUBLISHED[name])}
    assert {frozenset(pair) for pair in LAYOUTS[name].limb_indices()} == wanted


def test_halpe_is_body_and_feet_then_face_then_hands():
    full, bare = LAYOUTS['halpe136'], LAYOUTS['halpe68']
    assert bare.names == (*full.names[:26], *full.names[94:])
    assert full.names[:26] == LAYOUTS['halpe26'].names
    assert full.names[:17] == LAYOUTS['coco17'].names == WHOLEBODY65.names[:17]
    assert full.names[94:] == WHOLEBODY65.names[23:]
    at = {name: v for v, name in enumerate(bare.names)}
    flips = {(at[a], at[b]) for a, b in bare.flip_pairs}
    body = pairs_of('1-2 3-4 5-6 7-8 9-10 11-12 13-14 15-16 20-21 22-23 24-25')
    assert flips == {*body, *((v, v + 21) for v in range(26, 47))}
    fingers = pairs_of('94-95 95-96 97-98 94-99 94-103 105-106 94-111 113-114 115-132')
    assert {*fingers} <= {*full.limb_indices()}
    face = pairs_of(
        '0-16 7-9 17-26 21-22 31-35 36-45 39-42 41-46 48-54 55-59 60-64 65-67'
    )
    assert {(f'face-{i}', f'face-{j}') for i, j in face} <= {*full.flip_pairs}


def test_a_stored_layout_may_be_a_name(tmp_path):
    file = tmp_path / 'layout.json'
    file.write_text('{"joints": "halpe68", "extractor": "x", "score_scale": 9}')
    named = LAYOUTS['halpe68']
    assert read_layout(tmp_path) == replace(named, extractor='x', score_scale=9)
    file.write_text('{"joints": "halpe86", "extractor": "x", "score_scale": 9}')
    with pytest.raises(ValueError, match=r"'halpe86'.*Did you mean 'halpe68'"):
        read_layout(tmp_path)


def test_joints_of_other_named_layouts_are_missing():
    tree = joint_tree('wholebody65', ['nose', 'neck', 'left_hip'])
    assert tree.parents == (0, 1, 0)


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
