"""The bytes of a skeleton store: index rows, encoded joints, the array's header."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmma.layout.paths import atomic_write, read_text

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
