"""Emotions of videos, told from the micro-actions in them.

A video is a row: its micro-actions, its emotion, and the group (the subject, or else
the source) whose videos are never in two folds.

Tests are exact, of the number of videos with an emotion that have an action. Where
subjects repeat, emotions are exchanged within each, which sums Fisher's tables over
subjects; where each of them has one emotion, subjects are counted instead of videos.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from mmma.data.videos import Video
from mmma.evaluation import bootstrap, recognition
from mmma.evaluation.rows import class_columns, to_percent
from mmma.structures.segments import FloatArray, IntArray
from mmma.taxonomy import LabelSpace, check_choice, own_table

FEATURES = ('presence', 'count', 'share', 'rate')
MODELS = ('linear', 'tree')
PAPER = own_table('mma82_published')['emotion_top5_ablation']
LEVEL, TOP = 0.05, 5
"""Of false discoveries; actions that are named per emotion."""
_KEYS = ('emotion/top1', 'emotion/mca', 'emotion/macro_f1')
_VALUES, _PARTINGS, _FITTED = 10, 5, 20
"""Of a feature that is exchanged; partings into folds; shuffles that models see."""

Study = tuple[FloatArray, FloatArray, IntArray, Sequence[str]]
"""(N, K) features, and 1 where the action is there; (N,) emotions and groups."""
Names = tuple[Sequence[str], Sequence[str]]
"""Of emotions, and of actions."""


@dataclass(frozen=True)
class StudyOptions:
    """Choices of the emotion study; what is said of them is also help.

    Attributes:
        features: is an action there (default), how often, for which part of the video,
            how often per minute
        model: whose importances choose actions (default: linear)
        folds (N): of cross-validation (default: 5)
        shuffles (N): of labels, as a control (default: 100)
        resamples (N): of the 95 % intervals, 0 for none (default: 1000)
        seed (S): of folds, shuffles and resamples
    """

    features: Literal['presence', 'count', 'share', 'rate'] = 'presence'
    model: Literal['linear', 'tree'] = 'linear'
    folds: int = 5
    shuffles: int = 100
    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for key, least in (('shuffles', 1), ('resamples', 0), ('seed', 0)):
            if (value := getattr(self, key)) < least:
                raise ValueError(f'--{key} {value}: use {least} or more')


def video_features(videos: Sequence[Video], space: LabelSpace, kind: str) -> FloatArray:
    """(N, K) micro-actions of videos.

    ``presence`` is 0 or 1, ``count`` the number of instances, ``share`` the part of the
    video that any of them covers, ``rate`` their number per minute.

    Raises:
        ValueError: Another kind, truth that is withheld, a length that is unknown.
    """
    check_choice('features', kind, FEATURES)
    if hidden := [video.video for video in videos if video.withheld]:
        told = f'the actions of {len(hidden)} of {len(videos)} videos are withheld'
        so = 'give predictions with --pred'
        raise ValueError(f'{told} (the first: {hidden[0]!r}): {so}')
    table = np.zeros((len(videos), space.num_actions))
    for row, video in zip(table, videos, strict=True):
        if kind in ('share', 'rate') and not video.duration > 0:
            told = f'the length of {video.video!r} is unknown'
            raise ValueError(f'{told}: use --features presence or count')
        until_sec: dict[int, float] = defaultdict(float)
        for one in sorted(video.instances, key=lambda i: i.start_sec):
            fresh_sec = one.end_sec - max(one.start_sec, until_sec[one.label])
            until_sec[one.label] = max(one.end_sec, until_sec[one.label])
            row[one.label] += max(fresh_sec, 0.0) if kind == 'share' else 1
        if kind in ('share', 'rate'):
            row *= (60 if kind == 'rate' else 1) / video.duration
    return np.minimum(table, 1) if kind == 'presence' else table


def make_model(kind: str, seed: int = 0) -> Any:
    """An unfitted classifier to which all emotions weigh alike, ``tree`` or ``linear``.

    Raises:
        ValueError: Another kind.
        ImportError: scikit-learn is missing.
    """
    check_choice('model', kind, MODELS)
    try:
        from sklearn import linear_model, pipeline, preprocessing, tree
    except ImportError as error:
        raise ImportError(f"{error}: pip install 'mmma[emotion]'") from None
    alike: dict[str, Any] = {'class_weight': 'balanced', 'random_state': seed}
    if kind == 'tree':
        return tree.DecisionTreeClassifier(min_samples_leaf=10, **alike)
    linear = linear_model.LogisticRegression(C=0.3, max_iter=1000, **alike)
    return pipeline.make_pipeline(preprocessing.MaxAbsScaler(), linear)


def split_folds(
    y: IntArray, groups: Sequence[str], folds: int, seed: int
) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows that train and rows that test, of each fold; a group tests in one of them.

    Emotions have equal shares in all folds as far as the groups allow it.

    Raises:
        ValueError: One emotion, or fewer videos or groups than folds.
    """
    from sklearn import model_selection as parted

    count, size, told = len(set(groups)), len(y), f'{len(y)} videos'
    if len(set(y.tolist())) < 2:
        raise ValueError(f'{told}, all of one emotion: there is nothing to tell apart')
    if not 2 <= folds <= size:
        raise ValueError(f'{folds} folds of {told}: use --folds 2 to {size}')
    if folds > count:
        so = f'use --folds {count}' if count > 1 else 'it would be in all of them'
        told += f' of {count} subject{"s" * (count > 1)}'
        raise ValueError(f'{told} cannot be parted into {folds} folds: {so}')
    kind = parted.StratifiedKFold if count == size else parted.StratifiedGroupKFold
    found, drawn = [], dict[str, Any](shuffle=True, random_state=seed)
    if np.bincount(y).max() >= folds:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # of emotions of few videos
            found = list(kind(folds, **drawn).split(y, y, [*groups]))
    if not found or not all(len(test) for _, test in found):
        found = list(parted.GroupKFold(folds).split(y, y, [*groups]))
    for train, test in found:
        if len(set(y[train].tolist())) < 2:
            told = 'the videos that train a fold have one emotion'
            raise ValueError(f'{told}: each subject has its own; use other --folds')
        yield train, test


def cross_scores(
    x: ArrayLike,
    y: ArrayLike,
    groups: Sequence[str],
    model: Any,
    folds: int = 5,
    seed: int = 0,
) -> FloatArray:
    """(N, E) probabilities of each video by a model that has not seen its group.

    Of (N, K) features, (N,) emotions, 0 to E - 1, and (N,) names of groups; a copy of
    the model is fitted in each fold.

    Raises:
        ValueError: As for :func:`split_folds`.
    """
    table, truth = np.asarray(x, np.float64), np.asarray(y, np.int64)
    scores = np.zeros((len(truth), int(truth.max()) + 1))
    for train, test in split_folds(truth, groups, folds, seed):
        fitted, cells = _fit(model, table, truth, train, test)
        scores[cells] = fitted.predict_proba(table[test])
    return scores


def _fit(model: Any, x: Any, y: IntArray, train: IntArray, test: IntArray) -> Any:
    """A copy, fitted, and which cells of (N, E) its scores of tested rows are."""
    from sklearn.base import clone

    fitted = clone(model).fit(x[train], y[train])
    return fitted, np.ix_(test, fitted.classes_)


def emotion_row(
    truth: ArrayLike,
    scores: ArrayLike,
    groups: Sequence[str],
    emotions: Sequence[str],
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """A row of ``results.json`` of (N, E) scores of emotions.

    Returns:
        ``counts``, ``metrics`` (``emotion/top1`` is WAR, ``emotion/mca`` is UAR),
        ``per_class``, ``confusion`` (true emotions are rows), and with ``resamples``
        ``intervals``: of subjects where there are five and they repeat, else of videos.
    """
    found = recognition.rank_outcomes(scores, truth)
    counts, units = recognition.count_classes(found), len(set(groups))
    metrics = to_percent(recognition.recognition_metrics({'emotion': counts}))
    pairs = found.labels, found.predictions, len(emotions)
    size, table = len(found.labels), recognition.confusion_matrix(*pairs)
    present = int((counts.support > 0).sum())
    row: dict[str, Any] = {
        'counts': {'videos': size, 'subjects': units, 'emotions': present},
        'metrics': {key: metrics[key] for key in _KEYS},
        'per_class': {'emotion': class_columns(emotions, counts)},
        'confusion': {'labels': list(emotions), 'counts': table.tolist()},
    }
    if resamples:
        named, how = groups if units < size else [''] * size, (resamples, seed)
        told = bootstrap.recognition_intervals({'emotion': found}, named, 'all', *how)
        told['unit'] = told['unit'].replace('clip', 'video')
        told['bounds'] = {key: told['bounds'][key] for key in _KEYS}
        row['intervals'] = told
    return row


def rank_actions(
    study: Study, options: StudyOptions, partings: int = 1
) -> tuple[FloatArray, FloatArray, IntArray]:
    """(N, E, K) losses, (E, K) importances, and (E, K) actions, best first.

    A loss is by how much the probability of an emotion falls when a feature is any
    other video's (or one of ten quantiles of them), by models that have not seen the
    group; the mean over partings into folds. Actions that happen more often with the
    emotion than without come before the others.
    """
    x, present, y, groups = study
    losses = np.zeros((len(y), int(y.max()) + 1, x.shape[1]))
    model = make_model(options.model, options.seed)
    for parting in range(partings):
        for train, test in split_folds(
            y, groups, options.folds, options.seed + parting
        ):
            fitted, cells = _fit(model, x, y, train, test)
            whole = fitted.predict_proba(x[test])
            for column in np.flatnonzero(np.ptp(x[test], axis=0)):
                values, sizes = np.unique(x[test, column], return_counts=True)
                if len(values) > _VALUES:
                    steps, sizes = (np.arange(_VALUES) + 0.5) / _VALUES, None
                    values = np.quantile(x[test, column], steps)
                copies = np.repeat(x[test][None], len(values), axis=0)
                copies[:, :, column] = values[:, None]
                found = fitted.predict_proba(copies.reshape(-1, x.shape[1]))
                found = found.reshape(-1, *whole.shape)
                change = whole - np.average(found, axis=0, weights=sizes)
                losses[(*cells, column)] += change / partings
    importances = contrasts(losses, y, np.ones((1, len(y))))[0]
    order = np.lexsort((-importances, _effects(present, y) <= 0))
    return losses, importances, order


def _effects(present: FloatArray, y: IntArray) -> FloatArray:
    """(E, K) share of videos of an emotion with an action, less that of others."""
    values = np.repeat(present[:, None], int(y.max()) + 1, axis=1)
    return contrasts(values, y, np.ones((1, len(y))))[0]


def contrasts(values: FloatArray, y: IntArray, weights: ArrayLike) -> FloatArray:
    """(R, E, K) mean of (N, E, K) values with an emotion less that with all others.

    Videos have (R, N) weights.

    Source: of probabilities, Tjur's coefficient (The American Statistician 63, 2009).
    """
    each = []
    for e in range(values.shape[1]):
        own, rest = weights * (y == e), weights * (y != e)
        means = [w @ values[:, e] / w.sum(axis=1, keepdims=True) for w in (own, rest)]
        each.append(means[0] - means[1])
    return np.stack(each, axis=1)


def exact_design(
    present: FloatArray, y: IntArray, groups: Sequence[str], shuffles: int, seed: int
) -> tuple[str, FloatArray, IntArray, IntArray, IntArray]:
    """The test in words; what it counts and exchanges.

    Returns:
        Behind the words (U, K) actions of units, (1 + R, U) emotions of these, true and
        shuffled, the (U,) strata within which they are, and the (N,) units of videos.
    """
    _, first, of = np.unique(groups, return_index=True, return_inverse=True)
    alone, own, units = np.bincount(of)[of] == 1, y, present
    told, strata = 'exact test of videos, emotions exchanged within subjects', of
    if alone.all():
        told = "Fisher's exact test of videos"
    elif (y == y[first][of]).all():
        told = "Fisher's exact test of subjects, each of whom has one emotion"
        own, units = y[first], np.zeros((len(first), present.shape[1]))
        np.maximum.at(units, of, present)
    strata = 0 * own if told.startswith('F') else np.where(alone, -1, of)
    of = of if len(own) < len(y) else np.arange(len(y))
    rng, labels = np.random.default_rng(seed), np.tile(own, (1 + shuffles, 1))
    for row in labels[1:]:
        order = np.lexsort((rng.random(len(own)), strata))
        row[np.argsort(strata, kind='stable')] = own[order]
    return told, units, labels, strata, of


def exact_tests(
    present: FloatArray, labels: IntArray, strata: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Two-sided p of units of an emotion that have an action.

    Of all numbers that are as likely or less; NaN are those that cannot be.

    Returns:
        (R, E, K) p and q of (R, U) labels, which are exchanges of the first within
        strata; (E, K, M) p of each number of units.

    Source: Fisher's exact test, summed over strata; Benjamini and Hochberg, Journal of
        the Royal Statistical Society B 57, 1995.
    """
    from scipy.stats import false_discovery_control, hypergeom

    sizes = np.bincount(labels[0])
    chances = np.zeros((len(sizes), present.shape[1], sizes.max() + 1))
    chances[..., 0] = 1
    for own in (strata == stratum for stratum in np.unique(strata)):
        marked = present[own].sum(axis=0)
        drawn = np.bincount(labels[0, own], minlength=len(sizes))
        before, chances = chances, np.zeros_like(chances)
        for k in range(int(min(marked.max(), drawn.max())) + 1):
            chance = hypergeom.pmf(k, own.sum(), marked[None], drawn[:, None])
            chances[..., k:] += chance[..., None] * before[..., : chances.shape[2] - k]
    flat = chances.reshape(-1, chances.shape[2])
    sums = [((c <= c[:, None] * (1 + 1e-7)) * c).sum(axis=1) for c in flat]
    table = np.where(chances > 0, np.reshape(sums, chances.shape), np.nan).clip(0, 1)
    counts = np.eye(len(sizes))[:, labels].swapaxes(0, 1) @ present  # (R, E, K)
    cells = np.ix_(*map(np.arange, counts.shape[1:]))
    p = np.array([table[(*cells, own)] for own in counts.astype(int)])
    q = false_discovery_control(p.reshape(len(p), -1), axis=1)
    return p, q.reshape(p.shape), table


def associate(study: Study, names: Names, options: StudyOptions) -> dict[str, Any]:
    """Actions that go with each emotion, and what shuffled labels would give.

    Returns:
        ``association`` of each emotion, ``controls``, ``test``, and ``runs``.
    """
    x, present, y, groups = study
    losses, importances, order = rank_actions(study, options, _PARTINGS)
    columns = {'importance': importances, 'effect': _effects(present, y)}
    if options.resamples:
        unit, of = bootstrap.choose_units(groups, 'video')
        columns['low'], columns['high'] = bootstrap.weighted_intervals(
            lambda drawn: {'': contrasts(losses, y, drawn[:, of])},
            *(unit, options.resamples, options.seed),
        )[1]['']
    columns = {key: 100 * cells for key, cells in columns.items()}
    chances = options.shuffles, options.seed
    test, units, labels, strata, of = exact_design(present, y, groups, *chances)
    tested = np.flatnonzero(units.any(axis=0))
    p, q, table = exact_tests(units[:, tested], labels, strata)
    columns['p'], columns['q'] = np.ones((2, *importances.shape))
    columns['p'][:, tested], columns['q'][:, tested] = p[0], q[0]
    # What could be found at all: the first discovery needs the level over all tests.
    found, sizes = np.arange(table.shape[2]), np.bincount(labels[0])[:, None, None]
    rest = units[:, tested].sum(axis=0)[:, None] - found
    effects = 100 * (found / sizes - rest / (len(strata) - sizes))
    effects[(table > LEVEL / p[0].size) | np.isnan(table) | (effects < 0)] = np.inf
    least = np.median(effects.min(axis=2), axis=1)
    association = {
        emotion: {
            'top': [names[1][k] for k in order[e, :TOP]],
            'videos': int((y == e).sum()),
            'smallest_p': float(np.nanmin(table[e])),
            'smallest_effect': float(least[e]) if np.isfinite(least[e]) else None,
            'actions': [
                {'action': names[1][k]}
                | {key: float(cells[e, k]) for key, cells in columns.items()}
                for k in order[e]
            ],
        }
        for e, emotion in enumerate(names[0])
    }
    runs = []
    for kind in MODELS:
        how = groups, make_model(kind, options.seed), options.folds, options.seed
        told = {'experiment': PAPER[0]['experiment'], 'model': kind}
        each = [cross_scores(x, own[of], *how) for own in labels[: 1 + _FITTED]]
        runs.append({**told, **_controlled(each, labels[:, of], study, names, options)})
    controls = {
        'shuffles': options.shuffles,
        'nominal': LEVEL,
        'any_discovery': float((q[1:] <= LEVEL).any(axis=(1, 2)).mean()),
        'p_within_nominal': float((p[1:] <= LEVEL).mean()),
        'models': {run['model']: run['shuffled'] for run in runs},
    }
    facts = {
        'test': test,
        'tests': p[0].size,
        'discoveries': int((q[0] <= LEVEL).sum()),
    }
    return {'association': association, 'controls': controls, **facts, 'runs': runs}


def _controlled(
    scores: Sequence[FloatArray],
    labels: IntArray,
    study: Study,
    names: Names,
    options: StudyOptions,
) -> dict[str, Any]:
    """A row of the first scores and labels; means of the others, which are shuffled."""
    how = study[3], names[0]
    row = emotion_row(labels[0], scores[0], *how, options.resamples, options.seed)
    rows = [
        emotion_row(own, each, *how, 0)['metrics']
        for own, each in zip(labels[1:], scores[1:], strict=False)
    ]
    row['shuffled'] = {key: float(np.mean([r[key] for r in rows])) for key in _KEYS}
    most = np.quantile([r[_KEYS[1]] for r in rows], 0.95)
    row['shuffled'] |= {'shuffles': len(rows), 'highest': float(most)}
    return row


def leave_out(study: Study, options: StudyOptions) -> dict[tuple[str, str], FloatArray]:
    """(N, E) scores by selection, ``nested`` or ``all videos``, and experiment.

    Nested, the actions are chosen by the videos that train, in folds among these.
    """
    x, present, y, groups = study

    def chosen(rows: IntArray) -> IntArray:
        named = [groups[i] for i in rows]
        own = replace(options, folds=min(options.folds, len(set(named))))
        found = rank_actions((x[rows], present[rows], y[rows], named), own)
        return np.unique(found[2][:, :TOP])

    whole, scores = chosen(np.arange(len(y))), {}
    model = make_model(options.model, options.seed)
    for train, test in split_folds(y, groups, options.folds, options.seed):
        for selection, best in (('nested', chosen(train)), ('all videos', whole)):
            rest = np.setdiff1d(np.arange(x.shape[1]), best)
            if not len(rest):
                told = f'all {len(best)} micro-actions are among the five of an emotion'
                raise ValueError(f'{told}: nothing is left without them')
            for row, kept in zip(PAPER, (slice(None), rest, best), strict=True):
                fitted, cells = _fit(model, x[:, kept], y, train, test)
                key = selection, row['experiment']
                own = scores.setdefault(key, np.zeros((len(y), int(y.max()) + 1)))
                own[cells] = fitted.predict_proba(x[test][:, kept])
    return scores


def ablate(study: Study, names: Names, options: StudyOptions) -> dict[str, Any]:
    """Emotions from all actions, without the top five of each, and from these alone.

    Returns:
        ``runs`` by selection and experiment, and ``tests`` of each against all actions.
    """
    x, present, y, groups = study
    chances = min(options.shuffles, _FITTED), options.seed
    _, _, labels, _, of = exact_design(present, y, groups, *chances)
    found = [leave_out((x, present, own[of], groups), options) for own in labels]
    runs, tests = [], []
    for selection, experiment in found[0]:
        told = {'experiment': experiment, 'selection': selection}
        each = [scores[selection, experiment] for scores in found]
        runs.append({**told, **_controlled(each, labels[:, of], study, names, options)})
        whole = found[0][selection, PAPER[0]['experiment']]
        if each[0] is not whole:
            hits = [own.argmax(axis=1) == y for own in (each[0], whole)]
            tests.append({**told, 'p': bootstrap.mcnemar_exact(*hits)})
    return {'runs': runs, 'tests': tests}
