"""Encoding and verifying one video."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmma.files import draft, read_text
from mmma.taxonomy import check_choice, suggest

CROPS = ('none', 'person')
LARGEST, LEFT, RIGHT = RULES = ('largest', 'left', 'right')
PRESET, TUNE, SCALER = 'fast', 'fastdecode', 'bicubic'


@dataclass(frozen=True)
class Following:
    """Which of several people a crop follows.

    Attributes:
        rule: ``largest`` (mean score times area), ``left`` or ``right`` in the picture,
            or the place of a person in the skeleton store, from 0.
        by_name: Rules of single clips and videos.
        digest: Of the file that ``by_name`` came from; empty without one.
    """

    rule: str | int = LARGEST
    by_name: Mapping[str, str | int] = field(default_factory=dict)
    digest: str = ''

    def of(self, name: str) -> str | int:
        """Rule of a clip or video."""
        return self.by_name.get(name, self.rule)


@dataclass(frozen=True)
class PackOptions:
    """How videos are packed.

    Attributes:
        short_side: Pixels; a smaller picture is not enlarged.
        gop: A key frame every so many frames.
        crf: Quality of x264: 0 is exact, 51 the worst.
        crop: ``none``, or ``person``: one box per video around the followed person.
        margin: Share of the person's longer side that is added on each side.
        following: Whom ``person`` follows.

    Raises:
        ValueError: A value that is not allowed.
    """

    short_side: int = 256
    gop: int = 16
    crf: int = 18
    crop: str = 'none'
    margin: float = 0.15
    following: Following = field(default_factory=Following)

    def __post_init__(self) -> None:
        check_choice('crop', self.crop, CROPS)
        for name, low, high in (
            ('short_side', 16, 4096),
            ('gop', 1, 1000),
            ('crf', 0, 51),
            ('margin', 0, 2),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                flag = name.replace('_', '-')
                raise ValueError(f'--{flag} {value}: must be in {low}..{high}')

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``dataset.json`` and results record them."""
        found: dict[str, Any] = {
            'codec': 'h264',
            'short_side': self.short_side,
            'gop': self.gop,
            'crf': self.crf,
            'preset': f'{PRESET} {TUNE}',
            'scaler': SCALER,
            'crop': self.crop,
        }
        if self.crop == 'person':
            found['margin'] = self.margin
            found['person'] = self.following.rule
            if self.following.digest:
                found['person_file'] = self.following.digest
        return found


def read_following(text: str) -> Following:
    """Read ``--person``.

    Args:
        text: ``largest``, ``left``, ``right``, a number, or a CSV file with columns
            ``name,person``; clips that it does not name follow ``largest``.

    Raises:
        ValueError: None of these, or a bad row.
        FileNotFoundError: There is no such file.
    """
    if not text.lower().endswith('.csv'):
        return Following(_rule(text))
    content = read_text(Path(text))
    rows = list(csv.reader(io.StringIO(content, newline='')))
    if not rows or rows[0] != ['name', 'person']:
        raise ValueError(f'{text}:1: the header must be name,person')
    by_name: dict[str, str | int] = {}
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != 2 or row[0] in by_name:
            raise ValueError(f'{text}:{line}: {row}: need a name, once, and a person')
        try:
            by_name[row[0]] = _rule(row[1])
        except ValueError as error:
            raise ValueError(f'{text}:{line}: {error}') from None
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return Following(LARGEST, by_name, digest)


def _rule(text: str) -> str | int:
    if text in RULES:
        return text
    if text.isdecimal():
        return int(text)
    raise ValueError(
        f'person {text!r}: use {", ".join(RULES)}, a number from 0, or a CSV file with '
        f'columns name,person.{suggest(text, RULES)}'
    )


MIN_SCORE = 0.3
_LEAST_SIDE = 32
_TAILS = (1, 99)  # percentiles: a joint that jumps for a frame does not widen the box


class Box(NamedTuple):
    """Part of a picture, in shares of its width and height.

    Attributes:
        left: Where it starts.
        top: Where it starts.
        right: Where it ends.
        bottom: Where it ends.
    """

    left: float
    top: float
    right: float
    bottom: float


WHOLE = Box(0, 0, 1, 1)


def choose_person(
    keypoints: np.ndarray, scores: np.ndarray, rule: str | int
) -> int | None:
    """The person that a crop follows.

    Args:
        keypoints: (M, T, V, 2) in pixels.
        scores: (M, T, V) in [0, 1].
        rule: As in ``Following``; ``largest`` is the highest mean score times area.

    Returns:
        Their place, or None where nobody is seen, or not the one asked for.
    """
    seen = [m for m in range(len(scores)) if (scores[m] >= MIN_SCORE).any()]
    if isinstance(rule, int):
        return rule if rule in seen else None
    if not seen:
        return None
    extents = {m: _extent(keypoints[m], scores[m]) for m in seen}
    if rule == LARGEST:
        return max(seen, key=lambda m: (scores[m].mean() * _area(extents[m]), -m))
    middles = {m: (extents[m][0] + extents[m][2]) / 2 for m in seen}
    choose = min if rule == LEFT else max
    return choose(seen, key=lambda m: middles[m])


def person_box(keypoints: np.ndarray, scores: np.ndarray, size: tuple[int, int]) -> Box:
    """Box that holds one person in all frames.

    Args:
        keypoints: (T, V, 2) in pixels.
        scores: (T, V) in [0, 1], some of them at least ``MIN_SCORE``.
        size: Width and height of the picture.
    """
    left, top, right, bottom = _extent(keypoints, scores)
    width, height = size
    return Box(left / width, top / height, right / width, bottom / height)


def join(boxes: list[Box]) -> Box:
    """The smallest box that holds all.

    Args:
        boxes: At least one.
    """
    columns = list(zip(*boxes, strict=True))
    return Box(*map(min, columns[:2]), *map(max, columns[2:]))


def square_pixels(
    box: Box, size: tuple[int, int], margin: float
) -> tuple[int, int, int, int]:
    """A square with margin around a box, as far as the picture has room.

    Args:
        box: What it must hold.
        size: Width and height of the picture.
        margin: Share of the longer side that is added on each side.

    Returns:
        Left, top, width and height in pixels; even, but for a whole odd side.
    """
    width, height = size
    wide, high = (box.right - box.left) * width, (box.bottom - box.top) * height
    side = max(wide, high) * (1 + 2 * margin)
    left, wide = _span((box.left + box.right) / 2 * width, side, width)
    top, high = _span((box.top + box.bottom) / 2 * height, side, height)
    return left, top, wide, high


def _span(middle: float, side: float, limit: int) -> tuple[int, int]:
    """Start and length, moved into the picture."""
    length = max(_LEAST_SIDE, 2 * round(side / 2))
    if length >= limit:
        return 0, limit
    start = min(max(middle - length / 2, 0), limit - length)
    return 2 * int(start / 2), length


def _extent(keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(4,) left, top, right and bottom of the joints that are seen."""
    seen = keypoints[scores >= MIN_SCORE]
    return np.percentile(seen, _TAILS, axis=0).reshape(-1)


def _area(extent: np.ndarray) -> float:
    return float((extent[2] - extent[0]) * (extent[3] - extent[1]))


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


def pack_video(
    source: Path, target: Path, options: PackOptions, box: Box | None = None
) -> dict[str, Any]:
    """Write one video; it appears only when it equals its source in count and times.

    Sound is left out, rotation is applied, colours keep their matrix.

    Args:
        source: Any file that FFmpeg reads.
        target: The MP4 file to write.
        options: How.
        box: What to keep of the picture, before ``options.margin``; None is all.

    Returns:
        ``frames``; ``picture``, width and height of the upright source; ``crop``, left,
        top, width and height of what was kept of it; ``size``, width and height of the
        packed video; ``bytes``.

    Raises:
        FileNotFoundError: There is no such source.
        ValueError: The source is damaged, has two frames at one time, or what was
            written differs from it.
    """
    if not source.is_file():
        raise FileNotFoundError('no such file')
    if not source.stat().st_size:
        raise ValueError('zero bytes')
    with _readable('source'):
        times = read_times(source)
    if len(set(times.stamps)) < len(times.stamps):
        raise ValueError('two frames at one time: the order of frames is not known')
    with draft(target) as part:
        picture, crop, size = _transcode(source, part, options, (times, box))
        with _readable('packed file'):
            _verify(part, times, size)
        size_bytes = part.stat().st_size
    return {
        'frames': len(times.stamps),
        'picture': picture,
        'crop': crop,
        'size': size,
        'bytes': size_bytes,
    }


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
    with _encoder(part, size, times, options) as add:
        for filtered in _filtered(frame, pictures, filters):
            add(filtered)
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


def _filtered(
    frame: Any, others: Iterator[Any], filters: list[tuple[str, str | None]]
) -> Iterator[Any]:
    """A frame and all others of its kind, turned, cropped and resized by FFmpeg."""
    import av

    kind = (frame.width, frame.height, frame.format.name)
    graph = av.filter.Graph()
    graph.threads = 1
    space = 'unknown' if frame.colorspace == 2 else frame.colorspace
    source = graph.add(
        'buffer',
        f'video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:'
        f'time_base=1/1:colorspace={space}:range={frame.color_range}',
    )
    for name, arguments in [*filters, ('format', 'yuv420p'), ('buffersink', None)]:
        node = graph.add(name, arguments)
        source.link_to(node)
        source = node
    graph.configure()
    while frame is not None:
        found = (frame.width, frame.height, frame.format.name)
        if found != kind:
            raise ValueError(f'the picture changes from {kind} to {found}')
        graph.push(frame)
        yield graph.pull()
        with _readable('source'):
            frame = next(others, None)


@contextmanager
def _encoder(
    part: Path, size: tuple[int, int], times: FrameTimes, options: PackOptions
) -> Iterator[Callable[[Any], None]]:
    """Write frames at given times; one thread, so that bytes do not depend on it."""
    import av

    unit, scale = Fraction(1, times.unit.denominator), times.unit.numerator
    settings = {
        'fflags': '+bitexact',
        'movflags': '+faststart',
        'video_track_timescale': str(unit.denominator),
    }
    ends = times.seconds()
    mean = (Fraction(len(ends) - 1) / ends[-1]).limit_denominator(1001)
    stamps = iter(times.stamps)
    with av.open(str(part), 'w', format='mp4', options=settings) as container:
        stream = container.add_stream(
            'libx264', rate=mean, options=x264_options(options)
        )
        stream.width, stream.height = size
        stream.pix_fmt = 'yuv420p'
        context = stream.codec_context
        context.time_base = unit

        def mux(frame: Any) -> None:
            for packet in stream.encode(frame):
                if packet.pts == times.stamps[-1] * scale:
                    packet.duration = times.last * scale
                container.mux(packet)

        def add(frame: Any) -> None:
            stamp = next(stamps)
            if not stamp:  # the first one
                for name in _COLOUR:
                    setattr(context, name, getattr(frame, name))
            frame.pict_type = 0  # else the encoder repeats the source's kinds of frames
            frame.pts, frame.time_base = stamp * scale, unit
            mux(frame)

        yield add
        mux(None)


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
