"""Converters of MA-52 and MMA-52.

MA-52: released lists of trimmed clips, ``0003_01_0001.mp4 9``, no header.

Source: VUT-HFUT/Micro-Action, data/ma52; arXiv 2403.05234.

MMA-52: released CSV of instances in untrimmed videos, both generations.

``id,video_id,start_frame,end_frame,class,total_frames,fps`` (June 2024), and before it
``,video_id,start_frame,end_frame,class,total_frames`` without the rate. Seconds are
frames divided by the video's own rate, as in the released ``mmad.json``.

Source: VUT-HFUT/MAC_2024_baseline, MMAD; arXiv 2407.05311.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from mmma.data.clips import Clip
from mmma.data.convert.target import (
    COLUMNS,
    Conversion,
    FrameRow,
    Options,
    SourceTree,
    disagreements,
    is_placeholder,
    prepare,
    rate_source,
    split_name,
    subject_of,
    to_video,
    write,
)
from mmma.data.root import DatasetInfo
from mmma.data.videos import Video
from mmma.files import Problem, read_text, refuse
from mmma.taxonomy import SUBSETS, LabelSpace, load_label_space

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
        for own in _by_video(rows):
            target, file = _locate(own[0].video, subset, tree, conversion)
            conversion.videos.append(_video(own, rates(own[0], file), subset, target))
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


def _by_video(rows: list[FrameRow]) -> list[list[FrameRow]]:
    groups: dict[str, list[FrameRow]] = defaultdict(list)
    for row in rows:
        groups[row.video].append(row)
    return list(groups.values())


def _locate(
    name: str, subset: str, tree: SourceTree, conversion: Conversion
) -> tuple[str, Path | None]:
    """Path in the new root, and the file to come there, if it is in the source."""
    path = f'videos/{subset}/{name}.mp4'
    path = conversion.add_video(tree.find_video(name, subset), path)
    found = conversion.files.get(path)
    return path, tree.path / found if found else None


def _video(rows: list[FrameRow], fps: float, subset: str, path: str) -> Video:
    subject = subject_of(rows[0].video)
    place = {'path': path, 'subset': subset, 'domain': 'lab', 'subject': subject}
    return to_video(rows, fps, place)
