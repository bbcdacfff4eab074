"""Recognition track: ranked action and body classes of each clip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mmma.evaluation.recognition import body_variants
from mmma.evaluation.scores import ScoreTable, read_scores
from mmma.layout.converters.source import split_name
from mmma.reporting.submission.archive import Layout
from mmma.taxonomy import LabelSpace, load_label_space

CLIP_COUNTS = (5586, 1138)
"""Rows of the standing MA-52 test server and of the challenges."""
_RANKS = 5

_HEADERS = {
    'mac2024': ('id', 'pred_label_1', 'pred_label_2'),
    'mac2025': (
        'vid',
        *(f'action_pred_{rank}' for rank in range(1, _RANKS + 1)),
        *(f'body_pred_{rank}' for rank in range(1, _RANKS + 1)),
    ),
}
EDITIONS = tuple(_HEADERS)


def clip_layout(edition: str, space: LabelSpace) -> Layout:
    """Columns of an edition: ``mac2024`` (body, action) or ``mac2025`` (five each).

    Source: submission files of the Micro-Action Challenge 2024 and 2025 (the latter
        also of Codabench 9066).
    """
    header = _HEADERS[edition]
    actions, bodies = space.num_actions, space.num_bodies
    if edition == 'mac2024':
        return Layout(header, 0, {1: bodies, 2: actions})
    first, second = tuple(range(1, _RANKS + 1)), tuple(range(_RANKS + 1, len(header)))
    sizes = dict.fromkeys(first, actions) | dict.fromkeys(second, bodies)
    return Layout(header, 0, sizes, ranked=(first, second))


def read_ma52_scores(path: Path) -> ScoreTable:
    """Scores of the 52 actions of MA-52.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A bad file, or scores of another label space.
    """
    try:
        return read_scores(path, load_label_space('ma52'))
    except ValueError:
        if not _is_mma82(path):
            raise
        raise ValueError(
            f'{path}: scores of the 82 actions of MMA-82, but the challenge is of the '
            '52 of MA-52, some of which MMA-82 lacks; test a model trained on MA-52 '
            '(a data root of label space ma52)'
        ) from None


def clip_rows(
    table: ScoreTable, edition: str, body_from: str, space: LabelSpace
) -> Iterator[list[str | int]]:
    """Rows of ``prediction.csv``, clips in the order of the table.

    Args:
        table: Scores (N, 52); its names are written as they are.
        edition: One of EDITIONS.
        body_from: Body classes from the ``sum`` of the action scores of a group, its
            ``top1`` action, or the ``head`` (body scores of the table).
        space: Label space ``ma52``.

    Raises:
        ValueError: Body scores that cannot be had.
    """
    bodies = body_variants(table, space, body_from)[body_from]
    ranked = _ranked(table.scores), _ranked(bodies)
    for name, actions, groups in zip(table.names, *ranked, strict=True):
        if edition == 'mac2024':
            yield [name, groups[0], actions[0]]
        else:
            yield [name, *actions[:_RANKS], *groups[:_RANKS]]


def file_name(name: str) -> str:
    """Name of a clip as the lists write it, ``test0000.mp4``."""
    return ''.join(split_name(name))


def _ranked(scores: np.ndarray) -> list[list[int]]:
    """Classes best first; of equal ones the lower number."""
    order: list[list[int]] = np.argsort(
        -np.asarray(scores, np.float64), axis=1, kind='stable'
    ).tolist()
    return order


def _is_mma82(path: Path) -> bool:
    try:
        read_scores(path, load_label_space('mma82'))
    except ValueError:
        return False
    return True
