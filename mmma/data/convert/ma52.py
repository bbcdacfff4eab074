"""Converters of MA-52 and MMA-52.

MA-52 releases lists of trimmed clips, ``0003_01_0001.mp4 9``, without a header; MMA-52
tables of instances in untrimmed videos, columns ``COLUMNS`` and, since June 2024,
``fps``. Seconds are frames divided by the video's own rate, as in the released
``mmad.json``.

Source: VUT-HFUT/Micro-Action, data/ma52, arXiv 2403.05234; VUT-HFUT/MAC_2024_baseline,
MMAD, arXiv 2407.05311.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmma.data.clips import Clip
from mmma.data.convert.target import (
    Conversion,
    Options,
    SourceTree,
    prepare,
    split_name,
    subject_of,
    write,
)
from mmma.data.root import DatasetInfo
from mmma.data.videos import Instance, Video
from mmma.files import Problem, read_text, refuse
from mmma.taxonomy import SUBSETS, LabelSpace, load_label_space
from mmma.video import probe_video

LISTS = {subset: f'{subset}_list_videos.txt' for subset in SUBSETS}
NAMES = 'label_name.txt'


def convert_ma52(source: Path, out: Path, options: Options) -> Conversion:
    """Convert the MA-52 lists, and the videos that lie beside them.

    The person is the text before the first ``_`` of a name; clips named otherwise (the
    test clips) have an empty one.

    Args:
        source: Folder with ``train_list_videos.txt`` and its like, at any depth.
        out: The data root to write.
        options: What the user chose.

    Raises:
        FileNotFoundError: No such folder, or none of the lists is in it.
        ValueError: Bad rows, names of another label space, or a bad place to write.
    """
    tree = SourceTree(source)
    space = load_label_space('ma52')
    prepare(tree, out, options)
    conversion = Conversion()
    check_names(tree, space)
    lists = {subset: tree.find(name) for subset, name in LISTS.items()}
    if not any(lists.values()):
        raise FileNotFoundError(
            f'{source}: none of {", ".join(LISTS.values())} is in it; they are the '
            'lists that MA-52 releases, one "file label" per line'
        )
    for subset, path in lists.items():
        if path is None:
            conversion.notices.append(f'no {LISTS[subset]}: no {subset} clips')
            continue
        conversion.clips += read_list(path, subset, space, conversion.notices)
    conversion.clips = [_with_path(clip, tree, conversion) for clip in conversion.clips]
    info = DatasetInfo('MA-52', 'ma52', False, 'MA-52, arXiv 2403.05234')
    write(conversion, info, space, (tree, out), options)
    return conversion


def check_names(tree: SourceTree, space: LabelSpace) -> None:
    """Compare a released name file with the label space, index by index.

    Args:
        tree: The download; without a ``label_name.txt`` the space is trusted.
        space: The label space.

    Raises:
        ValueError: An index has another name.
    """
    path = tree.find(NAMES)
    if path is None:
        return
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    expected = [f'{index}\t{name}' for index, name in enumerate(space.actions)]
    for number, line in enumerate(lines, start=1):
        wanted = expected[number - 1] if number <= len(expected) else 'nothing'
        if line.split() != wanted.split():
            raise ValueError(
                f'{path}:{number}: {line!r}, expected {wanted!r}: these are not the '
                f'names of {space.name}'
            )
    if len(lines) < len(expected):
        raise ValueError(f'{path}: {len(lines)} names, expected {len(expected)}')


def read_list(
    path: Path, subset: str, space: LabelSpace, notices: list[str]
) -> list[Clip]:
    """Read one list.

    A test list whose labels are all 0 is the published one, whose truth is withheld.

    Args:
        path: A list, ``file label`` per line.
        subset: Its subset.
        space: The label space; labels are indices.
        notices: Gets what was assumed.

    Returns:
        The clips; ``path`` is still the name in the list.

    Raises:
        ValueError: Bad rows; the first five are shown.
    """
    rows, problems = [], []
    allowed = {str(label) for label in range(space.num_actions)}
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        cells = text.split()
        if len(cells) == 2 and cells[1] in allowed:
            rows.append((line, cells[0], int(cells[1])))
        elif cells:
            wanted = f'expected "file label", label 0..{space.num_actions - 1}'
            problems.append(Problem(str(path), line, cells[0], f'{text!r}: {wanted}'))
    if not rows and not problems:
        problems.append(Problem(str(path), 0, '', 'empty list'))
    refuse(problems, path)
    withheld = subset == 'test' and not any(label for _, _, label in rows)
    if withheld:
        notices.append(f'{path.name}: every label is 0, so the truth is withheld')
    return [
        Clip(
            clip=split_name(name)[0],
            path=name,
            subset=subset,
            domain='lab',
            subject=subject_of(split_name(name)[0]),
            action=None if withheld else label,
            body=None,
            line=line,
        )
        for line, name, label in rows
    ]


def _with_path(clip: Clip, tree: SourceTree, conversion: Conversion) -> Clip:
    _, suffix = split_name(clip.path)
    target = f'videos/{clip.subset}/{clip.clip}{suffix}'
    found = tree.find_video(clip.path, clip.subset)
    return replace(clip, path=conversion.add_video(found, target))


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


TABLES = {subset: f'{subset}.csv' for subset in SUBSETS}


def convert_mma52(source: Path, out: Path, options: Options) -> Conversion:
    """Convert the MMA-52 tables, and the videos that lie beside them.

    Args:
        source: Folder with ``train.csv`` and its like, at any depth.
        out: The data root to write.
        options: What the user chose; ``fps`` only where the tables have none.

    Raises:
        FileNotFoundError: No such folder, or none of the tables is in it.
        ValueError: Bad rows, an unknown rate, or a bad place to write.
    """
    tree = SourceTree(source)
    space = load_label_space('ma52')
    prepare(tree, out, options)
    check_names(tree, space)
    tables = {subset: tree.find(name) for subset, name in TABLES.items()}
    if not any(tables.values()):
        raise FileNotFoundError(
            f'{source}: none of {", ".join(TABLES.values())} is in it; they are the '
            f'tables that MMA-52 releases, with columns {",".join(COLUMNS)}'
        )
    conversion = Conversion()
    for subset, path in tables.items():
        if path is None:
            conversion.notices.append(f'no {TABLES[subset]}: no {subset} videos')
            continue
        rows = read_frames(path, space)
        if is_placeholder(rows, [str(row.label) for row in rows]):
            conversion.notices.append(
                f'{path.name} skipped: a placeholder, frames {rows[0].start_frame} to '
                f'{rows[0].end_frame} in each video and classes counting up'
            )
            continue
        rates = rate_source(path, rows, options.fps, conversion.notices)
        by_video: dict[str, list[FrameRow]] = defaultdict(list)
        for row in rows:
            by_video[row.video].append(row)
        for name, own in by_video.items():
            found = tree.find_video(name, subset)
            target = conversion.add_video(found, f'videos/{subset}/{name}.mp4')
            rate = rates(own[0], tree.path / found if found else None)
            place = {'path': target, 'subset': subset, 'domain': 'lab'}
            place['subject'] = subject_of(name)
            conversion.videos.append(to_video(own, rate, place))
    info = DatasetInfo('MMA-52', 'ma52', False, 'MMA-52, arXiv 2407.05311')
    write(conversion, info, space, (tree, out), options)
    return conversion


def read_frames(path: Path, space: LabelSpace) -> list[FrameRow]:
    """Read one table of either generation.

    Args:
        path: A released CSV.
        space: The label space; classes are indices.

    Raises:
        ValueError: Another header, or bad rows; the first five are shown.
    """
    reader = csv.DictReader(io.StringIO(read_text(path)))
    columns = reader.fieldnames or []
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise ValueError(
            f'{path}:1: no column {", ".join(missing)}; the header is '
            f'{",".join(columns)!r}, expected {",".join(COLUMNS)} and perhaps fps'
        )
    rows, problems = [], []
    for values in reader:
        try:
            rows.append(FrameRow.parse(values, reader.line_num, space))
        except ValueError as error:
            name = values['video_id'] or ''
            problems.append(Problem(str(path), reader.line_num, name, str(error)))
    problems += disagreements(path, rows)
    if not rows and not problems:
        problems.append(Problem(str(path), 0, '', 'empty table'))
    refuse(sorted(problems, key=lambda problem: problem.line), path)
    return rows
