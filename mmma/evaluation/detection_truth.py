"""True instances of untrimmed videos, from anybody's ActivityNet-style file.

``{"database": {video: {"subset", "annotations": [{"segment": [start_sec, end_sec],
"label"}]}}}``, labels as name or index. ``duration``, ``domain`` and ``subject`` are
used where they are there; other keys are ignored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmma.evaluation.detections_file import (
    DetectionTable,
    is_number,
    label_index,
    load_json,
)
from mmma.evaluation.functional.detection_instances import Instances, Predictions
from mmma.layout.det import END_TOLERANCE_SEC, Video
from mmma.layout.problems import Problem, refuse
from mmma.taxonomy import LabelSpace, suggest

ALL_SUBSETS = 'all'
_SHOWN = 5


@dataclass(frozen=True)
class DetectionTruth:
    """What is true of V videos.

    Attributes:
        names: (V,) videos.
        subsets: (V,) subset names.
        domains: (V,) domain names; empty where unknown.
        subjects: (V,) subject names; empty where unknown.
        durations: (V,) seconds; NaN where unknown.
        withheld: (V,) whether the instances are kept secret, which differs from a
            video in which nothing happens.
        instances: Their ``videos`` are indices into ``names``.
    """

    names: tuple[str, ...]
    subsets: tuple[str, ...]
    domains: tuple[str, ...]
    subjects: tuple[str, ...]
    durations: np.ndarray
    withheld: np.ndarray
    instances: Instances

    @classmethod
    def from_videos(cls, videos: Iterable[Video]) -> DetectionTruth:
        """Truth of entries of ``det.json``."""
        rows = list(videos)
        marks = [
            (i, x.label, x.start_sec, x.end_sec)
            for i, video in enumerate(rows)
            for x in video.instances
        ]
        return cls(
            names=tuple(v.video for v in rows),
            subsets=tuple(v.subset for v in rows),
            domains=tuple(v.domain for v in rows),
            subjects=tuple(v.subject for v in rows),
            durations=np.array([v.duration for v in rows], dtype=np.float64),
            withheld=np.array([v.withheld for v in rows], dtype=np.bool_),
            instances=_instances(marks),
        )

    def select(self, rows: Sequence[int]) -> DetectionTruth:
        """The videos at ``rows``, their instances renumbered."""
        place = np.full(len(self.names), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        own = self.instances.select(place[self.instances.videos] >= 0)
        return DetectionTruth(
            names=tuple(self.names[i] for i in rows),
            subsets=tuple(self.subsets[i] for i in rows),
            domains=tuple(self.domains[i] for i in rows),
            subjects=tuple(self.subjects[i] for i in rows),
            durations=self.durations[rows],
            withheld=self.withheld[rows],
            instances=Instances(place[own.videos], own.labels, own.segments),
        )

    def choose(self, subset: str | None = None) -> tuple[str, DetectionTruth]:
        """The videos of a subset.

        Args:
            subset: Its name, compared for equality; ``all`` takes every video. By
                default the only subset there is, or ``test``.

        Returns:
            The name, and its videos.

        Raises:
            ValueError: No video of it, no instance in it, or truth withheld.
        """
        counts = Counter(self.subsets)
        subset = subset or (next(iter(counts)) if len(counts) == 1 else 'test')
        rows = [i for i, s in enumerate(self.subsets) if subset in (ALL_SUBSETS, s)]
        there = ', '.join(f'{name} ({n} videos)' for name, n in counts.items())
        if not rows:
            raise ValueError(
                f'no videos of subset {subset!r}; there are {there}: choose one with '
                '--subset'
            )
        chosen = self.select(rows)
        if chosen.withheld.any():
            hidden = [chosen.names[i] for i in np.flatnonzero(chosen.withheld)]
            raise ValueError(
                f'{len(hidden)} of {len(rows)} videos of subset {subset!r} have no '
                f'annotations: {_first(hidden)}; their truth is withheld, so they '
                f'cannot be scored here (an empty list says that nothing happens)'
            )
        if not len(chosen.instances):
            raise ValueError(
                f'no instance in the {len(rows)} videos of subset {subset!r}: nothing '
                f'can be measured; there are {there}'
            )
        return subset, chosen

    def people(self) -> list[str]:
        """(V,) subjects with their domain; empty where unknown."""
        pairs = zip(self.domains, self.subjects, strict=True)
        return [f'{domain}/{subject}' if subject else '' for domain, subject in pairs]


def read_truth(path: Path, space: LabelSpace) -> DetectionTruth:
    """Read a truth file, all subsets of it.

    Args:
        path: The file.
        space: Label space of its labels.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not of that form, or bad entries, of which the first five are shown.
    """
    path = Path(path)
    content, repeated = load_json(path)
    database = content.get('database') if isinstance(content, dict) else None
    if not isinstance(database, dict) or not database:
        raise ValueError(
            f'{path}: no truth: need {{"database": {{video: {{"subset", '
            '"annotations"}}}'
        )
    problems = [Problem(str(path), 0, key, 'is there twice') for key in repeated]
    marks: list[tuple[int, int, float, float]] = []
    for row, (name, entry) in enumerate(database.items()):
        for text in _read_entry(entry, space, row, marks):
            problems.append(Problem(str(path), 0, name, text))
    refuse(problems, path)
    entries = list(database.values())
    return DetectionTruth(
        names=tuple(database),
        subsets=tuple(str(e['subset']) for e in entries),
        domains=tuple(str(e.get('domain') or '') for e in entries),
        subjects=tuple(str(e.get('subject') or '') for e in entries),
        durations=np.array([_duration(e) for e in entries]),
        withheld=np.array([e.get('annotations') is None for e in entries]),
        instances=_instances(marks),
    )


def place_predictions(
    table: DetectionTable, truth: DetectionTruth, chosen: DetectionTruth
) -> tuple[Predictions, dict[str, int]]:
    """Predictions of the chosen videos, numbered as these are.

    Args:
        table: As read.
        truth: All videos of the truth file.
        chosen: Those to evaluate.

    Returns:
        The predictions, and counts: ``ignored`` predictions of videos outside the
        chosen ones, ``outside`` predictions that leave their video by more than
        half a second, ``without_prediction`` chosen videos.

    Raises:
        ValueError: Videos that the truth file lacks, or predictions that start after
            their video has ended.
    """
    known, place = set(truth.names), {n: i for i, n in enumerate(chosen.names)}
    unknown = [name for name in table.names if name not in known]
    if unknown:
        raise ValueError(
            f'predictions for {len(unknown)} unknown videos, not in the truth file: '
            f'{_first(unknown)}; use its names, letter by letter.'
            f'{suggest(unknown[0], truth.names)}'
        )
    new = np.array([place.get(name, -1) for name in table.names], dtype=np.int64)
    found = table.predictions
    videos = new[found.videos]
    kept = found.select(videos >= 0)
    kept = Predictions(videos[videos >= 0], kept.labels, kept.segments, kept.scores)
    return kept, {
        'ignored': len(found) - len(kept),
        'outside': _outside(kept, chosen),
        'without_prediction': len(chosen.names) - len(np.unique(kept.videos)),
    }


def _outside(found: Predictions, truth: DetectionTruth) -> int:
    """How many leave their video; a video of unknown length has no end."""
    ends = truth.durations[found.videos] + END_TOLERANCE_SEC
    after = np.flatnonzero(found.segments[:, 0] > ends)
    if len(after):
        row = after[0]
        video = int(found.videos[row])
        raise ValueError(
            f'{len(after)} predictions start after the end of their video, the first '
            f'{found.segments[row].tolist()} of {truth.names[video]!r} '
            f'({truth.durations[video]:g} s); frames taken for seconds, or another fps?'
        )
    early = found.segments[:, 0] < -END_TOLERANCE_SEC
    return int((early | (found.segments[:, 1] > ends)).sum())


def _read_entry(
    entry: Any, space: LabelSpace, row: int, marks: list[tuple[int, int, float, float]]
) -> list[str]:
    """Add the instances of one video; what is wrong with it."""
    if not isinstance(entry, dict):
        return [f'must be an object with subset and annotations, not {entry!r}']
    if not isinstance(entry.get('subset'), str) or not entry['subset']:
        return [f'subset {entry.get("subset")!r}: must be a name such as test']
    if entry.get('duration') is not None and not np.isfinite(_duration(entry)):
        return [f'duration {entry["duration"]!r}: must be seconds above 0']
    annotations = entry.get('annotations')
    if annotations is None:
        return []
    if not isinstance(annotations, list):
        return [f'annotations must be a list, not {annotations!r}']
    errors = []
    for i, annotation in enumerate(annotations):
        try:
            marks.append((row, *_read_instance(annotation, _duration(entry), space)))
        except ValueError as error:
            errors.append(f'annotation {i}: {error}')
    return errors


def _read_instance(
    annotation: Any, duration: float, space: LabelSpace
) -> tuple[int, float, float]:
    if not isinstance(annotation, dict) or not {'segment', 'label'} <= set(annotation):
        raise ValueError(f'must be {{"segment", "label"}}, not {annotation!r}')
    segment = annotation['segment']
    pair = isinstance(segment, list) and len(segment) == 2
    if not pair or not all(map(is_number, segment)) or not 0 <= segment[0] < segment[1]:
        raise ValueError(f'segment {segment!r}: must be seconds, 0 <= start < end')
    if segment[1] > duration + END_TOLERANCE_SEC:
        raise ValueError(
            f'segment {segment!r} ends after the video ({duration:g} s); frames taken '
            'for seconds, or another fps?'
        )
    label = label_index(annotation['label'], space)
    return label, float(segment[0]), float(segment[1])


def _duration(entry: dict[str, Any]) -> float:
    """Seconds; NaN where unknown or no number."""
    value: Any = entry.get('duration')
    return float(value) if is_number(value) and value > 0 else float('nan')


def _instances(marks: Sequence[tuple[int, int, float, float]]) -> Instances:
    table = np.array(marks, dtype=np.float64).reshape(len(marks), 4)
    videos, labels = table[:, :2].astype(np.int64).T
    return Instances(videos, labels, table[:, 2:])


def _first(names: Sequence[str]) -> str:
    more = ', ...' if len(names) > _SHOWN else ''
    return ', '.join(repr(name) for name in names[:_SHOWN]) + more
