"""The data root that a converter writes, and what it tells about it."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mmma.layout.converters.source import SourceTree
from mmma.layout.det import Video, read_det, write_det
from mmma.layout.progress import progress
from mmma.layout.rec import Clip, read_rec, write_rec
from mmma.layout.root import DET_FILE, INFO_FILE, REC_FILE, DatasetInfo, write_info
from mmma.taxonomy import SUBSETS, LabelSpace, check_choice

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
