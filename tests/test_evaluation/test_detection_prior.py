import numpy as np
import pytest

from mmma.evaluation.detection_prior import prior_detections
from mmma.evaluation.detection_truth import DetectionTruth
from mmma.layout.det import Instance, Video


def truth(*instances):
    entry = ('v', '', 'train', 'lab', 's', 10.0, 200, 20.0)
    return DetectionTruth.from_videos([Video(*entry, instances, withheld=False)])


TRAIN = truth(Instance(0, 2, 5), Instance(4, 8, 5), Instance(9, 10, 7))


def test_frequency_mean_length_and_places():
    found = prior_detections(TRAIN, {'a': 7.0})['a']
    often = found.select(found.labels == 5)
    np.testing.assert_allclose(often.segments_sec, [[0, 3], [2, 5], [4, 7]])
    np.testing.assert_allclose(often.scores, 2 / 3)
    assert found.segments_sec[found.labels == 7][:, 0].tolist() == list(range(7))
    assert set(found.labels) == {5, 7}


def test_overlap_gives_more_and_short_videos_one():
    lengths = [
        len(prior_detections(truth(Instance(0, 2, 1)), {'a': 9.0}, overlap)['a'])
        for overlap in (0, 0.5)
    ]
    assert lengths == [5, 8]
    found = prior_detections(TRAIN, {'a': 0.5})['a']
    assert found.segments_sec.tolist() == [[0, 0.5]] * 2


@pytest.mark.parametrize(
    ('train', 'overlap', 'text'),
    [
        (truth(), 0, 'no instance in the training videos'),
        (TRAIN, 1, 'overlap 1: use a share from 0'),
    ],
)
def test_what_cannot_be_a_prior(train, overlap, text):
    with pytest.raises(ValueError, match=text):
        prior_detections(train, {'a': 1.0}, overlap)
