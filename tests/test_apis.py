"""Names for notebooks."""

import pytest

import mmma


def test_a_data_set_of_a_config(video_root):
    name = 'recog/gctsm-tiny_mma82_indomain.py'
    cfg = mmma.load_config(name, data_root=str(video_root))
    for subset in ('train', 'val', 'test'):
        dataset = mmma.build_dataset(cfg, subset)
        assert len(dataset)
        assert set(dataset[0]) == {'inputs', 'data_samples'}
    with pytest.raises(ValueError, match="unknown subset 'tset'"):
        mmma.build_dataset(cfg, 'tset')


def test_names_of_the_package_are_those_for_notebooks(video_root):
    assert mmma.read_root(video_root).has_rec
    assert {'load_config', 'build_dataset', 'recognize', 'detect'} <= set(dir(mmma))
    assert all(callable(getattr(mmma, name)) for name in mmma._NAMES)
    with pytest.raises(AttributeError, match="no attribute 'recognise'"):
        _ = mmma.recognise
