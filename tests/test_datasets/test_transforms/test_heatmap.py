import numpy as np
import pytest
import torch

from mmma.data.joints import joint_tree
from mmma.datasets.transforms.skeleton import FormatKeypoints, MirrorViews
from mmma.models.preprocessors import draw_heatmaps, heatmap_channels
from mmma.registry import TRANSFORMS

GeneratePoseTarget = TRANSFORMS.get('GeneratePoseTarget')

TREE = joint_tree('wholebody65', 'body17')


def make(persons=2, views=3, frames=4, joints=17):
    rng = np.random.default_rng(0)
    shape = (persons, views * frames, joints)
    score = rng.uniform(0.1, 1, shape) * (rng.random(shape) > 0.2)
    return dict(
        keypoint=rng.uniform(3, 29, (*shape, 2)).astype(np.float32),
        keypoint_score=score.astype(np.float32),
        num_clips=views,
        clip_len=frames,
        img_shape=(32, 32),
        joint_tree=TREE,
    )


def test_views_are_taken_apart():
    results = FormatKeypoints().transform(make())
    joints = results['keypoint']
    assert joints.shape == (3, 2, 4, 17, 3)
    assert joints.dtype == np.float32
    given = make()
    np.testing.assert_array_equal(joints[1, 0, 2, :, :2], given['keypoint'][0, 6])
    np.testing.assert_array_equal(joints[2, 1, 3, :, 2], given['keypoint_score'][1, 11])


def test_the_mirror_image_of_the_mirror_image_is_the_view():
    once = MirrorViews().transform(make(views=1))
    assert once['num_clips'] == 2
    assert once['keypoint'].shape[1] == 8
    half = {
        **once,
        'keypoint': once['keypoint'][:, 4:],
        'keypoint_score': once['keypoint_score'][:, 4:],
    }
    twice = MirrorViews().transform(half)
    given = make(views=1)
    np.testing.assert_allclose(
        twice['keypoint'][:, 4:], given['keypoint'], rtol=0, atol=1e-5
    )
    np.testing.assert_array_equal(
        twice['keypoint_score'][:, 4:], given['keypoint_score']
    )


def test_left_and_right_change_places():
    results = MirrorViews().transform(make(views=1))
    left, right = (TREE.names.index(f'{side}_wrist') for side in ('left', 'right'))
    x, y = results['keypoint'][0, 0, left]
    np.testing.assert_allclose(results['keypoint'][0, 4, right], [31 - x, y])
    scores = results['keypoint_score'][0]
    assert scores[4, right] == scores[0, left]


@pytest.mark.parametrize('limbs', [None, 'body17'])
def test_a_mirrored_view_is_upstreams_double(limbs):
    """But for the far side of windows, which are rounded: exp(-4.5) = 0.0112."""
    _, pairs = heatmap_channels('wholebody65', 'body17', limbs)
    left_limb, right_limb = [0, 2, 3, 6, 7, 8, 12, 14], [1, 4, 5, 9, 10, 11, 13, 15]
    stock = GeneratePoseTarget(
        with_kp=limbs is None,
        with_limb=limbs is not None,
        skeletons=pairs or (),
        double=True,
        left_limb=left_limb,
        right_limb=right_limb,
    )
    expected = stock.transform(make(views=1))['imgs'].reshape(2, 4, 17, 32, 32)
    results = FormatKeypoints().transform(MirrorViews().transform(make(views=1)))
    joints = torch.from_numpy(results['keypoint'])
    found = draw_heatmaps(joints[..., :2], joints[..., 2], (32, 32), pairs)
    found = found.swapaxes(1, 2).numpy()
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=0.0112)
