"""Which frames a video file shows, and when: read from its packets, undecoded."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mmma.datasets.video.errors import BrokenVideoError

# Files for which decord and PyAV were found to give the same frames to the last bit;
# halved chroma asks for even sizes as well.
_CONTAINERS = ('mp4', 'matroska')
_CODECS = ('h264', 'hevc', 'mpeg4', 'vp9')
_STAMPED = (*_CONTAINERS, 'mpegts')  # containers with true presentation stamps
_PIXEL_FORMATS = (
    'yuv420p',
    'yuvj420p',
    'yuv422p',
    'yuvj422p',
    'yuv444p',
    'yuvj444p',
    'gray',
)
# decord 0.6.0 stumbles over rows of these lengths; tried: all even widths below 420.
_UNREAD_WIDTHS = (2, 8, 16, 24, 48, 72)
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC, FFmpeg, avformat.h


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video in the order in which they are shown.

    Frames that an edit list hides, and those before the first key frame, which cannot
    be decoded, are not there.

    Attributes:
        pts: (T,) int64 presentation stamps, ascending.
        key_pts: (G,) int64 stamps of the key frames, ascending.
        key_dts: (G,) int64 where to seek to for each of them.
        time_base: Seconds per unit of a stamp.
        last_sec: How long the last frame is shown.
        stamped: Each frame is known by its stamp; else only by its place.
        common: All backends give the same frames, if there is no rotation; else only
            PyAV's are right.
    """

    pts: np.ndarray
    key_pts: np.ndarray
    key_dts: np.ndarray
    time_base: float
    last_sec: float
    stamped: bool
    common: bool

    @property
    def times_sec(self) -> np.ndarray:
        """(T,) float64, when each frame appears, from the first one."""
        return (self.pts - self.pts[0]) * self.time_base

    @property
    def duration_sec(self) -> float:
        """From the first frame's appearance to the last one's end."""
        return float(self.times_sec[-1]) + self.last_sec


def open_container(path: str | os.PathLike[str]) -> Any:
    """Open a file with PyAV, to be decoded by one thread.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        BrokenVideoError: It is empty, or FFmpeg does not know what it is.
    """
    import av

    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f'{path}: no such video file')
    if not file.stat().st_size:
        raise BrokenVideoError(path, 'zero bytes')
    try:
        container = av.open(str(file), metadata_errors='ignore')
    except av.error.FFmpegError as error:
        reason = f'not readable as video: {error.strerror}'
        raise BrokenVideoError(path, reason) from None
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.thread_type = 'NONE'
            stream.codec_context.thread_count = 1
    return container


def video_stream(container: Any) -> Any:
    """The first stream of moving pictures; cover art of a sound file is none.

    Args:
        container: From :func:`open_container`.

    Raises:
        BrokenVideoError: There is no such stream, or nothing decodes it.
    """
    moving = [
        stream
        for stream in container.streams.video
        if not int(stream.disposition) & _ATTACHED_PICTURE
    ]
    if not moving:
        what = 'audio only' if container.streams.audio else 'no video stream'
        raise BrokenVideoError(container.name, what)
    if moving[0].codec_context is None:
        raise BrokenVideoError(container.name, 'unknown codec')
    return moving[0]


def read_index(container: Any) -> VideoIndex:
    """Read every packet's stamp; leaves the container at its end.

    Args:
        container: From :func:`open_container`, at its start.

    Raises:
        BrokenVideoError: No video in it, no frames, or fewer than announced.
    """
    stream = video_stream(container)
    try:
        packets, end_sec = _demux(container, stream)
    except damage_errors() as error:
        raise damaged(container.name, error) from None
    _check_complete(container, stream, packets, end_sec)
    shown = _shown(packets)
    pts = np.sort(np.array([p.pts for p in shown], np.int64))
    keys = sorted((p.pts, p.dts) for p in packets if p.key) or [(pts[0], pts[0])]
    known = any(name in container.format.name for name in _STAMPED)
    return VideoIndex(
        pts=pts,
        key_pts=np.array([key[0] for key in keys], np.int64),
        key_dts=np.array([key[1] for key in keys], np.int64),
        time_base=float(stream.time_base),
        last_sec=_last_sec(shown, stream),
        stamped=known and bool((np.diff(pts) > 0).all()),
        common=len(shown) == len(packets) and _is_common(container, stream),
    )


def is_rotated(container: Any) -> bool:
    """Whether players turn the picture; decodes the first frame, where that is said.

    Args:
        container: From :func:`open_container`, anywhere.

    Raises:
        BrokenVideoError: The first frame does not decode.
    """
    stream = video_stream(container)
    try:
        container.seek(0)
        return any(frame.rotation for frame in islice(container.decode(stream), 1))
    except damage_errors() as error:
        raise damaged(container.name, error) from None


def damage_errors() -> tuple[type[Exception], ...]:
    """What PyAV raises for damaged files.

    An IndexError among them: PyAV looks up streams that appear in the middle of a file.
    """
    import av

    return av.error.FFmpegError, IndexError


def damaged(path: str, error: Exception) -> BrokenVideoError:
    """One of :func:`damage_errors` as the error to raise.

    Args:
        path: The file.
        error: What PyAV raised.
    """
    reason = getattr(error, 'strerror', None) or error
    return BrokenVideoError(path, f'damaged: {reason}')


@dataclass
class _Packet:
    pts: int
    dts: int
    key: bool
    hidden: bool
    corrupt: bool
    duration: int


def _demux(container: Any, stream: Any) -> tuple[list[_Packet], float]:
    """Packets of one stream in stored order, and where the last of any stream ends."""
    packets = []
    end_sec = 0.0
    for packet in container.demux():
        if not packet.size:
            continue
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            end = (stamp + (packet.duration or 0)) * float(packet.time_base)
            end_sec = max(end_sec, end)
        if packet.stream_index != stream.index:
            continue
        if stamp is None:  # raw streams carry no stamps: frames follow at their rate
            step = 1 / (stream.time_base * (stream.average_rate or 25))
            stamp = round(len(packets) * step)
        packets.append(
            _Packet(
                stamp,
                stamp if packet.dts is None else packet.dts,
                packet.is_keyframe,
                packet.is_discard,
                packet.is_corrupt,
                packet.duration or 0,
            )
        )
    return packets, end_sec


def _check_complete(
    container: Any, stream: Any, packets: list[_Packet], end_sec: float
) -> None:
    # Not `stream.frames`: it counts what edit lists leave out of the index as well.
    indexed = sum(entry.size > 0 for entry in stream.index_entries)
    whole = sum(not p.corrupt for p in packets)
    if whole < max(indexed, len(packets)):
        total = max(indexed, len(packets))
        reason = f'truncated or damaged: {whole} of {total} frames are whole'
        raise BrokenVideoError(container.name, reason)
    if not packets:
        raise BrokenVideoError(container.name, 'no frames')
    announced = (container.duration or 0) / 1e6  # Matroska lists no number of frames
    lost = announced - end_sec
    if 'matroska' in container.format.name and lost > max(0.5, 0.05 * announced):
        raise BrokenVideoError(
            container.name, f'truncated: ends {lost:.2f} s before its announced end'
        )


def _shown(packets: list[_Packet]) -> list[_Packet]:
    """Packets whose frames a player shows, in stored order."""
    first = next((p.pts for p in packets if p.key), packets[0].pts)
    shown = [p for p in packets if p.pts >= first and not p.hidden]
    return shown or packets


def _last_sec(shown: Iterable[_Packet], stream: Any) -> float:
    last = max(shown, key=lambda p: p.pts)
    if last.duration > 0:
        return float(last.duration * stream.time_base)
    return 1 / float(stream.average_rate or 25)


def _is_common(container: Any, stream: Any) -> bool:
    """Whether every backend decodes and converts this kind of file alike."""
    context = stream.codec_context
    kind = context.name in _CODECS and context.pix_fmt in _PIXEL_FORMATS
    even = context.height % 2 == 0 and context.width % 2 == 0
    whole = even or '420' not in context.pix_fmt
    known = any(name in container.format.name for name in _CONTAINERS)
    return known and kind and whole and context.width not in _UNREAD_WIDTHS
