"""Sources and targets of converters, and the tables that several of them read."""

import csv
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any
from unicodedata import normalize

from mmma.data.clips import Clip, name_parts, scan_rec, split_name, write_rec
from mmma.data.root import (
    DET_FILE,
    FOLLOW_LINKS,
    INFO_FILE,
    MISSING_FILE,
    REC_FILE,
    TASKS,
    UNFINISHED,
    DataRoot,
    DatasetInfo,
    write_info,
)
from mmma.data.videos import Video, scan_det, write_det
from mmma.files import (
    SHOWN,
    WARNING,
    OddEntries,
    atomic_write,
    flush,
    is_filled,
    link_or_copy,
    progress,
    read_json,
    read_text,
    replace_together,
    tell,
)
from mmma.foreign import check_texts, naming, shown
from mmma.taxonomy import (
    DOMAINS,
    LABEL_SPACES,
    SUBSETS,
    LabelSpace,
    check_choice,
    index_notes,
    load_label_space,
    read_label_space,
)
from mmma.video import VIDEO_SUFFIXES

VIDEO_MODES = ('link', 'copy', 'none')


class SourceTree:
    """Files under a folder, listed once, or ``files`` alone, relative to it.

    Attributes:
        links: To folders, which are searched only by ``--follow-links``.
    """

    def __init__(self, path: Path, files: Iterable[str] | None = None) -> None:
        self.path = Path(path)
        if files is None and not self.path.is_dir():
            raise FileNotFoundError(f'{self.path}: no such folder to convert from')
        self.links: list[str] = []
        listed = self._list_files() if files is None else map(PurePosixPath, files)
        self.files = list(listed)
        self.videos: dict[str, list[PurePosixPath]] = defaultdict(list)
        for file in self.files:
            if file.suffix.lower() in VIDEO_SUFFIXES:
                self.videos[normalize('NFC', file.stem).casefold()].append(file)

    def find(self, *names: str) -> Path | None:
        """File of the first of these names, nearest to the top, if there is one."""
        found = (file for name in names for file in self.files if file.name == name)
        file = next(found, None)
        return file and self.path_of(file)

    def path_of(self, file: PurePosixPath) -> Path:
        """Path of a file of this tree.

        A link out of it, where anything may lie, raises ValueError; but not one to the
        blobs of the download cache that the tree belongs to.
        """
        path = self.path / file
        if path.exists() and not path.is_file():
            raise ValueError(f'{path} is no file but a pipe or device: remove it')
        if not path.is_symlink() or os.environ.get(FOLLOW_LINKS):
            return path
        origin, top = path.resolve(), self.path.resolve()
        snapshots = origin.parent.with_name('snapshots')
        cached = origin.parent.name == 'blobs' and top.is_relative_to(snapshots)
        if not (origin.is_relative_to(top) or cached):
            raise ValueError(
                f'{path} is a link out of {self.path}, to {origin}: put the file '
                'itself there, or give --follow-links if you made the link'
            )
        return path

    def find_video(
        self,
        name: str,
        subset: str,
        folders: Collection[str] = (),
        others: Collection[str] = (),
    ) -> PurePosixPath | None:
        """The video that a table means, relative to this tree, if it is there.

        A file in a folder named after another subset, or in one of ``others`` and none
        of ``folders``, is not taken. Among several, those win that share most folders
        with the name, then those in one of ``folders``, then in one of the subset, then
        those with the letters, then with the suffix written. Equals raise ValueError.

        Args:
            name: As the table has it: a name or a path, with or without suffix.
            subset: Without one (a source video) folders of subsets and capitals do not
                count.
            folders, others: Names of folders that speak for a file, and against it, in
                lower case.
        """
        *parents, stem = name_parts(name)
        own_name = normalize('NFC', name).replace('\\', '/').rpartition('/')[2]
        found: dict[tuple[int, ...], list[PurePosixPath]] = defaultdict(list)
        for file in self.videos.get(stem.casefold(), []):
            *above, own = normalize('NFC', str(file)).split('/')
            lower = {part.lower() for part in above}
            ours = not lower.isdisjoint(folders)
            if not ours and not lower.isdisjoint(others):
                continue
            alike = split_name(own)[0] == stem
            elsewhere = subset not in above and not set(SUBSETS).isdisjoint(above)
            if subset and (elsewhere or not alike):
                continue
            pairs = zip(reversed(above), reversed(parents), strict=False)
            shared = takewhile(lambda pair: pair[0].lower() == pair[1].lower(), pairs)
            fit = len(list(shared)), ours, subset in above, alike, own == own_name
            found[fit].append(file)
        best = found[max(found)] if found else []
        if len(best) > 1:
            raise ValueError(
                f'{name!r} ({subset}) could be {best[0]} or {best[1]} in {self.path}: '
                'keep one of them there'
            )
        return best[0] if best else None

    def _list_files(self) -> list[PurePosixPath]:
        """Files under the folder, relative to it, those nearest to the top first."""
        files, seen = [], {self.path.resolve()}
        follows = bool(os.environ.get(FOLLOW_LINKS))
        for folder, subfolders, names in os.walk(self.path, followlinks=follows):
            here = PurePosixPath(Path(folder).relative_to(self.path).as_posix())
            files += [here / name for name in names]
            for name in list(subfolders):
                place = Path(folder, name)
                if name.startswith('.') or (follows and place.resolve() in seen):
                    subfolders.remove(name)
                elif follows:
                    seen.add(place.resolve())
                elif place.is_symlink():
                    self.links.append(str(here / name))
        return sorted(files, key=lambda file: (len(file.parts), file.parts))


def list_sources(
    source: Path, suffixes: Sequence[str], what: str = 'file'
) -> tuple[SourceTree, list[Path]]:
    """Open a table, or a folder with tables of these suffixes, and list them.

    Where there is none, FileNotFoundError is raised.
    """
    if source.is_file():
        return SourceTree(source, ()), [source]
    tree = SourceTree(source)
    found = [file for file in tree.files if file.suffix.lower() in suffixes]
    # PointTAD keeps numbers of extracted frames in a second file.
    second = {f.with_stem(f'{f.stem}_frames') for f in found if f.suffix == '.json'}
    found = [file for file in found if file not in second]
    if not found:
        raise FileNotFoundError(
            f'{tree.path}: no {" or ".join(suffixes)} file is in it; give the {what}'
        )
    return tree, [tree.path_of(file) for file in found]


def subject_of(name: str) -> str:
    """Person in a name such as ``0003_01_0001``: the text before the first ``_``."""
    subject, separator, _ = name.partition('_')
    return subject if separator else ''  # unknown


def plain_name(name: str) -> str:
    """A name without what spelling it in a file changes: case, ``_``, spaces."""
    return ' '.join(name.replace('_', ' ').lower().split())


def label_names(path: Path) -> dict[int, str]:
    """Names by index of a list of lines; where none starts with one, the order counts.

    A line without an index among others, and one twice, raise ValueError.
    """
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    matches = [re.fullmatch(r'(\d{1,9})[\s,]+(.+)', line) for line in lines]
    if not any(matches):
        return dict(enumerate(lines))
    names: dict[int, str] = {}
    for number, (line, match) in enumerate(zip(lines, matches, strict=True), start=1):
        if match is None or int(match[1]) in names:
            told = 'expected "index name", each index once'
            raise ValueError(f'{path}:{number}: {line!r}: {told}')
        names[int(match[1])] = match[2]
    return names


def by_start(table: Mapping[str, str], name: str) -> str:
    """Value of the longest key that a name starts with; empty without one."""
    return table.get(max(filter(name.startswith, table), key=len, default=''), '')


@dataclass(frozen=True)
class UserMapping:
    """Content of a ``--mapping`` file of a converter that reads one table.

    Attributes:
        label_space: Ours, by name or as an object; None leaves it to the converter.
        domain, domains: Of what the table does not say; the others by start of name.
        action_names: Their label -> our action, or '' to leave it out.
        first_index: Where the file's indices of classes start.
        subsets, splits: Theirs (splits: of a pickle) -> ours, or '' to leave it out.
        subset, layout: Of a pickle without splits; name or fields of its layout.
        subjects: Start of a name -> person, of tools, whose ``subsets`` are of both.
        tiers: Their tier -> ours, or '' to leave it out; ``*`` is all others.
        simulated: True where the annotations are of nothing real.
        emotions: Start of a name of a video -> its emotion.
    """

    label_space: str | dict[str, Any] | None = None
    domain: str = 'lab'
    domains: dict[str, str] = field(default_factory=dict)
    action_names: dict[str, str] = field(default_factory=dict)
    first_index: int = 0
    subsets: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    subset: str = ''
    layout: str | dict[str, Any] | None = None
    subjects: dict[str, str] = field(default_factory=dict)
    tiers: dict[str, str] = field(default_factory=dict)
    simulated: bool = False
    emotions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls, path: Path | None, *keys: str, label_space: str | None = None
    ) -> 'UserMapping':
        """Read a mapping, or none, over whose label space that of the user goes.

        It may have ``keys`` beside the first three fields. Others, and values that are
        not allowed, raise ValueError.
        """
        content = read_json(path) if path else {}
        with naming(str(path)):
            if not isinstance(content, dict):
                raise ValueError(f'must be an object, not {content!r}')
            for key in content:
                check_choice('key', key, ('label_space', 'domain', 'domains', *keys))
            maps = 'domains', 'action_names', 'subsets', 'splits', 'subjects', 'tiers'
            check_texts(content, *maps, 'emotions')
            if not isinstance(layout := content.get('layout') or {}, (str, dict)):
                raise ValueError(f'layout must be a name or an object, not {layout!r}')
            mapping = cls(**content)
            own = isinstance(mapping.label_space, dict)  # whose domains have any name
            if own:
                load_label_space(mapping.label_space)
            elif mapping.label_space is not None:
                check_choice('label_space', mapping.label_space, LABEL_SPACES)
            for domain in (mapping.domain, *mapping.domains.values()):
                any_name = own or 'subjects' in keys
                check_choice('domain', domain, (domain,) if any_name else DOMAINS)
            subsets = *mapping.subsets.values(), *mapping.splits.values()
            for subset in filter(None, (*subsets, mapping.subset)):
                check_choice('subset', subset, SUBSETS)
            if mapping.first_index not in (0, 1) or mapping.first_index is True:
                raise ValueError(f'first_index {mapping.first_index!r}: use 0 or 1')
        if label_space:
            own = read_label_space(label_space).plain()
            mapping = replace(mapping, label_space=own)
        return mapping

    def domain_of(self, name: str, other: str = '') -> str:
        """Domain of a clip or video, by its name, else ``other``, else the default."""
        return by_start(self.domains, name) or other or self.domain


@dataclass(frozen=True)
class Options:
    """Options of a conversion.

    Attributes:
        videos (link|copy|none|DIR): hard links (copies where there are none), copies,
            or leave them to me (default: link); annotation tools: link those of DIR
        fps: frames per second, where tables have no fps column (annotation tools: 30)
        mapping: for mma82: JSON file that says which files of the release mean what;
            for pyskl: label_space, splits or subset, domain, domains, layout; for
            opentad, pointtad: label_space, action_names, first_index, subsets, domain,
            domains; for annotation tools: these but first_index, and subjects, tiers
        label_space (NAME|FILE): of tools (default: the labels found), opentad, ...
        sources (DIR): for mma82: folder with source videos of which rows of the release
            are spans; what it lacks is listed in missing_sources.csv
        force: write into a folder that is not empty; a root in it stays until all of
            the new one is there
        strict: refuse a file for one odd entry; else such entries are repaired or left
            out, and counted, unless most are odd
    """

    videos: str = 'link'
    fps: float | None = None
    mapping: Path | None = None
    label_space: str | None = None
    sources: Path | None = None
    force: bool = False
    strict: bool = False


class Conversion:
    """Clips and videos that a converter found in a source, and the root of them.

    Attributes:
        clips, videos: Rows for ``rec.csv``, entries for ``det.json``.
        files: Path in the new root -> video, relative to the source tree or absolute.
        absent: Paths in the new root whose video the source tree lacks.
        missing: Source video and domain -> its path in the new root, of sources that
            could not be had.
        placed: Number of videos linked or copied.
        labels: Of actions as the tables give them, where an index counts from 0.
        notices: What was skipped or assumed, and why.

    A bad option, folders that overlap, and a new one that is not empty: ValueError.
    """

    def __init__(self, tree: SourceTree, out: Path, options: Options) -> None:
        check_choice('--videos', options.videos, VIDEO_MODES)
        if options.fps is not None and not 1 <= options.fps <= 1000:
            raise ValueError(f'--fps {options.fps:g}: must be 1..1000')
        self.sources = SourceTree(options.sources) if options.sources else None
        self.trees = [tree, *([self.sources] if self.sources else [])]
        for path in (each.path for each in self.trees):
            here, there = path.resolve(), out.resolve()
            if here.is_relative_to(there) or there.is_relative_to(here):
                told = 'overlap: convert into another folder'
                raise ValueError(f'{out} and {path} {told}')
        used = out.exists() and (not out.is_dir() or is_filled(out))
        stopped = (out / UNFINISHED).exists() and not (out / INFO_FILE).exists()
        if used and not (options.force or stopped):
            told = 'is not empty: give --force to replace the tables in it'
            raise ValueError(f'{out} {told}')
        self.tree, self.out, self.options = tree, out, options
        self.clips: list[Clip] = []
        self.videos: list[Video] = []
        self.files: dict[str, PurePosixPath] = {}
        self.absent: set[str] = set()
        self.labels: set[Any] = set()
        self.missing: dict[tuple[str, str], str] = {}
        self.placed = 0
        self.notices: list[str] = []

    def note(self, text: str) -> None:
        """Add to the notices."""
        self.notices.append(text)

    def add_video(self, found: PurePosixPath | None, path: str) -> str:
        """Settle a video's path in the new root: it has the suffix of the file found.

        That is as in ``files``; of one that is not there the suffix is as expected.
        """
        if found is None:
            self.absent.add(path)
            return path
        path = PurePosixPath(path).with_suffix(found.suffix).as_posix()
        if (other := self.files.setdefault(path, found)) != found:
            raise ValueError(f'{other} and {found} would both be {path}: rename one')
        self.source_of(path)  # refuses links
        return path

    def source_of(self, path: str) -> Path | None:
        """File of a video in the source tree, if it is there, by its new path."""
        found = self.files.get(path)
        if found is None or found.is_absolute():  # of the folder of sources
            return found and Path(found)
        return self.tree.path_of(found)

    def write(
        self,
        info: DatasetInfo,
        space: LabelSpace,
        write_store: Callable[[], None] = lambda: None,
    ) -> None:
        """Write the root: videos, then tables and ``dataset.json`` as one.

        An old root stays until all is there but what takes the place of its videos and
        store; then the folder is refused until this, or the next call, is done. Where
        most entries of a table are odd (a clip or video twice, a name that leaves the
        root), ValueError is raised.

        ``write_store`` writes skeletons; it calls :meth:`end_old` before they are
        placed.
        """
        out, tree, drafts = self.out, self.tree.path, self.out / UNFINISHED
        shutil.rmtree(drafts, ignore_errors=True)
        drafts.mkdir(parents=True)
        try:
            self.notices += index_notes(self.labels, tree.name)
            info = info.with_domains(r.domain for r in (*self.clips, *self.videos))
            self._write_tables(drafts, space, info.domains)
            tell(note for note in self.notices if note.startswith(WARNING))
            paths = {row.path for row in (*self.clips, *self.videos)}
            self.files = {p: f for p, f in self.files.items() if p in paths}
            self.absent &= paths
            if self.options.videos == 'none':
                self.absent |= set(self.files)
            else:
                self._place_videos()
            named, top = {*self.files.values()}, PurePosixPath(tree.absolute())
            left = [f for found in self.tree.videos.values() for f in found]
            left = [str(file) for file in left if named.isdisjoint((file, top / file))]
            if left and (named or self.absent):  # a pickle of skeletons names no files
                more = ', ...' if len(left) > SHOWN else ''
                self.note(
                    f'{len(left)} videos in {tree} that no table mentions are left '
                    f'out: {", ".join(left[:SHOWN])}{more}'
                )
            if links := [link for tree in self.trees for link in tree.links]:
                self.note(
                    f'{len(links)} links to folders were not followed: '
                    f'{", ".join(sorted(links)[:SHOWN])}; give --follow-links if you '
                    'made them'
                )
            if self.absent:
                self.note(
                    f'{len(self.absent)} videos are not in place: put them where the '
                    f'tables expect them, such as {out / min(self.absent)}'
                )
            if self.missing:
                self._write_missing(drafts)
            write_store()
            write_info(drafts, info)
            replace_together(drafts, out, INFO_FILE, REC_FILE, DET_FILE, MISSING_FILE)
        finally:
            if (out / INFO_FILE).exists():  # else they mark it as unfinished
                shutil.rmtree(drafts, ignore_errors=True)
        if (out / 'skeletons').is_dir():
            self.note(
                f'{out / "skeletons"} was there before and is left; check.py tells '
                'whether it fits these tables'
            )

    def end_old(self) -> None:
        """Have an old root in the folder refused from here on."""
        if (info := self.out / INFO_FILE).exists():
            info.unlink()
            flush(self.out)

    def _place_videos(self) -> None:
        """Link or copy the videos, last those that take the place of others."""
        mode, out = self.options.videos, self.out
        paths = sorted(self.files, key=lambda path: (out / path).exists())
        for path in progress(paths, len(paths), 'videos'):
            origin, place = self.source_of(path).resolve(), out / path
            if place.exists():
                linked = not place.is_symlink() and place.samefile(origin)
                if mode == 'link' and linked:
                    continue
                self.end_old()
            link_or_copy(origin, place, mode)  # a download cache holds links
        self.placed = len(paths)

    def _write_tables(
        self, out: Path, space: LabelSpace, domains: Sequence[str]
    ) -> None:
        """Write the tables, and read them back: what is left odd shows there."""
        rec, det = out / REC_FILE, out / DET_FILE
        odd: list[OddEntries] = []
        if self.clips:
            write_rec(rec, self.clips, space)
            clips, *odd = scan_rec(rec, space, None, domains)
            kept = {clip.line: clip for clip in clips}
            self.clips = [
                clip if clip.body is None else replace(clip, body=kept[line].body)
                for line, clip in enumerate(self.clips, start=2)
                if line in kept
            ]
            write_rec(rec, self.clips, space)
        if self.videos:
            write_det(det, self.videos, space)
            self.videos, *more = scan_det(det, space, None, domains)
            odd += more
            write_det(det, self.videos, space)
        try:
            for own in odd:
                self.notices += own.notes(self.options.strict)
        except ValueError as error:
            told = str(error).replace(f'{out}{os.sep}', '')
            raise ValueError(f'{self.tree.path}, as tables: {told}') from None

    def _write_missing(self, out: Path) -> None:
        """Write the list of missing sources, and tell what it means."""
        with atomic_write(out / MISSING_FILE) as file:
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(['source_video', 'domain', 'clips', 'videos'])
            rows = self.clips, self.videos
            clips, videos = (Counter(row.path for row in own) for own in rows)
            for key, path in self.missing.items():
                writer.writerow([*key, clips[path], videos[path]])
        first, *_ = self.missing
        asked = self.options.sources or 'no folder (--sources)'
        self.note(
            f'{len(self.missing)} source videos, such as {first[0]} of {first[1]}, are '
            f'in neither {self.tree.path} nor {asked}: {MISSING_FILE} lists them. '
            'Their rows stay in the tables, are left out of training and test while '
            'the files are absent, and all results say so; convert again with '
            '--sources DIR once you have more'
        )

    def lines(self) -> list[str]:
        """Summary for the user."""
        lines = [f'wrote {self.out}']
        if self.clips:
            clips = _counts(Counter(clip.subset for clip in self.clips))
            hidden = sum(clip.action is None for clip in self.clips)
            lines.append(f'  {REC_FILE}: {clips} clips, {hidden} unlabelled')
        if self.videos:
            videos = Counter(v.subset for v in self.videos)
            instances = Counter(v.subset for v in self.videos for _ in v.instances)
            hidden = sum(video.withheld for video in self.videos)
            lines.append(f'  {DET_FILE}: {_counts(videos)} videos, {hidden} unlabelled')
            lines.append(f'  {DET_FILE}: {_counts(instances)} instances')
        for task in TASKS if self.missing else ():
            lines += [f'  {told}' for told in DataRoot(self.out).incomplete(task)]
        lines.append(f'  videos: {self.placed} put in place, {len(self.absent)} absent')
        notes = (n for n in self.notices if not n.startswith(WARNING))
        return lines + [f'note: {shown(note)}' for note in notes]


def _counts(counts: Counter[str]) -> str:
    return ' + '.join(f'{counts[s]:,} {s}' for s in SUBSETS if counts[s])
