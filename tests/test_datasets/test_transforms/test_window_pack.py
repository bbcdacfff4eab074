"""The last step of a detection pipeline."""

import numpy as np
import pytest
import torch

from mmma.datasets.transforms.window_pack import PackWindow
from mmma.datasets.windows import Window

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


def test_several_frames_per_position():
    inputs = pack(imgs=np.zeros((1, 3, 8, 2, 2), np.uint8))['inputs']
    assert inputs.shape == (3, 12, 2, 2)


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
    assert repr(PackWindow('zero')) == "PackWindow(padding='zero')"
