"""Reading video files: right times, the same frames from every library."""

from mmma.datasets.video.errors import BrokenVideoError
from mmma.datasets.video.opening import BACKENDS, available_backends, open_video
from mmma.datasets.video.reader import VideoReader

__all__ = [
    'BACKENDS',
    'BrokenVideoError',
    'VideoReader',
    'available_backends',
    'open_video',
]
