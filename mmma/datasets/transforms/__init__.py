"""Steps of a data pipeline."""

from mmma.datasets.transforms import augment, rgb, skeleton, windows

__all__ = ['augment', 'rgb', 'skeleton', 'windows']
