import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmma.engine.seeding import SeedHook, seed_everything


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def drawn_at(hook, iteration):
    hook.before_train_iter(SimpleNamespace(seed=3, iter=iteration), 0)
    return draw()


def test_draws_depend_on_the_iteration_alone():
    first = drawn_at(SeedHook(), 7)
    draw()
    assert drawn_at(SeedHook(), 8) != first
    assert drawn_at(SeedHook(), 7) == first
    assert drawn_at(SeedHook(seed=4), 7) != first


def test_ranks_draw_differently(monkeypatch):
    first = drawn_at(SeedHook(), 7)
    monkeypatch.setattr('mmma.engine.seeding.get_rank', lambda: 1)
    assert drawn_at(SeedHook(), 7) != first


@pytest.mark.parametrize(
    ('left', 'right'), [((0, 1), (1, 0)), ((0,), (0, 0)), ((2**40,), (0,))]
)
def test_every_generator_follows_the_keys(left, right):
    seed_everything(*left)
    first = draw()
    seed_everything(*right)
    assert all(a != b for a, b in zip(first, draw(), strict=True))
    seed_everything(*left)
    assert draw() == first
