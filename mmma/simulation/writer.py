"""Carries out a plan: the files of a data root."""

from __future__ import annotations

import functools
import hashlib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from mmma.layout.joints import WHOLEBODY65
from mmma.layout.root import write_info
from mmma.layout.skeletons import SkeletonWriter
from mmma.simulation.chunks import Chunk, make_chunks, read_skeletons, write_chunk
from mmma.simulation.domains import DOMAIN_STYLES
from mmma.simulation.folder import finish, prepare, write_tables
from mmma.simulation.plan import NAME, TASKS, VERSION, Plan
from mmma.simulation.workers import run_all

JOINTS = replace(WHOLEBODY65, extractor=f'{NAME} {VERSION}')


def write_corpus(
    plan: Plan,
    root: Path,
    workers: int = 1,
    force: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> bool:
    """Write a corpus, or go on with one that was interrupted.

    The bytes depend on the plan alone, not on the number of workers nor on
    interruptions. ``dataset.json`` comes last: a folder without it is unfinished.

    Args:
        plan: The corpus.
        root: Its folder.
        workers: Number of processes.
        force: Delete another simulated corpus that is in the way.
        report: Called with frames done and frames in all.

    Returns:
        False if the corpus was there already, complete.

    Raises:
        ValueError: Fewer than one worker, the folder holds something else, or the disk
            is too small.
    """
    if workers < 1:
        raise ValueError(f'workers {workers}: use 1 or more')
    root = Path(root)
    if prepare(root, plan, _fingerprint(plan), force):
        return False
    if plan.options.observes or plan.options.draws:
        _write_chunks(make_chunks(plan), root, workers, report or (lambda *_: None))
    write_tables(root, plan)
    write_info(root, plan.info())
    finish(root)
    return True


def _write_chunks(
    chunks: list[Chunk], root: Path, workers: int, report: Callable[[int, int], None]
) -> None:
    todo = [chunk for chunk in chunks if chunk.is_wanting(root)]
    total = sum(chunk.frames for chunk in chunks)
    done = total - sum(chunk.frames for chunk in todo)
    report(done, total)

    def count(finished: Sequence[Chunk]) -> None:
        nonlocal done
        done += sum(chunk.frames for chunk in finished)
        report(done, total)

    run_all(functools.partial(write_chunk, root=root), todo, workers, count)
    for task in TASKS:
        mine = [chunk for chunk in chunks if chunk.task == task and chunk.observes]
        if mine and not mine[0].joined_file(root).is_file():
            _join(mine, root)


def _join(chunks: Sequence[Chunk], root: Path) -> None:
    """Put the skeletons of a task into one array, in the order of the plan."""
    with SkeletonWriter(root, chunks[0].task, JOINTS) as writer:
        for chunk in chunks:
            for item, joints in read_skeletons(chunk, root):
                width, height = DOMAIN_STYLES[item.domain].size
                writer.append_encoded(item.name, joints, item.fps, width, height)
    for chunk in chunks:
        chunk.skeleton_file(root).unlink()


def _fingerprint(plan: Plan) -> str:
    """Of the plan, the code that carries it out, and the libraries that shape bytes."""
    digest = hashlib.sha256(plan.fingerprint().encode())
    for file in sorted(Path(__file__).parent.rglob('*')):
        if file.suffix in ('.py', '.json'):
            digest.update(file.read_bytes())
    modules = ['numpy', *(['cv2', 'av'] if plan.options.draws else [])]
    for name in modules:
        digest.update(importlib.import_module(name).__version__.encode())
    return digest.hexdigest()
