"""OpenCV reads forward only."""

import numpy as np
import pytest
from video_files import make_video, moving_frames, spoil_packet

from mmma.datasets.video import BrokenVideoError, open_video


def test_going_back(tmp_path):
    path = make_video(tmp_path / 'v.mp4', moving_frames(10))
    with open_video(path, 'opencv') as video:
        first, last = video.get_frames([0, 8])
        np.testing.assert_array_equal(video.get_frames([8]), last[None])
        np.testing.assert_array_equal(video.get_frames([0]), first[None])


def test_damage(tmp_path):
    path = make_video(tmp_path / 'v.mp4', moving_frames(20))
    spoil_packet(path, 10)
    with (
        open_video(path, 'opencv') as video,
        pytest.raises(BrokenVideoError, match=r'frame \d+ of 20 does not decode'),
    ):
        video.get_frames(range(20))
