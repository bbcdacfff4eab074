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
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from mmma.data.emotions import emotion_videos, emotions_of, groups_of, unit_names
from mmma.data.root import DataRoot
from mmma.data.videos import Instance, Video, read_detections
from mmma.evaluation import bootstrap, recognition
from mmma.evaluation.rows import class_columns, to_percent
from mmma.evaluation.scores import SUFFIXES, first_of, read_scores
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
_ALIKE = np.ones(_VALUES, np.int64)

Study = tuple[FloatArray, FloatArray, IntArray, Sequence[str]]
"""(N, K) features, and 1 where the action is there; (N,) emotions and groups."""
Names = tuple[Sequence[str], Sequence[str]]
"""Of emotions, and of actions."""
Scores = dict[tuple[str, str], FloatArray]
"""(N, E) of the emotions, by experiment, and by model or how actions are chosen."""


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


def read_study(
    root: DataRoot, task: str | None, pred: Path | None, threshold: float, kind: str
) -> tuple[Study, Names, list[str]]:
    """What is studied, of the truth or of predictions, and what is left out.

    Features of scores of clips are their means, and their actions the highest ones.

    Raises:
        ValueError: No video has an emotion, predictions are of other videos, and as for
            :func:`video_features`.
    """
    videos, space = emotion_videos(root, task), root.label_space()
    notes, table = list[str](), None
    if pred:
        if pred.suffix.lower() in SUFFIXES:
            table = read_scores(pred, space)
            labels = table.scores.argmax(axis=1)
            of, events = table.names, [[Instance(0, 0, int(k))] for k in labels]
        else:
            found = read_detections(pred, space)
            of, events = found.names, [list[Instance]() for _ in found.names]
            for i in np.flatnonzero(found.scores >= threshold):
                start_sec, end_sec = found.segments_sec[i].tolist()
                one = Instance(start_sec, end_sec, int(found.labels[i]))
                events[found.videos[i]].append(one)
        units = unit_names(root, videos)
        if unknown := [name for name in of if name not in units]:
            told = f'{len(unknown)} of {len(of)} names are not in {root.path}'
            raise ValueError(f'{pred}: {told}: {first_of(unknown)}')
        rows = defaultdict(list)
        for row, name in enumerate(of):
            rows[units[name]].append(row)
        kept = [video for video in videos if video.video in rows]
        told = f'of the {len(videos)} videos that have an emotion'
        if not kept:
            raise ValueError(f'{pred}: no prediction is {told}')
        if left := len(videos) - len(kept):
            notes.append(f'{left} {told} have no predictions: they are left out')
        own = ([e for row in rows[v.video] for e in events[row]] for v in kept)
        pairs = zip(kept, own, strict=True)
        videos = [replace(v, instances=(*e,), withheld=False) for v, e in pairs]
    present = x = video_features(videos, space, 'presence')
    if not present.any():
        told = f'no micro-action is in any of {len(videos)} videos with an emotion'
        raise ValueError(f'{told}{": lower --threshold" if pred else ""}')
    if table is not None:
        x = np.array([table.scores[rows[v.video]].mean(axis=0) for v in videos])
    elif kind != 'presence':
        x = video_features(videos, space, kind)
    emotions = emotions_of(root)
    used = [e for e in emotions if e in {video.emotion for video in videos}]
    y = np.array([used.index(video.emotion) for video in videos])
    if none := [e for e in emotions if e not in used]:
        notes.append(f'no video has {", ".join(none)}')
    return (x, present, y, groups_of(videos)), (used, space.actions), notes


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
        told = bootstrap.recognition_intervals(
            {'emotion': found}, named, 'present', *how
        )
        told['unit'] = told['unit'].replace('clip', 'video')
        told['bounds'] = {key: told['bounds'][key] for key in _KEYS}
        row['intervals'] = told
    return row


def _losses(study: Study, options: StudyOptions, partings: int = 1) -> FloatArray:
    """(N, E, K) by how much probabilities fall when a feature is another video's.

    It is any other's (or one of ten quantiles of them), the model has not seen the
    group, and the loss is the mean over partings into folds.
    """
    x, _, y, groups = study
    losses = np.zeros((len(y), int(y.max()) + 1, x.shape[1]))
    model = make_model(options.model, options.seed)
    for seed in range(options.seed, options.seed + partings):
        for train, test in split_folds(y, groups, options.folds, seed):
            fitted, cells = _fit(model, x, y, train, test)
            whole = fitted.predict_proba(x[test])
            for column in np.flatnonzero(np.ptp(x[test], axis=0)):
                values, sizes = np.unique(x[test, column], return_counts=True)
                if len(values) > _VALUES:
                    steps, sizes = (np.arange(_VALUES) + 0.5) / _VALUES, _ALIKE
                    values = np.quantile(x[test, column], steps)
                copies = np.repeat(x[test][None], len(values), axis=0)
                copies[:, :, column] = values[:, None]
                found = fitted.predict_proba(copies.reshape(-1, x.shape[1]))
                means = np.average(found.reshape(-1, *whole.shape), 0, sizes)
                losses[(*cells, column)] += (whole - means) / partings
    return losses


def _contrasts(values: FloatArray, y: IntArray, weights: Any = 1) -> FloatArray:
    """(R, E, K) mean of (N, E, K) values with an emotion less that with all others.

    Source: of probabilities, Tjur's coefficient (The American Statistician 63, 2009).
    """
    drawn, each = np.atleast_2d(weights * np.ones(len(y))), []  # (R, N)
    for e in range(values.shape[1]):
        parts = drawn * (y == e), drawn * (y != e)
        with np.errstate(invalid='ignore'):  # of resamples without the emotion
            means = [w @ values[:, e] / w.sum(axis=1, keepdims=True) for w in parts]
        each.append(means[0] - means[1])
    return np.stack(each, axis=1)


def _ranked(
    losses: FloatArray, study: Study
) -> tuple[FloatArray, FloatArray, IntArray]:
    """(E, K) importances, effects (differences of shares), and actions, best first.

    Those that happen more often with the emotion than without come before the others.
    """
    _, present, y, _ = study
    values = np.repeat(present[:, None], losses.shape[1], axis=1)
    importances, effects = _contrasts(losses, y)[0], _contrasts(values, y)[0]
    return importances, effects, np.lexsort((-importances, effects <= 0))


def _design(study: Study) -> tuple[str, FloatArray, IntArray, IntArray, IntArray]:
    """The test; (U, K) actions and (U,) emotions of its units, and (U,) strata in which
    these are exchanged; the (N,) units of videos."""
    _, present, y, groups = study
    _, first, of = np.unique(groups, return_index=True, return_inverse=True)
    alone, videos = np.bincount(of)[of] == 1, np.arange(len(y))
    if alone.all():
        return "Fisher's exact test of videos", present, y, 0 * y, videos
    if (y == y[first][of]).all():
        told = "Fisher's exact test of subjects, each of whom has one emotion"
        units = np.zeros((len(first), present.shape[1]))
        np.maximum.at(units, of, present)
        return told, units, y[first], 0 * first, of
    told = 'exact test, emotions exchanged within subjects (videos of one depend)'
    return told, present, y, np.where(alone, -1, of), videos


def _shuffled(y: IntArray, strata: IntArray, shuffles: int, seed: int) -> IntArray:
    """(1 + R, U) emotions: true ones, then exchanged at random within strata."""
    rng, labels = np.random.default_rng(seed), np.tile(y, (1 + shuffles, 1))
    for row in labels[1:]:
        order = np.lexsort((rng.random(len(y)), strata))
        row[np.argsort(strata, kind='stable')] = y[order]
    return labels


def _exact(
    present: FloatArray, labels: IntArray, strata: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(R, E, K) p and q of (R, U) emotions; (E, K, M) p of each number of units.

    NaN are numbers that no exchange gives.

    Source: Fisher's exact test, its tables summed over strata; Benjamini and Hochberg,
        Journal of the Royal Statistical Society B 57, 1995.
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
        ``association`` of each emotion, ``controls``, facts of the test, and ``runs``.
    """
    _, _, y, groups = study
    losses = _losses(study, options, _PARTINGS)
    importances, effects, order = _ranked(losses, study)
    columns = {'importance': importances, 'effect': effects}
    if options.resamples:
        unit, of = bootstrap.choose_units(groups, 'video')
        columns['low'], columns['high'] = bootstrap.weighted_intervals(
            lambda drawn: {'': _contrasts(losses, y, drawn[:, of])},
            *(unit, options.resamples, options.seed),
        )[1]['']
    columns = {key: 100 * cells for key, cells in columns.items()}
    test, units, own, strata, of = _design(study)
    tested = np.flatnonzero(units.any(axis=0))
    drawn = _shuffled(own, strata, options.shuffles, options.seed)
    p, q, table = _exact(units[:, tested], drawn, strata)
    columns['p'], columns['q'] = np.ones((2, *importances.shape))
    columns['p'][:, tested], columns['q'][:, tested] = p[0], q[0]
    # What could be found at all: the first discovery needs the level over all tests.
    count, sizes = np.arange(table.shape[2]), np.bincount(own)[:, None, None]
    rest = units[:, tested].sum(axis=0)[:, None] - count
    least = 100 * (count / sizes - rest / (len(strata) - sizes))  # (E, K, M)
    least[~(table <= LEVEL / p[0].size) | (least < 0)] = np.inf
    association = {}
    for e, emotion in enumerate(names[0]):
        each = least[e].min(axis=1)
        findable = each[np.isfinite(each)].tolist()
        rows = (
            {key: float(cells[e, k]) for key, cells in columns.items()}
            for k in order[e]
        )
        actions = [names[1][k] for k in order[e]]
        association[emotion] = {
            'videos': int((y == e).sum()),
            'smallest_p': float(np.nanmin(table[e])),
            'findable': len(findable),
            'smallest_effect': float(np.median(findable)) if findable else None,
            'top': actions[:TOP],
            'actions': [{'action': a, **r} for a, r in zip(actions, rows, strict=True)],
        }
    runs = _runs(study, names, options, 'model')
    controls = {
        'shuffles': options.shuffles,
        'nominal': LEVEL,
        'any_discovery': float((q[1:] <= LEVEL).any(axis=(1, 2)).mean()),
        'p_within_nominal': float((p[1:] <= LEVEL).mean()),
        'models': {run['model']: run['shuffled'] for run in runs},
    }
    found = {'association': association, 'controls': controls, 'runs': runs}
    count, hits = p[0].size, int((q[0] <= LEVEL).sum())
    facts = {'test': test, 'tests': count, 'first': LEVEL / count, 'discoveries': hits}
    return {**facts, **found}


def _by_model(study: Study, options: StudyOptions) -> Scores:
    """Scores by all actions."""
    x, _, y, groups = study
    models = {kind: make_model(kind, options.seed) for kind in MODELS}
    how = options.folds, options.seed
    return {
        (PAPER[0]['experiment'], kind): cross_scores(x, y, groups, model, *how)
        for kind, model in models.items()
    }


def _by_selection(study: Study, options: StudyOptions) -> Scores:
    """Scores by actions that the videos that train choose, or ``all videos``."""
    x, present, y, groups = study

    def chosen(rows: IntArray) -> IntArray:
        named = [groups[i] for i in rows]
        if (folds := min(options.folds, len(set(named)))) < 2:
            told = 'a fold trains on one subject, in whose videos nothing can be chosen'
            raise ValueError(f'{told}: videos of three are needed, or more --folds')
        own = replace(options, folds=folds)
        part = x[rows], present[rows], y[rows], named
        return np.unique(_ranked(_losses(part, own), part)[2][:, :TOP])

    whole, scores = chosen(np.arange(len(y))), Scores()
    model = make_model(options.model, options.seed)
    for train, test in split_folds(y, groups, options.folds, options.seed):
        for selection, best in (('nested', chosen(train)), ('all videos', whole)):
            every = np.arange(x.shape[1])
            rest = np.setdiff1d(every, best)
            if not len(rest):
                told = f'all {len(best)} micro-actions are among the five of an emotion'
                raise ValueError(f'{told}: nothing is left without them')
            for row, kept in zip(PAPER, (every, rest, best), strict=True):
                fitted, cells = _fit(model, x[:, kept], y, train, test)
                key = row['experiment'], selection
                own = scores.setdefault(key, np.zeros((len(y), int(y.max()) + 1)))
                own[cells] = fitted.predict_proba(x[test][:, kept])
    return scores


def chance(y: IntArray) -> dict[str, float]:
    """Percent: one video, right by chance, and the least that is better than chance."""
    from scipy.stats import binom

    share, n = 1 / len(set(y.tolist())), len(y)
    better = int(binom.isf(LEVEL, n, share)) + 1
    return {'one': 100 / n, 'chance': 100 * share, 'better': 100 * better / n}


def ablate(study: Study, names: Names, options: StudyOptions) -> dict[str, Any]:
    """``runs`` of all actions, without the top five of each emotion, and of these."""
    controls = {'shuffles': min(options.shuffles, _FITTED)}
    return {'controls': controls, 'runs': _runs(study, names, options, 'selection')}


def _runs(
    study: Study, names: Names, options: StudyOptions, by: str
) -> list[dict[str, Any]]:
    """Rows by ``model`` or ``selection``, each with means of shuffled labels, and
    McNemar's p against all actions."""
    x, present, y, groups = study
    measure = _by_model if by == 'model' else _by_selection
    _, _, own, _, of = _design(study)
    few = min(options.shuffles, _FITTED)
    # Among all: no model has seen a tested person, so who it is tells nothing.
    labels = _shuffled(own, 0 * own, few, options.seed)[:, of]
    found = [measure((x, present, row, groups), options) for row in labels]
    runs = []
    for key, scores in found[0].items():
        how = groups, names[0]
        row = emotion_row(y, scores, *how, options.resamples, options.seed)
        chances = zip(labels[1:], found[1:], strict=True)
        rows = [
            emotion_row(own, each[key], *how, 0)['metrics'] for own, each in chances
        ]
        told = {k: float(np.mean([r[k] for r in rows])) for k in _KEYS}
        told['highest'] = float(np.quantile([r[_KEYS[1]] for r in rows], 0.95))
        whole = found[0][PAPER[0]['experiment'], key[1]]
        hits = (each.argmax(axis=1) == y for each in (scores, whole))
        p = {} if scores is whole else {'p_against_all': bootstrap.mcnemar_exact(*hits)}
        place = {'experiment': key[0], 'input': 'micro-action', by: key[1]}
        runs.append({**place, 'subset': 'folds', **p, 'shuffled': told, **row})
    return runs
