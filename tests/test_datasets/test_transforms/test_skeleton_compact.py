import numpy as np
import pytest

from mmma.datasets.transforms.skeleton_compact import SkeletonCompact
from mmma.registry import TRANSFORMS

PoseCompact = TRANSFORMS.get('PoseCompact')


def make(low=(100, 50), high=(180, 200), joints=9):
    rng = np.random.default_rng(0)
    keypoint = rng.uniform(low, high, (1, 4, joints, 2)).astype(np.float32)
    score = np.ones((1, 4, joints), np.float32)
    return dict(keypoint=keypoint, keypoint_score=score, img_shape=(240, 320))


@pytest.mark.parametrize('padding', [0.0, 0.25])
@pytest.mark.parametrize('hw_ratio', [None, 1.0, 1.5])
def test_the_box_is_that_of_upstream(padding, hw_ratio):
    ours = SkeletonCompact(padding, 10, hw_ratio).transform(make())
    found = make()
    theirs = PoseCompact(padding, 10, hw_ratio).transform(found)
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
