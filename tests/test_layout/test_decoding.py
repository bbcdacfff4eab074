import pytest
from video_files import make_audio, make_video, moving_frames

from mmma.layout.decoding import VideoFacts, decode_video, probe_video


@pytest.fixture(scope='session')
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp('videos') / 'v.mp4'
    return make_video(path, moving_frames(20), fps=29, muxer={'movflags': 'faststart'})


def damaged(video, tmp_path, size):
    path = tmp_path / 'damaged.mp4'
    path.write_bytes(video.read_bytes()[:size])
    return path


@pytest.mark.parametrize('read', [decode_video, probe_video])
def test_facts(video, read):
    assert read(video) == VideoFacts(20, 29.0, pytest.approx(20 / 29))


@pytest.mark.parametrize('read', [decode_video, probe_video])
def test_no_file(tmp_path, read):
    with pytest.raises(FileNotFoundError, match='no such file'):
        read(tmp_path / 'gone.mp4')


@pytest.mark.parametrize('read', [decode_video, probe_video])
def test_zero_bytes(video, tmp_path, read):
    with pytest.raises(ValueError, match=r'^zero bytes$'):
        read(damaged(video, tmp_path, 0))


@pytest.mark.parametrize('read', [decode_video, probe_video])
def test_audio_only(tmp_path, read):
    with pytest.raises(ValueError, match=r'^audio only$'):
        read(make_audio(tmp_path / 'a.mp4'))


def test_subtitles_only(tmp_path):
    (tmp_path / 'a.srt').write_text('1\n00:00:00,000 --> 00:00:01,000\nhello\n')
    with pytest.raises(ValueError, match=r'^no video stream$'):
        decode_video(tmp_path / 'a.srt')


@pytest.mark.parametrize('read', [decode_video, probe_video])
def test_not_a_video(tmp_path, read):
    (tmp_path / 'a.mp4').write_bytes(b'no video at all' * 50)
    with pytest.raises(ValueError, match=r'^not readable as video: Invalid data'):
        read(tmp_path / 'a.mp4')


def test_cut_before_the_index(tmp_path):
    path = make_video(tmp_path / 'v.mp4', moving_frames(20))  # index at the end
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match='not readable as video'):
        decode_video(path)


def test_cut_after_the_index(video, tmp_path):
    path = damaged(video, tmp_path, video.stat().st_size * 2 // 3)
    with pytest.raises(
        ValueError, match=r'^truncated or damaged: 1?\d frames of 20 decode'
    ):
        decode_video(path)


def test_overwritten_in_the_middle(video, tmp_path):
    content = bytearray(video.read_bytes())
    middle = len(content) * 2 // 3
    content[middle : middle + 900] = bytes(900)
    (tmp_path / 'v.mp4').write_bytes(content)
    with pytest.raises(
        ValueError, match=r'^truncated or damaged: .*, [1-9]\d* errors$'
    ):
        decode_video(tmp_path / 'v.mp4')


def test_real_clips_are_whole(shared_data):
    frames = [decode_video(p).frames for p in sorted((shared_data / 'clips').iterdir())]
    assert frames == [47, 50, 75]
