"""A data root: one folder with tables, videos and skeletons."""

import functools
import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from unicodedata import normalize

from mmma.checkpoints.files import file_sha256
from mmma.data.clips import Clip, body_map, name_parts, read_rec
from mmma.data.videos import Video, read_det
from mmma.files import leaves_root, read_json, read_table, write_file
from mmma.foreign import control_faults, has_controls, naming
from mmma.taxonomy import LABEL_SPACES, LabelSpace, check_choice, load_label_space

INFO_FILE, REC_FILE, DET_FILE = 'dataset.json', 'rec.csv', 'det.json'
MISSING_FILE = 'missing_sources.csv'
"""List of source videos that could not be had; files of these may be absent."""
UNFINISHED = '.convert.part'
"""Folder of tables that are not in place yet."""
TASKS = ('rec', 'det')
FOLLOW_LINKS = 'MMMA_FOLLOW_LINKS'
"""Variable of the environment that ``--follow-links`` sets, for all processes."""
HASHED_BYTES = 1 << 28
"""Arrays beyond it, a second of hashing, are told by size and time."""
Row = TypeVar('Row', Clip, Video)


@dataclass(frozen=True)
class DatasetInfo:
    """Content of ``dataset.json``.

    Attributes:
        name, source, version: Of the data set; where it comes from; its release.
        label_space: Name of a shipped one, or the object of one's own, as
            ``load_label_space`` takes them.
        simulated: True where no real person is shown; numbers are then marked so.
        packed: What was done to the videos when they were packed, if they were.
        domains: Its domains, in the order of rows and tables; without any, those of
            the label space.
        source_domain: The one that zero-shot and few-shot train on; by default the
            first.
        emotions: As ``domains``; without any, those of the tables (``emotions_of``).
        planted: What a simulation put into the data, for a study to find.
        follow_links: True where videos may lie behind links out of the root, as for
            the command that was given ``--follow-links``.
    """

    name: str
    label_space: str | Mapping[str, Any]
    simulated: bool
    source: str | None = None
    version: str | None = None
    packed: Any = None
    domains: tuple[str, ...] = ()
    source_domain: str = ''
    emotions: tuple[str, ...] = ()
    planted: Any = None
    follow_links: bool | None = None

    def __post_init__(self) -> None:
        domains = self.domains or load_label_space(self.label_space).domains
        object.__setattr__(self, 'domains', domains)
        source = self.source_domain or next(iter(domains), '')
        object.__setattr__(self, 'source_domain', source)

    def with_domains(self, used: Iterable[str]) -> 'DatasetInfo':
        """The same, with those domains of rows behind it that it does not name."""
        own = dict.fromkeys(domain for domain in used if domain)
        if own.keys() <= {*self.domains}:
            return self
        domains = dict.fromkeys([*(d for d in self.domains if d in own), *own])
        return replace(self, domains=tuple(domains), source_domain='')


class DataRoot:
    """A folder with ``dataset.json`` and ``rec.csv``, ``det.json`` or both.

    Attributes:
        clips_of: Task in whose table its clips stand, and in whose skeletons.

    Raises:
        FileNotFoundError: There is no such folder, or no ``dataset.json`` in it.
        ValueError: ``dataset.json`` is bad.
    """

    clips_of = 'rec'

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not (self.path / INFO_FILE).is_file():
            raise FileNotFoundError(missing_root(self.path))
        self._files: dict[str, tuple[Any, bytes]] = {}
        self._made: dict[tuple[str, str], Any] = {}
        self.info = read_info(self.path, self._content(INFO_FILE))
        self._real_path = self.path.resolve()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_files': {}, '_made': {}}  # a worker opens anew

    def __fspath__(self) -> str:
        return str(self.path)

    __str__ = __fspath__

    def __repr__(self) -> str:
        return f'DataRoot({str(self.path)!r})'

    @property
    def domains(self) -> tuple[tuple[str, ...], str]:
        """All domains, and the one of them that is the source."""
        return self.info.domains, self.info.source_domain

    @property
    def has_rec(self) -> bool:
        """True if there is a recognition table."""
        return (self.path / REC_FILE).is_file()

    @property
    def has_det(self) -> bool:
        """True if there is a detection table."""
        return (self.path / DET_FILE).is_file()

    def has_skeletons(self, task: str) -> bool:
        """True if there is a skeleton store for ``rec`` or ``det``."""
        check_choice('task', task, TASKS)
        return (self.path / 'skeletons' / f'{task}.npy').is_file()

    def read_rec(self, body_groups: str = 'taxonomy') -> list[Clip]:
        """Rows of ``rec.csv`` as :meth:`read_det` has those of its table.

        The body groups that it leaves empty are as in ``load_label_space``.
        """
        return self.there(self._table('rec', body_groups))

    def read_det(self) -> list[Video]:
        """Entries of ``det.json`` that are :meth:`there`; read once, until it changes.

        Raises:
            FileNotFoundError: The root has no such table.
            ValueError: Bad rows.
        """
        return self.there(self._table('det'))

    def there(self, rows: Sequence[Row]) -> list[Row]:
        """Rows but those whose source is listed as missing and whose file is absent.

        What is left out is said on standard error, once in a process.

        Raises:
            ValueError: A bad list.
        """
        listed = self._missing_sources()
        if not listed:
            return list(rows)
        parts = ((row, name_parts(row.source_video.casefold())) for row in rows)
        suspects = {r.path for r, own in parts if r.path and (r.domain, *own) in listed}
        absent = {path for path in suspects if not self.video_path(path).is_file()}
        kept = [row for row in rows if row.path not in absent]
        if absent:
            told = '; '.join(shares(kept, rows))
            say(f'note: {self.path}: {told} ({MISSING_FILE} lists what is missing)')
        return kept

    def incomplete(self, task: str) -> list[str]:
        """Shares of the clips or videos that are :meth:`there`, where some are not."""
        if not {'rec': self.has_rec, 'det': self.has_det}[task]:
            return []
        table = self._table(task)
        return shares(self.there(table), table)

    def _missing_sources(self) -> set[tuple[str, ...]]:
        """Domain and parts of the name of each source that is listed as missing."""
        file = self.path / MISSING_FILE
        if not file.is_file():
            return set()
        content = self._content(MISSING_FILE)
        if (MISSING_FILE, '') not in self._made:
            header, rows = read_table(file, content)
            if not {'source_video', 'domain'} <= set(header):
                raise ValueError(
                    f'{file}:1: the columns are {header}; it needs source_video, domain'
                )
            listed = set()
            for line, cells in rows:
                row = dict(zip(header, cells, strict=False))
                if not (row.get('source_video') and row.get('domain')):
                    raise ValueError(f'{file}:{line}: {cells}: name source and domain')
                listed.add((row['domain'], *name_parts(row['source_video'].casefold())))
            self._made[MISSING_FILE, ''] = listed
        return self._made[MISSING_FILE, '']

    def label_space(self, body_groups: str = 'taxonomy') -> LabelSpace:
        """The root's label space, with the body groups that ``rec.csv`` gives.

        Where it gives none, ``body_groups`` are as in ``load_label_space``.
        """
        space = load_label_space(self.info.label_space, body_groups)
        return (
            body_map(self._table('rec', body_groups), space) if self.has_rec else space
        )

    def fingerprint(self) -> str:
        """SHA-256, in hex, over ``dataset.json`` and the tables that exist."""
        digest = hashlib.sha256()
        for name in (INFO_FILE, REC_FILE, DET_FILE, MISSING_FILE):
            if (self.path / name).is_file():
                content = self._content(name)
                digest.update(f'{name} {len(content)}\n'.encode())
                digest.update(content)
        return digest.hexdigest()

    def arrays(self) -> dict[str, str]:
        """What tells the files of skeletons and features from others, by path.

        It is their SHA-256, and of large ones, as it says, size and time of change.
        """
        files = [*self.path.glob('skeletons/*'), *self.path.glob('features/*/*')]
        found = {}
        for file in sorted(f for f in files if f.is_file() and f.name[0] != '.'):
            name, stamp = file.relative_to(self.path).as_posix(), file_stamp(file)
            found[name] = _file_print(file, stamp)
        return found

    def video_path(self, relative: str) -> Path:
        """Path of a video, from that in a table; it need not exist.

        Composed letters (NFC) and letters with marks (NFD) find each other's files, as
        do suffixes in capitals and in small letters; backslashes may part folders.

        Raises:
            ValueError: The path is empty, or leaves the root: absolute, by ``..`` or
                through a link.
        """
        if not relative:
            raise ValueError(f'{self.path}: no video, path is empty (skeletons only?)')
        file = self.path / relative
        if '\\' in relative and not file.exists():  # Windows writes paths so
            relative = relative.replace('\\', '/')
            file = self.path / relative
        if leaves_root(relative):
            raise ValueError(f'path {relative!r} leaves the data root {self.path}')
        if not file.exists():  # macOS writes names otherwise
            stem, suffix = os.path.splitext(relative)
            names = [stem + end for end in (suffix, suffix.lower(), suffix.upper())]
            forms = (normalize(form, n) for n in names for form in ('NFC', 'NFD'))
            found = (self.path / form for form in forms)
            file = next((other for other in found if other.exists()), file)
        target = file.resolve()
        leaves = not target.is_relative_to(self._real_path)
        if leaves and self.info.follow_links:  # as whoever made the root wished
            say(f'note: {self.path}: links out of it are read, as {INFO_FILE} says')
        elif leaves and not os.environ.get(FOLLOW_LINKS):
            raise ValueError(
                f'path {relative!r} leaves the data root {self.path} through a link '
                f'to {target}: give --follow-links if you made the link, or write '
                f'"follow_links": true into {INFO_FILE}; or put the files inside'
            )
        return file

    def _content(self, name: str) -> bytes:
        """Bytes of a file, of which tables and fingerprint are made."""
        file = self.path / name
        stamp = file_stamp(file)
        if name not in self._files or self._files[name][0] != stamp:
            self._files[name] = stamp, file.read_bytes()
            self._made = {key: v for key, v in self._made.items() if key[0] != name}
        return self._files[name][1]

    def _table(self, task: str, body_groups: str = 'taxonomy') -> Any:
        name, kind, read = _TABLES[task]
        if not (self.path / name).is_file():
            raise FileNotFoundError(
                f'{self.path} has no {name}, so it holds no {kind} data'
            )
        content = self._content(name)  # forgets what was made of another
        if (name, body_groups) not in self._made:
            space = load_label_space(self.info.label_space, body_groups)
            choices = self.info.domains, self.info.emotions
            table = read(self.path / name, space, content, *choices)
            self._made[name, body_groups] = table
        return self._made[name, body_groups]


_TABLES: dict[str, tuple[str, str, Callable[..., Any]]] = {
    'rec': (REC_FILE, 'recognition', read_rec),
    'det': (DET_FILE, 'detection', read_det),
}


@functools.lru_cache(maxsize=64)
def _file_print(file: Path, stamp: tuple[int, ...]) -> str:
    changed_ns, size, _ = stamp
    if size > HASHED_BYTES:
        return f'not hashed: {size} bytes, changed at {changed_ns / 1e9:.3f} s'
    return f'sha256 {file_sha256(file)}'


@functools.cache
def say(text: str) -> None:
    """Print a note on standard error, once in a process."""
    print(text, file=sys.stderr, flush=True)


def shares(kept: Sequence[Row], rows: Sequence[Row]) -> list[str]:
    """``test: 9 of 10 clips of street``, where not all rows are kept."""

    def cell(row: Row) -> tuple[str, str, str]:
        return row.subset, 'clips' if isinstance(row, Clip) else 'videos', row.domain

    there, counts = Counter(map(cell, kept)), Counter(map(cell, rows))
    return [
        f'{key[0]}: {there[key]} of {count} {key[1]} of {key[2]}'
        for key, count in counts.items()
        if there[key] < count
    ]


def read_root(path: str | os.PathLike[str]) -> DataRoot:
    """Open a ``DataRoot``, once per process as long as it does not change."""
    stamp = file_stamp(Path(path) / INFO_FILE)
    return _opened(os.fspath(path), os.path.abspath(path), stamp)


@functools.lru_cache(maxsize=8)
def _opened(path: str, absolute: str, stamp: Any) -> DataRoot:
    return DataRoot(path)


def file_stamp(file: Path) -> tuple[int, ...] | None:
    """Numbers that change with a file; None where there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def read_info(root: Path, content: bytes | None = None) -> DatasetInfo:
    """Read ``dataset.json``, or its content; keys it does not know are left alone.

    Raises:
        FileNotFoundError: There is none.
        ValueError: Not JSON, a key is missing, or a value is bad.
    """
    file = Path(root) / INFO_FILE
    parsed = read_json(file, text=content)
    if not isinstance(parsed, dict):
        raise ValueError(f'{file}: must be an object with name, label_space, simulated')
    for key, kind in (('name', str), ('label_space', object), ('simulated', bool)):
        if parsed.get(key) is None or not isinstance(parsed[key], kind):
            raise ValueError(
                f'{file}: {key!r} is {parsed.get(key)!r}; it must be there and be a '
                f'{kind.__name__}'
            )
    texts = {key: parsed.get(key) for key in ('name', 'source', 'version')}
    if faults := control_faults(texts):
        raise ValueError(f'{file}: {faults[0]}')
    if not isinstance(follows := parsed.get('follow_links', False), bool):
        raise ValueError(f"{file}: 'follow_links' is {follows!r}; use true or false")
    with naming(file):
        space = load_label_space(parsed['label_space'])
    found = []
    if 'domains' not in parsed and not space.domains:
        tables = (file.with_name(name) for name in (REC_FILE, DET_FILE))
        found = [*dict.fromkeys(table_domains(*tables))]
    if len(found) > 1:
        raise ValueError(
            f'{file}: the tables have the domains {", ".join(found)}: write them into '
            f'it as "domains": {json.dumps(found, ensure_ascii=False)}, the one first '
            'that zero-shot and few-shot train on'
        )
    domains = parsed.get('domains', [*space.domains] or found or ['lab'])
    emotions = parsed.get('emotions', ['none named'])
    for key, own in {'domain': domains, 'emotion': emotions}.items():
        named = isinstance(own, list) and not any(map(has_controls, own))
        if not named or not own or {'', 'all', 'rest'} & set(own):
            raise ValueError(
                f"{file}: '{key}s' is {own!r}; it must be a list of names, none of "
                "them 'all' or 'rest'"
            )
        if len(set(own)) < len(own):
            raise ValueError(f"{file}: '{key}s' is {own!r}; name each {key} once")
    source = parsed.get('source_domain', domains[0])
    with naming(file):
        check_choice('source_domain', source, domains)
    known = DatasetInfo.__dataclass_fields__
    values = {key: parsed[key] for key in known if key in parsed}
    own = space.plain()  # without keys of the user, which may hold anything
    values.update(domains=tuple(domains), source_domain=source, label_space=own)
    values['emotions'] = tuple(parsed.get('emotions', ()))
    if space.name in LABEL_SPACES:
        values['label_space'] = space.name
    return DatasetInfo(**values)


def table_domains(*files: Path) -> Iterator[str]:
    """Domains of all rows of tables, as far as they are there and can be read."""
    for file in filter(Path.is_file, files):
        if file.suffix != '.json':
            header, rows = read_table(file)
            at = header.index('domain') if 'domain' in header else len(header)
            yield from (row[at] for _, row in rows if row[at : at + 1] and row[at])
            continue
        content = read_json(file)
        videos = content.get('database') if isinstance(content, dict) else None
        for video in videos.values() if isinstance(videos, dict) else ():
            domain = video.get('domain') if isinstance(video, dict) else None
            yield from [domain] if domain and isinstance(domain, str) else []


def write_info(root: Path, info: DatasetInfo) -> None:
    """Write ``dataset.json`` of a root, which is made; what is None is left out."""
    content = {key: value for key, value in vars(info).items() if value is not None}
    if info == replace(info, domains=(), source_domain=''):  # the label space tells
        del content['domains'], content['source_domain']
    if not info.emotions:
        del content['emotions']
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_file(Path(root) / INFO_FILE, f'{text}\n')


def missing_root(path: Path, modality: str = 'Pose') -> str:
    """Paragraph on what a data root lacks that was expected, and how to get it.

    Args:
        path: The root.
        modality: What is to be read, as configs name it; only ``Pose`` needs no videos.
    """
    marks = {UNFINISHED: 'convert', '.partial': 'simulate', 'packing.jsonl': 'pack'}
    for tool in (tool for mark, tool in marks.items() if (path / mark).exists()):
        return (
            f'{path} is unfinished: tools/data/{tool}.py was stopped there. Give that '
            'command again, and it goes on.'
        )
    tables = [name for name in (REC_FILE, DET_FILE) if (path / name).is_file()]
    if tables:
        return (
            f'{path} has {" and ".join(tables)}, but no dataset.json: write '
            '{"name": "NAME", "label_space": "mma82", "simulated": false} into it, '
            f'with a label_space of {", ".join(LABEL_SPACES)} or your own, and '
            '"domains": [...] where they are not those of MMA-82 '
            '(docs/data_format.md).'
        )
    scale = 'small' if modality == 'Pose' else 'tiny --modality both'
    what = 'it has no dataset.json' if path.is_dir() else 'there is no such folder'
    return (
        f'No data in {path}: {what}. Either make the simulated stand-in, which needs '
        f'no licence (`python tools/data/simulate.py {path} --scale {scale}`), or get '
        'the real data: fill in the licence form of the dataset lpynow/MMA-82 on the '
        'Hugging Face hub, download it (`hf download lpynow/MMA-82 --repo-type dataset '
        '--local-dir downloads/mma82`) and convert it (`python tools/data/convert.py '
        f'mma82 downloads/mma82 {path}`).'
    )
