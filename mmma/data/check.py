"""Checks of a data root: tables, files, videos, margins."""

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmma.data.arrays import SkeletonStore
from mmma.data.clips import Clip, scan_rec, span_frames
from mmma.data.emotions import group_clips
from mmma.data.root import (
    DET_FILE,
    INFO_FILE,
    MISSING_FILE,
    REC_FILE,
    TASKS,
    DataRoot,
    shares,
)
from mmma.data.videos import END_TOLERANCE_SEC, Video, scan_det
from mmma.files import WARNING, OddEntries, Problem, progress, tell
from mmma.packets import index_video
from mmma.processes import map_in_processes
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
FRAME_TOLERANCE = 1
"""Counts of one video may differ by this much: tools disagree on the last frame."""
FPS_TOLERANCE = 0.01
"""Share by which a rate may differ; 29 against 29.97 is three times that."""
_SHOWN = 20


@dataclass(frozen=True)
class Report:
    """Everything that was found in a root.

    Attributes:
        summary: Name, label space, simulated, fingerprint and counts.
        checks: By name the problems, none where all is well; or why it was skipped.
    """

    root: Path
    summary: dict[str, Any]
    checks: dict[str, list[Problem] | str]

    @property
    def ok(self) -> bool:
        """True if no check failed."""
        return all(isinstance(c, str) or not c for c in self.checks.values())

    def as_dict(self) -> dict[str, Any]:
        """The report as one JSON object."""
        checks = []
        for name, found in self.checks.items():
            skipped = isinstance(found, str)
            status = 'skipped' if skipped else 'failed' if found else 'ok'
            problems = [] if skipped else list(map(asdict, found))
            checks.append({'name': name, 'status': status, 'problems': problems})
        return {'root': str(self.root), 'ok': self.ok, **self.summary, 'checks': checks}

    def lines(self) -> list[str]:
        """The report as text; of videos and skeletons it shows the first problems."""
        lines = [str(self.root)]
        lines += [f'  {key}: {value}' for key, value in _flat(self.summary)]
        for name, found in self.checks.items():
            if isinstance(found, str) or not found:
                lines.append(
                    f'skipped  {name}: {found}' if found else f'ok       {name}'
                )
                continue
            count = len(found)
            lines.append(f'FAILED   {name}: {count:,} problem{"s"[: count > 1]}')
            few = name in ('videos', *map(_store, TASKS))
            shown = found[:_SHOWN] if few else found
            lines += [f'  {problem}' for problem in shown]
            if more := count - len(shown):
                lines.append(f'  ... and {more:,} more; --json FILE has all')
        return lines


def check_root(
    path: str | Path,
    decode: bool = False,
    workers: int | None = None,
    strict: bool = False,
) -> Report:
    """Run every check on a data root.

    Args:
        decode: Decode every video to its last frame.
        workers: Processes for that, as in :func:`try_all`.
        strict: Any odd entry of a table is a problem, and not a note.

    Raises:
        FileNotFoundError: There is no root.
    """
    try:
        root = DataRoot(path)
    except ValueError as error:
        found = [Problem(INFO_FILE, 0, '', str(error))]
        return Report(Path(path), {}, {INFO_FILE: found})
    clips, videos, checks, odd = read_tables(root, strict)
    stores: dict[str, SkeletonStore] = {}
    if not root.has_rec and not root.has_det:
        text = f'neither {REC_FILE} nor {DET_FILE}: nothing to train or test on'
        checks['tables'] = [Problem(str(root.path), 0, '', text)]
    checks['published margins'] = 'the root does not claim to be the real MMA-82'
    is_mma82 = root.info.label_space == 'mma82' and root.info.name.lower() in REAL_NAMES
    if is_mma82 and not root.info.simulated:
        space = load_label_space('mma82')
        told = {REC_FILE: _rec_differences(clips, space)} if root.has_rec else {}
        told |= {DET_FILE: _det_differences(videos, space)} if root.has_det else {}
        found = [(str(root.path / file), text) for file in told for text in told[file]]
        checks['published margins'] = [Problem(f, 0, '', text) for f, text in found]
    there = listed = [*clips, *videos]
    try:
        there = root.there(listed)
    except ValueError as error:
        checks[MISSING_FILE] = [Problem(MISSING_FILE, 0, '', str(error))]
    rows = [row for row in there if row.path]
    absent = {*listed}.difference(there)
    excused = {row.name for row in absent}
    excused = excused.union(*(own.items() for own in odd))
    files, missing = _find_videos(root, rows)
    checks['videos'] = missing if rows else 'no row has a path'
    for task in TASKS:
        checks[_store(task)] = 'the root has none'
        if root.has_skeletons(task):
            try:
                stores[task] = SkeletonStore(root, task)
                found = _skeleton_problems(stores[task], clips, videos, task, excused)
                checks[_store(task)] = sorted(found, key=str)
            except (ValueError, FileNotFoundError) as error:
                checks[_store(task)] = [Problem(_store(task), 0, '', str(error))]
    missing += _span_problems(root, clips, files, stores.get('rec'), workers)
    checks['decoding'] = 'not asked for (--decode), or no row has a path'
    if decode and rows:
        broken = _broken_videos(root, rows, files, stores.get('rec'), workers)
        checks['decoding'] = list(broken)
    summary = _summary(root, clips, videos, stores)
    if absent:
        summary['incomplete'] = '; '.join(shares(there, listed))
    notes = [note for own in odd for note in own.notes()]
    if warnings := [note for note in notes if note.startswith(WARNING)]:
        tell(warnings)
        summary['warnings'] = warnings
    if notes := [note for note in notes if note not in warnings]:
        summary['notes'] = '; '.join(notes)
    return Report(root.path, summary, checks)


def read_tables(
    root: DataRoot, strict: bool = False
) -> tuple[list[Clip], list[Video], dict[str, list[Problem] | str], list[OddEntries]]:
    """Good rows of both tables, checks of the tables, and what is odd in good ones."""
    space = load_label_space(root.info.label_space)
    rows: dict[str, list[Any]] = {}
    checks: dict[str, list[Problem] | str] = {'tables': []}
    odd: list[OddEntries] = []
    for name, scan in ((REC_FILE, scan_rec), (DET_FILE, scan_det)):
        rows[name], checks[name], found = [], 'the root has none', []
        file, choices = root.path / name, (root.info.domains, root.info.emotions)
        try:
            if file.is_file():
                rows[name], *found = scan(file, space, None, *choices)
                checks[name] = []
                for own in found:
                    own.notes(strict)
                odd += found
        except ValueError as error:  # not text, not JSON, or most is odd
            problems = [problem for own in found for problem in own.problems]
            checks[name] = problems or [Problem(name, 0, '', str(error))]
    try:
        group_clips(rows[REC_FILE])
    except ValueError as error:
        checks['emotions'] = [Problem(REC_FILE, 0, '', str(error))]
    return rows[REC_FILE], rows[DET_FILE], checks, odd


def _rec_differences(clips: Sequence[Clip], space: LabelSpace) -> Iterator[str]:
    """Sentences on clips per domain and subset, and per action, not as published.

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


def _det_differences(videos: Sequence[Video], space: LabelSpace) -> Iterator[str]:
    """Sentences on videos, instances and instances per action, not as published."""
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


def _problem(root: DataRoot, row: Clip | Video, text: str) -> Problem:
    file = root.path / (REC_FILE if isinstance(row, Clip) else DET_FILE)
    return Problem(str(file), row.line, row.name, text)


def _find_videos(
    root: DataRoot, rows: Iterable[Clip | Video]
) -> tuple[dict[str, Path], list[Problem]]:
    """Files of rows by path; rows whose file is not there, or is outside by a link."""
    files, missing = {}, []
    for row in rows:
        try:
            files[row.path] = file = root.video_path(row.path)
            if not file.is_file():
                raise ValueError(f'{row.path}: no such file')
        except ValueError as error:
            files.pop(row.path, None)
            missing.append(_problem(root, row, str(error)))
    return files, missing


def _span_problems(
    root: DataRoot,
    clips: Sequence[Clip],
    files: dict[str, Path],
    store: SkeletonStore | None,
    workers: int | None,
) -> Iterator[Problem]:
    """Spans that are not in their files, or not as long as their skeletons."""
    clips = [clip for clip in clips if clip.span and clip.path in files]
    there = (files[clip.path] for clip in clips)
    found = dict(try_all(index_video, there, workers, 'read times'))
    for clip in clips:
        index = found[files[clip.path]]
        if isinstance(index, str):
            yield _problem(root, clip, index)
            continue
        try:
            times = index.times_sec, index.duration_sec
            first, stop, _ = span_frames(*times, clip.span)
        except ValueError as error:
            yield _problem(root, clip, f'{clip.path}: {error}')
            continue
        frames = store.frames(clip.clip) if store and clip.clip in store else None
        if frames is not None and abs(stop - first - frames) > FRAME_TOLERANCE:
            text = f'{clip.path}: the span has {stop - first} frames, expected {frames}'
            yield _problem(root, clip, text)


def _broken_videos(
    root: DataRoot,
    rows: Sequence[Clip | Video],
    files: dict[str, Path],
    store: SkeletonStore | None,
    workers: int | None,
) -> Iterator[Problem]:
    """Videos that cannot be decoded, or are not what tables and skeletons say."""
    by_path: dict[str, list[Clip | Video]] = defaultdict(list)
    for row in rows:
        by_path[row.path].append(row)
    times_used = Counter(row.path for row in rows if isinstance(row, Clip))
    outcomes = dict(try_all(decode_video, files.values(), workers, 'decode'))
    for path, file in files.items():
        for row in by_path[path]:
            told: tuple[Any, ...] = None, None, None
            if isinstance(row, Video):
                told = row.frames, row.fps, row.duration
            elif store and not row.span and row.clip in store and times_used[path] == 1:
                told = store.frames(row.clip), None, None  # spans are counted elsewhere
            for text in _mismatches(outcomes[file], *told):
                yield _problem(root, row, f'{path}: {text}')


def try_all(
    work: Callable[[Path], Any], files: Iterable[Path], workers: int | None, label: str
) -> Iterator[tuple[Path, Any]]:
    """Read files side by side, each once, with progress on standard error.

    Of the processes, 0 reads in this one and None takes one per CPU.

    Yields:
        Each file with what ``work`` made of it, or with why it could not, as they come.
    """
    todo = list(dict.fromkeys(files))
    found = map_in_processes(functools.partial(_try, work), todo, workers)
    return progress(found, len(todo), label)


def _try(work: Callable[[Path], Any], file: Path) -> Any:
    try:
        return work(file)
    except (ValueError, FileNotFoundError) as error:
        return str(error)


def _mismatches(
    facts: VideoFacts | str, frames: int | None, fps: float | None, length: float | None
) -> Iterator[str]:
    """Sentences on what a table says and the file does not."""
    if isinstance(facts, str):
        yield facts
        return
    if frames is not None and abs(frames - facts.frames) > FRAME_TOLERANCE:
        yield f'{facts.frames} frames, expected {frames}'
    if fps is not None and abs(facts.fps / fps - 1) > FPS_TOLERANCE:
        yield f'{facts.fps:.2f} frames per second, expected {fps:.2f}'
    late = abs((length or 0) - facts.duration) > END_TOLERANCE_SEC
    if length is not None and facts.duration and late:
        yield f'{facts.duration:.2f} s long, expected {length:.2f} s'


def _skeleton_problems(
    store: SkeletonStore,
    clips: Sequence[Clip],
    videos: Sequence[Video],
    task: str,
    excused: Collection[str] = (),
) -> Iterator[Problem]:
    """Names that only table or index has, lengths that differ, and damaged scores.

    Names are ``excused`` whose source is missing, or whose row is left out.
    """
    file = _store(task)
    names = {c.clip for c in clips} if task == 'rec' else {v.video for v in videos}
    for name in names - set(store.names) - {*excused}:
        yield Problem(file, 0, name, 'no skeleton, but the table has it')
    for name in set(store.names) - names - {*excused}:
        hint = suggest(name, names) if len(names) < 1000 else ''
        yield Problem(file, 0, name, f'a skeleton, but the table has it not.{hint}')
    for name in store.names:
        try:
            store.get(name)
        except ValueError as error:
            yield Problem(file, 0, name, str(error).rpartition(f'{name}: ')[2])
    for video in videos if task == 'det' else ():
        if video.video in store:
            frames, fps = store.frames(video.video), store.fps(video.video)
            if abs(frames - video.frames) > FRAME_TOLERANCE:
                text = f'{frames} frames, {DET_FILE} says {video.frames}'
                yield Problem(file, 0, video.video, text)
            if abs(fps / video.fps - 1) > FPS_TOLERANCE:
                text = f'{fps} frames per second, {DET_FILE} says {video.fps}'
                yield Problem(file, 0, video.video, text)


def _store(task: str) -> str:
    return f'skeletons/{task}.npy'


def _summary(
    root: DataRoot,
    clips: Sequence[Clip],
    videos: Sequence[Video],
    stores: dict[str, SkeletonStore],
) -> dict[str, Any]:
    cells = Counter(f'{clip.domain} {clip.subset}' for clip in clips)
    unlabelled = sum(clip.action is None for clip in clips)
    counts: dict[str, Any] = dict(clips=len(clips), clips_unlabelled=unlabelled)
    counts.update(clips_by_cell=dict(sorted(cells.items())), videos=len(videos))
    counts.update(videos_unlabelled=sum(video.withheld for video in videos))
    counts.update(instances=sum(len(video.instances) for video in videos))
    for rows, own in (('clips', clips), ('videos', videos)):
        for subset in dict.fromkeys(row.subset for row in own if row.emotion):
            cells = Counter(r.emotion for r in own if r.subset == subset and r.emotion)
            told = [f'{emotion} {count}' for emotion, count in sorted(cells.items())]
            counts[f'emotions_{rows}_{subset}'] = told
    counts |= {f'skeletons_{task}': len(store) for task, store in stores.items()}
    space, info = load_label_space(root.info.label_space), root.info
    facts = dict(name=info.name, label_space=space.name, simulated=info.simulated)
    prints = dict(fingerprint=root.fingerprint(), arrays=root.arrays())
    return facts | prints | dict(counts=counts)


def _flat(summary: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in summary.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            told = '; '.join(value) if isinstance(value, list) else value
            yield key if '/' in key else key.replace('_', ' '), told
