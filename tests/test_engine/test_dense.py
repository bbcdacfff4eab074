import pytest

from mmma.engine.dense import DenseWindows, clip_length


def test_windows_cover_a_video_at_constant_steps():
    windows = DenseWindows(positions=4, rate=2.0).tile(4.6)
    assert [(w.start_sec, w.valid) for w in windows] == [(0, 4), (2, 4), (4, 2)]
    windows = DenseWindows(positions=4, rate=2.0, stride=1).tile(2.6)
    assert [(w.start_sec, w.valid) for w in windows] == [(0, 4), (0.5, 4), (1, 4)]
    assert [w.valid for w in DenseWindows(positions=4, rate=2.0).tile(0.5)] == [1]


def test_a_recipe_for_skeletons():
    with pytest.raises(ValueError, match='need a recipe for RGB whose test pipeline'):
        clip_length([dict(type='LoadSkeleton'), dict(type='PackClip')])
