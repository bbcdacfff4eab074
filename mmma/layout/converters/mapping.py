"""What the files of a release mean: a small JSON table that a user can edit."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mmma.layout.paths import read_text
from mmma.layout.problems import Problem, refuse
from mmma.taxonomy import DOMAINS, SUBSETS, check_choice, suggest

RELEASE = Path(__file__).with_name('mma82_release.json')
_SHARED = ('path', 'subset', 'domain', 'subject', 'action')
COLUMNS = {
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
    """How the tables of one task are written.

    Attributes:
        task: ``rec`` or ``det``.
        files: Path endings; the first that fits any file counts.
        delimiter: Between columns.
        columns: Our name -> name in the header, or place where there is no header.
        width: Number of columns where there is no header, else None.
        mapping: The file that says so.
    """

    task: str
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
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(
            f'{path}:{error.lineno}: not readable as JSON: {error.msg}'
        ) from None
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
            tables={task: _table_form(task, content[task], path) for task in COLUMNS},
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
        check_choice(f'{task} column', column, COLUMNS[task])
    for column in NEEDED[task]:
        if column not in columns:
            raise ValueError(f'{task}: columns lack {column!r}')
    return TableForm(
        task=task,
        files=tuple(content['files']),
        delimiter=content['delimiter'],
        columns=columns,
        width=width,
        mapping=mapping,
    )


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
