"""Datasets, samplers and transforms; importing this package registers them."""

from mmma import registry  # repairs MMAction2 before a module below imports it
from mmma.datasets import clips, samplers, transforms, windows

__all__ = ['clips', 'registry', 'samplers', 'transforms', 'windows']
