"""The one reader of video files: right times, the same frames from every library."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmma.packets import (
    BrokenVideoError,
    VideoIndex,
    broken_by_damage,
    index_video,
    open_container,
    video_stream,
)
from mmma.pictures import Upright
from mmma.taxonomy import check_choice


class VideoReader(ABC):
    """Frames of one video file, in the order in which a player shows them.

    Frames are upright, with square pixels, all in the size of the first: what the file
    asks for is applied (``mmma.pictures``). Use it in a ``with`` block, or call
    :meth:`close`: one reader per sample keeps memory small.
    """

    def __init__(self, path: str | os.PathLike[str], index: VideoIndex) -> None:
        self.path = str(path)
        self._index = index
        self.times_sec = index.times_sec
        """(T,) float64, when each frame appears, in seconds from the first one."""

    @property
    def num_frames(self) -> int:
        """T, the number of frames shown."""
        return len(self.times_sec)

    @property
    def duration_sec(self) -> float:
        """From the first frame's appearance to the last one's end."""
        return self._index.duration_sec

    @property
    def fps(self) -> float:
        """Mean frames per second."""
        return self.num_frames / self.duration_sec

    def get_frames(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Decode frames.

        Args:
            indices: (n,) frame numbers in any order; a number may come again.

        Returns:
            (n, H, W, 3) uint8 RGB.

        Raises:
            ValueError: There is no frame of that number.
            BrokenVideoError: A frame cannot be decoded.
        """
        wanted = np.asarray(indices, np.int64).reshape(-1)
        bad = wanted[(wanted < 0) | (wanted >= self.num_frames)]
        if len(bad):
            raise ValueError(
                f'{self.path}: no frame {bad[0]}; it has frames 0 to '
                f'{self.num_frames - 1}'
            )
        unique, places = np.unique(wanted, return_inverse=True)
        frames = self._decode(unique)
        in_order = len(unique) == len(wanted) and (places[:-1] < places[1:]).all()
        return frames if in_order else frames[places.reshape(-1)]

    @abstractmethod
    def close(self) -> None:
        """Free the decoder; the reader is of no use afterwards."""

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _decode(self, wanted: np.ndarray) -> np.ndarray:
        """Frames of ascending, distinct, existing numbers: (n, H, W, 3) uint8 RGB."""


class PyAVReader(VideoReader):
    """Reads any file that FFmpeg knows; decodes with one thread.

    Decoding starts at the last key frame before a wanted frame, and frames that no
    other frame refers to are left out unless they are wanted. The container is closed
    with the reader.
    """

    def __init__(
        self, path: str | os.PathLike[str], index: VideoIndex, container: Any
    ) -> None:
        super().__init__(path, index)
        self._upright: Upright | None = None
        self._container = container
        self._stream = video_stream(container)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _restart(self) -> None:
        self._container.close()
        self._container = open_container(self.path)
        self._stream = video_stream(self._container)

    def _look(self) -> Upright:
        """See by the first frame how all are shown."""
        if self._index.stamped:
            self._container.seek(int(self._index.key_dts[0]), stream=self._stream)
        else:
            self._restart()
        self._upright = Upright.of(self._container, self._stream)
        return self._upright

    def _decode(self, wanted: np.ndarray) -> np.ndarray:
        places = {int(number): i for i, number in enumerate(wanted)}
        missing = set(places)
        find = self._find_by_stamp if self._index.stamped else self._find_by_place
        with broken_by_damage(self.path):
            upright = self._upright or self._look()
            images = np.empty((len(wanted), *upright.size[::-1], 3), np.uint8)
            for number, frame in find(wanted, missing):
                images[places[number]] = upright(frame)
                missing.discard(number)
        if missing:
            reason = f'frame {min(missing)} of {self.num_frames} does not decode'
            raise BrokenVideoError(self.path, reason)
        return images

    def _find_by_stamp(
        self, wanted: np.ndarray, missing: set[int]
    ) -> Iterator[tuple[int, Any]]:
        """Numbers and frames; the caller takes what it got out of ``missing``."""
        index = self._index
        stamps = index.pts[wanted]
        keys = np.searchsorted(index.key_pts, stamps, side='right') - 1
        for key in np.unique(keys):
            chosen = keys == key
            pairs = zip(stamps[chosen].tolist(), wanted[chosen].tolist(), strict=True)
            self._container.seek(int(index.key_dts[max(key, 0)]), stream=self._stream)
            yield from self._find_next(dict(pairs))
        if missing:  # some containers do not seek exactly
            self._restart()
            yield from self._find_next({int(index.pts[i]): i for i in missing})

    def _find_next(self, numbers: dict[int, int]) -> Iterator[tuple[int, Any]]:
        """Decode on until the frames of the given stamps are found."""
        context = self._stream.codec_context
        for packet in self._container.demux(self._stream):
            # Exact: what is left out here is referred to by no other frame.
            context.skip_frame = 'DEFAULT' if packet.pts in numbers else 'NONREF'
            for frame in packet.decode():
                number = numbers.pop(frame.pts, None)
                if number is not None:
                    yield number, frame
            if not numbers:
                return

    def _find_by_place(
        self, wanted: np.ndarray, missing: set[int]
    ) -> Iterator[tuple[int, Any]]:
        """Decode from the start and count what comes out."""
        self._restart()
        for number, frame in enumerate(self._container.decode(self._stream)):
            if number in missing:
                yield number, frame
            if number >= wanted[-1]:
                return


class DecordReader(VideoReader):
    """Reads the files of ``VideoIndex.common``; decodes with one thread.

    PyAV reads what it cannot read on the way.

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

    def _decode(self, wanted: np.ndarray) -> np.ndarray:
        try:
            return self._reader.get_batch(wanted.tolist()).asnumpy()
        except self._error:  # PyAV knows: it reads the frames, or says what is wrong
            container = open_container(self.path)
            with PyAVReader(self.path, self._index, container) as other:
                return other.get_frames(wanted)


_MODULES = {'decord': 'decord', 'pyav': 'av'}
BACKENDS = tuple(_MODULES)


@functools.cache
def available_backends() -> tuple[str, ...]:
    """Backends whose library is installed; ``auto`` takes the first."""
    return tuple(b for b in BACKENDS if importlib.util.find_spec(_MODULES[b]))


def check_backend(backend: str) -> str:
    """Return the backend to use.

    Args:
        backend: ``auto`` or one of ``BACKENDS``.

    Raises:
        ValueError: An unknown backend, or one that is not installed.
    """
    check_choice('video backend', backend, ('auto', *BACKENDS))
    available = available_backends()
    if backend == 'auto':
        return available[0]
    if backend not in available:
        raise ValueError(
            f'video backend {backend!r} is not installed: use one of '
            f'{", ".join(available)}, or auto.'
        )
    return backend


def open_video(path: str | os.PathLike[str], backend: str = 'auto') -> VideoReader:
    """Open a video; frames and times are the same for both backends.

    PyAV reads the packets for both of them. It also decodes, whatever was asked for,
    where they do not prove that decord gives the same frames (open groups of
    pictures, several video streams, no duration, odd sizes with halved chroma, a few
    small widths, a size that may change, more than 8 bits, AV1, VP9, pictures that are
    turned, mirrored or of pixels that are not square, frames that an edit list hides,
    containers other than MP4 and Matroska), and where decord fails.

    Args:
        path: The file.
        backend: ``auto`` (decord where it is installed, else PyAV), ``decord``
            or ``pyav``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: An unknown backend, or one that is not installed.
        BrokenVideoError: The file cannot be read as video.
    """
    backend = check_backend(backend)
    index = index_video(path)
    if backend == 'decord' and index.common:
        try:
            return DecordReader(path, index)
        except BrokenVideoError:
            pass  # PyAV has read its packets
    return PyAVReader(path, index, open_container(path))


VIDEO_SUFFIXES = (
    '.mp4', '.avi', '.mkv', '.mov', '.webm', '.m4v', '.mts', '.m2ts', '.ts', '.mpg',
    '.mpeg', '.m2v', '.vob', '.mod', '.tod', '.wmv', '.asf', '.3gp', '.3g2', '.flv',
    '.f4v', '.ogv', '.mxf', '.dv', '.insv', '.lrv',
)  # fmt: skip
"""What files of phones, camcorders and laboratories are called, in small letters."""


@dataclass(frozen=True)
class VideoFacts:
    """Frames, frames per second and seconds; 0 where a header alone does not say."""

    frames: int
    fps: float
    duration: float


def probe_video(path: Path) -> VideoFacts:
    """Read a video's header.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Zero bytes, no video in it, or not readable.
    """
    with opened_video(path) as (_, stream):
        return _facts(stream, stream.frames)


def decode_video(path: Path) -> VideoFacts:
    """Decode all frames that data sets can ask for, and conceal no damage.

    Packets of frames that no player shows, as behind a cut, may be broken.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Zero bytes, no video in it, not readable, damaged, or fewer frames
            than its header announces.
    """
    import av

    with opened_video(path) as (container, stream):
        index = index_video(path)
        stamps = set(index.pts.tolist()) if index.stamped else None
        stream.codec_context.options = {'err_detect': 'explode'}
        decoded = damaged = 0
        for packet in container.demux(stream):
            shown = stamps is None or packet.pts in stamps
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                damaged += shown
                continue
            frames = [f for f in frames if stamps is None or f.pts in stamps]
            decoded += len(frames)
            damaged += sum(bool(frame.is_corrupt) for frame in frames)
        if damaged or decoded < len(index.pts):
            raise ValueError(
                f'truncated or damaged: {decoded} frames of {len(index.pts)} decode, '
                f'{damaged} errors'
            )
        return _facts(stream, decoded)


@contextmanager
def opened_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Container and first video stream; FFmpeg's errors as ValueError.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Zero bytes, no video in it, or not readable.
    """
    import av

    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file')
    try:
        with open_container(path) as container:
            yield container, video_stream(container)
    except BrokenVideoError as error:
        raise ValueError(error.reason) from None
    except (av.error.FFmpegError, IndexError) as error:
        reason = getattr(error, 'strerror', None) or type(error).__name__
        raise ValueError(f'not readable as video: {reason}') from None


def _facts(stream: Any, frames: int) -> VideoFacts:
    length = stream.duration or 0
    return VideoFacts(
        frames=frames,
        fps=float(stream.average_rate or 0),
        duration=float(length * stream.time_base) if length else 0.0,
    )
