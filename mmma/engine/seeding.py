"""Randomness in the main process as a function of the iteration."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mmma.registry import HOOKS


@HOOKS.register_module()
class SeedHook(Hook):
    """Seed python, numpy and torch before every training iteration.

    What is drawn outside the data loader (drop path, mixing of clips) then depends on
    the seed, the rank and the iteration alone, so that a resumed run draws the same.

    Args:
        seed: None takes the runner's.
    """

    priority = 'VERY_HIGH'

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Seed from the seed, the rank and the iteration."""
        seed = runner.seed if self.seed is None else self.seed
        seed_everything(seed, get_rank(), runner.iter)


def seed_everything(*keys: int) -> None:
    """Seed python, numpy and torch (every device) from whole numbers from 0."""
    # The length tells (0,) from (0, 0), which are one to SeedSequence.
    words = np.random.SeedSequence((len(keys), *keys)).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]) << 31 ^ int(words[3]))
