"""What a video shows, small enough to compare all with all: its frame marks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmma.cache import cache_home
from mmma.layout.decoding import opened_video
from mmma.layout.processes import map_in_processes
from mmma.layout.progress import progress

RATE = 8
"""Marks per second."""
CELLS = 16
_SIDE = 128  # pixels that a picture is shrunk to before cells are averaged
_SHARD = 256  # videos per file of the cache
_VERSION = 1


@dataclass
class Marks:
    """Marks of many videos.

    Attributes:
        of: File -> (T, 16, 16) float16 mean brightness of each cell, ``RATE`` times a
            second.
        broken: (file, reason) of those that could not be read.
    """

    of: dict[Path, np.ndarray] = field(default_factory=dict)
    broken: list[tuple[Path, str]] = field(default_factory=list)


def read_marks(path: Path) -> np.ndarray:
    """Marks of one video.

    Args:
        path: The file.

    Returns:
        (T, 16, 16) float16, brightness from 0 to 255 of the frames shown at 0, 1/8,
        2/8 ... seconds, upright.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read as video, or has no frame.
    """
    from av.video.reformatter import VideoReformatter

    marks: list[np.ndarray] = []
    shrink = VideoReformatter()
    with opened_video(path) as (container, stream):
        stream.thread_type = 'NONE'
        stream.codec_context.thread_count = 1
        step = 1 / (stream.average_rate or 25) / stream.time_base
        start = held = None
        time_sec = 0.0
        for number, frame in enumerate(container.decode(stream)):
            stamp = number * step if frame.pts is None else frame.pts
            start = stamp if start is None else start
            time_sec = float((stamp - start) * stream.time_base)
            while held is not None and len(marks) / RATE < time_sec - 1e-6:
                marks.append(_cells(held, shrink))
            held = frame
        if held is not None and len(marks) / RATE <= time_sec + 1e-6:
            marks.append(_cells(held, shrink))
    if not marks:
        raise ValueError('no frames')
    return np.stack(marks)


def all_marks(files: Iterable[Path], root: Path, workers: int | None) -> Marks:
    """Marks of many videos, side by side; those seen before come from a cache.

    Args:
        files: Existing ones.
        root: Data root that they belong to.
        workers: Processes; 0 reads in this one, None takes one per CPU.
    """
    cache = _Cache(root)
    keys = {file: _key(file) for file in dict.fromkeys(files)}
    found = Marks({f: cache.known[k] for f, k in keys.items() if k in cache.known})
    todo = [file for file in keys if file not in found.of]
    outcomes = map_in_processes(_try, todo, workers)
    for file, outcome in progress(outcomes, len(todo), 'look at videos'):
        if isinstance(outcome, str):
            found.broken.append((file, outcome))
        else:
            found.of[file] = outcome
            cache.add(keys[file], outcome)
    cache.flush()
    found.broken.sort()
    return found


def cache_folder() -> Path:
    """Where marks are kept: ``frame_marks`` in ``$MMMA_HOME``, or in ~/.cache/mmma."""
    return cache_home() / 'frame_marks'


class _Cache:
    """Marks on disk by path, size and time of change of the video."""

    def __init__(self, root: Path) -> None:
        name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
        self._folder = cache_folder() / f'{name}-{_VERSION}'
        self._new: dict[str, np.ndarray] = {}
        self.known = dict(_stored(self._folder))

    def add(self, key: str, marks: np.ndarray) -> None:
        self._new[key] = marks
        if len(self._new) >= _SHARD:
            self.flush()

    def flush(self) -> None:
        if not self._new:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256('\n'.join(self._new).encode()).hexdigest()[:16]
        part = self._folder / f'.{name}.part'
        with part.open('wb') as file:
            np.savez(
                file,
                keys=np.array(list(self._new)),
                lengths=np.array([len(marks) for marks in self._new.values()]),
                marks=np.concatenate(list(self._new.values())),
            )
        os.replace(part, self._folder / f'{name}.npz')
        self._new = {}


def _stored(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    for file in sorted(folder.glob('*.npz')):
        with np.load(file, allow_pickle=False) as shard:
            content: Mapping[str, np.ndarray] = dict(shard)
        ends = np.cumsum(content['lengths'])
        parts = np.split(content['marks'], ends[:-1])
        yield from zip(content['keys'].tolist(), parts, strict=True)


def _key(file: Path) -> str:
    found = file.stat()
    return f'{file.resolve()} {found.st_size} {found.st_mtime_ns}'


def _try(file: Path) -> np.ndarray | str:
    try:
        return read_marks(file)
    except (ValueError, FileNotFoundError) as error:
        return str(error)


def _cells(frame: object, shrink: object) -> np.ndarray:
    """(16, 16) float16 mean brightness."""
    small = shrink.reformat(
        frame, width=_SIDE, height=_SIDE, format='gray', interpolation='AREA'
    ).to_ndarray()
    share = _SIDE // CELLS
    cells = small.reshape(CELLS, share, CELLS, share).mean((1, 3))
    return np.rot90(cells, round(frame.rotation / 90)).astype(np.float16)
