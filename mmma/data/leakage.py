"""Subjects, sources, files and moments that subsets share.

A camera that stands still gives one person's clips nearly the same picture, so that
equal frames prove nothing. A picture that agrees makes a pair of videos a candidate
only; what decides is whether brightness changes in the same cells at the same times.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path, PurePosixPath
from typing import Any
from unicodedata import normalize

import numpy as np

from mmma.data.check import read_tables, try_all
from mmma.data.clips import Span, read_names
from mmma.data.root import TASKS, DataRoot
from mmma.files import atomic_write, cache_home, read_own
from mmma.packets import BrokenVideoError, index_video
from mmma.pictures import turn_upright
from mmma.taxonomy import SUBSETS
from mmma.video import PyAVReader

RATE = 8
"""Marks per second."""
CELLS = 16
_SIDE = 128  # pixels that a picture is shrunk to before cells are averaged
_SHARD = 256  # videos per file of the cache
_VERSION = 3
HASH_TOLERANCE = 4
"""Bits of 64 in which difference hashes of one moment may disagree."""
MIN_AGREEMENT = 0.8
"""Correlation of changes from which two videos show the same. Three published clips
agree with their copies of 256 pixels, crf 28, to 0.97 and more."""
MOVING_CELLS = 64
"""Cells that are compared, those that change most: elsewhere is noise of encoders."""
MIN_MARKS = 6
MIN_MOTION = 0.25
"""Root mean square of changes, of 255, below which nothing can be said."""
_DEAD_ZONE = 1.0  # brightness; smaller differences do not survive a new encoding
_BLOCK = 2048

WHAT = {
    'subjects': 'subjects (a person within a domain)',
    'sources': 'source videos',
    'files': 'video files',
    'names': 'names of clips or videos',
    'frames': 'videos that show the same',
    'still': 'videos that look the same, too still to tell',
}
_LEVELS = ('error', 'warning', 'note')
_NAME_COLUMNS = ('clip', 'video_id', 'video', 'name', 'file', 'path')
EXAMPLES = 5


@dataclass(frozen=True)
class Group:
    """Clips or videos of one subset, or names of a list.

    Attributes:
        origin: The root that is checked, or what it is compared with.
        name: As reports call it.
        has: What it has of each key of ``WHAT`` that can be compared by name.
        files: Name -> video, of those that exist.
        spans: Name -> start and end in seconds, of clips that are a part of theirs.
    """

    origin: str
    name: str
    subset: str
    has: Mapping[str, set[Any]]
    files: dict[str, Path] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)

    def marks(self, marks: Mapping[Path, np.ndarray]) -> dict[str, np.ndarray]:
        """Marks of its videos by name."""
        seen = {n: marks[file] for n, file in self.files.items() if file in marks}
        for name in seen.keys() & self.spans.keys():
            start, end = (math.ceil(t * RATE - 1e-6) for t in self.spans[name])
            if start < len(seen[name]):  # else the file was cut to it already
                seen[name] = seen[name][start : max(end, start + 1)]
        return {name: own for name, own in seen.items() if len(own)}


def find_leakage(
    root: DataRoot,
    against: Sequence[Path] = (),
    workers: int | None = None,
    frames: bool = True,
) -> dict[str, Any]:
    """Compare the subsets of a root with each other, across tasks, and with others.

    Args:
        against: Other roots, or lists of names: a text file of one name per line, or a
            CSV file; the subset is in the name of the file, else it is ``train``.
        workers: Processes that look at videos, as in ``try_all``.
        frames: Look at videos, and not at names only.

    Returns:
        The report as one JSON object. ``shared`` has a row per pair of groups and kind,
        the worst first: ``what`` is a key of ``WHAT``, ``left`` and ``right`` name the
        groups, ``count`` is followed by the first ``examples``. ``level`` is ``error``
        where evaluation has seen its clips in training, ``warning`` where people are
        shared or two other subsets share clips, ``note`` where one subset shares with
        itself across tasks. ``ok`` is false where there is an error, ``videos`` says
        how many were looked at, ``unreadable`` has (file, reason) of the others.

    Raises:
        FileNotFoundError: There is no such root or list.
        ValueError: A list without names.
    """
    own = _root_groups(root, '')
    others: list[Group] = []
    for path in against:
        if path.is_dir():
            others += _root_groups(DataRoot(path), path.name)
            continue
        names, _ = read_names(path, _NAME_COLUMNS)
        stems = {_stem(name) for name in names if name}
        if not stems:
            raise ValueError(f'{path}: no names in it')
        subset = next((s for s in SUBSETS if s in path.stem.lower()), 'train')
        name = f'{path.name} {subset}'
        others.append(Group(path.name, name, subset, {'names': stems}))
    marks: dict[Path, np.ndarray] = {}
    broken: list[tuple[Path, str]] = []
    if frames:
        files = (file for group in own + others for file in group.files.values())
        marks, broken = all_marks(files, root.path, workers)
    rows: list[dict[str, Any]] = []
    for left, right in [*combinations(own, 2), *product(own, others)]:
        rows += _compare(left, right, marks)
    rows.sort(key=lambda r: (_LEVELS.index(r['level']), list(WHAT).index(r['what'])))
    return {
        'ok': all(row['level'] != 'error' for row in rows),
        'videos': len(marks),
        'unreadable': [[str(file), reason] for file, reason in broken],
        'shared': rows,
    }


def _root_groups(root: DataRoot, origin: str) -> list[Group]:
    """Subsets of both tables of a root; rows that cannot be read are left out."""
    clips, videos, *_ = read_tables(root)
    groups = {
        key: Group(origin, ' '.join((origin, *key)).strip(), key[1], defaultdict(set))
        for key in product(TASKS, SUBSETS)
    }
    for task, row in [*product(['rec'], clips), *product(['det'], videos)]:
        group = groups[task, row.subset]
        group.has['names'].add(_stem(row.name))
        if row.subject:
            group.has['subjects'].add((row.domain, row.subject))
        if source := _stem(row.source_video):
            group.has['sources'].add(source)
        file = root.video_path(row.path) if row.path else None
        if file is not None and file.is_file():
            group.has['files'].add(file)
            group.files[row.name] = file
            if row.span:
                group.spans[row.name] = row.span
    return [group for group in groups.values() if group.has['names']]


def _stem(name: str) -> str:
    """Name without folders and suffix, in lower case."""
    return normalize('NFC', PurePosixPath(name.replace('\\', '/')).stem.lower())


def _compare(
    left: Group, right: Group, marks: Mapping[Path, np.ndarray]
) -> Iterator[dict[str, Any]]:
    """Rows for what two groups share."""
    found: dict[str, list[Any]] = {
        what: sorted(left.has.get(what, set()) & right.has.get(what, set()) - {''})
        for what in ('subjects', 'sources', 'files', 'names')
    }
    found['subjects'] = [' '.join(subject) for subject in found['subjects']]
    if left.origin == right.origin:
        found['names'] = []
        # A file that both use is told already.
        marks = {f: mark for f, mark in marks.items() if f not in found['files']}
    found |= {'frames': [], 'still': []}
    for a, b, agreement in same_moments(left.marks(marks), right.marks(marks)):
        still = math.isnan(agreement)
        told = f'{a} = {b}' if still else f'{a} = {b} ({agreement:.2f})'
        found['still' if still else 'frames'].append(told)
    for what, things in found.items():
        subsets = {left.subset, right.subset}
        seen = 'train' in subsets and what not in ('subjects', 'still')
        level = 'note' if len(subsets) == 1 else 'error' if seen else 'warning'
        if things:
            row = dict(what=what, left=left.name, right=right.name, count=len(things))
            yield row | dict(level=level, examples=list(map(str, things[:EXAMPLES])))


def read_marks(path: Path) -> np.ndarray:
    """Marks of one video.

    Returns:
        (T, 16, 16) float16, brightness from 0 to 255 of the frames shown at 0, 1/8,
        2/8 ... seconds, upright.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read as video.
    """
    from av.video.reformatter import VideoReformatter

    marks: list[np.ndarray] = []
    shrink = VideoReformatter()
    try:
        with PyAVReader(path, index_video(path)) as video:
            ends_sec = [*video.times_sec[1:].tolist(), video.times_sec[-1] + 2e-6]
            for end_sec, frame in zip(ends_sec, video.walk(), strict=True):
                wanted = math.ceil((end_sec - 1e-6) * RATE) - len(marks)
                marks += [_cells(frame, shrink)] * wanted if wanted > 0 else []
    except BrokenVideoError as error:
        raise ValueError(error.reason) from None
    return np.stack(marks)


def all_marks(
    files: Iterable[Path], root: Path, workers: int | None
) -> tuple[dict[Path, np.ndarray], list[tuple[Path, str]]]:
    """Marks of many videos, side by side; those seen before come from a cache.

    The cache, ``frame_marks`` in ``cache_home``, knows a video by path, size and
    time of change, in a folder per data root. ``workers`` are as in ``try_all``.

    Returns:
        The marks, and (file, reason) of those that could not be read.
    """
    digest = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    folder = cache_home() / 'frame_marks' / f'{digest}-{_VERSION}'
    shards = sorted(folder.glob('*.npz'))
    known = {k: v for shard in shards for k, v in read_own(shard, _marks_of) or ()}
    keys = {}
    for file in dict.fromkeys(files):
        status = file.stat()
        keys[file] = f'{file.resolve()} {status.st_size} {status.st_mtime_ns}'
    found = {file: known[key] for file, key in keys.items() if key in known}
    broken = []
    new: dict[str, np.ndarray] = {}
    todo = [file for file in keys if file not in found]
    for file, outcome in try_all(read_marks, todo, workers, 'look at videos'):
        if isinstance(outcome, str):
            broken.append((file, outcome))
            continue
        found[file] = new[keys[file]] = outcome
        if len(new) >= _SHARD:
            _store(folder, new)
            new = {}
    _store(folder, new)
    return found, sorted(broken)


def _store(folder: Path, marks: Mapping[str, np.ndarray]) -> None:
    if not marks:
        return
    name = hashlib.sha256('\n'.join(marks).encode()).hexdigest()[:16]
    with atomic_write(folder / f'{name}.npz', 'wb') as file:
        np.savez(
            file,
            keys=np.array(list(marks)),
            lengths=np.array([len(seen) for seen in marks.values()]),
            marks=np.concatenate(list(marks.values())),
        )


def _marks_of(shard: Mapping[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    marks, ends = shard['marks'], np.cumsum(shard['lengths'])
    keys, right = shard['keys'].tolist(), bool(((marks >= 0) & (marks < 256)).all())
    right &= set(map(type, keys)) == {str} and shard['lengths'].min() > 0
    if marks.shape[1:] != (CELLS, CELLS) or len(marks) != ends[-1] or not right:
        raise ValueError(f'{marks.shape} marks')
    return list(zip(keys, np.split(marks, ends[:-1]), strict=True))


def _cells(frame: object, shrink: object) -> np.ndarray:
    """(16, 16) float16 mean brightness."""
    how = {'format': 'gray', 'interpolation': 'AREA', 'threads': 1}
    small = shrink.reformat(frame, width=_SIDE, height=_SIDE, **how).to_ndarray()
    share = _SIDE // CELLS
    cells = small.reshape(CELLS, share, CELLS, share).mean((1, 3))
    return turn_upright(cells, frame).astype(np.float16)


def same_moments(
    left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, str, float]]:
    """Pairs of videos that show the same, or of which one is cut from the other.

    Found across other sizes, codecs and frame rates. Not found: mirrored, cropped or
    sped up copies, and parts shorter than three quarters of a second. Both have
    (T, 16, 16) marks by name.

    Yields:
        Both names, and the correlation of changes at the best shift; NaN where too
        little moves to tell a clip from another one before the same still camera.
    """
    for a, b in _candidates(left, right):
        agreement = marks_agreement(left[a], right[b])
        if not agreement < MIN_AGREEMENT:
            yield a, b, agreement


def _candidates(
    left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]
) -> list[tuple[str, str]]:
    """Pairs whose picture agrees in any two seconds."""
    if not left or not right:
        return []
    hashes, owners = _hashes(left)
    others, other_owners = _hashes(right)
    pairs: set[tuple[int, int]] = set()
    for at in range(0, len(hashes), _BLOCK):
        mine = hashes[at : at + _BLOCK]
        for to in range(0, len(others), _BLOCK):
            theirs = others[to : to + _BLOCK]
            known = np.abs(mine) @ np.abs(theirs).T
            unlike = (known - mine @ theirs.T) / 2
            i, j = np.nonzero(unlike <= HASH_TOLERANCE)
            found = zip(owners[at + i], other_owners[to + j], strict=True)
            pairs.update((int(mine), int(other)) for mine, other in found)
    names, other_names = list(left), list(right)
    return [(names[i], other_names[j]) for i, j in sorted(pairs)]


def _hashes(videos: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of each second's mean picture, (n, 64), and whose they are, (n,)."""
    made = [
        (_difference_hash(marks[at : at + RATE].mean(0)), owner)
        for owner, marks in enumerate(videos.values())
        for at in range(0, len(marks), RATE)
    ]
    hashes, owners = zip(*made, strict=True)
    return np.stack(hashes), np.array(owners)


def _difference_hash(picture: np.ndarray) -> np.ndarray:
    """(64,) of -1, 0 and 1: is the right neighbour darker, alike or brighter?"""
    rows = picture.astype(np.float32).reshape(8, 2, 16).mean(1)
    places = np.linspace(0, 15, 9)
    low = np.minimum(places.astype(int), 14)
    share = (places - low).astype(np.float32)
    nine = rows[:, low] * (1 - share) + rows[:, low + 1] * share
    steps = np.diff(nine, axis=1).reshape(-1)
    return (np.sign(steps) * (np.abs(steps) >= _DEAD_ZONE)).astype(np.float32)


def marks_agreement(left: np.ndarray, right: np.ndarray) -> float:
    """Correlation of changes where the shorter of two videos fits best into the other.

    Returns:
        0 where they do not show the same or are too short; NaN where picture and length
        agree, and too little moves to say more.
    """
    short, long = sorted((left, right), key=len)
    if len(short) < MIN_MARKS:
        return 0.0
    a, steps = _changes(short), _changes(long)
    b = np.repeat(steps, 2, axis=0)[:-1]  # the mean of neighbours between them
    b[1::2] = (steps[1:] + steps[:-1]) / 2
    moving = np.argsort(-a.var(0), kind='stable')[:MOVING_CELLS]
    a, b = a[:, moving], b[:, moving]
    shifts = np.arange(len(b) - 2 * (len(a) - 1))
    places = shifts[:, None] + 2 * np.arange(len(a))
    a = a - a.mean(0)
    products = b @ a.T  # (2 T_long - 1, T_short)
    agree = products[places, np.arange(len(a))].sum(1)
    squares = (b * b).sum(1)[places].sum(1)
    means = _window_means(b, len(a))
    energy = np.sqrt(np.maximum(squares - len(a) * (means * means).sum(1), 0))
    own = np.sqrt((a * a).sum())
    still = MIN_MOTION * np.sqrt(a.size)
    if own < still or energy.max() < still:
        pictures = (marks.astype(np.float32).mean(0) for marks in (short, long))
        unlike = np.abs(np.subtract(*pictures)).mean() > 2 * _DEAD_ZONE
        return 0.0 if unlike or len(long) - len(short) > 1 else math.nan
    scores = np.where(energy >= still, agree / np.maximum(own * energy, 1e-9), 0)
    return float(scores.max())


def _window_means(b: np.ndarray, length: int) -> np.ndarray:
    """(S, D) mean of every window of ``length`` rows, taken at every second row."""
    rows = np.pad(b.astype(np.float64), ((2, len(b) % 2), (0, 0)))
    sums = rows.reshape(-1, 2, b.shape[1]).cumsum(0).reshape(rows.shape)
    windows = sums[2 * length :] - sums[: -2 * length]
    return windows[: len(b) - 2 * (length - 1)] / length


def _changes(marks: np.ndarray) -> np.ndarray:
    """(T, 256) float32, less the whole picture's brightness: lamps flicker."""
    flat = marks.astype(np.float32).reshape(len(marks), -1)
    return flat - flat.mean(1, keepdims=True)
