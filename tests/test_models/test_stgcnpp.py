"""ST-GCN++ on joint layouts."""

import numpy as np
import pytest
import torch

from mmma.models.backbones.stgcn import SkeletonSTGCN
from mmma.models.graphs import graph_layout
from mmma.registry import MODELS

PLUS = dict(gcn_adaptive='init', gcn_with_res=True, tcn_type='mstcn')
TINY = dict(base_channels=12, num_stages=3, inflate_stages=[2], down_stages=[3])


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_graph_of_the_17_joints_is_mmactions_coco():
    from mmaction.models.utils import Graph

    ours = Graph(layout=graph_layout('wholebody65', 'body17'), mode='spatial')
    np.testing.assert_array_equal(ours.A, Graph(layout='coco', mode='spatial').A)


def test_graph_of_a_subset_skips_joints_left_out():
    joints = ['left_elbow', 'left_thumb4', 'left_wrist', 'nose']
    graph = graph_layout('wholebody65', joints)
    assert graph == dict(num_node=4, inward=[(0, 3), (1, 2), (2, 0)], center=3)


def test_graph_of_another_layout():
    layout = dict(names=['a', 'b', 'c'], limbs=[['a', 'b'], ['c', 'b']])
    graph = graph_layout(layout)
    assert graph == dict(num_node=3, inward=[(1, 0), (2, 1)], center=0)


@pytest.mark.parametrize(
    ('layout', 'message'),
    [
        ('coco17', 'unknown joint layout'),
        (dict(name=['a']), "unknown field 'name'.*Did you mean 'names'"),
        (dict(limbs=[]), 'no names'),
    ],
)
def test_layouts_refused(layout, message):
    with pytest.raises(ValueError, match=message):
        graph_layout(layout)


def test_same_weights_same_output_as_mmaction():
    torch.manual_seed(0)
    ours = SkeletonSTGCN(joints='body17', in_channels=3, **PLUS, **TINY)
    stock = MODELS.build(
        dict(
            type='STGCN',
            graph_cfg=dict(layout='coco', mode='spatial'),
            in_channels=3,
            **PLUS,
            **TINY,
        )
    )
    stock.load_state_dict(ours.state_dict())
    inputs = torch.randn(2, 1, 8, 17, 3)
    torch.testing.assert_close(ours(inputs), stock(inputs))


def test_published_size():
    """1.39 M parameters, PYSKL's ST-GCN++ on NTU60 with 2D skeletons."""
    model = SkeletonSTGCN(joints='body17', **PLUS)
    assert count(model) / 1e6 == pytest.approx(1.38, abs=0.02)


def test_shape_at_any_layout():
    model = SkeletonSTGCN(in_channels=4, **PLUS, **TINY)
    assert model(torch.randn(2, 1, 9, 65, 4)).shape == (2, 1, 24, 5, 65)
