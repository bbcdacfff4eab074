"""Frames through PyAV: the reference that the other backends agree with."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from mmma.datasets.video.errors import BrokenVideoError
from mmma.datasets.video.index import (
    VideoIndex,
    damage_errors,
    damaged,
    open_container,
    video_stream,
)
from mmma.datasets.video.reader import VideoReader


class PyAVReader(VideoReader):
    """Reads any file that FFmpeg knows; decodes with one thread.

    Decoding starts at the last key frame before a wanted frame, and frames that no
    other frame refers to are left out unless they are wanted.

    Args:
        path: The file.
        index: Its frames.
        container: The open file; closed with the reader.
    """

    def __init__(
        self, path: str | os.PathLike[str], index: VideoIndex, container: Any
    ) -> None:
        from av.video.reformatter import VideoReformatter

        super().__init__(path, index)
        self._converter = VideoReformatter()
        self._shape: tuple[int, int] | None = None
        self._container = container
        self._stream = video_stream(container)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _restart(self) -> None:
        self._container.close()
        self._container = open_container(self.path)
        self._stream = video_stream(self._container)

    def _size(self) -> tuple[int, int]:
        if self._shape is None:
            self._shape = self._decode(np.array([0])).shape[1:3]
        return self._shape

    def _decode(self, wanted: np.ndarray) -> np.ndarray:
        found = _Frames(self.path, wanted)
        try:
            if self._index.stamped:
                self._decode_by_stamp(wanted, found)
            else:
                self._decode_by_place(wanted, found)
        except damage_errors() as error:
            raise damaged(self.path, error) from None
        if found.missing:
            lost = min(found.missing)
            raise BrokenVideoError(
                self.path, f'frame {lost} of {self.num_frames} does not decode'
            )
        return found.images

    def _decode_by_stamp(self, wanted: np.ndarray, found: _Frames) -> None:
        index = self._index
        stamps = index.pts[wanted]
        keys = np.searchsorted(index.key_pts, stamps, side='right') - 1
        for key in np.unique(keys):
            chosen = keys == key
            numbers = dict(zip(stamps[chosen].tolist(), wanted[chosen], strict=True))
            self._container.seek(int(index.key_dts[max(key, 0)]), stream=self._stream)
            self._collect(numbers, found)
        if found.missing:  # some containers do not seek exactly
            self._restart()
            self._collect({int(index.pts[i]): i for i in found.missing}, found)

    def _collect(self, numbers: dict[int, int], found: _Frames) -> None:
        """Decode on until the frames of the given stamps are found."""
        context = self._stream.codec_context
        for packet in self._container.demux(self._stream):
            # Exact: what is left out here is referred to by no other frame.
            context.skip_frame = 'DEFAULT' if packet.pts in numbers else 'NONREF'
            for frame in packet.decode():
                number = numbers.pop(frame.pts, None)
                if number is not None:
                    found.put(int(number), self._convert(frame))
            if not numbers:
                return

    def _decode_by_place(self, wanted: np.ndarray, found: _Frames) -> None:
        """Decode from the start and count what comes out."""
        self._restart()
        for number, frame in enumerate(self._container.decode(self._stream)):
            if number in found.missing:
                found.put(number, self._convert(frame))
            if number >= wanted[-1]:
                return

    def _convert(self, frame: Any) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright."""
        image = self._converter.reformat(frame, format='rgb24').to_ndarray()
        turns = round(frame.rotation / 90)  # counter-clockwise
        return np.rot90(image, turns) if turns else image


class _Frames:
    """Frames as they are found, written in place."""

    def __init__(self, path: str, wanted: np.ndarray) -> None:
        self.path = path
        self.places = {int(number): i for i, number in enumerate(wanted)}
        self.missing = set(self.places)
        self.images = np.empty((0, 0, 0, 3), np.uint8)

    def put(self, number: int, image: np.ndarray) -> None:
        """Keep frame ``number``."""
        if not len(self.images):
            self.images = np.empty((len(self.places), *image.shape), np.uint8)
        if image.shape != self.images.shape[1:]:
            raise BrokenVideoError(self.path, 'the picture changes its size')
        self.images[self.places[number]] = image
        self.missing.discard(number)
