"""What the packets of a video file tell before decoding: its frames and their times."""

import contextlib
import functools
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mmma.pictures import Upright, may_change_size


class BrokenVideoError(ValueError):
    """A file that cannot be read as video: truncated, empty, without pictures."""

    def __init__(self, path: str | os.PathLike[str], reason: str = '') -> None:
        super().__init__(str(path), reason)  # both, so that it can be pickled
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f'{self.path}: {self.reason}' if self.reason else self.path


# Files for which decord and PyAV were found to give the same frames to the last bit;
# halved chroma asks for even sizes as well.
_CONTAINERS = ('mp4', 'matroska')
_CODECS = ('h264', 'hevc', 'mpeg4')
# What is opened at all: containers that hold their pictures themselves. Scripts, play
# lists and patterns of names (concat, hls, dash, image2) show what other files hold.
_OPENED = (
    *('mov,mp4,m4a,3gp,3g2,mj2', 'matroska,webm', 'avi', 'mpegts', 'mpeg', 'asf'),
    *('flv', 'ogg', 'mxf', 'dv', 'h264', 'hevc', 'm4v', 'mpegvideo'),
)
_SAFE = {'format_whitelist': ','.join(_OPENED), 'protocol_whitelist': 'file'}
# Of a picture: 5K, or more where a file is large enough for it; else it is made up.
_LEAST_PIXELS, _MOST_PIXELS, _PIXELS_PER_BYTE = 1 << 24, 1 << 27, 1000
_STAMPED = (*_CONTAINERS, 'mpegts', 'flv')  # containers with true presentation stamps
_TELL_END = ('matroska', 'avi')
_REORDERED = ('h264', 'hevc')  # headers need not tell that frames change places
_PIXEL_FORMATS = (
    *('yuv420p', 'yuv422p', 'yuv444p', 'gray'),
    *('yuvj420p', 'yuvj422p', 'yuvj444p'),
)
# decord 0.6.0 stumbles over rows of these lengths; tried: all even widths below 420.
_UNREAD_WIDTHS = (2, 8, 16, 24, 48, 72)
JOURNAL_FILE = 'packing.jsonl'
"""Of a packed root: a record of each video."""
_MOST_DAYS = 2  # of a file; whoever goes through its time step by step comes to an end
_JUMP_SEC = 1  # back: no frames that change places, but recordings behind each other
_PARTS = 16  # of a unit of time, for frames that share a stamp
# AV_DISPOSITION_DEFAULT and AV_DISPOSITION_ATTACHED_PIC, FFmpeg, avformat.h
_DEFAULT, _ATTACHED_PICTURE = 0x1, 0x400


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video in the order in which they are shown.

    Frames that an edit list hides, and those before the first one that can be decoded,
    are not there.

    Attributes:
        pts: (T,) int64 presentation stamps, ascending.
        key_pts: (G,) int64 stamps of the key frames, ascending.
        key_dts: (G,) int64 where to seek to for each of them.
        time_base: Seconds per unit of a stamp.
        last_sec: How long the last frame is shown.
        stamped: Each frame is known by its stamp; else only by its place.
        common: The packets prove that all backends give the same frames; else only
            PyAV's are right.
    """

    pts: np.ndarray
    key_pts: np.ndarray
    key_dts: np.ndarray
    time_base: Fraction
    last_sec: float
    stamped: bool
    common: bool

    @property
    def times_sec(self) -> np.ndarray:
        """(T,) float64, when each frame appears, from the first one."""
        return (self.pts - self.pts[0]) * float(self.time_base)

    @property
    def duration_sec(self) -> float:
        """From the first frame's appearance to the last one's end."""
        return float(self.times_sec[-1]) + self.last_sec

    @property
    def facts(self) -> dict[str, Any]:
        """``frames``, ``duration_sec``, mean ``fps``, stamp ``first_frame_sec``."""
        frames, duration_sec = len(self.pts), self.duration_sec
        known = dict(frames=frames, fps=frames / duration_sec)
        first_sec = float(self.pts[0] * self.time_base)
        return {**known, 'duration_sec': duration_sec, 'first_frame_sec': first_sec}

    def as_record(self) -> dict[str, Any]:
        """Plain values of a ``common`` one: stamps as steps and how often they come."""
        steps = np.diff(self.pts)
        starts = np.flatnonzero(np.diff(steps, prepend=-1))
        runs = [steps[starts], np.diff(starts, append=len(steps))]
        keys = [np.searchsorted(self.pts, self.key_pts), self.key_dts]
        found = {'first': int(self.pts[0]), 'last_sec': self.last_sec}
        found['unit'] = [self.time_base.numerator, self.time_base.denominator]
        return found | {
            'steps': np.transpose(runs).tolist(),
            'keys': np.transpose(keys).tolist(),
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> 'VideoIndex':
        """What :meth:`as_record` is of."""
        steps, often = np.array(record['steps'], np.int64).reshape(-1, 2).T
        pts = np.cumsum(np.append(record['first'], np.repeat(steps, often)))
        places, dts = np.array(record['keys'], np.int64).reshape(-1, 2).T
        unit = Fraction(*record['unit'])
        return cls(pts, pts[places], dts, unit, record['last_sec'], True, True)


def packed_index(root: str | os.PathLike[str], path: str) -> VideoIndex | None:
    """Index of a video of a packed root as its journal keeps it, if it is of this file.

    It is the one of :func:`index_video`, without reading the file.
    """
    journal = Path(root, JOURNAL_FILE)
    state = journal.stat().st_mtime_ns if journal.is_file() else 0
    known = _journal(str(journal), state).get(os.path.relpath(path, root), (-1, ''))
    with contextlib.suppress(OSError, *_ODD):
        record = json.loads(known[1]) if os.path.getsize(path) == known[0] else {}
        if record and sum(often for _, often in record['steps']) < known[0]:
            return VideoIndex.of_record(record)
    return None


_ODD = ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError
"""What comes of a record that somebody changed; the file itself is read then."""


@functools.lru_cache(4)
def _journal(path: str, state: int) -> dict[str, tuple[int, str]]:
    """By packed path: bytes, and the record of the index, of those that have one."""
    found = {}
    for line in Path(path).read_text('utf-8').splitlines() if state else ():
        with contextlib.suppress(*_ODD):
            record = json.loads(line)
            found[record['packed']] = record['bytes'], json.dumps(record['index'])
    return found


def index_video(path: str | os.PathLike[str]) -> VideoIndex:
    """Read which frames a file has, once per process while the file stays the same.

    Where its packets do not prove when each frame is shown, all of it is decoded.
    Raises FileNotFoundError, or BrokenVideoError where it cannot be read as video.
    """
    file = Path(path).absolute()
    state = file.stat() if file.is_file() else None
    return _index(path, file, state and (state.st_size, state.st_mtime_ns))


@functools.lru_cache(256)  # 0.7 MB for an hour of video
def _index(path: str | os.PathLike[str], *_: object) -> VideoIndex:
    import av

    with open_container(path) as container, broken_by_damage(path):
        stream = video_stream(container)
        packets, end_sec = _demux(container, stream)
        pts, dts, duration, key, hidden, corrupt, guessed, free = packets
        whole = int((corrupt == 0).sum())
        if 'mpegts' in container.format.name and whole < len(pts):
            # A gap in the count of transport packets, as where recordings are joined.
            text = f'{len(pts) - whole} of {len(pts)} packets may be damaged'
            warnings.warn(f'{path}: {text}', stacklevel=3)
            whole = len(pts)
        _check_complete(container, stream, len(pts), whole, end_sec)
        keys = np.array(sorted(zip(pts[key > 0], dts[key > 0], strict=True)), np.int64)
        if not len(keys):
            keys = np.array([(pts.min(), dts.min())])
        first = int(pts[key > 0][0] if key.any() else pts[0])
        # Open groups: frames that are shown before a key frame come behind it.
        last_key = np.maximum.accumulate(np.where(key > 0, pts, first))
        closed = bool(key[0] and (pts >= last_key).all())
        common = closed and not hidden.any() and not free.any()
        in_order = bool((np.diff(pts) > 0).all())
        joined = bool((np.diff(dts) * float(stream.time_base) < -_JUMP_SEC).any())
        context = stream.codec_context
        stamped = any(name in container.format.name for name in _STAMPED)
        reordered = context.has_b_frames or context.name in _REORDERED
        stamped |= in_order and not reordered
        stamped &= not joined and not guessed[hidden == 0].any()
        if stamped:
            # Of frames that change places, stamps in stored order are a bad muxer's;
            # behind a cut there may be gaps.
            doubtful = context.has_b_frames and (in_order or pts[0] < 0)
            count, bear = 24 if doubtful else 1, []
            try:
                head = _head(container, stream, int(keys[0, 1]), first, count)
                common &= Upright(stream, head[0]).plain
                bear = [frame.pts for frame in head]
                first = first if bear[0] is None else bear[0]
            except PermissionError:  # it cannot be searched
                common = stamped = False
            except (av.error.FFmpegError, IndexError):  # reading tells where
                common = False
            shown = (pts >= first) & (hidden == 0)
            if len(bear) > 1 and pts[0] < 0:
                shown &= (pts <= bear[0]) | (pts >= bear[1])
            stamps = np.sort(pts[shown] if shown.any() else pts)
            stamped &= None not in bear and bear == sorted(set(bear))
            stamped &= bool((np.diff(stamps) > 0).all())
        unit, rate = stream.time_base, max(stream.average_rate or 0, 0) or 25
        last_sec = float(duration[pts.argmax()] * unit)
        common &= stamped and _is_common(container, stream, len(pts))
    if not stamped:
        stamps, unit, stamped = _decoded_stamps(path, len(pts), unit, rate)
    if (days := float((stamps[-1] - stamps[0]) * unit + last_sec) / 86400) > _MOST_DAYS:
        text = f'its {len(stamps)} frames last {days:.3g} days: the times are damaged'
        raise BrokenVideoError(path, text)
    last_sec = last_sec if last_sec > 0 else 1 / float(rate)
    return VideoIndex(stamps, *keys.T, unit, last_sec, stamped, common)


def _head(container: Any, stream: Any, dts: int, first: int, count: int) -> list[Any]:
    """First frames, from the key frame of stamp ``first`` on where a seek finds it."""
    container.seek(dts, stream=stream)
    head = list(islice(decode_all(container, stream, first), count))
    if head[0].pts == first:
        return head
    with open_container(container.name) as again:  # a cut, or searched badly
        return list(islice(decode_all(again, video_stream(again), first), count))


def decode_all(container: Any, stream: Any, trusted: float = np.inf) -> Iterator[Any]:
    """Frames of a container that stands at its start.

    Damage before the second one is passed over, in packets of stamps below ``trusted``:
    behind a cut lie packets of frames that nobody shows. Other damage raises
    FFmpegError, and no frame at all IndexError.
    """
    import av

    count, damage = 0, IndexError('no frame decodes')
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            damage = error
            if count > 1 or (packet.pts is not None and packet.pts >= trusted):
                break
        else:
            yield from frames
            count += len(frames)
    else:
        if count:
            return
    raise damage


def _decoded_stamps(
    path: str | os.PathLike[str], packets: int, unit: Fraction, rate: Fraction
) -> tuple[np.ndarray, Fraction, bool]:
    """Stamps of the frames that come out, their unit, and whether frames bear them.

    Frames follow at their rate where they bear none, or stamps of other frames and do
    not come out of all packets.
    """
    with open_container(path) as container:
        stream = video_stream(container)
        with broken_by_damage(path):
            found = [frame.pts for frame in decode_all(container, stream)]
    if packets > len(found):
        text = f'{packets - len(found)} of {packets} packets show no picture'
        warnings.warn(f'{path}: {text}', stacklevel=3)
    known = None not in found
    if known and found == sorted(set(found)):
        return np.array(found), unit, True
    step, places = 1 / (rate * unit), np.arange(len(found))
    if known and len(found) == packets:
        # A jump back begins another recording, whose clock goes on from there.
        jumps = np.flatnonzero(np.diff(found) * float(unit) < -_JUMP_SEC) + 1
        parts = [np.sort(part) for part in np.split(np.array(found), jumps)]
        lengths = [np.ptp(part) + max(1, round(step)) for part in parts]
        starts = np.append(0, np.cumsum(lengths))
        moved = [p - p[0] + start for p, start in zip(parts, starts, strict=False)]
        # Those of one time share the time until the next one.
        stamps, first = np.unique(np.concatenate(moved), return_index=True)
        ends = np.append(stamps, stamps[-1] + max(1, round(step)))
        parts = np.interp(places, np.append(first, len(found)), ends * _PARTS)
    else:
        parts = places * float(step * _PARTS)
    return np.round(parts).astype(np.int64), unit / _PARTS, False


def open_container(path: str | os.PathLike[str]) -> Any:
    """Open a file with PyAV, to be decoded by one thread.

    Raises FileNotFoundError, or BrokenVideoError where it is empty or of no known kind.
    """
    import av

    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f'{path}: no such video file')
    if not (size := file.stat().st_size):
        raise BrokenVideoError(path, 'zero bytes')
    most = min(_MOST_PIXELS, max(_LEAST_PIXELS, _PIXELS_PER_BYTE * size))
    limits = {'max_pixels': str(most)}
    old = int(av.__version__.partition('.')[0]) < 19  # later ones never fail of it
    odd = {'metadata_errors': 'ignore'} if old else {}
    try:
        container = av.open(str(file), options=_SAFE | limits, **odd)
    except av.error.ArgumentError:
        reason = 'not a video file (MP4, MOV, Matroska, WebM, AVI, MPEG and the like)'
        raise BrokenVideoError(path, reason) from None
    except av.error.FFmpegError as error:
        reason = f'not readable as video: {error.strerror}'
        raise BrokenVideoError(path, reason) from None
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.thread_type = 'NONE'
            stream.codec_context.thread_count = 1
            stream.codec_context.options = limits
    return container


def video_stream(container: Any) -> Any:
    """The stream of moving pictures that players show: marked as default, or first.

    Cover art of a sound file is none. Without a stream that can be decoded,
    BrokenVideoError is raised.
    """
    every = container.streams.video
    moving = [s for s in every if not int(s.disposition) & _ATTACHED_PICTURE]
    if not moving:
        what = 'audio only' if container.streams.audio else 'no video stream'
        raise BrokenVideoError(container.name, what)
    chosen = min(moving, key=lambda stream: not int(stream.disposition) & _DEFAULT)
    if chosen.codec_context is None:
        raise BrokenVideoError(container.name, 'unknown codec')
    return chosen


@contextmanager
def broken_by_damage(path: str | os.PathLike[str]) -> Iterator[None]:
    """Raise what PyAV raises for a damaged file as BrokenVideoError.

    An IndexError among it: PyAV looks up streams that appear in the middle of a file.
    """
    import av

    try:
        yield
    except (av.error.FFmpegError, IndexError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise BrokenVideoError(path, f'damaged: {reason}') from None


def _demux(container: Any, stream: Any) -> tuple[np.ndarray, float]:
    """Packets of one stream, and where the last of any stream ends, in seconds.

    (8, n) int64 in stored order: presentation stamp, decoding stamp, duration, and
    whether it is a key frame, hidden, damaged, without presentation stamp, free to
    change the size.
    """
    packets: list[tuple[Any, ...]] = []
    context = stream.codec_context
    header = context.extradata or b''
    end_sec = 0.0
    for packet in container.demux():
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            end = (stamp + (packet.duration or 0)) * float(packet.time_base)
            end_sec = max(end_sec, end)
        if packet.stream_index != stream.index or not packet.size:
            continue
        # In a container of stamps: from before a lossless cut, and never shown.
        hidden = packet.is_discard or (
            stamp is None and any(n in container.format.name for n in _CONTAINERS)
        )
        if stamp is None:  # raw streams carry no stamps: frames follow at their rate
            step = 1 / (stream.time_base * (stream.average_rate or 25))
            stamp = round(len(packets) * step)
        dts = stamp if packet.dts is None else packet.dts
        flags = packet.is_keyframe, hidden, packet.is_corrupt, packet.pts is None
        free = packet.is_keyframe and may_change_size(packet, context.name, header)
        packets.append((stamp, dts, packet.duration or 0, *flags, free))
    return np.array(packets, np.int64).reshape(-1, 8).T, end_sec


def _check_complete(
    container: Any, stream: Any, packets: int, whole: int, end_sec: float
) -> None:
    # Not `stream.frames`: it counts what edit lists leave out of the index as well.
    total = max(packets, sum(entry.size > 0 for entry in stream.index_entries))
    if whole < total:
        reason = f'truncated or damaged: {whole} of {total} frames are whole'
        raise BrokenVideoError(container.name, reason)
    if not packets:
        raise BrokenVideoError(container.name, 'no frames')
    announced = (container.duration or 0) / 1e6  # where no number of frames is listed
    lost = announced - end_sec
    tells = any(name in container.format.name for name in _TELL_END)
    if tells and lost > max(0.5, 0.05 * announced):
        reason = f'truncated: ends {lost:.2f} s before its announced end'
        raise BrokenVideoError(container.name, reason)


def _is_common(container: Any, stream: Any, packets: int) -> bool:
    """True if every backend decodes and converts this kind of file alike.

    decord takes another one of several streams, needs to know the duration, and makes
    room for as many frames as a header announces.
    """
    context = stream.codec_context
    pixels = context.format and context.format.name  # pix_fmt of none ends PyAV 17.1
    plain = len(container.streams.video) == 1 and container.duration is not None
    fragments = 'mp4' in container.format.name and not stream.frames
    whole = stream.frames in (0, packets) and not fragments
    kind = context.name in _CODECS and pixels in _PIXEL_FORMATS
    even = context.height % 2 == 0 and context.width % 2 == 0
    fits = even or '420' not in str(pixels)
    known = any(name in container.format.name for name in _CONTAINERS)
    readable = fits and context.width not in _UNREAD_WIDTHS
    return plain and whole and known and kind and readable
