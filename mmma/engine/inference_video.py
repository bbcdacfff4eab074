"""A user's video as a data root of one row, so that it takes the path of testing."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmma.datasets.video.errors import BrokenVideoError
from mmma.datasets.video.index import open_container, read_index
from mmma.layout.decoding import VIDEO_SUFFIXES
from mmma.layout.det import Video, write_det
from mmma.layout.joints import WHOLEBODY65, write_layout
from mmma.layout.rec import Clip, write_rec
from mmma.layout.root import DataRoot, DatasetInfo, write_info
from mmma.layout.skeletons import SkeletonWriter
from mmma.taxonomy import load_label_space

NAME = 'video'
"""Of the only row; the user's file name stays out of tables, logs and messages."""
_FEET = WHOLEBODY65.names.index('left_big_toe')  # what lies before is the body


@dataclass(frozen=True)
class VideoFile:
    """A video under a link that does not tell its name.

    Attributes:
        path: The link.
        frames: Number of frames that are shown.
        duration_sec: From the first frame's appearance to the last one's end.
        first_frame_sec: Time stamp of the first frame in the file. Every other time is
            counted from this frame, as in ``det.json``.
    """

    path: Path
    frames: int
    duration_sec: float
    first_frame_sec: float

    @property
    def fps(self) -> float:
        """Mean frames per second."""
        return self.frames / self.duration_sec


@dataclass(frozen=True)
class Skeletons:
    """What an extractor found in a video.

    Attributes:
        joints: (T, M, V, 3) int16, as a skeleton store holds them.
        fps: Rows per second.
        size: Width and height of the picture, pixels.
        extractor: What found them.
    """

    joints: np.ndarray
    fps: float
    size: tuple[int, int]
    extractor: str

    @property
    def body_found(self) -> float:
        """Share of the frames in which a body was found, in [0, 1]."""
        scores = self.joints[:, :, :_FEET, 2]  # (T, M, 17)
        return float((scores > 0).any(axis=(1, 2)).mean())


class LinkRoot(DataRoot):
    """A data root whose only video lies elsewhere, behind a link.

    Args:
        path: The root.
        video: The link.
    """

    def __init__(self, path: str | os.PathLike[str], video: Path) -> None:
        super().__init__(path)
        self._video = video

    def video_path(self, relative: str) -> Path:
        """The link; the user named its target, so that it may leave the root.

        Args:
            relative: Path as written in the table.
        """
        return self._video


def link_video(video: Path, folder: Path) -> VideoFile:
    """Link a video into a folder and read when its frames are shown.

    Args:
        video: The user's file.
        folder: An existing one.

    Raises:
        FileNotFoundError: There is no such file.
        BrokenVideoError: It cannot be read as video. Both name the link.
    """
    suffix = video.suffix.lower()
    link = folder / f'{NAME}{suffix if suffix in VIDEO_SUFFIXES else ""}'
    try:
        link.symlink_to(video.absolute())
    except OSError:  # a file system without links
        shutil.copyfile(video, link)
    with open_container(link) as container:
        index = read_index(container)
    first_sec = float(index.pts[0] * index.time_base)
    return VideoFile(link, len(index.pts), index.duration_sec, first_sec)


def write_root(
    folder: Path,
    task: str,
    label_space: str,
    file: VideoFile,
    skeletons: Skeletons | None = None,
) -> LinkRoot:
    """Write the tables of a root that holds one video, whose truth is unknown.

    Args:
        folder: Where to.
        task: ``rec`` or ``det``: the table that it gets.
        label_space: Of the model.
        file: The video.
        skeletons: Of the video, for a model that sees those.
    """
    space = load_label_space(label_space)
    write_info(folder, DatasetInfo('videos', label_space, simulated=False))
    place: Any = {'path': NAME, 'subset': 'test', 'domain': 'lab', 'subject': ''}
    if task == 'det':
        length = {'frames': file.frames, 'duration': file.duration_sec}
        row = Video(NAME, **place, fps=file.fps, **length, withheld=True)
        write_det(folder / 'det.json', [row], space)
    else:
        clip = Clip(NAME, **place, action=None, body=None)
        write_rec(folder / 'rec.csv', [clip], space)
    if skeletons is not None:
        layout = replace(WHOLEBODY65, extractor=skeletons.extractor)
        persons = skeletons.joints.shape[1]
        with SkeletonWriter(folder, task, layout, persons) as writer:
            facts = (skeletons.fps, *skeletons.size)
            writer.append_encoded(NAME, skeletons.joints, *facts)
    return LinkRoot(folder, file.path)


def write_placeholder(
    folder: Path, task: str, label_space: str, extractor: str | None
) -> None:
    """Write a root to build a model on: its tables, and no video.

    Args:
        folder: Where to.
        task: ``rec`` or ``det``.
        label_space: Of the model.
        extractor: What will find the joints; None for a model that sees pictures.
    """
    write_root(folder, task, label_space, VideoFile(folder / NAME, 1, 1.0, 0.0))
    if extractor is not None:
        layout = replace(WHOLEBODY65, extractor=extractor)
        write_layout(folder / 'skeletons', layout)


@contextmanager
def called(label: str, folder: str | os.PathLike[str]) -> Iterator[None]:
    """Errors inside call the video by a label, and neither it nor its link by name.

    Args:
        label: What the user knows the video by.
        folder: Where the link is.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read, or nothing can be made of it.
    """
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f'{label}: no such video file') from None
    except (ValueError, RuntimeError) as error:
        raise ValueError(f'{label}: {_reason(error, str(folder))}') from None


def _reason(error: Exception, folder: str) -> str:
    if isinstance(error, BrokenVideoError):
        return error.reason
    # A data set names its row and gives advice on data roots.
    text = str(error).partition('. Repair the file;')[0]
    text = re.sub(rf'{re.escape(folder)}[^\s:]*(: )?', '', text)
    return re.sub(rf"^(clip|video) '{NAME}' ", '', text)
