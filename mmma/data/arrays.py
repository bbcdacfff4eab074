"""Stores of skeletons and features: one memory-mapped array per task, and its index.

``skeletons/`` holds ``rec.npy``, (sum of T, M, V, 3) int16: x and y in 1/16 pixel, then
the score times ``score_scale``; ``rec_index.csv``; the same for ``det``; and
``layout.json``, which both tasks share. ``features/<name>/`` holds ``det.npy``, (sum of
T, D), and the like, with ``features.json``.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_type_hints

import numpy as np

from mmma.data.joints import WHOLEBODY65, JointLayout, read_layout, write_layout
from mmma.files import atomic_write, is_number, leaves_root, read_text
from mmma.taxonomy import check_choice, suggest

TASKS = ('rec', 'det')
INFO_FILE = 'features.json'
DTYPES = ('float16', 'float32')
STEPS_PER_PIXEL = 16
_LIMIT_PX = 32767 / STEPS_PER_PIXEL
_HEADER_BYTES = 128


class SkeletonRow(NamedTuple):
    """One row of an index of skeletons.

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


class FeatureRow(NamedTuple):
    """One row of an index of features; ``steps`` is T."""

    name: str
    start: int
    steps: int


Row = TypeVar('Row', SkeletonRow, FeatureRow)


def read_index(path: Path, kind: type[Row], partial: bool = False) -> dict[str, Row]:
    """Read an index.

    Args:
        path: ``rec_index.csv`` or ``det_index.csv``.
        kind: Kind of its rows; the header has the names of its fields.
        partial: It may be cut off in the middle of its last line, which is left out.

    Returns:
        Rows by name, in the order of the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Another header, a bad row, a name twice, or features that do not lie
            one after the other.
    """
    text = read_text(path)
    if partial:
        text = text[: text.rfind('\n') + 1]
    lines = list(csv.reader(io.StringIO(text)))
    if not lines or tuple(lines[0]) != kind._fields:
        raise ValueError(f'{path}:1: the header must be {",".join(kind._fields)}')
    types = get_type_hints(kind).values()
    rows: dict[str, Row] = {}
    end = 0
    for line, values in enumerate(lines[1:], start=2):
        try:
            if len(values) != len(kind._fields):
                raise ValueError(f'{len(values)} values')
            row = kind(*(make(v) for make, v in zip(types, values, strict=True)))
        except ValueError as error:
            raise ValueError(f'{path}:{line}: bad row {values}: {error}') from None
        name, start, length = row[:3]
        if kind is FeatureRow and (name in rows or start != end or length < 1):
            raise ValueError(
                f'{path}:{line}: {name!r} must be there once, start at {end} and '
                f'have 1 step or more, not start at {start} with {length}'
            )
        if name in rows:
            raise ValueError(f'{path}:{line}: {name!r} is there twice')
        rows[name] = row
        end += length
    return rows


def _index_line(row: tuple[Any, ...]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator='\n').writerow(row)
    return line.getvalue()


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """Header of a version 1.0 ``.npy`` file, padded to a fixed length.

    Its length is known before the number of rows is, so that the array can be written
    as it comes. Source: numpy.lib.format, format version 1.0.
    """
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
    length = _HEADER_BYTES - 10
    start = b'\x93NUMPY\x01\x00' + length.to_bytes(2, 'little')
    return start + text.ljust(length - 1).encode() + b'\n'


class ArrayStore:
    """Arrays of clips or videos, one after the other in one memory-mapped file.

    The file is mapped again after pickling, so that workers share its pages instead of
    copying them.

    Args:
        path: The array; its index lies beside it.
        kind: Kind of the index's rows.
    """

    _what: str

    def __init__(self, path: Path, kind: type[SkeletonRow] | type[FeatureRow]) -> None:
        self.path = path
        self.index: dict[str, Any] = read_index(
            path.with_name(f'{path.stem}_index.csv'), kind
        )
        self._array: np.ndarray | None = None

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

    def _row(self, name: str) -> Any:
        if name not in self.index:
            raise ValueError(f'{self._absent(name)}{suggest(name, self.index)}')
        return self.index[name]

    def _read(self, name: str, some: slice) -> np.ndarray:
        """Rows of one clip or video in the map, of which ``some`` are wanted."""
        start, length = self._row(name)[1:3]
        first, stop, _ = some.indices(length)
        return self._open()[start + first : start + stop]

    def _open(self) -> np.ndarray:
        if self._array is None:
            try:
                self._array = np.load(self.path, mmap_mode='r', allow_pickle=False)
            except (ValueError, OSError, EOFError) as error:
                raise ValueError(
                    f'{self.path}: not a {self._what} array, or cut off: {error}'
                ) from None
        return self._array


class ArrayWriter:
    """Writes arrays of one task one after the other; the same input, the same bytes.

    Use it in a ``with`` block: the files appear when the block ends well. Until then
    array, index and sidecar lie in a folder of their own.

    Args:
        folder: Where the array will lie.
        task: ``rec`` or ``det``.
        kind: Kind of the index's rows.
        shape: Shape of one row of the array.
        dtype: Type of its numbers.
    """

    _what: str
    _sidecar: str

    def __init__(
        self,
        folder: Path,
        task: str,
        kind: type[SkeletonRow] | type[FeatureRow],
        shape: tuple[int, ...],
        dtype: str,
    ) -> None:
        self._final, self._task, self._kind = folder, task, kind
        self._shape, self._dtype = shape, np.dtype(dtype).newbyteorder('<')
        self._row_bytes = math.prod(shape) * self._dtype.itemsize
        self._parts = folder / f'.{task}.part'
        self._parts.mkdir(parents=True, exist_ok=True)
        self._rows = self._resume()
        self._length = sum(row[2] for row in self._rows.values())
        self._write_sidecar(self._parts)
        path = self._parts / 'array'
        self._array = path.open('r+b' if self._rows else 'w+b')
        # Nothing after the rows that are whole; makes the file as long as well.
        self._array.truncate(_HEADER_BYTES + self._length * self._row_bytes)
        self._array.seek(0, os.SEEK_END)
        path = self._parts / 'index.csv'
        self._index = path.open('w', encoding='utf-8', newline='')
        self._index.writelines(map(_index_line, (kind._fields, *self._rows.values())))
        self._index.flush()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._give_up()

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    @property
    def names(self) -> list[str]:
        """What is written, also by an earlier writer that was interrupted."""
        return list(self._rows)

    def _resume(self) -> dict[str, Any]:
        """Rows that an interrupted writer of the same left whole."""
        return {}

    def _give_up(self) -> None:
        self.discard()

    def _add(self, name: str, rows: np.ndarray, *facts: Any) -> None:
        """Write the rows of a clip or video; they are in the files afterwards."""
        row = self._kind(name, self._length, len(rows), *facts)
        self._array.write(np.ascontiguousarray(rows, self._dtype).data)
        self._array.flush()
        self._index.write(_index_line(row))
        self._index.flush()
        self._rows[name] = row
        self._length += len(rows)

    def close(self) -> None:
        """Finish: sidecar and index under their names, then the array.

        Raises:
            ValueError: Nothing was added.
        """
        if not self._rows:
            self.discard()
            raise ValueError(f'{self._final}: no {self._what} to write')
        self._array.seek(0)
        self._array.write(_header((self._length, *self._shape), self._dtype))
        self.pause()
        target = self._final / f'{self._task}.npy'
        target.unlink(missing_ok=True)  # never an array with another's index
        os.replace(self._parts / self._sidecar, self._final / self._sidecar)
        index = target.with_name(f'{self._task}_index.csv')
        os.replace(self._parts / 'index.csv', index)
        os.replace(self._parts / 'array', target)
        self._remove_parts()

    def pause(self) -> None:
        """Close the files, and keep them."""
        self._array.close()
        self._index.close()

    def discard(self) -> None:
        """Leave nothing of this task behind but what was finished before."""
        self.pause()
        self._remove_parts()

    def _remove_parts(self) -> None:
        for name in ('array', 'index.csv', self._sidecar):
            (self._parts / name).unlink(missing_ok=True)
        self._parts.rmdir()


def encode_joints(
    keypoints: np.ndarray, scores: np.ndarray, score_scale: int
) -> np.ndarray:
    """Joints as they are stored.

    Args:
        keypoints: (M, T, V, 2) in pixels; whatever a joint of score 0 has there is
            stored as 0.
        scores: (M, T, V) in [0, 1].
        score_scale: Stored value of score 1.

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


class SkeletonStore(ArrayStore):
    """Skeletons of one task, read by clip.

    Args:
        root: The data root.
        task: ``rec`` or ``det``.

    Raises:
        FileNotFoundError: The root has no skeletons for the task.
        ValueError: Array, index and layout do not fit together.
    """

    _what = 'skeleton'

    def __init__(self, root: str | os.PathLike[str], task: str) -> None:
        check_choice('task', task, TASKS)
        path = Path(root) / 'skeletons' / f'{task}.npy'
        if not path.is_file():
            raise FileNotFoundError(f'no skeletons for task {task!r}: {path}')
        self.layout = read_layout(path.parent)
        super().__init__(path, SkeletonRow)
        self._check()

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
            frames: Frames wanted, in steps of 1; nothing else is read. None is all.

        Returns:
            Keypoints (M, T, V, 2) in pixels and scores (M, T, V) in [0, 1], float32; M
            is the clip's number of persons.

        Raises:
            ValueError: An unknown clip, or a joint of no known layout.
        """
        persons = self._row(name).persons
        rows = self._read(name, frames or slice(None))
        raw = np.asarray(rows[:, :persons], np.float32)
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

    def _absent(self, name: str) -> str:
        return f'no skeleton of {name!r} in {self.path}.'

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


class SkeletonWriter(ArrayWriter):
    """Writes the skeletons of one task, clip by clip; nothing is left of a failed run.

    Args:
        root: The data root.
        task: ``rec`` or ``det``.
        layout: The joints.
        max_persons: M, places per frame; clips with fewer people are padded.

    Raises:
        ValueError: The root's other task has skeletons in another layout.
    """

    _what, _sidecar = 'skeleton', 'layout.json'

    def __init__(
        self,
        root: str | os.PathLike[str],
        task: str,
        layout: JointLayout,
        max_persons: int = 1,
    ) -> None:
        check_choice('task', task, TASKS)
        folder = Path(root) / 'skeletons'
        self._layout, self._max_persons = layout, max_persons
        other = folder / f'{_other(task)}.npy'
        if other.is_file() and read_layout(folder) != layout:
            raise ValueError(
                f'{other} is in another joint layout; both tasks of a root share one'
            )
        shape = (max_persons, len(layout.names), 3)
        super().__init__(folder, task, SkeletonRow, shape, 'int16')

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
            fps: As in ``append``, like the others.

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
        rows = np.concatenate([encoded, padding], axis=1)
        self._add(name, rows, float(fps), int(width), int(height), persons)

    def _write_sidecar(self, folder: Path) -> None:
        write_layout(folder, self._layout)


@dataclass(frozen=True)
class FeaturesInfo:
    """Times and origin of features: the content of ``features.json``.

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
            if not is_number(value) or value <= 0:
                raise ValueError(f'{name} {value!r}: must be a number above 0')
        if not is_number(self.offset_sec):
            raise ValueError(f'offset_sec {self.offset_sec!r}: must be a number')
        if self.dim != int(self.dim):
            raise ValueError(f'dim {self.dim!r}: must be a whole number')

    @classmethod
    def read(cls, folder: Path) -> FeaturesInfo:
        """Read ``features.json``.

        Args:
            folder: ``features/<name>`` of a data root.

        Raises:
            FileNotFoundError: There is none.
            ValueError: Not JSON, or a key that is missing, unknown or bad.
        """
        file = folder / INFO_FILE
        try:
            content = json.loads(read_text(file))
            for key in content:
                check_choice('key', key, tuple(cls.__dataclass_fields__))
            return cls(**content)
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f'{file}: {error}') from None

    def differences(self, wanted: Mapping[str, Any]) -> list[str]:
        """Differences from what is wanted, in words.

        Args:
            wanted: Some of the fields; None wants nothing. Hashes may be shortened, and
                times agree to a millionth.
        """
        found = []
        for key, value in wanted.items():
            check_choice('feature option', key, tuple(asdict(self)))
            own = getattr(self, key)
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


class FeatureStore(ArrayStore):
    """Features of one task, read by clip or video.

    Args:
        root: The data root.
        name: Name of the features.
        task: ``rec`` or ``det``.

    Raises:
        FileNotFoundError: The root has no such features for the task.
        ValueError: Array, index and ``features.json`` do not fit together.
    """

    _what = 'feature'

    def __init__(
        self, root: str | os.PathLike[str], name: str, task: str = 'det'
    ) -> None:
        path = _folder(root, name) / f'{check_choice("task", task, TASKS)}.npy'
        if not path.is_file():
            names = Path(root).glob(f'features/*/{INFO_FILE}')
            have = sorted(found.parent.name for found in names)
            raise FileNotFoundError(
                f'no features {name!r} for task {task!r}: {path}. Extract them '
                f'with `python tools/data/features.py`, or use one of: '
                f'{", ".join(have) or "none yet"}.{suggest(name, have)}'
            )
        self.info = FeaturesInfo.read(path.parent)
        super().__init__(path, FeatureRow)
        array, info = self._open(), self.info
        shape = (sum(row.steps for row in self.index.values()), info.dim)
        if array.dtype != info.dtype or array.shape != shape:
            raise ValueError(
                f'{path}: {array.dtype} {array.shape}, but its index and '
                f'{INFO_FILE} say {info.dtype} {shape}'
            )

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
        return np.array(self._read(name, slice(start, stop)), np.float32)

    def require(self, **wanted: Any) -> FeatureStore:
        """Check what made the features.

        Args:
            **wanted: Fields of ``FeaturesInfo`` that must have these values; None
                wants nothing, and a hash may be shortened.

        Raises:
            ValueError: Something differs.
        """
        found = self.info.differences(wanted)
        if found:
            raise ValueError(
                f'{self.path.parent / INFO_FILE}: {"; ".join(found)}. These features '
                'are not what the config asks for: extract them with its settings '
                '(`python tools/data/features.py`), or change the config'
            )
        return self

    def _absent(self, name: str) -> str:
        return (
            f'no features of {name!r} in {self.path}, which has {len(self)} others: '
            'extract them for these tables.'
        )


class FeatureWriter(ArrayWriter):
    """Writes the features of one task, clip by clip or video by video.

    When its block fails, or the process dies, what was written is kept aside, and a
    writer of the same features goes on from there; one of other features starts anew.

    Args:
        root: The data root.
        name: Name of the features.
        info: Times and origin of the features.
        task: ``rec`` or ``det``.

    Raises:
        ValueError: A bad name, or the other task's features of this name are not made
            by the same.
    """

    _what, _sidecar = 'features', INFO_FILE

    def __init__(
        self,
        root: str | os.PathLike[str],
        name: str,
        info: FeaturesInfo,
        task: str = 'det',
    ) -> None:
        check_choice('task', task, TASKS)
        self.info = info
        folder = _folder(root, name)
        if (folder / f'{_other(task)}.npy').is_file():
            wanted = {k: v for k, v in asdict(info).items() if k != 'data_fingerprint'}
            found = FeaturesInfo.read(folder).differences(wanted)
            if found:
                raise ValueError(
                    f'{folder} has {_other(task)} features that are made otherwise: '
                    f'{"; ".join(found)}. Choose another name, or delete them'
                )
        super().__init__(folder, task, FeatureRow, (info.dim,), info.dtype)

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
            stored = np.asarray(found, self._dtype)
        if not np.isfinite(stored).all():
            raise ValueError(
                f'features of {name!r} are not all finite as {self.info.dtype}'
                ': find out why, or store float32'
            )
        self._add(name, stored)

    def _write_sidecar(self, folder: Path) -> None:
        with atomic_write(folder / INFO_FILE) as file:
            file.write(json.dumps(asdict(self.info), indent=1) + '\n')

    def _give_up(self) -> None:
        self.pause()

    def _resume(self) -> dict[str, Any]:
        try:
            if FeaturesInfo.read(self._parts) != self.info:
                return {}
            rows = read_index(self._parts / 'index.csv', FeatureRow, partial=True)
            written = (self._parts / 'array').stat().st_size - _HEADER_BYTES
        except (FileNotFoundError, ValueError):
            return {}
        whole = written // self._row_bytes
        return {n: row for n, row in rows.items() if row.start + row.steps <= whole}


def _other(task: str) -> str:
    return next(other for other in TASKS if other != task)


def _folder(root: str | os.PathLike[str], name: str) -> Path:
    if not name or leaves_root(name) or '/' in name or name.startswith('.'):
        raise ValueError(
            f'features {name!r}: use a plain folder name, such as videomae-s'
        )
    return Path(root) / 'features' / name
