"""Frames of a window of an untrimmed video."""

import numpy as np
import pytest
from video_files import make_video, moving_frames

from mmma.datasets.transforms.video import DecodeFrames, OpenVideo
from mmma.datasets.transforms.window_frames import WindowFrames
from mmma.datasets.video import open_video
from mmma.datasets.windows import Window


def choose(path, start_sec, valid, rate, scale=1, video_sec=None):
    results = OpenVideo('pyav')({'filename': str(path)})
    length = results['duration_sec'] if video_sec is None else video_sec
    results['window'] = Window(start_sec, 64, valid, rate, length)
    return WindowFrames(scale)(results)


@pytest.fixture(scope='module')
def steady(tmp_path_factory):
    """50 frames, 10 per second."""
    folder = tmp_path_factory.mktemp('steady')
    return make_video(folder / 'v.mp4', moving_frames(50), 10)


@pytest.mark.parametrize(
    ('window', 'expected'),
    [
        ((1.0, 4, 5.0), [10, 12, 14, 16]),
        ((0.0, 5, 20.0), [0, 0, 1, 1, 2]),
        ((1.25, 3, 10.0), [12, 13, 14]),
        ((0.0, 2, 5.0, 2), [0, 1, 2, 3]),
        ((4.8, 4, 10.0), [48, 49, 49, 49]),  # past the end the last one stays
    ],
)
def test_the_frames_shown_on_the_grid(steady, window, expected):
    results = choose(steady, *window)
    assert results['frame_inds'].tolist() == expected
    assert (results['clip_len'], results['num_clips']) == (len(expected), 1)


def test_variable_frame_rate(tmp_path):
    times_ms = [0, 100, 150, 900, 1000, 1010, 1900]
    frames = moving_frames(len(times_ms))
    path = make_video(tmp_path / 'v.mkv', frames, times_ms=times_ms)
    results = choose(path, 0.0, 8, 4.0)  # 0, .25, .5, ... 1.75
    assert results['frame_inds'].tolist() == [0, 2, 2, 2, 4, 5, 5, 5]


def test_only_these_frames_are_decoded(steady, monkeypatch):
    asked = []
    results = choose(steady, 1.0, 3, 5.0)
    read = results['video_reader'].get_frames
    results['video_reader'].get_frames = lambda i: (asked.append(list(i)), read(i))[1]
    imgs = DecodeFrames()(results)['imgs']
    assert asked == [[10, 12, 14]]
    with open_video(steady, 'pyav') as video:
        np.testing.assert_array_equal(np.stack(imgs), video.get_frames([10, 12, 14]))


def test_a_stand_in_may_have_another_length(steady):
    with pytest.raises(ValueError, match=r'v\.mp4 is 5\.00 s long, but .* 9\.00 s'):
        choose(steady, 0.0, 2, 5.0, video_sec=9.0)
    results = OpenVideo('pyav')({'filename': str(steady), 'broken': 'other'})
    results['window'] = Window(6.0, 64, 2, 5.0, 9.0)
    assert WindowFrames()(results)['frame_inds'].tolist() == [49, 49]


def test_bad_scale():
    with pytest.raises(ValueError, match='scale 0: use a whole number from 1'):
        WindowFrames(0)
    assert repr(WindowFrames(2)) == 'WindowFrames(scale=2)'
