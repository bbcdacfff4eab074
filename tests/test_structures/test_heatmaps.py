"""Heatmap volumes: those of MMAction2, and what it leaves open."""

import numpy as np
import pytest
import torch

from mmma.layout.joint_sets import joint_tree
from mmma.registry import TRANSFORMS
from mmma.structures.heatmaps import HeatmapChannels, draw_heatmaps

GeneratePoseTarget = TRANSFORMS.get('GeneratePoseTarget')

KINDS = {'joint': None, 'limb': 'body17'}
SIZE = (40, 48)  # height, width


def figures(persons, frames=6, seed=0):
    """Joints in and around the picture; some missing, some limbs shorter than 1 px."""
    rng = np.random.default_rng(seed)
    keypoint = rng.uniform(-6, 54, (persons, frames, 17, 2))
    keypoint[:, 0] = keypoint[:, 0, :1] + rng.normal(0, 0.3, (persons, 17, 2))
    keypoint[:, 1] = np.round(keypoint[:, 1])
    score = rng.uniform(0.1, 1.05, (persons, frames, 17))
    score[rng.random(score.shape) < 0.1] = 0
    return keypoint.astype(np.float32), score.astype(np.float32)


def draw(keypoint, score, channels, size=SIZE, **kwargs):
    keypoint, score = torch.as_tensor(keypoint)[None], torch.as_tensor(score)[None]
    return draw_heatmaps(keypoint, score, size, channels, **kwargs)[0].numpy()


def upstream(keypoint, score, limbs, size=SIZE, sigma=0.6):
    made = GeneratePoseTarget(
        sigma=sigma,
        with_kp=limbs is None,
        with_limb=limbs is not None,
        skeletons=limbs or (),
    )
    found = dict(keypoint=keypoint, keypoint_score=score, img_shape=size)
    return made.transform(found)['imgs'].swapaxes(0, 1)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('persons', [1, 2, 3])
def test_equal_to_mmaction2(kind, persons):
    keypoint, score = figures(persons, seed=persons)
    channels = HeatmapChannels.of(limbs=KINDS[kind])
    ours = draw(keypoint, score, channels)
    assert ours.shape == (len(channels), 6, *SIZE)
    assert ours.dtype == np.float32
    expected = upstream(keypoint, score, channels.limbs)
    assert expected.max() > 0.9
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_another_sigma_is_equal_too(kind):
    keypoint, score = figures(1)
    channels = HeatmapChannels.of(limbs=KINDS[kind])
    ours = draw(keypoint, score, channels, sigma=1.3)
    expected = upstream(keypoint, score, channels.limbs, sigma=1.3)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('x', [-2.7, -1.8, -0.2, 47.4, 48.9, 49.9, 60.0])
def test_windows_at_the_edge_are_cut_as_upstream(kind, x):
    keypoint = np.full((1, 1, 17, 2), 20, np.float32)
    keypoint[..., 0] = x + np.arange(17) * 0.07
    keypoint[..., 1::2, 1] = 25
    score = np.ones((1, 1, 17), np.float32)
    channels = HeatmapChannels.of(limbs=KINDS[kind])
    expected = upstream(keypoint, score, channels.limbs)
    ours = draw(keypoint, score, channels)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_clips_of_a_batch_do_not_touch(kind):
    channels = HeatmapChannels.of(limbs=KINDS[kind])
    clips = [figures(2, seed=seed) for seed in range(3)]
    keypoint, score = (
        torch.as_tensor(np.stack(part)) for part in zip(*clips, strict=True)
    )
    volumes = draw_heatmaps(keypoint, score, SIZE, channels).numpy()
    singles = np.stack([draw(*clip, channels) for clip in clips])
    np.testing.assert_array_equal(volumes, singles)


def test_a_joint_at_zero_is_drawn_and_a_missing_one_is_not():
    keypoint = np.zeros((1, 1, 17, 2), np.float32)
    keypoint[..., 1, :] = np.nan
    keypoint[..., 2, :] = 1e9
    score = np.zeros((1, 1, 17), np.float32)
    score[..., 0] = score[..., 1] = score[..., 2] = 1
    volume = draw(keypoint, score, HeatmapChannels.of())
    assert volume[0, 0, 0, 0] == 1
    assert not volume[1:].any()


def test_nothing_is_drawn_of_nobody():
    keypoint, score = figures(2)
    channels = HeatmapChannels.of(limbs='body17')
    assert not draw(keypoint, 0 * score, channels).any()


def test_a_limb_needs_both_ends():
    keypoint, score = figures(1)
    score[..., 5] = 0  # left shoulder
    channels = HeatmapChannels.of(limbs='body17')
    volume = draw(keypoint, score, channels)
    lacking = [5 in limb for limb in channels.limbs]
    np.testing.assert_array_equal(~volume.any(axis=(1, 2, 3)), lacking)


@pytest.mark.parametrize('kind', KINDS)
def test_the_mirror_image_is_of_the_mirrored_joints(kind):
    """Channels change places by name; windows are rounded to one side: 0.0112."""
    names = joint_tree('wholebody65', 'body17').names
    channels = HeatmapChannels.of(limbs=KINDS[kind])
    shown = [{names[v] for v in pair} for pair in channels.limbs or zip(range(17))]
    swap = {'left': 'right', 'right': 'left'}
    other = [
        {'_'.join(swap.get(part, part) for part in n.split('_', 1)) for n in ends}
        for ends in shown
    ]
    order = [shown.index(ends) for ends in other]
    assert [order[c] for c in order] == list(range(17))
    assert order != list(range(17))
    keypoint, score = (part[:, 1:] for part in figures(1))  # no limb below 1 px
    keypoint = keypoint.clip(3, 36)
    flip = list(joint_tree('wholebody65', 'body17').flip_order)
    mirrored = keypoint[:, :, flip].copy()
    mirrored[..., 0] = SIZE[1] - 1 - mirrored[..., 0]
    volume = draw(keypoint, score, channels)[order][..., ::-1]
    found = draw(mirrored, score[..., flip], channels)
    np.testing.assert_allclose(found, volume, rtol=0, atol=0.0112 * 1.05)


def test_any_joints_of_any_layout():
    layout = dict(names=['a', 'b', 'c'], limbs=[['a', 'b'], ['b', 'c']])
    of = HeatmapChannels.of
    assert len(of(layout, 'all')) == 3
    assert of(layout, 'all', [['c', 'a']]).limbs == ((2, 0),)
    assert len(of(joints='upper')) == 55
    assert len(of(joints='ends31', limbs='tree')) == 30


def test_another_number_of_joints():
    keypoint, score = figures(1)
    with pytest.raises(ValueError, match='have 17 joints, the heatmaps expect 31'):
        draw(keypoint, score, HeatmapChannels.of(joints='ends31'))


def test_a_volume_smaller_than_a_joint():
    keypoint, score = figures(1)
    with pytest.raises(ValueError, match='4 x 48 pixels: use at least 5 x 5'):
        draw(keypoint, score, HeatmapChannels.of(), size=(4, 48))
