"""Skeletons from video: every frame of a root into its store."""

import contextlib
import csv
import errno
import functools
import hashlib
import importlib
import json
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmma import files
from mmma.data.arrays import SkeletonStore, SkeletonWriter, encode_joints
from mmma.data.clips import Span, span_frames
from mmma.data.joints import MAX_SIDE, WHOLEBODY65, JointLayout, read_layout
from mmma.data.root import TASKS, DataRoot
from mmma.foreign import is_number, naming
from mmma.media.pack import Row, chosen_tasks, file_bytes, table_rows
from mmma.packets import index_video
from mmma.processes import CRASHED, map_in_processes
from mmma.taxonomy import check_choice
from mmma.video import PyAVReader

_NAMES = 'mediapipe', 'rtmlib', 'litert', 'litert-full', 'litert-lite'
BACKENDS = {name: f'mmma.media.{name.partition("-")[0]}' for name in _NAMES}
"""Module of each backend: ``describe(options)`` names it without loading its library
(and says what is missing), ``build(options)`` loads it."""

FOLDER = '.pose'
_FORMS = (np.int16, 4), (np.float64, 2)  # of skeletons, of faces
JOINTS = {name: place for place, name in enumerate(WHOLEBODY65.names)}
NUM_JOINTS = len(JOINTS)
_PARTS = {
    'body': slice(0, JOINTS['left_big_toe']),
    'left hand': slice(JOINTS['left_hand_root'], JOINTS['right_hand_root']),
    'right hand': slice(JOINTS['right_hand_root'], len(JOINTS)),
}
_COLOURS = {'left': (255, 140, 40), 'right': (60, 150, 255), '': (60, 200, 90)}


@dataclass(frozen=True)
class PoseOptions:
    """Options of an extractor.

    Attributes:
        backend (mediapipe|rtmlib|litert|litert-full|litert-lite): One of ``BACKENDS``.
        persons (M): rtmlib: most per clip
        smooth: mediapipe: smooth the body over time; damps small motion
        models (DIR): rtmlib: det.onnx and pose.onnx; litert: archives of its networks
        device (D): rtmlib: cpu, cuda, cuda:N
        skeletons (ROOT): Those of the data root of the videos, instead of finding any.

    Raises:
        ValueError: An unknown backend, or no person to keep.
    """

    backend: str
    persons: int = 1
    smooth: bool = False
    models: Path | None = None
    device: str = 'cpu'
    skeletons: Path | None = None

    def __post_init__(self) -> None:
        check_choice('backend', self.backend, tuple(BACKENDS))
        if self.persons < 1:
            raise ValueError(f'--persons {self.persons}: must be 1 or more')


class Extractor(ABC):
    """Finds the joints of ``WHOLEBODY65`` in the frames of one clip after another."""

    @abstractmethod
    def extract(
        self, frames: Iterable[np.ndarray], fps: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the joints of a clip; nothing of the clip before is remembered.

        Args:
            frames: (H, W, 3) uint8 RGB each, in time order.

        Returns:
            Keypoints (M, T, V, 2) in pixels and scores (M, T, V) in [0, 1], 0 where a
            joint was not found.
        """


def describe_extractor(options: PoseOptions) -> str:
    """Name, version and options of an extractor, as a skeleton store records them.

    ValueError or FileNotFoundError: what it needs is missing, an option is not for it.
    """
    if options.skeletons:
        return read_layout(Path(options.skeletons, 'skeletons')).extractor or 'unknown'
    return importlib.import_module(BACKENDS[options.backend]).describe(options)


@functools.cache
def build_extractor(options: PoseOptions) -> Extractor:
    """Load an extractor, once per process: it takes as long as many frames."""
    return importlib.import_module(BACKENDS[options.backend]).build(options)


class VideoFrames:
    """Frames of a video or a span of it that is gone through once, by one thread.

    They are those of ``mmma.video``: upright, those shown, in order.

    Attributes:
        fps: Mean frames per second.
        size: Width and height in pixels; (0, 0) before the first frame.
        times_sec: (T,) when each is shown, from the first.

    Raises:
        FileNotFoundError: There is no such file.
        BrokenVideoError: It cannot be read as video, or, on the way, a frame of it.
        ValueError: The span goes beyond the file, or has no frame.
    """

    def __init__(self, path: Path, span: Span | None = None) -> None:
        self.path, self.size = path, (0, 0)
        self._index = index = index_video(path)
        known = index.times_sec, index.duration_sec, span
        with naming(path):
            first, stop, self._end_sec = span_frames(*known)
        self._chosen = range(first, stop)
        self.fps = len(self) / (self._end_sec - index.times_sec[first])
        self.times_sec = index.times_sec[first:stop] - index.times_sec[first]

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB each."""
        return self.at(np.arange(len(self)))

    def at(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
        """Frames of ascending numbers, as if these were all."""
        with PyAVReader(self.path, self._index) as video:
            for frame in video.walk_over(self._chosen.start + numbers):
                self.size = video.upright.size
                yield np.ascontiguousarray(video.upright(frame))

    def even_rows(self) -> np.ndarray:
        """(T,) frames shown at the middles of T equal parts of the time."""
        parts, first = len(self), self._chosen.start
        times_sec = self._index.times_sec[first : self._chosen.stop]
        step_sec = (self._end_sec - times_sec[0]) / parts
        middles_sec = times_sec[0] + (np.arange(parts) + 0.5) * step_sec
        return np.searchsorted(times_sec, middles_sec, side='right') - 1


@dataclass(frozen=True)
class Partial:
    """Skeletons of one clip, or its faces.

    Attributes:
        joints: (T, M, V, 3) int16, as a store holds them; or (T, ...) float64.
        fps: Frames per second.
        width: Of the picture that coordinates refer to.
        height: Its height.
    """

    joints: np.ndarray
    fps: float
    width: int
    height: int


def extract_video(
    path: Path, options: PoseOptions, span: Span | None = None, label: str = ''
) -> Partial:
    """Find the skeletons of a video file, or of a span of it.

    With a label, how far it is in the video is shown under it.

    Rows of a store are evenly spaced: at a variable frame rate each one is what is
    shown in the middle of its time, at a constant rate all frames stay.
    """
    if options.skeletons:
        root = DataRoot(options.skeletons)
        place, home = path.resolve(), root.path.resolve()
        tasks = [task for task in TASKS if root.has_skeletons(task)]
        for task, name, own, part in table_rows(root, tasks):
            if own and not part and home / own == place:
                kept = SkeletonStore(root, task)
                found = *kept.get(name, WHOLEBODY65.names), WHOLEBODY65.score_scale
                return Partial(encode_joints(*found), kept.fps(name), *kept.size(name))
        raise ValueError(f'{root} has no skeletons of it: leave out --skeletons')
    video = VideoFrames(path, span)
    clip = extract_clip(build_extractor(options), video, label)
    return replace(clip, joints=clip.joints[video.even_rows()])


def extract_clip(extractor: Extractor, video: VideoFrames, label: str = '') -> Partial:
    """Find the skeletons of a video, as a store holds them.

    Joints outside the picture are guesses of where nothing can be seen: score 0.
    """
    frames = files.progress(video, len(video), f'{label}: frames') if label else video
    keypoints, scores = extractor.extract(frames, video.fps)
    size = np.array(video.size)
    inside = ((keypoints >= 0) & (keypoints < size)).all(axis=-1)
    scale = min(1.0, MAX_SIDE / size.max())
    scores = np.where(inside, scores, 0)
    joints = encode_joints(keypoints * scale, scores, WHOLEBODY65.score_scale)
    width, height = (round(side * scale) for side in video.size)
    return Partial(joints, video.fps, width, height)


def open_partials(
    skeletons: Path, extractor: str, force: bool, name: str = FOLDER
) -> Path:
    """Open the folder of clips that are done before the store is written.

    What another extractor has begun is thrown away by ``force``; else ValueError.
    """
    folder = skeletons / name
    header = folder / 'run.json'
    begun = None
    with contextlib.suppress(ValueError, LookupError, TypeError, OSError):
        begun = files.read_json(header)['extractor'] if header.exists() else ''
    if begun not in ('', extractor) and not force:
        told = f'{header}: not of this program, or damaged: delete {folder}, or give'
        if begun:
            told = f'{folder} holds a run with {begun!r}, now it is {extractor!r}: give'
            told += ' the options of that run to go on, or'
        raise ValueError(f'{told} --force to start anew')
    if begun != extractor:
        shutil.rmtree(folder, ignore_errors=True)
        files.write_file(header, json.dumps({'extractor': extractor}))
    return folder


def partial_path(folder: Path, task: str, name: str) -> Path:
    """File of a clip or video of a task that is done, in that folder."""
    mark = hashlib.sha256(f'{task} {name}'.encode()).hexdigest()[:24]
    return folder / mark[:2] / f'{mark}.npz'


def write_partial(
    path: Path, partial: Partial, source: Path, span: Span | None = None
) -> None:
    """Write a clip's file, with the identity of its video and the span of it."""
    facts = {**files.source_identity(source), 'span': span, **asdict(partial)}
    joints = facts.pop('joints')
    with files.atomic_write(path, 'wb') as file:
        np.savez(file, joints=joints, facts=np.array(json.dumps(facts)))


def read_partial(
    path: Path, source: Path | None = None, span: Span | None = None
) -> Partial | None:
    """Read a clip's file; None if there is none, or its video, where given, changed."""
    if not path.exists() or (source is not None and not source.is_file()):
        return None

    def read(content: Mapping[str, np.ndarray]) -> Partial | None:
        facts = json.loads(str(content['facts']))
        identity = {key: facts.pop(key) for key in ('source_bytes', 'source_mtime_ns')}
        same_span = facts.pop('span', None) == (list(span) if span else None)
        if source and not (same_span and identity == files.source_identity(source)):
            return None
        joints = content['joints']
        found = Partial(joints, **facts)
        if (joints.dtype, joints.ndim) not in _FORMS or not joints.size:
            raise ValueError(f'joints are {joints.dtype} {joints.shape}')
        if not all(is_number(n) and n > 0 for n in astuple(found)[1:]):
            raise ValueError(f'facts are {facts}')
        return found

    return files.read_own(path, read)


@dataclass
class PoseReport:
    """Result of an extraction.

    Attributes:
        extractor: As the store records it.
        clips: Clips and videos of the tables.
        extracted: Of these, looked at in this run.
        frames: Their frames.
        seconds: How long that took.
        failures: (task, name, reason) of those without skeletons.
        rates: From :func:`detection_rates`, by task; of faces, by video.
        complete: The stores are written.
    """

    extractor: str
    clips: int = 0
    extracted: int = 0
    frames: int = 0
    seconds: float = 0.0
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    rates: dict[str, Any] = field(default_factory=dict)
    complete: bool = False


def extract_root(
    root: DataRoot,
    options: PoseOptions,
    *,
    tasks: Sequence[str] | None = None,
    skip_broken: bool = False,
    force: bool = False,
    **how: Any,
) -> PoseReport:
    """Find the skeletons of a root's videos and write its skeleton store.

    Killed at any time, it goes on when it is called again, and writes the same bytes as
    if it had not been. Clips that a store of the same extractor has are kept; ``force``
    replaces skeletons of another one, ``skip_broken`` leaves out clips that failed, and
    ``how`` is ``workers`` and ``on_progress`` of :func:`look_at_rows`.

    Raises:
        FileNotFoundError: The root lacks a table, or the extractor its model files.
        ValueError: The extractor is not installed, no row has a video, or there are
            skeletons of another extractor.
    """
    report = PoseReport(describe_extractor(options))
    layout = replace(WHOLEBODY65, extractor=report.extractor)
    tasks = chosen_tasks(root, tasks)
    kept = _kept_stores(root, layout, tasks, force)
    folder = open_partials(root.path / 'skeletons', report.extractor, force)
    rows = table_rows(root, tasks)
    look = functools.partial(extract_video, options=options)
    failed = look_at_rows(report, rows, look, root, folder, kept, **how)
    if not failed or skip_broken:
        for task in tasks:
            names = [row[1] for row in rows if row[0] == task and row[:2] not in failed]
            clips = {name: partial_path(folder, task, name) for name in names}
            _write_store(root, layout, task, clips, kept.get(task), options.persons)
            lost = [failure[1:] for failure in report.failures if failure[0] == task]
            file = root.path / 'skeletons' / f'{task}_missing.csv'
            file.unlink(missing_ok=True)
            if lost:
                with files.atomic_write(file) as out:
                    writer = csv.writer(out, lineterminator='\n')
                    writer.writerows([('name', 'reason'), *lost])
            report.rates[task] = detection_rates(SkeletonStore(root, task))
        report.complete = True
        shutil.rmtree(folder, ignore_errors=True)
    return report


def look_at_rows(
    report: PoseReport,
    rows: Sequence[Row],
    look: Callable[..., Partial],
    root: DataRoot,
    folder: Path,
    kept: Mapping[str, SkeletonStore],
    workers: int | None = None,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> set[tuple[str, str]]:
    """Look at videos that are not done yet, in processes; gives those that failed.

    ``look`` gives what is kept of a file and the keyword ``span``, the report takes the
    rest; ``workers`` is None for one per CPU, 0 for this process, and ``on_progress``
    takes the bytes of videos done and in all.
    """
    if not any(row[2] for row in rows):
        raise ValueError(f'{root.path}: no row has a video file to look at')
    report.clips = len(rows)
    todo = [
        (task, name, path, span)
        for task, name, path, span in rows
        if name not in kept.get(task, ())
        and not (
            (file := partial_path(folder, task, name)).exists()
            and read_partial(file, root.video_path(path), span)
        )
    ]
    work = functools.partial(_look_at_one, root=root, look=look, folder=folder)
    sizes = {row: file_bytes(root.path / row[2]) for row in todo}
    started, done = time.perf_counter(), 0
    for row, outcome in map_in_processes(work, todo, workers):
        done += sizes[row]
        if isinstance(outcome, str):
            reason = 'the process dies on it' if outcome == CRASHED else outcome
            report.failures.append((*row[:2], reason))
        else:
            report.extracted += 1
            report.frames += outcome
        on_progress(done, sum(sizes.values()))
    report.seconds = time.perf_counter() - started
    order = {row[:2]: number for number, row in enumerate(todo)}
    report.failures.sort(key=lambda failure: order[failure[:2]])
    return {failure[:2] for failure in report.failures}


def _look_at_one(
    row: Row, root: DataRoot, look: Callable[..., Partial], folder: Path
) -> int | str:
    """The frames of one video, or why it could not be looked at."""
    task, name, path, span = row
    try:
        source = root.video_path(path)
        partial = look(source, span=span)
        write_partial(partial_path(folder, task, name), partial, source, span)
        return len(partial.joints)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return error.strerror or str(error)
    except (ValueError, RuntimeError) as error:
        return str(error)


def _kept_stores(
    root: DataRoot, layout: JointLayout, tasks: Sequence[str], force: bool
) -> dict[str, SkeletonStore]:
    """Stores of the same extractor, whose clips need not be looked at again."""
    existing = [task for task in TASKS if root.has_skeletons(task)]
    old = read_layout(root.path / 'skeletons') if existing else layout
    if old == layout:
        kept = {}
        for task in () if force else existing:
            with contextlib.suppress(ValueError):  # its replacement was cut short
                kept[task] = SkeletonStore(root, task)
        return kept
    origin = f'{root.path} has skeletons of {old.extractor!r}, not {layout.extractor!r}'
    if any(task not in tasks for task in existing):
        told = f'tasks of a root share one extractor: give --tasks {" ".join(TASKS)}'
        raise ValueError(f'{origin}, and {told}')
    if not force:
        raise ValueError(f'{origin}: --force replaces them')
    return {}


def _write_store(
    root: DataRoot,
    layout: JointLayout,
    task: str,
    clips: dict[str, Path],
    kept: SkeletonStore | None,
    persons: int,
) -> None:
    """Write the store of a task in the order of its table, unless it is there."""
    if kept is not None and kept.names == list(clips):
        return
    folder = root.path / 'skeletons'
    for stale in TASKS:  # all are replaced, or have this layout
        if root.has_skeletons(stale) and read_layout(folder) != layout:
            (folder / f'{stale}.npy').unlink()
    with SkeletonWriter(root, task, layout, persons) as writer:
        for name, path in clips.items():
            clip = read_partial(path)
            if clip is None:
                joints = encode_joints(*kept.get(name), kept.layout.score_scale)
                clip = Partial(joints, kept.fps(name), *kept.size(name))
            writer.append_encoded(name, clip.joints, clip.fps, clip.width, clip.height)


def detection_rates(store: SkeletonStore) -> tuple[int, dict[str, float], int]:
    """Frames, shares of them with each part of anybody, and clips without any body."""
    found = dict.fromkeys(_PARTS, 0)
    frames = without_body = 0
    for name in store.names:
        scores = store.get(name)[1]  # (M, T, V)
        frames += scores.shape[1]
        before = found['body']
        for part, places in _PARTS.items():
            found[part] += int(scores[..., places].any(axis=(0, 2)).sum())
        without_body += found['body'] == before
    return frames, {part: n / frames for part, n in found.items()}, without_body


def draw_over(
    frame: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray,
    layout: JointLayout,
    colours: Sequence[tuple[int, int, int]] = (),
) -> np.ndarray:
    """Draw one skeleton: left orange, right blue, doubtful limbs faint.

    Args:
        frame: (H, W, 3) uint8 RGB; not changed.
        keypoints: (V, 2) pixels.
        scores: (V,) in [0, 1]; joints with score 0 are left out.
        colours: (V,) RGB of joints and of limbs that lead to them, which have a rim.
    """
    import cv2

    drawn, points = frame.copy(), np.round(keypoints * 16).astype(int).tolist()
    thickness, how = max(1, min(frame.shape[:2]) // 300), (cv2.LINE_AA, 4)
    limbs = layout.limb_indices() + [(v, v) for v in range(len(colours))]
    for low, high, share in ((1e-6, 0.5, 0.4), (0.5, 2, 1)):
        layer = drawn.copy()
        for a, b in limbs:
            if low <= min(scores[a], scores[b]) < high:
                ends, names = (points[a], points[b]), (layout.names[a], layout.names[b])
                if len(colours) and a != b:
                    cv2.line(layer, *ends, (20, 20, 20), thickness + 2, *how)
                side = next(s for s in _COLOURS if all(n.startswith(s) for n in names))
                ink = colours[b] if len(colours) else _COLOURS[side]
                cv2.line(layer, *ends, ink, thickness + 2 * (a == b), *how)
        drawn = cv2.addWeighted(layer, share, drawn, 1 - share, 0)
    return drawn


def write_sheet(
    root: DataRoot, task: str, out: Path, clips: int = 6, height: int = 320
) -> list[str]:
    """Write a PNG or JPG picture of some clips spread over a store; gives their names.

    Five frames each, ``height`` pixels high; ValueError if it cannot be encoded.
    """
    from mmma.simulation import preview

    store = SkeletonStore(root, task)
    rows = {row[1]: row[2:] for row in table_rows(root, (task,)) if row[2]}
    names, strips = [n for n in store.names if n in rows], []
    for name in (names[i] for i in np.unique(preview.pick_frames(len(names), clips))):
        (path, span), (keypoints, scores) = rows[name], store.get(name)
        wanted, frames = np.unique(preview.pick_frames(store.frames(name), 5)), []
        images = VideoFrames(root.video_path(path), span).at(wanted)
        for number, frame in zip(wanted, images, strict=True):
            scale = frame.shape[1] / store.size(name)[0]
            for points, sure in zip(keypoints, scores, strict=True):
                joints = points[number] * scale, sure[number]
                frame = draw_over(frame, *joints, store.layout)
            frames.append(frame)
        strips.append((name, frames))
    preview.write_sheet(out, 'clips', strips, 1, height, store.layout.extractor)
    return [name for name, _ in strips]
