import numpy as np
import pytest

from mmma.data.arrays import SkeletonStore, SkeletonWriter
from mmma.data.joints import WHOLEBODY65
from mmma.media.extractors import (
    JOINTS,
    PoseOptions,
    Rates,
    build_extractor,
    describe_extractor,
)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'backend': 'mediapip'}, "Did you mean 'mediapipe'"),
        ({'backend': 'mediapipe', 'persons': 0}, '--persons 0: must be 1 or more'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        PoseOptions(**options)


def test_a_backend_is_found_by_name(monkeypatch):
    from pose_backends import FakeExtractor, use_fake

    use_fake(monkeypatch)
    options = PoseOptions('mediapipe', persons=2)
    assert describe_extractor(options) == 'fake 1 persons=2 smooth=False'
    assert isinstance(build_extractor(options), FakeExtractor)


def test_rates_by_hand(tmp_path):
    scores = np.zeros((2, 4, 65))
    scores[0, :3, JOINTS['nose']] = 1
    scores[1, 3, JOINTS['nose']] = 1  # the other person
    scores[0, 1, JOINTS['left_thumb4']] = 1
    scores[0, :, JOINTS['left_heel']] = 1  # feet are no body
    with SkeletonWriter(tmp_path, 'rec', WHOLEBODY65, 2) as writer:
        writer.append('a', np.ones((2, 4, 65, 2)), scores, 30, 8, 8)
        writer.append('b', np.ones((1, 1, 65, 2)), np.zeros((1, 1, 65)), 30, 8, 8)
    rates = Rates.of(SkeletonStore(tmp_path, 'rec'))
    expected = {'body': 4 / 5, 'left hand': 1 / 5, 'right hand': 0}
    assert rates.shares() == pytest.approx(expected)
    assert (rates.frames, rates.without_body) == (5, 1)
