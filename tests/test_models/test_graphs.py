"""Graphs of joint trees."""

import numpy as np
import pytest
from mmaction.models.utils import Graph

from mmma.models.graphs import graph_layout


def test_graph_of_the_17_joints_is_mmactions_coco():
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
