"""Randomness of a sample."""

import random

import numpy as np
import pytest
import torch

from mmma.datasets.samplers.keys import SampleKey
from mmma.datasets.seeding import sample_rng


def draw():
    return random.random(), np.random.rand(), torch.rand(()).item()


def drawn_with(*key):
    with sample_rng(SampleKey(*key)):
        return draw()


def test_a_key_decides_and_each_part_of_it_counts():
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0, 1)]
    draws = [drawn_with(*key) for key in keys]
    assert draws == [drawn_with(*key) for key in keys]
    for column in zip(*draws, strict=True):
        assert len(set(column)) == len(keys)


def test_global_generators_go_on_as_if_nothing_had_been():
    def seed():
        random.seed(3)
        np.random.seed(3)
        torch.manual_seed(3)

    seed()
    undisturbed = draw()
    seed()
    drawn_with(1, 2, 3)
    assert draw() == undisturbed
    seed()
    with pytest.raises(ZeroDivisionError), sample_rng(SampleKey(1, 2, 3)):
        random.random() / 0
    assert draw() == undisturbed
