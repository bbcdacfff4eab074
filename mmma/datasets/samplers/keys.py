"""What a sampler hands to a data set."""

from __future__ import annotations

from typing import NamedTuple


class SampleKey(NamedTuple):
    """One sample of one epoch; everything random about it is a function of this.

    Attributes:
        seed: Of the run.
        epoch: Number of the epoch, from 0.
        index: Place in the data set.
        repeat: How often the index has come before in the same epoch, for samplers
            that draw with replacement.
    """

    seed: int
    epoch: int
    index: int
    repeat: int = 0


def as_key(key: SampleKey | int) -> SampleKey:
    """A plain index stands for seed 0 and epoch 0."""
    return key if isinstance(key, SampleKey) else SampleKey(0, 0, int(key))
