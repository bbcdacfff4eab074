"""From the detection files of others to a data root, once they are taken apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmma.layout.converters.detection_labels import CLASS_LISTS, DetectionLabels
from mmma.layout.converters.detection_mapping import DetectionMapping
from mmma.layout.converters.source import SourceFile, SourceTree
from mmma.layout.converters.target import Conversion, Options, prepare, write
from mmma.layout.decoding import probe_video
from mmma.layout.det import entry_lines, parse_video, read_table
from mmma.layout.problems import Problem, refuse
from mmma.layout.root import DatasetInfo


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
    content, repeated, text = read_table(path)
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
