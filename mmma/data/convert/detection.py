"""Detection tables of OpenTAD and PointTAD, both ways.

OpenTAD is ActivityNet style: ``{"database": {video: {"subset": "training", "duration",
"frame", "annotations": [{"segment": [start_sec, end_sec], "label"}]}}}`` and
``category_idx.txt``. PointTAD has labels by index, ``{video: {"subset": "train",
"duration", "actions": [[class, start_sec, end_sec]]}}``, as the ``mmad.json`` of
MMA-52, whose classes count from 0; files that count from 1, such as those of
MultiTHUMOS, need ``first_index`` in the mapping.

Source: OpenTAD, opentad/datasets, 3dd7b032; VUT-HFUT/MAC_2024_baseline, MMAD/PointTAD;
MCG-NJU/PointTAD, ea3169db.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mmma.data.convert.target import (
    Conversion,
    Options,
    SourceTree,
    UserMapping,
    open_source,
    plain_name,
    prepare,
    read_label_names,
    subject_of,
    write,
)
from mmma.data.root import DataRoot, DatasetInfo
from mmma.data.videos import Video, entry_lines, parse_video
from mmma.files import (
    SHOWN,
    Problem,
    atomic_write,
    is_number,
    parse_json,
    read_text,
    refuse,
)
from mmma.taxonomy import (
    LABEL_SPACES,
    SUBSETS,
    check_choice,
    load_label_space,
    suggest,
)
from mmma.video import probe_video

_SUBSETS = {'training': 'train', 'validation': 'val', 'testing': 'test'}


@dataclass(frozen=True)
class DetectionMapping(UserMapping):
    """Fields of a ``--mapping`` file; a label space of None knows most of the labels.

    Attributes:
        action_names: Their label -> our action, or '' to leave it out.
        first_index: Where the file's indices of classes start.
        subsets: Their subset -> ours, or '' to leave it out, beside the usual names.
    """

    action_names: dict[str, str] = field(default_factory=dict)
    first_index: int = 0
    subsets: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse names and numbers that do not exist."""
        super().check()
        for subset in filter(None, self.subsets.values()):
            check_choice('subset', subset, SUBSETS)
        if self.first_index not in (0, 1):
            raise ValueError(f'first_index {self.first_index!r}: use 0 or 1')

    def subset_of(self, name: str) -> str:
        """Our subset of one of theirs; empty where it is left out.

        Raises:
            ValueError: It is unknown.
        """
        if name in self.subsets:
            return self.subsets[name]
        ours = _SUBSETS.get(name, name)
        if ours not in SUBSETS:
            known = ', '.join((*SUBSETS, *_SUBSETS))
            raise ValueError(
                f'unknown subset {name!r}: known are {known}. Say what it is by '
                '--mapping FILE with {"subsets": {"theirs": "test"}}'
            )
        return ours


CLASS_LISTS = ('category_idx.txt', 'label_name.txt', 'classes.txt')
"""Names that lists of classes go by: one class per line, in the order of indices."""
PUBLISHED_ORDER = 'ma52'
"""The label space whose indices are published: they mean something without a list."""


class DetectionLabels:
    """Meaning of the labels of a file.

    Args:
        labels: (video, label) of every annotation.
        class_list: The list of classes beside the file, if there is one.
        mapping: Words of the user.

    Attributes:
        space: The label space: as the mapping says, or the one that knows most names.

    Raises:
        ValueError: A bad class list.
    """

    def __init__(
        self,
        labels: Iterable[tuple[str, Any]],
        class_list: Path | None,
        mapping: DetectionMapping,
    ) -> None:
        self._mapping, self._class_list = mapping, class_list
        self._names = read_label_names(class_list) if class_list else {}
        self._videos: dict[Any, list[str]] = defaultdict(list)
        for video, label in labels:
            self._videos[_key(label)].append(video)
        self.space = load_label_space(mapping.label_space or self._best_space())
        self._known = {plain_name(name): name for name in self.space.actions}
        self._found = {label: self._resolve(label) for label in self._videos}

    @property
    def left_out(self) -> Counter[str]:
        """How often each label that the mapping leaves out occurs."""
        return Counter(
            {
                str(k): len(self._videos[k])
                for k, name in self._found.items()
                if not name
            }
        )

    def name(self, label: Any) -> str:
        """Our name of a label; empty where the mapping leaves it out.

        Args:
            label: As in the file, known after :meth:`check`.
        """
        return self._found[_key(label)] or ''

    def check(self, path: Path) -> None:
        """Refuse a file with labels that mean nothing here.

        Args:
            path: The file, for the message.

        Raises:
            ValueError: Unknown labels, each with its count; or indices that nothing
                explains.
        """
        unknown = [label for label, name in self._found.items() if name is None]
        if not unknown:
            return
        lines = [f'  {self._describe(label)}' for label in unknown[:SHOWN]]
        if len(unknown) > SHOWN:
            lines.append(f'  ... and {len(unknown) - SHOWN} more')
        count = sum(len(self._videos[label]) for label in unknown)
        raise ValueError(
            f'{path}: {len(unknown)} unknown labels of {self.space.name} in {count} '
            'annotations\n' + '\n'.join(lines) + f'\n{self._hint(unknown)}'
        )

    def _describe(self, label: Any) -> str:
        videos = self._videos[label]
        named = self._named(label) if _is_index(label) else str(label)
        means = f' ({named})' if _is_index(label) and named else ''
        return (
            f'{label!r}{means}: {len(videos)} annotations, the first in {videos[0]!r}.'
            f'{suggest(named or str(label), self.space.actions)}'
        )

    def _hint(self, unknown: list[Any]) -> str:
        if any(_is_index(label) for label in unknown) and not self._names:
            return (
                'Indices need the list of their names: put it beside the file as '
                f'{CLASS_LISTS[0]}, one name per line (the order of '
                f'{self.space.name} is assumed only for {PUBLISHED_ORDER}; files that '
                'count from 1 need --mapping FILE with {"first_index": 1})'
            )
        return (
            'Rename them, or leave them out, by --mapping FILE with {"action_names": '
            '{"theirs": "ours", "Ambiguous": ""}}'
        )

    def _best_space(self) -> str:
        """The label space with most of the names; without names, the published one."""
        names = {str(k) for k in self._videos if not _is_index(k)}
        names |= set(self._names.values())
        if not names:
            return PUBLISHED_ORDER if self._videos else LABEL_SPACES[0]
        plain = {plain_name(self._mapping.action_names.get(n, n)) for n in names}

        def known(space: str) -> int:
            actions = load_label_space(space).actions
            return len(plain & {plain_name(action) for action in actions})

        return max(LABEL_SPACES, key=known)  # of equals the first

    def _named(self, index: Any) -> str:
        """Name that the file's own list, or the published one, has for an index."""
        place = int(index) - self._mapping.first_index
        if self._names:
            return self._names.get(place, '')
        published = self.space.name == PUBLISHED_ORDER
        inside = published and 0 <= place < self.space.num_actions
        return self.space.actions[place] if inside else ''

    def _resolve(self, label: Any) -> str | None:
        """Our name; '' where it is left out, None where it is unknown."""
        renamed = self._mapping.action_names
        if str(label) in renamed:
            name = renamed[str(label)]
        else:
            name = self._named(label) if _is_index(label) else str(label)
            if not name:
                return None
            name = renamed.get(name, name)
        return self._known.get(plain_name(name)) if name else ''


def _is_index(label: Any) -> bool:
    if isinstance(label, bool):
        return False
    return isinstance(label, int) or (isinstance(label, str) and label.isdecimal())


def _key(label: Any) -> Any:
    """Something to look a label up by; what is neither text nor index is its text."""
    is_label = isinstance(label, (str, int)) and not isinstance(label, bool)
    return label if is_label else repr(label)


Pairs = list[tuple[Any, Any]]
"""(segment, label) of each annotation of a video."""


class _Format(NamedTuple):
    """Form of such a file.

    Attributes:
        kind: Name of the format.
        find: From the file's content to its videos by name; a ValueError says that it
            is another.
        key: Key of a video's annotations.
        item: Name of one in messages, and its form.
        pair: From one to (segment, label); a ValueError says that it is of another
            form.
        frames: Key of a video's number of frames, beside ``frames``.
    """

    kind: str
    find: Callable[[Any], dict[str, Any]]
    key: str
    item: tuple[str, str]
    pair: Callable[[Any], tuple[Any, Any]]
    frames: str = 'frames'

    def pairs(self, entry: Any) -> Pairs | None:
        """Annotations of a video, unchecked; None where the file has none.

        Raises:
            ValueError: They cannot be taken apart.
        """
        found = entry.get(self.key) if isinstance(entry, dict) else 'bad'
        if found is None:
            return None
        if not isinstance(found, list):
            raise ValueError(
                f'must be an object with subset, duration, and a list of {self.key}'
            )
        pairs = []
        for i, one in enumerate(found):
            try:
                pairs.append(self.pair(one))
            except (TypeError, KeyError, ValueError):
                name, form = self.item
                raise ValueError(f'{name} {i}: must be {form}, not {one!r}') from None
        return pairs


class _Video(NamedTuple):
    name: str
    subset: str
    said: Mapping[str, Any]
    pairs: Pairs | None


def _convert(form: _Format, source: Path, out: Path, options: Options) -> Conversion:
    """Convert a detection file, and the videos that lie beside it.

    Args:
        form: Form of the file.
        source: The file, or a folder with it, its list of classes and its videos.
        out: The data root to write.
        options: What the user chose; ``fps`` only where the file does not say,
            ``mapping`` a :class:`DetectionMapping`.

    Raises:
        FileNotFoundError: No such file or folder, or no JSON file in it.
        ValueError: Another format, unknown labels or subsets, bad segments, an unknown
            rate, or a bad place to write.
    """
    tree, path = open_source(source, ('.json',))
    prepare(tree, out, options)
    mapping = DetectionMapping.read(options.mapping)
    text = read_text(path)
    content, repeated = parse_json(text, path)
    try:
        entries = form.find(content)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    lines = entry_lines(text, entries)
    pairs, wrong = {}, [(name, 'is there twice') for name in repeated]
    for name, entry in entries.items():
        try:
            pairs[name] = form.pairs(entry)
        except ValueError as error:
            wrong.append((name, str(error)))
    refuse([Problem(str(path), lines.get(n, 0), n, what) for n, what in wrong], path)
    videos = []
    for name, entry in entries.items():
        try:
            subset = mapping.subset_of(str(entry.get('subset')))
        except ValueError as error:
            raise ValueError(f'{path}: {name}: {error}') from None
        if subset:
            frames = entry.get(form.frames, entry.get('frames'))
            said = {**entry, 'frames': frames}
            videos.append(_Video(name, subset, said, pairs[name]))
    if not videos:
        raise ValueError(f'{path}: no videos are left to convert')
    labels = DetectionLabels(
        [(v.name, label) for v in videos for _, label in v.pairs or ()],
        _class_list(path, tree),
        mapping,
    )
    labels.check(path)
    reader = _Reader(tree, options, mapping, labels)
    reader.read(videos, path, lines)
    simulated = any(video.said.get('simulated') is True for video in videos)
    kind = f'{form.kind} {path.name}'
    info = DatasetInfo(path.stem, labels.space.name, simulated, kind)
    write(reader.conversion, info, labels.space, (tree, out), options)
    return reader.conversion


def _class_list(path: Path, tree: SourceTree) -> Path | None:
    """The list of classes that lies beside the file, or elsewhere in the tree."""
    beside = (path.with_name(name) for name in CLASS_LISTS)
    found = (tree.find(name) for name in CLASS_LISTS)
    files = [f for f in beside if f.is_file()] + [f for f in found if f]
    return files[0] if files else None


class _Reader:
    """Turns videos into entries of ``det.json``."""

    def __init__(
        self,
        tree: SourceTree,
        options: Options,
        mapping: DetectionMapping,
        labels: DetectionLabels,
    ) -> None:
        self.tree, self.options = tree, options
        self.mapping, self.labels = mapping, labels
        self.conversion = Conversion()
        self.has_rates = False

    def read(
        self, videos: Sequence[_Video], path: Path, lines: Mapping[str, int]
    ) -> None:
        """Fill the conversion with videos and notices, or refuse what is wrong."""
        counts: Counter[str] = Counter()
        for video in videos:
            counts[video.subset] += len(video.pairs or ())
        # Subsets in which nothing happens at all: test sets are published so.
        withheld = {subset for subset, count in counts.items() if not count}
        problems: list[Problem] = []
        for video in videos:
            entry, error = self._entry(video)
            if video.subset in withheld:
                entry.pop('annotations', None)
            line = lines.get(video.name, 0)
            parsed, errors = parse_video(video.name, entry, self.labels.space, line)
            errors = [error] if error else errors
            problems += [Problem(str(path), line, video.name, e) for e in errors]
            if parsed is not None:
                self.conversion.videos.append(parsed)
        refuse(problems, path)
        notices = self.conversion.notices
        notices.append(f'label space {self.labels.space.name}')
        if self.has_rates and self.options.fps:
            notices.append('videos with their own fps or frames: --fps is not for them')
        notices += [
            f'{label!r}: {count} annotations left out, as asked'
            for label, count in self.labels.left_out.items()
        ]
        notices += [
            f'{subset}: no video has annotations, so the truth is withheld'
            for subset in sorted(withheld)
        ]

    def _entry(self, video: _Video) -> tuple[dict[str, Any], str]:
        """Entry of our table, and what is wrong with the rate."""
        said, name, subset = video.said, video.name, video.subset
        path = f'videos/{subset}/{name}.mp4'
        path = self.conversion.add_video(self.tree.find_video(name, subset), path)
        person = subject_of(name)
        entry = {
            'path': path,
            'subset': subset,
            'domain': said.get('domain') or self.mapping.domain_of(name),
            'subject': said.get('subject', person if person.isdecimal() else ''),
            'duration': said.get('duration'),
        }
        if video.pairs is not None:
            named = (
                (segment, self.labels.name(label)) for segment, label in video.pairs
            )
            entry['annotations'] = [
                {'segment': segment, 'label': name} for segment, name in named if name
            ]
        try:
            entry['fps'], entry['frames'] = self._rate(said, path)
        except ValueError as error:
            return entry, str(error)
        return entry, ''

    def _rate(self, said: Mapping[str, Any], path: str) -> tuple[Any, Any]:
        """Frames per second and frames: from the file, the user, or the video."""
        fps, frames, duration = (said.get(k) for k in ('fps', 'frames', 'duration'))
        if not _is_positive(duration):
            raise ValueError(f'duration {duration!r}: must be a number above 0')
        if fps is None and _is_positive(frames):
            fps = frames / duration
        self.has_rates |= fps is not None
        if fps is None:
            fps = self.options.fps or self._probe(path)
        if frames is None and _is_positive(fps):
            frames = max(1, round(duration * fps))
        return fps, frames

    def _probe(self, path: str) -> float:
        found = self.conversion.files.get(path)
        if found is None:
            raise ValueError(
                'neither fps nor number of frames, and no video to read them from: put '
                'the videos beside the file, or give --fps N if all have the same'
            )
        return probe_video(self.tree.path / found).fps


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


def _export(
    root: DataRoot,
    file: Path,
    entry: Callable[[Video], dict[str, Any]],
    brackets: tuple[str, str] = ('{', '}'),
) -> list[str]:
    """Write a detection file, one line per video, and the list of classes beside it.

    What the format does not know (rate, domain, subject) is added to each video, so
    that converting back loses nothing but the places of the videos.

    Args:
        root: The data root.
        file: The file to write.
        entry: Entry of a video; a mark of simulated ones is added.
        brackets: Text before the first video and after the last.

    Returns:
        Lines for the user.
    """
    videos = root.read_det()
    marked = {'simulated': True} if root.info.simulated else {}
    with atomic_write(file) as table:
        table.write(brackets[0])
        for i, video in enumerate(videos):
            said = json.dumps({**entry(video), **marked}, ensure_ascii=False)
            name = json.dumps(video.video, ensure_ascii=False)
            table.write(f'{"," if i else ""}\n{name}: {said}')
        table.write(f'\n{brackets[1]}\n')
    classes = file.with_name(CLASS_LISTS[0])
    with atomic_write(classes) as table:
        table.writelines(f'{name}\n' for name in root.label_space().actions)
    subsets = Counter(video.subset for video in videos)
    counts = ', '.join(f'{subset} {count}' for subset, count in subsets.items())
    instances = sum(len(video.instances) for video in videos)
    return [
        f'wrote {file}: {counts} videos, {instances} instances',
        f'wrote {classes}',
        f'note: the videos stay in {root.path}, where its det.json says',
    ]


def _opentad_videos(content: Any) -> dict[str, Any]:
    database = content.get('database') if isinstance(content, dict) else None
    if not isinstance(database, dict) or not database:
        raise ValueError(
            'need {"database": {video: {...}}}, with a video at least; for {video: '
            '{"actions": [...]}} use the format pointtad'
        )
    return database


def _pointtad_videos(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict) or not content or 'database' in content:
        raise ValueError(
            'need {video: {"subset", "duration", "actions"}}, with a video at least; '
            'for {"database": ...} use the format opentad'
        )
    return content


def _pointtad_pair(action: Any) -> tuple[Any, Any]:
    if not isinstance(action, list):
        raise TypeError
    label, start_sec, end_sec = action
    return [start_sec, end_sec], label


_OPENTAD = _Format(
    'OpenTAD',
    _opentad_videos,
    'annotations',
    ('annotation', '{"segment", "label"}'),
    lambda one: (one['segment'], one['label']),
    'frame',
)
_POINTTAD = _Format(
    'PointTAD',
    _pointtad_videos,
    'actions',
    ('action', '[class, start_sec, end_sec]'),
    _pointtad_pair,
)


def convert_opentad(source: Path, out: Path, options: Options) -> Conversion:
    """Convert OpenTAD's JSON, a file or a folder with it, into a data root."""
    return _convert(_OPENTAD, source, out, options)


def convert_pointtad(source: Path, out: Path, options: Options) -> Conversion:
    """Convert PointTAD's JSON, a file or a folder with it, into a data root."""
    return _convert(_POINTTAD, source, out, options)


def export_opentad(root: DataRoot, out: Path) -> list[str]:
    """Write a root's detection table for OpenTAD into a folder; return what to say."""
    actions = root.label_space().actions
    theirs = {ours: name for name, ours in _SUBSETS.items()}

    def entry(video: Video) -> dict[str, Any]:
        said: dict[str, Any] = {
            'subset': theirs[video.subset],
            'duration': video.duration,
            'frame': video.frames,
            'fps': video.fps,
            'domain': video.domain,
            'subject': video.subject,
        }
        if not video.withheld:
            said['annotations'] = [
                {'segment': [i.start_sec, i.end_sec], 'label': actions[i.label]}
                for i in video.instances
            ]
        return said

    head = f'{{"version": {json.dumps(root.info.name)}, "taxonomy": [], "database": {{'
    return _export(root, out / 'opentad.json', entry, (head, '}}'))


def export_pointtad(root: DataRoot, out: Path) -> list[str]:
    """Write a root's detection table for PointTAD into a folder; return what to say.

    Classes count from 0, in the order of the list.
    """

    def entry(video: Video) -> dict[str, Any]:
        columns = ('subset', 'duration', 'fps', 'frames', 'domain', 'subject')
        said = {column: getattr(video, column) for column in columns}
        if not video.withheld:
            said['actions'] = [
                [i.label, i.start_sec, i.end_sec] for i in video.instances
            ]
        return said

    return _export(root, out / 'pointtad.json', entry)
