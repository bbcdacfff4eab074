"""Frames through OpenCV."""

from __future__ import annotations

import os

import numpy as np

from mmma.datasets.video.errors import BrokenVideoError
from mmma.datasets.video.index import VideoIndex
from mmma.datasets.video.reader import VideoReader


class OpenCVReader(VideoReader):
    """Reads the files of ``VideoIndex.common``, from the start and without seeking.

    Args:
        path: The file.
        index: Its frames.
    """

    def __init__(self, path: str | os.PathLike[str], index: VideoIndex) -> None:
        super().__init__(path, index)
        self._open()

    def _open(self) -> None:
        import cv2

        one_thread = [cv2.CAP_PROP_N_THREADS, 1]
        self._capture = cv2.VideoCapture(self.path, cv2.CAP_FFMPEG, one_thread)
        self._next = 0

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _size(self) -> tuple[int, int]:
        import cv2

        height = self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        return int(height), int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))

    def _decode(self, wanted: np.ndarray) -> np.ndarray:
        if wanted[0] < self._next:
            self.close()
            self._open()
        height, width = self._size()
        frames = np.empty((len(wanted), height, width, 3), np.uint8)
        for place, number in enumerate(wanted.tolist()):
            frames[place] = self._read(number)
        return frames

    def _read(self, number: int) -> np.ndarray:
        """Frame ``number``, (H, W, 3) uint8 RGB; it lies ahead."""
        whole = True
        while self._next <= number and whole:
            whole = self._capture.grab()
            self._next += 1
        whole, image = self._capture.retrieve() if whole else (False, None)
        if not whole:
            raise BrokenVideoError(
                self.path, f'frame {number} of {self.num_frames} does not decode'
            )
        return image[..., ::-1]
