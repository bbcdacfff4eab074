"""Windows: frames, skeletons, features, packing."""

import shutil

import numpy as np
import pytest
import torch
from video_files import make_video, moving_frames

from mmma.data.arrays import FeaturesInfo, FeatureWriter, SkeletonStore
from mmma.data.root import DataRoot
from mmma.datasets.transforms import rgb
from mmma.datasets.transforms.rgb import DecodeFrames, OpenVideo
from mmma.datasets.transforms.skeleton import (
    LoadSkeleton,
    NormalizeSkeleton,
    SkeletonFeatures,
)
from mmma.datasets.transforms.windows import (
    LoadFeatures,
    PackWindow,
    WindowFeatures,
    WindowFrames,
    WindowSkeleton,
)
from mmma.datasets.windows import Window
from mmma.video import VideoReader, open_video


def choose(path, start_sec, valid, rate, video_sec=None):
    results = OpenVideo('pyav')({'filename': str(path)})
    length = results['duration_sec'] if video_sec is None else video_sec
    results['window'] = Window(start_sec, 64, valid, rate, length)
    return WindowFrames()(results)


@pytest.fixture(scope='module')
def steady(tmp_path_factory):
    """50 frames, 10 per second."""
    folder = tmp_path_factory.mktemp('steady')
    return make_video(folder / 'v.mp4', moving_frames(50), 10)


@pytest.mark.parametrize(
    ('window', 'expected'),
    [
        ((1.0, 4, 5.0), [10, 12, 14, 16]),
        ((0.0, 5, 20.0), [0, 0, 1, 1, 2]),
        ((1.25, 3, 10.0), [12, 13, 14]),
        ((4.8, 4, 10.0), [48, 49, 49, 49]),  # past the end the last one stays
    ],
)
def test_the_frames_shown_on_the_grid(steady, window, expected):
    results = choose(steady, *window)
    assert results['frame_inds'].tolist() == expected
    assert (results['clip_len'], results['num_clips']) == (len(expected), 1)


def test_variable_frame_rate(tmp_path):
    times_ms = [0, 100, 150, 900, 1000, 1010, 1900]
    frames = moving_frames(len(times_ms))
    path = make_video(tmp_path / 'v.mkv', frames, times_ms=times_ms)
    results = choose(path, 0.0, 8, 4.0)  # 0, .25, .5, ... 1.75
    assert results['frame_inds'].tolist() == [0, 2, 2, 2, 4, 5, 5, 5]


def test_what_windows_share_is_decoded_once(steady, monkeypatch):
    asked = []
    read = VideoReader.list_frames

    def counted(self, numbers):
        asked.append(list(numbers))
        return read(self, numbers)

    decode, right = DecodeFrames(), []
    for index, start_sec in enumerate((0.0, 0.5, 1.0)):
        results = choose(steady, start_sec, 10, 10.0)
        with open_video(steady, 'pyav') as video:
            right.append(video.get_frames(results['frame_inds']))
        results |= {'window_index': index, 'num_windows': 3}
        with monkeypatch.context() as patch:
            patch.setattr(VideoReader, 'list_frames', counted)
            imgs = decode(results)['imgs']
        np.testing.assert_array_equal(np.stack(imgs), right[-1])
        for img in imgs:
            img[:] = 0  # as a transform may do
    assert asked == [list(range(10)), [10, 11, 12, 13, 14], [15, 16, 17, 18, 19]]
    assert not rgb._left_open
    monkeypatch.setattr(rgb, '_MOST_KEPT', 10)
    results = choose(steady, 0.0, 10, 10.0) | {'window_index': 0, 'num_windows': 2}
    decode(results)
    assert [video.shared for video in rgb._left_open.values()] == [{}]


def test_a_video_stays_open_for_its_next_window(steady, tmp_path, monkeypatch):
    other = shutil.copy(steady, tmp_path / 'other.mp4')
    opened, decode = [], DecodeFrames()
    real = rgb.open_video
    monkeypatch.setattr(
        rgb, 'open_video', lambda *a: opened.append(real(*a)) or opened[-1]
    )
    rgb._left_open.clear()

    def look(file, index, count):
        results = choose(file, 0.5 * index, 10, 10.0)
        decode(results | {'window_index': index, 'num_windows': count})

    look(steady, 0, 2)
    look(steady, 1, 2)
    assert len(opened) == 1
    assert not rgb._left_open
    look(steady, 0, 3)
    look(other, 0, 2)
    with pytest.raises(AssertionError, match='not open'):
        opened[1].get_frames([0])
    monkeypatch.setattr(rgb.os, 'getpid', lambda: 1)  # as in a fork
    look(other, 1, 2)
    assert len(opened) == 4


def test_only_these_frames_are_decoded(steady, monkeypatch):
    asked = []
    results = choose(steady, 1.0, 3, 5.0)
    read = results['video_reader'].list_frames
    results['video_reader'].list_frames = lambda i: (asked.append(list(i)), read(i))[1]
    imgs = DecodeFrames()(results)['imgs']
    assert asked == [[10, 12, 14]]
    with open_video(steady, 'pyav') as video:
        np.testing.assert_array_equal(np.stack(imgs), video.get_frames([10, 12, 14]))


def test_a_stand_in_may_have_another_length(steady):
    with pytest.raises(ValueError, match=r'v\.mp4 is 5\.00 s long, but .* 9\.00 s'):
        choose(steady, 0.0, 2, 5.0, video_sec=9.0)
    results = OpenVideo('pyav')({'filename': str(steady), 'broken': 'other'})
    results['window'] = Window(6.0, 64, 2, 5.0, 9.0)
    assert WindowFrames()(results)['frame_inds'].tolist() == [49, 49]


def load(root, window, video='lab_test_0', **options):
    results = {'video': video, 'data_root': str(root), 'window': window}
    load = LoadSkeleton(layout=None, task='det', **options)
    return WindowSkeleton()(load(results))


def x_of(results, joint=0):
    return results['keypoint'][0, :, joint, 0].tolist()


@pytest.mark.parametrize(
    ('start_sec', 'rate', 'expected'),
    [
        (1.0, 5.0, [10, 12, 14, 16]),  # the store has 10 frames per second
        (1.0, 10.0, [10, 11, 12, 13]),
        (1.0, 20.0, [10, 10.5, 11, 11.5]),
        (0.05, 10.0, [0.5, 1.5, 2.5, 3.5]),
        (9.8, 10.0, [98, 99, 99, 99]),
    ],
)
def test_the_grid(det_root, start_sec, rate, expected):
    window = Window(start_sec, 8, 4, rate, 10.0)
    results = load(det_root, window)
    assert x_of(results) == pytest.approx(expected)
    assert results['clip_len'] == 4


def test_a_missing_joint_stays_missing(det_root):
    results = load(det_root, Window(0.0, 16, 9, 20.0, 10.0))  # frame 0, .5, 1, 1.5 ...
    # The second joint is missing in frames 0, 3, 6.
    score = results['keypoint_score'][0, :, 1]
    assert np.flatnonzero(score == 0).tolist() == [0, 5, 6]
    seen_x = [x for x, s in zip(x_of(results, 1), score, strict=True) if s > 0]
    assert seen_x == [1, 1, 1.5, 2, 4, 4]  # nearest beside a gap, else between


def test_no_frames_but_the_windows_are_read(det_root, monkeypatch):
    asked = []
    get = SkeletonStore.get

    def spy(self, name, joints=None, frames=None):
        asked.append(frames)
        return get(self, name, joints, frames)

    monkeypatch.setattr(SkeletonStore, 'get', spy)
    window = Window(5.0, 16, 16, 10.0, 10.0)
    assert x_of(load(det_root, window)) == list(range(50, 66))
    assert asked == [slice(49, 68)]


def test_normalising_sees_each_moment_once(det_root):
    """Positions past the end would move the median, so padding comes last."""
    window = Window(0.0, 256, 20, 10.0, 2.0)
    results = NormalizeSkeleton()(load(det_root, window, video='lab_test_1'))
    assert results['keypoint'].shape[1] == 20
    shoulders = results['keypoint'][0, :, 1:].mean(axis=1)
    assert np.median(shoulders[:, 0]) == pytest.approx(0, abs=1e-5)


def test_motion_is_per_position(det_root):
    window = Window(0.0, 16, 5, 5.0, 10.0)
    results = SkeletonFeatures(['joint_motion'])(load(det_root, window))
    assert x_of(results) == pytest.approx([2, 2, 2, 2, 0])  # pixels


def test_a_store_of_another_length(det_root):
    with pytest.raises(
        ValueError, match=r"the skeleton of 'lab_test_0' is 10.00 s long.*12.00 s"
    ):
        load(det_root, Window(0.0, 8, 4, 5.0, 12.0))


INFO = FeaturesInfo(
    stride_sec=0.4,
    dim=2,
    offset_sec=0.2,
    fps=10.0,
    dtype='float32',
    weights_sha256='abcd',
)


@pytest.fixture(scope='module')
def root(det_root, tmp_path_factory):
    """Feature t of a 10 s video is (time in seconds, 7)."""
    folder = tmp_path_factory.mktemp('features') / 'root'
    shutil.copytree(det_root, folder)
    fingerprint = DataRoot(folder).fingerprint()
    info = FeaturesInfo(**{**vars(INFO), 'data_fingerprint': fingerprint})
    with FeatureWriter(folder, 'tiny', info) as writer:
        times_sec = 0.2 + 0.4 * np.arange(25)
        writer.append('lab_test_0', np.stack([times_sec, np.full(25, 7)], axis=1))
    return folder


def load_of_features(root, window, video='lab_test_0', **wanted):
    results = {'video': video, 'data_root': str(root), 'window': window}
    return LoadFeatures(**{'name': 'tiny', **wanted})(results)


@pytest.mark.parametrize('start_sec', [0.0, 3.0, 8.4])
def test_a_position_gets_the_feature_of_its_time(root, start_sec):
    window = Window(start_sec, 16, 16, 10.0, 10.0)
    found = WindowFeatures()(load_of_features(root, window))['feature']
    assert found.shape == (2, 16)
    assert found.dtype == np.float32
    expected = window.times_sec().clip(0.2, 9.8)
    np.testing.assert_allclose(found, [expected, np.full(16, 7)], atol=1e-5)


def test_no_features_but_the_windows_are_read(root):
    results = load_of_features(root, Window(3.0, 16, 10, 10.0, 10.0))  # 3 to 4 s
    np.testing.assert_allclose(results['feature_times_sec'], [3.0, 3.4, 3.8, 4.2])


def test_what_the_config_asks_for(root):
    window = Window(0.0, 16, 10, 10.0, 10.0)
    load_of_features(root, window, stride_sec=0.4, dim=2, weights_sha256='ab', fps=10)
    with pytest.raises(
        ValueError,
        match=r'features\.json: stride_sec is 0\.4, wanted 0\.1; dim is 2, wanted 3\.'
        r'.*features\.py',
    ):
        load_of_features(root, window, stride_sec=0.1, dim=3)


def test_a_video_without_features(root):
    with pytest.raises(ValueError, match=r"no features of 'lab_test_1' in .* 1 others"):
        load_of_features(root, Window(0.0, 16, 10, 10.0, 2.0), video='lab_test_1')


def test_features_of_a_longer_video(root):
    with pytest.raises(
        ValueError, match=r"the features 'tiny' show of 'lab_test_0' is 10\.00 s.*7\.00"
    ):
        load_of_features(root, Window(0.0, 16, 10, 10.0, 7.0))


def test_a_video_shorter_than_one_feature(root):
    info = FeaturesInfo(**{**vars(INFO), 'stride_sec': 0.1, 'offset_sec': 1.0})
    with FeatureWriter(root, 'dense', info) as writer:
        writer.append('lab_test_0', np.ones((1, 2)))
    window = Window(0.0, 16, 8, 10.0, 0.8)  # a feature spans 2 s, the video 0.8 s
    found = WindowFeatures()(load_of_features(root, window, name='dense'))['feature']
    np.testing.assert_array_equal(found, np.ones((2, 8)))
    with pytest.raises(ValueError, match=r'2\.00 s long, but det\.json says 10\.00 s'):
        load_of_features(root, Window(0.0, 16, 10, 10.0, 10.0), name='dense')


def test_no_such_features(root):
    with pytest.raises(
        FileNotFoundError, match=r"use one of: .*tiny\. Did you .*'tiny'"
    ):
        load_of_features(root, Window(0.0, 16, 10, 10.0, 10.0), name='tinny')


def test_other_tables_are_told(root, tmp_path, monkeypatch):
    other = shutil.copytree(root, tmp_path / 'other')
    said = []
    monkeypatch.setattr(
        'mmma.datasets.transforms.windows.print_log', lambda text, *_: said.append(text)
    )
    window = Window(0.0, 16, 10, 10.0, 10.0)
    load_of_features(other, window)
    assert not said
    (other / 'det.json').write_text((other / 'det.json').read_text() + '\n')
    (other / 'features/tiny/det.npy').touch()  # opened anew
    load_of_features(other, window)
    load_of_features(other, window)
    assert len(said) == 1
    assert 'extracted with other tables' in said[0]


WINDOW = Window(1.5, positions=6, valid=4, rate=2.0, video_sec=3.5)


def pack(padding='repeat', **found):
    truth = {
        'gt_segments': np.array([[0, 1]], np.float32),
        'gt_labels': np.array([3], np.int64),
    }
    known = dict(video='v', index=2, domain='lab', subject='s', filename='v.mp4')
    return PackWindow(padding)({**known, **truth, 'window': WINDOW, **found})


def test_frames_are_repeated_past_the_end():
    imgs = np.arange(4, dtype=np.uint8).reshape(1, 1, 4, 1, 1).repeat(3, axis=1)
    inputs = pack(imgs=imgs)['inputs']
    assert inputs.shape == (3, 6, 1, 1)
    assert inputs.dtype == torch.uint8
    assert inputs[0, :, 0, 0].tolist() == [0, 1, 2, 3, 3, 3]


def test_joints_and_their_score():
    keypoint = np.random.default_rng(0).normal(size=(2, 4, 5, 2))
    score = np.ones((2, 4, 5))
    inputs = pack(keypoint=keypoint, keypoint_score=score)['inputs']
    assert inputs.shape == (2, 6, 5, 3)
    assert inputs.dtype == torch.float32
    assert torch.equal(inputs[:, 5], inputs[:, 3])
    assert pack(keypoint=keypoint)['inputs'].shape == (2, 6, 5, 2)


def test_features_end_in_zeros():
    inputs = pack('zero', feature=np.ones((7, 4), np.float32))['inputs']
    assert inputs.shape == (7, 6)
    assert inputs[0].tolist() == [1, 1, 1, 1, 0, 0]


def test_the_sample():
    sample = pack(feature=np.ones((7, 4)), broken='b', num_windows=3)['data_samples']
    assert sample.metainfo == {
        'video': 'v',
        'index': 2,
        'domain': 'lab',
        'subject': 's',
        'broken': 'b',
        'num_windows': 3,
        'window_start_sec': 1.5,
        'rate': 2.0,
        'positions': 6,
        'duration_sec': 3.5,
    }
    assert sample.valid == 4
    assert sample.gt_segments.tolist() == [[0, 1]]
    assert sample.gt_labels.tolist() == [3]


@pytest.mark.parametrize('steps', [3, 6])
def test_an_input_of_another_length(steps):
    with pytest.raises(ValueError, match=rf"'v': an input of {steps} steps.*of 4 pos"):
        pack(feature=np.ones((7, steps)))


def test_bad_padding():
    with pytest.raises(ValueError, match="unknown padding 'loop': use one of repeat"):
        PackWindow('loop')
