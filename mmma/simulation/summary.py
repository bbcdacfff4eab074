"""What a corpus holds, in a few lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mmma.simulation.plan import Item, Plan
from mmma.taxonomy import DOMAINS, SUBSETS

NEVER_A_BENCHMARK = (
    'Simulated: it exercises and teaches; numbers measured on it are no results of '
    'MMA-82 and are marked so wherever they are shown.'
)
_COLUMNS = ('domain', *SUBSETS, 'total', 'seconds', 'subjects', 'actions', 'drawn')


def summarize(plan: Plan) -> str:
    """Items per domain and subset, mean duration, subjects, actions, videos drawn.

    Args:
        plan: The corpus.

    Returns:
        A table per task and the sentence that it is simulated.
    """
    parts = []
    if plan.rec:
        parts.append(f'{len(plan.rec):,} trimmed clips')
        parts.append(_table(plan.rec))
    if plan.det:
        instances = [e for item in plan.det for e in item.events]
        mean = sum(e.end_sec - e.start_sec for e in instances) / len(instances)
        parts.append(
            f'{len(plan.det):,} untrimmed videos with {len(instances):,} instances, '
            f'{len(instances) / len(plan.det):.2f} each, {mean:.2f} s on average'
        )
        parts.append(_table(plan.det))
    return '\n'.join([*parts, NEVER_A_BENCHMARK])


def _table(items: Sequence[Item]) -> str:
    rows = [_COLUMNS]
    for domain in DOMAINS:
        mine = [item for item in items if item.domain == domain]
        if mine:
            rows.append(_row(domain, mine))
    rows.append(_row('all', items))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join(
        '  '.join(
            [row[0].ljust(widths[0])]
            + [v.rjust(w) for v, w in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    )


def _row(name: str, items: Sequence[Item]) -> tuple[str, ...]:
    subsets = Counter(item.subset for item in items)
    mean_sec = sum(item.seconds for item in items) / len(items)
    return (
        name,
        *(f'{subsets[s]:,}' for s in SUBSETS),
        f'{len(items):,}',
        f'{mean_sec:.2f}',
        str(len({item.person for item in items})),
        str(len({e.action for item in items for e in item.events})),
        f'{sum(bool(item.path) for item in items):,}',
    )
