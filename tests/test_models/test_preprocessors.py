"""Heatmap volumes: those of MMAction2, and what it leaves open."""

import numpy as np
import pytest
import torch
from mmaction.structures import ActionDataSample

from mmma.datasets.transforms.skeleton import FormatKeypoints
from mmma.models.preprocessors import (
    FrameDifferencePreprocessor,
    HeatmapPreprocessor,
    draw_heatmaps,
    heatmap_channels,
    move_camera,
)
from mmma.registry import TRANSFORMS

GeneratePoseTarget = TRANSFORMS.get('GeneratePoseTarget')

LIMBS = heatmap_channels('wholebody65', 'body17', 'body17')[1]
KINDS = {'joint': None, 'limb': LIMBS}
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


def draw(keypoint, score, limbs=None, size=SIZE):
    keypoint, score = torch.as_tensor(keypoint)[None], torch.as_tensor(score)[None]
    return draw_heatmaps(keypoint, score, size, limbs)[0].numpy()


def upstream(keypoint, score, limbs, size=SIZE):
    made = GeneratePoseTarget(
        with_kp=limbs is None, with_limb=limbs is not None, skeletons=limbs or ()
    )
    found = dict(keypoint=keypoint, keypoint_score=score, img_shape=size)
    return made.transform(found)['imgs'].swapaxes(0, 1)


@pytest.mark.parametrize('kind', KINDS)
def test_equal_to_mmaction2(kind):
    for persons in (1, 2, 3):
        keypoint, score = figures(persons, seed=persons)
        limbs = KINDS[kind]
        ours = draw(keypoint, score, limbs)
        assert (ours.shape, ours.dtype) == ((17, 6, *SIZE), np.float32)
        expected = upstream(keypoint, score, limbs)
        assert expected.max() > 0.9
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('kind', KINDS)
def test_windows_at_the_edge_are_cut_as_upstream(kind):
    for x in (-2.7, -1.8, -0.2, 47.4, 48.9, 49.9, 60.0):
        keypoint = np.full((1, 1, 17, 2), 20, np.float32)
        keypoint[..., 0] = x + np.arange(17) * 0.07
        keypoint[..., 1::2, 1] = 25
        score = np.ones((1, 1, 17), np.float32)
        ours, limbs = draw(keypoint, score, KINDS[kind]), KINDS[kind]
        expected = upstream(keypoint, score, limbs)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5, err_msg=str(x))


@pytest.mark.parametrize('kind', KINDS)
def test_clips_of_a_batch_do_not_touch(kind):
    limbs = KINDS[kind]
    clips = [figures(2, seed=seed) for seed in range(3)]
    keypoint, score = (
        torch.as_tensor(np.stack(part)) for part in zip(*clips, strict=True)
    )
    volumes = draw_heatmaps(keypoint, score, SIZE, limbs).numpy()
    singles = np.stack([draw(*clip, limbs) for clip in clips])
    np.testing.assert_array_equal(volumes, singles)


def test_a_joint_at_zero_is_drawn_and_a_missing_one_is_not():
    keypoint = np.zeros((1, 1, 17, 2), np.float32)
    keypoint[..., 1, :] = np.nan
    keypoint[..., 2, :] = 1e9
    score = np.zeros((1, 1, 17), np.float32)
    score[..., 0] = score[..., 1] = score[..., 2] = 1
    volume = draw(keypoint, score)
    assert volume[0, 0, 0, 0] == 1
    assert not volume[1:].any()


def test_a_limb_needs_both_ends():
    keypoint, score = figures(1)
    score[..., 5] = 0  # left shoulder
    limbs = LIMBS
    volume = draw(keypoint, score, limbs)
    lacking = [5 in limb for limb in limbs]
    np.testing.assert_array_equal(~volume.any(axis=(1, 2, 3)), lacking)
    assert not draw(keypoint, 0 * score, limbs).any()


def test_any_joints_of_any_layout():
    layout = dict(names=['a', 'b', 'c'], limbs=[['a', 'b'], ['b', 'c']])
    assert heatmap_channels(layout, 'all', None) == (3, None)
    assert heatmap_channels(layout, 'all', [['c', 'a']]) == (3, ((2, 0),))
    assert heatmap_channels('wholebody65', 'upper', None) == (55, None)
    assert len(heatmap_channels('wholebody65', 'ends31', 'tree')[1]) == 30


def test_a_volume_smaller_than_a_joint():
    keypoint, score = figures(1)
    with pytest.raises(ValueError, match='4 x 48 pixels: use at least 5 x 5'):
        draw(keypoint, score, size=(4, 48))


NORM = dict(mean=[100.0, 110.0, 120.0], std=[10.0, 20.0, 40.0])


def make_batch(shape, num=2):
    torch.manual_seed(0)
    inputs = [torch.randint(256, shape, dtype=torch.uint8) for _ in range(num)]
    return dict(inputs=inputs, data_samples=[None] * num)


def test_frames_become_steps_to_the_next_within_a_view():
    batch = make_batch((6, 3, 4, 5))  # two views of three frames
    model = FrameDifferencePreprocessor(num_frames=3, **NORM)
    found = model(dict(batch))['inputs']
    assert found.shape == (2, 6, 3, 4, 5)
    x = torch.stack(batch['inputs']).float()
    std = torch.tensor(NORM['std']).view(3, 1, 1)
    for start in (0, 3):
        for k, (a, b) in enumerate([(1, 0), (2, 1), (2, 1)]):
            expected = (x[:, start + a] - x[:, start + b]) / std
            torch.testing.assert_close(found[:, start + k], expected)


def test_a_camera_that_is_moved():
    torch.manual_seed(0)
    clips = torch.rand(6, 4, 3, 32, 32)
    near = dict(atol=1e-4, rtol=0)
    torch.testing.assert_close(move_camera(clips, 1, 0, 0), clips, **near)
    torch.testing.assert_close(move_camera(clips, 0, 0.1, 0.7), clips, **near)
    ramp = torch.linspace(0, 1, 32).expand(6, 4, 3, 32, 32)
    steps = move_camera(ramp, 1, 0.1, 0)[..., 16, 16].diff(dim=1).abs()
    assert 0.005 < steps.max() < 0.3  # of the width, from frame to frame
    assert (steps > 1e-4).any(dim=1).all(dim=1).all()
    dark = ramp.clone()
    dark[3:] = 9
    peaks = move_camera(dark, 1, 0, 0.5).amax(dim=(1, 2, 3, 4))
    assert (peaks > 1.01).tolist() == [True, False, False, True, True, True]


def test_the_camera_moves_in_training_alone():
    batch = make_batch((8, 3, 16, 16), num=4)
    camera = dict(prob=1, shake=0.1, clutter=0.7)
    moved = FrameDifferencePreprocessor(num_frames=8, camera=camera, **NORM)
    plain = FrameDifferencePreprocessor(num_frames=8, **NORM)
    expected = plain(dict(batch))['inputs']
    assert torch.equal(moved(dict(batch))['inputs'], expected)
    filmed = moved(dict(batch), training=True)['inputs']
    assert filmed.shape == expected.shape
    assert (filmed - expected).abs().mean() > 0.1


def test_volumes():
    batch = make_batch((2, 3, 4, 5, 6))  # views, C, T, H, W
    model = FrameDifferencePreprocessor(num_frames=4, format_shape='NCTHW', **NORM)
    found = model(dict(batch))['inputs']
    assert found.shape == (2, 2, 3, 4, 5, 6)
    x = torch.stack(batch['inputs']).float()
    std = torch.tensor(NORM['std']).view(3, 1, 1)
    torch.testing.assert_close(
        found[..., 2, :, :], (x[:, :, :, 3] - x[:, :, :, 2]) / std
    )
    torch.testing.assert_close(found[..., 3, :, :], found[..., 2, :, :])


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (dict(num_frames=1), 'num_frames is 1: a difference takes 2'),
        (dict(num_frames=8, format_shape='NHWC'), "format_shape .*'NHWC'"),
        (dict(num_frames=8, format_shape='NCTHW', camera=dict(prob=1)), 'moves NCHW'),
    ],
)
def test_bad_options(given, message):
    with pytest.raises(ValueError, match=message):
        FrameDifferencePreprocessor(**given)


@pytest.mark.parametrize(
    ('shape', 'options'),
    [((6, 3, 4, 5), {}), ((1, 3, 8, 5, 6), dict(format_shape='NCTHW'))],
)
def test_samples_of_another_length(shape, options):
    model = FrameDifferencePreprocessor(num_frames=4, **options)
    with pytest.raises(ValueError, match=r'\d frames are no views of 4: make num_fr'):
        model(make_batch(shape))


DEVICES = ['cpu', pytest.param('cuda', marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason='no GPU'))]  # fmt: skip


def make_clip(seed, size=(32, 32), joints=17):
    rng = np.random.default_rng(seed)
    score = rng.random((2, 8, joints)) * (rng.random((2, 8, joints)) > 0.2)
    keypoint = rng.uniform(-3, 35, (2, 8, joints, 2))
    return dict(
        keypoint=keypoint.astype(np.float32),
        keypoint_score=score.astype(np.float32),
        num_clips=2,
        clip_len=4,
        img_shape=size,
    )


def batch_of(clips):
    packed = [FormatKeypoints().transform(dict(clip))['keypoint'] for clip in clips]
    samples = [ActionDataSample(metainfo=dict(img_shape=c['img_shape'])) for c in clips]
    return dict(inputs=[torch.from_numpy(p) for p in packed], data_samples=samples)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('limbs', [None, 'body17'])
def test_the_volumes_of_two_upstream_steps(limbs, device):
    clips = [make_clip(seed) for seed in range(3)]
    model = HeatmapPreprocessor(limbs=limbs).to(device)
    data = model(batch_of(clips), training=True)
    assert data['inputs'].shape == (3, 2, 17, 4, 32, 32)
    draw = GeneratePoseTarget(
        with_kp=limbs is None, with_limb=limbs is not None, skeletons=model.limbs or ()
    )
    shape = TRANSFORMS.get('FormatShape')('NCTHW_Heatmap')
    expected = [shape.transform(draw.transform(dict(clip)))['imgs'] for clip in clips]
    np.testing.assert_allclose(data['inputs'].cpu(), expected, rtol=0, atol=1e-5)
    assert len(data['data_samples']) == 3


def test_pictures_of_one_size():
    clips = [make_clip(0), make_clip(1, size=(32, 40))]
    with pytest.raises(ValueError, match=r'\(32, 40\).* in one batch: resize all'):
        HeatmapPreprocessor()(batch_of(clips))


def test_another_number_of_joints():
    with pytest.raises(ValueError, match='have 17 joints, the heatmaps expect 31'):
        HeatmapPreprocessor(joints='ends31')(batch_of([make_clip(0)]))
