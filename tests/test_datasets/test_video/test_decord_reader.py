"""decord's failures."""

import pytest
from video_files import make_video, moving_frames, spoil_packet

from mmma.datasets.video import BrokenVideoError, open_video
from mmma.datasets.video.index import open_container, read_index

pytest.importorskip('decord')
from mmma.datasets.video.decord_reader import DecordReader


def test_damage(tmp_path):
    path = make_video(tmp_path / 'v.mp4', moving_frames(20))
    spoil_packet(path, 10)
    with (
        open_video(path, 'decord') as video,
        pytest.raises(BrokenVideoError, match=r'decord: .*rror sending packet'),
    ):
        video.get_frames(range(20))


def test_a_file_that_it_cannot_open(tmp_path):
    path = make_video(tmp_path / 'v.mp4', moving_frames(3))
    with open_container(path) as container:
        index = read_index(container)
    path.write_text('no video')
    with pytest.raises(BrokenVideoError, match='decord: Error reading'):
        DecordReader(path, index)
