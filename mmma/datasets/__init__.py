"""Datasets, samplers and transforms; importing this package registers them."""

from mmma import registry  # repairs MMAction2 before a module below imports it
from mmma.datasets import clip_dataset, samplers, transforms, untrimmed_dataset, video

__all__ = [
    'clip_dataset',
    'registry',
    'samplers',
    'transforms',
    'untrimmed_dataset',
    'video',
]
