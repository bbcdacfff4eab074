import numpy as np
import pytest
from video_files import make_audio, make_video, moving_frames, spoil_packet

from mmma.datasets.video.errors import BrokenVideoError
from mmma.datasets.video.opening import open_video
from mmma.pose.frames import VideoFrames


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('plain.mp4', {'fps': 25}),
        ('uneven.mkv', {'times_ms': [0, 40, 100, 120, 200, 210, 260]}),
        ('turned.mp4', {'rotation': 90}),
    ],
)
def test_frames_are_those_of_the_readers(tmp_path, name, options):
    path = make_video(tmp_path / name, moving_frames(7), **options)
    video = VideoFrames(path)
    frames = list(video)
    with open_video(path, 'pyav') as reader:
        assert np.array_equal(frames, reader.get_frames(range(reader.num_frames)))
        assert video.fps == reader.fps
        assert len(video) == 7
        assert video.size == (reader.width, reader.height)


def test_a_frame_that_does_not_decode_is_told(tmp_path):
    path = make_video(tmp_path / 'a.mp4', moving_frames(9))
    spoil_packet(path, 4)
    with pytest.raises(BrokenVideoError, match='damaged'):
        list(VideoFrames(path))


def test_what_is_no_video_is_told_at_once(tmp_path):
    with pytest.raises(BrokenVideoError, match='audio only'):
        VideoFrames(make_audio(tmp_path / 'a.mp4'))


def test_a_picture_that_changes_its_size(tmp_path, monkeypatch):
    video = VideoFrames(make_video(tmp_path / 'a.mp4', moving_frames(3)))
    video.size = (8, 8)
    with pytest.raises(BrokenVideoError, match='changes its size'):
        list(video)
