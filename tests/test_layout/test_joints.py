import json

import pytest

from mmma.layout.joints import WHOLEBODY65, JointLayout, read_layout, write_layout


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


def test_wholebody_flip_is_its_own_inverse_and_moves_all_but_the_nose():
    order = WHOLEBODY65.flip_order()
    assert [order[i] for i in order] == list(range(65))
    assert [i for i, j in enumerate(order) if i == j] == [0]


def test_wholebody_limbs_reach_every_joint():
    reached = {0}
    for _ in range(65):
        for a, b in WHOLEBODY65.limb_indices():
            if a in reached or b in reached:
                reached |= {a, b}
    assert reached == set(range(65))
    assert len(set(WHOLEBODY65.limbs)) == len(WHOLEBODY65.limbs)


def test_layout_reads_back(tmp_path, two_joints):
    write_layout(tmp_path, two_joints)
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
    write_layout(tmp_path, two_joints)
    path = tmp_path / 'layout.json'
    content = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))
    with pytest.raises(ValueError, match=message):
        read_layout(tmp_path)


def test_a_layout_made_by_hand_is_checked():
    with pytest.raises(ValueError, match="a pair names 'nose', which is no joint"):
        JointLayout(names=('left_eye',), flip_pairs=(('left_eye', 'nose'),))
