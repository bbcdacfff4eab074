"""The one reader of video files: right times, the same frames from every library."""

import contextlib
import functools
import importlib.util
import os
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmma.foreign import first_line
from mmma.packets import (
    BrokenVideoError,
    VideoIndex,
    broken_by_damage,
    decode_all,
    index_video,
    open_container,
    video_stream,
)
from mmma.pictures import Upright
from mmma.taxonomy import check_choice

_MODULES = {'pyav': 'av', 'decord': 'decord'}
BACKENDS = tuple(_MODULES)
VIDEO_SUFFIXES = (
    '.mp4', '.avi', '.mkv', '.mov', '.webm', '.m4v', '.mts', '.m2ts', '.ts', '.mpg',
    '.mpeg', '.m2v', '.vob', '.mod', '.tod', '.wmv', '.asf', '.3gp', '.3g2', '.flv',
    '.f4v', '.ogv', '.mxf', '.dv', '.insv', '.lrv',
)  # fmt: skip
"""What files of phones, camcorders and laboratories are called, in small letters."""


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
        self.shared: dict[int, np.ndarray] = {}
        """Frames by number that whoever reads on has already."""

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

    @property
    def width(self) -> int:
        """Pixels of a frame as it is shown, from left to right."""
        return self._shape[1]

    @property
    def height(self) -> int:
        """Pixels of a frame as it is shown, from top to bottom."""
        return self._shape[0]

    @functools.cached_property
    def _shape(self) -> tuple[int, ...]:
        return self.get_frames([0]).shape[1:]

    def get_frames(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Decode (n,) frames, in any order and again, to (n, H, W, 3) uint8 RGB.

        Raises ValueError where there is none of a number, BrokenVideoError of damage.
        """
        found = self.list_frames(indices)
        return np.stack(found) if found else np.empty((0, *self._shape), np.uint8)

    def list_frames(self, indices: Sequence[int] | np.ndarray) -> list[np.ndarray]:
        """The same as n arrays (H, W, 3), which spares a copy of all of them."""
        wanted = np.asarray(indices, np.int64).reshape(-1)
        bad = wanted[(wanted < 0) | (wanted >= self.num_frames)]
        if len(bad):
            raise ValueError(
                f'{self.path}: no frame {bad[0]}; it has frames 0 to '
                f'{self.num_frames - 1}'
            )
        unique, places = np.unique(wanted, return_inverse=True)
        frames, rows = self._decode(unique), places.reshape(-1).tolist()
        # One that is asked for again is an array of its own: transforms work in place.
        last = {row: place for place, row in enumerate(rows)}
        return [
            frames[row] if last[row] == place else frames[row].copy()
            for place, row in enumerate(rows)
        ]

    @abstractmethod
    def close(self) -> None:
        """Free the decoder; the reader is of no use afterwards."""

    def __enter__(self) -> 'VideoReader':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _decode(self, wanted: np.ndarray) -> Sequence[np.ndarray]:
        """Frames of ascending, distinct, existing numbers: (H, W, 3) uint8 RGB."""


class PyAVReader(VideoReader):
    """Reads any file that FFmpeg knows; decodes with one thread.

    Decoding starts at the last key frame before a wanted frame, and frames that no
    other frame refers to are left out unless they are wanted.
    """

    def __init__(self, path: str | os.PathLike[str], index: VideoIndex) -> None:
        super().__init__(path, index)
        self._container = open_container(self.path)
        self._stream = video_stream(self._container)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def _start(self, key: int | None = None) -> None:
        """Go to a key frame, or to the start."""
        import av

        with contextlib.suppress(av.error.PermissionError):  # it cannot be searched
            if key is not None:
                dts = int(self._index.key_dts[key])
                return self._container.seek(dts, stream=self._stream)
        self._container.close()
        self._container = open_container(self.path)
        self._stream = video_stream(self._container)

    @functools.cached_property
    def upright(self) -> Upright:
        """How all frames are shown: as the first one asks for."""
        with broken_by_damage(self.path):
            self._start(0 if self._index.stamped else None)
            frame = next(decode_all(self._container, self._stream))
        return Upright(self._stream, frame)

    def walk(self, first: int = 0, stop: int | None = None) -> Iterator[Any]:
        """Frames from ``first`` on, below ``stop``, as FFmpeg gives them.

        One that does not decode raises BrokenVideoError.
        """
        stop = self.num_frames if stop is None else stop
        return self.walk_over(np.arange(first, stop))

    def _decode(self, wanted: np.ndarray) -> Sequence[np.ndarray]:
        return [self.upright(frame) for frame in self.walk_over(wanted)]

    def walk_over(self, wanted: np.ndarray) -> Iterator[Any]:
        """Frames of ascending numbers, as :meth:`walk` gives them."""
        find = self._find_by_stamp if self._index.stamped else self._find_by_place
        done, reason = 0, ''
        try:
            with broken_by_damage(self.path):
                _ = self._index.common or self.upright  # it seeks
                for number, frame in find(wanted) if len(wanted) else ():
                    if number != wanted[done]:
                        break
                    if 'upright' not in vars(self):  # all frames are alike
                        self.upright = Upright(self._stream, frame)
                    if frame.is_corrupt:
                        text = 'damaged frames are shown as the decoder mends them'
                        warnings.warn(f'{self.path}: {text}', stacklevel=2)
                    yield frame
                    done += 1
        except BrokenVideoError as error:
            reason = f': {error.reason}'
        if done < len(wanted):
            told = f'frame {wanted[done]} of {self.num_frames} does not decode'
            raise BrokenVideoError(self.path, told + reason)

    def _find_by_stamp(self, wanted: np.ndarray) -> Iterator[tuple[int, Any]]:
        index = self._index
        stamps = index.pts[wanted]
        keys = np.searchsorted(index.key_pts, stamps, side='right') - 1
        keys = np.maximum(keys, 0)
        # Decoding goes on into the next group sooner than a seek finds it.
        ahead = np.diff(keys, prepend=keys[0]) > 1
        keys = keys[np.maximum.accumulate(np.where(ahead, np.arange(len(keys)), 0))]
        for key in np.unique(keys):
            chosen = keys == key
            pairs = zip(stamps[chosen].tolist(), wanted[chosen].tolist(), strict=True)
            numbers = dict(pairs)
            lowest = wanted[chosen][0]
            # Earlier ones, at last the start: some containers do not seek exactly, and
            # behind some key frames it takes a while until pictures are whole.
            for back in (0, *(1 << i for i in range(int(key).bit_length())), None):
                found = self._find_from(back if back is None else key - back, numbers)
                number, frame = next(found, (None, None))
                if number == lowest or back is None:
                    break
            if number is not None:
                yield number, frame
                yield from found

    def _find_from(
        self, key: int | None, numbers: dict[int, int]
    ) -> Iterator[tuple[int, Any]]:
        """Decode from a key frame on until frames of the given stamps are found."""
        import av

        self._start(key)
        context, last = self._stream.codec_context, max(numbers)
        start = self._index.key_pts[key or 0]
        for packet in self._container.demux(self._stream):
            # Exact: what is left out here is referred to by no other frame.
            context.skip_frame = 'DEFAULT' if packet.pts in numbers else 'NONREF'
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                if packet.pts is None or (
                    packet.pts >= start and packet.pts in self._index.pts
                ):
                    raise
                continue  # shown by nobody, as behind a cut
            for frame in frames:
                if frame.pts in numbers:
                    yield numbers[frame.pts], frame
                if frame.pts is not None and frame.pts >= last:
                    return

    def _find_by_place(self, wanted: np.ndarray) -> Iterator[tuple[int, Any]]:
        """Decode from the start and count what comes out."""
        self._start()
        numbers = set(wanted.tolist())
        for number, frame in enumerate(decode_all(self._container, self._stream)):
            if number in numbers:
                yield number, frame
            if number == wanted[-1]:
                return


class DecordReader(VideoReader):
    """Reads the files of ``VideoIndex.common``; decodes with one thread.

    PyAV reads what it cannot read on the way; a file that decord cannot open raises
    BrokenVideoError.
    """

    def __init__(self, path: str | os.PathLike[str], index: VideoIndex) -> None:
        import decord

        super().__init__(path, index)
        decord.logging.set_level(decord.logging.QUIET)
        self._error = (decord.DECORDError, RuntimeError, IndexError)
        try:
            self._reader = decord.VideoReader(self.path, num_threads=1)
        except self._error as error:
            # Without the lines of its own code.
            reason = re.sub(r'\[[\d:]+\] \S+:\d+: ', '', first_line(error))
            raise BrokenVideoError(self.path, f'decord: {reason}') from None

    def close(self) -> None:
        """Free the decoder and its queue of frames."""
        self._reader = None

    def _decode(self, wanted: np.ndarray) -> Sequence[np.ndarray]:
        try:
            return list(self._reader.get_batch(wanted.tolist()).asnumpy())
        except self._error:  # PyAV knows: it reads the frames, or says what is wrong
            with PyAVReader(self.path, self._index) as other:
                return other.list_frames(wanted)


@functools.cache
def available_backends() -> tuple[str, ...]:
    """Backends whose library is installed; ``auto`` takes the first."""
    return tuple(b for b in BACKENDS if importlib.util.find_spec(_MODULES[b]))


def check_backend(backend: str) -> str:
    """Backend for ``auto`` or one of ``BACKENDS``; ValueError of others or without it.

    ``opencv`` of older configs is PyAV, which gives the same frames.
    """
    backend = 'pyav' if backend == 'opencv' else backend
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


def open_video(
    path: str | os.PathLike[str],
    reader: str = 'auto',
    index: VideoIndex | None = None,
) -> VideoReader:
    """Open a video; frames and times are the same for both readers.

    Its packets are read first, unless its ``index`` is known.

    ``auto`` is PyAV: it took 0.25 to 0.9 of decord's time for 8 or 16 frames of a clip,
    0.1 to 0.25 for a window of an hour of video, which decord reads in full to open it.
    PyAV also reads the packets, and decodes, whatever was asked for, where they do not
    prove that decord gives the same frames (``VideoIndex.common``), and where it fails.

    Raises as :func:`check_backend` and :func:`index_video`.
    """
    backend = check_backend(reader)
    index = index or index_video(path)
    if backend == 'decord' and index.common:
        try:
            return DecordReader(path, index)
        except BrokenVideoError:
            pass  # PyAV has read its packets
    return PyAVReader(path, index)


@dataclass(frozen=True)
class VideoFacts:
    """Frames, frames per second and seconds; 0 where a header alone does not say."""

    frames: int
    fps: float
    duration: float


def decode_video(path: Path) -> VideoFacts:
    """Decode all frames that data sets can ask for, as they do.

    Raises FileNotFoundError, or ValueError where it, or a frame of it, does not decode.
    """
    try:
        with PyAVReader(path, index_video(path)) as video:
            frames = sum(1 for _ in video.walk())
            return VideoFacts(frames, video.fps, video.duration_sec)
    except BrokenVideoError as error:
        raise ValueError(error.reason) from None


def probe_video(path: Path) -> VideoFacts:
    """Read a video's header.

    Raises FileNotFoundError, or ValueError where it is not readable or has no video.
    """
    try:
        with open_container(path) as container, broken_by_damage(path):
            stream = video_stream(container)
            length = stream.duration or 0
            fps = float(stream.average_rate or 0)
            return VideoFacts(stream.frames, fps, float(length * stream.time_base))
    except BrokenVideoError as error:
        raise ValueError(error.reason) from None
