"""From detections and truth to the rows of ``results.json``.

A row holds plain types only. Rates are percent and unrounded, except in ``per_class``,
where they are rounded to four digits. AP ranks predictions over all videos, so rows of
separate runs cannot be pooled: pool their detections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmma.evaluation.detection_truth import DetectionTruth
from mmma.evaluation.functional.detection import (
    THRESHOLDS,
    Matches,
    MatchOptions,
    match_detections,
    rank_predictions,
)
from mmma.evaluation.functional.detection_ap import (
    LEVELS,
    MIN_TRUTHS,
    PRESETS,
    average_precisions,
    detection_metrics,
    preset_columns,
    recall_at,
)
from mmma.evaluation.functional.detection_instances import Instances, Predictions
from mmma.evaluation.functional.detection_intervals import (
    METHOD,
    Level,
    detection_intervals,
)
from mmma.evaluation.functional.detection_sensitivity import (
    EDGES,
    characteristics,
    sensitivity,
)
from mmma.evaluation.functional.error_profile import error_profile
from mmma.evaluation.functional.intervals import BootstrapOptions
from mmma.evaluation.functional.segment_map import segment_average_precisions
from mmma.evaluation.recognition import ALL_DOMAINS, across_domains, to_percent
from mmma.taxonomy import DOMAINS, LabelSpace, check_choice

LEVEL_CHOICES = (*LEVELS, 'both')
SHOWN = (0.2, 0.5, 0.7)
BODY_RULES = {
    'as given': 'actions relabelled to body groups, scored as they are, without NMS',
    'before nms': 'actions relabelled to body groups before NMS',
    'head': 'detections of the body head',
}
"""Where detections of body groups come from; the results say which."""


@dataclass(frozen=True)
class DetectionOptions:
    """Choices that move a number; they belong into ``options`` of ``results.json``.

    Attributes:
        preset: Thresholds of the average: ``mma82`` (nine) or ``mac`` (three).
        level: ``action``, ``body`` or ``both``.
        body_rule: Key of ``BODY_RULES``.
        matching: Ties and rounding.
        bootstrap: Options of the intervals; 0 resamples leave them out. A resample
            costs milliseconds per thousand truths.
    """

    preset: str = 'mma82'
    level: str = 'both'
    body_rule: str = 'as given'
    matching: MatchOptions = field(default_factory=MatchOptions)
    bootstrap: BootstrapOptions = field(
        default_factory=lambda: BootstrapOptions(resamples=200)
    )

    def __post_init__(self) -> None:
        check_choice('preset', self.preset, tuple(PRESETS))
        check_choice('level', self.level, LEVEL_CHOICES)
        check_choice('body rule', self.body_rule, tuple(BODY_RULES))

    def levels(self) -> tuple[str, ...]:
        """The levels asked for."""
        return LEVELS if self.level == 'both' else (self.level,)

    def record(self) -> dict[str, Any]:
        """As plain types."""
        return {
            'preset': self.preset,
            'thresholds': list(PRESETS[self.preset]),
            'level': self.level,
            'body_detections': BODY_RULES[self.body_rule],
            'score_decimals': self.matching.score_decimals,
            'ties': 'late first' if self.matching.late_ties else 'video, start, end',
        }


@dataclass(frozen=True)
class LevelResult:
    """One level, matched.

    Attributes:
        matches: At ``THRESHOLDS``.
        predictions: What was matched, labels of this level.
        ranking: All of them, best first.
        precisions: (T, C) average precision.
    """

    matches: Matches
    predictions: Predictions
    ranking: np.ndarray
    precisions: np.ndarray


def evaluate_rows(
    predictions: Predictions | Mapping[str, Predictions],
    truth: DetectionTruth,
    space: LabelSpace,
    options: DetectionOptions | None = None,
) -> list[dict[str, Any]]:
    """A row over all videos, then one per domain that has any instance.

    Args:
        predictions: Of the videos of ``truth``, by its numbers. Detections of actions,
            relabelled here for the body level; or level to detections, with labels of
            that level.
        truth: The videos to evaluate.
        space: Label space, with the body groups of the run.
        options: Choices that move a number.

    Returns:
        Rows as of :func:`evaluate_row`, each with its ``domain`` (``all`` first). The
        first has ``across_domains`` where there is more than one domain.

    Raises:
        ValueError: No instance at all.
    """
    levels = _by_level(predictions, space)
    rows = [{'domain': ALL_DOMAINS, **evaluate_row(levels, truth, space, options)}]
    names = [d for d in DOMAINS if d in truth.domains]
    names += sorted(set(truth.domains) - {*DOMAINS, ''})
    for domain in names:
        chosen = [i for i, d in enumerate(truth.domains) if d == domain]
        part = truth.select(chosen)
        if not len(part.instances):
            rows[0]['counts'].setdefault('domains_without_truth', []).append(domain)
            continue
        own = {key: _restrict(p, chosen) for key, p in levels.items()}
        rows.append({'domain': domain, **evaluate_row(own, part, space, options)})
    if len(rows) > 2:
        rows[0]['across_domains'] = across_domains(
            {r['domain']: r['metrics'] for r in rows[1:]}
        )
    return rows


def evaluate_row(
    predictions: Predictions | Mapping[str, Predictions],
    truth: DetectionTruth,
    space: LabelSpace,
    options: DetectionOptions | None = None,
) -> dict[str, Any]:
    """One row: ``counts``, ``metrics`` and what stands behind them.

    Args:
        predictions: As for :func:`evaluate_rows`.
        truth: The videos to evaluate.
        space: Label space, with the body groups of the run.
        options: Choices that move a number.

    Returns:
        ``counts``, ``metrics`` (``metric_keys``), ``presets`` (the averages of each),
        ``frequent`` (metrics over classes with at least ten truths), ``recall`` (at N
        per video, mean over the thresholds of the preset), ``per_class``, and
        ``intervals`` unless they are switched off.

    Raises:
        ValueError: No instance.
    """
    options = options or DetectionOptions()
    found = match_levels(predictions, truth.instances, space, options)
    precisions = {level: r.precisions for level, r in found.items()}
    row: dict[str, Any] = {
        'counts': _counts(found, truth),
        'metrics': to_percent(detection_metrics(precisions, preset=options.preset)),
        'presets': {name: _averages(precisions, name) for name in PRESETS},
        'frequent': _frequent(found, options.preset),
        'recall': _recall(found, options.preset),
        'per_class': {
            level: _per_class(r, _names(space, level), options.preset)
            for level, r in found.items()
        },
    }
    if options.bootstrap.resamples:
        levels = {k: Level.of(r.matches, r.predictions) for k, r in found.items()}
        intervals, by_class = detection_intervals(
            levels, truth.people(), options.preset, options.bootstrap
        )
        row['intervals'] = {**intervals.record(scale=100.0), 'method': METHOD}
        for level, bounds in by_class.items():
            row['per_class'][level]['AP_bounds'] = np.round(100 * bounds, 4).tolist()
    return row


def match_levels(
    predictions: Predictions | Mapping[str, Predictions],
    truth: Instances,
    space: LabelSpace,
    options: DetectionOptions | None = None,
) -> dict[str, LevelResult]:
    """Every level asked for, matched at all nine thresholds."""
    options = options or DetectionOptions()
    levels = _by_level(predictions, space)
    found: dict[str, LevelResult] = {}
    for level in options.levels():
        own = truth if level == 'action' else truth.relabel(space.body_of)
        scored = levels[level]
        same = [r for r in found.values() if r.predictions.scores is scored.scores]
        ranking = same[0].ranking if same else None
        if ranking is None:  # relabelling keeps it
            ranking = rank_predictions(scored, options.matching)
        matches = match_detections(own, scored, options.matching, ranking)
        found[level] = LevelResult(
            matches, scored, ranking, average_precisions(matches)
        )
    return found


def profile_levels(
    found: Mapping[str, LevelResult], truth: DetectionTruth, legacy: bool = False
) -> dict[str, Any]:
    """Error profile and sensitivity of each level, percent, plain types.

    Args:
        found: Of :func:`match_levels`.
        truth: The videos.
        legacy: The original's rule, which looks at one truth alone.
    """
    profiles = {}
    for level, result in found.items():
        values = characteristics(result.matches.truth, truth.durations)
        profiles[level] = {
            'rule': 'nearest truth' if legacy else 'own class first',
            **error_profile(result.matches, result.predictions, legacy).record(),
            'sensitivity': {
                name: sensitivity(result.matches, values[name], EDGES[name]).record()
                for name in EDGES
                if name in values
            },
        }
    return profiles


def segment_maps(
    found: Mapping[str, LevelResult], truth: DetectionTruth
) -> dict[str, float]:
    """``action/segment_mAP``, ``body/segment_mAP``, percent.

    Raises:
        ValueError: A video without a duration.
    """
    maps = {}
    for level, result in found.items():
        _, values = segment_average_precisions(
            result.matches.truth, result.predictions, truth.durations
        )
        maps[f'{level}/segment_mAP'] = 100.0 * float(values.mean())
    return maps


def _by_level(
    predictions: Predictions | Mapping[str, Predictions], space: LabelSpace
) -> dict[str, Predictions]:
    if isinstance(predictions, Mapping):
        return dict(predictions)
    return {'action': predictions, 'body': predictions.relabel(space.body_of)}


def _restrict(predictions: Predictions, videos: list[int]) -> Predictions:
    """Predictions of some videos, renumbered."""
    size = max([*videos, int(predictions.videos.max(initial=0))]) + 1
    place = np.full(size, -1, dtype=np.int64)
    place[videos] = np.arange(len(videos))
    own = predictions.select(place[predictions.videos] >= 0)
    return Predictions(place[own.videos], own.labels, own.segments, own.scores)


def _names(space: LabelSpace, level: str) -> tuple[str, ...]:
    return space.actions if level == 'action' else space.bodies


def _counts(found: Mapping[str, LevelResult], truth: DetectionTruth) -> dict[str, Any]:
    first = next(iter(found.values()))
    return {
        'videos': len(truth.names),
        'instances': len(truth.instances),
        'predictions': len(first.predictions),
        'subjects': len(set(truth.people()) - {''}),
        'classes': {k: len(r.matches.classes) for k, r in found.items()},
        'merged_truths': {k: r.matches.merged for k, r in found.items()},
        'without_truth': {k: r.matches.ignored for k, r in found.items()},
    }


def _averages(precisions: Mapping[str, np.ndarray], preset: str) -> dict[str, float]:
    metrics = to_percent(detection_metrics(precisions, preset=preset))
    return {key: value for key, value in metrics.items() if '@' not in key}


def _frequent(found: Mapping[str, LevelResult], preset: str) -> dict[str, Any]:
    members = {k: r.matches.truths >= MIN_TRUTHS for k, r in found.items()}
    precisions = {level: r.precisions for level, r in found.items()}
    return {
        'min_truths': MIN_TRUTHS,
        'classes': {level: int(own.sum()) for level, own in members.items()},
        'metrics': to_percent(detection_metrics(precisions, members, preset)),
    }


def _recall(found: Mapping[str, LevelResult], preset: str) -> dict[str, Any]:
    columns = preset_columns(preset)
    recalls = {}
    for level, result in found.items():
        table = recall_at(result.matches, result.predictions, result.ranking)
        recalls[level] = {
            str(n): 100.0 * float(values[columns].mean()) for n, values in table.items()
        }
    return recalls


def _per_class(
    result: LevelResult, names: tuple[str, ...], preset: str
) -> dict[str, list[Any]]:
    matches, percent = result.matches, np.round(100 * result.precisions, 4)
    mean = 100 * result.precisions[preset_columns(preset)].mean(axis=0)
    shown = {f'AP@{t:.2f}': percent[THRESHOLDS.index(t)].tolist() for t in SHOWN}
    return {
        'name': [names[label] for label in matches.classes],
        'truths': matches.truths.tolist(),
        'predictions': np.diff(matches.starts).tolist(),
        **shown,
        'AP': np.round(mean, 4).tolist(),
    }
