"""Converter of MMA-82: the tree that the download of ``lpynow/MMA-82`` makes.

The published layout had not been seen: ``mma82_release.json`` says which files mean
what, and a user can pass another such file.
"""

from __future__ import annotations

import csv
import fnmatch
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from mmma.data.clips import Clip, times
from mmma.data.convert.ma52 import (
    COLUMNS,
    FrameRow,
    disagreements,
    is_placeholder,
    rate_source,
    to_video,
)
from mmma.data.convert.target import (
    Conversion,
    Options,
    SourceTree,
    plain_name,
    prepare,
    read_label_names,
    split_name,
    write,
)
from mmma.data.root import DatasetInfo
from mmma.data.videos import Video
from mmma.files import Problem, read_json, read_text, refuse
from mmma.taxonomy import (
    DOMAINS,
    SUBSETS,
    LabelSpace,
    check_choice,
    load_label_space,
    suggest,
)

RELEASE = Path(__file__).with_name('mma82_release.json')
_SHARED = ('path', 'subset', 'domain', 'subject', 'action')
RELEASE_COLUMNS = {
    'rec': (
        *('clip', *_SHARED, 'body', 'emotion'),
        *('source_video', 'start_sec', 'end_sec'),
    ),
    'det': ('video', *_SHARED, 'start_frame', 'end_frame', 'frames', 'fps'),
}
NEEDED = {
    'rec': ('path', 'action'),
    'det': ('video', 'start_frame', 'end_frame', 'action', 'frames'),
}
_IGNORED = '-'
_KEYS: dict[str, type | tuple[type, ...]] = {
    'about': list,
    'label_names': dict,
    'domains': dict,
    'subsets': dict,
    'default_domain': (str, type(None)),
    'action_names': dict,
    'body_names': dict,
    'subject': str,
    'fps': (int, float, type(None)),
    'rec': dict,
    'det': dict,
    'skip': dict,
}
_TABLE_KEYS: dict[str, type | tuple[type, ...]] = {
    'files': list,
    'delimiter': str,
    'header': bool,
    'columns': (list, dict),
}


@dataclass(frozen=True)
class TableForm:
    """Form of the tables of one task.

    Attributes:
        files: Path endings; the first that fits any file counts.
        delimiter: Between columns.
        columns: Our name -> name in the header, or place where there is no header.
        width: Number of columns where there is no header, else None.
        mapping: The file that says so.
    """

    files: tuple[str, ...]
    delimiter: str
    columns: Mapping[str, str | int]
    width: int | None
    mapping: Path


@dataclass(frozen=True)
class ReleaseMapping:
    """A mapping file, as ``mma82_release.json`` explains it.

    Attributes:
        file: Where it was read from.
        label_files: Names of files with one ``index name`` per line.
        domains: Word in a path or column, lower case -> domain.
        subsets: The same for subsets.
        default_domain: Domain where nothing tells it, if any.
        action_names: Text in a table -> action of our label space.
        body_names: Text in a table -> body group.
        subject: Pattern whose first group is the person.
        fps: Frames per second where tables do not say, if known.
        tables: Per task.
        skip: Name pattern -> why such files are left.
    """

    file: Path
    label_files: tuple[str, ...]
    domains: Mapping[str, str]
    subsets: Mapping[str, str]
    default_domain: str | None
    action_names: Mapping[str, str]
    body_names: Mapping[str, str]
    subject: re.Pattern[str]
    fps: float | None
    tables: Mapping[str, TableForm]
    skip: Mapping[str, str]

    def find_tables(
        self, task: str, files: Iterable[PurePosixPath]
    ) -> list[tuple[PurePosixPath, dict[str, str]]]:
        """Tables of a task, each with the subset and domain its path tells.

        Args:
            task: ``rec`` or ``det``.
            files: Files of the tree.
        """
        files = list(files)
        for pattern in self.tables[task].files:
            regex = self._regex(pattern)
            matches = [(file, regex.fullmatch(file.as_posix())) for file in files]
            found = [(file, self._told(m)) for file, m in matches if m is not None]
            if found:
                return found
        return []

    def _regex(self, pattern: str) -> re.Pattern[str]:
        text = re.escape(pattern).replace(r'\*', '[^/]*')
        for kind, words in (('subset', self.subsets), ('domain', self.domains)):
            options = '|'.join(map(re.escape, sorted(words, key=len, reverse=True)))
            text = text.replace(rf'\{{{kind}\}}', f'(?P<{kind}>{options})', 1)
        return re.compile(f'(?:.*/)?{text}', re.IGNORECASE)

    def _told(self, match: re.Match[str]) -> dict[str, str]:
        words = {'subset': self.subsets, 'domain': self.domains}
        groups = match.groupdict().items()
        return {kind: words[kind][text.lower()] for kind, text in groups}


def load_mapping(path: Path) -> ReleaseMapping:
    """Read and validate a mapping file.

    Args:
        path: A JSON file like ``mma82_release.json``.

    Raises:
        FileNotFoundError: There is none.
        ValueError: Not JSON, a key that is missing, unknown or of the wrong kind, a
            column, domain or subset that does not exist.
    """
    content = read_json(path)
    try:
        _check_keys(content, _KEYS, 'the mapping')
        for word, domain in content['domains'].items():
            check_choice(f'domain of {word!r}', domain, DOMAINS)
        for word, subset in content['subsets'].items():
            check_choice(f'subset of {word!r}', subset, SUBSETS)
        if content['default_domain'] is not None:
            check_choice('default_domain', content['default_domain'], DOMAINS)
        return ReleaseMapping(
            file=path,
            label_files=tuple(content['label_names'].get('files', ())),
            domains={k.lower(): v for k, v in content['domains'].items()},
            subsets={k.lower(): v for k, v in content['subsets'].items()},
            default_domain=content['default_domain'],
            action_names=content['action_names'],
            body_names=content['body_names'],
            subject=re.compile(content['subject']),
            fps=content['fps'],
            tables={
                task: _table_form(task, content[task], path) for task in RELEASE_COLUMNS
            },
            skip=content['skip'],
        )
    except (ValueError, re.error) as error:
        raise ValueError(f'{path}: {error}') from None


def read_rows(path: Path, form: TableForm) -> list[tuple[int, dict[str, str]]]:
    """Rows of one table, by our column names.

    Args:
        path: The table.
        form: How it is written.

    Returns:
        Line and texts of each row.

    Raises:
        ValueError: Another header, no rows, or rows of another width.
    """
    lines = read_text(path).splitlines()
    if form.width is None:
        reader = csv.reader(lines, delimiter=form.delimiter)
        places, width = _header_places(path, next(reader, []), form)
        cells = ((reader.line_num, row) for row in reader)
    else:
        places, width = dict(form.columns), form.width
        gap = None if form.delimiter == ' ' else form.delimiter  # runs count once
        cells = enumerate((line.strip().split(gap) for line in lines), start=1)
    rows, problems = [], []
    for line, row in cells:
        if len(row) == width:
            rows.append((line, {name: row[place] for name, place in places.items()}))
        elif any(row):
            text = (
                f'{len(row)} columns in {form.delimiter.join(row)!r}, expected {width} '
                f'({", ".join(form.columns)}) parted by {form.delimiter!r}; '
                f'{form.mapping} says so'
            )
            problems.append(Problem(str(path), line, '', text))
    if not rows and not problems:
        problems.append(Problem(str(path), 0, '', 'empty table'))
    refuse(problems, path)
    return rows


def _header_places(
    path: Path, header: Sequence[str], form: TableForm
) -> tuple[dict[str, int], int]:
    places = {}
    for name, column in form.columns.items():
        if column in header:
            places[name] = header.index(str(column))
        elif name != 'fps':  # an older generation has none
            raise ValueError(
                f'{path}:1: no column {column!r} for {name}; the header is {header}, '
                f'expected {sorted(map(str, form.columns.values()))} as '
                f'{form.mapping} says'
            )
    return places, len(header)


def _table_form(task: str, content: Mapping[str, Any], mapping: Path) -> TableForm:
    _check_keys(content, _TABLE_KEYS, task)
    columns, header = content['columns'], content['header']
    if header != isinstance(columns, dict):
        raise ValueError(
            f'{task}: columns must be an object with header true, a list without'
        )
    if len(content['delimiter']) != 1:
        raise ValueError(f'{task}: delimiter must be one character')
    width = None if header else len(columns)
    if not header:
        columns = {c: place for place, c in enumerate(columns) if c != _IGNORED}
    for column in columns:
        check_choice(f'{task} column', column, RELEASE_COLUMNS[task])
    for column in NEEDED[task]:
        if column not in columns:
            raise ValueError(f'{task}: columns lack {column!r}')
    files, delimiter = tuple(content['files']), content['delimiter']
    return TableForm(files, delimiter, columns, width, mapping)


def _check_keys(
    content: Any, kinds: Mapping[str, type | tuple[type, ...]], where: str
) -> None:
    """Every key there, none unknown, each of its kind."""
    if not isinstance(content, dict):
        raise ValueError(f'{where} must be an object')
    for key in content:
        if key not in kinds:
            raise ValueError(f'{where}: unknown key {key!r}.{suggest(key, kinds)}')
    for key, kind in kinds.items():
        if key not in content:
            raise ValueError(f'{where}: no key {key!r}')
        if not isinstance(content[key], kind):
            raise ValueError(f'{where}: {key!r} cannot be {content[key]!r}')


_WITHHELD = ('', '-1')


class ReleaseLabels:
    """Labels of a release. An index counts only with the release's own list of names.

    Args:
        tree: The download; a label file of the mapping is looked for in it.
        mapping: What its files mean.
        space: Our label space.

    Raises:
        ValueError: A label file has a bad line or a name that is not ours.
    """

    def __init__(
        self, tree: SourceTree, mapping: ReleaseMapping, space: LabelSpace
    ) -> None:
        self._space, self._mapping = space, mapping
        found = (tree.find(name) for name in mapping.label_files)
        self.file = next((file for file in found if file is not None), None)
        self._by_index = read_label_names(self.file) if self.file else {}
        self._actions = {plain_name(name): i for i, name in enumerate(space.actions)}
        self._bodies = {plain_name(name): i for i, name in enumerate(space.bodies)}
        for index, name in self._by_index.items():
            try:
                self.action(name)
            except ValueError as error:
                raise ValueError(f'{self.file}: index {index}: {error}') from None

    def action(self, text: str) -> int | None:
        """Index of an action, None where the truth is withheld.

        Args:
            text: Name or index as released; empty and -1 withhold it.

        Raises:
            ValueError: An unknown name, or an index that nothing explains.
        """
        if text in _WITHHELD:
            return None
        name = self._mapping.action_names.get(text, text)
        if name.isdecimal():
            name = self._named(name, text)
        return self._look('action', name, self._actions, 'action_names')

    def body(self, text: str) -> int | None:
        """Index of a body group, None where it is withheld.

        Args:
            text: Name as released, or anything that ``body_names`` explains.

        Raises:
            ValueError: It is unknown.
        """
        if text in _WITHHELD:
            return None
        name = self._mapping.body_names.get(text, text)
        return self._look('body group', name, self._bodies, 'body_names')

    def _named(self, index: str, text: str) -> str:
        if int(index) not in self._by_index:
            source = self.file or 'no ' + ', '.join(self._mapping.label_files)
            raise ValueError(
                f'action {text!r} is an index that nothing explains ({source}): the '
                'order of the release is not assumed; add its list of names, or '
                f'action_names to a copy of {self._mapping.file}'
            )
        name = self._by_index[int(index)]
        return self._mapping.action_names.get(name, name)

    def _look(self, kind: str, name: str, known: dict[str, int], key: str) -> int:
        if plain_name(name) not in known:
            allowed = self._space.actions if kind == 'action' else self._space.bodies
            raise ValueError(
                f'unknown {kind} {name!r}.{suggest(name, allowed)} Rename it under '
                f'{key} in a copy of {self._mapping.file}'
            )
        return known[plain_name(name)]


TASK_NAMES = {'rec': 'recognition', 'det': 'detection'}


def convert_mma82(source: Path, out: Path, options: Options) -> Conversion:
    """Convert the download of MMA-82.

    Args:
        source: The folder that was downloaded.
        out: The data root to write.
        options: What the user chose; ``mapping`` where the release differs from what
            was expected.

    Raises:
        FileNotFoundError: No such folder, or no table that the mapping knows.
        ValueError: A bad mapping, bad rows, or a bad place to write.
    """
    tree = SourceTree(source)
    prepare(tree, out, options)
    release = _Release(tree, load_mapping(options.mapping or RELEASE), options)
    found = {task: release.mapping.find_tables(task, tree.files) for task in TASK_NAMES}
    if not any(found.values()):
        raise FileNotFoundError(_nothing_found(tree, release.mapping))
    conversion = release.conversion
    for task, tables in found.items():
        if not tables:
            wanted = ', '.join(release.mapping.tables[task].files)
            conversion.notices.append(
                f'no {TASK_NAMES[task]} tables: looked for {wanted}'
            )
    for path, told in found['rec']:
        conversion.clips += release.clips(path, told)
    for path, told in found['det']:
        conversion.videos += release.videos(path, told)
    conversion.clips = _unique_names(conversion)
    conversion.notices += _skipped(tree, release.mapping)
    info = DatasetInfo('mma82', 'mma82', False, 'lpynow/MMA-82, Hugging Face hub')
    write(conversion, info, release.space, (tree, out), options)
    return conversion


class _Release:
    """One conversion: the tree, what its files mean, and what came out so far."""

    def __init__(
        self, tree: SourceTree, mapping: ReleaseMapping, options: Options
    ) -> None:
        self.tree, self.mapping = tree, mapping
        self.space: LabelSpace = load_label_space('mma82')
        self.labels = ReleaseLabels(tree, mapping, self.space)
        self.fps = options.fps or mapping.fps
        self.conversion = Conversion()

    def clips(self, path: PurePosixPath, told: Mapping[str, str]) -> list[Clip]:
        """Rows of one recognition table."""
        file = self.tree.path / path
        rows = read_rows(file, self.mapping.tables['rec'])
        if told.get('subset') == 'test' and all(r['action'] == '0' for _, r in rows):
            self.conversion.notices.append(
                f'{path}: every label is 0, so the truth is taken as withheld'
            )
            rows = [(line, {**row, 'action': ''}) for line, row in rows]
        clips, problems = [], []
        for line, row in rows:
            try:
                clips.append(self._clip(row, line, told))
            except ValueError as error:
                problems.append(Problem(str(file), line, row['path'], str(error)))
        refuse(problems, file)
        return clips

    def _clip(self, row: dict[str, str], line: int, told: Mapping[str, str]) -> Clip:
        errors: list[str] = []
        start_sec, end_sec = times(row, errors)
        if errors:
            raise ValueError(errors[0])
        place = self._place(row['path'], row, told)
        return Clip(
            clip=row.get('clip') or split_name(row['path'])[0],
            **place,
            action=self.labels.action(row['action']),
            body=self.labels.body(row.get('body', '')),
            emotion=row.get('emotion', ''),
            source_video=row.get('source_video', ''),
            start_sec=start_sec,
            end_sec=end_sec,
            line=line,
        )

    def videos(self, path: PurePosixPath, told: Mapping[str, str]) -> list[Video]:
        """Videos of one detection table."""
        file = self.tree.path / path
        texts = read_rows(file, self.mapping.tables['det'])
        rows, problems = [], []
        groups: dict[str, list[FrameRow]] = defaultdict(list)
        first: dict[str, dict[str, str]] = {}
        for line, text in texts:
            try:
                row = FrameRow.parse(self._frames(text), line, self.space)
            except ValueError as error:
                problems.append(Problem(str(file), line, text['video'], str(error)))
                continue
            rows.append(row)
            groups[row.video].append(row)
            first.setdefault(row.video, text)
        problems += disagreements(file, rows)
        refuse(sorted(problems, key=lambda problem: problem.line), file)
        if is_placeholder(rows, [text['action'] for _, text in texts]):
            self.conversion.notices.append(
                f'{path} skipped: a placeholder, the same frames in each video'
            )
            return []
        rates = rate_source(file, rows, self.fps, self.conversion.notices)
        videos = []
        for video, own in groups.items():
            row = first[video]
            try:
                place = self._place(row.get('path') or video, row, told)
            except ValueError as error:
                where = f'{file}:{own[0].line}: {video}'
                raise ValueError(f'{where}: {error}') from None
            found = self.conversion.files.get(place['path'])
            fps = rates(own[0], self.tree.path / found if found else None)
            videos.append(to_video(own, fps, place))
        return videos

    def _frames(self, row: Mapping[str, str]) -> dict[str, str]:
        """A row under the names that frame tables use, its label as our index."""
        label = self.labels.action(row['action'])
        if label is None:
            raise ValueError('an instance without an action')
        ours = ('video', 'start_frame', 'end_frame', 'action', 'frames')
        values = {theirs: row[name] for name, theirs in zip(ours, COLUMNS, strict=True)}
        rate = {'fps': row['fps']} if 'fps' in row else {}
        return {**values, 'class': str(label), **rate}

    def _place(
        self, name: str, row: Mapping[str, str], told: Mapping[str, str]
    ) -> dict[str, str]:
        """Path in the new root, subset, domain and subject."""
        subset = told.get('subset') or self._subset(row)
        written = PurePosixPath(name).parent.parts
        domain = told.get('domain') or self._domain(row, written)
        aliases = [k for k, v in self.mapping.domains.items() if v == domain]
        found = self.tree.find_video(name, subset, aliases)
        if domain is None and found is not None:
            domain = self._domain({}, found.parts[:-1])
        domain = domain or self.mapping.default_domain
        if domain is None:
            raise ValueError(
                f'nothing tells the domain of {name!r}: no folder of its path is '
                'one of '
                f'{", ".join(self.mapping.domains)}; add the word under domains, or a '
                f'default_domain, to a copy of {self.mapping.file}'
            )
        stem, suffix = split_name(name)
        path = f'videos/{domain}/{subset}/{stem}{suffix}'
        path = self.conversion.add_video(found, path)
        match = self.mapping.subject.match(stem)
        subject = row.get('subject') or (match[1] if match else '')
        return {'path': path, 'subset': subset, 'domain': domain, 'subject': subject}

    def _subset(self, row: Mapping[str, str]) -> str:
        text = row.get('subset', '')
        return self.mapping.subsets.get(text.lower()) or check_choice(
            'subset', text, SUBSETS
        )

    def _domain(self, row: Mapping[str, str], folders: Sequence[str]) -> str | None:
        words = self.mapping.domains
        text = row.get('domain', '')
        if text and text.lower() not in words:
            raise ValueError(f'unknown domain {text!r}.{suggest(text, words)}')
        known = [words[w.lower()] for w in (text, *folders) if w.lower() in words]
        return known[0] if known else None


def _unique_names(conversion: Conversion) -> list[Clip]:
    """Clips under unique names: with domain and subset in front where files repeat."""
    counts = Counter(clip.clip for clip in conversion.clips)
    if len(counts) == len(conversion.clips):
        return conversion.clips
    conversion.notices.append(
        'clip names repeat, so all of them got domain and subset in front'
    )
    return [
        replace(clip, clip=f'{clip.domain}_{clip.subset}_{clip.clip}')
        for clip in conversion.clips
    ]


def _skipped(tree: SourceTree, mapping: ReleaseMapping) -> list[str]:
    notices = []
    for pattern, reason in mapping.skip.items():
        names = [str(f) for f in tree.files if fnmatch.fnmatch(f.name, pattern)]
        if names:
            more = f' and {len(names) - 3} more' if len(names) > 3 else ''
            notices.append(f'{", ".join(names[:3])}{more} skipped: {reason}')
    return notices


def _nothing_found(tree: SourceTree, mapping: ReleaseMapping) -> str:
    wanted = '; '.join(
        f'{name}: {", ".join(mapping.tables[task].files)}'
        for task, name in TASK_NAMES.items()
    )
    tables = [str(f) for f in tree.files if f.suffix.lower() in _TABLE_SUFFIXES]
    has = f'It has {", ".join(tables[:10])}' if tables else 'It has no text tables'
    return '\n'.join(
        [
            f'{tree.path}: no table of the release is there as expected ({wanted}). '
            f'{has} and {tree.num_videos} videos.',
            *_skipped(tree, mapping),
            f'To describe another layout, copy {mapping.file}, edit the copy (its '
            '"about" lines explain each key: files, delimiter, columns, domains, '
            'label_names) and pass --mapping COPY.',
        ]
    )


_TABLE_SUFFIXES = ('.txt', '.csv', '.tsv', '.json', '.jsonl', '.parquet', '.md')
