"""Scores of clips: their files, and the fusion of several models.

``scores.npz`` holds ``clips`` (N names), ``scores`` (N, K) and optional ``classes``
(K names in column order; without them columns are in index order). A model with its own
body scores adds ``body_scores`` (N, B) and optional ``bodies``. Nothing is pickled.
``scores.csv`` has a column ``clip`` and one per action, in any order. Scores are used
as given: they are neither renormalised nor clipped. In a score file of frames,
``*.frames.npz``, clips are frames: ``VIDEO@SECONDS``.

Fusion takes clips by name. ``mean`` is the arithmetic mean of the scores; ``logit`` is
their geometric mean, the weighted mean of log scores, renormalised to probabilities.
"""

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import ArrayLike

from mmma.files import SHOWN, atomic_write, read_table
from mmma.foreign import control_faults, naming, read_npz
from mmma.structures.segments import FrameScores
from mmma.taxonomy import (
    LABEL_SPACES,
    LabelSpace,
    check_choice,
    load_label_space,
    suggest,
)

SUFFIXES = ('.npz', '.csv')


@dataclass(frozen=True)
class ScoreTable:
    """Scores of N clips, columns in the order of the label space.

    Attributes:
        names: (N,) clip names, each once.
        scores: (N, K) action scores, finite, higher is more likely.
        body_scores: (N, B) the model's own body scores, if it has any.

    Raises:
        ValueError: Arrays that do not fit the names, a clip that is there twice, or a
            score that is NaN or infinite.
    """

    names: tuple[str, ...]
    scores: np.ndarray
    body_scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        if twice := [name for name, n in Counter(self.names).items() if n > 1]:
            told = f'{_count(twice, "clip")} repeated: {first_of(twice)}'
            raise ValueError(f'{told}; give each once')
        arrays = {'scores': self.scores, 'body_scores': self.body_scores}
        for kind, array in arrays.items():
            if array is None:
                continue
            if array.ndim != 2 or len(array) != len(self.names):
                raise ValueError(
                    f'{kind} of shape {array.shape} do not fit {len(self.names)} '
                    'clips: give one row per clip and one column per class'
                )
            good = np.isfinite(array).all(axis=1)
            if not good.all():
                bad = [self.names[i] for i in np.flatnonzero(~good)]
                raise ValueError(
                    f'NaN or infinite {kind} of {_count(bad, "clip")}: {first_of(bad)}'
                )

    def select(self, names: Sequence[str]) -> 'ScoreTable':
        """The rows of ``names``, in that order.

        Raises:
            ValueError: A clip has no scores.
        """
        row_of = {name: row for row, name in enumerate(self.names)}
        if missing := [name for name in names if name not in row_of]:
            count = f'{len(missing)} of {len(names)} clips'
            raise ValueError(f'{count} have no scores: {first_of(missing)}')
        rows = [row_of[name] for name in names]
        bodies = None if self.body_scores is None else self.body_scores[rows]
        return ScoreTable(tuple(names), self.scores[rows], bodies)


def join_tables(tables: Sequence[ScoreTable]) -> ScoreTable:
    """One table of the clips of several, which share none.

    Body scores are kept if all tables have them.

    Raises:
        ValueError: A clip is in two tables.
    """
    bodies = [t.body_scores for t in tables if t.body_scores is not None]
    return ScoreTable(
        names=tuple(name for table in tables for name in table.names),
        scores=np.concatenate([table.scores for table in tables]),
        body_scores=np.concatenate(bodies) if len(bodies) == len(tables) else None,
    )


def file_tag(row: Mapping[str, Any]) -> str:
    """End of the name of a score file, by the labels of the row of results."""
    forms = {
        'target': '',
        'method': '',
        'shots': '{}shot',
        'control': '',
        'run': 'run{}',
    }
    known = ((form or '{}').format(row[k]) for k, form in forms.items() if k in row)
    return ''.join(f'_{part}' for part in known)


def read_scores(path: str | Path, space: LabelSpace) -> ScoreTable:
    """Read a score file and bring its columns into the order of the label space.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Another suffix, or a file that is not as the head of this module
            says; the message names the file.
    """
    path = score_file(path)
    if not path.is_file():
        raise FileNotFoundError(f'no score file {path}')
    read = _read_csv if path.suffix.lower() == '.csv' else _read_npz
    with naming(path):
        table = read(path, space)
        for fault in control_faults(dict(enumerate(table.names))):
            raise ValueError(f'clip {fault}')
        return table


def frame_table(frames: FrameScores, space: LabelSpace) -> ScoreTable:
    """A table whose clips are frames: ``VIDEO@SECONDS``."""
    sizes = zip(frames.names, map(len, frames.scores), strict=True)
    names = (f'{name}@{i / frames.rate:.4f}' for name, n in sizes for i in range(n))
    actions, bodies = np.split(
        np.concatenate(frames.scores), [space.num_actions], axis=1
    )
    return ScoreTable(tuple(names), actions, bodies if bodies.size else None)


def read_frame_scores(
    path: str | Path, space: LabelSpace, videos: Sequence[str]
) -> FrameScores:
    """Scores of the frames of these videos, of a file whose clips are frames.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not a score file, a clip that is no frame, a video without frames,
            or frames that are not evenly spaced from 0.
    """
    table = read_scores(path, space)
    rows: dict[str, list[tuple[float, int]]] = {}
    with naming(path):
        for row, clip in enumerate(table.names):
            name, _, time = clip.rpartition('@')
            try:
                rows.setdefault(name, []).append((float(time), row))
            except ValueError:
                told = 'as test.py --dump of a dense head writes them'
                raise ValueError(
                    f'clip {clip!r} is no frame: VIDEO@SECONDS, {told}'
                ) from None
        if missing := [name for name in videos if name not in rows]:
            count = f'{len(missing)} of {len(videos)} videos'
            raise ValueError(f'{count} have no frames: {first_of(missing)}')
        columns = [own for own in (table.scores, table.body_scores) if own is not None]
        whole, scores, rate = np.concatenate(columns, axis=1), [], 1.0
        for name in videos:
            times, order = np.array(sorted(rows[name])).T
            step = times[-1] / max(len(times) - 1, 1)
            even = step * np.arange(len(times))
            if not np.allclose(times, even, 0, 0.1 * step + 1e-4):
                told = 'give all, at equal distances from 0 seconds'
                raise ValueError(f'frames of {name!r} are missing: {told}')
            scores.append(whole[order.astype(np.int64)])
            rate = 1 / step if step else rate
    return FrameScores(scores, rate, videos)


def write_scores(path: str | Path, table: ScoreTable, space: LabelSpace) -> None:
    """Write a score file with its class names; a ``*.csv`` holds no body scores.

    Raises:
        ValueError: Another suffix, or a table of another width.
    """
    path = score_file(path)
    _check_width('scores', table.scores, space.actions, space)
    if path.suffix.lower() == '.csv':
        with atomic_write(path) as file:
            rows = zip(table.names, table.scores.astype(float).tolist(), strict=True)
            writer = csv.writer(file, lineterminator='\n')
            writer.writerow(['clip', *space.actions])
            writer.writerows([name, *row] for name, row in rows)
        return
    arrays = {
        'clips': np.array(table.names, dtype=np.str_),
        'scores': table.scores,
        'classes': np.array(space.actions, dtype=np.str_),
    }
    if table.body_scores is not None:
        _check_width('body_scores', table.body_scores, space.bodies, space)
        arrays['body_scores'] = table.body_scores
        arrays['bodies'] = np.array(space.bodies, dtype=np.str_)
    with atomic_write(path, 'wb') as file:
        np.savez_compressed(file, **arrays)


def score_file(path: str | Path) -> Path:
    """Path of a score file; raises ``ValueError`` where its suffix is of none."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f'score file {path}: use a name that ends in .npz or .csv')
    return path


def _read_npz(path: Path, space: LabelSpace) -> ScoreTable:
    names = 'clips', 'scores', 'classes', 'body_scores', 'bodies'
    try:
        arrays = read_npz(path, names)
    except ValueError as error:
        advice = (
            'names must be an array of strings, np.array(names, dtype=str)'
            if 'Object arrays' in str(error)
            else 'write it with np.savez(path, clips=names, scores=scores)'
        )
        raise ValueError(f'not a readable score file ({error}); {advice}') from None
    for key in ('clips', 'scores'):
        if key not in arrays:
            told = f'no array {key!r} (there are {sorted(arrays)})'
            raise ValueError(f'{told}; it must hold clips (N names) and scores (N, K)')
    bodies = None
    if 'body_scores' in arrays:
        bodies = _in_order(arrays, 'body_scores', 'bodies', space.bodies, space)
    scores = _in_order(arrays, 'scores', 'classes', space.actions, space)
    return ScoreTable(_names(arrays['clips']), scores, bodies)


def _names(array: np.ndarray) -> tuple[str, ...]:
    found = array.reshape(-1).tolist()
    texts = (n.decode() if isinstance(n, bytes) else str(n) for n in found)
    return tuple(normalize('NFC', text) for text in texts)  # macOS writes NFD


def _in_order(
    arrays: dict[str, np.ndarray],
    kind: str,
    heads: str,
    names: Sequence[str],
    space: LabelSpace,
) -> np.ndarray:
    """Scores of the file with their columns in the order of ``names``."""
    scores = arrays[kind]
    if scores.dtype.kind not in 'fiu':
        raise ValueError(f'{kind} are {scores.dtype}, not numbers')
    if heads not in arrays:
        _check_width(kind, scores, names, space)
        return scores
    columns = _names(arrays[heads])
    if scores.ndim != 2 or scores.shape[1] != len(columns):
        raise ValueError(
            f'{kind} of shape {scores.shape} do not fit {len(columns)} {heads}'
        )
    return scores[:, _column_order(columns, names, space)]


def _check_width(
    kind: str, scores: np.ndarray, names: Sequence[str], space: LabelSpace
) -> None:
    if scores.ndim != 2 or scores.shape[1] != len(names):
        told = f'label space {space.name!r} needs (N, {len(names)})'
        raise ValueError(
            f'{kind} of shape {scores.shape}: {told}; are they of another label space?'
        )


def _column_order(
    columns: Sequence[str], names: Sequence[str], space: LabelSpace
) -> list[int]:
    """Position in ``columns`` of each of ``names``."""
    position = {column: i for i, column in enumerate(columns)}
    twice = sorted({c for c in columns if columns.count(c) > 1})
    unknown = [c for c in columns if c not in set(names)]
    missing = [n for n in names if n not in position]
    errors = []
    if twice:
        errors.append(f'{_count(twice, "class column")} repeated: {first_of(twice)}')
    if unknown:
        hint = suggest(unknown[0], names)
        text = f'{_count(unknown, "unknown class column")}: {first_of(unknown)}'
        errors.append(f'{text}.{hint}' if hint else text)
    if missing:
        errors.append(f'{_count(missing, "class column")} missing: {first_of(missing)}')
    if errors:
        told = f'{"; ".join(errors)} (label space {space.name!r}, {len(names)} names)'
        for own in map(load_label_space, LABEL_SPACES):
            if {*columns} == {*own.actions}:
                told += f'. They are those of {own.name}: give --label-space {own.name}'
        raise ValueError(told)
    return [position[name] for name in names]


def _read_csv(path: Path, space: LabelSpace) -> ScoreTable:
    header, lines = read_table(path, numbers=space.actions)
    if 'clip' not in header:
        told = f'no column clip in line 1 ({first_of(header)})'
        raise ValueError(f'{told}; the file needs clip and one column per action')
    at = header.index('clip')
    order = _column_order(header[:at] + header[at + 1 :], space.actions, space)
    names, rows, bad = [], [], []
    for line, row in lines:
        values = []
        with suppress(ValueError):
            values = [float(text) for text in row[:at] + row[at + 1 :]]
        if len(values) != len(header) - 1 or len(row) != len(header):
            bad.append(str(line))
            continue
        names.append(normalize('NFC', row[at]))
        rows.append(values)
    if bad:
        told = f'{_count(bad, "row")} not of {len(header) - 1} numbers'
        raise ValueError(f'{told}: line {", ".join(bad[:SHOWN])}')
    scores = np.array(rows, dtype=np.float64).reshape(len(rows), len(order))
    return ScoreTable(tuple(names), scores[:, order])


def _count(items: Sequence[Any], noun: str) -> str:
    return f'{len(items)} {noun}{"" if len(items) == 1 else "s"}'


def first_of(items: Sequence[str]) -> str:
    """The first five names, for a message."""
    more = ', ...' if len(items) > SHOWN else ''
    return ', '.join(repr(item) for item in items[:SHOWN]) + more


SPACES = ('mean', 'logit')
FLOOR = 1e-12
"""Scores below count as this in logarithms, so that no model alone can veto a class."""

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


def align_tables(
    tables: Sequence[ScoreTable], files: Sequence[str]
) -> list[ScoreTable]:
    """Bring the clips of all tables, each read from a file, into one order.

    Raises:
        ValueError: A clip of one table is missing in another.
    """
    union = dict.fromkeys(name for table in tables for name in table.names)
    errors = []
    for table, file in zip(tables, files, strict=True):
        present = set(table.names)
        if missing := [name for name in union if name not in present]:
            count = f'{len(missing)} of {len(union)} clips'
            errors.append(f'{file} lacks {count}: {first_of(missing)}')
    if errors:
        raise ValueError(
            f'{"; ".join(errors)}; fused files must score the same clips, named alike'
        )
    return [table.select(tables[0].names) for table in tables]


def fuse_tables(
    tables: Sequence[ScoreTable], weights: ArrayLike, space: str = 'mean'
) -> ScoreTable:
    """Weighted mean of M aligned tables; of body scores, too, if all have them.

    Raises:
        ValueError: Unknown space, or negative scores in ``logit``.
    """
    check_choice('fusion space', space, SPACES)
    bodies = [t.body_scores for t in tables if t.body_scores is not None]
    heads = _fuse(bodies, weights, space) if len(bodies) == len(tables) else None
    scores = _fuse([t.scores for t in tables], weights, space)
    return ScoreTable(tables[0].names, scores, heads)


def check_weights(weights: Sequence[float], number: int) -> np.ndarray:
    """(M,) weights of ``number`` tables, scaled to add up to 1.

    Raises:
        ValueError: Another number of weights, a negative or infinite one, or all 0.
    """
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (number,):
        told = f'{array.size} weights for {number} score files'
        raise ValueError(f'{told}: give one per file, in their order')
    if not np.isfinite(array).all() or array.min() < 0 or array.sum() <= 0:
        raise ValueError(f'weights {array.tolist()}: use numbers from 0, not all 0')
    return np.asarray(array / array.sum())


def are_probabilities(scores: np.ndarray) -> bool:
    """True if no score is negative and every row of (N, K) adds up to 1, roughly."""
    near = np.abs(scores.sum(axis=1, dtype=np.float64) - 1) <= 0.01
    return bool(scores.min(initial=0) >= 0 and near.all())


def scale_notes(scores: np.ndarray, path: Path, so: str) -> list[str]:
    """A line on scores that are no probabilities, and what follows; or none."""
    if are_probabilities(scores):
        return []
    sums = scores.sum(axis=1, dtype=np.float64)
    told = f'rows add up to {sums.min():.3g} to {sums.max():.3g}'
    if scores.min() < 0:
        told += f', the lowest score is {scores.min():.3g}'
    return [f'{path}: {told}, so these are no probabilities; {so}']


def learn_weights(
    tables: Sequence[ScoreTable], labels: ArrayLike, space: str = 'mean'
) -> tuple[np.ndarray, dict[str, Any]]:
    """Weights of M aligned tables under which fusion makes (N,) labels most likely.

    The problem is convex in both spaces. Sequential quadratic programming from equal
    weights draws no random number, and the duality gap bounds what is left to gain.

    Returns:
        (M,) weights of at least 0 that add up to 1, and negative log likelihoods in
        nats per clip: ``nll`` with them, ``equal_nll`` with equal weights,
        ``single_nll`` of each model alone; ``gap``, an upper bound on ``nll`` minus its
        minimum; and ``steps`` taken.

    Raises:
        ValueError: Unknown space, no clip, or scores that are no probabilities.

    Source: the gap is that of Frank and Wolfe (Jaggi, ICML 2013, section 2).
    """
    from scipy.optimize import minimize

    check_choice('fusion space', space, SPACES)
    truth = np.asarray(labels, dtype=np.int64)
    if not len(truth):
        raise ValueError('no clips to learn weights from: give at least one')
    if not all(are_probabilities(t.scores) for t in tables):
        told = 'weights can be learnt from probabilities alone (rows that add up to 1)'
        raise ValueError(f'{told}: write the score files with softmax outputs')
    make = _mean_objective if space == 'mean' else _logit_objective
    objective, size = make([t.scores for t in tables], truth), len(tables)
    equal = np.full(size, 1 / size)
    found = minimize(
        objective,
        equal,
        jac=True,
        method='SLSQP',
        bounds=[(0, 1)] * size,
        constraints={'type': 'eq', 'fun': lambda w: w.sum() - 1},
        options={'ftol': 1e-15, 'maxiter': 1000},
    )
    weights = check_weights(np.maximum(found.x, 0), size)
    nll, gradient = objective(weights)
    return weights, {
        'nll': nll,
        'equal_nll': objective(equal)[0],
        'single_nll': [objective(row)[0] for row in np.eye(size)],
        # No point of the simplex is better than this one by more: it is convex.
        'gap': max(float(weights @ gradient - gradient.min()), 0.0),
        'steps': int(found.nit),
    }


def _fuse(arrays: Sequence[np.ndarray], weights: ArrayLike, space: str) -> np.ndarray:
    """(N, K) weighted mean of M arrays; those of weight 0 are left out."""
    total = np.zeros(arrays[0].shape)
    for array, weight in zip(arrays, np.asarray(weights).tolist(), strict=True):
        if weight:
            total += weight * (_log(array) if space == 'logit' else array)
    if space == 'mean':
        return total
    powers = np.exp(total - total.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _log(scores: np.ndarray) -> np.ndarray:
    table = np.asarray(scores, dtype=np.float64)
    if table.min(initial=0) < 0:
        raise ValueError(
            f'negative scores (lowest {table.min():.6g}) have no logarithm: fuse '
            'probabilities (softmax of logits), or use --space mean'
        )
    return np.log(np.maximum(table, FLOOR))


def _mean_objective(arrays: Sequence[np.ndarray], truth: np.ndarray) -> Objective:
    rows = np.arange(len(truth))
    own = np.stack([np.asarray(a, np.float64)[rows, truth] for a in arrays])  # (M, N)
    own = np.maximum(own, FLOOR)

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        fused = weights @ own  # (N,)
        return float(-np.log(fused).mean()), -(own / fused).mean(axis=1)

    return objective


def _logit_objective(arrays: Sequence[np.ndarray], truth: np.ndarray) -> Objective:
    logs = np.stack([_log(a) for a in arrays])  # (M, N, K)
    own = logs[:, np.arange(len(truth)), truth]  # (M, N)

    def objective(weights: np.ndarray) -> tuple[float, np.ndarray]:
        fused = np.tensordot(weights, logs, axes=1)  # (N, K)
        top = fused.max(axis=1)
        powers = np.exp(fused - top[:, None])
        total = powers.sum(axis=1)
        value = (np.log(total) + top - weights @ own).mean()
        expected = np.einsum('mnk,nk->mn', logs, powers / total[:, None])
        return float(value), (expected - own).mean(axis=1)

    return objective
