"""Validation of a whole data root: a list of checks, and one report."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmma.layout.check_videos import (
    FPS_TOLERANCE,
    FRAME_TOLERANCE,
    Use,
    broken_videos,
    missing_videos,
)
from mmma.layout.det import Video, scan_det
from mmma.layout.margins import claims_real, det_differences, rec_differences
from mmma.layout.problems import Problem
from mmma.layout.rec import Clip, scan_rec
from mmma.layout.root import DET_FILE, INFO_FILE, REC_FILE, TASKS, DataRoot
from mmma.layout.skeletons import SkeletonStore
from mmma.taxonomy import load_label_space, suggest


@dataclass
class RootContent:
    """What the checks look at: read once, as far as it can be read.

    Attributes:
        root: The data root.
        decode: Whether to decode every video.
        workers: Processes for that; None takes one per CPU.
        clips: Good rows of ``rec.csv``.
        videos: Good entries of ``det.json``.
        problems: What is wrong with a file, by its name.
        stores: Skeletons by task, those that could be opened.
    """

    root: DataRoot
    decode: bool = False
    workers: int | None = None
    clips: list[Clip] = field(default_factory=list)
    videos: list[Video] = field(default_factory=list)
    problems: dict[str, list[Problem]] = field(default_factory=dict)
    stores: dict[str, SkeletonStore] = field(default_factory=dict)

    def __post_init__(self) -> None:
        space = load_label_space(self.root.info.label_space)
        if self.root.has_rec:
            self.clips = self._scan(scan_rec, REC_FILE, space)
        if self.root.has_det:
            self.videos = self._scan(scan_det, DET_FILE, space)
        for task in filter(self.root.has_skeletons, TASKS):
            try:
                self.stores[task] = SkeletonStore(self.root, task)
            except (ValueError, FileNotFoundError) as error:
                self.problems[_store(task)] = [Problem(_store(task), 0, '', str(error))]

    def _scan(self, scan: Callable[..., Any], name: str, space: Any) -> list[Any]:
        try:
            rows, self.problems[name] = scan(self.root.path / name, space)
            return rows
        except ValueError as error:  # not text, not JSON
            self.problems[name] = [Problem(name, 0, '', str(error))]
            return []

    @functools.cached_property
    def uses(self) -> list[Use]:
        """Rows with a path, and what tables and skeletons say of the video."""
        rec = str(self.root.path / REC_FILE)
        det = str(self.root.path / DET_FILE)
        store = self.stores.get('rec')
        times_used = Counter(clip.path for clip in self.clips)
        uses = []
        for clip in self.clips:
            frames = None
            if store and clip.clip in store and times_used[clip.path] == 1:
                frames = store.frames(clip.clip)
            uses.append(Use(rec, clip.line, clip.clip, clip.path, frames))
        for video in self.videos:
            facts = (video.frames, video.fps, video.duration)
            uses.append(Use(det, video.line, video.video, video.path, *facts))
        return [use for use in uses if use.path]


@dataclass(frozen=True)
class Check:
    """One question to a root.

    Attributes:
        name: What is looked at.
        applies: Whether the root has it.
        find: Everything that is wrong with it.
        shown: How many problems the text report shows; None for all of them.
        skipped: Why it was not looked at, where it does not apply.
    """

    name: str
    applies: Callable[[RootContent], bool]
    find: Callable[[RootContent], Iterable[Problem]]
    shown: int | None = None
    skipped: str = 'the root has none'


@dataclass(frozen=True)
class CheckResult:
    """Answer of one check.

    Attributes:
        check: The check.
        problems: What is wrong; empty where all is well.
        applied: Whether it was looked at.
    """

    check: Check
    problems: list[Problem]
    applied: bool

    @property
    def status(self) -> str:
        """``ok``, ``failed`` or ``skipped``."""
        if not self.applied:
            return 'skipped'
        return 'failed' if self.problems else 'ok'

    def lines(self) -> list[str]:
        """The answer as text."""
        if not self.applied:
            return [f'skipped  {self.check.name}: {self.check.skipped}']
        if not self.problems:
            return [f'ok       {self.check.name}']
        count = len(self.problems)
        shown = self.problems[: self.check.shown]
        lines = [f'FAILED   {self.check.name}: {count:,} problem{"s"[: count > 1]}']
        lines += [f'  {problem}' for problem in shown]
        if len(shown) < count:
            lines.append(f'  ... and {count - len(shown):,} more; --json FILE has all')
        return lines


@dataclass(frozen=True)
class Report:
    """What was found in a root.

    Attributes:
        root: Its path.
        summary: Name, label space, simulated, fingerprint and counts.
        results: One per check.
    """

    root: Path
    summary: dict[str, Any]
    results: list[CheckResult]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return all(result.status != 'failed' for result in self.results)

    def as_dict(self) -> dict[str, Any]:
        """The report as one JSON object."""
        checks = [
            {
                'name': result.check.name,
                'status': result.status,
                'problems': [asdict(problem) for problem in result.problems],
            }
            for result in self.results
        ]
        return {'root': str(self.root), 'ok': self.ok, **self.summary, 'checks': checks}

    def lines(self) -> list[str]:
        """The report as text."""
        lines = [str(self.root)]
        lines += [f'  {key}: {value}' for key, value in _flat(self.summary)]
        return lines + [line for result in self.results for line in result.lines()]


def check_root(
    path: str | Path, decode: bool = False, workers: int | None = None
) -> Report:
    """Run every check on a data root.

    Args:
        path: The data root.
        decode: Decode every video to its last frame.
        workers: Processes for that; 0 decodes in this one, None takes one per CPU.

    Raises:
        FileNotFoundError: There is no root.
    """
    try:
        root = DataRoot(path)
    except ValueError as error:
        check = Check(INFO_FILE, lambda _: True, lambda _: [])
        problem = Problem(INFO_FILE, 0, '', str(error))
        return Report(Path(path), {}, [CheckResult(check, [problem], True)])
    content = RootContent(root, decode, workers)
    results = []
    for check in CHECKS:
        applied = check.applies(content)
        problems = list(check.find(content)) if applied else []
        results.append(CheckResult(check, problems, applied))
    return Report(root.path, _summary(content), results)


def _summary(content: RootContent) -> dict[str, Any]:
    info, clips, videos = content.root.info, content.clips, content.videos
    cells = Counter(f'{clip.domain} {clip.subset}' for clip in clips)
    counts = {
        'clips': len(clips),
        'clips_unlabelled': sum(clip.action is None for clip in clips),
        'clips_by_cell': dict(sorted(cells.items())),
        'videos': len(videos),
        'videos_unlabelled': sum(video.withheld for video in videos),
        'instances': sum(len(video.instances) for video in videos),
        **{f'skeletons_{task}': len(store) for task, store in content.stores.items()},
    }
    return {
        'name': info.name,
        'label_space': info.label_space,
        'simulated': info.simulated,
        'fingerprint': content.root.fingerprint(),
        'counts': counts,
    }


def _flat(summary: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in summary.items():
        if isinstance(value, dict):
            yield from ((k.replace('_', ' '), v) for k, v in _flat(value))
        else:
            yield key.replace('_', ' '), value


def _no_table(content: RootContent) -> Iterator[Problem]:
    if not content.root.has_rec and not content.root.has_det:
        text = f'neither {REC_FILE} nor {DET_FILE}: nothing to train or test on'
        yield Problem(str(content.root.path), 0, '', text)


def _margins(content: RootContent) -> Iterator[Problem]:
    space = load_label_space('mma82')
    if content.root.has_rec:
        for text in rec_differences(content.clips, space):
            yield Problem(str(content.root.path / REC_FILE), 0, '', text)
    if content.root.has_det:
        for text in det_differences(content.videos, space):
            yield Problem(str(content.root.path / DET_FILE), 0, '', text)


def _skeleton_problems(content: RootContent, task: str) -> Iterator[Problem]:
    """Names that only the table or only the index has, and lengths that differ."""
    yield from content.problems.get(_store(task), [])
    if task not in content.stores:
        return
    store, file = content.stores[task], _store(task)
    rows: Sequence[Any] = content.clips if task == 'rec' else content.videos
    names = {row.clip if task == 'rec' else row.video for row in rows}
    for name in names - set(store.names):
        yield Problem(file, 0, name, 'no skeleton, but the table has it')
    for name in set(store.names) - names:
        hint = suggest(name, names) if len(names) < 1000 else ''
        yield Problem(file, 0, name, f'a skeleton, but the table has it not.{hint}')
    for video in content.videos if task == 'det' else ():
        if video.video in store:
            yield from _lengths(video, store, file)


def _lengths(video: Video, store: SkeletonStore, file: str) -> Iterator[Problem]:
    frames, fps = store.frames(video.video), store.fps(video.video)
    if abs(frames - video.frames) > FRAME_TOLERANCE:
        text = f'{frames} frames, {DET_FILE} says {video.frames}'
        yield Problem(file, 0, video.video, text)
    if abs(fps / video.fps - 1) > FPS_TOLERANCE:
        text = f'{fps} frames per second, {DET_FILE} says {video.fps}'
        yield Problem(file, 0, video.video, text)


def _store(task: str) -> str:
    return f'skeletons/{task}.npy'


CHECKS = (
    Check('tables', lambda _: True, _no_table),
    Check(REC_FILE, lambda c: c.root.has_rec, lambda c: c.problems.get(REC_FILE, [])),
    Check(DET_FILE, lambda c: c.root.has_det, lambda c: c.problems.get(DET_FILE, [])),
    Check(
        'published margins',
        lambda c: claims_real(c.root.info),
        _margins,
        skipped='the root does not claim to be the real MMA-82',
    ),
    Check(
        'videos',
        lambda c: bool(c.uses),
        lambda c: missing_videos(c.root, c.uses),
        shown=20,
        skipped='no row has a path',
    ),
    *(
        Check(
            _store(task),
            lambda c, task=task: c.root.has_skeletons(task),
            lambda c, task=task: sorted(_skeleton_problems(c, task), key=str),
            shown=20,
        )
        for task in TASKS
    ),
    Check(
        'decoding',
        lambda c: c.decode and bool(c.uses),
        lambda c: broken_videos(c.root, c.uses, c.workers),
        skipped='not asked for (--decode), or no row has a path',
    ),
)
