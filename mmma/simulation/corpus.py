"""A planned corpus on disk, written as a data root; resumable."""

import csv
import filecmp
import functools
import hashlib
import importlib
import json
import multiprocessing
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmma.data.arrays import SkeletonWriter, encode_joints
from mmma.data.clips import write_rec
from mmma.data.joints import WHOLEBODY65
from mmma.data.root import DET_FILE, INFO_FILE, REC_FILE, read_info, write_info
from mmma.data.videos import write_det
from mmma.files import atomic_write, is_filled, only_writer, read_json, write_file
from mmma.processes import CRASHED, map_in_processes
from mmma.simulation.domains import DOMAIN_STYLES, Array, make_subject
from mmma.simulation.margins import PLANTED
from mmma.simulation.motion import observe_skeleton, simulate_motion
from mmma.simulation.plan import NAME, TASKS, VERSION, Item, Plan
from mmma.simulation.render import render_frames, write_video
from mmma.taxonomy import load_label_space, own_table

PARTIAL, FACES_FILE = '.partial', 'faces.csv'
_FACES, _PLAIN = 5, 1.5  # stream of the seed; how plainly a face shows an emotion
_SHOWN = PLANTED['emotion_faces']
# Items per chunk, about a second of work: trimmed clips, untrimmed videos.
_SKELETONS = {'rec': 128, 'det': 24}
_DRAWINGS = {'rec': 6, 'det': 1}


def make_chunks(plan: Plan) -> list[Plan]:
    """Divide a plan into plans of few items; the same plan is always divided alike."""
    sizes = _DRAWINGS if plan.options.draws else _SKELETONS
    empty = {'rec': (), 'det': ()}
    return [
        replace(plan, **{**empty, task: items[start : start + sizes[task]]})
        for task, items in (('rec', plan.rec), ('det', plan.det))
        for start in range(0, len(items), sizes[task])
    ]


def _joined_file(root: Path, task: str) -> Path:
    return root / 'skeletons' / f'{task}.npy'


def skeleton_file(chunk: Plan, root: Path) -> Path:
    """The file where a chunk's skeletons wait until all are there."""
    first = chunk.items[0]
    return root / PARTIAL / f'{first.task}_{first.index:06d}.npy'


def lacks_skeletons(chunk: Plan, root: Path) -> bool:
    """True if skeletons are wanted and neither waiting nor joined."""
    files = skeleton_file(chunk, root), _joined_file(root, chunk.items[0].task)
    return chunk.options.observes and not any(file.is_file() for file in files)


def write_chunk(chunk: Plan, root: Path) -> None:
    """Make what the chunk still lacks: its skeleton file, its videos."""
    skeletons = []
    observes = lacks_skeletons(chunk, root)
    for item in chunk.items:
        video = root / item.path if item.path else None
        draws = video is not None and not video.is_file()
        if not (observes or draws):
            continue
        scene = Scene(item, chunk.options.seed)
        if observes:
            skeletons.append(scene.skeleton())
        if video is not None and draws:
            write_video(video, scene.frames(), item.fps)
    if observes:
        with atomic_write(skeleton_file(chunk, root), 'wb') as file:
            np.save(file, np.concatenate(skeletons))


class Scene:
    """One clip or video in motion; its dice hang on seed, task and index alone.

    Raises:
        ValueError: The motion has another number of frames than planned.
    """

    def __init__(self, item: Item, seed: int) -> None:
        entropy = [seed, 1 + TASKS.index(item.task), item.index]
        motion_rng, self._pose_rng, self._picture_rng = map(
            np.random.default_rng, np.random.SeedSequence(entropy).spawn(3)
        )
        self._style = DOMAIN_STYLES[item.domain]
        self._subject = _subject(item.person_seed, item.domain)
        self._motion = simulate_motion(
            self._subject, self._style, item.events, item.seconds, item.fps, motion_rng
        )
        frames = len(self._motion.joints)
        if frames != item.frames:
            raise ValueError(f'{item.name}: {frames} frames instead of {item.frames}')

    def skeleton(self) -> Array:
        """(T, 1, V, 3) int16: what a pose extractor sees."""
        keypoints, scores = observe_skeleton(self._motion, self._style, self._pose_rng)
        return encode_joints(keypoints[None], scores[None], WHOLEBODY65.score_scale)

    def frames(self) -> Iterator[Array]:
        """(H, W, 3) uint8 RGB: what the camera sees."""
        import cv2

        if multiprocessing.parent_process() is not None:
            cv2.setNumThreads(1)  # every core has a worker of its own
        yield from render_frames(
            self._motion, self._subject, self._style, self._picture_rng
        )


_subject = functools.lru_cache(maxsize=512)(make_subject)

_PLAN_FILE = 'plan.json'
_OURS = (INFO_FILE, REC_FILE, DET_FILE, FACES_FILE, 'skeletons', 'videos', PARTIAL)
_BYTES_PER_FRAME = 2 * 3 * 65  # of skeletons: int16; x, y, score; joints
# Above what the drawings of every domain took when they were measured.
_BYTES_PER_PIXEL = 0.014


def _prepare(root: Path, plan: Plan, fingerprint: str, force: bool) -> bool:
    """Make sure that the folder is new, or an earlier stage of the same corpus.

    True if the complete corpus is there already.
    """
    if root.exists() and not root.is_dir():
        raise ValueError(f'{root} is a file: name a folder')
    known = (root / PARTIAL / _PLAN_FILE).is_file()
    if _has_tables(root, plan):
        if all(file.is_file() for file in data_files(root, plan)):
            shutil.rmtree(root / PARTIAL, ignore_errors=True)
            return True
    elif known or (root.is_dir() and is_filled(root, PARTIAL)):
        _check_content(root, fingerprint, force)
    if not known:  # chunks of an unknown plan
        shutil.rmtree(root / PARTIAL, ignore_errors=True)
    _check_space(root, plan)
    content = {'fingerprint': fingerprint, 'options': plan.options.describe()}
    write_file(root / PARTIAL / _PLAN_FILE, json.dumps(content) + '\n')
    return False


def write_tables(root: Path, plan: Plan) -> None:
    """Write ``rec.csv`` and ``det.json``, whichever the plan has."""
    space = load_label_space('mma82')
    if plan.rec:
        write_rec(root / REC_FILE, plan.clips(space), space)
    if plan.det:
        write_det(root / DET_FILE, plan.videos(space), space)


def write_faces(root: Path, plan: Plan) -> None:
    """Write ``faces.csv``: a made-up reading of faces each half second."""
    columns = 'video', 'frame', 'time_sec', 'face', 'x', 'y', 'width', 'height'
    names = own_table('faces')['expressions']['fer']
    with atomic_write(root / FACES_FILE) as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow((*columns, *names))
        for item in filter(lambda item: item.emotion, plan.items):
            entropy = plan.options.seed, _FACES, TASKS.index(item.task), item.index
            rng, shown = np.random.default_rng(entropy), _SHOWN[item.emotion]
            frames = np.arange(0, item.frames, item.fps / 2).astype(int)
            means = rng.normal(
                [_PLAIN * shown.get(name, 0) for name in names]
            )  # logits
            scores = np.exp(rng.normal(means, size=(len(frames), len(names))))
            scores = (scores / scores.sum(axis=1, keepdims=True)).round(4)
            x, y = (size // 3 for size in DOMAIN_STYLES[item.domain].size)
            for frame, own in zip(frames.tolist(), scores.tolist(), strict=True):
                place = item.name, frame, round(frame / item.fps, 3), 1, x, y, x, x
                writer.writerow((*place, *own))


def data_files(root: Path, plan: Plan) -> list[Path]:
    """The skeletons, videos and faces that a complete corpus has."""
    files = [root / item.path for item in plan.items if item.path]
    if plan.options.observes:
        tasks = [t for t, items in (('rec', plan.rec), ('det', plan.det)) if items]
        names = [f'{t}{end}' for t in tasks for end in ('.npy', '_index.csv')]
        files += [root / 'skeletons' / name for name in [*names, 'layout.json']]
    return files + [root / FACES_FILE] * any(item.emotion for item in plan.items)


def needed_bytes(plan: Plan) -> int:
    """Disk space for a corpus while it is written; a little less stays in use.

    Skeletons of a task lie there twice while they are put together.
    """
    need = 0.0
    if plan.options.observes:
        frames = [sum(i.frames for i in items) for items in (plan.rec, plan.det)]
        need += _BYTES_PER_FRAME * (sum(frames) + max(frames))
    for item in plan.items:
        if item.path:
            width, height = DOMAIN_STYLES[item.domain].size
            need += _BYTES_PER_PIXEL * width * height * item.frames
    return round(need)


def _check_space(root: Path, plan: Plan) -> None:
    """Refuse to begin what will not fit; what lies there is taken for a part of it."""
    home = next(p for p in (root, *root.absolute().parents) if p.exists())
    there = sum(f.stat().st_size for f in root.rglob('*') if f.is_file())
    free = shutil.disk_usage(home).free
    needed = needed_bytes(plan)
    if needed > there + free:
        need, have, more = (
            f'{size / 1e6:,.0f} MB' for size in (needed, free, needed - there - free)
        )
        raise ValueError(
            f'{root} needs about {need}, {have} are free there: free {more}, choose '
            'another disk, or a smaller --scale or --tasks'
        )


def _has_tables(root: Path, plan: Plan) -> bool:
    """True if ``dataset.json``, written last, and the tables are those of the plan."""
    if not (root / INFO_FILE).is_file() or read_info(root) != plan.info():
        return False
    with tempfile.TemporaryDirectory() as wanted:
        write_tables(Path(wanted), plan)
        names = [REC_FILE] * bool(plan.rec) + [DET_FILE] * bool(plan.det)
        same, _, _ = filecmp.cmpfiles(root, wanted, names, shallow=False)
    return same == names


def _check_content(root: Path, fingerprint: str, force: bool) -> None:
    """Refuse, or delete, what is no earlier stage of the same corpus."""
    file = root / PARTIAL / _PLAN_FILE
    if file.is_file():
        try:
            found = read_json(file)
            if found['fingerprint'] == fingerprint:
                return
            what = (
                f'an unfinished corpus ({found["options"]}), begun with other options '
                'or another version of the code'
            )
        except (ValueError, LookupError, TypeError):
            told = f'{file}: not of this program, or damaged: delete {root}'
            if not force:
                raise ValueError(f'{told}, or give --force, to start anew') from None
            what = ''
    elif (root / INFO_FILE).is_file() and read_info(root).name == NAME:
        what = f'another simulated corpus ({read_info(root).source})'
    else:
        raise ValueError(
            f'{root} is not empty and holds no simulated corpus: choose another folder'
        )
    if not force:
        raise ValueError(
            f'{root} holds {what}: choose another folder, or delete it with --force'
        )
    if not file.is_file():  # so that a kill leaves something to delete
        write_file(file, json.dumps({'fingerprint': '', 'options': 'being deleted'}))
    for name in _OURS:
        target = root / name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


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
    ``force`` deletes another simulated corpus that is in the way; ``report`` is called
    with frames done and frames in all. False if the corpus was there, complete.

    Raises:
        ValueError: Fewer than one worker, the folder holds something else, or the disk
            is too small.
    """
    if workers < 1:
        raise ValueError(f'workers {workers}: use 1 or more')
    root = Path(root)
    with nullcontext() if root.is_file() else only_writer(root):
        if _prepare(root, plan, _fingerprint(plan), force):
            return False
        if plan.options.observes or plan.options.draws:
            _write_chunks(make_chunks(plan), root, workers, report or (lambda *_: None))
        write_tables(root, plan)
        if root / FACES_FILE in data_files(root, plan):
            write_faces(root, plan)
        write_info(root, plan.info())
        shutil.rmtree(root / PARTIAL, ignore_errors=True)
        return True


def _write_chunks(
    chunks: list[Plan], root: Path, workers: int, report: Callable[[int, int], None]
) -> None:
    todo = [
        chunk
        for chunk in chunks
        if lacks_skeletons(chunk, root)
        or not all((root / item.path).is_file() for item in chunk.items if item.path)
    ]
    total = sum(chunk.frames for chunk in chunks)
    done = total - sum(chunk.frames for chunk in todo)
    report(done, total)
    workers = workers if min(workers, len(todo)) > 1 else 0
    work = functools.partial(write_chunk, root=root)
    for chunk, outcome in map_in_processes(work, todo, workers, spawn=True):
        if outcome == CRASHED:
            raise ChildProcessError(
                f'a worker process ended at {chunk.items[0].name} (killed, often for '
                'want of memory); use fewer workers'
            )
        done += chunk.frames
        report(done, total)
    for task in TASKS:
        mine = [chunk for chunk in chunks if getattr(chunk, task)]
        observes = mine and mine[0].options.observes
        joined = _joined_file(root, task)
        if observes and not joined.is_file():
            _join(mine, root)
        elif observes:  # of a run that was killed when it had put them there
            shutil.rmtree(joined.with_name(f'.{task}.part'), ignore_errors=True)


def _join(chunks: list[Plan], root: Path) -> None:
    """Put the skeletons of a task into one array, in the order of the plan."""
    with SkeletonWriter(root, chunks[0].items[0].task, JOINTS) as writer:
        for chunk in chunks:
            joints, start = _waiting(chunk, root), 0
            for item in chunk.items:
                width, height = DOMAIN_STYLES[item.domain].size
                mine = joints[start : start + item.frames]
                writer.append_encoded(item.name, mine, item.fps, width, height)
                start += item.frames
    for chunk in chunks:
        skeleton_file(chunk, root).unlink()


def _waiting(chunk: Plan, root: Path) -> Array:
    """(T, 1, V, 3) skeletons of a chunk that wait; damaged ones are made again."""
    file = skeleton_file(chunk, root)
    with suppress(Exception):  # numpy and what it calls raise what they like
        joints = np.load(file)
        if (joints.dtype, len(joints)) == (np.int16, chunk.frames):
            return joints
    warnings.warn(f'{file} is damaged: it is made again', stacklevel=2)
    file.unlink()
    write_chunk(chunk, root)
    return np.load(file)


def _fingerprint(plan: Plan) -> str:
    """Hash of plan, code and the libraries that shape bytes."""
    digest = hashlib.sha256(plan.fingerprint().encode())
    for file in sorted(Path(__file__).parent.rglob('*')):
        if file.suffix in ('.py', '.json'):
            digest.update(file.read_bytes())
    modules = ['numpy', *(['cv2', 'av'] if plan.options.draws else [])]
    for name in modules:
        digest.update(importlib.import_module(name).__version__.encode())
    return digest.hexdigest()
