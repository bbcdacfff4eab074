"""All frames of a video, one after another, without keeping them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmma.datasets.video.errors import BrokenVideoError
from mmma.datasets.video.index import (
    VideoIndex,
    damage_errors,
    damaged,
    open_container,
    read_index,
    video_stream,
)


@dataclass
class VideoFrames:
    """A video that is gone through once, decoded by one thread.

    The frames are those of ``mmma.datasets.video``: upright, those shown, in order.

    Args:
        path: The file.

    Attributes:
        fps: Mean frames per second.
        size: Width and height in pixels; (0, 0) before the first frame.

    Raises:
        FileNotFoundError: There is no such file.
        BrokenVideoError: It cannot be read as video; a frame that does not decode is
            found on the way.
    """

    path: Path
    size: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        with open_container(self.path) as container:
            self._index: VideoIndex = read_index(container)
        self.fps = len(self) / self._index.duration_sec

    def __len__(self) -> int:
        return len(self._index.pts)

    def __iter__(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB each."""
        from av.video.reformatter import VideoReformatter

        converter = VideoReformatter()
        found = 0
        try:
            with open_container(self.path) as container:
                for frame in self._shown(container):
                    found += 1
                    yield self._upright(frame, converter)
        except damage_errors() as error:
            raise damaged(str(self.path), error) from None
        if found < len(self):
            reason = f'{found} of {len(self)} frames decode'
            raise BrokenVideoError(self.path, reason)

    def _shown(self, container: Any) -> Iterator[Any]:
        """Decoded frames that the index has: by stamp, or the first ones."""
        stamps = set(self._index.pts.tolist()) if self._index.stamped else None
        left = len(self)
        for frame in container.decode(video_stream(container)):
            if stamps is None or frame.pts in stamps:
                yield frame
                left -= 1
            if not left:
                return

    def _upright(self, frame: Any, converter: Any) -> np.ndarray:
        image = converter.reformat(frame, format='rgb24').to_ndarray()
        turns = round(frame.rotation / 90)  # counter-clockwise
        image = np.ascontiguousarray(np.rot90(image, turns)) if turns else image
        size = (image.shape[1], image.shape[0])
        if self.size not in ((0, 0), size):
            raise BrokenVideoError(self.path, 'the picture changes its size')
        self.size = size
        return image
