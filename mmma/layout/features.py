"""Features of a data root: one memory-mapped array per task, its index, what made it.

``features/<name>/`` holds ``det.npy`` (sum of T, D), ``det_index.csv``, the same for
``rec``, and ``features.json``, which both tasks share.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np

from mmma.layout.feature_files import (
    INDEX_COLUMNS,
    INFO_FILE,
    FeatureRow,
    FeaturesInfo,
    differences,
    index_line,
    read_feature_index,
    read_features_info,
    write_features_info,
)
from mmma.layout.paths import leaves_root
from mmma.layout.skeleton_files import HEADER_BYTES, array_header
from mmma.taxonomy import check_choice, suggest

__all__ = ['FeatureStore', 'FeatureWriter', 'FeaturesInfo', 'feature_names']

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
