"""Emotions of videos, told from the micro-actions in them.

A video is a row: its micro-actions, its emotion, and the group (the subject, or else
the source) whose videos are never in two folds.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmma.data.videos import Video
from mmma.evaluation.bootstrap import recognition_intervals
from mmma.evaluation.recognition import (
    confusion_matrix,
    count_classes,
    rank_outcomes,
    recognition_metrics,
)
from mmma.evaluation.rows import class_columns, to_percent
from mmma.structures.segments import FloatArray, IntArray
from mmma.taxonomy import LabelSpace, check_choice

FEATURES = ('presence', 'count', 'share', 'rate')
MODELS = ('tree', 'linear')
_SHOWN = ('top1', 'mca', 'macro_f1')


def video_features(videos: Sequence[Video], space: LabelSpace, kind: str) -> FloatArray:
    """(N, K) micro-actions of videos.

    ``presence`` is 0 or 1, ``count`` the number of instances, ``share`` the part of the
    video that any of them covers, ``rate`` their number per minute.

    Raises:
        ValueError: Another kind, truth that is withheld, a length that is unknown.
    """
    check_choice('features', kind, FEATURES)
    if hidden := [video.video for video in videos if video.withheld]:
        raise ValueError(
            f'the micro-actions of {len(hidden)} of {len(videos)} videos are withheld '
            f'(the first: {hidden[0]!r}): give predictions of them with --pred'
        )
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
    """An unfitted classifier of scikit-learn, ``tree`` or ``linear``.

    All emotions weigh alike, however many videos have them.

    Raises:
        ValueError: Another kind.
        ImportError: scikit-learn is missing.
    """
    check_choice('model', kind, MODELS)
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.tree import DecisionTreeClassifier
    except ImportError as error:
        raise ImportError(f"{error}: pip install 'mmma[emotion]'") from None
    if kind == 'tree':
        return DecisionTreeClassifier(
            class_weight='balanced', min_samples_leaf=5, random_state=seed
        )
    linear = LogisticRegression(C=0.1, class_weight='balanced', max_iter=1000)
    return make_pipeline(StandardScaler(), linear)


def split_folds(
    y: IntArray, groups: Sequence[str], folds: int, seed: int
) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows that train and rows that test, of each fold; a group tests in one of them.

    Emotions have equal shares in all folds as far as the groups allow it.

    Raises:
        ValueError: One emotion, fewer videos or groups than folds, or a fold all of
            whose training videos have one emotion.
    """
    from sklearn.model_selection import (
        GroupKFold,
        KFold,
        StratifiedGroupKFold,
        StratifiedKFold,
    )

    sizes, count = np.bincount(y), len(set(groups))
    if (sizes > 0).sum() < 2:
        told = f'all {len(y)} videos have one emotion'
        raise ValueError(f'{told}: nothing is to be told apart, give videos of two')
    if not 2 <= folds <= len(y):
        raise ValueError(f'{folds} folds of {len(y)} videos: use --folds 2 to {len(y)}')
    if folds > count:
        told = f'the {len(y)} videos are of {count} subject{"s" * (count > 1)}'
        so = f'use --folds {count}' if count > 1 else 'it would be in all of them'
        raise ValueError(f'{told}, which cannot be parted into {folds} folds: {so}')
    splitter: Any = KFold(folds) if count == len(y) else GroupKFold(folds)
    if sizes.max() >= folds:
        kind = StratifiedKFold if count == len(y) else StratifiedGroupKFold
        splitter = kind(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', UserWarning)  # of emotions of few videos
        parts = list(splitter.split(y, y, None if count == len(y) else [*groups]))
    if not all(len(test) for _, test in parts):  # stratified, with few groups
        parts = list(GroupKFold(folds).split(y, y, [*groups]))
    for train, test in parts:
        if len(set(y[train])) < 2:
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

    Args:
        x: (N, K) features.
        y: (N,) emotions, 0 to E - 1.
        groups: (N,) names of groups.
        model: As of :func:`make_model`; a copy is fitted in each fold.

    Raises:
        ValueError: As for :func:`split_folds`.
    """
    from sklearn.base import clone

    table, truth = np.asarray(x, np.float64), np.asarray(y, np.int64)
    scores = np.zeros((len(truth), int(truth.max()) + 1))
    for train, test in split_folds(truth, groups, folds, seed):
        fitted = clone(model).fit(table[train], truth[train])
        scores[np.ix_(test, fitted.classes_)] = fitted.predict_proba(table[test])
    return scores


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
        ``intervals``: of groups where there are five and they repeat, else of videos.
    """
    outcomes = rank_outcomes(scores, truth)
    counts, units = count_classes(outcomes), len(set(groups))
    levels, size = {'emotion': outcomes}, len(outcomes.labels)
    found = to_percent(recognition_metrics({'emotion': counts}))
    keys = [f'emotion/{name}' for name in _SHOWN]
    table = confusion_matrix(outcomes.labels, outcomes.predictions, len(emotions))
    present = int((counts.support > 0).sum())
    row: dict[str, Any] = {
        'counts': {'videos': size, 'subjects': units, 'emotions': present},
        'metrics': {key: found[key] for key in keys},
        'per_class': {'emotion': class_columns(emotions, counts)},
        'confusion': {'labels': list(emotions), 'counts': table.tolist()},
    }
    if resamples:
        named = groups if units < size else [''] * size
        told = recognition_intervals(levels, named, 'present', resamples, seed)
        bounds = {key: told['bounds'][key] for key in keys}
        unit = 'video' if told['unit'] == 'clip' else 'subject'
        row['intervals'] = {**told, 'unit': unit, 'bounds': bounds}
    return row
