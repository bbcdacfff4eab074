"""What the packets of a video file tell."""

import pickle

import numpy as np
import pytest
from video_files import make_audio, make_video, moving_frames

from mmma.packets import (
    BrokenVideoError,
    broken_by_damage,
    index_video,
    open_container,
)


def test_it_crosses_processes():
    error = pickle.loads(pickle.dumps(BrokenVideoError('a.mp4', 'zero bytes')))
    assert (error.path, error.reason) == ('a.mp4', 'zero bytes')
    assert str(error) == 'a.mp4: zero bytes'
    assert isinstance(error, ValueError)


SCRIPTS = {
    'concat': 'ffconcat version 1.0\nfile a.mp4\n',
    'hls': '#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.mp4\n#EXT-X-ENDLIST\n',
    'dash': '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
    'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet>'
    '<Representation><BaseURL>a.mp4</BaseURL></Representation></AdaptationSet>'
    '</Period></MPD>',
    'sdp': 'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n',
    'subtitles': '1\n00:00:00,000 --> 00:00:01,000\na.mp4\n',
    'picture': 'P6\n2 2\n255\n' + 'x' * 12,
}


@pytest.mark.parametrize('name', SCRIPTS)
def test_a_script_named_video_is_none(name, tmp_path, frames, monkeypatch):
    make_video(tmp_path / 'a.mp4', frames)
    for suffix in ('mp4', 'm3u8', 'mkv', 'ffconcat'):
        path = tmp_path / f'b.{suffix}'
        path.write_text(SCRIPTS[name])
        with pytest.raises(BrokenVideoError, match=r'not (a video file|readable as)'):
            open_container(path)
    make_video(tmp_path / 'concat:a.mp4', frames)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BrokenVideoError):
        open_container('concat:a.mp4')


UNEVEN_MS = [0, 20, 100, 133, 166, 266, 271, 300, 420, 425, 500, 540]
FAST_START = {'movflags': 'faststart'}


@pytest.fixture(scope='module')
def frames():
    return moving_frames(12)


@pytest.mark.parametrize(
    ('suffix', 'late_ms'),
    [('mp4', 0), ('mkv', 0), ('ts', 0), ('mp4', 700), ('mkv', 700)],
)
def test_times_are_those_of_the_stamps_from_the_first(
    tmp_path, frames, suffix, late_ms
):
    stamps = [t + late_ms for t in UNEVEN_MS]
    times_sec = index_video(
        make_video(tmp_path / f'v.{suffix}', frames, times_ms=stamps)
    ).times_sec
    assert times_sec.dtype == np.float64
    np.testing.assert_allclose(times_sec, np.array(UNEVEN_MS) / 1000, atol=1e-4)


def test_constant_rate(tmp_path, frames):
    index = index_video(make_video(tmp_path / 'v.mp4', frames, fps=29.97))
    np.testing.assert_allclose(index.times_sec, np.arange(12) / 29.97, atol=1e-6)
    assert index.duration_sec == pytest.approx(12 / 29.97, abs=1e-6)
    assert len(index.key_pts) == 1


def test_frames_that_an_edit_list_hides_are_not_there(tmp_path, frames):
    times_ms = [40 * i - 200 for i in range(12)]  # the first five come before zero
    muxer = {'avoid_negative_ts': 'disabled'}
    path = make_video(tmp_path / 'v.mp4', frames, times_ms=times_ms, muxer=muxer)
    index = index_video(path)
    np.testing.assert_allclose(index.times_sec, 0.04 * np.arange(7), atol=1e-4)
    assert not index.common  # decord counts the hidden ones


def test_an_edit_list_that_ends_early_is_no_damage(tmp_path):
    path = make_video(
        tmp_path / 'v.mp4', moving_frames(60), options={'g': '6'}, muxer=FAST_START
    )
    content = bytearray(path.read_bytes())
    at = content.index(b'elst') + 12  # behind version, flags and number of entries
    length = int.from_bytes(content[at : at + 4], 'big')
    content[at : at + 4] = (length // 2).to_bytes(4, 'big')
    path.write_bytes(content)
    assert len(index_video(path).pts) == 30


def test_raw_streams_follow_their_rate(tmp_path, frames):
    path = make_video(tmp_path / 'v.h264', frames, options={'bf': '0'})
    steps = np.diff(index_video(path).times_sec)
    assert len(steps) == 11
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)


def cut(path, part):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    return path


def saved(content):
    return lambda path, frames: path.write_bytes(content)


def without_codec(path, frames):
    content = make_video(path, frames).read_bytes()
    path.write_bytes(content.replace(b'avc1', b'zzzz'))


@pytest.mark.parametrize(
    ('spoil', 'reason'),
    [
        (saved(b''), 'zero bytes'),
        (saved(b'no video ' * 500), 'not readable as video: Invalid data'),
        (lambda path, _: make_audio(path), 'audio only'),
        (
            lambda path, frames: cut(make_video(path, frames, muxer=FAST_START), 0.7),
            r'truncated or damaged: \d+ of 12 frames are whole',
        ),
        (lambda path, frames: cut(make_video(path, frames), 0.7), 'Invalid data'),
        (without_codec, 'unknown codec'),
    ],
)
def test_faults_are_named(tmp_path, frames, spoil, reason):
    path = tmp_path / 'spoiled.mp4'
    with pytest.raises(FileNotFoundError, match=r'spoiled\.mp4: no such video file'):
        open_container(path)
    spoil(path, frames)
    with pytest.raises(BrokenVideoError, match=reason) as error:
        index_video(path)
    assert error.value.path == str(path)
    assert str(error.value).startswith(str(path))


def test_truncated_matroska_files(tmp_path):
    path = make_video(tmp_path / 'v.mkv', moving_frames(90))
    content = path.read_bytes()
    cut(path, 0.6)
    with pytest.raises(BrokenVideoError, match=r'ends 1\.\d+ s before its announced'):
        index_video(path)
    first_cluster = content.index(b'\x1f\x43\xb6\x75')
    path.write_bytes(content[: first_cluster + 100])
    with pytest.raises(BrokenVideoError, match='no frames'):
        index_video(path)


def test_pyav_failing_to_look_up_a_stream_is_damage():
    """Seen with transport streams; no small file was found that always shows it."""
    with (
        pytest.raises(BrokenVideoError, match=r'v\.ts: damaged: list index'),
        broken_by_damage('v.ts'),
    ):
        _ = [][0]


def test_times_of_days_are_damaged(tmp_path):
    path = make_video(tmp_path / 'v.mkv', moving_frames(3), times_ms=[0, 40, 3 * 10**8])
    with pytest.raises(BrokenVideoError, match=r'its 3 frames last .* days: the times'):
        index_video(path)


def test_no_backend_makes_room_for_frames_that_a_header_makes_up(tmp_path):
    path = make_video(tmp_path / 'v.mp4', moving_frames(3))
    assert index_video(path).common
    content = path.read_bytes()
    count = content.index(b'stts') + 12
    path.write_bytes(content[:count] + b'\x7f' + content[count + 1 :])
    assert not index_video(path).common
