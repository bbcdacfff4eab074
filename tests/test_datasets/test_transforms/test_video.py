"""From a file to frames."""

import numpy as np
import pytest
from mmengine.dataset import Compose
from video_files import make_video, moving_frames

from mmma.datasets.transforms.video import (
    DecodeFrames,
    OpenVideo,
    UniformFrames,
    frames_shown,
)
from mmma.registry import TRANSFORMS


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


@pytest.mark.parametrize('fps', [7, 23.976, 29.97, 30, 59.94, 1000 / 3])
def test_rounding_does_not_matter(fps):
    sampler = UniformFrames(clip_len=16, test_mode=True)
    assert chosen(sampler, clip(32, fps)) == list(range(1, 32, 2))


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
    assert 'OpenVideo' in repr(steps[0])
    assert repr(steps[1]) == 'UniformFrames(clip_len=5, views=1, test_mode=False)'


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
def test_upstream_transforms_work_behind_ours(path, sampler):
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
