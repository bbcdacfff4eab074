"""Small roots to pack, and what a folder holds, byte by byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from video_files import make_video, moving_frames

TIMES_MS = [0, 40, 73, 140, 141, 260, 300, 351, 390, 500, 517, 600]


def make_pack_root(root: Path, clips: int = 4, two_persons: bool = True) -> Path:
    """A root of short videos with uneven times, and skeletons of one or two persons.

    Clips take turns: constant rate, and the times of ``TIMES_MS`` in Matroska. The
    skeleton's first person is small and left, the second one large and right.

    Args:
        root: Folder to make.
        clips: How many.
        two_persons: Whether there is a second one.
    """
    from mmma.data.arrays import JointLayout, SkeletonWriter
    from mmma.data.clips import Clip, write_rec
    from mmma.data.root import DatasetInfo, write_info
    from mmma.taxonomy import SUBSETS, load_label_space

    layout = JointLayout(('left_eye', 'right_eye'), (('left_eye', 'right_eye'),))
    rows = []
    with SkeletonWriter(root, 'rec', layout, 2) as writer:
        for i in range(clips):
            path = f'videos/{i}.{"mkv" if i % 2 else "mp4"}'
            frames = moving_frames(12, 60, 80, i)
            times = TIMES_MS if i % 2 else None
            make_video(root / path, frames, 25, times_ms=times)
            name = f'clip{i}'
            rows.append(Clip(name, path, SUBSETS[i % 3], 'lab', f's{i}', i, None))
            points = person_points(12)[: 1 + two_persons]
            writer.append(
                name, points, np.full((len(points), 12, 2), 0.8), 25, 160, 120
            )
    write_rec(root / 'rec.csv', rows, load_label_space('mma82'))
    write_info(root, DatasetInfo('to-pack', 'mma82', simulated=True))
    return root


def person_points(frames: int) -> np.ndarray:
    """(2, T, 2, 2): joints in a picture of 160 x 120."""
    small = [[20, 40], [30, 50]]
    large = [[100, 30], [140, 90]]
    return np.tile(np.array([small, large], float)[:, None], (1, frames, 1, 1))


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of every file of a folder, hidden ones as well."""
    files = (file for file in folder.rglob('*') if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}
