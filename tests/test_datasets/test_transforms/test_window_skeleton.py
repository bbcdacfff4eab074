"""Joints at the positions of a window."""

import numpy as np
import pytest

from mmma.datasets.transforms.skeleton import LoadSkeleton
from mmma.datasets.transforms.skeleton_features import SkeletonFeatures
from mmma.datasets.transforms.skeleton_normalize import NormalizeSkeleton
from mmma.datasets.transforms.window_skeleton import WindowSkeleton
from mmma.datasets.windows import Window
from mmma.layout.skeletons import SkeletonStore


def load(root, window, video='lab_test_0', mode='linear', **options):
    results = {'video': video, 'data_root': str(root), 'window': window}
    load = LoadSkeleton(layout=None, task='det', **options)
    return WindowSkeleton(mode)(load(results))


def x_of(results, joint=0):
    return results['keypoint'][0, :, joint, 0].tolist()


@pytest.mark.parametrize(
    ('start_sec', 'rate', 'mode', 'expected'),
    [
        (1.0, 5.0, 'linear', [10, 12, 14, 16]),  # the store has 10 frames per second
        (1.0, 10.0, 'linear', [10, 11, 12, 13]),
        (1.0, 20.0, 'linear', [10, 10.5, 11, 11.5]),
        (1.0, 40.0, 'nearest', [10, 10, 11, 11]),
        (0.05, 10.0, 'linear', [0.5, 1.5, 2.5, 3.5]),
        (9.8, 10.0, 'linear', [98, 99, 99, 99]),
    ],
)
def test_the_grid(det_root, start_sec, rate, mode, expected):
    window = Window(start_sec, 8, 4, rate, 10.0)
    results = load(det_root, window, mode=mode)
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


def test_persons_that_are_not_there(det_root):
    results = load(det_root, Window(0.0, 8, 4, 5.0, 10.0), num_person=2)
    assert results['keypoint'].shape == (2, 4, 3, 2)
    assert not results['keypoint_score'][1].any()


def test_a_store_of_another_length(det_root):
    with pytest.raises(
        ValueError, match=r"the skeleton of 'lab_test_0' is 10.00 s long.*12.00 s"
    ):
        load(det_root, Window(0.0, 8, 4, 5.0, 12.0))


def test_bad_mode():
    with pytest.raises(ValueError, match="unknown mode 'cubic': use one of linear"):
        WindowSkeleton('cubic')
