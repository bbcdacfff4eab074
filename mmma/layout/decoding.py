"""What a video file really holds: its header, or every frame of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.webm')


@dataclass(frozen=True)
class VideoFacts:
    """Size of a video.

    Attributes:
        frames: Number of frames; 0 where only the header was read and it does not say.
        fps: Mean frames per second.
        duration: Seconds; 0 where the header does not say.
    """

    frames: int
    fps: float
    duration: float


def probe_video(path: Path) -> VideoFacts:
    """Read a video's header.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Zero bytes, no video in it, or not readable.
    """
    with opened_video(path) as (_, stream):
        return _facts(stream, stream.frames)


def decode_video(path: Path) -> VideoFacts:
    """Decode a video from its first frame to its last.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Zero bytes, no video in it, not readable, damaged, or fewer frames
            than its header announces.
    """
    import av

    with opened_video(path) as (container, stream):
        stream.codec_context.thread_count = 1  # files are checked side by side
        stream.codec_context.options = {'err_detect': 'explode'}  # conceal nothing
        decoded = damaged = hidden = 0
        for packet in container.demux(stream):
            hidden += bool(packet.is_discard)  # cut away by an edit list
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                damaged += 1
                continue
            decoded += len(frames)
            damaged += sum(bool(frame.is_corrupt) for frame in frames)
        # Packets in the file: an edit list can leave out some that the header counts.
        packets = sum(entry.size > 0 for entry in stream.index_entries)
        announced = (packets or stream.frames) - hidden  # 0 if the container is silent
        if damaged or not decoded or decoded < announced:
            raise ValueError(
                f'truncated or damaged: {decoded} frames of {announced or "?"} decode, '
                f'{damaged} errors'
            )
        return _facts(stream, decoded)


@contextmanager
def opened_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Container and first video stream; FFmpeg's errors as ValueError.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Zero bytes, no video in it, or not readable.
    """
    import av

    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file')
    if not path.stat().st_size:
        raise ValueError('zero bytes')
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                has_audio = bool(container.streams.audio)
                raise ValueError('audio only' if has_audio else 'no video stream')
            yield container, container.streams.video[0]
    except (av.error.FFmpegError, AttributeError, IndexError) as error:
        # PyAV raises the last two for an unknown codec and damaged transport streams.
        reason = getattr(error, 'strerror', None) or type(error).__name__
        raise ValueError(f'not readable as video: {reason}') from None


def _facts(stream: Any, frames: int) -> VideoFacts:
    length = stream.duration or 0
    return VideoFacts(
        frames=frames,
        fps=float(stream.average_rate or 0),
        duration=float(length * stream.time_base) if length else 0.0,
    )
