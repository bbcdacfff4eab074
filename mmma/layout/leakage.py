"""What subsets, tasks and data sets share that they should not."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations, product
from pathlib import Path, PurePosixPath
from typing import Any

from mmma.layout.checks import RootContent
from mmma.layout.det import Video
from mmma.layout.frame_marks import Marks, all_marks
from mmma.layout.paths import read_text
from mmma.layout.rec import Clip
from mmma.layout.root import DataRoot
from mmma.layout.same_video import same_moments
from mmma.taxonomy import SUBSETS

ERROR, WARNING, NOTE = LEVELS = ('error', 'warning', 'note')
WHAT = {
    'subjects': 'subjects (a person within a domain)',
    'sources': 'source videos',
    'files': 'video files',
    'names': 'names of clips or videos',
    'frames': 'videos that show the same',
    'still': 'videos that look the same, too still to tell',
}
_NAME_COLUMNS = ('clip', 'video_id', 'video', 'name', 'file', 'path')
EXAMPLES = 5


@dataclass(frozen=True)
class Item:
    """One clip or video, as far as leakage is concerned.

    Attributes:
        name: Clip or video.
        subject: (domain, subject), or None where unknown.
        sources: Names of the recordings that it is or was cut from.
        file: Its video, None where there is none.
    """

    name: str
    subject: tuple[str, str] | None = None
    sources: tuple[str, ...] = ()
    file: Path | None = None


@dataclass(frozen=True)
class Group:
    """Clips or videos of one subset.

    Attributes:
        origin: The root that is checked, or what it is compared with.
        task: ``rec`` or ``det``; empty for a list.
        subset: ``train``, ``val`` or ``test``.
        items: Its clips or videos.
    """

    origin: str
    task: str
    subset: str
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        """As reports call it."""
        return ' '.join(filter(None, (self.origin, self.task, self.subset)))


@dataclass(frozen=True)
class Shared:
    """What two groups share.

    Attributes:
        what: A key of ``WHAT``.
        left: Name of one group.
        right: Name of the other.
        count: How many.
        level: ``error`` where evaluation has seen its clips in training, ``warning``
            where people are shared or two other subsets share clips, ``note`` where one
            subset shares with itself across tasks.
        examples: The first few.
    """

    what: str
    left: str
    right: str
    count: int
    level: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class LeakageReport:
    """Everything that is shared.

    Attributes:
        rows: One per pair of groups and kind; the worst first.
        videos: How many videos were looked at.
        unreadable: (file, reason) of those that could not be.
    """

    rows: list[Shared] = field(default_factory=list)
    videos: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no clip or source of an evaluation subset is in a training subset."""
        return all(row.level != ERROR for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """The report as one JSON object."""
        rows = [asdict(row) for row in self.rows]
        return {
            'ok': self.ok,
            'videos': self.videos,
            'unreadable': [list(entry) for entry in self.unreadable],
            'shared': rows,
        }


def find_leakage(
    root: DataRoot,
    against: Sequence[Path] = (),
    workers: int | None = None,
    frames: bool = True,
) -> LeakageReport:
    """Compare the subsets of a root with each other, across tasks, and with others.

    Args:
        root: The data root.
        against: Other roots, or lists of names: a text file of one name per line, or a
            CSV file; the subset is in the name of the file, else it is ``train``.
        workers: Processes that look at videos; 0 uses this one, None one per CPU.
        frames: Whether to look at videos at all, or at names only.

    Raises:
        FileNotFoundError: There is no such root or list.
        ValueError: A list without names.
    """
    own = root_groups(root, '')
    others = [group for path in against for group in _groups_of(path)]
    marks, looked_at = {}, Marks()
    if frames:
        looked_at = _look(own + others, root, workers)
        marks = looked_at.of
    rows: list[Shared] = []
    for left, right in [*combinations(own, 2), *product(own, others)]:
        rows += _compare(left, right, marks)
    rows.sort(key=lambda row: (LEVELS.index(row.level), list(WHAT).index(row.what)))
    unreadable = [(str(file), reason) for file, reason in looked_at.broken]
    return LeakageReport(rows, len(marks), unreadable)


def root_groups(root: DataRoot, origin: str) -> list[Group]:
    """Subsets of both tables of a root; rows that cannot be read are left out.

    Args:
        root: The data root.
        origin: How reports call it.
    """
    content = RootContent(root)
    items = [('rec', c.subset, _clip_item(c, root)) for c in content.clips]
    items += [('det', v.subset, _video_item(v, root)) for v in content.videos]
    groups = []
    for task, subset in product(('rec', 'det'), SUBSETS):
        chosen = tuple(i for t, s, i in items if (t, s) == (task, subset))
        if chosen:
            groups.append(Group(origin, task, subset, chosen))
    return groups


def read_name_list(path: Path) -> Group:
    """A list of clips of another data set as a group.

    Args:
        path: ``.csv`` with a column clip, video_id, video, name, file or path; else
            text, whose lines begin with a name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No names in it.
    """
    text = read_text(path)
    if path.suffix.lower() == '.csv':
        reader = csv.DictReader(io.StringIO(text, newline=''))
        column = next((c for c in _NAME_COLUMNS if c in (reader.fieldnames or ())), '')
        if not column:
            raise ValueError(
                f'{path}:1: no column of names; one of {", ".join(_NAME_COLUMNS)}'
            )
        names = [row[column] or '' for row in reader]
    else:
        names = [line.split()[0] for line in text.splitlines() if line.strip()]
    stems = dict.fromkeys(_stem(name) for name in names if name)
    if not stems:
        raise ValueError(f'{path}: no names in it')
    subset = next((s for s in SUBSETS if s in path.stem.lower()), 'train')
    return Group(path.name, '', subset, tuple(Item(stem) for stem in stems))


def note_on_subjects(name: str, subset: str) -> str:
    """What must be said beside a number on a data set, as its subsets share people.

    Args:
        name: Of the data set, as in ``dataset.json``.
        subset: That was evaluated.

    Returns:
        One line, or nothing.

    Source: the released lists of MA-52; a subject is what comes before the first ``_``.
    """
    if name == 'MA-52' and subset == 'val':
        return (
            "MA-52's own train and val share all 186 subjects: a val number does not "
            'say how a model does on new people.'
        )
    return ''


def _groups_of(path: Path) -> list[Group]:
    if path.is_dir():
        return root_groups(DataRoot(path), path.name)
    return [read_name_list(path)]


def _clip_item(clip: Clip, root: DataRoot) -> Item:
    sources = (clip.source_video,) if clip.source_video else ()
    return Item(clip.clip, _subject(clip), sources, _file(root, clip.path))


def _video_item(video: Video, root: DataRoot) -> Item:
    file = _file(root, video.path)
    return Item(video.video, _subject(video), (video.video,), file)


def _subject(row: Clip | Video) -> tuple[str, str] | None:
    return (row.domain, row.subject) if row.subject else None


def _file(root: DataRoot, path: str) -> Path | None:
    if not path:
        return None
    file = root.video_path(path)
    return file if file.is_file() else None


def _look(groups: list[Group], root: DataRoot, workers: int | None) -> Marks:
    files = (item.file for group in groups for item in group.items)
    return all_marks([f for f in files if f is not None], root.path, workers)


def _compare(left: Group, right: Group, marks: dict[Path, Any]) -> Iterator[Shared]:
    """Rows for what two groups share."""
    subjects = _common(left, right, lambda item: [item.subject])
    sources = _common(left, right, lambda item: [_stem(s) for s in item.sources])
    files = _common(left, right, lambda item: [item.file])
    found: dict[str, list[str]] = {
        'subjects': [f'{domain} {subject}' for domain, subject in subjects],
        'sources': [str(source) for source in sources],
        'files': [str(file) for file in files],
        'names': [],
        'frames': [],
        'still': [],
    }
    if left.origin != right.origin:
        found['names'] = _common(left, right, lambda item: [_stem(item.name)])
    else:  # a file that both use is told above
        marks = {file: seen for file, seen in marks.items() if file not in files}
    for same in same_moments(_marks(left, marks), _marks(right, marks)):
        text = f'{same.left} = {same.right}'
        if same.decided:
            text += f' ({same.agreement:.2f})'
        found['frames' if same.decided else 'still'].append(text)
    for what, things in found.items():
        if things:
            yield Shared(
                what, left.name, right.name, len(things),
                _level(what, left, right), tuple(things[:EXAMPLES]),
            )  # fmt: skip


def _marks(group: Group, marks: dict[Path, Any]) -> dict[str, Any]:
    return {item.name: marks[item.file] for item in group.items if item.file in marks}


def _common(left: Group, right: Group, keys: Any) -> list[Any]:
    mine, theirs = (
        {key for item in group.items for key in keys(item) if key}
        for group in (left, right)
    )
    return sorted(mine & theirs)


def _level(what: str, left: Group, right: Group) -> str:
    if left.subset == right.subset:
        return NOTE
    clips = what not in ('subjects', 'still')
    return ERROR if clips and 'train' in (left.subset, right.subset) else WARNING


def _stem(name: str) -> str:
    """Name without folders and suffix, in lower case."""
    return PurePosixPath(name.replace('\\', '/')).stem.lower()
