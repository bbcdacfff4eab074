"""Where converters read from and write to."""

from __future__ import annotations

import itertools
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mmma.data.clips import Clip, read_rec, write_rec
from mmma.data.root import DET_FILE, INFO_FILE, REC_FILE, DatasetInfo, write_info
from mmma.data.videos import Instance, Video, read_det, write_det
from mmma.files import Problem, progress
from mmma.taxonomy import SUBSETS, LabelSpace, check_choice
from mmma.video import VIDEO_SUFFIXES, probe_video


class SourceTree:
    """Files under a folder, listed once.

    Args:
        path: The folder.

    Raises:
        FileNotFoundError: There is no such folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise FileNotFoundError(f'{self.path}: no such folder to convert from')
        self.files = _list_files(self.path)
        self._videos: dict[str, list[PurePosixPath]] = defaultdict(list)
        for file in self.files:
            if file.suffix.lower() in VIDEO_SUFFIXES:
                self._videos[file.stem].append(file)

    @property
    def num_videos(self) -> int:
        """How many video files there are."""
        return sum(len(files) for files in self._videos.values())

    def find(self, name: str) -> Path | None:
        """The file of that name nearest to the top, if there is one.

        Args:
            name: File name, without folders.
        """
        found = [file for file in self.files if file.name == name]
        return self.path / found[0] if found else None

    def find_video(
        self, name: str, subset: str, folders: Collection[str] = ()
    ) -> PurePosixPath | None:
        """The video that a table means, relative to this tree, if it is there.

        A file in a folder named after another subset is not taken. Among several, those
        win that lie in the folder written before the name, then in one of ``folders``,
        then in one of the subset, then those with the suffix written.

        Args:
            name: As the table has it: a name or a path, with or without suffix.
            subset: ``train``, ``val`` or ``test``.
            folders: Names of folders that speak for a file, in lower case.

        Raises:
            ValueError: Several files fit equally well.
        """
        wanted = PurePosixPath(name)
        stem, _ = split_name(name)
        parents = wanted.parent.parts
        others = set(SUBSETS) - {subset}
        found: dict[tuple[bool, ...], list[PurePosixPath]] = defaultdict(list)
        for file in self._videos.get(stem, []):
            above = file.parts[:-1]
            if subset not in above and others & set(above):
                continue
            fit = (
                above[len(above) - len(parents) :] == parents,
                not {part.lower() for part in above}.isdisjoint(folders),
                subset in above,
                file.name == wanted.name,
            )
            found[fit].append(file)
        best = found[max(found)] if found else []
        if len(best) > 1:
            raise ValueError(
                f'{name!r} ({subset}) could be {best[0]} or {best[1]} in {self.path}: '
                'keep one of them there'
            )
        return best[0] if best else None


class SourceFile(SourceTree):
    """A source that is one table, without videos.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.files, self._videos = path, [], defaultdict(list)


def split_name(name: str) -> tuple[str, str]:
    """Name of a clip or video without folders, and its suffix; ``.mp4`` if it has none.

    Args:
        name: As a table has it; what follows a dot counts only if it is a container.
    """
    file = PurePosixPath(name)
    if file.suffix.lower() in VIDEO_SUFFIXES:
        return file.stem, file.suffix
    return file.name, '.mp4'


def _list_files(top: Path) -> list[PurePosixPath]:
    """Files under a folder, relative to it, those nearest to the top first."""
    files = []
    for folder, subfolders, names in os.walk(top):
        subfolders[:] = [name for name in subfolders if not name.startswith('.')]
        here = PurePosixPath(Path(folder).relative_to(top).as_posix())
        files += [here / name for name in names]
    return sorted(files, key=lambda file: (len(file.parts), file.parts))


VIDEO_MODES = ('link', 'copy', 'none')


@dataclass(frozen=True)
class Options:
    """What a user can choose.

    Attributes:
        videos: ``link`` makes hard links (a symbolic link would leave the root) and
            copies where the file system has none; ``copy`` copies; ``none`` leaves the
            videos to the user.
        force: Write into a folder that is not empty.
        fps: Frames per second where the tables do not say.
        mapping: A table of one's own, for converters that have one.
    """

    videos: str = 'link'
    force: bool = False
    fps: float | None = None
    mapping: Path | None = None


@dataclass
class Conversion:
    """What a converter found, and what was written of it.

    Attributes:
        clips: Rows for ``rec.csv``.
        videos: Entries for ``det.json``.
        files: Path in the new root -> video in the source tree, relative to it.
        absent: Paths in the new root whose video the source tree lacks.
        placed: How many videos were linked or copied.
        notices: What was skipped or assumed, and why.
    """

    clips: list[Clip] = field(default_factory=list)
    videos: list[Video] = field(default_factory=list)
    files: dict[str, PurePosixPath] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    placed: int = 0
    notices: list[str] = field(default_factory=list)

    def add_video(self, found: PurePosixPath | None, path: str) -> str:
        """Settle a video's path in the new root.

        Args:
            found: The video in the source tree, if it is there.
            path: Where it will lie, relative to the new root, with the suffix to
                expect if it was not found.

        Returns:
            The path, with the suffix of the file that was found.
        """
        if found is None:
            self.absent.add(path)
            return path
        path = PurePosixPath(path).with_suffix(found.suffix).as_posix()
        self.files[path] = found
        return path

    def lines(self, out: Path) -> list[str]:
        """What to tell the user.

        Args:
            out: The new root.
        """
        lines = [f'wrote {out}']
        if self.clips:
            subsets = Counter(clip.subset for clip in self.clips)
            hidden = sum(clip.action is None for clip in self.clips)
            lines.append(f'  {REC_FILE}: {_counts(subsets)} clips, {hidden} unlabelled')
        if self.videos:
            subsets = Counter(video.subset for video in self.videos)
            instances: Counter[str] = Counter()
            for video in self.videos:
                instances[video.subset] += len(video.instances)
            lines.append(f'  {DET_FILE}: {_counts(subsets)} videos')
            lines.append(f'  {DET_FILE}: {_counts(instances)} instances')
        lines.append(f'  videos: {self.placed} put in place, {len(self.absent)} absent')
        return lines + [f'note: {notice}' for notice in self.notices]


def prepare(source: SourceTree, out: Path, options: Options) -> None:
    """Check where a converter is to write.

    Args:
        source: What it reads.
        out: The new root.
        options: What the user chose.

    Raises:
        ValueError: The two folders overlap, the new one is not empty, or a bad
            option.
    """
    check_choice('--videos', options.videos, VIDEO_MODES)
    if options.fps is not None and not 1 <= options.fps <= 1000:
        raise ValueError(f'--fps {options.fps:g}: must be 1..1000')
    here, there = source.path.resolve(), out.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise ValueError(
            f'{out} and {source.path} overlap: convert into another folder'
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not options.force:
        raise ValueError(
            f'{out} is not empty: give --force to replace the tables in it'
        )


def write(
    conversion: Conversion,
    info: DatasetInfo,
    space: LabelSpace,
    folders: tuple[SourceTree, Path],
    options: Options,
) -> None:
    """Write the root: videos, tables, and ``dataset.json`` last.

    Args:
        conversion: What to write; its counts and notices are completed.
        info: What ``dataset.json`` says.
        space: The label space of the tables.
        folders: The source tree and the new root.
        options: What the user chose.

    Raises:
        ValueError: The tables do not hold: a clip or video twice, a name that leaves
            the root. Nothing is left of them then.
    """
    source, out = folders
    out.mkdir(parents=True, exist_ok=True)
    _remove_tables(out)
    try:
        _write_tables(conversion, space, out)
    except ValueError:
        _remove_tables(out)
        raise
    _place_all(conversion, source, out, options)
    write_info(out, info)
    if (out / 'skeletons').is_dir():
        conversion.notices.append(
            f'{out / "skeletons"} was there before and is left; check.py tells whether '
            'it fits these tables'
        )


def _write_tables(conversion: Conversion, space: LabelSpace, out: Path) -> None:
    """Write what there is, and read it back: what is left wrong shows here."""
    if conversion.clips:
        write_rec(out / REC_FILE, conversion.clips, space)
        read_rec(out / REC_FILE, space)
    if conversion.videos:
        write_det(out / DET_FILE, conversion.videos, space)
        read_det(out / DET_FILE, space)


def _remove_tables(out: Path) -> None:
    for name in (INFO_FILE, REC_FILE, DET_FILE):
        (out / name).unlink(missing_ok=True)


def _place_all(
    conversion: Conversion, source: SourceTree, out: Path, options: Options
) -> None:
    files = conversion.files
    if options.videos == 'none':
        conversion.absent |= set(files)
    else:
        todo = progress(files.items(), len(files), 'videos')
        for path, found in todo:
            _place(source.path / found, out / path, options.videos)
        conversion.placed = len(files)
    if conversion.absent:
        conversion.notices.append(
            f'{len(conversion.absent)} videos are not in place: put them where the '
            f'tables expect them, such as {out / min(conversion.absent)}'
        )


def _place(origin: Path, target: Path, mode: str) -> None:
    origin = origin.resolve()  # a download cache holds links to its blobs
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # never write through an old link into its origin
    if mode == 'link':
        try:
            os.link(origin, target)
            return
        except OSError:  # another file system, or one without links
            pass
    shutil.copyfile(origin, target)


def subject_of(name: str) -> str:
    """Person in a name such as ``0003_01_0001``: the text before the first ``_``.

    Args:
        name: Clip or video; without ``_`` the person is unknown, and empty.
    """
    subject, separator, _ = name.partition('_')
    return subject if separator else ''


def _counts(counts: Counter[str]) -> str:
    return ' + '.join(f'{counts[s]:,} {s}' for s in SUBSETS if counts[s])


COLUMNS = ('video_id', 'start_frame', 'end_frame', 'class', 'total_frames')
PLACEHOLDER_ROWS = 3
"""A table of at least so many rows, each with a video of its own, the same frames and
mostly the class after the one before, is no annotation."""


@dataclass(frozen=True)
class FrameRow:
    """One instance as released.

    Attributes:
        line: Line of the table.
        video: The video.
        start_frame: Where it starts.
        end_frame: Where it ends.
        label: Index of the action.
        total_frames: Length of the video.
        fps: Frames per second; None where the table does not say.
    """

    line: int
    video: str
    start_frame: int
    end_frame: int
    label: int
    total_frames: int
    fps: float | None

    @classmethod
    def parse(cls, values: Mapping[str, str], line: int, space: LabelSpace) -> FrameRow:
        """Take a row of text.

        Args:
            values: Text by column, ``COLUMNS`` and perhaps ``fps``.
            line: Its line.
            space: The label space; ``class`` is an index.

        Raises:
            ValueError: Not numbers, or numbers that cannot be.
        """
        try:
            numbers = [float(values[column]) for column in COLUMNS[1:]]
            fps = float(values['fps']) if 'fps' in values else None
        except (TypeError, ValueError):
            raise ValueError(f'not a row of numbers: {list(values.values())}') from None
        start, end, label, total = numbers
        if not values['video_id']:
            raise ValueError('video_id is empty')
        if not 0 <= start < end <= total or any(n % 1 for n in numbers):
            raise ValueError(
                f'frames {start:g} to {end:g} of {total:g}, class {label:g}: need '
                'whole numbers, 0 <= start < end <= total'
            )
        if label not in range(space.num_actions):
            raise ValueError(f'class {label:g}: must be 0..{space.num_actions - 1}')
        if fps is not None and not 1 <= fps <= 1000:
            raise ValueError(f'fps {fps:g}: must be 1..1000')
        video = values['video_id']
        return cls(line, video, int(start), int(end), int(label), int(total), fps)


def disagreements(path: Path, rows: Sequence[FrameRow]) -> list[Problem]:
    """Rows that give a video another length or rate than its first row does.

    Args:
        path: Their table.
        rows: All of it.
    """
    first: dict[str, FrameRow] = {}
    problems = []
    for row in rows:
        before = first.setdefault(row.video, row)
        if (row.total_frames, row.fps) != (before.total_frames, before.fps):
            text = (
                f'{row.total_frames} frames at fps {row.fps}, but line {before.line} '
                f'says {before.total_frames} at {before.fps}'
            )
            problems.append(Problem(str(path), row.line, row.video, text))
    return problems


def is_placeholder(rows: Sequence[FrameRow], classes: Sequence[str]) -> bool:
    """Whether a table only lists videos, with made-up instances.

    Args:
        rows: All of it.
        classes: The class of each row as written.
    """
    one_each = len({row.video for row in rows}) == len(rows) >= PLACEHOLDER_ROWS
    same_frames = len({(row.start_frame, row.end_frame) for row in rows}) == 1
    if not one_each or not same_frames or not all(map(str.isdecimal, classes)):
        return False
    steps = [int(b) - int(a) for a, b in itertools.pairwise(classes)]
    return sum(step == 1 for step in steps) >= 0.9 * len(steps)


def to_video(rows: Sequence[FrameRow], fps: float, place: Mapping[str, str]) -> Video:
    """One video in seconds.

    Args:
        rows: Its instances, at least one.
        fps: Its frames per second.
        place: ``path``, ``subset``, ``domain`` and ``subject`` of it.
    """
    frames = rows[0].total_frames
    return Video(
        video=rows[0].video,
        **place,
        fps=fps,
        frames=frames,
        duration=frames / fps,
        instances=tuple(
            Instance(row.start_frame / fps, row.end_frame / fps, row.label)
            for row in rows
        ),
    )


def rate_source(
    path: Path, rows: Sequence[FrameRow], fps: float | None, notices: list[str]
) -> Callable[[FrameRow, Path | None], float]:
    """How to learn a video's rate: from the table, else the user, else the file.

    Args:
        path: The table.
        rows: All of it.
        fps: What the user says, if anything.
        notices: Gets where the rate comes from, unless it is the table.

    Returns:
        A function of a row and the video's file, if that is there. It raises ValueError
        where only the file could tell and does not.
    """
    if rows[0].fps is not None:
        if fps:
            notices.append(f'{path.name} has its own fps: --fps is not used for it')
        return lambda row, file: row.fps or 0.0
    if fps:
        notices.append(f'{path.name} has no fps: {fps:g} taken for all, as asked')
        return lambda row, file: fps
    notices.append(f'{path.name} has no fps: read from the video files')
    return lambda row, file: _fps_of_file(f'{path}:{row.line}: {row.video}', file)


def _fps_of_file(where: str, file: Path | None) -> float:
    if file is None:
        raise ValueError(
            f'{where}: no fps in the table, and no video to read it from. '
            'Rates differ between videos (MMA-52 mixes 30 and 29), so none is assumed: '
            'use a release with fps, put the videos beside the tables, or give --fps N'
        )
    try:
        return probe_video(file).fps
    except ValueError as error:
        raise ValueError(f'{where}: no fps to read from {file}: {error}') from None
