import pytest

from mmma.media.extractors import (
    PoseOptions,
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
