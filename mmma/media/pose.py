"""Skeletons from video: every frame of a root into its store."""

from __future__ import annotations

import contextlib
import csv
import errno
import functools
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmma.data.arrays import SkeletonStore, SkeletonWriter, encode_joints
from mmma.data.joints import WHOLEBODY65, JointLayout, read_layout
from mmma.data.root import TASKS, DataRoot
from mmma.files import CRASHED, atomic_write, map_in_processes, source_identity
from mmma.media.extractors import (
    Extractor,
    PoseOptions,
    Rates,
    build_extractor,
    describe_extractor,
)
from mmma.video import (
    BrokenVideoError,
    VideoIndex,
    damage_errors,
    damaged,
    open_container,
    read_index,
    video_stream,
)

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


@dataclass
class VideoFrames:
    """A video that is gone through once, decoded by one thread.

    The frames are those of ``mmma.video``: upright, those shown, in order.

    Args:
        path: The file.

    Attributes:
        fps: Mean frames per second.
        size: Width and height in pixels; (0, 0) before the first frame.

    Raises:
        FileNotFoundError: There is no such file.
        BrokenVideoError: It cannot be read as video; a frame that does not decode is
            found on the way.
    """

    path: Path
    size: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        with open_container(self.path) as container:
            self._index: VideoIndex = read_index(container)
        self.fps = len(self) / self._index.duration_sec

    def __len__(self) -> int:
        return len(self._index.pts)

    def __iter__(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB each."""
        from av.video.reformatter import VideoReformatter

        converter = VideoReformatter()
        found = 0
        try:
            with open_container(self.path) as container:
                for frame in self._shown(container):
                    found += 1
                    yield self._upright(frame, converter)
        except damage_errors() as error:
            raise damaged(str(self.path), error) from None
        if found < len(self):
            reason = f'{found} of {len(self)} frames decode'
            raise BrokenVideoError(self.path, reason)

    def _shown(self, container: Any) -> Iterator[Any]:
        """Decoded frames that the index has: by stamp, or the first ones."""
        stamps = set(self._index.pts.tolist()) if self._index.stamped else None
        left = len(self)
        for frame in container.decode(video_stream(container)):
            if stamps is None or frame.pts in stamps:
                yield frame
                left -= 1
            if not left:
                return

    def _upright(self, frame: Any, converter: Any) -> np.ndarray:
        image = converter.reformat(frame, format='rgb24').to_ndarray()
        turns = round(frame.rotation / 90)  # counter-clockwise
        image = np.ascontiguousarray(np.rot90(image, turns)) if turns else image
        size = (image.shape[1], image.shape[0])
        if self.size not in ((0, 0), size):
            raise BrokenVideoError(self.path, 'the picture changes its size')
        self.size = size
        return image


MAX_SIDE = 2047
"""Larger pictures are scaled down, as coordinates are 1/16 pixel in 16 bits."""


@dataclass(frozen=True)
class Job:
    """One clip or video to look at.

    Attributes:
        task: ``rec`` or ``det``.
        name: The clip or video.
        path: Its file as the table has it; may be empty.
        partial: Where its skeletons go before the store is written.
    """

    task: str
    name: str
    path: str
    partial: Path


@dataclass(frozen=True)
class RunOptions:
    """How the work is done; does not change what is written of a clip.

    Attributes:
        tasks: Tables whose videos are looked at; by default those that exist.
        workers: Processes; 0 works in this one, None takes one per CPU.
        skip_broken: Write the store without the clips that failed.
        force: Replace skeletons of another extractor.
        on_progress: Called with the bytes done, the bytes in all and the frames done.
    """

    tasks: Sequence[str] | None = None
    workers: int | None = None
    skip_broken: bool = False
    force: bool = False
    on_progress: Callable[[int, int, int], None] = lambda *_: None


@dataclass
class PoseReport:
    """What came of it.

    Attributes:
        extractor: As the store records it.
        clips: Clips and videos of the tables.
        extracted: Of these, looked at in this run.
        frames: Their frames.
        seconds: How long that took.
        failures: (task, name, reason) of those without skeletons.
        rates: How often body and hands were found, by task.
        complete: The stores are written.
    """

    extractor: str
    clips: int = 0
    extracted: int = 0
    frames: int = 0
    seconds: float = 0.0
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    rates: dict[str, Rates] = field(default_factory=dict)
    complete: bool = False


def extract_root(root: DataRoot, options: PoseOptions, run: RunOptions) -> PoseReport:
    """Find the skeletons of a root's videos and write its skeleton store.

    Killed at any time, it goes on when it is called again, and writes the same bytes as
    if it had not been. Clips that a store of the same extractor has are kept.

    Args:
        root: The data root.
        options: What finds the joints.
        run: How the work is done.

    Raises:
        FileNotFoundError: The root lacks a table, or the extractor its model files.
        ValueError: The extractor is not installed, no row has a video, or there are
            skeletons of another extractor.
    """
    report = PoseReport(describe_extractor(options))
    layout = replace(WHOLEBODY65, extractor=report.extractor)
    tasks = _tasks(root, run.tasks)
    kept = _kept_stores(root, layout, tasks, run.force)
    partials = Partials(root.path / 'skeletons', report.extractor, run.force)
    jobs = _jobs(root, tasks, partials)
    report.clips = len(jobs)
    todo = [job for job in jobs if not _is_done(job, root, kept)]
    _extract_all(todo, (root, options, run), report)
    if not report.failures or run.skip_broken:
        failed = {(task, name) for task, name, _ in report.failures}
        for task in tasks:
            mine = [j for j in jobs if j.task == task and (task, j.name) not in failed]
            _write_store(root, layout, task, (mine, kept.get(task), options.persons))
            _write_missing(root, task, report.failures)
            report.rates[task] = Rates.of(SkeletonStore(root, task))
        report.complete = True
        partials.remove()
    return report


def missing_file(root: DataRoot, task: str) -> Path:
    """The list of clips without skeletons: ``name,reason``.

    Args:
        root: The data root.
        task: ``rec`` or ``det``.
    """
    return root.path / 'skeletons' / f'{task}_missing.csv'


def extract_one(job: Job, root: DataRoot, options: PoseOptions) -> int | str:
    """Look at one video and keep its skeletons.

    Args:
        job: The clip.
        root: Its root.
        options: What finds the joints.

    Returns:
        The number of frames, or why there are no skeletons.

    Raises:
        OSError: The disk is full.
    """
    try:
        source = root.video_path(job.path)
        partial = extract_video(source, options)
        write_partial(job.partial, partial, source)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return error.strerror or str(error)
    except (ValueError, RuntimeError) as error:
        return str(error)
    return len(partial.joints)


def extract_video(path: Path, options: PoseOptions) -> Partial:
    """Skeletons of a video file; the extractor is loaded once per process.

    Rows of a store are evenly spaced: at a variable frame rate each one is what is
    shown in the middle of its time, at a constant rate all frames stay.

    Args:
        path: The file.
        options: What finds the joints.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read as video.
    """
    clip = extract_clip(_extractor(options), VideoFrames(path))
    return replace(clip, joints=clip.joints[_even_rows(path)])


def extract_clip(extractor: Extractor, video: VideoFrames) -> Partial:
    """Skeletons of a video as a store holds them.

    Joints outside the picture are guesses of where nothing can be seen: score 0.

    Args:
        extractor: What finds the joints.
        video: Its frames.
    """
    keypoints, scores = extractor.extract(video, video.fps)
    size = np.array(video.size)
    inside = ((keypoints >= 0) & (keypoints < size)).all(axis=-1)
    scale = min(1.0, MAX_SIDE / size.max())
    joints = encode_joints(
        keypoints * scale, np.where(inside, scores, 0), WHOLEBODY65.score_scale
    )
    width, height = (round(side * scale) for side in video.size)
    return Partial(joints, video.fps, width, height)


def _even_rows(path: Path) -> np.ndarray:
    """(T,) frames shown at the middles of T equal parts."""
    with open_container(path) as container:
        index = read_index(container)
    parts = len(index.pts)
    middles_sec = (np.arange(parts) + 0.5) * (index.duration_sec / parts)
    return np.searchsorted(index.times_sec, middles_sec, side='right') - 1


@functools.cache
def _extractor(options: PoseOptions) -> Extractor:
    """One per process: loading takes as long as many frames."""
    return build_extractor(options)


def _tasks(root: DataRoot, asked: Sequence[str] | None) -> tuple[str, ...]:
    has = {'rec': root.has_rec, 'det': root.has_det}
    for task in asked or ():
        if not has[task]:
            raise FileNotFoundError(f'{root.path} has no table for task {task!r}')
    return tuple(task for task in TASKS if (task in asked if asked else has[task]))


def _kept_stores(
    root: DataRoot, layout: JointLayout, tasks: Sequence[str], force: bool
) -> dict[str, SkeletonStore]:
    """Stores of the same extractor, whose clips need not be looked at again."""
    existing = [task for task in TASKS if root.has_skeletons(task)]
    if not existing:
        return {}
    old = read_layout(root.path / 'skeletons')
    if old == layout:
        return {} if force else dict(_readable(root, existing))
    origin = f'{root.path} has skeletons of {old.extractor!r}, not {layout.extractor!r}'
    others = [task for task in existing if task not in tasks]
    if others:
        raise ValueError(
            f'{origin}, and both tasks of a root share one extractor: '
            f'give --tasks {" ".join(TASKS)}'
        )
    if not force:
        raise ValueError(f'{origin}: --force replaces them')
    return {}


def _readable(
    root: DataRoot, tasks: Sequence[str]
) -> Iterator[tuple[str, SkeletonStore]]:
    """Stores, without one whose replacement was cut short by the end of the process."""
    for task in tasks:
        with contextlib.suppress(ValueError):
            yield task, SkeletonStore(root, task)


def _jobs(root: DataRoot, tasks: Sequence[str], partials: Partials) -> list[Job]:
    rows: list[tuple[str, str, str]] = []
    if 'rec' in tasks:
        rows += [('rec', clip.clip, clip.path) for clip in root.read_rec()]
    if 'det' in tasks:
        rows += [('det', video.video, video.path) for video in root.read_det()]
    if not any(path for _, _, path in rows):
        raise ValueError(f'{root.path}: no row has a video file to look at')
    return [Job(*row, partials.path(*row[:2])) for row in rows]


def _is_done(job: Job, root: DataRoot, kept: dict[str, SkeletonStore]) -> bool:
    if job.task in kept and job.name in kept[job.task]:
        return True
    if not job.partial.is_file():
        return False
    return read_partial(job.partial, root.video_path(job.path)) is not None


def _extract_all(
    todo: list[Job], how: tuple[DataRoot, PoseOptions, RunOptions], report: PoseReport
) -> None:
    root, options, run = how
    weights = {job: _bytes(root, job) for job in todo}
    total, done = sum(weights.values()), 0
    work = functools.partial(extract_one, root=root, options=options)
    started = time.perf_counter()
    for job, outcome in map_in_processes(work, todo, run.workers):
        done += weights[job]
        if isinstance(outcome, str):
            reason = 'the process dies on it' if outcome == CRASHED else outcome
            report.failures.append((job.task, job.name, reason))
        else:
            report.extracted += 1
            report.frames += outcome
        run.on_progress(done, total, report.frames)
    report.seconds = time.perf_counter() - started
    order = {(job.task, job.name): number for number, job in enumerate(todo)}
    report.failures.sort(key=lambda failure: order[failure[:2]])


def _bytes(root: DataRoot, job: Job) -> int:
    file = root.path / job.path
    return file.stat().st_size if file.is_file() else 0


def _write_store(
    root: DataRoot,
    layout: JointLayout,
    task: str,
    what: tuple[list[Job], SkeletonStore | None, int],
) -> None:
    """Write the store of a task in the order of its table, unless it is there."""
    jobs, kept, persons = what
    if kept is not None and kept.names == [job.name for job in jobs]:
        return
    folder = root.path / 'skeletons'
    for stale in TASKS:  # all are replaced, or have this layout
        if root.has_skeletons(stale) and read_layout(folder) != layout:
            (folder / f'{stale}.npy').unlink()
    with SkeletonWriter(root, task, layout, persons) as writer:
        for name, clip in _clips(jobs, kept):
            facts = (clip.fps, clip.width, clip.height)
            writer.append_encoded(name, clip.joints, *facts)


def _clips(
    jobs: list[Job], kept: SkeletonStore | None
) -> Iterator[tuple[str, Partial]]:
    for job in jobs:
        clip = read_partial(job.partial)
        if clip is None:
            joints = encode_joints(*kept.get(job.name), kept.layout.score_scale)
            clip = Partial(joints, kept.fps(job.name), *kept.size(job.name))
        yield job.name, clip


def _write_missing(
    root: DataRoot, task: str, failures: list[tuple[str, str, str]]
) -> None:
    rows = [failure[1:] for failure in failures if failure[0] == task]
    path = missing_file(root, task)
    path.unlink(missing_ok=True)
    if rows:
        with atomic_write(path) as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerows([('name', 'reason'), *rows])
