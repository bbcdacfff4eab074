"""MMA-82: the tree that the download of ``lpynow/MMA-82`` makes.

The published layout had not been seen: ``mma82_release.json`` says which files mean
what, and a user can pass another such file.
"""

from __future__ import annotations

import fnmatch
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mmma.layout.converters.frames import (
    COLUMNS,
    FrameRow,
    disagreements,
    is_placeholder,
    rate_source,
    to_video,
)
from mmma.layout.converters.labels import ReleaseLabels
from mmma.layout.converters.mapping import (
    RELEASE,
    ReleaseMapping,
    load_mapping,
    read_rows,
)
from mmma.layout.converters.source import SourceTree, split_name
from mmma.layout.converters.target import Conversion, Options, prepare, write
from mmma.layout.det import Video
from mmma.layout.problems import Problem, refuse
from mmma.layout.rec import Clip, times
from mmma.layout.root import DatasetInfo
from mmma.taxonomy import SUBSETS, LabelSpace, check_choice, load_label_space, suggest

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


@dataclass(frozen=True)
class _Place:
    """Where a clip or video belongs."""

    path: str
    subset: str
    domain: str
    subject: str


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
            **vars(place),
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
            where = f'{file}:{own[0].line}: {video}'
            place = self._video_place(video, first[video], told, where)
            found = self.conversion.files.get(place.path)
            fps = rates(own[0], self.tree.path / found if found else None)
            videos.append(to_video(own, fps, vars(place)))
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

    def _video_place(
        self, video: str, row: dict[str, str], told: Mapping[str, str], where: str
    ) -> _Place:
        try:
            return self._place(row.get('path') or video, row, told)
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from None

    def _place(
        self, name: str, row: Mapping[str, str], told: Mapping[str, str]
    ) -> _Place:
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
        return _Place(path, subset, domain, subject)

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
