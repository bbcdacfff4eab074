"""A data root's videos, encoded anew so that they decode fast."""

import contextlib
import csv
import errno
import functools
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from mmma.data.arrays import SkeletonStore, SkeletonWriter
from mmma.data.clips import OPTIONAL, Span
from mmma.data.root import (
    DET_FILE,
    INFO_FILE,
    MISSING_FILE,
    REC_FILE,
    TASKS,
    DataRoot,
    write_info,
)
from mmma.data.videos import write_entries
from mmma.files import (
    SHOWN,
    atomic_write,
    is_filled,
    leaves_root,
    only_writer,
    read_table,
    read_text,
    replace_together,
    source_identity,
    write_file,
)
from mmma.foreign import has_controls, is_number, parse_json
from mmma.media.encode import (
    PARTS,
    PackOptions,
    choose_person,
    enclose,
    pack_video,
    part_box,
    seen_box,
)
from mmma.packets import JOURNAL_FILE
from mmma.processes import map_in_processes, usable_cores

MEASURED = 4
"""Videos that are packed before disk and time are estimated."""
_RESERVE = 1.1  # the few that were measured may be smaller than most
_LIMIT_PX = 2047  # what 1/16 pixel in 16 bits can hold
_PLACE = ('picture', 'crop', 'size')  # of a packed video, for its skeletons
_store = functools.cache(SkeletonStore)
Row = tuple[str, str, str, Span | None]
"""Task, clip or video, path and span of a row of a table."""
_User = tuple[str, str, str | int]
"""Task, clip or video, and rule of whom to follow, of a row that uses a video."""
_Job = tuple[str, Path, list[_User], str, Span | None]
"""Path of a video as in the tables, and its span; the file, its users, the packed path,
the span."""


class Journal:
    """Records of packed videos; one that was written counts after a crash as well.

    If ``out`` was packed from other data or with other options, or holds something
    else, ValueError is raised.

    Args:
        header: What all of them have in common.
        force: Start anew where the header is another one.
    """

    def __init__(self, out: Path, header: Mapping[str, Any], force: bool) -> None:
        self.path = out / JOURNAL_FILE
        self.header = json.loads(json.dumps(header))
        self.records: dict[str, dict[str, Any]] = {}
        self._packed_before: set[str] = set()
        if self.path.is_file():
            self._read(force)
        elif out.is_dir() and is_filled(out):
            told = f'{out} is not empty and was not packed: give another folder'
            raise ValueError(told)
        self._write()

    def _read(self, force: bool) -> None:
        try:
            *lines, rest = self.path.read_text('utf-8', 'replace').split('\n')
            header, *records = (parse_json(line, self.path)[0] for line in lines)
            with contextlib.suppress(ValueError):  # cut off when the writer was killed
                records += [parse_json(rest, self.path)[0]]
            for record in records:
                sum(record[k] for k in ('bytes', 'source_bytes', 'source_mtime_ns'))
                place = record['packed']
                odd = leaves_root(place) or has_controls(place + _line(record)[:-1])
                if odd or not all(is_number(v) for k in _PLACE for v in record[k]):
                    raise ValueError(record['packed'])
            self._packed_before = {record['packed'] for record in records}
            known = {record['path']: record for record in records}
            changed = {**header, **self.header}
        except Exception as error:  # it may hold whatever somebody put there
            if not force:
                raise ValueError(
                    f'{self.path}: not of this program, or damaged ({error!r}): delete '
                    f'{self.path.parent}, or give --force, to start anew'
                ) from None
            return
        if header == self.header:
            self.records = known
        elif not force:
            old, new = header, self.header
            pairs = ((key, old.get(key), new.get(key)) for key in changed)
            changes = (f'{k} was {a!r}, now {b!r}' for k, a, b in pairs if a != b)
            told = ', '.join(changes)
            raise ValueError(
                f'{self.path.parent} was packed differently: {told}; give another '
                'folder, or --force to pack everything anew'
            )

    def holds(self, path: str, source: Path) -> bool:
        """True if a video is packed, and it and its source have not changed since."""
        record = self.records.get(path)
        if record is None or not source.is_file():
            return False
        packed = self.path.parent / record['packed']
        same = source_identity(source).items() <= record.items()
        return same and packed.is_file() and packed.stat().st_size == record['bytes']

    def add(self, record: dict[str, Any]) -> None:
        """Remember a packed video."""
        self.records[record['path']] = record
        with self.path.open('a', encoding='utf-8') as file:
            file.write(_line(record))
            file.flush()
            os.fsync(file.fileno())

    def finish(self, paths: Iterable[str]) -> None:
        """Sort records by ``paths`` of the tables; packed videos of others go."""
        self.records = {p: self.records[p] for p in sorted(paths) if p in self.records}
        kept = {record['packed'] for record in self.records.values()}
        for stale in self._packed_before - kept:
            (self.path.parent / stale).unlink(missing_ok=True)
        self._write()

    def _write(self) -> None:
        with atomic_write(self.path) as file:
            file.writelines(map(_line, [self.header, *self.records.values()]))


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + '\n'


@dataclass
class PackReport:
    """Result of packing a root.

    Attributes:
        videos: Of the tables; spans of a file count each.
        packed: Packed in this run.
        changed: Of these, packed before from a source that has changed since.
        failures: (path, reason) of those that could not be packed.
        uncropped: Whose whole picture was kept, as nobody to follow was found.
        without_part: Where the person was kept, as the part was not found.
        reshaped: Whose pixels were not square, and are now.
        scaled: Whose picture changes its size midway: all got the size of the first.
        source_bytes: Of the videos packed so far, by this run and earlier ones.
        packed_bytes: The same, packed.
        complete: Tables and ``dataset.json`` are written.
    """

    videos: int = 0
    packed: int = 0
    changed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    uncropped: int = 0
    without_part: int = 0
    reshaped: int = 0
    scaled: int = 0
    source_bytes: int = 0
    packed_bytes: int = 0
    complete: bool = False


def pack_root(
    root: DataRoot,
    out: Path,
    options: PackOptions,
    *,
    tasks: Sequence[str] | None = None,
    workers: int | None = None,
    allow_failures: bool = False,
    force: bool = False,
    on_estimate: Callable[[int, float, float], None] = lambda *_: None,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> PackReport:
    """Pack the videos of a root and copy its tables and skeletons.

    Killed at any time, it goes on when it is called again, and writes the same bytes
    as if it had not been. ``dataset.json`` is written last.

    Args:
        tasks: Tables whose videos are packed; by default those that exist.
        workers: Processes; 0 works in this one, None takes one per CPU.
        allow_failures: Finish the root though videos could not be packed.
        force: Pack anew what was packed with other options.
        on_estimate: Called once, after the first videos, with the number of those
            left, and the bytes and seconds that they will take.
        on_progress: Called with the bytes of sources done and in all.

    Raises:
        FileNotFoundError: The root lacks a table or skeletons that are needed.
        ValueError: The root is packed already, ``out`` holds something else, two
            videos would get one name, or the disk is too small.
    """
    if root.info.packed is not None:
        raise ValueError(
            f'{root.path} is packed already ({root.info.packed}): packing it again '
            'loses more; pack the original'
        )
    if out.resolve() == root.path.resolve():
        raise ValueError(f'{out}: the packed root needs a folder of its own')
    tasks = chosen_tasks(root, tasks)
    jobs = _jobs(root, options, tasks)
    header = {'source': root.info.name, 'tasks': tasks, **options.as_dict()}
    if options.crop != 'none':
        stores = {task: SkeletonStore(root, task).path for task in tasks}
        header['followed_in'] = {t: source_identity(p) for t, p in stores.items()}
    with only_writer(out):
        journal = Journal(out, header, force)
        todo = [job for job in jobs if not journal.holds(*job[:2])]
        report = PackReport(videos=len(jobs))
        report.changed = sum(path in journal.records for path, *_ in todo)
        (out / INFO_FILE).unlink(missing_ok=True)
        plain = replace(options, by_name={})  # small to send: jobs carry their rules
        work = functools.partial(_pack_one, root=root, out=out, options=plain)
        _pack_all(todo, work, root, journal, report, workers, on_estimate, on_progress)
        journal.finish(path for path, *_ in jobs)
        records = journal.records
        report.uncropped = sum(r.get('followed') is False for r in records.values())
        report.without_part = sum(r.get('part') is False for r in records.values())
        report.reshaped = sum('pixels' in r for r in records.values())
        report.scaled = sum('scaled' in r for r in records.values())
        sizes = {j[1]: records[j[0]]['source_bytes'] for j in jobs if j[0] in records}
        report.source_bytes = sum(sizes.values())
        report.packed_bytes = sum(r['bytes'] for r in records.values())
        if not report.failures or allow_failures:
            _finish(root, out, options, tasks, jobs, records, report)
        return report


def _finish(
    root: DataRoot,
    out: Path,
    options: PackOptions,
    tasks: Sequence[str],
    jobs: list[_Job],
    records: Mapping[str, Mapping[str, Any]],
    report: PackReport,
) -> None:
    """Write tables, skeletons, and last of all ``dataset.json``."""
    drafts = out / '.tables.part'
    shutil.rmtree(drafts, ignore_errors=True)
    for task in tasks:
        copy_table(root, drafts, task)
        if root.has_skeletons(task):
            known = [(records[p], users) for p, _, users, *_ in jobs if p in records]
            places = {n: r for r, users in known for own, n, _ in users if own == task}
            store = SkeletonStore(root, task)
            persons = max(row.persons for row in store.index.values())
            with SkeletonWriter(out, task, store.layout, persons) as writer:
                for name in store.names:
                    keypoints, scores = store.get(name)
                    size = store.size(name)
                    if name in places:  # in the packed picture
                        keypoints = move_joints(keypoints, size, places[name])
                        size = places[name]['size']
                    writer.append(name, keypoints, scores, store.fps(name), *size)
    if (root.path / MISSING_FILE).is_file():
        write_file(drafts / MISSING_FILE, (root.path / MISSING_FILE).read_bytes())
    packed = options.as_dict()
    if options.crop != 'none':
        packed['uncropped'] = report.uncropped
    if options.crop in PARTS:
        packed['without_part'] = report.without_part
    if report.failures:
        packed['failed'] = [path for path, _ in report.failures]
    write_info(drafts, replace(root.info, packed=packed))
    replace_together(drafts, out, INFO_FILE, REC_FILE, DET_FILE, MISSING_FILE)
    shutil.rmtree(drafts)
    report.complete = True


def chosen_tasks(root: DataRoot, asked: Sequence[str] | None) -> tuple[str, ...]:
    """Tasks whose tables are worked on; None asks for those that the root has.

    A table that it lacks raises FileNotFoundError.
    """
    has = {'rec': root.has_rec, 'det': root.has_det}
    for task in asked or ():
        if not has[task]:
            raise FileNotFoundError(f'{root.path} has no table for task {task!r}')
    return tuple(task for task in TASKS if (task in asked if asked else has[task]))


def table_rows(root: DataRoot, tasks: Sequence[str], felt: bool = False) -> list[Row]:
    """Rows of these tasks; ``felt`` leaves out those without an emotion."""
    rows: list[Row] = []
    for task, read in (('rec', root.read_rec), ('det', root.read_det)):
        for row in read() if task in tasks else ():
            if row.emotion or not felt:
                rows.append((task, row.name, row.path, row.span))
    return rows


def file_bytes(path: Path) -> int:
    """Size of a file; 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def packed_path(path: str, span: Span | None = None) -> str:
    """Path of a packed video relative to the packed root, of that in the tables."""
    packed = path if path.lower().endswith('.mp4') else f'{path}.mp4'
    if span is None:
        return packed
    return f'{packed[:-4]}_{span[0]}-{span[1]}.mp4'


def _jobs(root: DataRoot, options: PackOptions, tasks: Sequence[str]) -> list[_Job]:
    """Every video of the tables, and every span of one, once."""
    users: dict[tuple[str, Span | None], list[_User]] = {}
    for task, name, path, span in table_rows(root, tasks):
        if path:
            rule = options.by_name.get(name, options.person)
            users.setdefault((path, span), []).append((task, name, rule))
    known = {name for rows in users.values() for _, name, _ in rows}
    if unknown := sorted(options.by_name.keys() - known):
        told = f'{len(unknown)} names of --person are of no clip or video with a file: '
        told += ', '.join(unknown[:SHOWN]) + ', ...' * (len(unknown) > SHOWN)
        warnings.warn(told, stacklevel=2)
    taken: dict[str, str] = {}
    jobs: list[_Job] = []
    for (path, span), rows in users.items():
        packed = packed_path(path, span)
        other = taken.setdefault(packed, path)
        if other != path:
            told = f'{other} and {path} would both become {packed}: rename one'
            raise ValueError(told)
        key = path if span is None else f'{path} {span[0]}-{span[1]} s'
        jobs.append((key, root.video_path(path), rows, packed, span))
    return jobs


def _pack_all(
    todo: list[_Job],
    work: Callable[[_Job], dict[str, Any] | str],
    root: DataRoot,
    journal: Journal,
    report: PackReport,
    workers: int | None,
    on_estimate: Callable[[int, float, float], None],
    on_progress: Callable[[int, int], None],
) -> None:
    """Pack a few, estimate, then pack the rest."""
    step = -(-len(todo) // MEASURED) or 1
    first = todo[::step]
    rest = [job for number, job in enumerate(todo) if number % step]
    sizes = {path: file_bytes(source) for path, source, *_ in todo}
    done = 0
    for jobs in (first, rest):
        started = time.perf_counter()
        for (path, *_), record in map_in_processes(work, jobs, workers):
            done += sizes[path]
            if isinstance(record, str):
                report.failures.append((path, record))
            else:
                journal.add(record)
                report.packed += 1
            on_progress(done, sum(sizes.values()))
        if jobs is first and rest:
            cores = usable_cores() if workers is None else max(workers, 1)
            busy = min(cores, len(first)) / cores  # share of workers with work
            spent = (time.perf_counter() - started) * busy
            packed = [r for path, *_ in first if (r := journal.records.get(path))]
            read = sum(record['source_bytes'] for record in packed) or 1
            share = sum(sizes[path] for path, *_ in rest) / read
            size = share * sum(record['bytes'] for record in packed)
            on_estimate(len(rest), size, share * spent)
            skeletons = (root.path / 'skeletons').glob('*.npy')
            need = _RESERVE * size + sum(map(file_bytes, skeletons))
            out = journal.path.parent
            free = shutil.disk_usage(out).free
            if need > free:
                raise ValueError(
                    f'{out}: {len(rest):,} videos need about {need / 1e9:,.1f} GB, the '
                    f'disk has {free / 1e9:,.1f} GB left: make room, or give a larger '
                    '--crf or a smaller --short-side'
                )
    order = {path: number for number, (path, *_) in enumerate(todo)}
    report.failures.sort(key=lambda failure: order[failure[0]])


def _pack_one(
    job: _Job, root: DataRoot, out: Path, options: PackOptions
) -> dict[str, Any] | str:
    """Pack one video; its record, or the reason why there is none."""
    path, source, users, packed, span = job
    target = out / packed
    record = {'path': path, 'packed': packed}
    box = None
    try:
        record |= source_identity(source)
        if options.crop != 'none':
            box, whole = _followed_box(users, root, options.crop)
            record['followed'] = box is not None
            if box is not None and options.crop in PARTS:
                record['part'] = not whole
        return record | pack_video(source, target, options, box, span)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(error.errno, os.strerror(error.errno), str(target)) from None
        gone = isinstance(error, FileNotFoundError)
        return 'no such file' if gone else error.strerror or str(error)
    except ValueError as error:
        return str(error)


def _followed_box(
    users: Sequence[_User], root: DataRoot, crop: str
) -> tuple[np.ndarray | None, bool]:
    """Box around the followed person or part in all rows that use a video.

    In shares of the picture; None where nobody is found. And whether it is around the
    person, also because no row shows the part.
    """
    persons, parts = [], []
    for task, name, rule in users:
        store = _store(root.path, task)
        if name not in store:
            continue
        keypoints, scores = store.get(name)
        person = choose_person(keypoints, scores, rule)
        if person is None:
            continue
        joints, size = (keypoints[person], scores[person]), store.size(name)
        persons.append(seen_box(*joints) / [*size, *size])
        if crop in PARTS:
            box = part_box(*joints, store.layout.names, crop)
            parts += [] if box is None else [(box / [*size, *size]).clip(0, 1)]
    return enclose(parts or persons) if persons else None, not parts


def copy_table(root: DataRoot, out: Path, task: str) -> None:
    """Copy a table; only paths of videos that were no MP4 files, or spans, change.

    A span becomes a whole file: its times go, its file becomes its ``source_video``.
    """
    source = root.path / (REC_FILE if task == 'rec' else DET_FILE)
    rows = {row[1]: row[2:] for row in table_rows(root, (task,)) if row[2]}
    if all(packed_path(*row) == row[0] for row in rows.values()):
        write_file(out / source.name, source.read_bytes())
    elif task == 'rec':
        columns, lines = read_table(source, numbers=OPTIONAL)
        if any(span for _, span in rows.values()) and 'source_video' not in columns:
            columns.append('source_video')
        with atomic_write(out / source.name) as file:
            writer = csv.DictWriter(file, columns, lineterminator='\n')
            writer.writeheader()
            for _, cells in lines:
                row = dict(zip(columns, cells, strict=False))
                name = normalize('NFC', row['clip'])
                if name in rows:  # others have no video, or one that is missing
                    path, span = rows[name]
                    row['path'] = packed_path(path, span)
                    if span:
                        row['source_video'] = row.get('source_video') or path
                        row['start_sec'] = row['end_sec'] = ''
                writer.writerow(row)
    else:
        content = parse_json(read_text(source), source)[0]
        database = content.pop('database')
        for entry in database.values():
            if entry.get('path'):
                entry['path'] = packed_path(entry['path'])
        others = json.dumps(content, ensure_ascii=False)[1:-1]
        head = f'{{{others}{", " if others else ""}"database": {{'
        write_entries(out / source.name, database.items(), head, '}}')


def move_joints(
    keypoints: np.ndarray, size: Sequence[int], place: Mapping[str, Any]
) -> np.ndarray:
    """Joints (..., 2) of a picture of that size in that of a packed video; pixels."""
    picture, crop = np.array(place['picture']), np.array(place['crop'])
    in_picture = keypoints * (picture / np.array(size))
    moved = (in_picture - crop[:2]) * (np.array(place['size']) / crop[2:])
    return moved.clip(-_LIMIT_PX, _LIMIT_PX)
