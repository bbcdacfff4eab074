"""The skeletons of a data root: in parallel, and again from where it was."""

from __future__ import annotations

import contextlib
import csv
import errno
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mmma.datasets.video.index import open_container, read_index
from mmma.layout.joints import WHOLEBODY65, JointLayout, read_layout
from mmma.layout.paths import atomic_write
from mmma.layout.processes import CRASHED, map_in_processes
from mmma.layout.root import TASKS, DataRoot
from mmma.layout.skeleton_files import encode_joints
from mmma.layout.skeletons import SkeletonStore, SkeletonWriter
from mmma.pose.extractors import (
    Extractor,
    PoseOptions,
    build_extractor,
    describe_extractor,
)
from mmma.pose.frames import VideoFrames
from mmma.pose.partials import Partial, Partials, read_partial, write_partial
from mmma.pose.rates import Rates

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
