"""Steps of a data pipeline."""

from mmma.datasets.transforms import (
    augment,
    features,
    heatmap,
    pack,
    skeleton,
    skeleton_compact,
    skeleton_features,
    skeleton_normalize,
    video,
    window_frames,
    window_pack,
    window_skeleton,
)

__all__ = [
    'augment',
    'features',
    'heatmap',
    'pack',
    'skeleton',
    'skeleton_compact',
    'skeleton_features',
    'skeleton_normalize',
    'video',
    'window_frames',
    'window_pack',
    'window_skeleton',
]
