"""Recognition metrics, body scores, controls and frequency groups.

Arrays in, fractions out. Every metric is computed from :class:`ClassCounts`, integers
that add up over clips. A point estimate, a bootstrap resample and a pool of several
runs therefore go through the same formulas. Arrays may carry leading dimensions (for
instance R resamples).

Ties: of equal scores the lower class index ranks first, for top-1, top-5 and the
confusion matrix alike. The rule looks at no truth, so it cannot favour it: a model
that scores all classes equally is right on class 0 only.

UAR (unweighted average recall) is ``mca``; WAR and micro F1 are ``top1``, because each
clip has one truth and one prediction.

Controls of few-shot runs: a few labelled clips of a target also reveal which classes
occur there, and how often. Masking and reweighting give that knowledge to zero-shot
scores, and nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mmma.structures.segments import BoolArray, FloatArray, IntArray
from mmma.taxonomy import check_choice

CLASS_SETS = ('present', 'union', 'all')
LEVELS = ('action', 'body')


@dataclass(frozen=True)
class Outcomes:
    """Truth and prediction of each of N clips, at one level.

    Attributes:
        labels: (N,) true classes.
        predictions: (N,) first-ranked classes.
        top5: (N,) true where the truth is among the first five.
        num_classes: K.
    """

    labels: IntArray
    predictions: IntArray
    top5: BoolArray
    num_classes: int

    @property
    def hits(self) -> BoolArray:
        """(N,) true where the prediction is right."""
        return np.equal(self.labels, self.predictions)

    def select(self, rows: IntArray) -> 'Outcomes':
        """Some of the clips."""
        labels, predictions = self.labels[rows], self.predictions[rows]
        return Outcomes(labels, predictions, self.top5[rows], self.num_classes)


@dataclass(frozen=True)
class ClassCounts:
    """Counts per class, the sufficient statistics of every metric here.

    Attributes:
        support: (..., K) clips whose truth is the class.
        predicted: (..., K) clips predicted as the class.
        hits: (..., K) clips of the class that are predicted as it.
        top5_hits: (..., K) clips of the class with it among the first five.
    """

    support: FloatArray
    predicted: FloatArray
    hits: FloatArray
    top5_hits: FloatArray


def rank_outcomes(scores: ArrayLike, labels: ArrayLike) -> Outcomes:
    """Outcomes of (N, K) scores, higher is more likely, and (N,) true classes.

    Raises:
        ValueError: No clip, shapes that do not fit, a score that is not finite or a
            label outside 0..K-1.
    """
    table = np.asarray(scores)
    truth = np.asarray(labels, dtype=np.int64)
    if table.ndim != 2 or truth.ndim != 1 or len(table) != len(truth):
        told = f'scores of shape {table.shape} do not fit labels of shape {truth.shape}'
        raise ValueError(f'{told}: give (N, K) and (N,)')
    if not len(truth):
        raise ValueError('no clips to evaluate: give at least one')
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0])
        raise ValueError(f'scores of row {row} are not finite (NaN or infinite)')
    if truth.min() < 0 or truth.max() >= table.shape[1]:
        told = f'labels {truth.min()}..{truth.max()}'
        raise ValueError(f'{told} lie outside 0..{table.shape[1] - 1}')
    predictions = np.argmax(table, axis=1).astype(np.int64)  # first of equals
    return Outcomes(truth, predictions, truth_ranks(table, truth) < 5, table.shape[1])


def truth_ranks(scores: NDArray[Any], labels: IntArray) -> IntArray:
    """(N,) rank of the true class of each clip, 0 for the first."""
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    ahead = (scores > own) | ((scores == own) & earlier)
    return np.asarray(ahead.sum(axis=1), dtype=np.int64)


def confusion_matrix(
    labels: ArrayLike, predictions: ArrayLike, num_classes: int
) -> IntArray:
    """(K, K) clips per true class (row) and predicted class (column)."""
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    cells = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    np.add.at(counts, cells, 1)
    return counts


def count_classes(outcomes: Outcomes) -> ClassCounts:
    """Counts per class over all clips, (K,) each."""
    labels, size = outcomes.labels, outcomes.num_classes
    of_fields = (
        labels,
        outcomes.predictions,
        labels[outcomes.hits],
        labels[outcomes.top5],
    )
    counts = (np.bincount(own, minlength=size) for own in of_fields)
    return ClassCounts(*(own.astype(np.float64) for own in counts))


def class_recall(counts: ClassCounts) -> FloatArray:
    """(..., K) hits per true clip; 0 for a class without truth."""
    return _ratio(counts.hits, counts.support)


def class_precision(counts: ClassCounts) -> FloatArray:
    """(..., K) hits per prediction; 0 for a class never predicted."""
    return _ratio(counts.hits, counts.predicted)


def class_f1(counts: ClassCounts) -> FloatArray:
    """(..., K) F1; 0 for a class with neither truth nor prediction."""
    return _ratio(2 * counts.hits, counts.support + counts.predicted)


def class_members(counts: ClassCounts, class_set: str = 'present') -> BoolArray:
    """(..., K) true for the classes of a class set.

    Those are ``present`` (with truth), ``union`` (with truth or prediction, as
    MMAction2's mean_class_accuracy and scikit-learn's default count) and ``all``.

    Raises:
        ValueError: Another word.
    """
    check_choice('class set', class_set, CLASS_SETS)
    if class_set == 'all':
        return np.ones(counts.support.shape, dtype=np.bool_)
    return (counts.support > 0) | ((class_set == 'union') & (counts.predicted > 0))


def _mean(values: FloatArray, members: BoolArray) -> FloatArray:
    """(...,) mean of (..., K) values over the member classes; 0 without members."""
    return _ratio((values * members).sum(axis=-1), members.sum(axis=-1))


def _share(hits: FloatArray, counts: ClassCounts) -> FloatArray:
    """(...,) hits of all classes per clip."""
    return _ratio(hits.sum(axis=-1), counts.support.sum(axis=-1))


class Metric(NamedTuple):
    """One metric of a level, and where it is shown.

    Attributes:
        title: Heading of its column.
        value: Counts of (..., K) and the (..., K) members of the class set to (...,)
            fractions.
        by_class_set: It depends on the class set.
        shown: Levels at which tables for the terminal show it.
        in_paper: The published tables of MMA-82 have it.
        hub: Type and name on the Hugging Face Hub, where it is published.
    """

    title: str
    value: Callable[[ClassCounts, BoolArray], FloatArray]
    by_class_set: bool = False
    shown: tuple[str, ...] = LEVELS
    in_paper: bool = True
    hub: tuple[str, str] | None = None


METRICS = {
    'top1': Metric(
        'Top-1',
        lambda counts, _: _share(counts.hits, counts),
        hub=('accuracy', 'Top-1'),
    ),
    'top5': Metric(
        'Top-5',
        lambda counts, _: _share(counts.top5_hits, counts),
        shown=('action',),
        hub=('top5_accuracy', 'Top-5'),
    ),
    'mca': Metric(
        'MCA',
        lambda counts, members: _mean(class_recall(counts), members),
        by_class_set=True,
        hub=('mean_class_accuracy', 'mean class accuracy'),
    ),
    'macro_f1': Metric(
        'macro F1',
        lambda counts, members: _mean(class_f1(counts), members),
        by_class_set=True,
        hub=('f1', 'macro F1'),
    ),
    'micro_f1': Metric(
        'micro F1', lambda counts, _: _share(counts.hits, counts), shown=()
    ),
}
"""Metrics of a level: a metric is added here, and tested; all else reads this."""
METRIC_KEYS = (*(f'{level}/{name}' for level in LEVELS for name in METRICS), 'F1_mean')
_OF_SETS = [name for name, metric in METRICS.items() if metric.by_class_set]
CLASS_SET_KEYS = (*(f'{lv}/{name}' for lv in LEVELS for name in _OF_SETS), 'F1_mean')
"""The metrics that depend on the class set."""
BODY_KEYS = (*(f'body/{name}' for name in METRICS), 'F1_mean')
"""The metrics that depend on the body scores."""


def metric_columns(keep: Callable[[str, Metric], bool]) -> dict[str, str]:
    """Titles to keys of the metrics at the levels that ``keep(level, metric)`` wants.

    Those of body groups are titled ``body ...``.
    """
    return {
        f'{"body " if level == "body" else ""}{metric.title}': f'{level}/{name}'
        for level in LEVELS
        for name, metric in METRICS.items()
        if keep(level, metric)
    }


COLUMNS = {**metric_columns(lambda lv, m: lv in m.shown), 'F1_mean': 'F1_mean'}
"""Titles and keys of tables for the terminal, and of what is published."""


def recognition_metrics(
    levels: Mapping[str, ClassCounts], class_set: str = 'present'
) -> dict[str, FloatArray]:
    """``METRIC_KEYS`` to (...,) fractions, of the counts of both levels.

    Without body groups, of the actions alone, and no ``F1_mean``.
    MCA and macro F1 are means over the class set, on which nothing else depends.

    Source: F1_mean as in the Micro-Action Challenge (MAC): the mean of macro and
        micro F1 of both levels.
    """
    metrics: dict[str, FloatArray] = {}
    for level, counts in levels.items():
        members = class_members(counts, class_set)
        for name, metric in METRICS.items():
            metrics[f'{level}/{name}'] = metric.value(counts, members)
    keys = [f'{level}/{f1}' for level in LEVELS for f1 in ('macro_f1', 'micro_f1')]
    if metrics.keys() >= {*keys}:
        metrics['F1_mean'] = np.mean([metrics[key] for key in keys], axis=0)
    return metrics


def _ratio(part: ArrayLike, whole: ArrayLike) -> FloatArray:
    """Quotient of broadcastable arrays, 0 where the denominator is 0."""
    over = np.asarray(part, dtype=np.float64)
    under = np.asarray(whole, dtype=np.float64)
    return np.divide(over, under, out=np.zeros(under.shape), where=under > 0)


BODY_SCORES = ('sum', 'top1', 'head')
"""``sum`` and ``top1`` derive body scores here; ``head`` means the model's own."""
_FLOOR = 1e-30  # keeps the fusion of contradicting levels finite


def as_mac(given: Mapping[str, Any], task: str = 'rec') -> dict[str, str]:
    """Choices that rank as the MAC challenge does, as ``--as mac`` stands for.

    ``rec`` is ranked by F1_mean, ``det`` by mAP at 0.2, 0.5 and 0.7.

    Raises:
        ValueError: The user, whose choices are ``given`` by name, chose otherwise.
    """
    chosen = {'class_set': 'union', 'body_scores': 'top1'}
    chosen = {'preset': 'mac'} if task == 'det' else chosen
    for key, value in chosen.items():
        if given.get(key) not in (None, value):
            flag = f'--{key.replace("_", "-")}'
            told = f'--as mac means {flag} {value}, but {flag} {given[key]} was given'
            raise ValueError(f'{told}: leave one of them out.')
    return chosen


def summed_body_scores(
    scores: ArrayLike, body_of: Sequence[int], num_bodies: int
) -> FloatArray:
    """(N, B) sums of the (N, K) scores of the actions of each group.

    Raises:
        ValueError: A negative score: sums of logits rank groups by their size.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.size and table.min() < 0:
        raise ValueError(
            f'negative scores (lowest {table.min():.6g}) cannot be added up to body '
            'scores: give probabilities (softmax of logits), or use body scores top1'
        )
    member = np.asarray(body_of)[:, None] == np.arange(num_bodies)  # (K, B)
    return np.asarray(table @ member.astype(np.float64))


def top_action_body_scores(
    scores: ArrayLike, body_of: Sequence[int], num_bodies: int
) -> FloatArray:
    """Rank groups by their best action, so that the first is that of the top action.

    Returns:
        (N, B) K minus the rank of the group's best action, an order and no
        probability; 0 for a group without actions.

    Source: the Micro-Action Challenge (MAC) starter kit maps the predicted action to
        its group.
    """
    table = np.asarray(scores, dtype=np.float64)
    order = np.argsort(-table, axis=1, kind='stable')
    worth = table.shape[1] - np.argsort(order, axis=1).astype(np.float64)
    groups = np.zeros((len(table), num_bodies))
    for action, body in enumerate(body_of):
        np.maximum(groups[:, body], worth[:, action], out=groups[:, body])
    return groups


def fuse_body_scores(
    action_scores: ArrayLike,
    body_scores: ArrayLike,
    body_of: Sequence[int],
    weight: float = 1.0,
) -> FloatArray:
    """Action scores that agree with the model's own body scores.

    ``p(a) ~ p_action(a) * p_body(body_of(a)) ** weight``, renormalised: what
    ``ActionHead`` with ``fusion_weight`` does in testing, for scores of files. Weight 0
    leaves the actions as they are, 1 is the plain product. An action of score 0 keeps
    it; body scores below 1e-30 count as 1e-30.

    Raises:
        ValueError: Scores that are no probabilities, or a negative weight.

    Source: a product of experts, as compared for MA-52 in SoftRerank (Micro-Action
        Challenge 2026), whose own soft fusion is not published as a formula we know;
        the exponent is our choice.
    """
    actions = _body_probabilities('action scores', action_scores)
    bodies = _body_probabilities('body scores', body_scores)
    if not weight >= 0:
        raise ValueError(f'fusion weight {weight}: use a number from 0')
    log_bodies = np.log(np.maximum(bodies, _FLOOR))[:, list(body_of)]  # (N, K)
    log_actions = np.log(actions, out=np.full_like(actions, -np.inf), where=actions > 0)
    fused = log_actions + weight * log_bodies
    fused = np.exp(fused - fused.max(axis=1, keepdims=True))
    return np.asarray(fused / fused.sum(axis=1, keepdims=True))


def _body_probabilities(kind: str, scores: ArrayLike) -> FloatArray:
    table = np.asarray(scores, dtype=np.float64)
    if table.size and (table.min() < 0 or table.max(axis=1).min() <= 0):
        raise ValueError(
            f'{kind} with a value below 0 (lowest {table.min():.6g}) or a row of zeros '
            'are no probabilities: give the softmax of logits'
        )
    return table


GROUPS = ('head', 'medium', 'tail')
HEAD_MIN = 200
TAIL_MAX = 49


def frequency_groups(counts: ArrayLike) -> NDArray[np.str_]:
    """Sort classes of (K,) clips into head, medium and tail by how often they occur.

    The limits are counts of training clips. On the published MMA-82 counts they give
    26 head, 34 medium and 22 tail classes with 80, 17 and 3 % of the clips; the usual
    100 and 20 of ImageNet-LT would leave five classes in the tail.
    """
    table = np.asarray(counts)
    return np.select([table >= HEAD_MIN, table <= TAIL_MAX], ['head', 'tail'], 'medium')


def mask_to_classes(scores: ArrayLike, classes: Sequence[int]) -> FloatArray:
    """Set the (N, K) probabilities of all other classes to 0 and renormalise.

    A row with no mass on the kept classes becomes uniform over them, so the lowest
    index is predicted.

    Raises:
        ValueError: No class to keep, an index outside 0..K-1, or a negative score.
    """
    table = _control_probabilities(scores)
    kept = np.unique(np.asarray(classes, dtype=np.int64))
    if not len(kept) or kept[0] < 0 or kept[-1] >= table.shape[1]:
        told = f'classes to keep {kept[:5].tolist()}'
        raise ValueError(f'{told}: give at least one index of 0..{table.shape[1] - 1}')
    allowed = np.isin(np.arange(table.shape[1]), kept).astype(np.float64)
    return _normalised(table * allowed, fallback=allowed / allowed.sum())


def class_prior(labels: ArrayLike, num_classes: int) -> FloatArray:
    """(K,) frequencies of N labels smoothed after Laplace: ``(count + 1) / (N + K)``.

    Raises:
        ValueError: A label outside 0..K-1.
    """
    classes = np.asarray(labels, dtype=np.int64)
    if classes.size and (classes.min() < 0 or classes.max() >= num_classes):
        told = f'labels {classes.min()}..{classes.max()}'
        raise ValueError(f'{told} lie outside 0..{num_classes - 1}')
    smooth = np.bincount(classes, minlength=num_classes) + 1.0
    return np.asarray(smooth / smooth.sum())


def reweight_by_prior(
    scores: ArrayLike, source_prior: ArrayLike, target_prior: ArrayLike
) -> FloatArray:
    """Move probabilities from one class prior to another (label shift).

    ``p_t(y | x)`` is proportional to ``p_s(y | x) * p_t(y) / p_s(y)``, so a class of
    target prior 0 gets score 0. A row that loses all its mass becomes the target prior.

    Raises:
        ValueError: A negative score, priors of another length, a source prior that is
            not above 0, a target prior that is negative or 0 everywhere.

    Source: Saerens, Latinne and Decaestecker, Neural Computation 14 (2002), eq. 2.4.
    """
    table = _control_probabilities(scores)
    source = np.asarray(source_prior, dtype=np.float64)
    target = np.asarray(target_prior, dtype=np.float64)
    if source.shape != table.shape[1:] or target.shape != table.shape[1:]:
        raise ValueError(
            f'priors of shape {source.shape} and {target.shape} do not fit scores of '
            f'{table.shape[1]} classes'
        )
    if not (source > 0).all() or not (target >= 0).all() or target.sum() <= 0:
        raise ValueError(
            'the source prior must be above 0, the target prior at least 0 and not 0 '
            'everywhere: smooth them with class_prior'
        )
    return _normalised(table * (target / source), fallback=target / target.sum())


def _control_probabilities(scores: ArrayLike) -> FloatArray:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not (table >= 0).all():
        raise ValueError(
            'scores to mask or reweight must be (N, K) probabilities, at least 0 and '
            'not NaN: take the softmax of logits first'
        )
    return table


def _normalised(table: FloatArray, fallback: FloatArray) -> FloatArray:
    mass = table.sum(axis=1, keepdims=True)
    filled = np.where(mass > 0, table, fallback)
    return np.asarray(filled / filled.sum(axis=1, keepdims=True))
