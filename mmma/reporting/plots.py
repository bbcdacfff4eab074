"""Pictures of results."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmma.evaluation.recognition import confusion_matrix
from mmma.evaluation.rows import Truth
from mmma.evaluation.scores import ScoreTable
from mmma.taxonomy import LabelSpace

_SHOWN = 12


def count_confusions(table: ScoreTable, truth: Truth, space: LabelSpace) -> np.ndarray:
    """Clips per true action (row) and predicted action (column), (K, K)."""
    scores = table.select(truth.names).scores
    return confusion_matrix(truth.labels, scores.argmax(axis=1), space.num_actions)


def confused_pairs(counts: np.ndarray, space: LabelSpace) -> list[tuple[str, str, int]]:
    """The most frequent mistakes.

    Args:
        counts: From :func:`count_confusions`.
        space: Its label space.

    Returns:
        True action, predicted action and clips, most frequent first; of equal ones the
        lower indices first.
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
        title: What it shows; say there if the data are simulated.
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
