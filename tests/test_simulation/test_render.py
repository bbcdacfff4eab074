"""Backgrounds, frames, encoded videos."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

from mmma.simulation.domains import DOMAIN_STYLES, make_subject
from mmma.simulation.figure import JOINT
from mmma.simulation.geometry import film
from mmma.simulation.motion import Event, simulate_motion
from mmma.simulation.render import (
    make_background,
    render_frames,
    write_video,
)

TIME = np.arange(60) / 30


def camera(domain, **changes):
    style = dataclasses.replace(DOMAIN_STYLES[domain], size=(160, 128), **changes)
    centre = np.array([0.0, 1.0, 0.0])
    return film(style, centre, TIME, np.random.default_rng(0))


def frames(kind, seen):
    background = make_background(kind, seen, np.random.default_rng(0))
    return np.stack([background(i) for i in range(len(TIME))])


def test_wall_stands_still_and_frames_are_copies():
    pictures = frames('wall', camera('lab'))
    assert (pictures == pictures[0]).all()
    background = make_background('wall', camera('lab'), np.random.default_rng(0))
    background(0)[:] = 0
    assert background(1).min() > 0


def test_background_slides_with_the_camera():
    pictures = frames('room', camera('street')).astype(int)
    assert np.abs(np.diff(pictures, axis=0)).max() > 30


def test_cut_changes_the_set():
    seen = camera('emotion', cuts_per_sec=1.0, shake=0.0, pan=0.0)
    pictures = frames('set', seen).astype(int)
    change = np.abs(np.diff(pictures, axis=0)).mean(axis=(1, 2, 3))
    np.testing.assert_array_equal(change > 1, np.diff(seen.shot) > 0)
    assert (change > 1).any()


def draw(domain='lab', action='waving', sec=0.5, seed=0, **changes):
    style, subject = DOMAIN_STYLES[domain], make_subject(seed, domain)
    style = dataclasses.replace(style, **changes)
    subject = dataclasses.replace(
        subject, skin=(250, 30, 30), top=(30, 250, 30), bottom=(30, 30, 250)
    )
    rng = np.random.default_rng(seed)
    motion = simulate_motion(subject, style, [Event(action, 0, sec)], sec, 30, rng)
    return motion, np.stack(list(render_frames(motion, subject, style, rng)))


def test_frames():
    for domain, style in DOMAIN_STYLES.items():
        motion, frames = draw(domain)
        assert frames.shape == (len(motion.joints), *style.size[::-1], 3)
        assert frames.dtype == np.uint8
        assert frames.std() > 10, domain
        assert np.abs(np.diff(frames.astype(int), axis=0)).mean() > 0.5, domain


def test_parts_have_their_colours():
    motion, frames = draw(action='waving')
    points, _ = motion.camera.project(motion.joints)
    for joint, channel in (('waist', 1), ('left_knee', 2), ('right_knee', 2)):
        x, y = points[0, JOINT[joint]].astype(int)
        patch = frames[0, y - 2 : y + 3, x - 2 : x + 3].mean(axis=(0, 1))
        assert np.argmax(patch) == channel, joint


def test_dim_rooms_are_darker():
    assert draw('psychiatric')[1].mean() < 0.75 * draw('lab')[1].mean()


def test_face_shows_where_it_turns():
    def dark_side(seed):
        """Where the dark eyes are against the head's centre, pixels; and the turn."""
        style = dataclasses.replace(DOMAIN_STYLES['lab'], sensor_noise=0.0)
        subject = dataclasses.replace(
            make_subject(1, 'lab'), haircut='short', glasses=False, hair=(90, 60, 200)
        )
        rng = np.random.default_rng(seed)
        event = Event('turning head', -2.0, 8.0)
        motion = simulate_motion(subject, style, [event], 0.1, 30, rng)
        frame = next(iter(render_frames(motion, subject, style, rng))).astype(int)
        points, _ = motion.camera.project(motion.joints)
        x, y = points[0, JOINT['head']].astype(int)
        patch = frame[y - 20 : y + 20, x - 20 : x + 20]
        _, columns = np.nonzero(patch.max(axis=2) < 60)
        nose = points[0, JOINT['nose'], 0] - points[0, JOINT['head'], 0]
        return columns.mean() - 20, nose

    sides = [dark_side(seed) for seed in range(4)]
    assert all(np.sign(eyes) == np.sign(nose) for eyes, nose in sides if abs(nose) > 6)
    assert any(abs(nose) > 6 for _, nose in sides)


def video_frames(count=5, height=32, width=48, seed=0):
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


def test_frames_come_back(tmp_path):
    for fps in (24.0, 25.0, 29.0, 30.0):
        assert write_video(tmp_path / 'a' / 'clip.mp4', video_frames(), fps) == 5
        pictures, rate, codec = read(tmp_path / 'a' / 'clip.mp4')
        assert (len(pictures), rate, codec) == (5, fps, 'h264')
        assert pictures[4][12, 8].tolist() == pytest.approx([200, 120, 40], abs=20)
        assert pictures[4][12, 1].max() < 60


ENCODE = """
import hashlib, sys
from pathlib import Path
import numpy as np
from mmma.simulation.render import write_video
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
        yield from video_frames(2)
        raise RuntimeError('no more')

    with pytest.raises(RuntimeError, match='no more'):
        write_video(tmp_path / 'clip.mp4', broken(), 25.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('pictures', 'message'),
    [
        ([], 'clip.mp4: no frame to write'),
        ([*video_frames(1, height=31)], '48x31: width and height must be even'),
        ([*video_frames(1), *video_frames(1, width=40)], r'frame 1 is \(32, 40, 3\)'),
    ],
)
def test_bad_frames(tmp_path, pictures, message):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / 'clip.mp4', pictures, 25.0)
