"""Integer tables with given margins.

A real-valued table is fitted to the margins by iterative proportional fitting, then
rounded cell by cell so that every margin stays exact.
"""

from __future__ import annotations

import numpy as np

# Rounding sees cells within this distance of an integer as done; fitting is closer.
_WHOLE = 1e-6

_Cells = tuple[list[int], list[int]]


def apportion(
    total: int, weights: np.ndarray, least: int | np.ndarray = 0
) -> np.ndarray:
    """Share ``total`` whole units in proportion to weights, by largest remainder.

    Args:
        total: Number of units.
        weights: (K,) non-negative shares, of any scale.
        least: What every share gets at least: one number, or (K,) of them.

    Returns:
        (K,) int64 that adds up to ``total``.

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


def fit_margins(
    prior: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    rounds: int = 5000,
) -> np.ndarray:
    """The table nearest to a prior (in relative entropy) with the given margins.

    Args:
        prior: (R, K) non-negative; a zero cell stays zero.
        rows: (R,) wanted row sums.
        columns: (K,) wanted column sums.
        rounds: Passes over rows and columns before giving up.

    Returns:
        (R, K) float64, both margins met within 1e-9 of the total.

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
    for _ in range(rounds):
        table *= _ratio(rows, table.sum(axis=1))[:, None]
        table *= _ratio(columns, table.sum(axis=0))
        if np.abs(table.sum(axis=1) - rows).max() <= 1e-11 * max(rows.sum(), 1.0):
            break
    gap = max(
        np.abs(table.sum(axis=1) - rows).max(),
        np.abs(table.sum(axis=0) - columns).max(),
    )
    if gap > 1e-9 * max(rows.sum(), 1.0):
        raise ValueError(
            f'no table with these zeros has these margins: {gap:.3g} units remain '
            f'misplaced after {rounds} rounds; give some zero cells a small weight'
        )
    return table


def _ratio(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    return np.divide(wanted, found, out=np.zeros_like(wanted), where=found > 0)


def round_margins(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Round every cell up or down so that all row and column sums stay as they are.

    Cells that are not whole form cycles of alternating row and column steps. Along
    one, adding to every other cell what is taken from those between changes no
    margin; each turn makes at least one cell whole. The direction is drawn so that
    the expectation of every cell is its real value.

    Args:
        table: (R, K) non-negative with whole row and column sums.
        rng: Draws the directions.

    Returns:
        (R, K) int64, each cell within one of ``table``.

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
        above = min(_to_ceiling(table[up]), _to_floor(table[down]))
        below = min(_to_floor(table[up]), _to_ceiling(table[down]))
        step = above if rng.random() * (above + below) < below else -below
        table[up] += step
        table[down] -= step
        for cells in (up, down):
            open_cells[cells] = np.abs(table[cells] - np.rint(table[cells])) > _WHOLE
    return np.rint(table).astype(np.int64)


def _to_ceiling(cells: np.ndarray) -> float:
    return float((np.ceil(cells) - cells).min())


def _to_floor(cells: np.ndarray) -> float:
    return float((cells - np.floor(cells)).min())


def _alternating_cycle(open_cells: np.ndarray) -> tuple[_Cells, _Cells]:
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
    return _split(cells[0::2]), _split(cells[1::2])


def _split(cells: list[tuple[int, int]]) -> _Cells:
    return [r for r, _ in cells], [c for _, c in cells]


def integer_table(
    prior: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    least: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """A whole-numbered table: margins met exactly, no cell under its least.

    Args:
        prior: (R, K) non-negative shape of the table; zero cells get ``least``.
        rows: (R,) row sums.
        columns: (K,) column sums.
        least: (R, K) what each cell holds at least.
        rng: Draws the rounding.

    Returns:
        (R, K) int64.

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
