"""Rows of results.json, of both tasks, from scores and truth.

A row holds plain types only. Rates are percent and unrounded, except in ``per_class``,
where they are rounded to four digits beside the counts they follow from. Counts of
recognition add up, so rows of separate runs can be pooled exactly. AP ranks predictions
over all videos, so rows of detection cannot: pool their detections.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from mmma.data.clips import Clip
from mmma.data.videos import Video, true_segments
from mmma.evaluation.bootstrap import detection_intervals, recognition_intervals
from mmma.evaluation.detection import (
    FRAME_RATE,
    LEGACY_DECIMALS,
    MIN_TRUTHS,
    PRESETS,
    SHOWN,
    THRESHOLDS,
    Matches,
    average_precisions,
    detection_metrics,
    frame_average_precisions,
    match_detections,
    preset_columns,
    rank_predictions,
    recall_at,
)
from mmma.evaluation.recognition import (
    BODY_KEYS,
    BODY_SCORES,
    CLASS_SET_KEYS,
    CLASS_SETS,
    GROUPS,
    HEAD_MIN,
    LEVELS,
    METRICS,
    TAIL_MAX,
    ClassCounts,
    Outcomes,
    class_f1,
    class_members,
    class_precision,
    class_recall,
    count_classes,
    frequency_groups,
    rank_outcomes,
    recognition_metrics,
    summed_body_scores,
    top_action_body_scores,
)
from mmma.evaluation.scores import ScoreTable
from mmma.structures.segments import Segments
from mmma.taxonomy import DOMAINS, LabelSpace, check_choice, load_statistics

SCHEMA = 1
"""Version of ``results.json``."""
ALL_DOMAINS = 'all'
LEVEL_CHOICES = (*LEVELS, 'both')
BODY_RULES = {
    'as given': 'actions relabelled to body groups, scored as they are, without NMS',
    'before nms': 'actions relabelled to body groups before NMS',
    'head': 'detections of the body head',
}
"""Sources of the detections of body groups; the results say which."""

Found: TypeAlias = Segments | Mapping[str, Any]
"""Detections of actions, to be relabelled for the body level; or those of each level,
with labels of that level; and perhaps ``frames``, ``FrameScores`` of a dense head."""


@dataclass(frozen=True)
class Group:
    """Scores that make one row of ``results.json``, or one and one per domain.

    Attributes:
        labels: What the row is: ``target``, ``shots``, ``run``, ``control``, ...; those
            without ``target`` are split by domain.
        table: Scores of clips; or detections of each level after NMS, with names.
        broken: Clips or videos that were left out because they could not be read.
    """

    labels: dict[str, Any]
    table: ScoreTable | Mapping[str, Segments]
    broken: Sequence[str] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Its clips or videos."""
        table = self.table
        return table.names if isinstance(table, ScoreTable) else table['action'].names

    def select(self, labels: dict[str, Any], keep: Callable[[str], bool]) -> 'Group':
        """A group of some of the clips or videos, in the same order."""
        names, table = [n for n in self.names if keep(n)], self.table
        if isinstance(table, ScoreTable):
            own: Any = table.select(names)
        else:
            own = {level: found.of(names) for level, found in table.items()}
        return Group(labels, own, [n for n in self.broken if keep(n)])


@dataclass(frozen=True)
class EvaluationOptions:
    """Choices in recognition that move a number; what is said of them is also help.

    Attributes:
        class_set: classes of MCA and macro F1: with truth (default), or prediction, or
            all
        body_scores: sums of action scores (default), the top action's body, the file's
            own
        resamples (N): bootstrap resamples of the 95 % intervals (default 1000; 0: none)
        seed (S): seed of the bootstrap
        train_counts: (K,) training clips per action, for head, medium and tail.
            Without them published counts are used, then those of the truth.
    """

    class_set: Literal['present', 'union', 'all'] = 'present'
    body_scores: Literal['sum', 'top1', 'head'] = 'sum'
    resamples: int = 1000
    seed: int = 0
    train_counts: Sequence[int] | None = None

    def __post_init__(self) -> None:
        check_choice('class set', self.class_set, CLASS_SETS)
        check_choice('body scores', self.body_scores, BODY_SCORES)


@dataclass(frozen=True)
class DetectionOptions:
    """Choices in detection that move a number; what is said of them is also help.

    Attributes:
        preset: thresholds of the average: nine, or 0.2, 0.5 and 0.7 (default: mma82)
        level: Whose labels are matched.
        body_rule: Key of ``BODY_RULES``.
        frame_rate (R): moments per second of frame mAP (default 15); 0: 25 per video,
            as Charades
        legacy: for parity with published evaluators: scores rounded to four decimals,
            of equal ones the later in the file first, errors by the nearest truth
            alone, true segments not cut to their video
        resamples (N): bootstrap resamples of 95 % intervals, about 0.05 s each for a
            hundred truths per class (default 0: none)
        seed (S): seed of the bootstrap
    """

    preset: Literal['mma82', 'mac'] = 'mma82'
    level: Literal['action', 'body', 'both'] = 'both'
    body_rule: str = 'as given'
    frame_rate: float = FRAME_RATE
    legacy: bool = False
    resamples: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice('preset', self.preset, tuple(PRESETS))
        check_choice('level', self.level, LEVEL_CHOICES)
        check_choice('body rule', self.body_rule, tuple(BODY_RULES))
        if not 0 <= self.frame_rate < np.inf:
            raise ValueError(f'frame rate {self.frame_rate}: use a number from 0')

    def record(self) -> dict[str, Any]:
        """Plain types for the results."""
        return {
            'preset': self.preset,
            'thresholds': list(PRESETS[self.preset]),
            'level': self.level,
            'body_detections': BODY_RULES[self.body_rule],
            'score_decimals': LEGACY_DECIMALS if self.legacy else None,
            'ties': 'late first' if self.legacy else 'video, start, end',
        }


def group_rows(
    groups: Iterable[Group],
    entries: Iterable[Clip] | Iterable[Video],
    space: LabelSpace,
    options: EvaluationOptions | DetectionOptions,
    order: Sequence[str] = DOMAINS,
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Rows of ``results.json``, each behind the labels of its group.

    Entries and the order of domains are those of the data root, the label space has
    the body groups of the run.

    Raises:
        ValueError: Truth that is withheld, or nothing happens in a group's videos.
    """
    of_name = {entry.name: entry for entry in entries}
    rows: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for group in groups:
        own: Any = [of_name[name] for name in group.names]
        if not isinstance(group.table, ScoreTable):
            require_truth([v.video for v in own if v.withheld])
            if not any(v.instances for v in own):
                raise ValueError(
                    f'{group.labels}: there is no instance in its {len(own)} videos, '
                    'so nothing can be measured: choose other domains or another '
                    'subset.'
                )
        if 'target' in group.labels:
            found = [_row(group.table, own, space, options)]
        else:
            found = domain_rows(group.table, own, space, options, order)
        rows += [(group.labels, row) for row in found]
    return rows


def domain_rows(
    table: ScoreTable | Found,
    entries: Sequence[Clip] | Sequence[Video],
    space: LabelSpace,
    options: EvaluationOptions | DetectionOptions | None = None,
    order: Sequence[str] = DOMAINS,
) -> list[dict[str, Any]]:
    """A row over all clips or videos, then one per domain in which anything is true.

    Returns:
        Rows as of :func:`recognition_row` or :func:`detection_row`, each with its
        ``domain`` (``all`` first). The first has ``across_domains`` where there is more
        than one domain.

    Raises:
        ValueError: A clip without scores, body scores that cannot be had, no instance.
    """
    rows = [{'domain': ALL_DOMAINS, **_row(table, entries, space, options)}]
    there = sorted({entry.domain for entry in entries} - {''})
    unknown = [d for d in there if d not in order]
    for domain in [*(d for d in order if d in there), *unknown]:
        own: Any = [entry for entry in entries if entry.domain == domain]
        if isinstance(own[0], Video) and not any(v.instances for v in own):
            rows[0]['counts'].setdefault('domains_without_truth', []).append(domain)
        else:
            rows.append({'domain': domain, **_row(table, own, space, options)})
    if len(rows) > 2:
        metrics = {row['domain']: row['metrics'] for row in rows[1:]}
        rows[0]['across_domains'] = across_domains(metrics)
    return rows


def _row(table: Any, entries: Any, space: LabelSpace, options: Any) -> dict[str, Any]:
    measure: Any = recognition_row if isinstance(table, ScoreTable) else detection_row
    row: dict[str, Any] = measure(table, entries, space, options)
    return row


def across_domains(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Mean and worst of the metrics of each domain.

    Returns:
        ``mean`` and ``worst`` (metric to value) and ``worst_domain`` (metric to name;
        of equal domains the first).
    """
    keys = next(iter(metrics.values())).keys()
    worst = {key: min(metrics, key=lambda d, k=key: metrics[d][k]) for key in keys}
    return {
        'mean': {k: float(np.mean([m[k] for m in metrics.values()])) for k in keys},
        'worst': {k: metrics[domain][k] for k, domain in worst.items()},
        'worst_domain': worst,
    }


def require_truth(withheld: Sequence[str]) -> None:
    """Refuse videos, if there are any, whose truth is withheld."""
    if withheld:
        told = f'{len(withheld)} videos are withheld (the first: {withheld[0]!r})'
        raise ValueError(f'the annotations of {told}: they cannot be scored here')


def true_labels(clips: Sequence[Clip]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) true actions and body groups, -1 where there are none.

    Raises:
        ValueError: Those of a clip are withheld.
    """
    if withheld := [c.clip for c in clips if c.action is None]:
        raise ValueError(
            f'{len(withheld)} of {len(clips)} clips have no action, for instance '
            f'{withheld[0]!r}: their truth is withheld, so they cannot be scored here; '
            'send the scores to whoever holds it'
        )
    labels = [(c.action, -1 if c.body is None else c.body) for c in clips]
    actions, bodies = np.array(labels, dtype=np.int64).reshape(-1, 2).T
    return actions, bodies


def people(entries: Sequence[Clip] | Sequence[Video]) -> list[str]:
    """(N,) subjects with their domain, within which a name is one person; or empty."""
    return [f'{e.domain}/{e.subject}' if e.subject else '' for e in entries]


def to_percent(fractions: Mapping[str, Any]) -> dict[str, float]:
    """Fractions as plain percent; the one place where that happens to metrics."""
    return {key: 100.0 * float(value) for key, value in fractions.items()}


def clip_outcomes(
    table: ScoreTable, clips: Sequence[Clip], space: LabelSpace, body_scores: str
) -> tuple[dict[str, Outcomes], dict[str, Outcomes]]:
    """Outcomes of clips at each level, and by each variant of body scores.

    Raises:
        ValueError: As for :func:`domain_rows`, or truth that is withheld.
    """
    labels, bodies = true_labels(clips)
    table = table.select([clip.clip for clip in clips])
    scores = body_variants(table, space, body_scores)
    variants = {name: rank_outcomes(own, bodies) for name, own in scores.items()}
    outcomes = {'action': rank_outcomes(table.scores, labels)}
    if space.bodies:
        outcomes['body'] = variants[body_scores]
    return outcomes, variants


def present_classes(counts: Mapping[str, ClassCounts]) -> dict[str, int]:
    """``classes_present``, ``bodies_present`` or ``emotions``, those with truth."""
    keys = {'action': 'classes_present', 'body': 'bodies_present'}
    sizes = {level: int((own.support > 0).sum()) for level, own in counts.items()}
    return {keys.get(level, 'emotions'): size for level, size in sizes.items()}


def count_metrics(counts: Mapping[str, ClassCounts], class_set: str) -> dict[str, Any]:
    """``metrics`` of a row, and ``class_sets``, by the counts of its levels."""
    by_set = {s: to_percent(recognition_metrics(counts, s)) for s in CLASS_SETS}
    kept = {
        name: {key: own[key] for key in CLASS_SET_KEYS if key in own}
        for name, own in by_set.items()
    }
    return {'metrics': by_set[class_set], 'class_sets': kept}


def recognition_row(
    table: ScoreTable,
    clips: Sequence[Clip],
    space: LabelSpace,
    options: EvaluationOptions | None = None,
) -> dict[str, Any]:
    """One row by scores of at least these clips, columns as in ``space``.

    Returns:
        ``counts`` (clips, classes and bodies present, subjects), ``metrics`` (the keys
        of METRIC_KEYS), ``class_sets`` and ``body_scores`` (what those options move,
        for each of their values), ``per_class``, ``groups``, and ``intervals`` unless
        they are switched off.

    Raises:
        ValueError: As for :func:`domain_rows`, or truth that is withheld.
    """
    options = options or EvaluationOptions()
    outcomes, variants = clip_outcomes(table, clips, space, options.body_scores)
    counts = {level: count_classes(own) for level, own in outcomes.items()}
    actions, subjects = counts['action'], people(clips)
    by_body = {}
    for name, own in variants.items():
        levels = {**counts, 'body': count_classes(own)}
        found = to_percent(recognition_metrics(levels, options.class_set))
        by_body[name] = {key: found[key] for key in BODY_KEYS}
    frequency, basis = _class_frequency(actions, space, options.train_counts)
    named = zip((space.actions, space.bodies), counts.items(), strict=False)
    classes = {level: class_columns(names, own) for names, (level, own) in named}
    classes['action']['group'] = frequency.tolist()
    row = {
        'counts': {
            'clips': len(clips),
            **present_classes(counts),
            'subjects': len(set(subjects) - {''}),
        },
        **count_metrics(counts, options.class_set),
        'body_scores': by_body,
        'per_class': classes,
        'groups': _groups(actions, frequency, basis, options.class_set),
    }
    if options.resamples:
        chosen = options.class_set, options.resamples, options.seed
        row['intervals'] = recognition_intervals(outcomes, subjects, *chosen)
    return row


def body_variants(
    table: ScoreTable, space: LabelSpace, chosen: str
) -> dict[str, np.ndarray]:
    """(N, B) body scores of every variant that can be had.

    ``sum`` needs scores that are not negative, ``head`` a model with body scores.
    There is none where the label space has no groups.

    Raises:
        ValueError: The chosen variant cannot be had.
    """
    if not space.bodies:
        return {}
    given = (table.scores, space.body_of, space.num_bodies)
    variants = {}
    if chosen == 'sum' or table.scores.min(initial=0) >= 0:
        variants['sum'] = summed_body_scores(*given)
    variants['top1'] = top_action_body_scores(*given)
    if table.body_scores is not None:
        variants['head'] = table.body_scores
    if chosen not in variants:
        told = f'body scores {chosen!r}: the scores come without any of a body head'
        raise ValueError(f'{told}; use one of {", ".join(variants)}')
    return variants


def _class_frequency(
    counts: ClassCounts, space: LabelSpace, train_counts: Sequence[int] | None
) -> tuple[np.ndarray, str]:
    """(K,) head, medium or tail, and which counts decided it."""
    if train_counts is not None:
        return frequency_groups(train_counts), 'train'
    if space.rec_instances is not None:  # of all subsets: the share of train counts
        clips = load_statistics()['rec']['all']
        share = clips['train'] / clips['clips']
        return frequency_groups(np.array(space.rec_instances) * share), 'published'
    return frequency_groups(counts.support), 'truth'


def class_columns(names: Sequence[str], counts: ClassCounts) -> dict[str, list[Any]]:
    """Columns of ``per_class``: names, counts, and rates in percent."""
    rates = {'recall': class_recall, 'precision': class_precision, 'f1': class_f1}
    found: dict[str, list[Any]] = {'name': list(names)}
    found |= {key: own.astype(int).tolist() for key, own in vars(counts).items()}
    for key, rate in rates.items():
        found[key] = [round(100.0 * value, 4) for value in rate(counts).tolist()]
    return found


def _groups(
    counts: ClassCounts, frequency: np.ndarray, basis: str, class_set: str
) -> dict[str, Any]:
    row: dict[str, Any] = {'basis': basis, 'head_min': HEAD_MIN, 'tail_max': TAIL_MAX}
    for group in GROUPS:
        part = ClassCounts(*(own[frequency == group] for own in vars(counts).values()))
        row[group] = {
            'classes': int((frequency == group).sum()),
            'classes_present': int((part.support > 0).sum()),
            'clips': int(part.support.sum()),
        }
        if part.support.sum():
            members = class_members(part, class_set)
            names = ('top1', 'top5', 'mca', 'macro_f1')
            rates = {f'action/{n}': METRICS[n].value(part, members) for n in names}
            row[group] |= to_percent(rates)
    return row


def detection_row(
    found: Found,
    videos: Sequence[Video],
    space: LabelSpace,
    options: DetectionOptions | None = None,
) -> dict[str, Any]:
    """One row by detections with the names of at least these videos.

    Returns:
        ``counts``, ``metrics`` (with frame mAP where all durations are known, and then
        ``frames``: what it is of), ``presets`` (the averages of each), ``frequent``
        (metrics over classes with at least ten truths), ``recall`` (at N per video,
        mean over the thresholds of the preset), ``per_class``, and ``intervals`` unless
        they are switched off.

    Raises:
        ValueError: No instance.
    """
    options = options or DetectionOptions()
    truth, subjects = true_segments(videos), people(videos)
    levels = match_levels(found, truth, space, options)
    precisions = {level: average_precisions(own) for level, own in levels.items()}
    columns = preset_columns(options.preset)
    names = {'action': space.actions, 'body': space.bodies}

    def metrics(preset: str, members: Any = None) -> dict[str, float]:
        return to_percent(detection_metrics(precisions, members, preset))

    without = {k: len(m.found) - len(m.order) for k, m in levels.items()}
    often = {level: own.truths >= MIN_TRUTHS for level, own in levels.items()}
    recalls = {level: recall_at(own) for level, own in levels.items()}
    row: dict[str, Any] = {
        'counts': {
            'videos': len(videos),
            'instances': len(truth),
            'predictions': len(next(iter(levels.values())).found),
            'subjects': len(set(subjects) - {''}),
            'classes': {k: len(m.classes) for k, m in levels.items()},
            'merged_truths': {k: m.merged for k, m in levels.items()},
            'without_truth': without,
        },
        'metrics': metrics(options.preset),
        'presets': {
            name: {key: own for key, own in metrics(name).items() if '@' not in key}
            for name in PRESETS
        },
        'frequent': {
            'min_truths': MIN_TRUTHS,
            'classes': {level: int(own.sum()) for level, own in often.items()},
            'metrics': metrics(options.preset, often),
        },
        'recall': {
            level: {str(n): 100.0 * float(v[columns].mean()) for n, v in own.items()}
            for level, own in recalls.items()
        },
        'per_class': {
            level: _detection_classes(own, precisions[level], names[level], columns)
            for level, own in levels.items()
        },
    }
    seconds = [video.duration for video in videos]
    if all(0 < length < np.inf for length in seconds):
        frames = None if isinstance(found, Segments) else found.get('frames')
        scored = None if frames is None else frames.of(truth.names)
        _add_frames(row, levels, scored, seconds, (options.frame_rate, space))
    if options.resamples:
        chosen = options.preset, options.resamples, options.seed
        row['intervals'], by_class = detection_intervals(levels, subjects, *chosen)
        for level, bounds in by_class.items():
            row['per_class'][level]['AP_bounds'] = np.round(100 * bounds, 4).tolist()
    return row


def _add_frames(row: Any, levels: Any, scored: Any, seconds: Any, how: Any) -> None:
    """Add frame mAP to a row: of segments and, if frames were scored, of them."""
    rate, space = how
    row['frames'] = {'rate': rate, 'of': 'frames' if scored else 'segments'}
    for level, own in levels.items():
        values = frame_average_precisions(own.truth, own.found, seconds, rate)[1]
        row['frames'][f'{level}/frame_mAP of segments'] = 100 * float(values.mean())
        if scored:
            scores = scored.of_level(level, space.body_of)
            values = frame_average_precisions(own.truth, scores, seconds, rate)[1]
        row['metrics'][f'{level}/frame_mAP'] = 100 * float(values.mean())
        row['per_class'][level]['frame_AP'] = np.round(100 * values, 4).tolist()


def match_levels(
    found: Found,
    truth: Segments,
    space: LabelSpace,
    options: DetectionOptions | None = None,
) -> dict[str, Matches]:
    """Matches of every level asked for, at all nine thresholds, in the true videos."""
    options = options or DetectionOptions()
    given = {'action': found} if isinstance(found, Segments) else found
    levels = {k: given[k].of(truth.names) for k in LEVELS if k in given}
    if isinstance(found, Segments) and space.bodies:
        levels['body'] = levels['action'].relabel(space.body_of)
    matches: dict[str, Matches] = {}
    wanted = space.levels if options.level == 'both' else (options.level,)
    if not {*wanted} <= {*space.levels}:
        raise ValueError(f'level body: label space {space.name!r} has no body groups')
    for level in wanted:
        own = truth.relabel(space.body_of) if level == 'body' else truth
        scored = levels[level]
        for other in matches.values():
            if other.found.scores is scored.scores:  # relabelling keeps the ranking
                ranking = other.ranking
                break
        else:
            ranking = rank_predictions(scored, options.legacy)
        matches[level] = match_detections(own, scored, ranking)
    return matches


def _detection_classes(
    matches: Matches, precisions: np.ndarray, names: Sequence[str], columns: list[int]
) -> dict[str, list[Any]]:
    percent = np.round(100 * precisions, 4)
    mean = 100 * precisions[columns].mean(axis=0)
    return {
        'name': [names[label] for label in matches.classes],
        'truths': matches.truths.tolist(),
        'predictions': np.diff(matches.starts).tolist(),
        **{f'AP@{t:.2f}': percent[THRESHOLDS.index(t)].tolist() for t in SHOWN},
        'AP': np.round(mean, 4).tolist(),
    }
