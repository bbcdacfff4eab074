"""Stores of skeletons and features: one memory-mapped array per task, and its index.

``skeletons/`` holds ``rec.npy``, (sum of T, M, V, 3) int16: x and y in 1/16 pixel, then
the score times ``score_scale``; ``rec_index.csv``; the same for ``det``; and
``layout.json``, which both tasks share. ``features/<name>/`` holds ``det.npy``, (sum of
T, D), and the like, with ``features.json``.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np

from mmma import files
from mmma.data.joints import (
    LAYOUT_FILE,
    JointLayout,
    check_joints,
    decode_joints,
    encode_joints,
    layout_text,
    read_layout,
)
from mmma.data.root import TASKS
from mmma.foreign import finite, first_line, has_controls, is_number, naming
from mmma.taxonomy import check_choice, suggest

FEATURES_FILE = 'features.json'
_HEADER_BYTES = 128
_SKELETON_COLUMNS = ('name', 'start', 'frames', 'fps', 'width', 'height', 'persons')
_FEATURE_COLUMNS = ('name', 'start', 'steps')
_OTHER = {'rec': 'det', 'det': 'rec'}
_Root = str | os.PathLike[str]
_TYPES = (str, int, int, finite, int, int, int)


class Row(NamedTuple):
    """Place of a clip or video in its array: one row of an index.

    ``length`` is T, in the file ``frames`` or ``steps``. Skeletons have the rest too:
    width and height in pixels of the picture that coordinates refer to, and how many of
    the M places are people.
    """

    name: str
    start: int
    length: int
    fps: float = 0.0
    width: int = 0
    height: int = 0
    persons: int = 0


def _read_index(
    path: Path, columns: tuple[str, ...], partial: bool = False
) -> dict[str, Row]:
    """Rows by name; the last line of a partial file may be cut off and is left out."""
    content = path.read_bytes() if path.is_file() else None
    whole = content[: content.rfind(b'\n') + 1] if partial and content else content
    header, lines = files.read_table(path, whole)
    if tuple(header) != columns:
        raise ValueError(f'{path}:1: the header must be {",".join(columns)}')
    rows: dict[str, Row] = {}
    end = 0
    for line, values in lines:
        try:
            if len(values) != len(columns):
                raise ValueError(f'{len(values)} values')
            values[0] = normalize('NFC', values[0])
            row = Row(*(make(v) for make, v in zip(_TYPES, values, strict=False)))
            if 'fps' in columns and min(row.fps, row.width, row.height) <= 0:
                raise ValueError('fps, width and height must be above 0')
        except ValueError as error:
            raise ValueError(f'{path}:{line}: bad row {values}: {error}') from None
        if row.name in rows or row.start != end or row.length < 1:
            raise ValueError(
                f'{path}:{line}: {row.name!r} must be there once, start at {end} (not '
                f'{row.start}) and have 1 {columns[2][:-1]} or more (not {row.length})'
            )
        rows[row.name] = row
        end += row.length
    return rows


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """Header of a version 1.0 ``.npy`` file, padded to a fixed length.

    Its length is known before the number of rows is, so that the array can be written
    as it comes. Source: numpy.lib.format, format version 1.0.
    """
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': {shape}, }}"
    length = _HEADER_BYTES - 10
    start = b'\x93NUMPY\x01\x00' + length.to_bytes(2, 'little')
    return start + text.ljust(length - 1).encode() + b'\n'


class _Arrays:
    _what: str
    _sidecar: str
    _columns: tuple[str, ...]
    _absent: str
    index: dict[str, Row]

    def __len__(self) -> int:
        return len(self.index)

    def __contains__(self, name: str) -> bool:
        return name in self.index

    @property
    def names(self) -> list[str]:
        """Clips or videos in the order of the array."""
        return list(self.index)


class ArrayStore(_Arrays):
    """Arrays of clips or videos, one after the other in one memory-mapped file.

    The file is mapped again after pickling, so that workers share its pages instead of
    copying them. Array, index and sidecar must fit together; in the shape of one row
    ``persons`` stands for any number.
    """

    def __init__(self, path: Path, dtype: str, shape: tuple[int | str, ...]) -> None:
        self.path, index = path, path.with_name(f'{path.stem}_index.csv')
        before = index.is_file() and files.source_identity(index)
        self.index = _read_index(index, self._columns)
        self._array: np.ndarray | None = None
        found = self._open()
        if files.source_identity(index) != before:
            raise ValueError(f'{path}: just written anew: open it again')
        wanted = (sum(row.length for row in self.index.values()), *shape)
        fit = (
            n in (own, 'persons') for n, own in zip(wanted, found.shape, strict=False)
        )
        if found.dtype != dtype or found.ndim != len(wanted) or not all(fit):
            raise ValueError(
                f'{path}: {found.dtype} {found.shape}, but its index and '
                f'{self._sidecar} say {dtype} ({", ".join(map(str, wanted))})'
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_array': None}

    def _row(self, name: str) -> Row:
        if name not in self.index:
            absent = self._absent.format(name, self.path, len(self))
            raise ValueError(absent + suggest(name, self.index))
        return self.index[name]

    def frames(self, name: str) -> int:
        """T of a clip or video: its frames, or steps of features."""
        return self._row(name).length

    steps = frames

    def _read(self, name: str, some: slice) -> np.ndarray:
        """Rows of one clip or video in the map, of which ``some`` are wanted."""
        row = self._row(name)
        first, stop, _ = some.indices(row.length)
        return self._open().view(np.ndarray)[row.start + first : row.start + stop]

    def _open(self) -> np.ndarray:
        if self._array is None:
            try:
                self._array = np.lib.format.open_memmap(self.path, mode='r')
            except Exception as error:  # numpy and what it calls raise what they like
                told = f'not a {self._what} array, or cut off: {first_line(error)}'
                raise ValueError(f'{self.path}: {told}') from None
        return self._array


class ArrayWriter(_Arrays):
    """Writes arrays of one task one after the other; the same input, the same bytes.

    Use it in a ``with`` block: the files appear when the block ends well. Until then
    array, index and sidecar lie in a folder of their own. ``shape`` is that of one row
    of the array, ``text`` the content of the sidecar.
    """

    _goes_on = False  # a writer of the same goes on where one was interrupted

    def __init__(
        self, folder: Path, task: str, shape: tuple[int, ...], dtype: str, text: str
    ) -> None:
        self._final, self._task = folder, task
        self._shape, self._dtype = shape, np.dtype(dtype).newbyteorder('<')
        self._row_bytes = math.prod(shape) * self._dtype.itemsize
        self._parts = folder / f'.{task}.part'
        self._held = contextlib.ExitStack()
        self._held.enter_context(files.only_writer(self._parts))
        self.index = self._resume(text) if self._goes_on else {}
        self._length = sum(row.length for row in self.index.values())
        files.write_file(self._parts / self._sidecar, text)
        mode = 'r+b' if self.index else 'w+b'
        self._array = (self._parts / f'{task}.npy').open(mode)
        # Nothing after the rows that are whole; makes the file as long as well.
        self._array.truncate(_HEADER_BYTES + self._length * self._row_bytes)
        self._array.seek(0, os.SEEK_END)
        index = self._parts / f'{task}_index.csv'
        self._index_file = index.open('w', encoding='utf-8', newline='')
        self._lines = csv.writer(self._index_file, lineterminator='\n')
        rows = (row[: len(self._columns)] for row in self.index.values())
        self._lines.writerows([self._columns, *rows])
        self._index_file.flush()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        whole = kind is None and bool(self.index)
        if whole:
            self._array.seek(0)
            self._array.write(_header((self._length, *self._shape), self._dtype))
        self._array.close()
        self._index_file.close()
        if whole:
            names = f'{self._task}.npy', f'{self._task}_index.csv', self._sidecar
            files.replace_together(self._parts, self._final, *names)
        if kind is None or not self._goes_on:
            shutil.rmtree(self._parts, ignore_errors=True)
        self._held.close()
        if kind is None and not whole:
            raise ValueError(f'{self._final}: no {self._what} to write')

    def _resume(self, text: str) -> dict[str, Row]:
        """Rows that an interrupted writer of the same left whole."""
        try:
            if files.read_text(self._parts / self._sidecar) != text:
                return {}
            index = self._parts / f'{self._task}_index.csv'
            rows = _read_index(index, self._columns, partial=True)
            written = (self._parts / f'{self._task}.npy').stat().st_size - _HEADER_BYTES
        except (FileNotFoundError, ValueError):
            return {}
        whole = written // self._row_bytes
        return {n: row for n, row in rows.items() if row.start + row.length <= whole}

    def _add(self, name: str, rows: np.ndarray, *facts: Any) -> None:
        """Write the rows of a clip or video; they are in the files afterwards."""
        row = Row(name, self._length, len(rows), *facts)
        self._array.write(np.ascontiguousarray(rows, self._dtype).data)
        self._array.flush()
        self._lines.writerow(row[: len(self._columns)])
        self._index_file.flush()
        self.index[name] = row
        self._length += len(rows)


class SkeletonStore(ArrayStore):
    """Skeletons of a root for one task, ``rec`` or ``det``, read by clip.

    Raises:
        FileNotFoundError: There are none.
        ValueError: Array, index and layout do not fit together.
    """

    _what, _sidecar, _columns = 'skeleton', LAYOUT_FILE, _SKELETON_COLUMNS
    _absent = 'no skeleton of {!r} in {}.'

    def __init__(self, root: _Root, task: str) -> None:
        path = Path(root) / 'skeletons' / f'{check_choice("task", task, TASKS)}.npy'
        if not path.is_file():
            raise FileNotFoundError(
                f'no skeletons for task {task!r}: {path}; data/pose.py finds them'
            )
        self.layout = read_layout(path.parent)
        super().__init__(path, 'int16', ('persons', len(self.layout.names), 3))
        most = self._open().shape[1]
        for row in self.index.values():
            if not 1 <= row.persons <= most:
                told = f'index row {row} does not fit; expected 1 to {most} persons'
                raise ValueError(f'{path}: {told}')

    def fps(self, name: str) -> float:
        """Frames per second of a clip."""
        return self._row(name).fps

    def size(self, name: str) -> tuple[int, int]:
        """Width and height in pixels of the picture that coordinates refer to."""
        return self._row(name)[4:6]

    def get(
        self,
        name: str,
        joints: Sequence[str] | np.ndarray | None = None,
        frames: slice | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Joints of a clip.

        Args:
            joints: V names in the order wanted, or (V,) places in the layout, -1 for
                none; by default all. Joints that this store lacks get score 0.
            frames: Frames wanted, in steps of 1; nothing else is read. None is all.

        Returns:
            Keypoints (M, T, V, 2) in pixels and scores (M, T, V) in [0, 1], float32; M
            is the clip's number of persons.

        Raises:
            ValueError: An unknown clip, a joint of no known layout, bad scores.
        """
        persons = self._row(name).persons
        rows = self._read(name, frames or slice(None))[:, :persons]  # (T, M, V, 3)
        if joints is not None:
            if not isinstance(joints, np.ndarray):
                check_joints(joints, self.layout)
                have = {joint: i for i, joint in enumerate(self.layout.names)}
                joints = np.array([have.get(joint, -1) for joint in joints])
            rows = rows.take(joints, axis=2)
            rows[:, :, joints < 0] = 0
        where = f'{self.path}: {name}'
        return decode_joints(rows, self.layout.score_scale, where)


class SkeletonWriter(ArrayWriter):
    """Writes the skeletons of one task, clip by clip; nothing is left of a failed run.

    There are ``max_persons`` places per frame, M; clips with fewer people are padded.

    Raises:
        ValueError: The root's other task has skeletons in another layout.
    """

    _what, _sidecar, _columns = 'skeleton', LAYOUT_FILE, _SKELETON_COLUMNS

    def __init__(
        self, root: _Root, task: str, layout: JointLayout, max_persons: int = 1
    ) -> None:
        check_choice('task', task, TASKS)
        folder = Path(root) / 'skeletons'
        self._score_scale = layout.score_scale
        other = folder / f'{_OTHER[task]}.npy'
        if other.is_file() and read_layout(folder) != layout:
            raise ValueError(
                f'{other} is in another joint layout; both tasks of a root share one'
            )
        shape = (max_persons, len(layout.names), 3)
        super().__init__(folder, task, shape, 'int16', layout_text(layout))

    def append(
        self, name: str, keypoints: np.ndarray, scores: np.ndarray, *facts: float
    ) -> None:
        """Add a clip: keypoints (M, T, V, 2) in pixels, scores (M, T, V) in [0, 1].

        The ``facts`` are fps, width and height of the picture.

        Raises:
            ValueError: As ``encode_joints`` and ``append_encoded``.
        """
        with naming(f'skeleton of {name!r}'):
            encoded = encode_joints(keypoints, scores, self._score_scale)
        self.append_encoded(name, encoded, *facts)

    def append_encoded(
        self, name: str, encoded: np.ndarray, fps: float, width: int, height: int
    ) -> None:
        """Add a clip of joints that ``encode_joints`` made, perhaps in another process.

        Raises:
            ValueError: A name twice, no frame, too many persons, other joints.
        """
        frames, persons, joints, _ = encoded.shape
        if name in self.index:
            raise ValueError(f'skeleton of {name!r} is there twice')
        most, wanted = self._shape[:2]
        if not frames or not 1 <= persons <= most:
            raise ValueError(
                f'skeleton of {name!r}: {frames} frames of {persons} persons; need at '
                f'least 1 frame and 1 to {most} persons (max_persons)'
            )
        if joints != wanted:
            raise ValueError(
                f'skeleton of {name!r}: {joints} joints, the layout has {wanted}'
            )
        padding = np.zeros((frames, most - persons, joints, 3), np.int16)
        rows = np.concatenate([encoded, padding], axis=1)
        self._add(name, rows, float(fps), int(width), int(height), persons)


@dataclass(frozen=True)
class FeaturesInfo:
    """Times and origin of features: the content of ``features.json``.

    Feature t of a video belongs to the time ``offset_sec + t * stride_sec``.

    Attributes:
        stride_sec: Seconds from one feature to the next.
        dim, dtype: D; ``float16`` or ``float32``, as stored.
        offset_sec: Time of the first: the middle of the frames that it sees.
        fps: Frames per second that the backbone saw.
        backbone, weights_sha256: What made them, a config or model; its checkpoint.
        data_fingerprint: Of the data root, as ``DataRoot.fingerprint`` gives it.
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
        check_choice('dtype', self.dtype, ('float16', 'float32'))
        for name in ('stride_sec', 'dim', 'fps'):
            value = getattr(self, name)
            if (name, value) != ('fps', None) and not (is_number(value) and value > 0):
                raise ValueError(f'{name} {value!r}: must be a number above 0')
        if not is_number(self.offset_sec):
            raise ValueError(f'offset_sec {self.offset_sec!r}: must be a number')
        for name in ('backbone', 'weights_sha256', 'data_fingerprint'):
            if has_controls(value := getattr(self, name)):
                raise ValueError(f'{name} {value!r}: must be text')
        if self.dim != int(self.dim):
            raise ValueError(f'dim {self.dim!r}: must be a whole number')

    @classmethod
    def read(cls, folder: Path) -> FeaturesInfo:
        """Read ``features.json``.

        Raises:
            FileNotFoundError: There is none.
            ValueError: Not JSON, or a key that is missing, unknown or bad.
        """
        file = folder / FEATURES_FILE
        with naming(file):
            content = files.read_json(file, 'stride_sec', 'dim')
            for key in content:
                check_choice('key', key, tuple(cls.__dataclass_fields__))
            return cls(**content)

    def differences(self, wanted: Mapping[str, Any]) -> list[str]:
        """Differences from what is wanted, in words.

        Of ``wanted`` fields, None wants nothing; hashes may be shortened, and times
        agree to a millionth.
        """
        found = []
        for key, value in wanted.items():
            check_choice('feature option', key, tuple(self.__dataclass_fields__))
            own = getattr(self, key)
            same = value in (None, own)
            if isinstance(value, float) and own is not None:
                same = math.isclose(own, value, rel_tol=1e-6, abs_tol=1e-9)
            elif key in ('weights_sha256', 'data_fingerprint') and value:
                same = own.startswith(value)
            if not same:
                found.append(f'{key} is {own!r}, wanted {value!r}')
        return found


class FeatureStore(ArrayStore):
    """Features of a name and a task, ``rec`` or ``det``, read by clip or video.

    Raises:
        FileNotFoundError: The root has no such features for the task.
        ValueError: Array, index and ``features.json`` do not fit together.
    """

    _what, _sidecar, _columns = 'feature', FEATURES_FILE, _FEATURE_COLUMNS
    _absent = (
        'no features of {!r} in {}, which has {} others: extract them for these tables.'
    )

    def __init__(self, root: _Root, name: str, task: str = 'det') -> None:
        path = _folder(root, name) / f'{check_choice("task", task, TASKS)}.npy'
        if not path.is_file():
            names = Path(root).glob(f'features/*/{FEATURES_FILE}')
            have = sorted(found.parent.name for found in names)
            raise FileNotFoundError(
                f'no features {name!r} for task {task!r}: {path}. Extract them '
                f'with `python tools/data/features.py`, or use one of: '
                f'{", ".join(have) or "none yet"}.{suggest(name, have)}'
            )
        self.info = FeaturesInfo.read(path.parent)
        super().__init__(path, self.info.dtype, (self.info.dim,))

    def get(self, name: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """(T, D) float32 of a clip or video, a copy of the steps that are wanted."""
        found = np.array(self._read(name, slice(start, stop)), np.float32)
        if not np.isfinite(found).all():
            raise ValueError(f'{self.path}: {name!r} has features that are not finite')
        return found

    def require(self, **wanted: Any) -> FeatureStore:
        """Check what made the features.

        Raises:
            ValueError: They differ from what is wanted (``FeaturesInfo.differences``).
        """
        if found := self.info.differences(wanted):
            raise ValueError(
                f'{self.path.parent / FEATURES_FILE}: {"; ".join(found)}. These '
                'features are not what the config asks for: extract them with its '
                'settings (`python tools/data/features.py`), or change the config'
            )
        return self


class FeatureWriter(ArrayWriter):
    """Writes the features of one task, clip by clip or video by video.

    When its block fails, or the process dies, what was written is kept aside, and a
    writer of the same features goes on from there; one of other features starts anew.

    Raises:
        ValueError: A bad name, or the other task's features of this name are not made
            by the same.
    """

    _what, _sidecar, _columns = 'features', FEATURES_FILE, _FEATURE_COLUMNS
    _goes_on = True

    def __init__(
        self, root: _Root, name: str, info: FeaturesInfo, task: str = 'det'
    ) -> None:
        check_choice('task', task, TASKS)
        self.info = info
        folder = _folder(root, name)
        if (folder / f'{_OTHER[task]}.npy').is_file():
            wanted = {k: v for k, v in asdict(info).items() if k != 'data_fingerprint'}
            if found := FeaturesInfo.read(folder).differences(wanted):
                raise ValueError(
                    f'{folder} has {_OTHER[task]} features that are made otherwise: '
                    f'{"; ".join(found)}. Choose another name, or delete them'
                )
        text = json.dumps(asdict(info), indent=1) + '\n'
        super().__init__(folder, task, (info.dim,), info.dtype, text)

    def append(self, name: str, features: np.ndarray) -> None:
        """Add the (T, D) features of a clip or video; they are on disk afterwards.

        Raises:
            ValueError: A name twice, another shape, or not finite as they are stored.
        """
        if name in self.index:
            raise ValueError(f'features of {name!r} are there twice')
        found, dim = np.asarray(features), self.info.dim
        if found.ndim != 2 or not len(found) or found.shape[1] != dim:
            raise ValueError(f'features of {name!r}: {found.shape}, need (1+, {dim})')
        with np.errstate(over='ignore'):
            stored = np.asarray(found, self._dtype)
        if not np.isfinite(stored).all():
            raise ValueError(
                f'features of {name!r} are not all finite as {self.info.dtype}'
                ': find out why, or store float32'
            )
        self._add(name, stored)


def _folder(root: _Root, name: str) -> Path:
    if not name or files.leaves_root(name) or '/' in name or name.startswith('.'):
        raise ValueError(f'features {name!r}: use a plain folder name, as videomae-s')
    return Path(root) / 'features' / name
