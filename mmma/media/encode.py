"""Encoding and verifying one video."""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from mmma.data.clips import Span, span_frames
from mmma.files import draft, read_json, read_table, read_text
from mmma.packets import BrokenVideoError, index_video, open_container
from mmma.pictures import Upright, orientation, turning_filters
from mmma.taxonomy import check_choice, suggest
from mmma.video import PyAVReader

LARGEST, LEFT, RIGHT = RULES = ('largest', 'left', 'right')
PRESET, TUNE, SCALER = 'fast', 'fastdecode', 'bicubic'
X264 = {'preset': PRESET, 'tune': TUNE, 'threads': '1', 'bf': '3', 'refs': '1'}
X264 |= dict.fromkeys(('b-pyramid', 'partitions'), 'none')
X264 |= dict.fromkeys(('sc_threshold', 'b_strategy', 'mbtree', 'a53cc'), '0')
"""Three of four frames are B-frames that no other frame refers to: those that are not
asked for are not decoded. docs/benchmarks.md has what was measured. The macroblock tree
reads memory that was never written (seen in x264 build 165), so it is off."""
MIN_SCORE = 0.3
_LEAST_SIDE, _RATE = 32, 48000  # pixels; samples of sound per second
_LEAST_SHARE = 0.1  # of the frames, which must show a part
_TAILS = (1, 99)  # percentiles: a joint that jumps for a frame does not widen the box
_COLOUR = ('colorspace', 'color_range', 'color_primaries', 'color_trc')
PARTS: dict[str, list[tuple[list[str], list[str], list[tuple[str, str, float]]]]] = (
    read_json(Path(__file__).parents[1] / 'tables' / 'parts.json')['crops']
)
"""What a crop of a part shows; the file has notes and sources."""
Times = tuple[list[int], Fraction]
"""Stamps at which frames are shown, ascending, the first one 0, and (last) the end of
the last one; and seconds per unit of them."""


@dataclass(frozen=True)
class PackOptions:
    """Options of packing videos.

    Attributes:
        short_side (PX): Pixels; a smaller picture is not enlarged.
        gop (N): frames per key frame
        crf: quality, 0 best, 51 worst
        crop (none|person|head|hands|legs): One box per video around a person or a part.
        margin: around the person or part, share of a side
        person (largest|left|right|N|FILE): whom a crop follows
        by_name: The same of single clips and videos.
        person_file: Digest of the file that ``by_name`` came from; empty without one.

    Raises:
        ValueError: A value that is not allowed.
    """

    short_side: int = 256
    gop: int = 64
    crf: int = 20
    crop: str = 'none'
    margin: float = 0.15
    person: str | int = LARGEST
    by_name: Mapping[str, str | int] = field(default_factory=dict)
    person_file: str = ''

    def __post_init__(self) -> None:
        check_choice('crop', self.crop, ('none', 'person', *PARTS))
        limits = {'short_side': (16, 4096), 'gop': (1, 1000), 'crf': (0, 51)}
        for name, (low, high) in {**limits, 'margin': (0, 2)}.items():
            value = getattr(self, name)
            if not low <= value <= high:
                flag = name.replace('_', '-')
                raise ValueError(f'--{flag} {value}: must be in {low}..{high}')

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as ``dataset.json`` and results record them."""
        found: dict[str, Any] = {'codec': 'h264', 'short_side': self.short_side}
        found |= {'gop': self.gop, 'crf': self.crf, 'preset': f'{PRESET} {TUNE}'}
        found['bframes'] = int(X264['bf'])
        found |= {'scaler': SCALER, 'crop': self.crop}
        if self.crop != 'none':
            found |= {'margin': self.margin, 'person': self.person}
            if self.person_file:
                found['person_file'] = self.person_file
        return found


def read_person(text: str) -> dict[str, Any]:
    """Read ``--person`` into the options ``person``, ``by_name`` and ``person_file``.

    It is ``largest`` (mean score times area), ``left`` or ``right`` in the picture, the
    place of a person in the skeleton store, from 0, or a CSV file with columns
    ``name,person``; clips that it does not name follow ``largest``. Others raise
    ValueError.
    """
    if not text.lower().endswith('.csv'):
        return {'person': _rule(text)}
    content = read_text(Path(text))
    header, rows = read_table(Path(text), content.encode())
    if header != ['name', 'person']:
        raise ValueError(f'{text}:1: the header must be name,person')
    by_name: dict[str, str | int] = {}
    for line, row in rows:
        name = normalize('NFC', row[0])
        if len(row) != 2 or name in by_name:
            raise ValueError(f'{text}:{line}: {row}: need a name, once, and a person')
        try:
            by_name[name] = _rule(row[1])
        except ValueError as error:
            raise ValueError(f'{text}:{line}: {error}') from None
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return {'person': LARGEST, 'by_name': by_name, 'person_file': digest}


def _rule(text: str) -> str | int:
    if text in RULES:
        return text
    if text.isdecimal():
        return int(text)
    raise ValueError(
        f'person {text!r}: use {", ".join(RULES)}, a number from 0, or a CSV file with '
        f'columns name,person.{suggest(text, RULES)}'
    )


def choose_person(
    keypoints: np.ndarray, scores: np.ndarray, rule: str | int
) -> int | None:
    """Place of whom a crop follows; None if nobody is seen, or not the one asked for.

    Keypoints are (M, T, V, 2) in pixels, scores (M, T, V) in [0, 1].
    """
    seen = [m for m in range(len(scores)) if (scores[m] >= MIN_SCORE).any()]
    if isinstance(rule, int):
        return rule if rule in seen else None
    if not seen:
        return None
    extents = {m: seen_box(keypoints[m], scores[m]) for m in seen}
    if rule == LARGEST:
        areas = {m: float((e[2:] - e[:2]).prod()) for m, e in extents.items()}
        return max(seen, key=lambda m: (scores[m].mean() * areas[m], -m))
    choose = min if rule == LEFT else max
    return choose(seen, key=lambda m: (extents[m][0] + extents[m][2]) / 2)


def part_box(
    keypoints: np.ndarray, scores: np.ndarray, names: Sequence[str], part: str
) -> np.ndarray | None:
    """(4,) left, top, right and bottom of a part of one person in all frames, pixels.

    None where less than a tenth of the frames show it, or its size is not known.
    Keypoints are (T, V, 2) in pixels, scores (T, V) in [0, 1] and names (V,) of
    joints; the part is one of ``PARTS``.
    """
    seen = scores >= MIN_SCORE
    place = {name: v for v, name in enumerate(names) if seen[:, v].any()}
    boxes = []
    for joints, end, bones in PARTS[part]:
        inner, outer = ([place[n] for n in own if n in place] for own in (joints, end))
        if seen[:, inner].any(axis=1).mean() < _LEAST_SHARE:
            continue
        reach = 0.0
        if 2 * len(outer) <= len(end):
            known = [(place[a], place[b], c) for a, b, c in bones if {a, b} <= {*place}]
            lengths = [
                np.hypot(*(keypoints[both, a] - keypoints[both, b]).T) * share
                for a, b, share in known
                if (both := seen[:, a] & seen[:, b]).any()
            ]
            if not lengths:
                continue
            reach = max(map(np.median, lengths))  # the others are foreshortened
        boxes.append(seen_box(keypoints[:, inner], scores[:, inner]))
        boxes[-1] += reach * np.array([-1, -1, 1, 1])
        if outer:
            boxes.append(seen_box(keypoints[:, outer], scores[:, outer]))
    return enclose(boxes) if boxes else None


def enclose(boxes: Sequence[np.ndarray]) -> np.ndarray:
    """(4,) the smallest box around boxes of left, top, right and bottom."""
    low, high = np.min(boxes, axis=0), np.max(boxes, axis=0)
    return np.concatenate([low[:2], high[2:]])


def seen_box(keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(4,) left, top, right, bottom of joints that are seen in any frame, in pixels.

    Joints are (T, V, 2), and some of the scores (T, V) at least ``MIN_SCORE``.
    """
    seen = keypoints[scores >= MIN_SCORE]
    return np.percentile(seen, _TAILS, axis=0).reshape(-1)


def square_pixels(
    box: Sequence[float], size: tuple[int, int], margin: float
) -> tuple[int, int, int, int]:
    """A square with margin around a box, as far as the picture has room.

    The box is (4,) in shares of width and height of the picture, its ``size``; the
    margin a share of the longer side, added on each side.

    Returns:
        Left, top, width and height in pixels; even, but for a whole odd side.
    """
    (left, top, right, bottom), (width, height) = box, size
    side = max((right - left) * width, (bottom - top) * height) * (1 + 2 * margin)
    left, wide = _span((left + right) / 2 * width, side, width)
    top, high = _span((top + bottom) / 2 * height, side, height)
    return left, top, wide, high


def _span(middle: float, side: float, limit: int) -> tuple[int, int]:
    """Start and length, moved into the picture."""
    length = max(_LEAST_SIDE, 2 * round(side / 2))
    if length >= limit:
        return 0, limit
    start = min(max(middle - length / 2, 0), limit - length)
    return 2 * int(start / 2), length


def pack_video(
    source: Path,
    target: Path,
    options: PackOptions,
    box: Sequence[float] | None = None,
    span: Span | None = None,
    sound: bool = False,
) -> dict[str, Any]:
    """Write one video; it appears only when it equals its source in count and times.

    Sound is left out, or stereo if it is asked for; colours keep their matrix; pictures
    become upright, of square pixels, and all of the size of the first.

    Args:
        source: Any file that FFmpeg reads.
        box: As of :func:`square_pixels`, to keep with ``options.margin``; None: all.
        span: Start and end in seconds of what is kept of the source; None keeps all.

    Returns:
        ``frames``; ``picture``, width and height of the upright source; ``crop``, left,
        top, width and height of what was kept of it; ``size``, width and height of the
        packed video; ``bytes``; its ``index``, as ``VideoIndex.as_record`` tells it;
        ``pixels``, where they were not square, and ``scaled``, frames that had another
        size than the first, where there were any.

    Raises:
        FileNotFoundError: There is no such source.
        ValueError: The source does not decode, has no frame in the span, or what was
            written differs from it.
    """
    try:
        times, chosen = read_times(source, span)
        with PyAVReader(source, index_video(source)) as video, draft(target) as part:
            upright = video.upright
            crop = (0, 0, *upright.size)
            if box is not None:
                crop = square_pixels(box, upright.size, options.margin)
            size = even_size(*crop[2:], options.short_side)
            made: dict[str, Any] = {'picture': upright.size, 'crop': crop, 'size': size}
            if upright.stored != upright.coded:
                made['pixels'] = upright.pixels
            frames, heard = _filtered(video, chosen, made), _sound(source, times)
            encode(part, frames, size, times, options, '', heard if sound else None)
            verify(part, times, size)
            written = part.stat().st_size
            if (index := index_video(part)).common:
                made['index'] = index.as_record()
    except BrokenVideoError as error:
        raise ValueError(error.reason) from None
    return {'frames': len(chosen), **made, 'bytes': written}


def read_times(path: Path, span: Span | None = None) -> tuple[Times, range]:
    """Read when the frames of a file or of a span of it are shown, and their numbers.

    Raises as :func:`index_video`, and ValueError where no frame is in the span.
    """
    index = index_video(path)
    first, stop, end_sec = span_frames(index.times_sec, index.duration_sec, span)
    stamps = (index.pts[first:] - index.pts[first]).tolist()
    length = float((end_sec - index.times_sec[first]) / index.time_base)
    shown, later = stamps[: stop - first], stamps[stop - first :]
    end = min([max(shown[-1] + 1, round(length)), *later])
    return ([*shown, end], index.time_base), range(first, stop)


def even_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height of the packed picture: even, its shape kept, never enlarged."""
    if short_side >= min(width, height):
        return width // 2 * 2, height // 2 * 2
    scale = short_side / min(width, height)
    return 2 * round(width * scale / 2), 2 * round(height * scale / 2)


def _filtered(video: PyAVReader, chosen: range, made: dict[str, Any]) -> Iterator[Any]:
    """The chosen frames, turned, cropped and resized by FFmpeg.

    ``made['scaled']`` counts those that have not the first one's size, if any.
    """
    graph = known = None
    for frame in video.walk(chosen.start, chosen.stop):
        kind = (frame.width, frame.height, frame.format.name, orientation(frame))
        if kind != known:
            graph, known = _graph(frame, video.upright, made), kind
        if kind[:2] != video.upright.coded:
            made['scaled'] = made.get('scaled', 0) + 1
        graph.push(frame)
        yield graph.pull()


def _graph(frame: Any, upright: Upright, made: Mapping[str, Any]) -> Any:
    """FFmpeg's filters for frames like this one."""
    import av

    flags = f'flags={SCALER}+accurate_rnd+bitexact'
    (left, top, wide, high), (width, height) = made['crop'], made['size']
    filters = turning_filters(frame)
    if (wide, high) != upright.size:
        stored = (frame.width, frame.height)
        if stored[:: -1 if orientation(frame)[0] else 1] != upright.size:
            scale = f'{upright.size[0]}:{upright.size[1]}:{flags}'
            filters.append(('scale', scale))
        filters.append(('crop', f'{wide}:{high}:{left}:{top}:exact=1'))
    filters.append(('scale', f'{width}:{height}:{flags}:out_range=tv'))
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
    return graph


def encode(
    part: Path,
    frames: Iterator,
    size: tuple[int, int],
    times: Times,
    options: PackOptions,
    comment: str = '',
    sound: Iterator | None = None,
) -> None:
    """Write frames at given times; one thread, so that bytes do not depend on it."""
    import av

    stamps, scale = times[0], times[1].numerator
    unit = Fraction(1, times[1].denominator)
    settings = {'fflags': '+bitexact', 'movflags': '+faststart'}
    settings['video_track_timescale'] = str(unit.denominator)
    mean = ((len(stamps) - 1) / (stamps[-1] * times[1])).limit_denominator(1001)
    gop = str(options.gop)
    coder = {**X264, 'crf': str(options.crf), 'g': gop, 'keyint_min': gop}
    with av.open(str(part), 'w', format='mp4', options=settings) as container:
        container.metadata.update({'comment': comment} if comment else {})
        stream = container.add_stream('libx264', rate=mean, options=coder)
        piece = next(sound or iter(()), None)
        tone = piece and container.add_stream('aac', rate=_RATE, layout='stereo')
        stream.width, stream.height = size
        stream.pix_fmt = 'yuv420p'
        context = stream.codec_context
        context.time_base = unit
        # At the end of the last one None asks for what the encoder still holds.
        for stamp, frame in zip(stamps, itertools.chain(frames, [None]), strict=True):
            if not stamp:  # the first one
                for name in _COLOUR:
                    setattr(context, name, getattr(frame, name))
            if frame is not None:
                # Not the source's kinds. The end is coded in the order of its times, so
                # that MP4 keeps how long the last frame is shown.
                last = stamp in stamps[1:][-2 - int(X264['bf']) :]
                frame.pict_type = 2 if last else 0
                frame.pts, frame.time_base = stamp * scale, unit
            for packet in stream.encode(frame):
                if packet.pts == stamps[-2] * scale:
                    packet.duration = (stamps[-1] - stamps[-2]) * scale
                container.mux(packet)
            while piece and piece.pts <= stamp * times[1] * _RATE:
                container.mux(tone.encode(piece))
                piece = next(sound, None)
        container.mux(tone.encode() if tone else [])


def _sound(source: Path, times: Times) -> Iterator[Any]:
    """Sound of a file from its first frame on, as long as its times; else silence."""
    import av

    index, end_sec = index_video(source), float(times[0][-1] * times[1])
    filters = [
        ('asetpts', f'PTS-{float(index.pts[0] * index.time_base):.9f}/TB'),
        ('aresample', f'{_RATE}:async=1:min_hard_comp=0.02:first_pts=0'),
        ('aformat', 'sample_fmts=fltp:channel_layouts=stereo'),
        *(('atrim', f'end={end_sec:.6f}'), ('asetnsamples', '1024:p=0')),
    ]
    with open_container(source) as container:
        for stream in [s for s in container.streams.audio if s.codec_context][:1]:
            graph = av.filter.Graph()
            nodes = [graph.add(*pair) for pair in [*filters, ('abuffersink', None)]]
            graph.link_nodes(graph.add_abuffer(template=stream), *nodes).configure()
            for packet in container.demux(stream):
                frames = [] if packet.size else [None]
                with suppress(av.error.FFmpegError):  # damage is silent
                    frames = [*packet.decode(), *frames]
                for frame in frames:
                    with suppress(av.error.BlockingIOError, av.error.EOFError):
                        graph.push(frame)
                        while True:
                            yield graph.pull()


def verify(part: Path, times: Times, size: tuple[int, int]) -> None:
    """Decode what was written; raises ValueError if it is not what was wanted."""
    try:
        (stamps, unit), numbers = read_times(part)
        if [s * unit for s in stamps] != [s * times[1] for s in times[0]]:
            told = 'packed frames are shown at other times than in the source'
            raise ValueError(told)
        with PyAVReader(part, index_video(part)) as video:
            sizes = {(frame.width, frame.height) for frame in video.walk()}
    except BrokenVideoError as error:
        raise ValueError(f'packed file: {error.reason}') from None
    if sizes != {size}:
        told = f'{len(numbers)} packed frames of {sorted(sizes)}, expected {size}'
        raise ValueError(told)
