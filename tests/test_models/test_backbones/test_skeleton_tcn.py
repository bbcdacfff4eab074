"""Temporal convolutions over skeletons."""

import pytest
import torch

from mmma.models.backbones.skeleton_tcn import SkeletonTCN


def test_shape_keeps_persons_and_leaves_one_joint():
    model = SkeletonTCN(joints='body17', in_channels=4, channels=(8, 12, 16))
    assert model(torch.randn(2, 3, 20, 17, 4)).shape == (2, 3, 16, 5, 1)


def test_persons_do_not_mix():
    model = SkeletonTCN(joints='body17', channels=(8, 8)).eval()
    x = torch.randn(1, 2, 8, 17, 3)
    torch.testing.assert_close(model(x)[:, 1:], model(x[:, 1:]))


def test_a_stem_alone_is_refused():
    with pytest.raises(
        ValueError, match=r'channels \[8\]: use a stem and at least one'
    ):
        SkeletonTCN(channels=(8,))


def test_strides_keep_time_for_detection():
    model = SkeletonTCN(channels=(8, 8, 8, 8), strides=(1, 2, 1)).eval()
    assert model(torch.rand(2, 1, 16, 65, 3)).shape == (2, 1, 8, 8, 1)
    with pytest.raises(ValueError, match='2 strides for 3 blocks'):
        SkeletonTCN(channels=(8, 8, 8, 8), strides=(1, 2))
