"""Pieces of a corpus that one process makes and that survive an interruption."""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmma.layout.joints import WHOLEBODY65
from mmma.layout.skeletons import encode_joints
from mmma.simulation.domains import DOMAIN_STYLES
from mmma.simulation.motion import simulate_motion
from mmma.simulation.plan import TASKS, Item, Plan
from mmma.simulation.skeleton import observe_skeleton
from mmma.simulation.subjects import Subject, make_subject
from mmma.simulation.video_file import write_video

PARTIAL = '.partial'
# Items per chunk, about a second of work: trimmed clips, untrimmed videos.
_SKELETONS = {'rec': 128, 'det': 24}
_DRAWINGS = {'rec': 6, 'det': 1}


class Chunk(NamedTuple):
    """Some consecutive items of a task.

    Attributes:
        task: ``rec`` or ``det``.
        number: Position among the task's chunks.
        items: The items.
        seed: Seed of the corpus.
        observes: Whether skeletons are written.
    """

    task: str
    number: int
    items: tuple[Item, ...]
    seed: int
    observes: bool

    def skeleton_file(self, root: Path) -> Path:
        """Where the chunk's skeletons wait until all are there."""
        return root / PARTIAL / f'{self.task}_{self.number:05d}.npy'

    def joined_file(self, root: Path) -> Path:
        """Where all skeletons of the task lie in the end."""
        return root / 'skeletons' / f'{self.task}.npy'

    @property
    def frames(self) -> int:
        """Number of frames."""
        return sum(item.frames for item in self.items)

    def lacks_skeletons(self, root: Path) -> bool:
        """Whether skeletons are wanted and neither waiting nor joined."""
        files = self.skeleton_file(root), self.joined_file(root)
        return self.observes and not any(file.is_file() for file in files)

    def is_wanting(self, root: Path) -> bool:
        """Whether anything is still to do."""
        videos = (root / item.path for item in self.items if item.path)
        return self.lacks_skeletons(root) or not all(v.is_file() for v in videos)


def make_chunks(plan: Plan) -> list[Chunk]:
    """Divide a plan; the same plan is always divided alike.

    Args:
        plan: The whole corpus.
    """
    options = plan.options
    sizes = _DRAWINGS if options.draws else _SKELETONS
    chunks = []
    for task, items in zip(TASKS, (plan.rec, plan.det), strict=True):
        for number, start in enumerate(range(0, len(items), sizes[task])):
            part = items[start : start + sizes[task]]
            chunks.append(Chunk(task, number, part, options.seed, options.observes))
    return chunks


def write_chunk(chunk: Chunk, root: Path) -> None:
    """Make what the chunk still lacks: its skeleton file, its videos.

    Args:
        chunk: The chunk.
        root: Folder of the corpus.
    """
    skeletons = []
    observes = chunk.lacks_skeletons(root)
    for item in chunk.items:
        video = root / item.path if item.path else None
        draws = video is not None and not video.is_file()
        if not (observes or draws):
            continue
        scene = Scene(item, chunk.seed)
        if observes:
            skeletons.append(scene.skeleton())
        if video is not None and draws:
            write_video(video, scene.frames(), item.fps)
    if observes:
        _save(chunk.skeleton_file(root), np.concatenate(skeletons))


def read_skeletons(chunk: Chunk, root: Path) -> Iterator[tuple[Item, np.ndarray]]:
    """The skeletons that ``write_chunk`` wrote.

    Args:
        chunk: The chunk.
        root: Folder of the corpus.

    Yields:
        The item, and its (T, 1, V, 3) int16 as ``encode_joints`` makes them.
    """
    joints = np.load(chunk.skeleton_file(root))
    start = 0
    for item in chunk.items:
        yield item, joints[start : start + item.frames]
        start += item.frames


class Scene:
    """One item in motion; its randomness depends on seed, task and index alone.

    Args:
        item: The clip or video.
        seed: Seed of the corpus.

    Raises:
        ValueError: The motion has another number of frames than planned.
    """

    def __init__(self, item: Item, seed: int) -> None:
        sequence = np.random.SeedSequence(
            [seed, 1 + TASKS.index(item.task), item.index]
        )
        self._item = item
        self._style = DOMAIN_STYLES[item.domain]
        self._subject = _subject(item.person.seed, item.domain)
        motion_rng, self._pose_rng, self._picture_rng = map(
            np.random.default_rng, sequence.spawn(3)
        )
        self._motion = simulate_motion(
            self._subject, self._style, item.events, item.seconds, item.fps, motion_rng
        )

    def skeleton(self) -> np.ndarray:
        """(T, 1, V, 3) int16: what a pose extractor sees."""
        keypoints, scores = observe_skeleton(
            self._motion, self._subject, self._style, self._pose_rng
        )
        self._check(len(scores))
        return encode_joints(keypoints[None], scores[None], WHOLEBODY65.score_scale)

    def frames(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB: what the camera sees."""
        import cv2

        from mmma.simulation.render import render_frames

        if multiprocessing.parent_process() is not None:
            cv2.setNumThreads(1)  # every core has a worker of its own
        count = 0
        for frame in render_frames(
            self._motion, self._subject, self._style, self._picture_rng
        ):
            yield frame
            count += 1
        self._check(count)

    def _check(self, frames: int) -> None:
        if frames != self._item.frames:
            raise ValueError(
                f'{self._item.name}: {frames} frames instead of {self._item.frames}'
            )


@functools.lru_cache(maxsize=512)
def _subject(seed: int, domain: str) -> Subject:
    return make_subject(seed, domain)


def _save(file: Path, joints: np.ndarray) -> None:
    part = file.with_suffix('.part')
    with part.open('wb') as out:
        np.save(out, joints)
    os.replace(part, file)
