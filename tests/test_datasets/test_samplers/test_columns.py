"""Domains, labels and weights of samples."""

import numpy as np
import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset

from mmma.datasets import clip_dataset
from mmma.datasets.samplers.columns import (
    class_weights,
    domain_shares,
    read_domains,
    read_labels,
)


class Listed(list):
    """Samples with metainfo."""

    def __init__(self, size=4, **metainfo):
        super().__init__(range(size))
        self.metainfo = metainfo

    def full_init(self):
        self.ready = True


def test_labels_are_one_per_clip_or_several_per_video():
    assert read_labels(Listed(labels=[2, np.int64(0), 1, 2])) == [
        (2,),
        (0,),
        (1,),
        (2,),
    ]
    videos = Listed(labels=[[3, 1, 3], [], (2,), np.array([5, 4])])
    assert read_labels(videos) == [(1, 3), (), (2,), (4, 5)]


def test_a_lazy_data_set_is_read_first(video_root):
    dataset = clip_dataset.ClipDataset(video_root, 'train', [], lazy_init=True)
    domains = read_domains(dataset)
    assert len(domains) == len(dataset) == len(read_labels(dataset))
    assert set(domains) == {'lab', 'psychiatric', 'street', 'emotion'}


@pytest.mark.parametrize('dataset', [[1, 2], Listed(labels=[0])])
def test_a_data_set_that_lists_nothing(dataset):
    with pytest.raises(ValueError, match=r"has no metainfo\['domains'\].*EpochSampler"):
        read_domains(dataset)


@pytest.mark.parametrize('wrap', [lambda d: RepeatDataset(d, 3), ConcatDataset])
def test_wrappers_are_refused(video_root, wrap):
    def inner():
        return clip_dataset.ClipDataset(video_root, 'train', [])

    dataset = wrap([inner(), inner()] if wrap is ConcatDataset else inner())
    message = rf'{type(dataset).__name__} has \d+ samples.*`train_cfg.max_epochs`'
    with pytest.raises(ValueError, match=message):
        read_labels(dataset)


@pytest.mark.parametrize('labels', [[0, 1, -1, -1], [[0], [1], [-1, 2], [-1]]])
def test_withheld_labels_are_refused(labels):
    with pytest.raises(ValueError, match=r'2 of 4 samples have no label .* number 2'):
        read_labels(Listed(labels=labels))


def test_weights_of_clips():
    classes, weights = class_weights([(0,), (0,), (0,), (0,), (1,)], power=0.5)
    assert classes == [0, 0, 0, 0, 1]
    assert weights.tolist() == [0.5, 0.5, 0.5, 0.5, 1]


def test_the_rarest_class_of_a_video_counts():
    videos = [(0, 1), (0,), (0, 2), (), (2,), (0,)]  # classes of 4, 1 and 2 videos
    classes, weights = class_weights(videos, power=1)
    assert classes == [1, 0, 2, -1, 2, 0]
    assert weights.tolist() == [1, 1 / 4, 1 / 2, 1 / 4, 1 / 2, 1 / 4]


def test_videos_without_any_instance_weigh_the_same():
    assert class_weights([(), ()], power=1)[1].tolist() == [1, 1]


@pytest.mark.parametrize(
    ('power', 'shares', 'lab'),
    [
        (0, None, 0.8),
        (0.5, None, 2 / 3),
        (1, None, 0.5),
        (1, {'lab': 3, 'street': 1}, 0.75),
        (1, {'lab': 0, 'street': 0.2}, 0),
    ],
)
def test_domain_shares(power, shares, lab):
    found = domain_shares(['lab'] * 4 + ['street'], power, shares)
    assert found == pytest.approx({'lab': lab, 'street': 1 - lab})


@pytest.mark.parametrize(
    ('shares', 'message'),
    [
        ({'lab': 1, 'stret': 1}, "no sample is of domain 'stret'.*mean 'street'"),
        ({'lab': 1, 'street': 1, 'emotion': 1}, 'no sample .*--domain all'),
        ({'lab': 1}, 'shares: none for street: give one to each of lab, street'),
        ({'lab': 0, 'street': 0}, 'shares: all are 0'),
        ({'lab': -1, 'street': 1}, 'shares: lab=-1: use a number from 0'),
        ({'lab': '1', 'street': 1}, "shares: lab='1': use a number"),
        ([0.5, 0.5], r'write dict\(lab=0.4, street=0.6\)'),
    ],
)
def test_shares_that_do_not_fit(shares, message):
    with pytest.raises(ValueError, match=message):
        domain_shares(['lab', 'street'], 1, shares)
