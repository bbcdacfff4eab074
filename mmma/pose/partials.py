"""Clips that are done before their store is: one file each, kept when a run dies."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mmma.layout.paths import atomic_write
from mmma.packing.journal import source_identity

FOLDER = '.pose'


@dataclass(frozen=True)
class Partial:
    """Skeletons of one clip.

    Attributes:
        joints: (T, M, V, 3) int16, as a store holds them.
        fps: Frames per second.
        width: Of the picture that coordinates refer to.
        height: Its height.
    """

    joints: np.ndarray
    fps: float
    width: int
    height: int


class Partials:
    """The folder of clips that are done: ``skeletons/.pose``.

    Args:
        skeletons: The root's ``skeletons`` folder.
        extractor: What finds the joints, with its options.
        force: Throw away what another extractor has begun.

    Raises:
        ValueError: Another extractor has begun here.
    """

    def __init__(self, skeletons: Path, extractor: str, force: bool) -> None:
        self.folder = skeletons / FOLDER
        header = self.folder / 'run.json'
        begun = json.loads(header.read_text('utf-8')) if header.is_file() else None
        if begun not in (None, {'extractor': extractor}):
            if not force:
                raise ValueError(
                    f'{self.folder}: a run with {begun["extractor"]!r} was not '
                    f'finished, now it is {extractor!r}: give the options of that run '
                    'to go on, or --force to start anew'
                )
            self.remove()
        if not header.is_file():
            with atomic_write(header) as file:
                json.dump({'extractor': extractor}, file)

    def path(self, task: str, name: str) -> Path:
        """File of a clip.

        Args:
            task: ``rec`` or ``det``.
            name: The clip or video.
        """
        mark = hashlib.sha256(f'{task} {name}'.encode()).hexdigest()[:24]
        return self.folder / mark[:2] / f'{mark}.npz'

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def write_partial(path: Path, partial: Partial, source: Path) -> None:
    """Write a clip's file; it appears whole or not at all.

    Args:
        path: From :meth:`Partials.path`.
        partial: What to write.
        source: The video.
    """
    facts = {**source_identity(source), **asdict(partial)}
    joints = facts.pop('joints')
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        with part.open('wb') as file:
            np.savez(file, joints=joints, facts=np.array(json.dumps(facts)))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_partial(path: Path, source: Path | None = None) -> Partial | None:
    """Read a clip's file; None where there is none, or its video has changed.

    Args:
        path: From :meth:`Partials.path`.
        source: The video; None does not look whether it has changed.
    """
    if not path.is_file() or (source is not None and not source.is_file()):
        return None
    with np.load(path) as content:
        facts = json.loads(str(content['facts']))
        identity = {key: facts.pop(key) for key in ('source_bytes', 'source_mtime_ns')}
        if source is not None and identity != source_identity(source):
            return None
        return Partial(content['joints'], **facts)
