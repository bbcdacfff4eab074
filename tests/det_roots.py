"""A small data root of untrimmed videos for tests: made on the spot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from video_files import make_video, moving_frames

FPS = 10
# name -> seconds, and (start_sec, end_sec, label) of what happens, None: withheld.
VIDEOS = {
    'lab_train_0': (4.0, [(0.5, 2.0, 7), (1.0, 3.5, 41), (3.0, 3.9, 7)]),
    'lab_train_1': (10.0, [(8.0, 9.5, 20)]),
    'lab_train_2': (3.0, None),
    'street_train_0': (3.0, []),
    'lab_val_0': (4.0, [(1.0, 2.0, 7)]),
    'lab_test_0': (10.0, [(0.5, 3.0, 20), (5.0, 8.0, 7)]),
    'lab_test_1': (2.0, None),
    'street_test_0': (3.0, [(1.0, 2.5, 63)]),
}


def make_det_root(root: Path, contents: Mapping[str, Any] = VIDEOS) -> Path:
    """Write videos, skeletons and tables.

    The skeleton has three joints; x of each is the number of the frame, and the second
    is missing in every third frame.

    Args:
        root: Folder to make.
        contents: As ``VIDEOS``.
    """
    from mmma.data.arrays import JointLayout, SkeletonWriter
    from mmma.data.root import DatasetInfo, write_info
    from mmma.data.videos import Instance, Video, write_det
    from mmma.taxonomy import load_label_space

    layout = JointLayout(
        names=('nose', 'left_shoulder', 'right_shoulder'),
        flip_pairs=(('left_shoulder', 'right_shoulder'),),
        limbs=(('nose', 'left_shoulder'), ('nose', 'right_shoulder')),
    )
    videos = []
    with SkeletonWriter(root, 'det', layout) as writer:
        for i, (name, (seconds, happens)) in enumerate(contents.items()):
            domain, subset, _ = name.split('_')
            frames = round(seconds * FPS)
            path = f'videos/{name}.mp4'
            make_video(root / path, moving_frames(frames, 32, 40, i), FPS)
            joints = np.empty((1, frames, 3, 2))
            joints[..., 0] = np.arange(frames)[:, None]
            joints[..., 1] = [5, 10, 15]
            score = np.ones((1, frames, 3))
            score[:, ::3, 1] = 0
            writer.append(name, joints, score, FPS, 40, 32)
            found = tuple(Instance(*instance) for instance in happens or ())
            entry = (name, path, subset, domain, f's{i}', FPS, frames, seconds)
            videos.append(Video(*entry, found, withheld=happens is None))
    write_det(root / 'det.json', videos, load_label_space('mma82'))
    write_info(root, DatasetInfo('det-fixture', 'mma82', simulated=True))
    return root
