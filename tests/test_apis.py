"""Names for notebooks."""

import pytest

from mmma.apis import build_dataset, load_config


def test_a_data_set_of_a_config(video_root):
    name = 'recog/gctsm-tiny_mma82_indomain.py'
    cfg = load_config(name, data_root=str(video_root))
    for subset in ('train', 'val', 'test'):
        dataset = build_dataset(cfg, subset)
        assert len(dataset)
        assert set(dataset[0]) == {'inputs', 'data_samples'}
    with pytest.raises(ValueError, match="unknown subset 'tset'"):
        build_dataset(cfg, 'tset')
