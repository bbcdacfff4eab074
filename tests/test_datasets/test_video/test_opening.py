"""The same frames, whichever library decodes."""

import importlib.util
import resource
import sys
from pathlib import Path

import numpy as np
import pytest
from video_files import make_video, moving_frames

from mmma.datasets.video import available_backends, open_video, opening
from mmma.datasets.video.pyav_reader import PyAVReader

needs_decord = pytest.mark.skipif(
    importlib.util.find_spec('decord') is None, reason='no decord'
)
UNEVEN_MS = [0, 20, 100, 133, 166, 266, 271, 300, 420, 425, 500, 540]

# What each file is, and whether decord is trusted with it.
KINDS = {
    'one key frame, B-frames': ({}, 'mp4', True),
    'odd lines, full chroma': ({'pix_fmt': 'yuv444p', 'size': (51, 67)}, 'mp4', True),
    'uneven multiples': ({'size': (50, 70)}, 'mp4', True),
    'full range': ({'pix_fmt': 'yuvj420p'}, 'mp4', True),
    'grey': ({'pix_fmt': 'gray'}, 'mp4', True),
    'variable rate': ({'times_ms': UNEVEN_MS}, 'mkv', True),
    'several key frames': ({'options': {'g': '4'}}, 'mp4', True),
    'open groups': ({'options': {'g': '4', 'x264-params': 'open-gop=1'}}, 'mp4', True),
    'on its side': ({'rotation': 90}, 'mp4', False),
    'upside down': ({'rotation': 180}, 'mkv', False),
    'odd lines': ({'codec': 'mpeg4', 'size': (51, 67)}, 'mp4', False),
    '72 pixels wide': ({'size': (50, 72)}, 'mp4', False),
    'ten bits': ({'pix_fmt': 'yuv420p10le'}, 'mp4', False),
    'transport stream': ({}, 'ts', False),
    'no presentation stamps': ({}, 'avi', False),
}


def make(folder, kind):
    options, suffix, trusted = KINDS[kind]
    options = dict(options)
    frames = moving_frames(12, *options.pop('size', (48, 64)))
    return make_video(folder / f'v.{suffix}', frames, **options), trusted


def read(path, backend, indices=None):
    with open_video(path, backend) as video:
        wanted = range(video.num_frames) if indices is None else indices
        return type(video), video.times_sec, video.get_frames(wanted)


@needs_decord
@pytest.mark.parametrize('kind', KINDS)
def test_identical_frames(tmp_path, kind):
    path, trusted = make(tmp_path, kind)
    _, times_sec, frames = read(path, 'pyav')
    reader, other_times_sec, other_frames = read(path, 'decord')
    assert len(frames) == 12
    assert (reader is not PyAVReader) == trusted
    np.testing.assert_array_equal(other_frames, frames)
    np.testing.assert_array_equal(other_times_sec, times_sec)


@needs_decord
@pytest.mark.parametrize('name', ['0010_02_0101', '0019_02_0078', '0030_01_0002'])
def test_identical_frames_of_real_clips(shared_data, name):
    path = shared_data / 'clips' / f'{name}.mp4'
    wanted = [0, 9, 30]
    _, _, frames = read(path, 'pyav', wanted)
    np.testing.assert_array_equal(read(path, 'decord', wanted)[2], frames)


def test_auto_takes_the_first_that_is_installed(tmp_path, monkeypatch):
    path, _ = make(tmp_path, 'one key frame, B-frames')
    assert opening.check_backend('auto') == available_backends()[0]
    monkeypatch.setattr(opening, 'available_backends', lambda: ('pyav',))
    assert read(path, 'auto')[0] is PyAVReader
    with pytest.raises(ValueError, match="'decord' is not installed: use one of pyav"):
        open_video(path, 'decord')


@pytest.mark.parametrize(
    ('backend', 'message'),
    [
        ('decrod', r"'decrod'.* Did you mean 'decord'"),
        ('opencv', "unknown video backend 'opencv': use one of auto, decord, pyav"),
    ],
)
def test_an_unknown_backend(tmp_path, backend, message):
    with pytest.raises(ValueError, match=message):
        open_video(tmp_path / 'v.mp4', backend)


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize(
    'backend', [pytest.param('decord', marks=needs_decord), 'pyav']
)
def test_memory_does_not_grow(tmp_path, backend):
    path = make_video(tmp_path / 'v.mp4', moving_frames(4, 144, 176))

    def soak(times):
        for _ in range(times):
            read(path, backend, [0, 3])
        pages = int(Path('/proc/self/statm').read_text().split()[1])
        return pages * resource.getpagesize() / 2**20

    warm = soak(20)
    assert soak(80) - warm < 8  # MiB
