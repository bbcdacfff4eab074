"""One video: decoded, cropped, resized, encoded, and compared with its source."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mmma.packing.options import PRESET, SCALER, TUNE, PackOptions
from mmma.packing.person import Box, square_pixels

_COLOUR = ('colorspace', 'color_range', 'color_primaries', 'color_trc')
_TURNS = {
    0: (),
    1: (('transpose', 'cclock'),),
    2: (('hflip', None), ('vflip', None)),
    3: (('transpose', 'clock'),),
}


@dataclass(frozen=True)
class FrameTimes:
    """When the frames of a video are shown, exactly.

    Attributes:
        stamps: (T,) of each frame, ascending, the first one is 0.
        last: How long the last frame is shown, in the same units.
        unit: Seconds.
    """

    stamps: tuple[int, ...]
    last: int
    unit: Fraction

    def seconds(self) -> list[Fraction]:
        """(T + 1,) when each frame appears, and when the last one ends."""
        ends = (*self.stamps, self.stamps[-1] + self.last)
        return [stamp * self.unit for stamp in ends]


@dataclass(frozen=True)
class PackedVideo:
    """What packing one video came to.

    Attributes:
        frames: T.
        picture: Width and height of the source, upright.
        crop: Left, top, width and height of what was kept of it.
        size: Width and height of the packed video.
        bytes: Size of the packed file.
    """

    frames: int
    picture: tuple[int, int]
    crop: tuple[int, int, int, int]
    size: tuple[int, int]
    bytes: int


def pack_video(
    source: Path, target: Path, options: PackOptions, box: Box | None = None
) -> PackedVideo:
    """Write one video; it appears only when it equals its source in count and times.

    Sound is left out, rotation is applied, colours keep their matrix.

    Args:
        source: Any file that FFmpeg reads.
        target: The MP4 file to write.
        options: How.
        box: What to keep of the picture, before ``options.margin``; None is all.

    Raises:
        FileNotFoundError: There is no such source.
        ValueError: The source is damaged, has two frames at one time, or what was
            written differs from it.
    """
    if not source.is_file():
        raise FileNotFoundError('no such file')
    if not source.stat().st_size:
        raise ValueError('zero bytes')
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f'.{target.name}.{os.getpid()}.part')
    try:
        with _readable('source'):
            times = read_times(source)
        _check_ascending(times)
        picture, crop, size = _transcode(source, part, options, (times, box))
        with _readable('packed file'):
            _verify(part, times, size)
        made = PackedVideo(len(times.stamps), picture, crop, size, part.stat().st_size)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return made


def read_times(path: Path) -> FrameTimes:
    """When frames are shown, from the packets; those that no player shows left out.

    Args:
        path: A video file.

    Raises:
        ValueError: No video in it.
    """
    with _opened(path) as (container, stream):
        packets = []
        for packet in container.demux(stream):
            if packet.size:
                packets.append((_stamp(packet, stream, len(packets)), packet))
        first = next((stamp for stamp, p in packets if p.is_keyframe), None)
        shown = [(s, p.duration) for s, p in packets if not p.is_discard]
        shown = sorted((s, d or 0) for s, d in shown if first is None or s >= first)
        if not shown:
            raise ValueError('no frames')
        unit = Fraction(stream.time_base)
        rate = stream.average_rate or 25
        last = shown[-1][1] or max(1, round(1 / rate / unit))
        start = shown[0][0]
        return FrameTimes(tuple(stamp - start for stamp, _ in shown), last, unit)


def even_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height of the packed picture: even, its shape kept, never enlarged.

    Args:
        width: Of the picture, pixels.
        height: Of the picture.
        short_side: Wanted of the shorter one.
    """
    if short_side >= min(width, height):
        return width // 2 * 2, height // 2 * 2
    scale = short_side / min(width, height)
    return 2 * round(width * scale / 2), 2 * round(height * scale / 2)


def _stamp(packet: Any, stream: Any, number: int) -> int:
    """A packet's stamp; raw streams carry none: frames follow at their rate."""
    stamp = packet.dts if packet.pts is None else packet.pts
    if stamp is not None:
        return int(stamp)
    return round(number / (stream.time_base * (stream.average_rate or 25)))


def _check_ascending(times: FrameTimes) -> None:
    if len(set(times.stamps)) < len(times.stamps):
        raise ValueError('two frames at one time: the order of frames is not known')


def _transcode(
    source: Path,
    part: Path,
    options: PackOptions,
    what: tuple[FrameTimes, Box | None],
) -> tuple[tuple[int, int], tuple[int, int, int, int], tuple[int, int]]:
    """Decode, filter and encode; returns picture, crop and size."""
    times, box = what
    pictures = _upright(source, len(times.stamps))
    with _readable('source'):
        frame = next(pictures)
    turns = round(frame.rotation / 90) % 4
    picture = (frame.width, frame.height)[:: -1 if turns % 2 else 1]
    crop = (0, 0, *picture)
    if box is not None:
        crop = square_pixels(box, picture, options.margin)
    size = even_size(*crop[2:], options.short_side)
    filters = [*_TURNS[turns]]
    if crop[2:] != picture:
        left, top, wide, high = crop
        filters.append(('crop', f'{wide}:{high}:{left}:{top}:exact=1'))
    flags = f'{SCALER}+accurate_rnd+bitexact'
    filters.append(('scale', f'{size[0]}:{size[1]}:flags={flags}:out_range=tv'))
    graph = _Filters(frame, filters)
    with _Encoder(part, size, times, options) as encoder:
        while frame is not None:
            encoder.add(graph(frame))
            with _readable('source'):
                frame = next(pictures, None)
    return picture, crop, size


def _upright(source: Path, expected: int) -> Iterator[Any]:
    """Frames in the order shown; damage is an error."""
    with _opened(source) as (container, stream):
        stream.codec_context.options = {'err_detect': 'explode'}
        count = 0
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise ValueError(f'damaged: frame {count}')
            count += 1
            yield frame
        if count != expected:
            raise ValueError(f'truncated or damaged: {count} frames of {expected}')


class _Filters:
    """FFmpeg filters that turn, crop and resize frames of one kind."""

    def __init__(self, frame: Any, filters: list[tuple[str, str | None]]) -> None:
        import av

        self.kind = (frame.width, frame.height, frame.format.name)
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        space = 'unknown' if frame.colorspace == 2 else frame.colorspace
        source = self._graph.add(
            'buffer',
            f'video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:'
            f'time_base=1/1:colorspace={space}:range={frame.color_range}',
        )
        for name, arguments in [*filters, ('format', 'yuv420p'), ('buffersink', None)]:
            node = self._graph.add(name, arguments)
            source.link_to(node)
            source = node
        self._graph.configure()

    def __call__(self, frame: Any) -> Any:
        """The frame, filtered."""
        kind = (frame.width, frame.height, frame.format.name)
        if kind != self.kind:
            raise ValueError(f'the picture changes from {self.kind} to {kind}')
        self._graph.push(frame)
        return self._graph.pull()


class _Encoder:
    """Writes frames at given times; one thread, so that bytes do not depend on it."""

    def __init__(
        self, part: Path, size: tuple[int, int], times: FrameTimes, options: PackOptions
    ) -> None:
        self._part, self._size, self._options = part, size, options
        self._times = times
        self._scale = times.unit.numerator
        self._count = 0

    def __enter__(self) -> _Encoder:
        import av

        unit = Fraction(1, self._times.unit.denominator)
        self._container = av.open(
            str(self._part),
            'w',
            format='mp4',
            options={
                'fflags': '+bitexact',
                'movflags': '+faststart',
                'video_track_timescale': str(unit.denominator),
            },
        )
        ends = self._times.seconds()
        mean = (Fraction(len(ends) - 1) / ends[-1]).limit_denominator(1001)
        self._stream = self._container.add_stream(
            'libx264', rate=mean, options=x264_options(self._options)
        )
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = 'yuv420p'
        self._stream.codec_context.time_base = unit
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._mux(None)
        finally:
            self._container.close()

    def add(self, frame: Any) -> None:
        """Encode the next frame."""
        context = self._stream.codec_context
        if not self._count:
            for name in _COLOUR:
                setattr(context, name, getattr(frame, name))
        frame.pict_type = 0  # else the encoder repeats the source's kinds of frames
        frame.pts = self._times.stamps[self._count] * self._scale
        frame.time_base = context.time_base
        self._count += 1
        self._mux(frame)

    def _mux(self, frame: Any) -> None:
        final = self._times.stamps[-1] * self._scale
        for packet in self._stream.encode(frame):
            if packet.pts == final:
                packet.duration = self._times.last * self._scale
            self._container.mux(packet)


def x264_options(options: PackOptions) -> dict[str, str]:
    """Options of the encoder.

    No B-frames: every frame decodes as soon as it is read. ``fastdecode`` costs 8 % of
    size and 0.1 dB, and decodes 1.6 times as fast (three published clips). The
    macroblock tree reads memory that was never written (seen in x264 build 165), so it
    is off.

    Args:
        options: How videos are packed.
    """
    return {
        'preset': PRESET,
        'tune': TUNE,
        'crf': str(options.crf),
        'g': str(options.gop),
        'keyint_min': str(options.gop),
        'sc_threshold': '0',
        'bf': '0',
        'mbtree': '0',
        'a53cc': '0',
        'threads': '1',
    }


def _verify(part: Path, times: FrameTimes, size: tuple[int, int]) -> None:
    """Decode what was written and compare it with what was wanted.

    Raises:
        ValueError: It differs.
    """
    written = read_times(part)
    if written.seconds() != times.seconds():
        raise ValueError('packed frames are shown at other times than in the source')
    with _opened(part) as (container, stream):
        sizes = [(f.width, f.height) for f in container.decode(stream)]
    if sizes != [size] * len(times.stamps):
        raise ValueError(
            f'{len(sizes)} packed frames of {sorted(set(sizes))}, expected '
            f'{len(times.stamps)} of {size}'
        )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Container and first stream of moving pictures, decoded by one thread."""
    import av

    with av.open(str(path), metadata_errors='ignore') as container:
        streams = [s for s in container.streams.video if s.codec_context is not None]
        if not streams:
            raise ValueError('no video stream')
        streams[0].thread_type = 'NONE'
        streams[0].codec_context.thread_count = 1
        yield container, streams[0]


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """FFmpeg's errors in reading as ValueError; those in writing stay."""
    import av

    try:
        yield
    except (av.error.FFmpegError, AttributeError, IndexError) as error:
        reason = getattr(error, 'strerror', None) or type(error).__name__
        raise ValueError(f'{what} not readable as video: {reason}') from None
