"""Memory-mapped stores of skeletons and features.

Skeletons of a data root: one memory-mapped int16 array per task, and its index.

``rec.npy`` and ``det.npy`` are (sum of T, M, V, 3): x and y in 1/16 pixel, then the
score times ``score_scale``.

Features of a data root: one memory-mapped array per task, its index, what made it.

``features/<name>/`` holds ``det.npy`` (sum of T, D), ``det_index.csv``, the same for
``rec``, and ``features.json``, which both tasks share.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO

import numpy as np

from mmma.data.joints import WHOLEBODY65, JointLayout, read_layout, write_layout
from mmma.files import atomic_write, leaves_root, read_text
from mmma.taxonomy import check_choice, suggest

STEPS_PER_PIXEL = 16
COLUMNS = ('name', 'start', 'frames', 'fps', 'width', 'height', 'persons')
_LIMIT_PX = 32767 / STEPS_PER_PIXEL
HEADER_BYTES = 128


class IndexRow(NamedTuple):
    """One row of an index: where a clip's frames lie in the array.

    Attributes:
        name: Clip or video.
        start: Its first row in the array.
        frames: T, its number of rows.
        fps: Frames per second.
        width: Width of the picture that coordinates refer to, pixels.
        height: Its height.
        persons: How many of the M places are people.
    """

    name: str
    start: int
    frames: int
    fps: float
    width: int
    height: int
    persons: int


def read_index(path: Path) -> dict[str, IndexRow]:
    """Read an index.

    Args:
        path: ``rec_index.csv`` or ``det_index.csv``.

    Returns:
        Rows by name, in the order of the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Another header, a bad row, or a name twice.
    """
    lines = read_text(path).splitlines()
    rows: dict[str, IndexRow] = {}
    if not lines or lines[0].split(',') != list(COLUMNS):
        raise ValueError(f'{path}:1: the header must be {",".join(COLUMNS)}')
    for line, values in enumerate(csv.reader(lines[1:]), start=2):
        try:
            name, start, frames, fps, width, height, persons = values
            row = IndexRow(
                name,
                int(start),
                int(frames),
                float(fps),
                int(width),
                int(height),
                int(persons),
            )
        except ValueError as error:
            raise ValueError(f'{path}:{line}: bad row {values}: {error}') from None
        if name in rows:
            raise ValueError(f'{path}:{line}: {name!r} is there twice')
        rows[name] = row
    return rows


def encode_joints(
    keypoints: np.ndarray, scores: np.ndarray, score_scale: int
) -> np.ndarray:
    """Joints as they are stored.

    Args:
        keypoints: (M, T, V, 2) in pixels; whatever a joint of score 0 has there is
            stored as 0.
        scores: (M, T, V) in [0, 1].
        score_scale: What 1 becomes.

    Returns:
        (T, M, V, 3) int16.

    Raises:
        ValueError: Shapes do not fit, a score is outside [0, 1], or a coordinate is not
            finite or too large for 1/16 pixel in 16 bits.
    """
    keypoints, scores = np.asarray(keypoints, float), np.asarray(scores, float)
    if keypoints.ndim != 4 or keypoints.shape != (*scores.shape, 2):
        raise ValueError(
            f'keypoints {keypoints.shape} and scores {scores.shape}: need (M, T, V, 2) '
            'and (M, T, V)'
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError('scores must be in [0, 1], without NaN')
    keypoints = np.where(scores[..., None] > 0, keypoints, 0)
    if not (np.abs(keypoints) <= _LIMIT_PX).all():  # NaN fails too
        raise ValueError(
            f'coordinates must be finite and within {_LIMIT_PX:.0f} pixels of the '
            'origin; scale them down, with width and height'
        )
    encoded = np.concatenate(
        [keypoints * STEPS_PER_PIXEL, scores[..., None] * score_scale], axis=-1
    )
    return np.rint(encoded).astype(np.int16).transpose(1, 0, 2, 3)


def write_index(path: Path, rows: Iterable[IndexRow]) -> None:
    """Write an index.

    Args:
        path: ``rec_index.csv`` or ``det_index.csv``.
        rows: Its rows, in the order of the array.
    """
    with atomic_write(path) as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def array_header(shape: tuple[int, ...], dtype: str = '<i2') -> bytes:
    """Header of a version 1.0 ``.npy`` file, padded to a fixed length.

    Args:
        shape: Of the array.
        dtype: Type of its numbers, as numpy writes it.

    Its length is known before the number of frames is, so that the array can be written
    as it comes. Source: numpy.lib.format, format version 1.0.
    """
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    length = HEADER_BYTES - 10
    start = b'\x93NUMPY\x01\x00' + length.to_bytes(2, 'little')
    return start + text.ljust(length - 1).encode() + b'\n'


class SkeletonStore:
    """Skeletons of one task, read by clip.

    The array is mapped again after pickling, so that workers share its pages instead
    of copying them.

    Args:
        root: The data root.
        task: ``rec`` or ``det``.

    Raises:
        FileNotFoundError: The root has no skeletons for the task.
        ValueError: Array, index and layout do not fit together.
    """

    def __init__(self, root: str | os.PathLike[str], task: str) -> None:
        check_choice('task', task, ('rec', 'det'))
        self.path = Path(root) / 'skeletons' / f'{task}.npy'
        if not self.path.is_file():
            raise FileNotFoundError(f'no skeletons for task {task!r}: {self.path}')
        self.layout = read_layout(self.path.parent)
        self.index = read_index(self.path.with_name(f'{task}_index.csv'))
        self._array: np.ndarray | None = None
        self._check()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_array': None}

    def __len__(self) -> int:
        return len(self.index)

    def __contains__(self, name: str) -> bool:
        return name in self.index

    @property
    def names(self) -> list[str]:
        """Clips, in the order of the index."""
        return list(self.index)

    def frames(self, name: str) -> int:
        """T of a clip."""
        return self._row(name).frames

    def fps(self, name: str) -> float:
        """Frames per second of a clip."""
        return self._row(name).fps

    def size(self, name: str) -> tuple[int, int]:
        """Width and height in pixels of the picture that coordinates refer to."""
        row = self._row(name)
        return row.width, row.height

    def get(
        self,
        name: str,
        joints: Sequence[str] | None = None,
        frames: slice | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Joints of a clip.

        Args:
            name: The clip.
            joints: V names in the order wanted; by default those of the layout. Joints
                that this store lacks get score 0.
            frames: Which of them, in steps of 1; nothing else is read. None is all.

        Returns:
            Keypoints (M, T, V, 2) in pixels and scores (M, T, V) in [0, 1], float32; M
            is the clip's number of persons.

        Raises:
            ValueError: An unknown clip, or a joint of no known layout.
        """
        row = self._row(name)
        first, stop, _ = (frames or slice(None)).indices(row.frames)
        rows = slice(row.start + first, row.start + stop)
        raw = np.asarray(self._open()[rows, : row.persons], np.float32)
        raw = raw.transpose(1, 0, 2, 3)  # (T, M, V, 3) -> (M, T, V, 3)
        if joints is not None:
            raw = self._select(raw, joints)
        keypoints = raw[..., :2] / np.float32(STEPS_PER_PIXEL)
        return keypoints, raw[..., 2] / np.float32(self.layout.score_scale)

    def _select(self, raw: np.ndarray, joints: Sequence[str]) -> np.ndarray:
        have = {joint: i for i, joint in enumerate(self.layout.names)}
        known = (*self.layout.names, *WHOLEBODY65.names)
        for joint in joints:
            if joint not in known:
                raise ValueError(f'unknown joint {joint!r}.{suggest(joint, known)}')
        places = np.array([have.get(joint, -1) for joint in joints])
        picked = raw[:, :, places]
        picked[:, :, places < 0] = 0
        return picked

    def _row(self, name: str) -> IndexRow:
        if name not in self.index:
            raise ValueError(
                f'no skeleton of {name!r} in {self.path}.{suggest(name, self.index)}'
            )
        return self.index[name]

    def _open(self) -> np.ndarray:
        if self._array is None:
            try:
                self._array = np.load(self.path, mmap_mode='r', allow_pickle=False)
            except (ValueError, OSError) as error:
                raise ValueError(
                    f'{self.path}: not a skeleton array, or cut off: {error}'
                ) from None
        return self._array

    def _check(self) -> None:
        array = self._open()
        joints = len(self.layout.names)
        if array.dtype != np.int16 or array.ndim != 4 or array.shape[2:] != (joints, 3):
            raise ValueError(
                f'{self.path}: {array.dtype} {array.shape}, but layout.json asks for '
                f'int16 (frames, persons, {joints}, 3)'
            )
        start = 0
        for row in self.index.values():
            if row.start != start or not 1 <= row.persons <= array.shape[1]:
                raise ValueError(
                    f'{self.path}: index row {row} does not fit; expected start '
                    f'{start} and 1 to {array.shape[1]} persons'
                )
            start += row.frames
        if start != len(array):
            raise ValueError(
                f'{self.path}: {len(array)} frames, but its index adds up to {start}'
            )


class SkeletonWriter:
    """Writes the skeletons of one task, clip by clip; the same input, the same bytes.

    Use it in a ``with`` block: the files appear when the block ends well, and nothing
    is left when it fails.

    Args:
        root: The data root.
        task: ``rec`` or ``det``.
        layout: The joints.
        max_persons: M, places per frame; clips with fewer people are padded.

    Raises:
        ValueError: The root's other task has skeletons in another layout.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        task: str,
        layout: JointLayout,
        max_persons: int = 1,
    ) -> None:
        check_choice('task', task, ('rec', 'det'))
        self._folder = Path(root) / 'skeletons'
        self._folder.mkdir(parents=True, exist_ok=True)
        self._task, self._layout, self._max_persons = task, layout, max_persons
        other = self._folder / f'{"det" if task == "rec" else "rec"}.npy'
        if other.is_file() and read_layout(self._folder) != layout:
            raise ValueError(
                f'{other} is in another joint layout; both tasks of a root share one'
            )
        self._part = self._folder / f'.{task}.npy.part'
        self._file = self._part.open('wb')
        self._file.write(bytes(HEADER_BYTES))
        self._rows: dict[str, IndexRow] = {}
        self._frames = 0

    def __enter__(self) -> SkeletonWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def append(
        self,
        name: str,
        keypoints: np.ndarray,
        scores: np.ndarray,
        fps: float,
        width: int,
        height: int,
    ) -> None:
        """Add a clip.

        Args:
            name: The clip.
            keypoints: (M, T, V, 2) in pixels.
            scores: (M, T, V) in [0, 1].
            fps: Frames per second.
            width: Width of the picture, pixels.
            height: Its height.

        Raises:
            ValueError: As ``encode_joints`` and ``append_encoded``.
        """
        try:
            encoded = encode_joints(keypoints, scores, self._layout.score_scale)
        except ValueError as error:
            raise ValueError(f'skeleton of {name!r}: {error}') from None
        self.append_encoded(name, encoded, fps, width, height)

    def append_encoded(
        self, name: str, encoded: np.ndarray, fps: float, width: int, height: int
    ) -> None:
        """Add a clip that ``encode_joints`` made, perhaps in another process.

        Args:
            name: The clip.
            encoded: (T, M, V, 3) int16.
            fps: Frames per second.
            width: Width of the picture, pixels.
            height: Its height.

        Raises:
            ValueError: A name twice, no frame, too many persons, another number of
                joints.
        """
        frames, persons, joints, _ = encoded.shape
        if name in self._rows:
            raise ValueError(f'skeleton of {name!r} is there twice')
        if not frames or not 1 <= persons <= self._max_persons:
            raise ValueError(
                f'skeleton of {name!r}: {frames} frames of {persons} persons; need at '
                f'least 1 frame and 1 to {self._max_persons} persons (max_persons)'
            )
        if joints != len(self._layout.names):
            raise ValueError(
                f'skeleton of {name!r}: {joints} joints, the layout has '
                f'{len(self._layout.names)}'
            )
        padding = np.zeros((frames, self._max_persons - persons, joints, 3), np.int16)
        rows = np.concatenate([encoded, padding], axis=1).astype('<i2')
        self._file.write(np.ascontiguousarray(rows).data)
        row = IndexRow(
            name, self._frames, frames, float(fps), int(width), int(height), persons
        )
        self._rows[name] = row
        self._frames += frames

    def close(self) -> None:
        """Finish: write the header, then array, index and layout under their names.

        Raises:
            ValueError: No clip was added.
        """
        if not self._rows:
            self.discard()
            raise ValueError(f'{self._folder}: no skeleton to write')
        joints = len(self._layout.names)
        self._file.seek(0)
        self._file.write(array_header((self._frames, self._max_persons, joints, 3)))
        self._file.close()
        write_layout(self._folder, self._layout)
        index = self._folder / f'{self._task}_index.csv'
        write_index(index, self._rows.values())
        os.replace(self._part, self._folder / f'{self._task}.npy')

    def discard(self) -> None:
        """Leave nothing behind."""
        self._file.close()
        self._part.unlink(missing_ok=True)


INFO_FILE = 'features.json'
INDEX_COLUMNS = ('name', 'start', 'steps')
DTYPES = ('float16', 'float32')


class FeatureRow(NamedTuple):
    """One row of an index.

    Attributes:
        name: Clip or video.
        start: Its first row in the array.
        steps: T, its number of rows.
    """

    name: str
    start: int
    steps: int


@dataclass(frozen=True)
class FeaturesInfo:
    """What ``features.json`` says: how features lie in time, and what made them.

    Feature t of a video belongs to the time ``offset_sec + t * stride_sec``.

    Attributes:
        stride_sec: Seconds from one feature to the next.
        dim: D.
        offset_sec: Time of the first: the middle of the frames that it sees.
        fps: Frames per second that the backbone saw.
        dtype: ``float16`` or ``float32``, as stored.
        backbone: What made them: a config or model name.
        weights_sha256: Of the checkpoint.
        data_fingerprint: Of the data root, as ``DataRoot.fingerprint`` gives it.

    Raises:
        ValueError: A value of another type or range.
    """

    stride_sec: float
    dim: int
    offset_sec: float = 0.0
    fps: float | None = None
    dtype: str = 'float16'
    backbone: str = ''
    weights_sha256: str = ''
    data_fingerprint: str = ''

    def __post_init__(self) -> None:
        check_choice('dtype', self.dtype, DTYPES)
        for name in ('stride_sec', 'dim', 'fps'):
            value = getattr(self, name)
            if name == 'fps' and value is None:
                continue
            if not _is_number(value) or value <= 0:
                raise ValueError(f'{name} {value!r}: must be a number above 0')
        if not _is_number(self.offset_sec):
            raise ValueError(f'offset_sec {self.offset_sec!r}: must be a number')
        if self.dim != int(self.dim):
            raise ValueError(f'dim {self.dim!r}: must be a whole number')


def read_features_info(folder: Path) -> FeaturesInfo:
    """Read ``features.json``.

    Args:
        folder: ``features/<name>`` of a data root.

    Raises:
        FileNotFoundError: There is none.
        ValueError: Not JSON, or a key that is missing, unknown or bad.
    """
    file = Path(folder) / INFO_FILE
    try:
        content = json.loads(read_text(file))
        known = tuple(field.name for field in fields(FeaturesInfo))
        for key in content:
            check_choice('key', key, known)
        return FeaturesInfo(**content)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f'{file}: {error}') from None


def write_features_info(folder: Path, info: FeaturesInfo) -> None:
    """Write ``features.json``.

    Args:
        folder: ``features/<name>`` of a data root.
        info: What to write.
    """
    with atomic_write(Path(folder) / INFO_FILE) as file:
        file.write(json.dumps(asdict(info), indent=1) + '\n')


def read_feature_index(path: Path, partial: bool = False) -> dict[str, FeatureRow]:
    """Read an index.

    Args:
        path: ``rec_index.csv`` or ``det_index.csv``.
        partial: It may be cut off in the middle of its last line, which is left out.

    Returns:
        Rows by name, in the order of the file, one after the other in the array.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Another header, a bad row, or a name twice.
    """
    text = read_text(path)
    if partial:
        text = text[: text.rfind('\n') + 1]
    lines = list(csv.reader(io.StringIO(text)))
    if not lines or tuple(lines[0]) != INDEX_COLUMNS:
        raise ValueError(f'{path}:1: the header must be {",".join(INDEX_COLUMNS)}')
    rows: dict[str, FeatureRow] = {}
    start = 0
    for line, values in enumerate(lines[1:], start=2):
        try:
            name, first, steps = values[0], int(values[1]), int(values[2])
        except (ValueError, IndexError) as error:
            raise ValueError(f'{path}:{line}: bad row {values}: {error}') from None
        if name in rows or first != start or steps < 1:
            raise ValueError(
                f'{path}:{line}: {name!r} must be there once, start at {start} and '
                f'have 1 step or more, not start at {first} with {steps}'
            )
        rows[name] = FeatureRow(name, first, steps)
        start += steps
    return rows


def index_line(row: tuple[Any, ...]) -> str:
    """A line of an index, with its end.

    Args:
        row: The header or a ``FeatureRow``.
    """
    line = io.StringIO()
    csv.writer(line, lineterminator='\n').writerow(row)
    return line.getvalue()


def differences(info: FeaturesInfo, wanted: Mapping[str, Any]) -> list[str]:
    """What differs from what is wanted, in words.

    Args:
        info: What there is.
        wanted: Some of its fields; None wants nothing. Hashes may be shortened, and
            times agree to a millionth.
    """
    found = []
    for key, value in wanted.items():
        check_choice('feature option', key, tuple(f.name for f in fields(info)))
        own = getattr(info, key)
        if value is None:
            continue
        if isinstance(value, float) and own is not None:
            same = math.isclose(own, value, rel_tol=1e-6, abs_tol=1e-9)
        elif key in ('weights_sha256', 'data_fingerprint') and value:
            same = own.startswith(value)
        else:
            same = own == value
        if not same:
            found.append(f'{key} is {own!r}, wanted {value!r}')
    return found


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


TASKS = ('rec', 'det')


def feature_names(root: str | os.PathLike[str]) -> list[str]:
    """Names of the features that a data root has.

    Args:
        root: The data root.
    """
    return sorted(p.parent.name for p in Path(root).glob(f'features/*/{INFO_FILE}'))


class FeatureStore:
    """Features of one task, read by clip or video.

    The array is mapped again after pickling, so that workers share its pages.

    Args:
        root: The data root.
        name: Of the features.
        task: ``rec`` or ``det``.

    Raises:
        FileNotFoundError: The root has no such features for the task.
        ValueError: Array, index and ``features.json`` do not fit together.
    """

    def __init__(
        self, root: str | os.PathLike[str], name: str, task: str = 'det'
    ) -> None:
        self.path = _folder(root, name) / f'{check_choice("task", task, TASKS)}.npy'
        if not self.path.is_file():
            have = feature_names(root)
            raise FileNotFoundError(
                f'no features {name!r} for task {task!r}: {self.path}. Extract them '
                f'with `python tools/data/features.py`, or use one of: '
                f'{", ".join(have) or "none yet"}.{suggest(name, have)}'
            )
        self.info = read_features_info(self.path.parent)
        self.index = read_feature_index(self.path.with_name(f'{task}_index.csv'))
        self._array: np.ndarray | None = None
        self._check()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_array': None}

    def __len__(self) -> int:
        return len(self.index)

    def __contains__(self, name: str) -> bool:
        return name in self.index

    @property
    def names(self) -> list[str]:
        """Clips or videos, in the order of the index."""
        return list(self.index)

    def steps(self, name: str) -> int:
        """T of a clip or video."""
        return self._row(name).steps

    def get(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Features of a clip or video; nothing else is read.

        Args:
            name: Clip or video.
            start: First step.
            stop: Step after the last; None is the end.

        Returns:
            (T, D) float32, a copy.

        Raises:
            ValueError: An unknown name.
        """
        row = self._row(name)
        first, last, _ = slice(start, stop).indices(row.steps)
        rows = slice(row.start + first, row.start + last)
        return np.array(self._open()[rows], np.float32)

    def require(self, **wanted: Any) -> FeatureStore:
        """Check what made the features.

        Args:
            **wanted: Fields of ``FeaturesInfo`` that must have these values; None
                wants nothing, and a hash may be shortened.

        Raises:
            ValueError: Something differs.
        """
        found = differences(self.info, wanted)
        if found:
            raise ValueError(
                f'{self.path.parent / INFO_FILE}: {"; ".join(found)}. These features '
                'are not what the config asks for: extract them with its settings '
                '(`python tools/data/features.py`), or change the config'
            )
        return self

    def _row(self, name: str) -> FeatureRow:
        if name not in self.index:
            raise ValueError(
                f'no features of {name!r} in {self.path}, which has {len(self)} '
                'others: extract them for these tables.'
                f'{suggest(name, self.index)}'
            )
        return self.index[name]

    def _open(self) -> np.ndarray:
        if self._array is None:
            try:
                self._array = np.load(self.path, mmap_mode='r', allow_pickle=False)
            except (ValueError, OSError, EOFError) as error:
                raise ValueError(
                    f'{self.path}: not a feature array, or cut off: {error}'
                ) from None
        return self._array

    def _check(self) -> None:
        array, info = self._open(), self.info
        shape = (sum(row.steps for row in self.index.values()), info.dim)
        if array.dtype != info.dtype or array.shape != shape:
            raise ValueError(
                f'{self.path}: {array.dtype} {array.shape}, but its index and '
                f'{INFO_FILE} say {info.dtype} {shape}'
            )


class FeatureWriter:
    """Writes the features of one task, clip by clip or video by video.

    Use it in a ``with`` block: the files appear when the block ends well. When it
    fails, or the process dies, what was written is kept aside, and a writer of the same
    features goes on from there; one of other features starts anew.

    Args:
        root: The data root.
        name: Of the features.
        info: How they lie in time, and what makes them.
        task: ``rec`` or ``det``.

    Raises:
        ValueError: A bad name, or the other task's features of this name are not made
            by the same.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        name: str,
        info: FeaturesInfo,
        task: str = 'det',
    ) -> None:
        check_choice('task', task, TASKS)
        self.info, self._task = info, task
        self._final = _folder(root, name)
        self._refuse_other_info()
        self._parts = self._final / f'.{task}.part'
        self._parts.mkdir(parents=True, exist_ok=True)
        self._rows = self._resume()
        self._steps = sum(row.steps for row in self._rows.values())
        self._array, self._index = self._open_parts()

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.pause()

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    @property
    def names(self) -> list[str]:
        """What is written, also by an earlier writer that was interrupted."""
        return list(self._rows)

    def append(self, name: str, features: np.ndarray) -> None:
        """Add a clip or video; it is on disk afterwards.

        Args:
            name: Clip or video.
            features: (T, D).

        Raises:
            ValueError: A name twice, another shape, or numbers that are not finite as
                they are stored.
        """
        if name in self._rows:
            raise ValueError(f'features of {name!r} are there twice')
        found = np.asarray(features)
        if found.ndim != 2 or not len(found) or found.shape[1] != self.info.dim:
            raise ValueError(
                f'features of {name!r} have shape {found.shape}: need (T, '
                f'{self.info.dim}), T from 1'
            )
        with np.errstate(over='ignore'):
            stored = np.ascontiguousarray(found, _little(self.info))
        if not np.isfinite(stored).all():
            raise ValueError(
                f'features of {name!r} are not all finite as {self.info.dtype}'
                ': find out why, or store float32'
            )
        row = FeatureRow(name, self._steps, len(stored))
        self._array.write(stored.data)
        self._array.flush()
        self._index.write(index_line(row))
        self._index.flush()
        self._rows[name] = row
        self._steps += len(stored)

    def close(self) -> None:
        """Finish: index and sidecar under their names, then the array.

        Raises:
            ValueError: Nothing was added.
        """
        if not self._rows:
            self.discard()
            raise ValueError(f'{self._final}: no features to write')
        self._array.seek(0)
        shape = (self._steps, self.info.dim)
        self._array.write(array_header(shape, _little(self.info).str))
        self.pause()
        target = self._final / f'{self._task}.npy'
        target.unlink(missing_ok=True)  # never an array with another's index
        write_features_info(self._final, self.info)
        os.replace(self._parts / 'index.csv', target.with_name(self._task + _INDEX))
        os.replace(self._parts / 'array', target)
        self._remove_parts()

    def pause(self) -> None:
        """Close the files, and keep them to go on later."""
        self._array.close()
        self._index.close()

    def discard(self) -> None:
        """Leave nothing of this task behind but what was finished before."""
        self.pause()
        self._remove_parts()

    def _remove_parts(self) -> None:
        for name in ('array', 'index.csv', INFO_FILE):
            (self._parts / name).unlink(missing_ok=True)
        self._parts.rmdir()

    def _refuse_other_info(self) -> None:
        other = next(task for task in TASKS if task != self._task)
        if (self._final / f'{other}.npy').is_file():
            found = differences(read_features_info(self._final), _identity(self.info))
            if found:
                raise ValueError(
                    f'{self._final} has {other} features that are made otherwise: '
                    f'{"; ".join(found)}. Choose another name, or delete them'
                )

    def _resume(self) -> dict[str, FeatureRow]:
        """Rows that an interrupted writer of the same features left whole."""
        try:
            if read_features_info(self._parts) != self.info:
                return {}
            rows = read_feature_index(self._parts / 'index.csv', partial=True)
            written = (self._parts / 'array').stat().st_size - HEADER_BYTES
        except (FileNotFoundError, ValueError):
            return {}
        whole = written // (self.info.dim * _little(self.info).itemsize)
        return {n: row for n, row in rows.items() if row.start + row.steps <= whole}

    def _open_parts(self) -> tuple[BinaryIO, TextIO]:
        """The two files, holding the rows that are whole and nothing after them."""
        write_features_info(self._parts, self.info)
        size = self._steps * self.info.dim * _little(self.info).itemsize
        path = self._parts / 'array'
        array = path.open('r+b' if self._rows else 'w+b')
        array.truncate(HEADER_BYTES + size)  # makes it as long as well
        array.seek(0, os.SEEK_END)
        index = (self._parts / 'index.csv').open('w', encoding='utf-8', newline='')
        index.writelines(map(index_line, (INDEX_COLUMNS, *self._rows.values())))
        index.flush()
        return array, index


_INDEX = '_index.csv'


def _little(info: FeaturesInfo) -> np.dtype:
    return np.dtype(info.dtype).newbyteorder('<')


def _identity(info: FeaturesInfo) -> Mapping[str, Any]:
    return {k: v for k, v in asdict(info).items() if k != 'data_fingerprint'}


def _folder(root: str | os.PathLike[str], name: str) -> Path:
    if not name or leaves_root(name) or '/' in name or name.startswith('.'):
        raise ValueError(
            f'features {name!r}: use a plain folder name, such as videomae-s'
        )
    return Path(root) / 'features' / name
