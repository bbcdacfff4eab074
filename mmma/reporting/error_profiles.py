"""The error profile of a detector as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_COLORS = ('#4daf4a', '#984ea3', '#e41a1c', '#377eb8', '#ff7f00', '#999999')


def draw_profile(
    profile: Mapping[str, Mapping[str, Any]], path: Path, title: str
) -> None:
    """Draw kinds of errors by rank, the gain without each, and misses by length.

    Args:
        profile: Level to what ``profile_levels`` gives.
        path: Picture to write, as ``profile.png``.
        title: What it shows; say there if the data are simulated.
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
