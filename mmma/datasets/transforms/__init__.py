"""Steps of a data pipeline."""

from mmma.datasets.transforms import (
    augment,
    pack,
    skeleton,
    skeleton_features,
    skeleton_normalize,
    video,
)

__all__ = [
    'augment',
    'pack',
    'skeleton',
    'skeleton_features',
    'skeleton_normalize',
    'video',
]
