"""Video files."""

import os
import subprocess
import sys

import numpy as np
import pytest

from mmma.simulation.video_file import write_video


def frames(count=5, height=32, width=48, seed=0):
    """A grey picture with a bright square that moves one pixel a frame."""
    noise = np.random.default_rng(seed).integers(0, 20, (height, width, 3))
    for i in range(count):
        picture = noise.astype(np.uint8)
        picture[8:16, i : i + 8] = (200, 120, 40)
        yield picture


def read(path):
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pictures = [f.to_ndarray(format='rgb24') for f in container.decode(stream)]
        return pictures, float(stream.average_rate), stream.codec_context.name


@pytest.mark.parametrize('fps', [24.0, 25.0, 29.0, 30.0])
def test_frames_come_back(tmp_path, fps):
    assert write_video(tmp_path / 'a' / 'clip.mp4', frames(), fps) == 5
    pictures, rate, codec = read(tmp_path / 'a' / 'clip.mp4')
    assert (len(pictures), rate, codec) == (5, fps, 'h264')
    assert pictures[4][12, 8].tolist() == pytest.approx([200, 120, 40], abs=20)
    assert pictures[4][12, 1].max() < 60


def test_same_frames_same_bytes(tmp_path):
    for name in ('a.mp4', 'b.mp4'):
        write_video(tmp_path / name, frames(), 25.0)
    assert (tmp_path / 'a.mp4').read_bytes() == (tmp_path / 'b.mp4').read_bytes()


ENCODE = """
import hashlib, sys
from pathlib import Path
import numpy as np
from mmma.simulation.video_file import write_video
noise = np.random.default_rng(0).integers(0, 40, (240, 340, 3), dtype=np.uint8)
path = Path(sys.argv[1])
write_video(path, (noise[:, i % 20 : i % 20 + 320].copy() for i in range(40)), 25.0)
print(hashlib.sha256(path.read_bytes()).hexdigest())
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='fills memory by the GNU allocator')
def test_bytes_do_not_depend_on_what_memory_held(tmp_path):
    digests = {
        subprocess.run(
            [sys.executable, '-c', ENCODE, tmp_path / 'clip.mp4'],
            env={**os.environ, 'MALLOC_PERTURB_': fill},
            capture_output=True,
            check=True,
        ).stdout
        for fill in ('0', '1', '170')
    }
    assert len(digests) == 1


def test_failure_leaves_nothing(tmp_path):
    def broken():
        yield from frames(2)
        raise RuntimeError('no more')

    with pytest.raises(RuntimeError, match='no more'):
        write_video(tmp_path / 'clip.mp4', broken(), 25.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('pictures', 'message'),
    [
        ([], 'clip.mp4: no frame to write'),
        (list(frames(1, height=31)), '48x31: width and height must be even'),
        ([*frames(1), *frames(1, width=40)], r'frame 1 is \(32, 40, 3\)'),
    ],
)
def test_bad_frames(tmp_path, pictures, message):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / 'clip.mp4', pictures, 25.0)
