"""Subjects, sources, files and moments that subsets share.

A camera that stands still gives one person's clips nearly the same picture, so that
equal frames prove nothing. A picture that agrees makes a pair of videos a candidate
only; what decides is whether brightness changes in the same cells at the same times.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations, product
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mmma.data.check import RootContent
from mmma.data.clips import Clip
from mmma.data.root import DataRoot
from mmma.data.videos import Video
from mmma.files import atomic_write, cache_home, map_in_processes, progress, read_text
from mmma.taxonomy import SUBSETS
from mmma.video import opened_video

RATE = 8
"""Marks per second."""
CELLS = 16
_SIDE = 128  # pixels that a picture is shrunk to before cells are averaged
_SHARD = 256  # videos per file of the cache
_VERSION = 1


Marks = dict[Path, np.ndarray]
"""File -> (T, 16, 16) float16 mean brightness of each cell, ``RATE`` times a second."""


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


def all_marks(
    files: Iterable[Path], root: Path, workers: int | None
) -> tuple[Marks, list[tuple[Path, str]]]:
    """Marks of many videos, side by side; those seen before come from a cache.

    Args:
        files: Existing ones.
        root: Data root that they belong to.
        workers: Processes; 0 reads in this one, None takes one per CPU.

    Returns:
        The marks, and (file, reason) of those that could not be read.
    """
    cache = _Cache(root)
    keys = {file: _key(file) for file in dict.fromkeys(files)}
    found = {f: cache.known[k] for f, k in keys.items() if k in cache.known}
    broken = []
    todo = [file for file in keys if file not in found]
    outcomes = map_in_processes(_try, todo, workers)
    for file, outcome in progress(outcomes, len(todo), 'look at videos'):
        if isinstance(outcome, str):
            broken.append((file, outcome))
        else:
            found[file] = outcome
            cache.add(keys[file], outcome)
    cache.flush()
    return found, sorted(broken)


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
        name = hashlib.sha256('\n'.join(self._new).encode()).hexdigest()[:16]
        with atomic_write(self._folder / f'{name}.npz', 'wb') as file:
            np.savez(
                file,
                keys=np.array(list(self._new)),
                lengths=np.array([len(marks) for marks in self._new.values()]),
                marks=np.concatenate(list(self._new.values())),
            )
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


def same_moments(
    left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, str, float, bool]]:
    """Pairs of videos that show the same, or of which one is cut from the other.

    Found across other sizes, codecs and frame rates. Not found: mirrored, cropped or
    sped up copies, and parts shorter than three quarters of a second.

    Args:
        left: Name -> (T, 16, 16) marks.
        right: Those they are compared with.

    Yields:
        Both names, the correlation of changes at the best shift, and False where too
        little moves to tell a clip from another one before the same still camera.
    """
    for a, b in candidates(left, right):
        agreement, _, decided = compare(left[a], right[b]) or (0.0, 0.0, True)
        if not decided or agreement >= MIN_AGREEMENT:
            yield a, b, agreement, decided


def candidates(
    left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]
) -> list[tuple[str, str]]:
    """Pairs whose picture agrees in any two seconds.

    Args:
        left: Name -> (T, 16, 16) marks.
        right: The same.
    """
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


def difference_hash(picture: np.ndarray) -> np.ndarray:
    """(64,) of -1, 0 and 1: is the right neighbour darker, alike or brighter?

    Args:
        picture: (16, 16) brightness.
    """
    rows = picture.astype(np.float32).reshape(8, 2, 16).mean(1)
    places = np.linspace(0, 15, 9)
    low = np.minimum(places.astype(int), 14)
    share = (places - low).astype(np.float32)
    nine = rows[:, low] * (1 - share) + rows[:, low + 1] * share
    steps = np.diff(nine, axis=1).reshape(-1)
    return (np.sign(steps) * (np.abs(steps) >= _DEAD_ZONE)).astype(np.float32)


def compare(left: np.ndarray, right: np.ndarray) -> tuple[float, float, bool] | None:
    """Fit of the shorter of two videos into the longer one.

    Args:
        left: (T, 16, 16) marks.
        right: The same.

    Returns:
        Agreement, shift in seconds, and whether enough moves to decide; None where
        they do not show the same, or are too short.
    """
    short, long = sorted((left, right), key=len)
    if len(short) < MIN_MARKS:
        return None
    a, b = _changes(short), _half_steps(_changes(long))
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
        return _still(short, long)
    scores = np.where(energy >= still, agree / np.maximum(own * energy, 1e-9), 0)
    best = int(scores.argmax())
    return float(scores[best]), best / 2 / RATE, True


def _window_means(b: np.ndarray, length: int) -> np.ndarray:
    """(S, D) mean of every window of ``length`` rows, taken at every second row."""
    made = np.empty((len(b) - 2 * (length - 1), b.shape[1]), np.float64)
    for first in (0, 1):
        rows = b[first::2].astype(np.float64)
        sums = np.concatenate([np.zeros((1, b.shape[1])), rows.cumsum(0)])
        windows = sums[length:] - sums[:-length]
        made[first::2] = windows[: len(made[first::2])] / length
    return made


def _still(short: np.ndarray, long: np.ndarray) -> tuple[float, float, bool] | None:
    """Hardly anything moves: all that can be said is that picture and length agree."""
    a, b = short.astype(np.float32).mean(0), long.astype(np.float32).mean(0)
    if len(long) - len(short) > 1 or np.abs(a - b).mean() > 2 * _DEAD_ZONE:
        return None
    return 0.0, 0.0, False


def _changes(marks: np.ndarray) -> np.ndarray:
    """(T, 256) float32, less the whole picture's brightness: lamps flicker."""
    flat = marks.astype(np.float32).reshape(len(marks), -1)
    return flat - flat.mean(1, keepdims=True)


def _half_steps(rows: np.ndarray) -> np.ndarray:
    """(2 T - 1, D): the mean of neighbours between them."""
    made = np.empty((2 * len(rows) - 1, rows.shape[1]), rows.dtype)
    made[::2] = rows
    made[1::2] = (rows[1:] + rows[:-1]) / 2
    return made


def _hashes(videos: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of each second's mean picture, (n, 64), and whose they are, (n,)."""
    made: list[np.ndarray] = []
    owners: list[int] = []
    for owner, marks in enumerate(videos.values()):
        for at in range(0, len(marks), RATE):
            made.append(difference_hash(marks[at : at + RATE].mean(0)))
            owners.append(owner)
    return np.stack(made), np.array(owners)


ERROR, WARNING, NOTE = LEVELS = ('error', 'warning', 'note')
WHAT = {
    'subjects': 'subjects (a person within a domain)',
    'sources': 'source videos',
    'files': 'video files',
    'names': 'names of clips or videos',
    'frames': 'videos that show the same',
    'still': 'videos that look the same, too still to tell',
}
_NAME_COLUMNS = ('clip', 'video_id', 'video', 'name', 'file', 'path')
EXAMPLES = 5


@dataclass(frozen=True)
class Item:
    """One clip or video, as far as leakage is concerned.

    Attributes:
        name: Clip or video.
        subject: (domain, subject), or None where unknown.
        sources: Names of the recordings that it is or was cut from.
        file: Its video, None where there is none.
    """

    name: str
    subject: tuple[str, str] | None = None
    sources: tuple[str, ...] = ()
    file: Path | None = None


@dataclass(frozen=True)
class Group:
    """Clips or videos of one subset.

    Attributes:
        origin: The root that is checked, or what it is compared with.
        task: ``rec`` or ``det``; empty for a list.
        subset: ``train``, ``val`` or ``test``.
        items: Its clips or videos.
    """

    origin: str
    task: str
    subset: str
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        """As reports call it."""
        return ' '.join(filter(None, (self.origin, self.task, self.subset)))


@dataclass(frozen=True)
class Shared:
    """Things that two groups share.

    Attributes:
        what: A key of ``WHAT``.
        left: Name of one group.
        right: Name of the other.
        count: How many.
        level: ``error`` where evaluation has seen its clips in training, ``warning``
            where people are shared or two other subsets share clips, ``note`` where one
            subset shares with itself across tasks.
        examples: The first few.
    """

    what: str
    left: str
    right: str
    count: int
    level: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class LeakageReport:
    """Everything that is shared.

    Attributes:
        rows: One per pair of groups and kind; the worst first.
        videos: How many videos were looked at.
        unreadable: (file, reason) of those that could not be.
    """

    rows: list[Shared] = field(default_factory=list)
    videos: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no clip or source of an evaluation subset is in a training subset."""
        return all(row.level != ERROR for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """The report as one JSON object."""
        rows = [asdict(row) for row in self.rows]
        return {
            'ok': self.ok,
            'videos': self.videos,
            'unreadable': [list(entry) for entry in self.unreadable],
            'shared': rows,
        }


def find_leakage(
    root: DataRoot,
    against: Sequence[Path] = (),
    workers: int | None = None,
    frames: bool = True,
) -> LeakageReport:
    """Compare the subsets of a root with each other, across tasks, and with others.

    Args:
        root: The data root.
        against: Other roots, or lists of names: a text file of one name per line, or a
            CSV file; the subset is in the name of the file, else it is ``train``.
        workers: Processes that look at videos; 0 uses this one, None one per CPU.
        frames: Whether to look at videos at all, or at names only.

    Raises:
        FileNotFoundError: There is no such root or list.
        ValueError: A list without names.
    """
    own = root_groups(root, '')
    others: list[Group] = []
    for path in against:
        if path.is_dir():
            others += root_groups(DataRoot(path), path.name)
        else:
            others.append(read_name_list(path))
    marks: Marks = {}
    broken: list[tuple[Path, str]] = []
    if frames:
        items = (item for group in own + others for item in group.items)
        files = [item.file for item in items if item.file is not None]
        marks, broken = all_marks(files, root.path, workers)
    rows: list[Shared] = []
    for left, right in [*combinations(own, 2), *product(own, others)]:
        rows += _compare(left, right, marks)
    rows.sort(key=lambda row: (LEVELS.index(row.level), list(WHAT).index(row.what)))
    unreadable = [(str(file), reason) for file, reason in broken]
    return LeakageReport(rows, len(marks), unreadable)


def root_groups(root: DataRoot, origin: str) -> list[Group]:
    """Subsets of both tables of a root; rows that cannot be read are left out.

    Args:
        root: The data root.
        origin: How reports call it.
    """
    content = RootContent(root)
    items = [
        ('rec', c.subset, _item(c.clip, c, c.source_video, root)) for c in content.clips
    ] + [('det', v.subset, _item(v.video, v, v.video, root)) for v in content.videos]
    groups = []
    for task, subset in product(('rec', 'det'), SUBSETS):
        chosen = tuple(i for t, s, i in items if (t, s) == (task, subset))
        if chosen:
            groups.append(Group(origin, task, subset, chosen))
    return groups


def read_name_list(path: Path) -> Group:
    """A list of clips of another data set as a group.

    Args:
        path: ``.csv`` with a column clip, video_id, video, name, file or path; else
            text, whose lines begin with a name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No names in it.
    """
    text = read_text(path)
    if path.suffix.lower() == '.csv':
        reader = csv.DictReader(io.StringIO(text, newline=''))
        column = next((c for c in _NAME_COLUMNS if c in (reader.fieldnames or ())), '')
        if not column:
            raise ValueError(
                f'{path}:1: no column of names; one of {", ".join(_NAME_COLUMNS)}'
            )
        names = [row[column] or '' for row in reader]
    else:
        names = [line.split()[0] for line in text.splitlines() if line.strip()]
    stems = dict.fromkeys(_stem(name) for name in names if name)
    if not stems:
        raise ValueError(f'{path}: no names in it')
    subset = next((s for s in SUBSETS if s in path.stem.lower()), 'train')
    return Group(path.name, '', subset, tuple(Item(stem) for stem in stems))


def note_on_subjects(name: str, subset: str) -> str:
    """Sentence beside a number on a data set whose subsets share people.

    Args:
        name: Of the data set, as in ``dataset.json``.
        subset: That was evaluated.

    Returns:
        One line, or nothing.

    Source: the released lists of MA-52; a subject is what comes before the first ``_``.
    """
    if name == 'MA-52' and subset == 'val':
        return (
            "MA-52's own train and val share all 186 subjects: a val number does not "
            'say how a model does on new people.'
        )
    return ''


def _item(name: str, row: Clip | Video, sources: str, root: DataRoot) -> Item:
    subject = (row.domain, row.subject) if row.subject else None
    file = root.video_path(row.path) if row.path else None
    there = file if file is not None and file.is_file() else None
    return Item(name, subject, (sources,) if sources else (), there)


def _compare(left: Group, right: Group, marks: dict[Path, Any]) -> Iterator[Shared]:
    """Rows for what two groups share."""
    subjects = _common(left, right, lambda item: [item.subject])
    sources = _common(left, right, lambda item: [_stem(s) for s in item.sources])
    files = _common(left, right, lambda item: [item.file])
    found: dict[str, list[str]] = {
        'subjects': [f'{domain} {subject}' for domain, subject in subjects],
        'sources': [str(source) for source in sources],
        'files': [str(file) for file in files],
        'names': [],
        'frames': [],
        'still': [],
    }
    if left.origin != right.origin:
        found['names'] = _common(left, right, lambda item: [_stem(item.name)])
    else:  # a file that both use is told above
        marks = {file: seen for file, seen in marks.items() if file not in files}
    for a, b, agreement, decided in same_moments(
        _marks(left, marks), _marks(right, marks)
    ):
        text = f'{a} = {b} ({agreement:.2f})' if decided else f'{a} = {b}'
        found['frames' if decided else 'still'].append(text)
    for what, things in found.items():
        if things:
            yield Shared(
                what, left.name, right.name, len(things),
                _level(what, left, right), tuple(things[:EXAMPLES]),
            )  # fmt: skip


def _marks(group: Group, marks: dict[Path, Any]) -> dict[str, Any]:
    return {item.name: marks[item.file] for item in group.items if item.file in marks}


def _common(left: Group, right: Group, keys: Any) -> list[Any]:
    mine, theirs = (
        {key for item in group.items for key in keys(item) if key}
        for group in (left, right)
    )
    return sorted(mine & theirs)


def _level(what: str, left: Group, right: Group) -> str:
    if left.subset == right.subset:
        return NOTE
    clips = what not in ('subjects', 'still')
    return ERROR if clips and 'train' in (left.subset, right.subset) else WARNING


def _stem(name: str) -> str:
    """Name without folders and suffix, in lower case."""
    return PurePosixPath(name.replace('\\', '/')).stem.lower()
