from contextlib import nullcontext

import numpy as np
import pytest
from video_files import make_video, moving_frames

from mmma.layout import frame_marks
from mmma.layout.frame_marks import all_marks, cache_folder, read_marks


@pytest.fixture
def video(tmp_path):
    return make_video(tmp_path / 'a.mp4', moving_frames(31), 30)


def test_eight_a_second_of_the_frame_shown_then(tmp_path):
    frames = np.zeros((12, 32, 32, 3), np.uint8)
    frames += np.arange(12, dtype=np.uint8)[:, None, None, None] * 20
    times = [0, 50, 120, 126, 240, 260, 300, 390, 500, 510, 520, 640]
    video = make_video(tmp_path / 'a.mkv', frames, times_ms=[t + 7 for t in times])
    shown = [0, 2, 4, 6, 8, 10]  # at 0, 125, 250, 375, 500, 625 ms
    marks = read_marks(video)
    assert marks.shape == (6, 16, 16)
    levels = marks.mean((1, 2)).astype(float)
    assert levels == pytest.approx([20 * i for i in shown], abs=4)


def test_size_and_quality_hardly_matter(tmp_path, video):
    frames = moving_frames(31)
    large = np.repeat(np.repeat(frames, 3, 1), 3, 2)
    other = make_video(tmp_path / 'b.mp4', large, 30, options={'qp': '30'})
    difference = read_marks(video).astype(float) - read_marks(other)
    assert np.abs(difference).mean() < 2


def test_rotation(tmp_path, video):
    turned = make_video(tmp_path / 'b.mp4', moving_frames(31), 30, rotation=90)
    expected = np.rot90(read_marks(video), axes=(1, 2)).astype(float)
    assert np.abs(read_marks(turned) - expected).mean() < 2


def test_what_was_seen_is_not_read_again(tmp_path, video, monkeypatch):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))
    first = all_marks([video, video], tmp_path, 0)
    assert list(cache_folder().glob('*/*.npz'))
    monkeypatch.setattr(frame_marks, 'read_marks', None)
    again = all_marks([video], tmp_path, 0)
    assert (again.of[video] == first.of[video]).all()
    monkeypatch.undo()
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))
    make_video(video, moving_frames(9), 30)
    assert len(all_marks([video], tmp_path, 2).of[video]) == 3


def test_many_videos_go_into_several_files(tmp_path, monkeypatch):
    monkeypatch.setenv('MMMA_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(frame_marks, '_SHARD', 2)
    videos = [make_video(tmp_path / f'{i}.mp4', moving_frames(3 + i)) for i in range(3)]
    first = all_marks(videos, tmp_path, 0)
    assert len(list(cache_folder().glob('*/*.npz'))) == 2
    monkeypatch.setattr(frame_marks, 'read_marks', None)
    again = all_marks(videos, tmp_path, 0)
    assert all((again.of[v] == first.of[v]).all() for v in videos)


def test_broken_videos_are_listed(tmp_path, video):
    bad = tmp_path / 'bad.mp4'
    bad.write_bytes(b'')
    found = all_marks([bad, video], tmp_path, 0)
    assert found.broken == [(bad, 'zero bytes')]
    assert list(found.of) == [video]


def test_no_frames(tmp_path, monkeypatch):
    class Empty:
        def decode(self, _):
            return iter(())

    stream = type('Stream', (), {'average_rate': 30, 'time_base': 1})()
    stream.codec_context = type('Context', (), {})()
    monkeypatch.setattr(
        frame_marks, 'opened_video', lambda _: nullcontext((Empty(), stream))
    )
    with pytest.raises(ValueError, match='no frames'):
        read_marks(tmp_path)
