"""Rows of results.json, of both tasks, from scores and truth.

A row holds plain types only. Rates are percent and unrounded, except in ``per_class``,
where they are rounded to four digits beside the counts they follow from. Counts of
recognition add up, so rows of separate runs can be pooled exactly. AP ranks predictions
over all videos, so rows of detection cannot: pool their detections.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import numpy as np

from mmma.data.clips import Clip
from mmma.data.videos import Video
from mmma.evaluation.bootstrap import (
    METHOD,
    BootstrapOptions,
    bootstrap_intervals,
    detection_intervals,
)
from mmma.evaluation.detection import (
    LEVELS,
    MIN_TRUTHS,
    PRESETS,
    SHOWN,
    THRESHOLDS,
    Instances,
    Matches,
    MatchOptions,
    Predictions,
    average_precisions,
    detection_metrics,
    match_detections,
    preset_columns,
    rank_predictions,
    recall_at,
    segment_average_precisions,
)
from mmma.evaluation.errors import EDGES, characteristics, error_profile, sensitivity
from mmma.evaluation.recognition import (
    BODY_KEYS,
    BODY_SCORES,
    CLASS_SET_KEYS,
    CLASS_SETS,
    GROUPS,
    HEAD_MIN,
    TAIL_MAX,
    ClassCounts,
    Outcomes,
    class_f1,
    class_precision,
    class_recall,
    count_classes,
    frequency_groups,
    macro_f1,
    mean_class_accuracy,
    rank_outcomes,
    recognition_metrics,
    summed_body_scores,
    top_action_body_scores,
)
from mmma.evaluation.scores import ScoreTable
from mmma.evaluation.segment_files import DetectionTruth
from mmma.structures.segments import Detections
from mmma.taxonomy import DOMAINS, LabelSpace, check_choice, load_statistics

SCHEMA = 1
"""Of ``results.json``."""
_PACKAGES = ('mmma', 'torch', 'mmengine', 'mmcv-lite', 'mmaction2', 'numpy')
ALL_DOMAINS = 'all'
ALIASES = {'UAR': 'action/mca', 'WAR': 'action/top1'}
"""What the emotion literature calls two of the metrics."""


@dataclass(frozen=True)
class Group:
    """Scores that make one row of ``results.json``, or one and one per domain.

    Attributes:
        labels: What the row is: ``target``, ``shots``, ``run``, ``control``, ...; those
            without ``target`` are split by domain.
        table: Scores of clips; or level to video to its detections after NMS.
        broken: Clips or videos that were left out because they could not be read.
    """

    labels: dict[str, Any]
    table: ScoreTable | Mapping[str, Mapping[str, Detections]]
    broken: Sequence[str] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Its clips or videos."""
        table = self.table
        return table.names if isinstance(table, ScoreTable) else tuple(table['action'])

    def select(self, labels: dict[str, Any], keep: Callable[[str], bool]) -> Group:
        """A group of some of the clips or videos, in the same order."""
        names, table = [n for n in self.names if keep(n)], self.table
        if isinstance(table, ScoreTable):
            own: Any = table.select(names)
        else:
            own = {level: {n: t[n] for n in names} for level, t in table.items()}
        return Group(labels, own, [n for n in self.broken if keep(n)])


def group_rows(
    groups: Iterable[Group],
    entries: Iterable[Clip] | Iterable[Video],
    space: LabelSpace,
    options: EvaluationOptions | DetectionOptions,
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Rows of ``results.json``, each behind the labels of its group.

    Args:
        groups: What was scored.
        entries: Clips or videos of the data root.
        space: Label space, with the body groups of the run.
        options: Choices that move a number.

    Raises:
        ValueError: Truth that is withheld, or nothing happens in a group's videos.
    """
    of_name = {e.clip if isinstance(e, Clip) else e.video: e for e in entries}
    rows: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for group in groups:
        own = [of_name[name] for name in group.names]
        alone = 'target' in group.labels
        if isinstance(group.table, ScoreTable):
            measure: Any = recognition_row if alone else recognition_rows
            found = measure(group.table, Truth.from_clips(own), space, options)
        else:
            require_truth([v.video for v in own if v.withheld])
            truth = DetectionTruth.from_videos(own)
            if not len(truth.instances):
                raise ValueError(
                    f'{group.labels}: there is no instance in its {len(own)} videos, '
                    'so nothing can be measured: choose other domains or another '
                    'subset.'
                )
            levels = {level: join_videos(d) for level, d in group.table.items()}
            measure = detection_row if alone else detection_rows
            found = measure(levels, truth, space, options)
        rows += [(group.labels, row) for row in ([found] if alone else found)]
    return rows


def join_videos(detections: Mapping[str, Detections]) -> Predictions:
    """Detections of all videos as columns, videos numbered in their order."""
    parts = list(detections.values())
    joined = Detections.concat(parts)
    videos = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Predictions(videos, joined.labels, joined.segments_sec, joined.scores)


def require_truth(withheld: Sequence[str]) -> None:
    """Refuse videos whose truth is withheld.

    Raises:
        ValueError: There are some.
    """
    if withheld:
        raise ValueError(
            f'the annotations of {len(withheld)} videos are withheld (the first: '
            f'{withheld[0]!r}): they cannot be scored here'
        )


def environment(device: str) -> dict[str, str]:
    """Versions and device of a run; nothing that names a person or a machine."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = 'absent'
    return {'python': platform.python_version(), **versions, 'device': device}


@dataclass(frozen=True)
class Truth:
    """What is true of N clips.

    Attributes:
        names: (N,) clip names.
        labels: (N,) action indices.
        bodies: (N,) body group indices.
        domains: (N,) domain names.
        subjects: (N,) subject names; empty where unknown. A name stands for one
            person within a domain.

    Raises:
        ValueError: Columns of different length, or a withheld (negative) label.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    bodies: np.ndarray
    domains: tuple[str, ...]
    subjects: tuple[str, ...]

    def __post_init__(self) -> None:
        columns = (self.labels, self.bodies, self.domains, self.subjects)
        if {len(c) for c in columns} != {len(self.names)}:
            raise ValueError(
                f'columns of {[len(c) for c in columns]} rows for {len(self.names)} '
                'clips: give one label, body, domain and subject per clip'
            )
        known = (np.asarray(self.labels) >= 0) & (np.asarray(self.bodies) >= 0)
        if not known.all():
            withheld = np.flatnonzero(~known)
            raise ValueError(
                f'{len(withheld)} of {len(self.names)} clips have no action, for '
                f'instance {self.names[withheld[0]]!r}: their truth is withheld, so '
                'they cannot be scored here; send the scores to whoever holds it'
            )

    @classmethod
    def from_clips(cls, clips: Iterable[Clip]) -> Truth:
        """Truth of rows of ``rec.csv``."""
        rows = list(clips)
        return cls(
            names=tuple(c.clip for c in rows),
            labels=np.array([_index(c.action) for c in rows], dtype=np.int64),
            bodies=np.array([_index(c.body) for c in rows], dtype=np.int64),
            domains=tuple(c.domain for c in rows),
            subjects=tuple(c.subject for c in rows),
        )

    def select(self, rows: Sequence[int]) -> Truth:
        """The clips at ``rows``."""
        return Truth(
            names=tuple(self.names[i] for i in rows),
            labels=np.asarray(self.labels)[rows],
            bodies=np.asarray(self.bodies)[rows],
            domains=tuple(self.domains[i] for i in rows),
            subjects=tuple(self.subjects[i] for i in rows),
        )

    def people(self) -> list[str]:
        """(N,) subjects with their domain; empty where unknown."""
        pairs = zip(self.domains, self.subjects, strict=True)
        return [f'{domain}/{subject}' if subject else '' for domain, subject in pairs]


@dataclass(frozen=True)
class EvaluationOptions:
    """Choices that move a number; they belong into ``options`` of ``results.json``.

    Attributes:
        class_set: Classes of MCA and macro F1: ``present``, ``union`` or ``all``.
        body_scores: ``sum``, ``top1`` or ``head``; the default is ``sum``.
        bootstrap: Options of the intervals; 0 resamples leave them out.
        train_counts: (K,) training clips per action, for head, medium and tail.
            Without them published counts are used, then those of the truth.
    """

    class_set: str = 'present'
    body_scores: str = 'sum'
    bootstrap: BootstrapOptions = field(default_factory=BootstrapOptions)
    train_counts: Sequence[int] | None = None

    def __post_init__(self) -> None:
        check_choice('class set', self.class_set, CLASS_SETS)
        check_choice('body scores', self.body_scores, BODY_SCORES)


def recognition_rows(
    table: ScoreTable,
    truth: Truth,
    space: LabelSpace,
    options: EvaluationOptions | None = None,
) -> list[dict[str, Any]]:
    """A row over all clips, then one per domain.

    Args:
        table: Scores of at least the clips of ``truth``, columns as in ``space``.
        truth: The clips to evaluate.
        space: Label space, with the body groups of the run.
        options: Choices that move a number.

    Returns:
        Rows as of :func:`recognition_row`, each with its ``domain`` (``all`` first).
        The first has ``across_domains`` where there is more than one domain.

    Raises:
        ValueError: A clip has no scores, or body scores that cannot be had.
    """
    return _by_domain(
        truth.domains,
        lambda rows: recognition_row(
            table, truth if rows is None else truth.select(rows), space, options
        ),
    )


def _by_domain(
    domains: Sequence[str], measure: Callable[[list[int] | None], dict[str, Any] | None]
) -> list[dict[str, Any]]:
    """A row over everything, then one per domain.

    Args:
        domains: Of each clip or video; empty where unknown.
        measure: Row of the clips or videos at some places, None means all; None where
            nothing can be measured.
    """
    rows = [{'domain': ALL_DOMAINS, **(measure(None) or {})}]
    names = [d for d in DOMAINS if d in domains]
    names += sorted(set(domains) - {*DOMAINS, ''})
    for domain in names:
        row = measure([i for i, d in enumerate(domains) if d == domain])
        if row is None:
            rows[0]['counts'].setdefault('domains_without_truth', []).append(domain)
        else:
            rows.append({'domain': domain, **row})
    if len(rows) > 2:
        rows[0]['across_domains'] = across_domains(
            {r['domain']: r['metrics'] for r in rows[1:]}
        )
    return rows


def recognition_row(
    table: ScoreTable,
    truth: Truth,
    space: LabelSpace,
    options: EvaluationOptions | None = None,
) -> dict[str, Any]:
    """One row: ``counts``, ``metrics`` and what stands behind them.

    Args:
        table: Scores of at least the clips of ``truth``, columns as in ``space``.
        truth: The clips to evaluate.
        space: Label space, with the body groups of the run.
        options: Choices that move a number.

    Returns:
        ``counts`` (clips, classes and bodies present, subjects), ``metrics`` (the keys
        of METRIC_KEYS), ``class_sets`` and ``body_scores`` (what those options move,
        for each of their values), ``per_class``, ``groups``, and ``intervals`` unless
        they are switched off.

    Raises:
        ValueError: As for :func:`recognition_rows`.
    """
    options = options or EvaluationOptions()
    table = table.select(truth.names)
    actions = rank_outcomes(table.scores, truth.labels)
    variants = {
        name: rank_outcomes(scores, truth.bodies)
        for name, scores in body_variants(table, space, options.body_scores).items()
    }
    outcomes = {'action': actions, 'body': variants[options.body_scores]}
    counts = {level: count_classes(o) for level, o in outcomes.items()}
    frequency, basis = class_frequency(counts['action'], space, options.train_counts)
    row = {
        'counts': _row_counts(truth, counts),
        'metrics': to_percent(recognition_metrics(counts, options.class_set)),
        'class_sets': _by_class_set(counts),
        'body_scores': _by_variant(counts['action'], variants, options.class_set),
        'per_class': {
            'action': {
                **_rec_per_class(space.actions, counts['action']),
                'group': frequency.tolist(),
            },
            'body': _rec_per_class(space.bodies, counts['body']),
        },
        'groups': _groups(counts['action'], frequency, basis, options.class_set),
    }
    if options.bootstrap.resamples:
        intervals = bootstrap_intervals(
            outcomes, truth.people(), options.class_set, options.bootstrap
        )
        row['intervals'] = intervals.record(scale=100.0)
    return row


def across_domains(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Mean and worst domain of each metric.

    Args:
        metrics: Domain to its metrics.

    Returns:
        ``mean`` and ``worst`` (metric to value) and ``worst_domain`` (metric to name;
        of equal domains the first).
    """
    keys = next(iter(metrics.values())).keys()
    worst = {}
    for key in keys:
        column = {domain: values[key] for domain, values in metrics.items()}
        worst[key] = min(column, key=column.__getitem__)
    return {
        'mean': {k: float(np.mean([m[k] for m in metrics.values()])) for k in keys},
        'worst': {k: metrics[domain][k] for k, domain in worst.items()},
        'worst_domain': worst,
    }


def body_variants(
    table: ScoreTable, space: LabelSpace, chosen: str
) -> dict[str, np.ndarray]:
    """(N, B) body scores of every variant that can be had.

    ``sum`` needs scores that are not negative, ``head`` a model with body scores.

    Raises:
        ValueError: The chosen variant cannot be had.
    """
    variants = {}
    if chosen == 'sum' or table.scores.min(initial=0) >= 0:
        variants['sum'] = summed_body_scores(
            table.scores, space.body_of, space.num_bodies
        )
    variants['top1'] = top_action_body_scores(
        table.scores, space.body_of, space.num_bodies
    )
    if table.body_scores is not None:
        variants['head'] = table.body_scores
    if chosen not in variants:
        raise ValueError(
            f'body scores {chosen!r}: the scores come without any of a body head; use '
            f'one of {", ".join(variants)}'
        )
    return variants


def class_frequency(
    counts: ClassCounts, space: LabelSpace, train_counts: Sequence[int] | None
) -> tuple[np.ndarray, str]:
    """(K,) head, medium or tail, and which counts decided it.

    Published counts cover all subsets, so the published share of training clips turns
    them into expected training clips.
    """
    if train_counts is not None:
        return frequency_groups(train_counts), 'train'
    if space.rec_instances is not None:
        clips = load_statistics()['rec']['all']
        share = clips['train'] / clips['clips']
        return frequency_groups(np.array(space.rec_instances) * share), 'published'
    return frequency_groups(counts.support), 'truth'


def to_percent(fractions: Mapping[str, Any]) -> dict[str, float]:
    """Fractions as plain percent; the one place where that happens to metrics."""
    return {key: 100.0 * float(value) for key, value in fractions.items()}


def _row_counts(truth: Truth, counts: Mapping[str, ClassCounts]) -> dict[str, int]:
    return {
        'clips': len(truth.names),
        'classes_present': int((counts['action'].support > 0).sum()),
        'bodies_present': int((counts['body'].support > 0).sum()),
        'subjects': len(set(truth.people()) - {''}),
    }


def _by_class_set(counts: Mapping[str, ClassCounts]) -> dict[str, dict[str, float]]:
    values = {
        name: to_percent(recognition_metrics(counts, name)) for name in CLASS_SETS
    }
    return {name: {k: v[k] for k in CLASS_SET_KEYS} for name, v in values.items()}


def _by_variant(
    actions: ClassCounts, variants: Mapping[str, Outcomes], class_set: str
) -> dict[str, dict[str, float]]:
    rows = {}
    for name, outcomes in variants.items():
        counts = {'action': actions, 'body': count_classes(outcomes)}
        metrics = to_percent(recognition_metrics(counts, class_set))
        rows[name] = {key: metrics[key] for key in BODY_KEYS}
    return rows


def _rec_per_class(names: Sequence[str], counts: ClassCounts) -> dict[str, list[Any]]:
    def integers(values: np.ndarray) -> list[int]:
        return [int(value) for value in values]

    def rates(values: np.ndarray) -> list[float]:
        return [round(100.0 * float(value), 4) for value in values]

    return {
        'name': list(names),
        'support': integers(counts.support),
        'predicted': integers(counts.predicted),
        'hits': integers(counts.hits),
        'top5_hits': integers(counts.top5_hits),
        'recall': rates(class_recall(counts)),
        'precision': rates(class_precision(counts)),
        'f1': rates(class_f1(counts)),
    }


def _groups(
    counts: ClassCounts, frequency: np.ndarray, basis: str, class_set: str
) -> dict[str, Any]:
    row: dict[str, Any] = {'basis': basis, 'head_min': HEAD_MIN, 'tail_max': TAIL_MAX}
    for group in GROUPS:
        part = _restrict_clips(counts, frequency == group)
        clips = int(part.support.sum())
        row[group] = {
            'classes': int((frequency == group).sum()),
            'classes_present': int((part.support > 0).sum()),
            'clips': clips,
        }
        if clips:
            row[group] |= to_percent(
                {
                    'action/top1': part.hits.sum() / clips,
                    'action/top5': part.top5_hits.sum() / clips,
                    'action/mca': mean_class_accuracy(part, class_set),
                    'action/macro_f1': macro_f1(part, class_set),
                }
            )
    return row


def _restrict_clips(counts: ClassCounts, members: np.ndarray) -> ClassCounts:
    return ClassCounts(
        support=counts.support[members],
        predicted=counts.predicted[members],
        hits=counts.hits[members],
        top5_hits=counts.top5_hits[members],
    )


def _index(value: int | None) -> int:
    return -1 if value is None else value


LEVEL_CHOICES = (*LEVELS, 'both')
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


def detection_rows(
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
        Rows as of :func:`detection_row`, each with its ``domain`` (``all`` first).
        The first has ``across_domains`` where there is more than one domain.

    Raises:
        ValueError: No instance at all.
    """
    levels = _by_level(predictions, space)

    def measure(rows: list[int] | None) -> dict[str, Any] | None:
        if rows is None:
            return detection_row(levels, truth, space, options)
        part = truth.select(rows)
        if not len(part.instances):
            return None
        own = {key: _restrict_videos(p, rows) for key, p in levels.items()}
        return detection_row(own, part, space, options)

    return _by_domain(truth.domains, measure)


def detection_row(
    predictions: Predictions | Mapping[str, Predictions],
    truth: DetectionTruth,
    space: LabelSpace,
    options: DetectionOptions | None = None,
) -> dict[str, Any]:
    """One row: ``counts``, ``metrics`` and what stands behind them.

    Args:
        predictions: As for :func:`detection_rows`.
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
            level: _det_per_class(r, _names(space, level), options.preset)
            for level, r in found.items()
        },
    }
    if options.bootstrap.resamples:
        levels = {k: r.matches for k, r in found.items()}
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


def _restrict_videos(predictions: Predictions, videos: list[int]) -> Predictions:
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


def _det_per_class(
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
