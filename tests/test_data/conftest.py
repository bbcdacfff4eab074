"""Small tables and roots, made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmma.data.arrays import SkeletonWriter
from mmma.data.clips import Clip, write_rec
from mmma.data.joints import JointLayout
from mmma.data.root import DatasetInfo, write_info
from mmma.data.videos import Instance, Video, write_det
from mmma.taxonomy import LabelSpace, load_label_space

HEADER = 'clip,path,subset,domain,subject,action,body'


@pytest.fixture(scope='session')
def space() -> LabelSpace:
    return load_label_space('mma82')


@pytest.fixture
def rec_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a ``rec.csv`` from rows of text, under the usual header."""

    def write(*rows: str, header: str = HEADER) -> Path:
        path = tmp_path / 'rec.csv'
        path.write_text('\n'.join([header, *rows]) + '\n')
        return path

    return write


@pytest.fixture
def root(tmp_path: Path, space: LabelSpace) -> Path:
    """A root with two clips, one untrimmed video and no file behind them."""
    folder = tmp_path / 'root'
    clips = [
        Clip('a', 'videos/a.mp4', 'train', 'lab', 's1', 3, None),
        Clip('b', 'videos/b.mp4', 'test', 'street', 's2', None, None),
    ]
    long = Video('v', 'videos/v.mp4', 'val', 'lab', 's1', 30.0, 300, 10.0)
    happens = (Instance(1.0, 2.5, 0), Instance(2.0, 10.0, 81))
    write_info(folder, DatasetInfo('tiny', 'mma82', simulated=True))
    write_rec(folder / 'rec.csv', clips, space)
    write_det(
        folder / 'det.json', [Video(**{**vars(long), 'instances': happens})], space
    )
    return folder


@pytest.fixture
def two_joints() -> JointLayout:
    return JointLayout(
        names=('left_eye', 'right_eye'),
        flip_pairs=(('left_eye', 'right_eye'),),
        limbs=(('left_eye', 'right_eye'),),
        extractor='by hand',
        score_scale=100,
    )


@pytest.fixture
def write_skeletons(two_joints: JointLayout) -> Callable[..., None]:
    """Writes a store whose clips have the given numbers of frames."""

    def write(root: Path, task: str, frames: dict[str, int], fps: float = 30) -> None:
        with SkeletonWriter(root, task, two_joints) as writer:
            for name, count in frames.items():
                points = np.full((1, count, 2, 2), 7.5)
                writer.append(name, points, np.ones((1, count, 2)), fps, 64, 48)

    return write
