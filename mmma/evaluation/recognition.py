"""From scores and truth to the rows of ``results.json``.

A row holds plain types only. Rates are percent and unrounded, except in ``per_class``,
where they are rounded to four digits beside the counts they follow from. The counts of
rows add up, so rows of separate runs can be pooled exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmma.evaluation.functional.bodies import (
    BODY_SCORES,
    summed_body_scores,
    top_action_body_scores,
)
from mmma.evaluation.functional.intervals import BootstrapOptions, bootstrap_intervals
from mmma.evaluation.functional.longtail import (
    GROUPS,
    HEAD_MIN,
    TAIL_MAX,
    frequency_groups,
)
from mmma.evaluation.functional.recognition import (
    BODY_KEYS,
    CLASS_SET_KEYS,
    CLASS_SETS,
    ClassCounts,
    Outcomes,
    class_f1,
    class_precision,
    class_recall,
    count_classes,
    macro_f1,
    mean_class_accuracy,
    rank_outcomes,
    recognition_metrics,
)
from mmma.evaluation.scores import ScoreTable
from mmma.layout.rec import Clip
from mmma.taxonomy import DOMAINS, LabelSpace, check_choice, load_statistics

ALL_DOMAINS = 'all'
ALIASES = {'UAR': 'action/mca', 'WAR': 'action/top1'}
"""What the emotion literature calls two of the metrics."""


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


def evaluate_rows(
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
        Rows as of :func:`evaluate_row`, each with its ``domain`` (``all`` first). The
        first has ``across_domains`` where there is more than one domain.

    Raises:
        ValueError: A clip has no scores, or body scores that cannot be had.
    """
    names = [d for d in DOMAINS if d in set(truth.domains)]
    row = evaluate_row(table, truth, space, options)
    rows = [{'domain': ALL_DOMAINS, **row}]
    for domain in names:
        part = truth.select([i for i, d in enumerate(truth.domains) if d == domain])
        rows.append({'domain': domain, **evaluate_row(table, part, space, options)})
    if len(names) > 1:
        rows[0]['across_domains'] = across_domains(
            {r['domain']: r['metrics'] for r in rows[1:]}
        )
    return rows


def evaluate_row(
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
        ValueError: As for :func:`evaluate_rows`.
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
                **_per_class(space.actions, counts['action']),
                'group': frequency.tolist(),
            },
            'body': _per_class(space.bodies, counts['body']),
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


def _per_class(names: Sequence[str], counts: ClassCounts) -> dict[str, list[Any]]:
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
        part = _restrict(counts, frequency == group)
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


def _restrict(counts: ClassCounts, members: np.ndarray) -> ClassCounts:
    return ClassCounts(
        support=counts.support[members],
        predicted=counts.predicted[members],
        hits=counts.hits[members],
        top5_hits=counts.top5_hits[members],
    )


def _index(value: int | None) -> int:
    return -1 if value is None else value
