"""Numbers of clips per domain, subset, class and emotion: scales, priors, margins.

No published table says how the classes are spread over the domains. The weights below
follow what people do and what a camera sees in each setting, illustrative and not
measured; the margins then fix all totals. A table is fitted to the margins by iterative
proportional fitting, then rounded cell by cell so that every margin stays exact.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from mmma.simulation.domains import Array, Rng, load_table
from mmma.taxonomy import DOMAINS, SUBSETS, LabelSpace, check_choice, load_statistics

_WEIGHTS = load_table('weights')
# Weight of a class in a domain against its share in the whole corpus: by body group,
# overridden by action. A zero is an action the setting rules out. Psychiatric is an
# armchair, framed to the knees: restless hands, rubbing, few feet. Street is standing
# talk to a microphone: gestures, nothing that needs a seat. Emotion is close shots of
# television drama: head and face.
DOMAIN_WEIGHTS: dict[str, dict[str, float]] = _WEIGHTS['domains']
# By how much an emotion makes an action likelier, per pixel of the width of their link.
# Source: figure of emotions and actions, 487 pixels high, project page of MMA-82.
_PER_PIXEL = 6.0
# What tells an emotion: how many times likelier actions are; what a face shows, in
# classes of FER2013, illustrative and not measured: there is none of melancholy.
PLANTED: dict[str, dict[str, dict[str, float]]] = {
    'emotion_actions': {
        emotion: {action: 1 + _PER_PIXEL * width for action, width in links.items()}
        for emotion, links in _WEIGHTS['emotions'].items()
    },
    'emotion_faces': _WEIGHTS['faces'],
}


def domain_prior(space: LabelSpace) -> Array:
    """(4, K) weight of every action in every domain, in the order of ``DOMAINS``."""
    groups = [space.bodies[body] for body in space.body_of]
    pairs = list(zip(space.actions, groups, strict=True))
    tables = [DOMAIN_WEIGHTS[domain] for domain in DOMAINS]
    return np.array([[t.get(a, t.get(g, 1.0)) for a, g in pairs] for t in tables])


# Rounding sees cells within this distance of an integer as done; fitting is closer.
_WHOLE = 1e-6
_ROUNDS = 5000  # of fitting, before giving up

_Cells = tuple[list[int], ...]  # rows, columns


def apportion(total: int, weights: Array, least: int | Array = 0) -> Array:
    """(K,) int64 that share ``total`` units by (K,) weights, by largest remainder.

    Weights are not negative, of any scale; ``least``, a number or (K,) of them, is what
    every share gets at least.

    Raises:
        ValueError: The least shares alone exceed ``total``.
    """
    weights = np.asarray(weights, dtype=float)
    floor = np.broadcast_to(np.asarray(least, dtype=np.int64), weights.shape)
    if floor.sum() > total:
        raise ValueError(
            f'cannot share {total} units: {floor.sum()} are needed to give each of '
            f'{weights.size} shares its least'
        )
    # Shares under their least are fixed there; the others divide what is left.
    fixed = np.zeros(weights.shape, dtype=bool)
    while True:
        free = total - floor[fixed].sum()
        ideal = weights * free / max(weights[~fixed].sum(), np.finfo(float).tiny)
        low = ~fixed & (ideal < floor)
        if not low.any():
            break
        fixed |= low
    share = np.where(fixed, floor, np.floor(ideal)).astype(np.int64)
    rest = np.where(fixed, -1.0, ideal - share)
    share[np.argsort(-rest, kind='stable')[: total - share.sum()]] += 1
    return share


def fit_margins(prior: Array, rows: Array, columns: Array) -> Array:
    """(R, K) table nearest to a prior, in relative entropy, with given margins.

    The prior is (R, K), not negative, and a zero cell of it stays zero; (R,) row and
    (K,) column sums are met within 1e-9 of the total.

    Raises:
        ValueError: The margins differ in total, or zeros in the prior make them
            unreachable.

    Source: Deming and Stephan, On a Least Squares Adjustment of a Sampled Frequency
    Table, Annals of Mathematical Statistics 11(4), 1940.
    """
    rows, columns = np.asarray(rows, dtype=float), np.asarray(columns, dtype=float)
    if rows.sum() != columns.sum():
        raise ValueError(
            f'row totals add up to {rows.sum():g}, column totals to {columns.sum():g}'
        )
    table = np.array(prior, dtype=float)

    def ratio(wanted: Array, axis: int) -> Array:
        found = table.sum(axis=axis)
        return np.divide(wanted, found, out=np.zeros_like(wanted), where=found > 0)

    for _ in range(_ROUNDS):
        table *= ratio(rows, 1)[:, None]
        table *= ratio(columns, 0)
        if np.abs(table.sum(axis=1) - rows).max() <= 1e-11 * max(rows.sum(), 1.0):
            break
    sums = (table.sum(axis=1), rows), (table.sum(axis=0), columns)
    gap = max(np.abs(found - wanted).max() for found, wanted in sums)
    if gap > 1e-9 * max(rows.sum(), 1.0):
        raise ValueError(
            f'no table with these zeros has these margins: {gap:.3g} units remain '
            f'misplaced after {_ROUNDS} rounds; give some zero cells a small weight'
        )
    return table


def round_margins(table: Array, rng: Rng) -> Array:
    """(R, K) int64: every cell rounded up or down, whole row and column sums kept.

    Cells that are not whole form cycles of alternating row and column steps. Along
    one, adding to every other cell what is taken from those between changes no
    margin; each turn makes at least one cell whole. The direction is drawn so that
    the expectation of every cell is its real value.

    Raises:
        ValueError: A row or column sum is not whole.

    Source: Cox, A Constructive Procedure for Unbiased Controlled Rounding, JASA
    82(398), 1987.
    """
    table = np.array(table, dtype=float)
    sums = np.concatenate([table.sum(axis=0), table.sum(axis=1)])
    if np.abs(sums - np.rint(sums)).max() > _WHOLE:
        raise ValueError('rounding needs whole row and column sums; fit them first')
    open_cells = np.abs(table - np.rint(table)) > _WHOLE
    while open_cells.any():
        up, down = _alternating_cycle(open_cells)
        rise, fall = table[up], table[down]
        above = min((np.ceil(rise) - rise).min(), (fall - np.floor(fall)).min())
        below = min((rise - np.floor(rise)).min(), (np.ceil(fall) - fall).min())
        step = above if rng.random() * (above + below) < below else -below
        table[up] += step
        table[down] -= step
        for cells in (up, down):
            open_cells[cells] = np.abs(table[cells] - np.rint(table[cells])) > _WHOLE
    return np.rint(table).astype(np.int64)


def _alternating_cycle(open_cells: Array) -> tuple[_Cells, _Cells]:
    """Cells of one cycle: every other one, and those between.

    The walk goes from row to column to row over open cells. A row or column with
    whole sum that has one open cell has another, so it goes on until it meets itself.
    """
    walk = [int(open_cells.any(axis=1).argmax())]  # rows and columns in turn
    first = None
    while first is None:
        turn = len(walk) % 2  # 1: a column comes next
        line = open_cells[walk[-1]] if turn else open_cells[:, walk[-1]]
        before = walk[-2] if len(walk) > 1 else -1
        choices = np.flatnonzero(line)
        step = int(choices[choices != before][0])
        if step in walk[turn::2]:
            first = turn + 2 * walk[turn::2].index(step)
        walk.append(step)
    edges = list(zip(walk[first:-1], walk[first + 1 :], strict=True))
    cells = [e if (first + i) % 2 == 0 else e[::-1] for i, e in enumerate(edges)]
    up, down = (tuple(map(list, zip(*cells[i::2], strict=True))) for i in (0, 1))
    return up, down


def integer_table(
    prior: Array, rows: Array, columns: Array, least: Array, rng: Rng
) -> Array:
    """(R, K) int64 table: margins met exactly, no cell under its (R, K) least.

    Margins and the prior, which is its shape, are as of :func:`fit_margins`.

    Raises:
        ValueError: The least cells exceed a margin, or the margins are unreachable.
    """
    rows = np.asarray(rows) - least.sum(axis=1)
    columns = np.asarray(columns) - least.sum(axis=0)
    if min(rows.min(), columns.min()) < 0:
        raise ValueError(
            'the least cells alone exceed a margin: '
            f'rows {np.flatnonzero(rows < 0).tolist()}, '
            f'columns {np.flatnonzero(columns < 0).tolist()}'
        )
    return least + round_margins(fit_margins(prior, rows, columns), rng)


def choose_emotions(videos: Sequence[Iterable[str]], rng: Rng) -> list[str]:
    """An emotion for each of the videos with these actions, all equally often.

    Actions stay as they are. Of no videos there are none.
    """
    if not videos:
        return []
    keys, tables = [tuple(sorted({*own})) for own in videos], PLANTED['emotion_actions']
    kinds, own = Counter(keys), tables.values()
    prior = np.array([[math.prod(t.get(a, 1) for a in k) for t in own] for k in kinds])
    # What is far rarer would be whole to the rounding, and its row then not.
    prior = np.maximum(prior, 1e-3 * prior.max(axis=1, keepdims=True))
    columns = apportion(len(keys), np.ones(len(tables)))
    table = round_margins(fit_margins(prior, [*kinds.values()], columns), rng)
    shares = (rng.permutation(np.repeat([*tables], row)).tolist() for row in table)
    left = dict(zip(kinds, shares, strict=True))
    return [left[key].pop() for key in keys]


# Rows of every table: domains, and within each its subsets.
ROWS = tuple((domain, subset) for domain in DOMAINS for subset in SUBSETS)
_LAB = [ROWS.index(('lab', subset)) for subset in SUBSETS]
_INSTANCES_TO_HOLD_EVERY_CLASS = 1.2


# Of a task at a scale: share of the published clips or videos, what a subset of a
# domain holds of them at least, and the clips or instances of every class in train, val
# and test of the lab at least.
SCALES: dict[str, dict[str, tuple[float, int, tuple[int, int, int]]]] = {
    'tiny': {'rec': (0.01, 8, (1, 0, 0)), 'det': (0.004, 2, (1, 0, 0))},
    'small': {'rec': (1 / 8, 8, (2, 1, 1)), 'det': (1 / 16, 4, (1, 1, 1))},
    'full': {'rec': (1.0, 0, (2, 1, 1)), 'det': (1.0, 0, (1, 1, 1))},
}


def published_clips() -> Array:
    """(12,) published clips of every domain and subset, in the order of ``ROWS``."""
    rec = load_statistics()['rec']
    return np.array([rec[domain][subset] for domain, subset in ROWS])


def corpus_size(
    task: str, scale: str, balanced: bool, space: LabelSpace, rng: Rng
) -> tuple[Array, Array]:
    """Trimmed clips or untrimmed videos per domain and subset, and actions in them.

    How the published videos divide into domains and subsets is unknown; they follow
    the trimmed clips here. At full scale the weights are the published counts and add
    up to the rows, so that sharing gives them back unchanged. ``balanced`` is all
    classes alike instead of the published long tail; ``rng`` draws the rounding.

    Gives (12,) clips or videos of every row of ``ROWS``, and (12, K) clips, or
    instances in videos, per row and action.

    Raises:
        ValueError: An unknown scale, or a label space without published counts.
    """
    share, few, lab = SCALES[check_choice('scale', scale, tuple(SCALES))][task]
    if task == 'rec':
        items = np.rint(published_clips() * share).astype(np.int64)
        rows = items = np.maximum(items, few)
        counts = space.rec_instances
    else:
        det = load_statistics()['det']
        per_video = det['instances'] / det['videos']
        items = apportion(round(det['videos'] * share), published_clips(), few)
        # A tiny lab would otherwise have fewer instances than there are classes.
        needed = _INSTANCES_TO_HOLD_EVERY_CLASS * space.num_actions / per_video
        for row, least in zip(_LAB, lab, strict=True):
            items[row] = max(items[row], round(needed * least))
        rows = apportion(round(items.sum() * per_video), items, items)
        counts = space.det_instances
    if balanced:
        counts = (1,) * space.num_actions
    if counts is None:
        raise ValueError('the label space has no published counts: use mma82')
    least = np.zeros((len(ROWS), space.num_actions), dtype=np.int64)
    least[_LAB] = np.array(lab)[:, None]
    columns = apportion(int(rows.sum()), np.array(counts, dtype=float), sum(lab))
    prior = np.repeat(domain_prior(space), len(SUBSETS), axis=0) * columns
    return items, integer_table(prior, rows, columns, least, rng)
