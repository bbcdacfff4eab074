"""The last step of a pipeline."""

import numpy as np

from mmma.datasets.transforms.pack import PackClip


def test_what_metrics_need_is_kept():
    known = {'clip': 'a', 'index': 4, 'domain': 'lab', 'subject': 's', 'body': 2}
    imgs = np.zeros((1, 3, 2, 8, 8), np.uint8)
    data = PackClip()({**known, 'imgs': imgs, 'label': 7, 'filename': 'a.mp4'})
    sample = data['data_samples']
    assert sample.metainfo == known
    assert sample.gt_label.tolist() == [7]
    assert data['inputs'].shape == imgs.shape


def test_a_replaced_clip_is_marked():
    data = PackClip()({'imgs': np.zeros((1, 3, 2, 8, 8)), 'broken': 'b'})
    assert data['data_samples'].broken == 'b'
