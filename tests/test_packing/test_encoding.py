import shutil
from fractions import Fraction

import av
import numpy as np
import pytest
from pack_roots import TIMES_MS
from video_files import make_video, moving_frames

from mmma.datasets.video.opening import open_video
from mmma.packing import encoding
from mmma.packing.encoding import FrameTimes, even_size, pack_video, read_times
from mmma.packing.options import PackOptions
from mmma.packing.person import Box

SMALL = PackOptions(short_side=32, gop=4)


def key_frames(path):
    with av.open(str(path)) as file:
        return [p.is_keyframe for p in file.demux(video=0) if p.size]


def decoded(path):
    with av.open(str(path)) as file:
        return np.stack([f.to_ndarray(format='rgb24') for f in file.decode(video=0)])


@pytest.mark.parametrize('name', ['a.mp4', 'a.mkv', 'a.avi', 'a.ts'])
@pytest.mark.parametrize('uneven', [False, True])
def test_count_and_times_are_those_of_the_source(tmp_path, name, uneven):
    if uneven and name == 'a.avi':
        pytest.skip('the container has one rate')
    times = [t + 80 for t in TIMES_MS] if uneven else None
    source = make_video(tmp_path / name, moving_frames(12), 25, times_ms=times)
    made = pack_video(source, tmp_path / 'out' / 'a.mp4', SMALL)
    assert (made.frames, made.picture, made.size) == (12, (64, 48), (42, 32))
    with open_video(source, 'pyav') as old, open_video(tmp_path / 'out/a.mp4') as new:
        assert new.times_sec == pytest.approx(old.times_sec, abs=1e-9)
        assert new.duration_sec == pytest.approx(old.duration_sec, abs=1e-9)
    assert read_times(source).seconds() == read_times(tmp_path / 'out/a.mp4').seconds()
    if uneven and name == 'a.mkv':
        stamps = [Fraction(t, 1000) for t in TIMES_MS]
        assert read_times(tmp_path / 'out/a.mp4').seconds()[:-1] == stamps


def test_key_frames_come_every_gop_and_nothing_refers_ahead(tmp_path):
    source = make_video(tmp_path / 'a.mp4', moving_frames(10))
    assert sum(key_frames(source)) == 1
    pack_video(source, tmp_path / 'b.mp4', SMALL)
    assert [i for i, key in enumerate(key_frames(tmp_path / 'b.mp4')) if key] == [
        0,
        4,
        8,
    ]
    with av.open(str(tmp_path / 'b.mp4')) as file:
        assert all(p.pts == p.dts for p in file.demux(video=0) if p.size)


def test_pictures_are_those_of_the_source_in_order(tmp_path):
    frames = moving_frames(8)
    source = make_video(tmp_path / 'a.mp4', frames)
    pack_video(source, tmp_path / 'b.mp4', PackOptions(short_side=48, crf=10))
    close = np.abs(decoded(tmp_path / 'b.mp4').astype(int) - decoded(source)).mean(
        (1, 2, 3)
    )
    far = np.abs(np.diff(frames.astype(int), axis=0)).mean()
    assert close.max() < far / 3


@pytest.mark.parametrize('pix_fmt', ['yuvj420p', 'yuv444p', 'yuv420p10le', 'gray'])
def test_colours_stay(tmp_path, pix_fmt):
    codec = 'libx264' if pix_fmt != 'gray' else 'ffv1'
    source = make_video(
        tmp_path / 'a.mkv', moving_frames(4), codec=codec, pix_fmt=pix_fmt
    )
    pack_video(source, tmp_path / 'b.mp4', PackOptions(short_side=48, crf=5))
    old, new = (
        decoded(source).mean((0, 1, 2)),
        decoded(tmp_path / 'b.mp4').mean((0, 1, 2)),
    )
    assert new == pytest.approx(old, abs=2.5)


@pytest.mark.parametrize('rotation', [0, 90, 180, -90])
def test_rotation_is_applied_and_the_box_is_of_the_upright_picture(tmp_path, rotation):
    source = make_video(
        tmp_path / 'a.mp4', moving_frames(3, 96, 128), rotation=rotation
    )
    box = Box(0.5, 0, 1, 0.5)
    options = PackOptions(short_side=32, margin=0, crf=5)
    made = pack_video(source, tmp_path / 'b.mp4', options, box)
    with (
        open_video(source, 'pyav') as old,
        open_video(tmp_path / 'b.mp4', 'pyav') as new,
    ):
        upright, packed = old.get_frames([1])[0], new.get_frames([1])[0]
    left, top, wide, high = made.crop
    assert made.picture == upright.shape[1::-1]
    assert left + wide == upright.shape[1]
    assert top == 0
    region = upright[top : top + high, left : left + wide].astype(float)
    assert packed.shape[1::-1] == made.size
    assert packed.mean((0, 1)) == pytest.approx(region.mean((0, 1)), abs=3)


def test_the_same_bytes_twice(tmp_path):
    source = make_video(tmp_path / 'a.mp4', moving_frames(9))
    for name in 'bc':
        pack_video(source, tmp_path / f'{name}.mp4', SMALL)
    assert (tmp_path / 'b.mp4').read_bytes() == (tmp_path / 'c.mp4').read_bytes()


@pytest.mark.parametrize(
    ('size', 'short', 'expected'),
    [
        ((1080, 1296), 256, (256, 308)),
        ((1920, 1080), 256, (456, 256)),
        ((64, 48), 256, (64, 48)),
        ((57, 41), 256, (56, 40)),
    ],
)
def test_sizes_are_even_and_never_larger(size, short, expected):
    assert even_size(*size, short) == expected


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda p: p.unlink(), 'no such file'),
        (lambda p: p.write_bytes(b''), 'zero bytes'),
        (lambda p: p.write_bytes(b'text' * 99), 'source not readable as video'),
        (cut, 'damaged|not readable'),
    ],
)
def test_bad_sources_leave_nothing(tmp_path, spoil, message):
    source = make_video(
        tmp_path / 'a.mp4', moving_frames(12), muxer={'movflags': 'faststart'}
    )
    spoil(source)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        pack_video(source, tmp_path / 'out' / 'b.mp4', SMALL)
    assert list((tmp_path).rglob('*b.mp4*')) == []


def test_no_frames_and_no_video(tmp_path):
    with av.open(str(tmp_path / 'a.mp4'), 'w') as file:
        stream = file.add_stream('aac', rate=8000)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), 'fltp', 'mono'
        )
        sound.sample_rate = 8000
        file.mux(stream.encode(sound))
        file.mux(stream.encode(None))
    with pytest.raises(ValueError, match='no video stream'):
        pack_video(tmp_path / 'a.mp4', tmp_path / 'b.mp4', SMALL)


def test_two_frames_at_one_time_are_refused(tmp_path, monkeypatch):
    source = make_video(tmp_path / 'a.mp4', moving_frames(2))
    twice = FrameTimes((0, 0), 1, Fraction(1, 30))
    monkeypatch.setattr(encoding, 'read_times', lambda _: twice)
    with pytest.raises(ValueError, match='two frames at one time'):
        pack_video(source, tmp_path / 'b.mp4', SMALL)


@pytest.mark.parametrize(
    ('times', 'size', 'message'),
    [
        (FrameTimes((0, 1, 3), 1, Fraction(1, 30)), (64, 48), 'at other times'),
        (FrameTimes((0, 1, 2), 1, Fraction(1, 30)), (64, 50), '3 packed frames of'),
    ],
)
def test_what_was_written_is_compared(tmp_path, times, size, message):
    path = make_video(tmp_path / 'a.mp4', moving_frames(3))
    with pytest.raises(ValueError, match=message):
        encoding._verify(path, times, size)


def test_a_picture_that_changes_its_size_is_refused(tmp_path):
    parts = [make_video(tmp_path / f'{h}.ts', moving_frames(4, h)) for h in (48, 64)]
    both = tmp_path / 'both.ts'
    with both.open('wb') as file:
        for part in parts:
            with part.open('rb') as piece:
                shutil.copyfileobj(piece, file)
    with pytest.raises(ValueError, match=r'changes from|two frames at one time'):
        pack_video(both, tmp_path / 'b.mp4', SMALL)
