"""The published tables of MMA-82, beside which ours are put."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmma.taxonomy import load_label_space

_FILE = Path(__file__).parents[1] / 'tables' / 'mma82_published.json'


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table.

    Attributes:
        place: Domain, target, or ``all``.
        shots: 0 for zero-shot; None in-domain.
        method: As the paper calls it.
        values: Subset to metrics in percent.
        suspect: Metrics that are probably misprinted.
        recipe: The recipe here that is the paper's model.
    """

    place: str
    shots: int | None
    method: str
    values: dict[str, dict[str, float]]
    suspect: tuple[str, ...] = ()
    recipe: str = ''


@functools.cache
def load_published() -> dict[str, Any]:
    """Every published result table of MMA-82, in percent.

    Returns:
        ``source``, ``notes``, ``methods`` (names) and the tables ``indomain``,
        ``cross_domain``, ``detection``, ``emotion``, ``emotion_top5_ablation``.

    Source: arXiv 2606.14096, as shown on its project page.
    """
    content: dict[str, Any] = json.loads(_FILE.read_text(encoding='utf-8'))
    return content


def published_rows(task: str, protocol: str) -> list[PublishedRow]:
    """Rows of the paper for a task and a kind of protocol, in its order.

    Args:
        task: ``rec`` or ``det``.
        protocol: ``indomain`` or ``crossdomain``.
    """
    content = load_published()
    names = content['methods']
    if task == 'det':
        rows = content['detection'] if protocol == 'indomain' else []
        return [
            PublishedRow(
                row['domain'],
                None,
                f'{names[row["method"]]} {_backbone(row["backbone"])}',
                {'test': row['test']},
                recipe=f'{row["method"]}_{row["backbone"]}_mma82',
            )
            for row in rows
        ]
    if protocol == 'crossdomain':
        return [
            PublishedRow(
                r['target'],
                r['shots'],
                names[r['method']],
                {'test': r['test']},
                tuple(r.get('suspect', ())),
                recipe=f'{r["method"]}_mma82',
            )
            for r in content['cross_domain']
        ]
    return [
        PublishedRow(
            r['domain'],
            None,
            names[r['method']],
            {s: r[s] for s in ('val', 'test')},
            recipe=f'{r["method"]}_mma82',
        )
        for r in content['indomain']
    ]


def is_published_space(classes: Sequence[str] | None) -> bool:
    """Whether results are over the actions of the published tables."""
    return tuple(classes or ()) == load_label_space('mma82').actions


def _backbone(name: str) -> str:
    family, _, size = name.partition('-')
    return f'{family.replace("videomae", "VideoMAE")}-{size.upper()}'
