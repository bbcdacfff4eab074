"""Frames of clips: choice, decoding, packing, views and crops."""

import re

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from video_files import make_video, moving_frames

from mmma.config import find_config
from mmma.data.arrays import SkeletonWriter
from mmma.data.joints import WHOLEBODY65
from mmma.datasets.clips import ClipDataset
from mmma.datasets.transforms.rgb import (
    DecodeFrames,
    OpenVideo,
    PackClip,
    SquareFrames,
    UniformFrames,
    frames_shown,
    with_views,
)
from mmma.registry import MODELS, TRANSFORMS


@pytest.fixture
def scope():
    with DefaultScope.overwrite_default_scope('mmma'):
        yield


def clip(num_frames, fps=30):
    return {'times_sec': np.arange(num_frames) / fps, 'duration_sec': num_frames / fps}


def chosen(sampler, results):
    return sampler(dict(results))['frame_inds'].tolist()


@pytest.mark.parametrize(
    ('num_frames', 'expected'),
    [
        (8, [1, 3, 5, 7]),  # middles fall on the start of a frame: that frame
        (12, [1, 4, 7, 10]),
        (4, [0, 1, 2, 3]),
        (2, [0, 0, 1, 1]),  # a short clip shows frames again
        (1, [0, 0, 0, 0]),
    ],
)
def test_middles(num_frames, expected):
    sampler = UniformFrames(clip_len=4, test_mode=True)
    assert chosen(sampler, clip(num_frames)) == expected


def test_rounding_does_not_matter():
    sampler = UniformFrames(clip_len=16, test_mode=True)
    for fps in (7, 23.976, 29.97, 30, 59.94, 1000 / 3):
        assert chosen(sampler, clip(32, fps)) == list(range(1, 32, 2)), fps


def test_times_not_numbers_are_uniform():
    # 0.1 s of fast frames, then two slow ones: 0.9 s of 1.0 s
    results = {'times_sec': np.array([0, 0.05, 0.1, 0.55]), 'duration_sec': 1.0}
    sampler = UniformFrames(clip_len=4, test_mode=True)
    assert chosen(sampler, results) == [2, 2, 3, 3]  # at 0.125, 0.375, 0.625, 0.875 s


def test_views_shift_inside_the_parts():
    sampler = UniformFrames(clip_len=2, views=2, test_mode=True)
    results = sampler(clip(8))
    assert results['frame_inds'].tolist() == [1, 5, 3, 7]  # 1/4 and 3/4 of each half
    assert (results['clip_len'], results['num_clips']) == (2, 2)


def test_random_times_stay_in_their_part_and_reach_all_of_it():
    np.random.seed(0)
    sampler = UniformFrames(clip_len=4)
    draws = np.array([chosen(sampler, clip(20)) for _ in range(300)])
    assert (draws // 5 == np.arange(4)).all()
    assert [len(np.unique(column)) for column in draws.T] == [5, 5, 5, 5]


def test_numpy_seed_decides():
    sampler = UniformFrames(clip_len=4, views=3)
    draws = []
    for seed in (1, 1, 2):
        np.random.seed(seed)
        draws.append(chosen(sampler, clip(90)))
    assert draws[0] == draws[1] != draws[2]
    assert len(draws[0]) == 12


@pytest.mark.parametrize('wrong', [{'clip_len': 0}, {'views': 0}])
def test_bad_numbers(wrong):
    with pytest.raises(
        ValueError, match=r'clip_len \d+, views \d.*whole numbers from 1'
    ):
        UniformFrames(**wrong)


def test_frames_shown():
    times_sec = np.array([0.0, 0.1, 0.4])
    shown = frames_shown(times_sec, np.array([[0, 0.05], [0.1 - 1e-9, 9.0]]))
    assert shown.tolist() == [[0, 0], [1, 2]]


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    frames = moving_frames(12)
    times_ms = [0, 10, 20, 30, *range(200, 1000, 100)]
    folder = tmp_path_factory.mktemp('v')
    return make_video(folder / 'v.mp4', frames, times_ms=times_ms)


def test_open_and_decode(path):
    np.random.seed(0)
    steps = [OpenVideo(), UniformFrames(clip_len=5), DecodeFrames()]
    results = {'filename': str(path)}
    for step in steps:
        results = step(results)
    assert results['total_frames'] == 12
    assert [i.shape for i in results['imgs']] == [(48, 64, 3)] * 5
    assert results['original_shape'] == results['img_shape'] == (48, 64)
    assert 'video_reader' not in results


def test_slow_parts_are_not_sampled_more_than_they_last(path):
    results = UniformFrames(clip_len=9, test_mode=True)(
        OpenVideo()({'filename': str(path)})
    )
    # parts of 1/9 of 1 s; the four frames of the first 0.03 s share one or two
    assert results['frame_inds'].tolist()[:3] == [3, 3, 4]


def test_an_unknown_backend():
    with pytest.raises(ValueError, match=r"unknown video backend 'pyva'.*'pyav'"):
        OpenVideo('pyva')


@pytest.mark.parametrize(
    'sampler',
    [
        {'type': 'UniformFrames', 'clip_len': 4, 'views': 2},
        {'type': 'SampleFrames', 'clip_len': 4, 'frame_interval': 1, 'num_clips': 2},
    ],
)
def test_upstream_transforms_work_behind_ours(scope, path, sampler):
    steps = [
        {'type': 'OpenVideo'},
        sampler,
        {'type': 'DecodeFrames'},
        {'type': 'Resize', 'scale': (-1, 40)},
        {'type': 'RandomResizedCrop', 'area_range': (0.5, 1.0)},
        {'type': 'Resize', 'scale': (32, 32), 'keep_ratio': False},
        {'type': 'Flip', 'flip_ratio': 0.5},
        {'type': 'ColorJitter'},
        {'type': 'ThreeCrop', 'crop_size': 32},
        {'type': 'FormatShape', 'input_format': 'NCTHW'},
        {'type': 'PackActionInputs'},
    ]
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    data = pipeline(
        {'filename': str(path), 'label': 3, 'modality': 'RGB', 'start_index': 0}
    )
    assert data['inputs'].shape == (6, 3, 4, 32, 32)  # 2 views x 3 crops


def test_what_metrics_need_is_kept():
    known = {'clip': 'a', 'index': 4, 'domain': 'lab', 'subject': 's', 'body': 2}
    known['broken'] = 'b'
    imgs = np.zeros((1, 3, 2, 8, 8), np.uint8)
    data = PackClip()({**known, 'imgs': imgs, 'label': 7, 'filename': 'a.mp4'})
    sample = data['data_samples']
    assert sample.metainfo == known
    assert sample.gt_label.tolist() == [7]
    assert data['inputs'].shape == imgs.shape


BASES = find_config('recog/videomae_mma82_indomain').parents[1] / '_base_'
STEMS = (p.stem for p in (BASES / 'datasets').glob('*.py'))
DATA = sorted(stem for stem in STEMS if not re.search('_det_|_unlabelled_', stem))
RGB = [name for name in DATA if '_rgb_' in name]


def pipeline_of(name):
    cfg = Config.fromfile(BASES / f'datasets/{name}.py')
    return cfg.test_dataloader.dataset.pipeline


def rgb_inputs(root, pipeline, index=4):
    return ClipDataset(root, 'test', pipeline, test_mode=True)[index]


def test_views_of_every_recipe():
    for name in DATA:
        before = pipeline_of(name)
        after = with_views(before, views=7)
        views = {s.get('views') for s in after if 'Uniform' in s['type']}
        assert views == {7}, name
        assert [s['type'] for s in after] == [s['type'] for s in before]
        assert with_views(before) == before == pipeline_of(name)


def test_three_crops_of_every_recipe_and_back():
    for name in RGB:
        before = pipeline_of(name)
        after = with_views(before, crops=3)
        types = [s['type'] for s in after]
        place = types.index('ThreeCrop')
        assert before[place]['type'] == 'CenterCrop', name
        side = after[place]['crop_size']
        shrunk = next(s for s in before if s['type'] == 'Resize')
        assert after[types.index('Resize')] == {**shrunk, 'scale': (-1, side)}
        assert with_views(after, crops=3) == after
        back = with_views(after, crops=1)
        assert [s['type'] for s in back] == [s['type'] for s in before]
        assert with_views(before, crops=1) == before


def test_the_picture_is_resized_to_the_crop():
    crop = dict(type='CenterCrop', crop_size=(8, 8))
    for resize in ([], [dict(type='Resize', scale=(9, 9), keep_ratio=False)]):
        assert with_views([*resize, crop], crops=3) == [
            {'type': 'Resize', 'scale': (-1, 8)},
            {'type': 'ThreeCrop', 'crop_size': (8, 8)},
        ]


def test_views_and_crops_show_these_times_and_places(scope, video_root):
    pipeline = with_views(pipeline_of('mma82_rgb_16x112'), views=2, crops=3)
    crop = [s['type'] for s in pipeline].index('ThreeCrop')
    info = ClipDataset(video_root, 'test', [], test_mode=True).get_data_info(4)
    whole = np.stack(Compose(pipeline[:crop])(info)['imgs'])  # (2 * 16, 112, W, 3)
    assert whole.shape[1] == 112 < whole.shape[2]
    inputs = rgb_inputs(video_root, pipeline)['inputs']
    assert inputs.shape == (6, 3, 16, 112, 112)
    step = (whole.shape[2] - 112) // 2
    for c, left in enumerate((0, 2 * step, step)):
        for v in range(2):
            shown = whole[16 * v : 16 * (v + 1), :, left : left + 112]
            expected = shown.transpose(3, 0, 1, 2)  # (T, H, W, C) -> (C, T, H, W)
            assert np.array_equal(inputs[2 * c + v], expected)


def scores(model, inputs, sample):
    with torch.no_grad():
        (scored,) = model.test_step({'inputs': [inputs], 'data_samples': [sample]})
    return scored.pred_score.numpy().copy()


def assert_mean_of_views(model_name, packed, frames_per_view, views, std=0.3):
    torch.manual_seed(0)
    leaf = BASES.parent / f'recog/{model_name}_mma82_indomain.py'
    model = MODELS.build(Config.fromfile(leaf).model).eval()
    model.cls_head.fc_cls.weight.data.normal_(std=std)  # so that views differ
    inputs, sample = packed['inputs'], packed['data_samples']
    parts = inputs.split(frames_per_view)
    assert len(parts) == views
    alone = [scores(model, part, sample) for part in parts]
    assert np.std(alone, axis=0).max() > 1e-4
    np.testing.assert_allclose(
        scores(model, inputs, sample), np.mean(alone, axis=0), atol=1e-6
    )


@pytest.mark.parametrize(
    ('model', 'data', 'frames'),
    [('videomae-tiny', 'mma82_rgb_16x112', 1), ('gctsm-tiny', 'mma82_rgb_8x64', 8)],
)
def test_scores_are_the_mean_over_views_and_crops(
    scope, video_root, model, data, frames
):
    pipeline = with_views(pipeline_of(data), views=2, crops=3)
    assert_mean_of_views(model, rgb_inputs(video_root, pipeline), frames, views=6)


@pytest.mark.parametrize(
    ('model', 'data', 'std'),
    [
        ('skeletontcn-tiny', 'mma82_skeleton_u48', 1),
        ('posec3d-tiny', 'mma82_heatmap_u16', 10),
    ],
)
def test_scores_are_the_mean_over_views_of_skeletons(scope, tmp_path, model, data, std):
    rng = np.random.default_rng(0)
    keypoint, score = rng.uniform(1, 200, (1, 30, 65, 2)), rng.random((1, 30, 65))
    with SkeletonWriter(tmp_path, 'rec', WHOLEBODY65, max_persons=1) as writer:
        writer.append('a', keypoint, score, 25.0, 320, 240)
    pipeline = Compose(with_views(pipeline_of(data), views=4))
    packed = pipeline({'clip': 'a', 'data_root': str(tmp_path), 'label': 0})
    assert_mean_of_views(model, packed, 1, views=4, std=std)


@pytest.mark.parametrize(
    ('steps', 'options', 'message'),
    [
        (['UniformFrames'], {'views': 0}, 'views 0: use a whole number from 1'),
        (['SampleFrames'], {'views': 2}, 'has none of UniformFrames.*has SampleFrames'),
        (['CenterCrop'], {'crops': 2}, r'crops 2: use 1 \(the middle\) or 3'),
        (['Resize'], {'crops': 3}, 'has no CenterCrop to replace; it has Resize'),
        (['LoadSkeleton'], {'crops': 3}, 'skeletons have no picture to crop'),
        (['CenterCrop'], {'crops': 3}, r'the crop \(8, 9\) is no square'),
    ],
)
def test_what_cannot_be_changed(steps, options, message):
    pipeline = [dict(type=step, crop_size=(8, 9)) for step in steps]
    with pytest.raises(ValueError, match=message):
        with_views(pipeline, **options)


def test_frames_become_squares_of_their_height():
    frame = np.arange(7, dtype=np.uint8)[None, :, None].repeat(4, 0).repeat(3, 2)
    for width, columns in ((7, [1, 2, 3, 4]), (1, [0, 0, 0, 0]), (4, [0, 1, 2, 3])):
        imgs = [frame[:, :width]]
        found = SquareFrames()(dict(imgs=imgs, img_shape=(4, width)))
        assert found['img_shape'] == found['imgs'][0].shape[:2] == (4, 4)
        assert found['imgs'][0][2, :, 0].tolist() == columns
