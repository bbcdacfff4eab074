"""Converter of MMA-82: the tree that the download of ``lpynow/MMA-82`` makes.

The published layout had not been seen: ``mma82_release.json`` says which files mean
what, and a user can pass another such file.
"""

import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from mmma.convert.ma52 import COLUMNS, add_videos, parse_frames, split_line
from mmma.convert.target import Conversion, Options, SourceTree, label_names, plain_name
from mmma.data.clips import Clip, is_named, name_parts, split_name, times
from mmma.data.root import DatasetInfo
from mmma.files import SEPARATORS, OddEntries, read_json, read_table, read_text
from mmma.foreign import check_texts
from mmma.taxonomy import DOMAINS, SUBSETS, check_choice, load_label_space, suggest

RELEASE = Path(__file__).with_name('mma82_release.json')
TASK_NAMES = {'rec': 'recognition', 'det': 'detection'}
NEEDED = {
    'rec': ('path', 'action'),
    'det': ('video', 'start_frame', 'end_frame', 'action', 'frames'),
}
_OPTIONAL = {
    'rec': ('clip', 'body', 'emotion', 'source_video', 'start_sec', 'end_sec'),
    'det': ('path', 'fps', 'emotion'),
}
_NUMBERS = ('start_sec', 'end_sec', 'fps')
_IGNORED = '-'
_WITHHELD = ('', '-1')
_TABLE_SUFFIXES = ('.txt', '.csv', '.tsv', '.json', '.jsonl', '.parquet', '.md')
_NONE = type(None)
_KINDS = {'default_domain': (str, _NONE), 'fps': (int, float, _NONE)}
_KINDS |= {'columns': (list, dict)}  # the others are of the kind of those shipped


def load_mapping(path: Path) -> dict[str, Any]:
    """Read and validate a mapping like ``mma82_release.json``, which explains its keys.

    ValueError says what is wrong in it.

    Returns:
        Its content and ``file``, its path. Words of domains and subsets are in lower
        case. ``columns`` of a table is our name -> name in the header, or place where
        ``width`` says how many there are without a header.
    """
    content, shipped = read_json(path), read_json(RELEASE)
    try:
        _check_keys(content, shipped, 'the mapping')
        names = ('domains', 'subsets', 'action_names', 'body_names', 'skip')
        check_texts(content, *names)
        _check_names('label_names', content['label_names'])
        for word, domain in content['domains'].items():
            check_choice(f'domain of {word!r}', domain, DOMAINS)
        for word, subset in content['subsets'].items():
            check_choice(f'subset of {word!r}', subset, SUBSETS)
        if content['default_domain'] is not None:
            check_choice('default_domain', content['default_domain'], DOMAINS)
        for kind in ('domains', 'subsets'):
            content[kind] = {k.lower(): v for k, v in content[kind].items()}
        re.compile(content['subject'])
        for task in TASK_NAMES:
            _check_keys(content[task], shipped[task], task)
            _check_table(task, content[task])
    except (ValueError, re.error) as error:
        raise ValueError(f'{path}: {error}') from None
    return {**content, 'file': path}


def _check_table(task: str, table: dict[str, Any]) -> None:
    _check_names(task, table)
    columns, header = table['columns'], table['header']
    if not all(isinstance(column, (str, int)) for column in columns):
        raise ValueError(f'{task}: columns are texts, not {columns!r}')
    if header != isinstance(columns, dict):
        what = 'columns must be an object with header true, a list without'
        raise ValueError(f'{task}: {what}')
    if len(table['delimiter']) != 1:
        raise ValueError(f'{task}: delimiter must be one character')
    table['width'] = None if header else len(columns)
    if not header:
        columns = {c: place for place, c in enumerate(columns) if c != _IGNORED}
    allowed = *NEEDED[task], *_OPTIONAL[task], 'subset', 'domain', 'subject'
    for column in columns:
        check_choice(f'{task} column', column, allowed)
    for column in NEEDED[task]:
        given = ('path', 'source_video') if column == 'path' else (column,)
        if not any(other in columns for other in given):
            raise ValueError(f'{task}: columns lack {column!r}')
    table['columns'] = columns


def _check_names(where: str, content: dict[str, Any]) -> None:
    files = content.get('files', [])
    if not (isinstance(files, list) and all(isinstance(f, str) for f in files)):
        raise ValueError(f'{where}: files must be a list of names, not {files!r}')


def _check_keys(content: Any, shipped: Mapping[str, Any], where: str) -> None:
    """Every key there, none unknown, each of its kind."""
    if not isinstance(content, dict):
        raise ValueError(f'{where} must be an object')
    for key in content:
        if key not in shipped:
            raise ValueError(f'{where}: unknown key {key!r}.{suggest(key, shipped)}')
    for key, value in shipped.items():
        if key not in content:
            raise ValueError(f'{where}: no key {key!r}')
        if not isinstance(content[key], _KINDS.get(key, type(value))):
            raise ValueError(f'{where}: {key!r} cannot be {content[key]!r}')


def find_tables(
    mapping: Mapping[str, Any], task: str, files: Iterable[PurePosixPath]
) -> list[tuple[PurePosixPath, dict[str, str]]]:
    """Find the tables of a task, each with the subset and domain its path tells.

    The first pattern of the mapping that fits any file counts.
    """
    files = list(files)
    words = {'subset': mapping['subsets'], 'domain': mapping['domains']}
    for pattern in mapping[task]['files']:
        text = re.escape(pattern).replace(r'\*', '[^/]*')
        for kind, known in words.items():
            options = '|'.join(map(re.escape, sorted(known, key=len, reverse=True)))
            text = text.replace(rf'\{{{kind}\}}', f'(?P<{kind}>{options})', 1)
        regex = re.compile(f'(?:.*/)?{text}', re.IGNORECASE)
        matches = ((file, regex.fullmatch(file.as_posix())) for file in files)
        fits = [(file, match.groupdict().items()) for file, match in matches if match]
        if fits:
            return [(f, {k: words[k][v.lower()] for k, v in own}) for f, own in fits]
    return []


def read_rows(
    odd: OddEntries, mapping: Mapping[str, Any], task: str
) -> list[tuple[int, dict[str, str]]]:
    """Line and texts, by our column names, of each row of the table of ``odd``.

    That gets rows of another width. Another header raises ValueError.
    """
    path = odd.path
    table = mapping[task]
    columns, width, delimiter = table['columns'], table['width'], table['delimiter']
    if width is None:
        separators = ''.join(dict.fromkeys(delimiter + SEPARATORS))
        numbers = [columns[name] for name in _NUMBERS if name in columns]
        header, cells = read_table(path, None, separators, numbers)
        places, width = {}, len(header)
        for name, column in columns.items():
            if column in header:
                places[name] = header.index(str(column))
            elif name != 'fps':  # an older generation has none
                raise ValueError(
                    f'{path}:1: no column {column!r} for {name}; the header is '
                    f'{header}, expected {sorted(map(str, columns.values()))} as '
                    f'{mapping["file"]} says'
                )
    else:
        places = columns
        gap = None if delimiter == ' ' else delimiter  # runs count once
        names = ('path', 'source_video', 'video')
        name = next((columns[each] for each in names if each in columns), 0)
        lines = read_text(path).splitlines()
        splits = (split_line(line, width, name, gap) for line in lines)
        cells = enumerate(splits, start=1)
    rows = []
    for line, row in cells:
        if len(row) == width:
            rows.append((line, {name: row[place] for name, place in places.items()}))
        elif any(row):
            text = (
                f'{len(row)} columns in {delimiter.join(row)!r}, expected {width} '
                f'({", ".join(columns)}) parted by {delimiter!r}; {mapping["file"]} '
                'says so'
            )
            odd.add(line, row[0], text)
    if not rows and not odd.problems:
        odd.add(0, '', 'empty table')
    odd.total += len(odd.problems)
    return rows


def convert_mma82(source: Path, out: Path, options: Options) -> Conversion:
    """Convert the download of MMA-82.

    ``options.mapping`` is for a release that differs from what was expected.
    """
    tree = SourceTree(source)
    conversion = Conversion(tree, out, options)
    mapping = load_mapping(options.mapping or RELEASE)
    release = Release(conversion, mapping)
    found = {task: find_tables(mapping, task, tree.files) for task in TASK_NAMES}
    skipped = _skipped(tree, mapping)
    if not any(found.values()):
        files = {name: mapping[task]['files'] for task, name in TASK_NAMES.items()}
        wanted = '; '.join(f'{name}: {", ".join(own)}' for name, own in files.items())
        tables = [str(f) for f in tree.files if f.suffix.lower() in _TABLE_SUFFIXES]
        has = f'It has {", ".join(tables[:10])}' if tables else 'It has no text tables'
        lines = (
            f'{tree.path}: no table of the release is there as expected ({wanted}). '
            f'{has} and {sum(map(len, tree.videos.values()))} videos.',
            *skipped,
            f'To describe another layout, copy {mapping["file"]}, edit the copy (its '
            '"about" lines explain each key: files, delimiter, columns, domains, '
            'label_names) and pass --mapping COPY.',
        )
        raise FileNotFoundError('\n'.join(lines))
    for task, tables in found.items():
        if not tables:
            wanted = ', '.join(mapping[task]['files'])
            conversion.note(f'no {TASK_NAMES[task]} tables: looked for {wanted}')
    for path, told in found['rec']:
        release.add_clips(path, told)
    for path, told in found['det']:
        release.add_videos(path, told)
    clips = conversion.clips
    whole = [replace(c, clip=f'{c.domain}_{c.subset}_{c.clip}') for c in clips]
    if len({c.clip for c in clips}) < len({c.clip for c in whole}):
        told = 'clip names repeat, so all of them got domain and subset in front'
        conversion.note(told)
        conversion.clips = whole
    conversion.notices += skipped
    info = DatasetInfo('mma82', 'mma82', False, 'lpynow/MMA-82, Hugging Face hub')
    conversion.write(info, release.space)
    return conversion


class Release:
    """Reader of the tables of a release into a conversion.

    An index of an action counts only with the release's own list of names; a bad line
    of that, or a name that is not ours, raises ValueError.
    """

    def __init__(self, conversion: Conversion, mapping: Mapping[str, Any]) -> None:
        self.conversion, self.mapping = conversion, mapping
        self._spans: dict[tuple[str, ...], list[int | None]] = defaultdict(list)
        self.space = load_label_space('mma82')
        self._names = {'action': self.space.actions, 'body': self.space.bodies}
        self._known = {
            kind: {plain_name(name): i for i, name in enumerate(names)}
            for kind, names in self._names.items()
        }
        self._file = conversion.tree.find(*mapping['label_names'].get('files', ()))
        self._by_index = label_names(self._file) if self._file else {}
        for index, name in self._by_index.items():
            try:
                self.label('action', name)
            except ValueError as error:
                raise ValueError(f'{self._file}: index {index}: {error}') from None

    def label(self, kind: str, text: str) -> int | None:
        """Index of an action or body group as released; of '' and -1 None, withheld.

        An unknown name, and an index that nothing explains, raise ValueError.
        """
        if text in _WITHHELD:
            return None
        renamed = self.mapping[f'{kind}_names']
        name = renamed.get(text, text)
        if kind == 'action' and name.isdecimal():
            if int(name) not in self._by_index:
                files = self.mapping['label_names'].get('files', ())
                source = self._file or f'no {", ".join(files)}'
                raise ValueError(
                    f'action {text!r} is an index that nothing explains ({source}): '
                    'the order of the release is not assumed; add its list of names, '
                    f'or action_names to a copy of {self.mapping["file"]}'
                )
            name = self._by_index[int(name)]
            name = renamed.get(name, name)
        index = self._known[kind].get(plain_name(name))
        if index is None:
            word = 'action' if kind == 'action' else 'body group'
            raise ValueError(
                f'unknown {word} {name!r}.{suggest(name, self._names[kind])} Rename it '
                f'under {kind}_names in a copy of {self.mapping["file"]}'
            )
        return index

    def _action(self, text: str) -> int | None:
        """As :meth:`label`; an index counts from where the list of names begins."""
        if text not in _WITHHELD:
            self.conversion.labels.add(text if 0 in self._by_index else '')
        return self.label('action', text)

    def add_clips(self, path: PurePosixPath, told: Mapping[str, str]) -> None:
        """Add the rows of a recognition table."""
        file = self.conversion.tree.path_of(path)
        odd = OddEntries(file, 'rows left out')
        rows = read_rows(odd, self.mapping, 'rec')
        if told.get('subset') == 'test' and all(r['action'] == '0' for _, r in rows):
            text = 'every label is 0, so the truth is taken as withheld'
            self.conversion.note(f'{path}: {text}')
            rows = [(line, {**row, 'action': ''}) for line, row in rows]
        clips = []
        odd.total += len(rows)
        for line, row in rows:
            try:
                clips.append(self._clip(row, line, told))
            except ValueError as error:
                odd.add(line, row.get('path', ''), str(error))
        self.conversion.notices += odd.notes(self.conversion.options.strict)
        if repeated := clips.count(None):
            text = 'rows with the span and the action of another are left out'
            self.conversion.note(f'{path}: {repeated} {text}')
        self.conversion.clips += self._without_times_of_sources(path, clips)

    def _without_times_of_sources(
        self, table: PurePosixPath, clips: Iterable[Clip | None]
    ) -> list[Clip]:
        """Clips whose times are spans of their file: those of others are of a source.

        A file of one span whose row names another as its source was cut from that.
        """
        spans = defaultdict(set)
        for clip in filter(None, clips):
            spans[clip.path].add(clip.span)
        kept, cut = [], 0
        for clip in filter(None, clips):
            alone = clip.span and clip.source_video and len(spans[clip.path]) == 1
            if alone and not is_named(clip.path, clip.source_video):
                clip, cut = replace(clip, start_sec=None, end_sec=None), cut + 1
            kept.append(clip)
        if cut:
            self.conversion.note(
                f'{table}: {cut} clips have a file of their own, so the times of their '
                'source videos are left out'
            )
        return kept

    def _clip(
        self, row: dict[str, str], line: int, told: Mapping[str, str]
    ) -> Clip | None:
        """A row as a clip; None for a span without a name that was there before."""
        errors: list[str] = []
        start_sec, end_sec = times(row, errors)
        if errors:
            raise ValueError(errors[0])
        name, source = row.get('path', ''), row.get('source_video', '')
        if not name and not source:
            raise ValueError('neither a path nor a source_video')
        if start_sec is not None and self.conversion.sources:
            source = source or name
        itself = is_named(name or source, source)
        taken = source if itself or start_sec is not None else ''
        action = self._action(row['action'])
        place = self._place(name, row, told, taken)
        clip = row.get('clip') or split_name(name)[0]
        if itself and start_sec is not None and not row.get('clip'):
            clip = f'{split_name(source)[0]}_{start_sec}-{end_sec}'
            actions = self._spans[place['domain'], place['subset'], clip]
            if action is not None and action in actions:
                return None
            actions.append(action)
            clip += f'_{len(actions)}' * (len(actions) > 1)
        body = self.label('body', row.get('body', ''))
        rest = row.get('emotion', ''), source, start_sec, end_sec, line
        return Clip(clip, *place.values(), action, body, *rest)

    def add_videos(self, path: PurePosixPath, told: Mapping[str, str]) -> None:
        """Add the videos of a detection table."""
        file = self.conversion.tree.path_of(path)
        odd = OddEntries(file, 'instances cut or left out')
        texts = dict(read_rows(odd, self.mapping, 'det'))
        places: dict[str, dict[str, str]] = {}

        def frames(text: Mapping[str, str]) -> dict[str, str]:
            ours, video = self._frames(text), text['video']
            if video not in places:
                source = video if self.conversion.sources else ''
                name = text.get('path') or video
                places[video] = self._place(name, text, told, source)
            place, emotion = places[video], text.get('emotion') or ''
            if emotion and place.setdefault('emotion', emotion) != emotion:
                raise ValueError(
                    f'emotion {emotion!r}, but a row above says {place["emotion"]!r}: '
                    'a video has one'
                )
            return ours

        named = ((line, text['video'], text) for line, text in texts.items())
        rows = parse_frames(odd, named, self.space, frames)
        self.conversion.notices += odd.notes(self.conversion.options.strict)
        fps = self.conversion.options.fps or self.mapping['fps']
        table = self.conversion, file, rows, fps
        classes = [text['action'] for text in texts.values()]
        add_videos(*table, lambda row: places[row.video], classes)

    def _frames(self, row: Mapping[str, str]) -> dict[str, str]:
        """A row under the names that frame tables use, its label as our index."""
        label = self._action(row['action'])
        if label is None:
            raise ValueError('an instance without an action')
        pairs = zip(NEEDED['det'], COLUMNS, strict=True)
        values = {theirs: row[name] for name, theirs in pairs}
        rate = {'fps': row['fps']} if 'fps' in row else {}
        return {**values, 'class': str(label), **rate}

    def _place(
        self, name: str, row: Mapping[str, str], told: Mapping[str, str], source: str
    ) -> dict[str, str]:
        """Path in the new root, subset, domain and subject of a clip or video.

        ``told`` is what the path of the table tells; ``source`` the video to take, if
        any, where the file ``name`` is not there.
        """
        words, text = self.mapping['subsets'], row.get('subset', '')
        subset = told.get('subset') or words.get(text.lower())
        subset = subset or check_choice('subset', text, SUBSETS)
        written = PurePosixPath(name or source).parent.parts
        domain = told.get('domain') or self._domain(row.get('domain', ''), written)
        words = self.mapping['domains']
        ours = [word for word in words if words[word] == domain]
        others = words.keys() - ours if domain else ()
        tree = self.conversion.tree
        found = tree.find_video(name, subset, ours, others)
        taken = found is None and bool(source)
        if taken:
            for tree in reversed(self.conversion.trees):
                if found := tree.find_video(source, '', ours, others):
                    break
        if domain is None and found is not None:
            domain = self._domain('', found.parts[:-1])
        domain = domain or self.mapping['default_domain']
        if domain is None:
            raise ValueError(
                f'nothing tells the domain of {name!r}: no folder of its path is '
                'one of '
                f'{", ".join(self.mapping["domains"])}; add the word under domains, or '
                f'a default_domain, to a copy of {self.mapping["file"]}'
            )
        stem, suffix = split_name(name)
        path = f'videos/{domain}/{subset}/{stem}{suffix}'
        if taken:
            folders = '/'.join(name_parts(source))
            path = f'videos/sources/{domain}/{folders}{split_name(source)[1]}'
        if taken and found is None:
            self.conversion.missing[source, domain] = path
        else:
            if found is not None and tree is self.conversion.sources:
                found = PurePosixPath(tree.path_of(found).absolute())
            path = self.conversion.add_video(found, path)
        match = re.match(self.mapping['subject'], stem)
        subject = row.get('subject') or (match[1] if match else '')
        return {'path': path, 'subset': subset, 'domain': domain, 'subject': subject}

    def _domain(self, text: str, folders: Sequence[str]) -> str | None:
        """Domain of a column's text, else of the first folder that names one."""
        words = self.mapping['domains']
        if text and text.lower() not in words:
            raise ValueError(f'unknown domain {text!r}.{suggest(text, words)}')
        known = (words[w.lower()] for w in (text, *folders) if w.lower() in words)
        return next(known, None)


def _skipped(tree: SourceTree, mapping: Mapping[str, Any]) -> list[str]:
    notices = []
    for pattern, reason in mapping['skip'].items():
        names = [str(f) for f in tree.files if fnmatch.fnmatch(f.name, pattern)]
        if names:
            more = f' and {len(names) - 3} more' if len(names) > 3 else ''
            notices.append(f'{", ".join(names[:3])}{more} skipped: {reason}')
    return notices
