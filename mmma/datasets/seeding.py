"""Randomness of a sample: global generators, seeded for a while, then put back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from mmma.datasets.samplers.keys import SampleKey


@contextmanager
def sample_rng(key: SampleKey) -> Iterator[None]:
    """Seed Python's, numpy's and torch's global CPU generators from a key.

    Transforms of any package use these, so that what they do depends on the key alone:
    not on workers, world size or resuming. The states found are put back.

    Args:
        key: The sample.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(list(key)).generate_state(4)
    try:
        random.seed(int(words[0]) << 32 | int(words[1]))
        np.random.seed(words[1:3])
        # Not torch.manual_seed: it would reseed the GPUs as well.
        torch.default_generator.manual_seed(int(words[2]) << 32 | int(words[3]))
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
