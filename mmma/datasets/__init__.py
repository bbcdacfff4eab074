"""Datasets, samplers and transforms; importing this package registers them."""

from mmma.datasets.transforms import augment  # noqa: F401
