"""Truth and detections of anybody, ActivityNet style, as columns.

``{"results": {video: [{"segment": [start_sec, end_sec], "label", "score"}]}}``, labels
as name or index, other keys ignored. Files have millions of entries, so they are taken
apart column by column; only a file with a fault is looked at entry by entry. Truth is
read as :mod:`mmma.data.videos` describes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from mmma.data.videos import (
    END_TOLERANCE_SEC,
    Video,
    has_label,
    label_index,
    scan_det,
)
from mmma.evaluation.detection import Instances, Predictions
from mmma.files import (
    Problem,
    atomic_write,
    is_number,
    parse_json,
    read_text,
    refuse,
)
from mmma.taxonomy import LabelSpace, suggest

NEEDED = '{"results": {video: [{"segment", "label", "score"}]}}'


@dataclass(frozen=True)
class DetectionTable:
    """Detections of V videos.

    Attributes:
        names: (V,) videos, each once; some may have no detection.
        predictions: Their ``videos`` are indices into ``names``; rows in the order of
            the file.
    """

    names: tuple[str, ...]
    predictions: Predictions


def read_detections(path: Path, space: LabelSpace) -> DetectionTable:
    """Read a file of detections.

    Args:
        path: The file.
        space: Label space of its labels.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not of that form, or bad entries: the first five are shown, and
            labels that the space lacks are counted.
    """
    path = Path(path)
    content, repeated = parse_json(read_text(path), path)
    results = content.get('results') if isinstance(content, dict) else None
    if not isinstance(results, dict) or not results:
        raise ValueError(f'{path}: no detections: need {NEEDED}')
    problems = [Problem(str(path), 0, key, 'is there twice') for key in repeated]
    lists = [v if isinstance(v, list) else [] for v in results.values()]
    problems += [
        Problem(str(path), 0, video, f'{value!r} is no list')
        for video, value in results.items()
        if not isinstance(value, list)
    ]
    entries = list(chain.from_iterable(lists))
    columns = _columns(entries, space)
    if problems or columns is None:
        found = _faults(path, results, space)
        refuse([*problems, *found], path, _unknown_labels(entries, space))
        raise ValueError(f'{path}: not readable as detections: need {NEEDED}')
    segments, labels, scores = columns
    videos = np.repeat(np.arange(len(lists), dtype=np.int32), list(map(len, lists)))
    return DetectionTable(tuple(results), Predictions(videos, labels, segments, scores))


def write_detections(path: Path, table: DetectionTable, space: LabelSpace) -> None:
    """Write detections, labels by name, one line per video.

    Args:
        path: The file to write.
        table: Rows of a video keep their order.
        space: Label space of the labels.
    """
    found = table.predictions
    order = np.argsort(found.videos, kind='stable')
    counts = np.bincount(found.videos, minlength=len(table.names))
    rows = iter(
        zip(
            found.segments[order].tolist(),
            found.labels[order].tolist(),
            found.scores[order].tolist(),
            strict=True,
        )
    )
    with atomic_write(Path(path)) as file:
        file.write('{"results": {')
        for i, (name, size) in enumerate(zip(table.names, counts, strict=True)):
            own = [
                {'segment': segment, 'label': space.actions[label], 'score': score}
                for segment, label, score in (next(rows) for _ in range(size))
            ]
            key, text = (json.dumps(x, ensure_ascii=False) for x in (name, own))
            file.write(f'{"," if i else ""}\n{key}: {text}')
        file.write('\n}}\n')


def _columns(
    entries: Sequence[Any], space: LabelSpace
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Segments (n, 2), labels (n,) and scores (n,); None if any entry is bad."""
    try:
        parts = [
            list(map(itemgetter(key), entries)) for key in ('segment', 'label', 'score')
        ]
        segments, labels, scores = parts
        ends = list(chain.from_iterable(segments))
        kinds = set(map(type, chain(ends, scores)))
        if not kinds <= {int, float} or set(map(type, labels)) - {int, str}:
            return None
        if set(map(type, segments)) - {list} or set(map(len, segments)) - {2}:
            return None
        index_of = {label: label_index(label, space) for label in set(labels)}
    except (TypeError, KeyError, IndexError, ValueError):
        return None
    size = len(entries)
    times = np.fromiter(ends, np.float64, 2 * size).reshape(size, 2)
    found = np.fromiter(map(index_of.__getitem__, labels), np.int16, size)
    values = np.fromiter(scores, np.float64, size)
    finite = np.isfinite(times).all() and np.isfinite(values).all()
    if not finite or (times[:, 1] < times[:, 0]).any():
        return None
    return times, found, values


def _faults(path: Path, results: dict[str, Any], space: LabelSpace) -> list[Problem]:
    problems = []
    for video, entries in results.items():
        for i, entry in enumerate(entries if isinstance(entries, list) else []):
            try:
                _check(entry, space)
            except ValueError as error:
                problems.append(Problem(str(path), 0, f'{video} [{i}]', str(error)))
    return problems


def _check(entry: Any, space: LabelSpace) -> None:
    if not isinstance(entry, dict) or not {'segment', 'label', 'score'} <= set(entry):
        raise ValueError(f'must be {{"segment", "label", "score"}}, not {entry!r}')
    segment, score = entry['segment'], entry['score']
    pair = isinstance(segment, list) and len(segment) == 2
    if not (pair and all(map(is_number, segment)) and segment[0] <= segment[1]):
        raise ValueError(f'segment {segment!r}: must be seconds, start <= end')
    if not is_number(score):
        raise ValueError(f'score {score!r}: must be a finite number')
    label_index(entry['label'], space)


def _unknown_labels(entries: Sequence[Any], space: LabelSpace) -> str:
    """Every label that the space lacks, with how often it is there; a hint."""
    counts: Counter[str] = Counter()
    for entry in entries:
        label = entry.get('label') if isinstance(entry, dict) else None
        if isinstance(label, (str, int)) and not has_label(label, space):
            counts[repr(label)] += 1
    if not counts:
        return ''
    shown = ', '.join(f'{label} ({n})' for label, n in counts.most_common(5))
    more = f', and {len(counts) - 5} others' if len(counts) > 5 else ''
    return f'unknown labels {shown}{more}'


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
        table = np.array(marks, dtype=np.float64).reshape(len(marks), 4)
        places, labels = table[:, :2].astype(np.int64).T
        return cls(
            names=tuple(v.video for v in rows),
            subsets=tuple(v.subset for v in rows),
            domains=tuple(v.domain for v in rows),
            subjects=tuple(v.subject for v in rows),
            durations=np.array([v.duration for v in rows], dtype=np.float64),
            withheld=np.array([v.withheld for v in rows], dtype=np.bool_),
            instances=Instances(places, labels, table[:, 2:]),
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
    videos, problems = scan_det(path, space, strict=False)
    refuse(problems, path)
    return DetectionTruth.from_videos(videos)


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


def _first(names: Sequence[str]) -> str:
    more = ', ...' if len(names) > _SHOWN else ''
    return ', '.join(repr(name) for name in names[:_SHOWN]) + more
