import copy
import pickle

import pytest
import torch

from mmma.structures.detections import Detections
from mmma.structures.samples import SegmentSample


def window():
    sample = SegmentSample(metainfo=dict(video='a', positions=8, window_start_sec=1.5))
    sample.gt_segments = [[0.0, 1.0], [0.5, 2.0]]
    sample.gt_labels = [3, 7]
    sample.valid = 6
    return sample


def test_fields_and_metainfo():
    sample = window()
    assert sample.gt_segments.dtype == torch.float32
    assert sample.gt_labels.dtype == torch.int64
    assert (sample.valid, sample.video, sample.window_start_sec) == (6, 'a', 1.5)
    assert set(sample.keys()) == {'gt_segments', 'gt_labels', 'valid'}
    sample.gt_segments, sample.gt_labels = [], []
    assert sample.gt_segments.shape == (0, 2)
    assert sample.gt_labels.shape == (0,)


@pytest.mark.parametrize(
    'copied',
    [
        copy.deepcopy,
        lambda sample: pickle.loads(pickle.dumps(sample)),
        lambda sample: sample.to('cpu'),
    ],
    ids=['copy', 'pickle', 'device'],
)
def test_samples_travel(copied):
    sample = window()
    sample.pred = Detections([[0, 1]], [0.5], [3])
    other = copied(sample)
    assert other.pred.labels.tolist() == [3]
    assert torch.equal(other.gt_segments, sample.gt_segments)
    assert other.valid == 6


def test_fields_can_be_removed():
    sample = window()
    sample.pred = Detections.empty()
    del sample.gt_segments, sample.gt_labels, sample.valid, sample.pred
    assert list(sample.keys()) == []


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('gt_segments', [0.0, 1.0], r'gt_segments of shape \(2,\): give \(G, 2\)'),
        ('gt_labels', [[1]], r'gt_labels of shape \(1, 1\) and type torch.int64'),
        ('gt_labels', [1.5], r'gt_labels of shape \(1,\) and type torch.float32'),
        ('valid', 9, 'valid 9: use a number from 0 to 8'),
        ('valid', -1, 'valid -1: use a number from 0'),
    ],
)
def test_bad_fields_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        setattr(window(), name, value)
