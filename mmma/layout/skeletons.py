"""Skeletons of a data root: one memory-mapped int16 array per task, and its index.

``rec.npy`` and ``det.npy`` are (sum of T, M, V, 3): x and y in 1/16 pixel, then the
score times ``score_scale``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmma.layout.joints import WHOLEBODY65, JointLayout, read_layout, write_layout
from mmma.layout.skeleton_files import (
    HEADER_BYTES,
    STEPS_PER_PIXEL,
    IndexRow,
    array_header,
    encode_joints,
    read_index,
    write_index,
)
from mmma.taxonomy import check_choice, suggest

__all__ = ['WHOLEBODY65', 'JointLayout', 'SkeletonStore', 'SkeletonWriter']


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
