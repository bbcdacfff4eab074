"""Contact sheets: clips side by side, frames in time order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmma.files import write_file

_PAPER = 250
_EMPTY = 232
_LABEL_PX = 14
_GAP_PX = 4
_INK = (40, 40, 40)


# A line of text, and the frames of a clip below it: (H, W, 3) uint8 RGB, in time order.
Strip = tuple[str, Sequence[np.ndarray]]


def pick_frames(total: int, count: int) -> np.ndarray:
    """(count,) numbers of frames in the middles of equal parts of a clip."""
    return ((np.arange(count) + 0.5) * total / count).astype(int)


def write_sheet(out: Path, shown: str, *sheet: Any) -> None:
    """Write the :func:`contact_sheet` of some clips or actions, as PNG or JPG.

    Raises:
        ValueError: It cannot be encoded, as by its size.
    """
    picture = contact_sheet(*sheet)[:, :, ::-1]
    good, data = cv2.imencode(out.suffix.lower(), picture)
    if not good:
        raise ValueError(f'{out}: the sheet could not be encoded; show fewer {shown}')
    write_file(out, data.tobytes())


def contact_sheet(
    strips: Sequence[Strip], columns: int, height: int = 96, title: str = ''
) -> np.ndarray:
    """(H, W, 3) uint8 RGB sheet of strips side by side, row after row, below a title.

    Frames have ``height`` pixels; strips of a column get the width of the widest.
    """
    strips = [*strips, *[('', ())] * (-len(strips) % columns)]
    pictures = [_join(frames, height) for _, frames in strips]
    wide = [max(p.shape[1] for p in pictures[i::columns]) for i in range(columns)]
    cells = []
    for number, ((label, _), picture) in enumerate(zip(strips, pictures, strict=True)):
        width = max(wide[number % columns], height)
        shape = (height + _LABEL_PX + _GAP_PX, width + _GAP_PX, 3)
        cell = np.full(shape, _PAPER, np.uint8)
        cell[_LABEL_PX : _LABEL_PX + height, :width] = _EMPTY
        cell[_LABEL_PX : _LABEL_PX + height, : picture.shape[1]] = picture
        _write(cell, label)
        cells.append(cell)
    starts = range(0, len(cells), columns)
    rows = [np.hstack(cells[start : start + columns]) for start in starts]
    header = np.full((_LABEL_PX + _GAP_PX, rows[0].shape[1], 3), _PAPER, np.uint8)
    _write(header, title)
    return np.vstack([header, *rows] if title else rows)


def _join(frames: Sequence[np.ndarray], height: int) -> np.ndarray:
    tiles = [np.zeros((height, 0, 3), np.uint8)]
    for frame in frames:
        width = max(1, round(frame.shape[1] * height / frame.shape[0]))
        tiles.append(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA))
    return np.hstack(tiles)


def _write(canvas: np.ndarray, text: str) -> None:
    where = (2, _LABEL_PX - 4)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(canvas, text, where, font, 0.36, _INK, 1, cv2.LINE_AA)
