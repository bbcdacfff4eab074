"""Sources and targets of converters, and the tables that several of them read."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mmma.data.clips import Clip, read_rec, write_rec
from mmma.data.root import DET_FILE, INFO_FILE, REC_FILE, DatasetInfo, write_info
from mmma.data.videos import Video, read_det, write_det
from mmma.files import progress, read_text
from mmma.taxonomy import DOMAINS, LABEL_SPACES, SUBSETS, LabelSpace, check_choice
from mmma.video import VIDEO_SUFFIXES


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


def open_source(
    source: Path, suffixes: Collection[str], what: str = ''
) -> tuple[SourceTree, Path]:
    """Source of a converter that reads one table: the file, or a folder with it.

    Args:
        source: What the user gave.
        suffixes: Suffixes of such a table.
        what: Name of such a file; by default its suffix.

    Raises:
        FileNotFoundError: No such file or folder, or no such table in it.
        ValueError: Several of them.
    """
    if source.is_file():
        return SourceFile(source), source
    tree = SourceTree(source)
    # PointTAD keeps numbers of extracted frames in a second file.
    found = [
        file
        for file in tree.files
        if file.suffix.lower() in suffixes and not file.stem.endswith('_frames')
    ]
    if not found:
        raise FileNotFoundError(
            f'{tree.path}: no {" or ".join(suffixes)} file is in it; give the '
            f'{what or "file"}'
        )
    if len(found) > 1:
        files = f'{what}s' if what else f'{" or ".join(suffixes)} files'
        raise ValueError(
            f'{tree.path}: {len(found)} {files} ({", ".join(map(str, found[:3]))}); '
            'give one of them'
        )
    return tree, tree.path / found[0]


@dataclass(frozen=True)
class UserMapping:
    """Fields of a ``--mapping`` file that converters of one table share, all optional.

    Attributes:
        label_space: Ours.
        domain: Domain of videos that ``domains`` and the table do not name.
        domains: Start of a name -> domain.
    """

    label_space: str | None = None
    domain: str = 'lab'
    domains: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> Any:
        """Read a mapping file.

        Args:
            path: A JSON file with some of the fields; None takes the defaults.

        Raises:
            FileNotFoundError: There is none.
            ValueError: Not a JSON object, or a key or value that is not allowed.
        """
        if path is None:
            return cls()
        try:
            content = json.loads(read_text(path))
            for key in content:
                check_choice('key', key, tuple(cls.__dataclass_fields__))
            mapping = cls(**content)
            mapping.check()
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f'{path}: {error}') from None
        return mapping

    def check(self) -> None:
        """Refuse names that do not exist."""
        if self.label_space != type(self).label_space:
            check_choice('label_space', self.label_space, LABEL_SPACES)
        for domain in (self.domain, *self.domains.values()):
            check_choice('domain', domain, DOMAINS)

    def domain_of(self, name: str) -> str:
        """Domain of a clip or video, by the start of its name."""
        starts = (start for start in self.domains if name.startswith(start))
        return self.domains.get(max(starts, key=len, default=''), self.domain)


def plain_name(name: str) -> str:
    """A name without what spelling it in a file changes: case, ``_``, spaces.

    Args:
        name: As a file has it.
    """
    return ' '.join(name.replace('_', ' ').lower().split())


def read_label_names(path: Path) -> dict[int, str]:
    """Names by index; where no line starts with an index, the order counts.

    Args:
        path: A list of names, one per line.

    Raises:
        ValueError: A line without an index among others, or an index twice.
    """
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    matches = [re.fullmatch(r'(\d+)[\s,]+(.+)', line) for line in lines]
    if not any(matches):
        return dict(enumerate(lines))
    names: dict[int, str] = {}
    for number, (line, match) in enumerate(zip(lines, matches, strict=True), start=1):
        if match is None or int(match[1]) in names:
            raise ValueError(
                f'{path}:{number}: {line!r}: expected "index name", each index once'
            )
        names[int(match[1])] = match[2]
    return names


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
