"""Checks of a data root: tables, files, videos, margins."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmma.data.arrays import SkeletonStore
from mmma.data.clips import Clip, scan_rec
from mmma.data.root import DET_FILE, INFO_FILE, REC_FILE, TASKS, DataRoot, DatasetInfo
from mmma.data.videos import END_TOLERANCE_SEC, Video, scan_det
from mmma.files import Problem, map_in_processes, progress
from mmma.taxonomy import (
    DOMAINS,
    SUBSETS,
    LabelSpace,
    load_label_space,
    load_statistics,
    suggest,
)
from mmma.video import VideoFacts, decode_video

REAL_NAMES = ('mma82', 'mma-82')


def claims_real(info: DatasetInfo) -> bool:
    """Whether a root says that it is the published MMA-82 itself."""
    is_mma82 = info.label_space == 'mma82' and info.name.lower() in REAL_NAMES
    return is_mma82 and not info.simulated


def rec_differences(clips: Sequence[Clip], space: LabelSpace) -> Iterator[str]:
    """Cells of the recognition table that differ from the published ones.

    Args:
        clips: All rows.
        space: The label space with its published counts.

    Yields:
        One sentence per cell: clips per domain and subset, clips per action.

    Source: MMA-82 repository README; statistics figure of its project page.
    """
    published = load_statistics()['rec']
    cells = Counter((clip.domain, clip.subset) for clip in clips)
    for domain in DOMAINS:
        for subset in SUBSETS:
            count, expected = cells[domain, subset], published[domain][subset]
            if count != expected:
                yield f'{domain} {subset}: {count:,} clips, published {expected:,}'
    counts = Counter(clip.action for clip in clips)
    yield from _actions('clips', counts, space, space.rec_instances, counts[None])


def det_differences(videos: Sequence[Video], space: LabelSpace) -> Iterator[str]:
    """Cells of the detection table that differ from the published ones.

    Args:
        videos: All entries.
        space: The label space with its published counts.

    Yields:
        One sentence per cell: videos, instances, instances per action.
    """
    published = load_statistics()['det']
    withheld = sum(video.withheld for video in videos)
    counts: Counter[int | None] = Counter(
        instance.label for video in videos for instance in video.instances
    )
    if len(videos) != published['videos']:
        yield f'{len(videos):,} videos, published {published["videos"]:,}'
    if counts.total() != published['instances'] and not withheld:
        yield f'{counts.total():,} instances, published {published["instances"]:,}'
    yield from _actions('instances', counts, space, space.det_instances, withheld)


def _actions(
    what: str,
    counts: Counter[int | None],
    space: LabelSpace,
    published: Sequence[int] | None,
    withheld: int,
) -> Iterator[str]:
    """Actions whose count differs; with withheld truth a lower one may be right."""
    for action, expected in enumerate(published or ()):
        count = counts[action]
        if count > expected or (count < expected and not withheld):
            name = space.actions[action]
            yield f'{name!r}: {count:,} {what}, published {expected:,}'


FRAME_TOLERANCE = 1
"""Counts of one video may differ by this much: tools disagree on the last frame."""
FPS_TOLERANCE = 0.01
"""Share by which a rate may differ; 29 against 29.97 is three times that."""


@dataclass(frozen=True)
class Use:
    """A row of a table that uses a video, and what it says of it.

    Attributes:
        file: The table.
        line: Its line there; 0 if unknown.
        item: Clip or video.
        path: The video, relative to the root.
        frames: Number of frames, if anything says.
        fps: Frames per second, if anything says.
        duration: Seconds, if anything says.
    """

    file: str
    line: int
    item: str
    path: str
    frames: int | None = None
    fps: float | None = None
    duration: float | None = None

    def problem(self, text: str) -> Problem:
        """What is wrong with the video of this row."""
        return Problem(self.file, self.line, self.item, f'{self.path}: {text}')


def missing_videos(root: DataRoot, uses: Sequence[Use]) -> Iterator[Problem]:
    """Videos that are not there, or outside the root through a link.

    Args:
        root: The data root.
        uses: Every row with a path.
    """
    for use in uses:
        try:
            if not root.video_path(use.path).is_file():
                yield use.problem('no such file')
        except ValueError as error:
            yield Problem(use.file, use.line, use.item, str(error))


def broken_videos(
    root: DataRoot, uses: Sequence[Use], workers: int | None
) -> Iterator[Problem]:
    """Videos that cannot be decoded, or are not what the tables say.

    Args:
        root: The data root.
        uses: Every row with a path; missing files are left to ``missing_videos``.
        workers: Processes; 0 decodes in this one, None takes one per CPU.
    """
    by_path: dict[str, list[Use]] = defaultdict(list)
    for use in uses:
        if next(missing_videos(root, [use]), None) is None:
            by_path[use.path].append(use)
    files = {path: root.video_path(path) for path in by_path}
    for path, outcome in decode_all(files, workers):
        for use in by_path[path]:
            if isinstance(outcome, str):
                yield use.problem(outcome)
            else:
                yield from map(use.problem, _mismatches(use, outcome))


def decode_all(
    files: Mapping[str, Path], workers: int | None
) -> Iterator[tuple[str, VideoFacts | str]]:
    """Decode videos side by side, with progress on standard error.

    Args:
        files: Name -> file.
        workers: Processes; 0 decodes in this one, None takes one per CPU.

    Yields:
        Name and what the video holds, or why it cannot be decoded; in order.
    """
    todo = list(dict.fromkeys(files.values()))
    found = map_in_processes(_try, todo, workers)
    outcomes = dict(progress(found, len(todo), 'decode'))
    yield from ((name, outcomes[file]) for name, file in files.items())


def _try(file: Path) -> VideoFacts | str:
    try:
        return decode_video(file)
    except (ValueError, FileNotFoundError) as error:
        return str(error)


def _mismatches(use: Use, facts: VideoFacts) -> Iterator[str]:
    """What a table says and the file does not."""
    if use.frames is not None and abs(use.frames - facts.frames) > FRAME_TOLERANCE:
        yield f'{facts.frames} frames, expected {use.frames}'
    if use.fps is not None and abs(facts.fps / use.fps - 1) > FPS_TOLERANCE:
        yield f'{facts.fps:.2f} frames per second, expected {use.fps:.2f}'
    late = abs((use.duration or 0) - facts.duration) > END_TOLERANCE_SEC
    if use.duration is not None and facts.duration and late:
        yield f'{facts.duration:.2f} s long, expected {use.duration:.2f} s'


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
