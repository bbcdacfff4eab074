"""Detection tables of OpenTAD and PointTAD, both ways.

OpenTAD's detection files: ActivityNet style, times in seconds, labels by name.

``{"database": {video: {"subset": "training", "duration", "frame", "annotations":
[{"segment": [start_sec, end_sec], "label"}]}}}`` and ``category_idx.txt``.

Source: OpenTAD, opentad/datasets, 3dd7b032.

PointTAD's detection files: times in seconds, labels by index.

``{video: {"subset": "train", "duration", "actions": [[class, start_sec, end_sec]]}}``,
as the ``mmad.json`` of MMA-52, whose classes count from 0. Files that count from 1,
such as those of MultiTHUMOS, need ``first_index`` in the mapping.

Source: VUT-HFUT/MAC_2024_baseline, MMAD/PointTAD; MCG-NJU/PointTAD, ea3169db.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmma.data.convert.mma82 import plain_name, read_label_names
from mmma.data.convert.target import (
    Conversion,
    Options,
    SourceFile,
    SourceTree,
    prepare,
    write,
)
from mmma.data.root import DataRoot, DatasetInfo
from mmma.data.videos import Video, entry_lines, parse_video
from mmma.files import SHOWN, Problem, atomic_write, parse_json, read_text, refuse
from mmma.taxonomy import (
    DOMAINS,
    LABEL_SPACES,
    SUBSETS,
    check_choice,
    load_label_space,
    suggest,
)
from mmma.video import probe_video

_SUBSETS = {'training': 'train', 'validation': 'val', 'testing': 'test'}


@dataclass(frozen=True)
class DetectionMapping:
    """Fields of a ``--mapping`` file, all optional.

    Attributes:
        label_space: Ours; None takes the one that knows most of the labels.
        action_names: Their label -> our action, or '' to leave it out.
        first_index: Where the file's indices of classes start.
        subsets: Their subset -> ours, or '' to leave it out, beside the usual names.
        domain: Of videos that ``domains`` and the file do not name.
        domains: Start of a video's name -> domain.
    """

    label_space: str | None = None
    action_names: dict[str, str] = field(default_factory=dict)
    first_index: int = 0
    subsets: dict[str, str] = field(default_factory=dict)
    domain: str = 'lab'
    domains: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> DetectionMapping:
        """Read a mapping file.

        Args:
            path: A JSON file with some of the fields; None takes the defaults.

        Raises:
            FileNotFoundError: There is none.
            ValueError: Not a JSON object, or a key or value that is not allowed.
        """
        if path is None:
            return cls()
        try:
            content = json.loads(read_text(path))
            for key in content:
                check_choice('key', key, tuple(cls.__dataclass_fields__))
            mapping = cls(**content)
            if mapping.label_space is not None:
                check_choice('label_space', mapping.label_space, LABEL_SPACES)
            for domain in (mapping.domain, *mapping.domains.values()):
                check_choice('domain', domain, DOMAINS)
            for subset in filter(None, mapping.subsets.values()):
                check_choice('subset', subset, SUBSETS)
            if mapping.first_index not in (0, 1):
                raise ValueError(f'first_index {mapping.first_index!r}: use 0 or 1')
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f'{path}: {error}') from None
        return mapping

    def subset_of(self, name: str) -> str:
        """Our subset; empty where it is left out.

        Args:
            name: Theirs.

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

    def domain_of(self, video: str) -> str:
        """Domain of a video, by the start of its name."""
        starts = (start for start in self.domains if video.startswith(start))
        return self.domains.get(max(starts, key=len, default=''), self.domain)


CLASS_LISTS = ('category_idx.txt', 'label_name.txt', 'classes.txt')
"""Names that lists of classes go by: one class per line, in the order of indices."""
PUBLISHED_ORDER = 'ma52'
"""The label space whose indices are published: they mean something without a list."""


class DetectionLabels:
    """What the labels of a file mean.

    Args:
        labels: (video, label) of every annotation.
        class_list: The list of classes beside the file, if there is one.
        mapping: What the user says.

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


@dataclass(frozen=True)
class ForeignVideo:
    """One video of such a file; values as they are there, unchecked.

    Attributes:
        name: The video.
        entry: All that the file says of it: ``subset``, ``duration``, perhaps ``fps``,
            ``frames``, ``domain``, ``subject``, ``simulated``.
        annotations: (segment, label) of each; None where the file has none.
        fault: What keeps it from being taken apart; empty if nothing does.
    """

    name: str
    entry: Mapping[str, Any]
    annotations: list[tuple[Any, Any]] | None = None
    fault: str = ''


Parser = Callable[[Any], list[ForeignVideo]]
"""From what a JSON file holds to its videos."""


def convert_detection(
    kind: str, parse: Parser, source: Path, out: Path, options: Options
) -> Conversion:
    """Convert a detection file, and the videos that lie beside it.

    Args:
        kind: Name of the format.
        parse: Takes the file's content apart; a ValueError says that it is another.
        source: The file, or a folder with it, its list of classes and its videos.
        out: The data root to write.
        options: What the user chose; ``fps`` only where the file does not say,
            ``mapping`` a :class:`DetectionMapping`.

    Raises:
        FileNotFoundError: No such file or folder, or no JSON file in it.
        ValueError: Another format, unknown labels or subsets, bad segments, an unknown
            rate, or a bad place to write.
    """
    is_file = source.is_file()
    tree = SourceFile(source) if is_file else SourceTree(source)
    path = source if is_file else _only_table(tree)
    prepare(tree, out, options)
    mapping = DetectionMapping.read(options.mapping)
    text = read_text(path)
    content, repeated = parse_json(text, path)
    try:
        videos = parse(content)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    lines = entry_lines(text, [video.name for video in videos])
    wrong = [(video.name, video.fault) for video in videos if video.fault]
    wrong += [(name, 'is there twice') for name in repeated]
    refuse([Problem(str(path), lines.get(n, 0), n, what) for n, what in wrong], path)
    chosen = _with_subsets(videos, mapping, path)
    labels = DetectionLabels(
        [(v.name, label) for v, _ in chosen for _, label in v.annotations or ()],
        _class_list(path, tree),
        mapping,
    )
    labels.check(path)
    reader = _Reader(tree, options, mapping, labels, Conversion())
    reader.read(chosen, path, lines)
    simulated = any(video.entry.get('simulated') is True for video, _ in chosen)
    info = DatasetInfo(path.stem, labels.space.name, simulated, f'{kind} {path.name}')
    write(reader.conversion, info, labels.space, (tree, out), options)
    return reader.conversion


def _only_table(tree: SourceTree) -> Path:
    # PointTAD keeps numbers of extracted frames in a second file.
    found = [
        file
        for file in tree.files
        if file.suffix.lower() == '.json' and not file.stem.endswith('_frames')
    ]
    if not found:
        raise FileNotFoundError(f'{tree.path}: no .json file is in it; give the file')
    if len(found) > 1:
        raise ValueError(
            f'{tree.path}: {len(found)} .json files '
            f'({", ".join(map(str, found[:3]))}); give one of them'
        )
    return tree.path / found[0]


def _class_list(path: Path, tree: SourceTree) -> Path | None:
    """The list of classes that lies beside the file, or elsewhere in the tree."""
    beside = (path.with_name(name) for name in CLASS_LISTS)
    found = (tree.find(name) for name in CLASS_LISTS)
    files = [f for f in beside if f.is_file()] + [f for f in found if f]
    return files[0] if files else None


def _with_subsets(
    videos: Sequence[ForeignVideo], mapping: DetectionMapping, path: Path
) -> list[tuple[ForeignVideo, str]]:
    """Videos with our subset, without those that the mapping leaves out."""
    chosen = []
    for video in videos:
        try:
            subset = mapping.subset_of(str(video.entry.get('subset')))
        except ValueError as error:
            raise ValueError(f'{path}: {video.name}: {error}') from None
        if subset:
            chosen.append((video, subset))
    if not chosen:
        raise ValueError(f'{path}: no videos are left to convert')
    return chosen


@dataclass
class _Reader:
    """Turns videos into entries of ``det.json``."""

    tree: SourceTree
    options: Options
    mapping: DetectionMapping
    labels: DetectionLabels
    conversion: Conversion
    has_rates: bool = False

    def read(
        self,
        videos: Sequence[tuple[ForeignVideo, str]],
        path: Path,
        lines: Mapping[str, int],
    ) -> None:
        """Fill the conversion with videos and notices, or refuse what is wrong."""
        withheld = _without_truth(videos)
        problems: list[Problem] = []
        for video, subset in videos:
            entry, error = self._entry(video, subset)
            if subset in withheld:
                entry.pop('annotations', None)
            line = lines.get(video.name, 0)
            parsed, errors = parse_video(video.name, entry, self.labels.space, line)
            errors = [error] if error else errors
            problems += [Problem(str(path), line, video.name, e) for e in errors]
            if parsed is not None:
                self.conversion.videos.append(parsed)
        refuse(problems, path)
        self.conversion.notices += self._notices(withheld)

    def _entry(self, video: ForeignVideo, subset: str) -> tuple[dict[str, Any], str]:
        """What our table would say, and what is wrong with the rate."""
        said, name = video.entry, video.name
        path = f'videos/{subset}/{name}.mp4'
        path = self.conversion.add_video(self.tree.find_video(name, subset), path)
        prefix, separator, _ = name.partition('_')
        person = prefix if separator and prefix.isdecimal() else ''
        entry = {
            'path': path,
            'subset': subset,
            'domain': said.get('domain') or self.mapping.domain_of(name),
            'subject': said.get('subject', person),
            'duration': said.get('duration'),
            'annotations': [
                {'segment': segment, 'label': self.labels.name(label)}
                for segment, label in video.annotations or ()
                if self.labels.name(label)
            ],
        }
        if video.annotations is None:
            del entry['annotations']
        error = ''
        try:
            entry['fps'], entry['frames'] = self._rate(said, path)
        except ValueError as problem:
            error = str(problem)
        return entry, error

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

    def _notices(self, withheld: set[str]) -> list[str]:
        said = [f'label space {self.labels.space.name}']
        if self.has_rates and self.options.fps:
            said.append('videos with their own fps or frames: --fps is not for them')
        said += [
            f'{label!r}: {count} annotations left out, as asked'
            for label, count in self.labels.left_out.items()
        ]
        said += [
            f'{subset}: no video has annotations, so the truth is withheld'
            for subset in sorted(withheld)
        ]
        return said


def _without_truth(videos: Sequence[tuple[ForeignVideo, str]]) -> set[str]:
    """Subsets in which nothing happens at all: test sets are published so."""
    counts: dict[str, int] = defaultdict(int)
    for video, subset in videos:
        counts[subset] += len(video.annotations or ())
    return {subset for subset, count in counts.items() if not count}


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value < float('inf')


def write_foreign(
    root: DataRoot,
    file: Path,
    entry: Callable[[Video], dict[str, Any]],
    brackets: tuple[str, str] = ('{', '}'),
) -> list[str]:
    """Write a detection file, one line per video, and the list of classes beside it.

    Args:
        root: The data root.
        file: The file to write.
        entry: What the file says of a video; whether it is simulated is added.
        brackets: What comes before the first video and after the last.

    Returns:
        What to tell the user.
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


OPENTAD_FILE = 'opentad.json'
_OPENTAD_SUBSETS = {'train': 'training', 'val': 'validation', 'test': 'testing'}


def convert_opentad(source: Path, out: Path, options: Options) -> Conversion:
    """Convert OpenTAD's JSON; as :func:`convert_detection`.

    Args:
        source: The file, or a folder with it.
        out: The data root to write.
        options: What the user chose.
    """
    return convert_detection('OpenTAD', parse_opentad, source, out, options)


def parse_opentad(content: Any) -> list[ForeignVideo]:
    """Take the content of a file apart.

    Args:
        content: Of the JSON file.

    Raises:
        ValueError: It is of another format, or empty.
    """
    database = content.get('database') if isinstance(content, dict) else None
    if not isinstance(database, dict) or not database:
        raise ValueError(
            'need {"database": {video: {...}}}, with a video at least; for {video: '
            '{"actions": [...]}} use the format pointtad'
        )
    return [_opentad_video(name, entry) for name, entry in database.items()]


def _opentad_video(name: str, entry: Any) -> ForeignVideo:
    found = entry.get('annotations') if isinstance(entry, dict) else 'bad'
    fault = _opentad_fault(found)
    if fault:
        return ForeignVideo(name, {}, fault=fault)
    pairs = None if found is None else [(a['segment'], a['label']) for a in found]
    frames = {'frames': entry['frame']} if 'frame' in entry else {}
    return ForeignVideo(name, {**entry, **frames}, pairs)


def _opentad_fault(annotations: Any) -> str:
    if annotations is None:
        return ''
    if not isinstance(annotations, list):
        return 'must be an object with subset, duration, and a list of annotations'
    for i, one in enumerate(annotations):
        if not isinstance(one, dict) or not {'segment', 'label'} <= set(one):
            return f'annotation {i}: must be {{"segment", "label"}}, not {one!r}'
    return ''


def export_opentad(root: DataRoot, out: Path) -> list[str]:
    """Write a root's detection table for OpenTAD, with its list of classes.

    What OpenTAD does not know (rate, domain, subject) is added to each video, so that
    converting back loses nothing but the places of the videos.

    Args:
        root: The data root.
        out: Folder to write into.

    Returns:
        What to tell the user.
    """
    actions = root.label_space().actions

    def entry(video: Video) -> dict[str, Any]:
        said: dict[str, Any] = {
            'subset': _OPENTAD_SUBSETS[video.subset],
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
    return write_foreign(root, out / OPENTAD_FILE, entry, (head, '}}'))


POINTTAD_FILE = 'pointtad.json'


def convert_pointtad(source: Path, out: Path, options: Options) -> Conversion:
    """Convert PointTAD's JSON; as :func:`convert_detection`.

    Args:
        source: The file, or a folder with it.
        out: The data root to write.
        options: What the user chose.
    """
    return convert_detection('PointTAD', parse_pointtad, source, out, options)


def parse_pointtad(content: Any) -> list[ForeignVideo]:
    """Take the content of a file apart.

    Args:
        content: Of the JSON file.

    Raises:
        ValueError: It is of another format, or empty.
    """
    if not isinstance(content, dict) or not content or 'database' in content:
        raise ValueError(
            'need {video: {"subset", "duration", "actions"}}, with a video at least; '
            'for {"database": ...} use the format opentad'
        )
    return [_pointtad_video(name, entry) for name, entry in content.items()]


def _pointtad_video(name: str, entry: Any) -> ForeignVideo:
    found = entry.get('actions') if isinstance(entry, dict) else 'bad'
    fault = _pointtad_fault(found)
    if fault:
        return ForeignVideo(name, {}, fault=fault)
    pairs = None if found is None else [(a[1:], a[0]) for a in found]
    return ForeignVideo(name, entry, pairs)


def _pointtad_fault(actions: Any) -> str:
    if actions is None:
        return ''
    if not isinstance(actions, list):
        return 'must be an object with subset, duration, and a list of actions'
    for i, one in enumerate(actions):
        if not isinstance(one, list) or len(one) != 3:
            return f'action {i}: must be [class, start_sec, end_sec], not {one!r}'
    return ''


def export_pointtad(root: DataRoot, out: Path) -> list[str]:
    """Write a root's detection table for PointTAD, with its list of classes.

    Classes count from 0, in the order of the list. What PointTAD does not know (rate,
    frames, domain, subject) is added to each video, so that converting back loses
    nothing but the places of the videos.

    Args:
        root: The data root.
        out: Folder to write into.

    Returns:
        What to tell the user.
    """
    return write_foreign(root, out / POINTTAD_FILE, _entry)


def _entry(video: Video) -> dict[str, Any]:
    columns = ('subset', 'duration', 'fps', 'frames', 'domain', 'subject')
    entry = {column: getattr(video, column) for column in columns}
    if not video.withheld:
        entry['actions'] = [[i.label, i.start_sec, i.end_sec] for i in video.instances]
    return entry
