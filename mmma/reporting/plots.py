"""Pictures of results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmma.data.clips import Clip
from mmma.evaluation.recognition import confusion_matrix
from mmma.evaluation.rows import true_labels
from mmma.evaluation.scores import ScoreTable
from mmma.files import draft
from mmma.foreign import shown
from mmma.taxonomy import LabelSpace

_SHOWN = 12
_COLORS = ('#4daf4a', '#984ea3', '#e41a1c', '#377eb8', '#ff7f00', '#999999')


def draw_confusions(
    table: ScoreTable, clips: Sequence[Clip], space: LabelSpace, path: Path, title: str
) -> list[str]:
    """Draw the row-normalised confusion matrix of actions, body groups framed.

    ``table`` has scores of at least these clips; ``title`` says if they are simulated.

    Returns:
        Lines on the share of mistakes within the true body group, and on the most
        frequent mistakes; of equal ones the lower indices come first.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    predicted = table.select([clip.clip for clip in clips]).scores.argmax(axis=1)
    counts = confusion_matrix(true_labels(clips)[0], predicted, space.num_actions)
    body_of = np.array(space.body_of or [0] * space.num_actions)
    order = np.argsort(body_of, kind='stable')
    sums = np.maximum(counts[order].sum(axis=1, keepdims=True), 1)
    shares = counts[np.ix_(order, order)] / sums
    figure = Figure(figsize=(11, 11), layout='constrained')
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
    axes.set_title(shown(title).replace('$', r'\$'))
    with draft(path) as part:
        figure.savefig(part, dpi=110, format=path.suffix[1:] or None)
    wrong = counts - np.diag(np.diag(counts))
    inside = wrong[body_of[:, None] == body_of[None]].sum() / max(wrong.sum(), 1)
    lines = [f'{inside:.0%} of the mistakes stay in the true body group']
    lines = lines if space.bodies else []
    for cell in np.argsort(-wrong, axis=None, kind='stable')[:_SHOWN]:
        true, taken = divmod(int(cell), len(counts))
        if number := int(wrong[true, taken]):
            actions = f'{space.actions[true]} taken for {space.actions[taken]}'
            lines.append(f'{number:5d}  {actions}')
    return lines


def draw_profile(profile: Mapping[str, Any], path: Path, title: str) -> None:
    """Draw kinds of errors by rank, the gain without each, and misses by length.

    ``profile`` is what ``profile_levels`` gives; ``title`` says if the data are
    simulated.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4 * len(profile)), layout='constrained')
    figure.suptitle(shown(title).replace('$', r'\$'))
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
    with draft(path) as part:
        figure.savefig(part, dpi=110, format=path.suffix[1:] or None)


def draw_reliability(
    scored: Sequence[Any], told: Mapping[str, Any], path: Path, title: str
) -> list[str]:
    """Draw which share is right by score, and how many there are; a line per level.

    ``scored`` are arguments of ``calibration.fit``, ``told`` is a calibration, whose
    scores are drawn as well; ``title`` says if the data are simulated.
    """
    from matplotlib.figure import Figure

    from mmma.evaluation.calibration import calibration_error, outcomes, reliability

    levels = list(zip(outcomes(None, *scored), outcomes(told, *scored), strict=True))
    figure = Figure(figsize=(6 * len(levels), 7), layout='constrained')
    figure.suptitle(shown(title).replace('$', r'\$'))
    axes = figure.subplots(2, len(levels), squeeze=False, height_ratios=[3, 1])
    lines = []
    for (above, below), found in zip(axes.T, levels, strict=True):
        level = found[0][0]
        errors = []
        above.plot([0, 1], [0, 1], color='#999999', linestyle=':')
        for i, name in enumerate(('raw', 'calibrated')[: 1 + (level in told)]):
            count, *means = (table := reliability(*found[i][1:3])).T
            errors.append(f'{name} {100 * calibration_error(table):.2f} %')
            above.plot(*means, 'o-', color=_COLORS[2 + i], label=f'ECE {errors[i]}')
            edges = np.arange(len(count) + 1) / len(count)
            below.stairs(count, edges, color=_COLORS[2 + i])
        above.set(ylabel='share that is right')
        above.legend(loc='upper left')
        below.set(yscale='log', xlabel=f'{level} score', ylabel='count')
        lines.append(f'{level}: expected calibration error {", ".join(errors)}')
    with draft(path) as part:
        figure.savefig(part, dpi=110, format=path.suffix[1:] or None)
    return lines


def _draw_slices(axes: Any, found: Mapping[str, Any], level: str) -> None:
    ranks = range(1, len(found['slices']) + 1)
    bottom = [0.0] * len(found['slices'])
    parts = zip(*found['slices'], strict=True)
    for kind, color, shares in zip(found['kinds'], _COLORS, parts, strict=True):
        axes.bar(ranks, shares, bottom=bottom, color=color, label=kind)
        bottom = [b + s for b, s in zip(bottom, shares, strict=True)]
    axes.set_xlabel('predictions of a class, in multiples of its truths')
    axes.set_ylabel(f'{level} predictions (%)')
    axes.legend(fontsize=7, ncols=6, loc='lower center', bbox_to_anchor=(0.5, 1))
