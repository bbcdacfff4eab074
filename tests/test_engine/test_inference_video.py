import errno
import os

import numpy as np
import pytest
from video_files import make_audio, make_video, moving_frames

from mmma.datasets.clip_dataset import ClipDataset
from mmma.datasets.untrimmed_dataset import UntrimmedDataset
from mmma.engine.inference_video import (
    Skeletons,
    called,
    link_video,
    write_placeholder,
    write_root,
)
from mmma.layout.joints import read_layout
from mmma.layout.skeletons import SkeletonStore


@pytest.fixture
def video(tmp_path):
    return make_video(tmp_path / 'a person.MP4', moving_frames(9), 30)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'work').mkdir()
    return tmp_path / 'work'


def test_a_link_that_does_not_tell_the_name(video, folder):
    file = link_video(video, folder)
    assert file.path == folder / 'video.mp4'
    assert file.path.resolve() == video
    assert (file.frames, file.fps, file.first_frame_sec) == (9, pytest.approx(30), 0)


def test_a_copy_where_there_are_no_links(video, folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, 'no links here')

    monkeypatch.setattr(os, 'symlink', refuse)
    file = link_video(video, folder)
    assert not file.path.is_symlink()
    assert file.frames == 9


@pytest.mark.parametrize(
    ('task', 'kind'), [('rec', ClipDataset), ('det', UntrimmedDataset)]
)
def test_data_sets_read_it(task, kind, video, folder):
    file = link_video(video, folder)
    root = write_root(folder / 'root', task, 'mma82', file)
    assert root.info.simulated is False
    dataset = kind(root.path, 'test', [dict], test_mode=True)
    dataset.root = root
    assert len(dataset) == 1
    assert dataset.get_data_info(0)['filename'] == str(file.path)


def test_skeletons_go_into_the_store(video, folder):
    joints = np.zeros((9, 2, 65, 3), np.int16)
    joints[:3, 1, 4, 2] = 5
    joints[:, :, 30] = 5  # of a hand
    skeletons = Skeletons(joints, 30.0, (64, 48), 'mediapipe 1')
    assert skeletons.body_found == pytest.approx(1 / 3)
    file = link_video(video, folder)
    root = write_root(folder / 'root', 'det', 'mma82', file, skeletons)
    store = SkeletonStore(root, 'det')
    assert store.layout.extractor == 'mediapipe 1'
    assert store.get('video')[0].shape == (2, 9, 65, 2)


def test_a_root_to_build_on(folder):
    write_placeholder(folder, 'rec', 'ma52', 'mediapipe 1')
    assert read_layout(folder / 'skeletons').extractor == 'mediapipe 1'
    assert len(ClipDataset(folder, 'test', [], label_space='ma52', test_mode=True)) == 1


def gone(folder, tmp_path):
    link_video(tmp_path / 'gone.mp4', folder)


def sound_only(folder, tmp_path):
    link_video(make_audio(tmp_path / 'sound.mp4'), folder)


def fail(error):
    def work(folder, _):
        raise type(error)(str(error).replace('FOLDER', str(folder)))

    return work


@pytest.mark.parametrize(
    ('work', 'text'),
    [
        (gone, 'no such video file'),
        (sound_only, 'audio only'),
        (
            fail(ValueError("video 'video' cannot be read: FOLDER/video.mp4: cut. "
                            'Repair the file; or leave it out')),
            'cannot be read: cut',
        ),
        (fail(RuntimeError('out of memory')), 'out of memory'),
    ],
)  # fmt: skip
def test_errors_call_it_by_its_label(work, text, folder, tmp_path):
    with (
        pytest.raises((ValueError, FileNotFoundError), match=f'^video 1: {text}$'),
        called('video 1', folder),
    ):
        work(folder, tmp_path)
