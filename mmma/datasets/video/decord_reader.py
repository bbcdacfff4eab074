"""Frames through decord."""

from __future__ import annotations

import os
import re

import numpy as np

from mmma.datasets.video.errors import BrokenVideoError
from mmma.datasets.video.index import VideoIndex
from mmma.datasets.video.reader import VideoReader


class DecordReader(VideoReader):
    """Reads the files of ``VideoIndex.common``; decodes with one thread.

    Args:
        path: The file.
        index: Its frames.

    Raises:
        BrokenVideoError: decord cannot open the file.
    """

    def __init__(self, path: str | os.PathLike[str], index: VideoIndex) -> None:
        import decord

        super().__init__(path, index)
        decord.logging.set_level(decord.logging.QUIET)
        self._error = (decord.DECORDError, RuntimeError)
        try:
            self._reader = decord.VideoReader(self.path, num_threads=1)
        except self._error as error:
            raise self._broken(error) from None

    def close(self) -> None:
        """Free the decoder and its queue of frames."""
        self._reader = None

    def _broken(self, error: Exception) -> BrokenVideoError:
        first = str(error).strip().split('\n')[0]
        reason = re.sub(r'\[[\d:]+\] \S+:\d+: ', '', first)  # lines of its own code
        return BrokenVideoError(self.path, f'decord: {reason}')

    def _size(self) -> tuple[int, int]:
        return self._decode(np.array([0])).shape[1:3]

    def _decode(self, wanted: np.ndarray) -> np.ndarray:
        try:
            return self._reader.get_batch(wanted.tolist()).asnumpy()
        except self._error as error:
            raise self._broken(error) from None
