"""What players show: the display matrix, the shape of pixels, sizes that change."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from video_files import (
    make_changing_video,
    make_video,
    moving_frames,
    spoil_packet,
)

from mmma.data.leakage import read_marks
from mmma.media.encode import PackOptions, pack_video
from mmma.media.pose import VideoFrames
from mmma.packets import BrokenVideoError, index_video
from mmma.video import available_backends, open_video

SHOWN = {
    (1, 0, 0, 1): lambda a: a,
    (-1, 0, 0, 1): lambda a: a[:, ::-1],
    (1, 0, 0, -1): lambda a: a[::-1],
    (-1, 0, 0, -1): lambda a: a[::-1, ::-1],
    (0, 1, -1, 0): lambda a: np.rot90(a, -1),
    (0, -1, 1, 0): lambda a: np.rot90(a, 1),
    (0, 1, 1, 0): lambda a: a.swapaxes(0, 1),
    (0, -1, -1, 0): lambda a: a[::-1, ::-1].swapaxes(0, 1),
}
"""Numbers of a display matrix, and what a player makes of the stored picture."""
KEPT = PackOptions(short_side=512, crf=1)


def read_all(path, backend='auto'):
    with open_video(path, backend) as video:
        return video.get_frames(range(video.num_frames))


def pack_all(path, options=KEPT, box=None):
    target = path.with_name('packed') / 'a.mp4'
    made = pack_video(path, target, options, box)
    return made, read_all(target).astype(float)


def distance(one, other):
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


@pytest.mark.parametrize('matrix', SHOWN)
def test_the_whole_display_matrix_counts(tmp_path, matrix):
    frames = moving_frames(5, 48, 96)
    stored = make_video(tmp_path / 'stored.mp4', frames)
    path = make_video(tmp_path / 'a.mp4', frames, matrix=matrix)
    right = np.stack([SHOWN[matrix](image) for image in read_all(stored, 'pyav')])
    for backend in available_backends():
        np.testing.assert_array_equal(read_all(path, backend), right)
    video = VideoFrames(path)
    np.testing.assert_array_equal(list(video), right)
    assert video.size == right.shape[2:0:-1]
    made, packed = pack_all(path)
    assert made['picture'] == made['size'] == right.shape[2:0:-1]
    assert distance(packed, right) < 2
    wrong = [
        distance(t(read_all(stored)[0]), packed[0])
        for m, t in SHOWN.items()
        if m != matrix and t(frames[0]).shape == packed[0].shape
    ]
    assert min(wrong) > 10
    cells = read_marks(stored).astype(float)
    np.testing.assert_array_equal(
        read_marks(path), [SHOWN[matrix](cell) for cell in cells]
    )


@pytest.mark.parametrize('matrix', SHOWN)
def test_a_crop_is_of_the_picture_that_is_shown(tmp_path, matrix):
    frames = moving_frames(3, 96, 128)
    path = make_video(tmp_path / 'a.mp4', frames, matrix=matrix, pixels=Fraction(3, 2))
    made, packed = pack_all(path, PackOptions(512, margin=0, crf=1), (0.5, 0, 1, 0.5))
    left, top, wide, high = made['crop']
    region = read_all(path)[:, top : top + high, left : left + wide]
    assert made['pixels'] == '3:2'
    assert region.shape == packed.shape
    assert distance(region, packed) < 3


@pytest.mark.parametrize(
    ('stored', 'pixels', 'shown'),
    [
        ((144, 180), (64, 45), (144, 256)),  # wide PAL
        ((120, 180), (8, 9), (120, 160)),  # NTSC
        ((108, 144), (4, 3), (108, 192)),  # HDV
        ((48, 64), (1, 1), (48, 64)),
        ((60, 66), (16, 11), (60, 96)),
    ],
)
@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'avi', 'ts'])
@pytest.mark.parametrize('turned', [False, True])
def test_pixels_become_square(tmp_path, stored, pixels, shown, suffix, turned):
    if turned and suffix in ('avi', 'ts'):
        pytest.skip('such files cannot say that they are turned')
    y, x = np.mgrid[: stored[0], : stored[1]] / np.array(stored)[:, None, None]
    disc = (x - 0.5) ** 2 * shown[1] ** 2 + (y - 0.5) ** 2 * shown[0] ** 2 < 20**2
    frames = np.repeat((disc * 200 + 20)[None, ..., None], 3, 0).repeat(3, -1)
    path = make_video(
        tmp_path / f'a.{suffix}',
        frames.astype(np.uint8),
        pixels=Fraction(*pixels),
        rotation=90 if turned else None,
    )
    expected = shown[::-1] if turned else shown
    made, packed = pack_all(path)
    assert made.get('pixels', '1:1') == '{}:{}'.format(*pixels)
    for pictures in (read_all(path), np.stack(list(VideoFrames(path))), packed):
        assert pictures.shape[1:3] == expected
        seen = pictures[1, ..., 1] > 120
        high, wide = (np.ptp(np.flatnonzero(seen.any(axis))) + 1 for axis in (1, 0))
        assert abs(high - wide) <= 2  # a disc stays round
    with open_video(path.with_name('packed') / 'a.mp4') as video:
        assert video.num_frames == 3


def test_pixels_of_no_camera_are_square_and_that_is_said(tmp_path):
    path = make_video(tmp_path / 'a.mkv', moving_frames(2), pixels=Fraction(30, 1))
    with pytest.warns(UserWarning, match='a.mkv: pixels of 30:1 are taken as square'):
        assert read_all(path).shape == (2, 48, 64, 3)


@pytest.mark.parametrize(
    ('name', 'codec'),
    [
        ('a.webm', 'libvpx'),
        ('a.webm', 'libvpx-vp9'),
        ('a.mkv', 'mjpeg'),
        ('a.ts', 'libx264'),
        ('a.mkv', 'libx264'),
        ('a.mp4', 'libvpx-vp9'),
        ('a.mp4', 'libx264'),
        ('a.mp4', 'mpeg4'),
        ('a.mkv', 'mpeg4'),
    ],
)
@pytest.mark.parametrize('backend', available_backends())
def test_a_size_that_changes(tmp_path, name, codec, backend):
    right = moving_frames(18, 96, 160)
    small = right[12:, ::2, ::2]
    path = make_changing_video(tmp_path / name, right[:12], small, codec=codec)
    with pytest.warns(UserWarning, match=r'changes its size midway.*\(160, 96\)'):
        pictures = read_all(path, backend)
    assert pictures.shape == (18, 96, 160, 3)
    assert all(distance(*pair) < 15 for pair in zip(pictures, right, strict=True))
    with open_video(path, backend) as video:  # any window has the size of the first
        for number in (17, 12, 11, 0):
            np.testing.assert_array_equal(
                video.get_frames([number])[0], pictures[number]
            )
    video = VideoFrames(path)
    np.testing.assert_array_equal(list(video), pictures)
    assert video.size == (160, 96)


def test_packing_scales_to_the_first_size_and_counts(tmp_path):
    parts = [moving_frames(6, *size) for size in ((96, 160), (72, 120), (96, 160))]
    path = make_changing_video(tmp_path / 'a.webm', *parts)
    made, packed = pack_all(path)
    assert (made['picture'], made['size'], made['scaled']) == ((160, 96), (160, 96), 6)
    assert distance(packed, read_all(path)) < 3
    box = (0.5, 0, 1, 0.5)
    made, packed = pack_all(path, PackOptions(512, margin=0, crf=1), box)
    left, top, wide, high = made['crop']
    region = read_all(path)[:, top : top + high, left : left + wide]
    assert distance(region, packed) < 4


def test_a_span_behind_the_change_has_the_size_of_the_file(tmp_path):
    parts = [moving_frames(12, 96, 160), moving_frames(12, 48, 80)]
    path = make_changing_video(tmp_path / 'a.mkv', *parts, codec='libx264')
    target = tmp_path / 'packed.mp4'
    made = pack_video(path, target, KEPT, span=(0.6, 0.9))
    assert (made['picture'], made['size'], made['scaled']) == ((160, 96), (160, 96), 8)
    assert distance(read_all(target), read_all(path)[15:23]) < 4
    np.testing.assert_array_equal(
        list(VideoFrames(path, (0.6, 0.9))), read_all(path)[15:23]
    )


def test_all_pairs_of_sizes(tmp_path):
    sizes = ((48, 64), (64, 48), (50, 70))
    for one, other in product(sizes, sizes):
        path = make_changing_video(
            tmp_path / 'a.mkv', moving_frames(2, *one), moving_frames(3, *other)
        )
        assert read_all(path).shape == (5, *one, 3)
        assert pack_all(path)[1].shape == (5, *one, 3)


def test_damaged_frames_do_not_tell_the_size(tmp_path):
    path = make_video(
        tmp_path / 'a.mp4', moving_frames(12), codec='mpeg4', options={'g': '4'}
    )
    for number in range(3):
        spoil_packet(path, number)
    with open_video(path, 'pyav') as video:
        assert video.get_frames([9]).shape == (1, 48, 64, 3)
    for number in range(12):
        spoil_packet(path, number)
    with (
        open_video(path, 'pyav') as video,
        pytest.raises(BrokenVideoError, match='damaged: Invalid data'),
    ):
        video.get_frames([9])


HEADERS = {
    'once': ('libx264', {}, True),
    'at each key frame': ('libx264', {'x264-params': 'repeat-headers=1'}, True),
    'once, HEVC': ('libx265', {'x265-params': 'log-level=none'}, True),
    'once, MPEG-4': ('mpeg4', {}, True),
    'in any frame': ('libvpx-vp9', {}, False),
}
"""How a file tells its size, and whether its packets prove that it does not change."""


@pytest.mark.parametrize('kind', HEADERS)
@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
def test_packets_that_prove_one_size(tmp_path, kind, suffix):
    codec, options, proven = HEADERS[kind]
    options = {'g': '4', 'bf': '0', **options}
    path = make_video(
        tmp_path / f'a.{suffix}', moving_frames(9), codec=codec, options=options
    )
    assert index_video(path).common == proven
