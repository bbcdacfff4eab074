"""What all readers have in common."""

import numpy as np
import pytest
from video_files import make_video, moving_frames

from mmma.datasets.video import open_video


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp('v') / 'v.mp4', moving_frames(12), fps=25)


@pytest.fixture(params=['decord', 'pyav'])
def video(request, path):
    if request.param == 'decord':
        pytest.importorskip('decord')
    with open_video(path, request.param) as reader:
        yield reader


def test_facts(video):
    assert (video.num_frames, video.height, video.width) == (12, 48, 64)
    assert video.fps == pytest.approx(25)
    assert video.duration_sec == pytest.approx(12 / 25)
    np.testing.assert_allclose(video.times_sec, np.arange(12) / 25, atol=1e-9)


def test_any_order_and_repeats(video):
    everything = video.get_frames(range(12))
    assert everything.shape == (12, 48, 64, 3)
    assert everything.dtype == np.uint8
    wanted = [7, 3, 3, 11, 0]
    np.testing.assert_array_equal(video.get_frames(wanted), everything[wanted])
    np.testing.assert_array_equal(video.get_frames([2]), everything[[2]])


def test_frames_are_those_encoded(video):
    shown = video.get_frames(range(12)).astype(int)
    true = moving_frames(12).astype(int)
    error = np.abs(shown[:, None] - true).mean((2, 3, 4))  # (shown, true)
    assert (error.argmin(1) == np.arange(12)).all()


@pytest.mark.parametrize('index', [-1, 12])
def test_a_frame_that_does_not_exist(video, index):
    with pytest.raises(ValueError, match=rf'no frame {index}; it has frames 0 to 11'):
        video.get_frames([0, index])
