"""Converters of MA-52 and MMA-52.

MA-52 releases lists of trimmed clips, ``0003_01_0001.mp4 9``, without a header; MMA-52
tables of instances in untrimmed videos, columns ``COLUMNS`` and, since June 2024,
``fps``. Seconds are frames divided by the video's own rate, as in the released
``mmad.json``.

Source: VUT-HFUT/Micro-Action, data/ma52, arXiv 2403.05234; VUT-HFUT/MAC_2024_baseline,
MMAD, arXiv 2407.05311.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmma.convert.target import Conversion, Options, SourceTree, subject_of
from mmma.data.clips import Clip, split_name
from mmma.data.root import DatasetInfo
from mmma.data.videos import END_TOLERANCE_SEC, Instance, Video
from mmma.files import OddEntries, read_table, read_text
from mmma.taxonomy import SUBSETS, IndexOutsideError, LabelSpace, load_label_space
from mmma.video import probe_video

LISTS, TABLES = '{}_list_videos.txt', '{}.csv'
NAMES = 'label_name.txt'
COLUMNS = ('video_id', 'start_frame', 'end_frame', 'class', 'total_frames')
PLACEHOLDER_ROWS = 3
"""A table of at least so many rows, each with a video of its own, the same frames and
mostly the class after the one before, annotates nothing: it lists the videos."""


def convert_ma52(source: Path, out: Path, options: Options) -> Conversion:
    """Convert the MA-52 lists, at any depth, and the videos that lie beside them.

    The person is the text before the first ``_`` of a name; clips named otherwise (the
    test clips) have an empty one.
    """
    conversion = Conversion(SourceTree(source), out, options)
    space = load_label_space('ma52')
    _check_names(conversion.tree, space)
    form = 'lists that MA-52 releases, one "file label" per line'
    for subset, path in _tables(conversion, LISTS, form, 'clips'):
        conversion.clips += _read_list(path, subset, space, conversion)
    info = DatasetInfo('MA-52', 'ma52', False, 'MA-52, arXiv 2403.05234')
    conversion.write(info, space)
    return conversion


def convert_mma52(source: Path, out: Path, options: Options) -> Conversion:
    """Convert the MMA-52 tables, at any depth, and the videos that lie beside them."""
    conversion = Conversion(SourceTree(source), out, options)
    space = load_label_space('ma52')
    _check_names(conversion.tree, space)
    form = f'tables that MMA-52 releases, with columns {",".join(COLUMNS)}'
    for subset, path in _tables(conversion, TABLES, form, 'videos'):
        odd = OddEntries(path, 'instances cut or left out')
        rows = read_frames(odd, space)
        conversion.notices += odd.notes(options.strict)
        classes = [str(row.label) for row in rows]

        def place(row: FrameRow, subset: str = subset) -> dict[str, str]:
            found = conversion.tree.find_video(row.video, subset)
            target = conversion.add_video(found, f'videos/{subset}/{row.video}.mp4')
            subject = subject_of(row.video)
            return dict(path=target, subset=subset, domain='lab', subject=subject)

        if not add_videos(conversion, path, rows, options.fps, place, classes):
            conversion.labels |= {row.label for row in rows}
    info = DatasetInfo('MMA-52', 'ma52', False, 'MMA-52, arXiv 2407.05311')
    conversion.write(info, space)
    return conversion


def _check_names(tree: SourceTree, space: LabelSpace) -> None:
    """Raise ValueError where a released name file is not of the label space."""
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


def _tables(
    conversion: Conversion, pattern: str, form: str, items: str
) -> Iterator[tuple[str, Path]]:
    """Each subset with its table; those without one are noted."""
    tree = conversion.tree
    names = {subset: pattern.format(subset) for subset in SUBSETS}
    found = {subset: tree.find(name) for subset, name in names.items()}
    if not any(found.values()):
        raise FileNotFoundError(
            f'{tree.path}: none of {", ".join(names.values())} is in it; they are the '
            f'{form}'
        )
    for subset, path in found.items():
        if path is not None:
            yield subset, path
        else:
            conversion.note(f'no {names[subset]}: no {subset} {items}')


def _read_list(
    path: Path, subset: str, space: LabelSpace, conversion: Conversion
) -> list[Clip]:
    """Clips of one list, ``file label`` per line.

    A test list whose labels are all 0 is the published one, whose truth is withheld.
    """
    rows, odd = [], OddEntries(path, 'clips left out')
    allowed = {str(label) for label in range(space.num_actions)}
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        splits = [split_line(text, gap=gap) for gap in (None, ',', ';')]
        cells = next((c for c in splits if len(c) == 2 and c[1] in allowed), None)
        if cells:
            rows.append((line, cells[0], int(cells[1])))
        elif text.strip():
            wanted = f'expected "file label", label 0..{space.num_actions - 1}'
            odd.add(line, text.split()[0], f'{text!r}: {wanted}')
            odd.doubtful |= any(len(c) == 2 and c[1].isdecimal() for c in splits)
    odd.total = len(rows) + len(odd.problems)
    if not odd.total:
        odd.add(0, '', 'empty list')
    conversion.notices += odd.notes(conversion.options.strict)
    withheld = subset == 'test' and not any(label for _, _, label in rows)
    if withheld:
        conversion.note(f'{path.name}: every label is 0, so the truth is withheld')
    clips = []
    for line, name, label in rows:
        clip, suffix = split_name(name)
        found = conversion.tree.find_video(name, subset)
        target = conversion.add_video(found, f'videos/{subset}/{clip}{suffix}')
        place = (target, subset, 'lab', subject_of(clip))
        action = None if withheld else label
        conversion.labels |= {action} - {None}
        clips.append(Clip(clip, *place, action, None, line=line))
    return clips


def split_line(
    line: str, width: int = 2, name: int = 0, gap: str | None = None
) -> list[str]:
    """Cells of a line of a list; the one at place ``name`` may hold what parts them.

    There are ``width`` of them, parted by ``gap``, None being any run of spaces and
    tabs; others where the line has too few, or the name ends in a further number.
    """
    cells = line.strip().split(gap, name)
    if len(cells) > name:
        cells[name:] = cells[name].rsplit(gap, width - 1 - name)
    cells = [cell.strip().strip('"') for cell in cells]
    words = cells[name].split(gap) if len(cells) > name else ()
    return line.split(gap) if len(words) > 1 and words[-1].isdecimal() else cells


@dataclass(frozen=True)
class FrameRow:
    """One instance as released; ``fps`` is None where the table does not say."""

    line: int
    video: str
    start_frame: int
    end_frame: int
    label: int
    total_frames: int
    fps: float | None


def read_frames(odd: OddEntries, space: LabelSpace) -> list[FrameRow]:
    """Read the released CSV of ``odd``, of either generation; that gets its odd rows.

    Another header raises ValueError.
    """
    path = odd.path
    columns, cells = read_table(path, numbers=(*COLUMNS, 'fps'))
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise ValueError(
            f'{path}:1: no column {", ".join(missing)}; the header is '
            f'{",".join(columns)!r}, expected {",".join(COLUMNS)} and perhaps fps'
        )
    rows = []
    at = columns.index('video_id')
    for line, row in cells:
        names = columns if len(row) == len(columns) else map(str, range(len(row)))
        text = dict(zip(names, row, strict=True))
        rows.append((line, ''.join(row[at : at + 1]), text))
    return parse_frames(odd, rows, space)


def parse_frames(
    odd: OddEntries,
    rows: Iterable[tuple[int, str, Mapping[str, str]]],
    space: LabelSpace,
    translate: Callable[[Mapping[str, str]], Mapping[str, str]] = dict,
) -> list[FrameRow]:
    """Rows of a table that can be read, by themselves and beside the first of a video.

    Args:
        odd: Of the table; gets those that cannot, or whose frames are cut to the video.
        rows: Line, video and text by column of each; ``class`` is an index.
        translate: Gives a row ``COLUMNS`` and perhaps ``fps``, or raises ValueError.
    """
    parsed = []
    first: dict[str, FrameRow] = {}
    for line, name, text in rows:
        odd.total += 1
        try:
            row = _parse_frame(translate(text), line, space)
            before = first.setdefault(row.video, row)
            if (row.total_frames, row.fps) != (before.total_frames, before.fps):
                raise ValueError(
                    f'{row.total_frames} frames at fps {row.fps}, but line '
                    f'{before.line} says {before.total_frames} at {before.fps}'
                )
        except ValueError as error:
            odd.add(line, name, str(error))
            odd.doubtful |= isinstance(error, IndexOutsideError)
            continue
        start, end = max(row.start_frame, 0), min(row.end_frame, row.total_frames)
        beyond = max(start - row.start_frame, row.end_frame - end)
        if beyond > END_TOLERANCE_SEC * (row.fps or 25):
            text = f'frames {row.start_frame} to {row.end_frame} of {row.total_frames}'
            odd.add(line, name, f'{text}: {beyond} lie outside the video')
        elif beyond:
            odd.slight += 1
        parsed.append(replace(row, start_frame=start, end_frame=end))
    if not odd.total:
        odd.add(0, '', 'empty table')
    return parsed


def _parse_frame(values: Mapping[str, str], line: int, space: LabelSpace) -> FrameRow:
    try:
        numbers = [float(values[column]) for column in COLUMNS[1:]]
        fps = float(values['fps']) if 'fps' in values else None
    except (KeyError, TypeError, ValueError):
        raise ValueError(f'not a row of numbers: {list(values.values())}') from None
    start, end, label, total = numbers
    video = values['video_id']
    if not video:
        raise ValueError('video_id is empty')
    inside = start < end and start < total and end > 0
    if not inside or any(n % 1 for n in numbers):
        raise ValueError(
            f'frames {start:g} to {end:g} of {total:g}, class {label:g}: need '
            'whole numbers, 0 <= start < end <= total'
        )
    if label not in range(space.num_actions):
        raise IndexOutsideError(f'class {label:g}: must be 0..{space.num_actions - 1}')
    if fps is not None and not 1 <= fps <= 1000:
        raise ValueError(f'fps {fps:g}: must be 1..1000')
    return FrameRow(line, video, int(start), int(end), int(label), int(total), fps)


def is_made_up(rows: Sequence[FrameRow], classes: Sequence[str]) -> bool:
    """True if a table only lists videos, with made-up instances.

    ``classes`` are those of all its rows as written.
    """
    one_each = len({row.video for row in rows}) == len(rows) >= PLACEHOLDER_ROWS
    same_frames = len({(row.start_frame, row.end_frame) for row in rows}) == 1
    if not one_each or not same_frames or not all(map(str.isdecimal, classes)):
        return False
    steps = [int(b) - int(a) for a, b in itertools.pairwise(classes)]
    return sum(step == 1 for step in steps) >= 0.9 * len(steps)


def add_videos(
    conversion: Conversion,
    path: Path,
    rows: Sequence[FrameRow],
    fps: float | None,
    place: Callable[[FrameRow], dict[str, str]],
    classes: Sequence[str],
) -> bool:
    """Add the videos of a table, in seconds; True if their instances are made up.

    A video's rate comes from the table, else from the user, else from the file, which
    is noted; if that does not tell it, ValueError is raised.

    Args:
        fps: Frames per second as the user says, if known.
        place: Gives ``path``, ``subset``, ``domain`` and ``subject`` of a video, by its
            first row.
        classes: As :func:`is_made_up` takes them.
    """
    notices = conversion.notices
    if withheld := is_made_up(rows, classes):
        notices.append(
            f'{path.relative_to(conversion.tree.path)}: made-up instances, frames '
            f'{rows[0].start_frame} to {rows[0].end_frame} in each video and classes '
            f'counting up, so the truth of its {len(rows)} videos is withheld'
        )
    if rows[0].fps is None:
        told = f'{fps:g} taken for all, as asked' if fps else ''
        notices.append(f'{path.name} has no fps: {told or "read from the video files"}')
    elif fps:
        notices.append(f'{path.name} has its own fps: --fps is not used for it')
    videos: dict[str, list[FrameRow]] = defaultdict(list)
    for row in rows:
        videos[row.video].append(row)
    for own in videos.values():
        where = place(own[0])
        item = f'{path}:{own[0].line}: {own[0].video}'
        file = conversion.source_of(where['path'])
        rate = own[0].fps or fps or _fps_of_file(item, file)
        video = to_video(own, rate, where)
        if withheld:
            video = replace(video, instances=(), withheld=True)
        conversion.videos.append(video)
    return withheld


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


def to_video(rows: Sequence[FrameRow], fps: float, place: Mapping[str, str]) -> Video:
    """One video, of its instances, in seconds; ``place`` is as in `add_videos`."""
    frames = rows[0].total_frames
    facts = dict(video=rows[0].video, fps=fps, frames=frames, duration=frames / fps)
    spans = ((row.start_frame / fps, row.end_frame / fps, row.label) for row in rows)
    return Video(**facts, **place, instances=tuple(Instance(*span) for span in spans))
