"""Pictures of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmma.data.clips import Clip
from mmma.evaluation.recognition import confusion_matrix
from mmma.evaluation.rows import true_labels
from mmma.evaluation.scores import ScoreTable
from mmma.taxonomy import LabelSpace

_SHOWN = 12
_COLORS = ('#4daf4a', '#984ea3', '#e41a1c', '#377eb8', '#ff7f00', '#999999')


def count_confusions(
    table: ScoreTable, clips: Sequence[Clip], space: LabelSpace
) -> np.ndarray:
    """Clips per true action (row) and predicted action (column), (K, K)."""
    scores = table.select([clip.clip for clip in clips]).scores
    labels, _ = true_labels(clips)
    return confusion_matrix(labels, scores.argmax(axis=1), space.num_actions)


def confused_pairs(counts: np.ndarray, space: LabelSpace) -> list[tuple[str, str, int]]:
    """The most frequent mistakes: true action, predicted action and clips.

    Most frequent first; of equal ones the lower indices first.
    """
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind='stable')[:_SHOWN]
    cells = [divmod(int(cell), len(counts)) for cell in order]
    return [
        (space.actions[row], space.actions[column], int(wrong[row, column]))
        for row, column in cells
        if wrong[row, column]
    ]


def same_body_share(counts: np.ndarray, space: LabelSpace) -> float:
    """Fraction of the mistakes that stay within the true body group; 0 without any."""
    wrong = counts - np.diag(np.diag(counts))
    body_of = np.array(space.body_of)
    inside = wrong[body_of[:, None] == body_of[None]].sum()
    return float(inside / max(wrong.sum(), 1))


def draw_confusions(
    counts: np.ndarray, space: LabelSpace, path: Path, title: str
) -> None:
    """Draw the row-normalised matrix, body groups framed.

    Args:
        counts: From :func:`count_confusions`.
        space: Its label space.
        path: Picture to write, as ``confusions.png``.
        title: Subject; say there if the data are simulated.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    body_of = np.array(space.body_of)
    order = np.argsort(body_of, kind='stable')
    shares = counts[np.ix_(order, order)] / np.maximum(
        counts[order].sum(axis=1, keepdims=True), 1
    )
    figure = Figure(figsize=(11, 11), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap='magma_r', vmin=0, vmax=1)
    names = [space.actions[i] for i in order]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=5)
    axes.set_yticks(range(len(names)), names, fontsize=5)
    for body in range(space.num_bodies):
        places = np.flatnonzero(body_of[order] == body)
        size = len(places)
        corner = (places[0] - 0.5, places[0] - 0.5)
        axes.add_patch(Rectangle(corner, size, size, fill=False, color='tab:blue'))
        axes.text(places[-1] + 1, places[0] + 0.5, space.bodies[body], fontsize=8)
    axes.set_xlabel('predicted')
    axes.set_ylabel('true')
    axes.set_title(title)
    figure.savefig(path, dpi=110)


def draw_profile(
    profile: Mapping[str, Mapping[str, Any]], path: Path, title: str
) -> None:
    """Draw kinds of errors by rank, the gain without each, and misses by length.

    Args:
        profile: Level to what ``profile_levels`` gives.
        path: Picture to write, as ``profile.png``.
        title: Subject; say there if the data are simulated.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4 * len(profile)), layout='constrained')
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes = figure.subplots(len(profile), 3, squeeze=False)
    for row, (level, found) in zip(axes, profile.items(), strict=True):
        _draw_slices(row[0], found, level)
        gain = found['gain']
        row[1].bar(list(gain), list(gain.values()), color=_COLORS[1:])
        row[1].tick_params(axis='x', rotation=30)
        row[1].set_ylabel('gain of mAP_N without it')
        bins = found['sensitivity']['length']
        row[2].bar([b['bin'] for b in bins], [b['missed'] for b in bins])
        row[2].set_xlabel('length of the instance (s)')
        row[2].set_ylabel('missed (%)')
        row[2].set_ylim(0, 100)
    figure.savefig(path, dpi=110)


def _draw_slices(axes: Any, found: Mapping[str, Any], level: str) -> None:
    ranks = range(1, len(found['slices']) + 1)
    bottom = [0.0] * len(found['slices'])
    for kind, color, shares in zip(
        found['kinds'], _COLORS, zip(*found['slices'], strict=True), strict=True
    ):
        axes.bar(ranks, shares, bottom=bottom, color=color, label=kind)
        bottom = [b + s for b, s in zip(bottom, shares, strict=True)]
    axes.set_xlabel('predictions of a class, in multiples of its truths')
    axes.set_ylabel(f'{level} predictions (%)')
    axes.legend(fontsize=7, ncols=6, loc='lower center', bbox_to_anchor=(0.5, 1))
