"""Findings in a video, and the files that hold them.

The JSON file has everything and is written last; it says what made it, so that what is
whole and was made in the same way need not be made again. The CSV file has one row per
finding.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmma.data.joints import WHOLEBODY65
from mmma.files import atomic_write
from mmma.video import VIDEO_SUFFIXES, open_container, read_index

if TYPE_CHECKING:
    from mmma.media.pose import Partial

SCHEMA = 'mmma-infer 1'
COLUMNS = (
    *('task', 'start_sec', 'end_sec', 'action', 'body'),
    *('score', 'abstained', 'simulated', 'model'),
)
_FEET = WHOLEBODY65.names.index('left_big_toe')  # what lies before is the body


@dataclass(frozen=True)
class VideoFile:
    """A video and when its frames are shown.

    Attributes:
        path: The file.
        frames: Number of frames that are shown.
        duration_sec: From the first frame's appearance to the last one's end.
        first_frame_sec: Time stamp of the first frame in the file. Every other time is
            counted from this frame, as in ``det.json``.
    """

    path: Path
    frames: int
    duration_sec: float
    first_frame_sec: float

    @classmethod
    def open(cls, path: Path) -> VideoFile:
        """Read when the frames of a file are shown.

        Args:
            path: The file.

        Raises:
            FileNotFoundError: There is no such file.
            BrokenVideoError: It cannot be read as video.
        """
        with open_container(path) as container:
            index = read_index(container)
        first_sec = float(index.pts[0] * index.time_base)
        return cls(path, len(index.pts), index.duration_sec, first_sec)

    @property
    def fps(self) -> float:
        """Mean frames per second."""
        return self.frames / self.duration_sec


@dataclass(frozen=True)
class ModelCard:
    """Facts of a model.

    Attributes:
        name: Model-zoo name, or that of the file.
        task: ``rec`` or ``det``.
        modality: ``RGB`` or ``Pose``.
        sha256: Of the weights' file.
        config: Name of the config.
        config_sha256: Of the resolved config.
        label_space: Whose actions it knows.
        trained_on: Name of the data, if the weights tell.
        simulated: Whether those are simulated.
        extractor: What finds the joints for it; None for pictures.
    """

    name: str
    task: str
    modality: str
    sha256: str
    config: str
    config_sha256: str
    label_space: str
    trained_on: str | None
    simulated: bool
    extractor: str | None


@dataclass(frozen=True)
class Finding:
    """An action or a body group, when, and how sure the model is.

    Attributes:
        start_sec: Start, seconds from the first frame.
        end_sec: End, exclusive.
        action: Its name; None of a body group, and where the model abstains.
        body: Name of the body group; None where the model abstains.
        score: Probability that the model gives it, in [0, 1].
    """

    start_sec: float
    end_sec: float
    action: str | None
    body: str | None
    score: float


@dataclass(frozen=True)
class Recognition:
    """Answer of a recognizer about a clip.

    Attributes:
        model: The model.
        actions: All actions, the likeliest first.
        bodies: All body groups, the likeliest first.
        abstained: The best score is below the threshold, or nobody is seen.
        threshold: From which score the best action is named.
        notes: What to bear in mind.
    """

    model: ModelCard
    actions: tuple[Finding, ...]
    bodies: tuple[Finding, ...]
    abstained: bool
    threshold: float
    notes: tuple[str, ...] = ()

    @property
    def simulated(self) -> bool:
        """True if the weights have only ever seen simulated people."""
        return self.model.simulated

    @property
    def answer(self) -> Finding:
        """The likeliest action; without a name where the model abstains."""
        best = self.actions[0]
        if not self.abstained:
            return best
        return Finding(best.start_sec, best.end_sec, None, None, best.score)


@dataclass(frozen=True)
class Detection:
    """Segments that a detector found in a video.

    Attributes:
        model: The model.
        segments: Actions from the threshold on, the best first.
        bodies: Body groups from the threshold on, the best first.
        dropped: Actions below the threshold.
        threshold: From which score a segment is kept.
        abstained: Nobody is seen, so nothing was looked for.
        notes: What to bear in mind.
    """

    model: ModelCard
    segments: tuple[Finding, ...]
    bodies: tuple[Finding, ...]
    dropped: int
    threshold: float
    abstained: bool = False
    notes: tuple[str, ...] = ()

    @property
    def simulated(self) -> bool:
        """True if the weights have only ever seen simulated people."""
        return self.model.simulated


@dataclass(frozen=True)
class VideoFindings:
    """Results of all models for a video.

    Attributes:
        file: The video.
        results: Of each model.
        skeletons: Of the video, if a model asked for them.
    """

    file: VideoFile
    results: tuple[Recognition | Detection, ...]
    skeletons: Partial | None = None

    def summary(self) -> str:
        """One line on what was found."""
        parts = []
        for found in self.results:
            if isinstance(found, Recognition):
                text = f'{found.answer.action or "abstained"} {found.answer.score:.2f}'
            else:
                text = (
                    f'{len(found.segments)} segments, {found.dropped} below threshold'
                )
            parts.append(text + (' [simulated]' if found.simulated else ''))
        return '; '.join(parts)


def body_found(skeletons: Partial) -> float:
    """Share of the frames in which a body was found, in [0, 1]."""
    scores = skeletons.joints[:, :, :_FEET, 2]  # (T, M, 17)
    return float((scores > 0).any(axis=(1, 2)).mean())


def find_videos(given: Sequence[Path], private: bool) -> dict[Path, str]:
    """Video files that the user means, with what messages call each.

    Args:
        given: Files and folders, which give their videos by name.
        private: Call them by their number.

    Raises:
        FileNotFoundError: Nothing there, or no video in a folder.
        ValueError: Two files of one stem, whose outputs would be one.
    """
    files: dict[Path, Path] = {}
    for number, path in enumerate(given, start=1):
        found = [path]
        what = f'input {number} of {len(given)}' if private else str(path)
        if path.is_dir():
            found = [
                file
                for file in sorted(path.iterdir())
                if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file()
            ]
        elif not path.is_file():
            raise FileNotFoundError(f'{what}: no such video file or folder')
        if not found:
            raise FileNotFoundError(
                f'{what}: no video in this folder ({", ".join(VIDEO_SUFFIXES)})'
            )
        files.update((file.absolute(), file) for file in found)
    videos, first = {}, {}
    for i, path in enumerate(files.values(), start=1):
        label = videos[path] = f'video {i} of {len(files)}' if private else str(path)
        if first.setdefault(path.stem, label) != label:
            raise ValueError(
                f'{first[path.stem]} and {label} have the same stem, so that their '
                'outputs would be the same files: rename one, or use another --out for '
                'it.'
            )
    return videos


def output_files(folder: Path, stem: str) -> tuple[Path, Path]:
    """The JSON and the CSV file of a video.

    Args:
        folder: Of the user.
        stem: Name of the video without its suffix.
    """
    return folder / f'{stem}.json', folder / f'{stem}.csv'


def made_before(
    files: tuple[Path, Path], request: Mapping[str, Any], label: str
) -> bool:
    """True if both files of a video are there and were made in a given way.

    Args:
        files: From :func:`output_files`.
        request: From :func:`mmma.engine.infer.describe_request`.
        label: What messages call the video.

    Raises:
        ValueError: A file of that name is of another program.
    """

    def check(ours: bool, kind: str) -> None:
        if not ours:
            raise ValueError(
                f'{label}: the output folder has a {kind} file of its stem that '
                'another program wrote: choose another --out.'
            )

    whole, rows = files
    if rows.is_file():
        with rows.open(encoding='utf-8', errors='replace') as file:
            check(file.readline().strip() == ','.join(COLUMNS), 'CSV')
    if not whole.is_file():
        return False
    try:
        content = json.loads(whole.read_text('utf-8'))
    except ValueError:
        content = None
    check(isinstance(content, dict) and content.get('schema') == SCHEMA, 'JSON')
    return content['request'] == request and rows.is_file()


def write_findings(
    files: tuple[Path, Path], findings: VideoFindings, facts: Mapping[str, Any]
) -> None:
    """Write both files of a video; each appears whole, the JSON last.

    Args:
        files: From :func:`output_files`.
        findings: Of the video.
        facts: ``request``, ``top_k``, and ``path`` unless it is private.
    """
    with atomic_write(files[1]) as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(COLUMNS)
        writer.writerows(_csv_rows(findings))
    with atomic_write(files[0]) as file:
        content = _describe(findings, facts)
        file.write(json.dumps(content, indent=1, ensure_ascii=False) + '\n')


def _csv_rows(findings: VideoFindings) -> Iterator[list[str]]:
    """One row per clip, one per segment."""
    for result in findings.results:
        rows = [result.answer] if isinstance(result, Recognition) else result.segments
        for found in rows:
            yield [
                result.model.task,
                f'{found.start_sec:.3f}',
                f'{found.end_sec:.3f}',
                found.action or '',
                found.body or '',
                f'{found.score:.4f}',
                str(result.abstained).lower(),
                str(result.simulated).lower(),
                result.model.name,
            ]


def _describe(findings: VideoFindings, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The contents of the JSON file."""
    file, skeletons = findings.file, findings.skeletons
    content: dict[str, Any] = {'schema': SCHEMA}
    content['video'] = {
        **({'path': facts['path']} if 'path' in facts else {}),
        'frames': file.frames,
        'fps': file.fps,
        'duration_sec': file.duration_sec,
        'first_frame_sec': file.first_frame_sec,
    }
    content['time'] = 'seconds from the first frame'
    content['simulated'] = any(result.simulated for result in findings.results)
    if skeletons is not None:
        extractors = (result.model.extractor for result in findings.results)
        content['skeletons'] = {
            'extractor': next(filter(None, extractors)),
            'body_found': body_found(skeletons),
        }
    for result in findings.results:
        kind = 'recognition' if result.model.task == 'rec' else 'detection'
        content[kind] = _result(result, facts['top_k'])
    content['request'] = facts['request']
    return content


def _result(result: Recognition | Detection, top_k: int) -> dict[str, Any]:
    shared = {
        'model': asdict(result.model),
        'simulated': result.simulated,
        'abstained': result.abstained,
        'threshold': result.threshold,
        'notes': list(result.notes),
    }
    if isinstance(result, Detection):
        return {
            **shared,
            'below_threshold': result.dropped,
            'segments': [_named(found, timed=True) for found in result.segments],
            'bodies': [_named(found, timed=True) for found in result.bodies],
        }
    return {
        **shared,
        **asdict(result.answer),
        'actions': [_named(found) for found in result.actions[:top_k]],
        'bodies': [_named(found) for found in result.bodies],
    }


def _named(found: Finding, timed: bool = False) -> dict[str, Any]:
    times = ('start_sec', 'end_sec') if timed else ()
    keys = (*times, *(('action',) if found.action else ()), 'body', 'score')
    return {key: getattr(found, key) for key in keys}
