"""MMA-52: released CSV of instances in untrimmed videos, both generations.

``id,video_id,start_frame,end_frame,class,total_frames,fps`` (June 2024), and before it
``,video_id,start_frame,end_frame,class,total_frames`` without the rate. Seconds are
frames divided by the video's own rate, as in the released ``mmad.json``.

Source: VUT-HFUT/MAC_2024_baseline, MMAD; arXiv 2407.05311.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from pathlib import Path

from mmma.layout.converters.frames import (
    COLUMNS,
    FrameRow,
    disagreements,
    is_placeholder,
    rate_source,
    to_video,
)
from mmma.layout.converters.ma52 import check_names
from mmma.layout.converters.source import SourceTree
from mmma.layout.converters.target import (
    Conversion,
    Options,
    prepare,
    subject_of,
    write,
)
from mmma.layout.det import Video
from mmma.layout.paths import read_text
from mmma.layout.problems import Problem, refuse
from mmma.layout.root import DatasetInfo
from mmma.taxonomy import SUBSETS, LabelSpace, load_label_space

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
