"""Tables and skeletons of a packed root."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmma.layout.paths import atomic_write, read_text
from mmma.layout.root import DET_FILE, REC_FILE, DataRoot
from mmma.layout.skeletons import SkeletonStore, SkeletonWriter

_LIMIT_PX = 2047  # what 1/16 pixel in 16 bits can hold


def packed_path(path: str) -> str:
    """Where a packed video lies, relative to the packed root.

    Args:
        path: As in the tables.
    """
    return path if path.lower().endswith('.mp4') else f'{path}.mp4'


def copy_table(root: DataRoot, out: Path, task: str) -> None:
    """Copy a table; only paths of videos that were no MP4 files change.

    Args:
        root: The source.
        out: The packed root.
        task: ``rec`` or ``det``.
    """
    source = root.path / (REC_FILE if task == 'rec' else DET_FILE)
    rows = root.read_rec() if task == 'rec' else root.read_det()
    if all(packed_path(row.path) == row.path for row in rows if row.path):
        part = out / f'.{source.name}.part'
        shutil.copyfile(source, part)
        part.replace(out / source.name)
        return
    text = read_text(source)
    with atomic_write(out / source.name) as file:
        file.write(_moved_rec(text) if task == 'rec' else _moved_det(text))


def copy_skeletons(
    root: DataRoot,
    out: Path,
    task: str,
    places: Mapping[str, Mapping[str, Any]],
) -> None:
    """Copy a skeleton store, its coordinates in the packed pictures.

    Args:
        root: The source.
        out: The packed root.
        task: ``rec`` or ``det``.
        places: Clip or video -> ``picture``, ``crop`` and ``size`` of its packed video;
            skeletons of those without stay as they are.
    """
    store = SkeletonStore(root, task)
    persons = max(row.persons for row in store.index.values())
    with SkeletonWriter(out, task, store.layout, persons) as writer:
        for name in store.names:
            keypoints, scores = store.get(name)
            size = store.size(name)
            if name in places:
                place = places[name]
                keypoints = move_joints(keypoints, size, place)
                size = place['size']
            writer.append(name, keypoints, scores, store.fps(name), *size)


def move_joints(
    keypoints: np.ndarray, size: Sequence[int], place: Mapping[str, Any]
) -> np.ndarray:
    """Joints in the picture of a packed video.

    Args:
        keypoints: (..., 2) in pixels.
        size: Width and height of the picture they refer to.
        place: ``picture``, ``crop`` and ``size`` of the packed video.
    """
    picture, crop = np.array(place['picture']), np.array(place['crop'])
    in_picture = keypoints * (picture / np.array(size))
    moved = (in_picture - crop[:2]) * (np.array(place['size']) / crop[2:])
    return moved.clip(-_LIMIT_PX, _LIMIT_PX)


def _moved_rec(text: str) -> str:
    rows = list(csv.reader(io.StringIO(text, newline='')))
    column = rows[0].index('path')
    for row in rows[1:]:
        if row and row[column]:
            row[column] = packed_path(row[column])
    made = io.StringIO()
    csv.writer(made, lineterminator='\n').writerows(rows)
    return made.getvalue()


def _moved_det(text: str) -> str:
    content = json.loads(text)
    for entry in content['database'].values():
        if entry.get('path'):
            entry['path'] = packed_path(entry['path'])
    lines = (
        f'{json.dumps(name, ensure_ascii=False)}: '
        f'{json.dumps(entry, ensure_ascii=False)}'
        for name, entry in content.pop('database').items()
    )
    head = json.dumps(content, ensure_ascii=False)[1:-1]
    head = f'{head}, ' if head else ''
    return f'{{{head}"database": {{\n' + ',\n'.join(lines) + '\n}}\n'
