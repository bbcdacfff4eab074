import os

import numpy as np
import pytest

from mmma.pose.partials import Partial, Partials, read_partial, write_partial


@pytest.fixture
def source(tmp_path):
    file = tmp_path / 'a.mp4'
    file.write_bytes(b'video')
    return file


def test_what_is_written_is_read(tmp_path, source):
    path = Partials(tmp_path, 'x 1', False).path('rec', 'a/b')
    joints = np.arange(12, dtype=np.int16).reshape(2, 1, 2, 3)
    write_partial(path, Partial(joints, 29.97, 64, 48), source)
    found = read_partial(path, source)
    assert np.array_equal(found.joints, joints)
    assert (found.fps, found.width, found.height) == (29.97, 64, 48)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_changed_video_is_not_done(tmp_path, source):
    path = Partials(tmp_path, 'x 1', False).path('rec', 'a')
    partial = Partial(np.zeros((1, 1, 1, 3), np.int16), 30, 8, 8)
    write_partial(path, partial, source)
    os.utime(source, (1, 1))
    assert read_partial(path, source) is None
    assert read_partial(path) is not None
    source.unlink()
    assert read_partial(path, source) is None


def test_tasks_do_not_share_files(tmp_path):
    partials = Partials(tmp_path, 'x 1', False)
    assert partials.path('rec', 'a') != partials.path('det', 'a')


def test_runs_of_two_extractors_do_not_mix(tmp_path, source):
    path = Partials(tmp_path, 'x 1', False).path('rec', 'a')
    partial = Partial(np.zeros((1, 1, 1, 3), np.int16), 30, 8, 8)
    write_partial(path, partial, source)
    with pytest.raises(ValueError, match="run with 'x 1' was not finished"):
        Partials(tmp_path, 'x 2', False)
    Partials(tmp_path, 'x 1', True)
    assert path.is_file()
    Partials(tmp_path, 'x 2', True)
    assert not path.is_file()
