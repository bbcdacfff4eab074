"""Detections in ActivityNet style, of anybody: read as columns, written by name.

``{"results": {video: [{"segment": [start_sec, end_sec], "label", "score"}]}}``, labels
as name or index, other keys ignored. Files have millions of entries, so they are taken
apart column by column; only a file with a fault is looked at entry by entry.
"""

from __future__ import annotations

import gc
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from mmma.evaluation.functional.detection_instances import Predictions
from mmma.layout.paths import atomic_write, read_text
from mmma.layout.problems import Problem, refuse
from mmma.taxonomy import LABEL_SPACES, LabelSpace, load_label_space

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
    content, repeated = load_json(path)
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


def load_json(path: Path) -> tuple[Any, list[str]]:
    """Content of a JSON file, and the keys that some object of it has twice.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not JSON.
    """
    repeated: list[str] = []

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) != len(pairs):
            keys = Counter(key for key, _ in pairs)
            repeated.extend(key for key, n in keys.items() if n > 1)
        return content

    text = read_text(path)
    try:
        with _no_collection():
            return json.loads(text, object_pairs_hook=keep), repeated
    except json.JSONDecodeError as error:
        raise ValueError(
            f'{path}:{error.lineno}: not readable as JSON: {error.msg}'
        ) from None


def label_index(label: Any, space: LabelSpace) -> int:
    """Index of a label given by name or index.

    Raises:
        ValueError: The space lacks it; the message says if another space has it.
    """
    if isinstance(label, bool) or not isinstance(label, (str, int)):
        raise ValueError(f'label {label!r}: must be the name or index of an action')
    try:
        return space.action_id(label)
    except ValueError as error:
        others = [
            s for s in map(load_label_space, LABEL_SPACES) if s.name != space.name
        ]
        owner = [s.name for s in others if _has(label, s)]
        if owner:
            raise ValueError(
                f'label {label!r} is of {owner[0]}, but the {space.num_actions} '
                f'actions of {space.name} are asked for'
            ) from None
        raise error


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a finite number."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Millions of new containers make the garbage collector search them in vain."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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
        if isinstance(label, (str, int)) and not _has(label, space):
            counts[repr(label)] += 1
    return unknown_summary(counts)


def unknown_summary(counts: Counter[str]) -> str:
    """``unknown labels 'a' (3), 'b' (1)``, the most frequent five; may be empty."""
    if not counts:
        return ''
    shown = ', '.join(f'{label} ({n})' for label, n in counts.most_common(5))
    more = f', and {len(counts) - 5} others' if len(counts) > 5 else ''
    return f'unknown labels {shown}{more}'


def _has(label: Any, space: LabelSpace) -> bool:
    try:
        space.action_id(label)
    except ValueError:
        return False
    return True
