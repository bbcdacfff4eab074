"""Pictures of results."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmma.files import draft
from mmma.foreign import shown
from mmma.reporting.table import Table
from mmma.taxonomy import own_table

_WORDS = own_table('pages')['report']
_SHOWN = 12
_LINE, _BARS = 0.2, 5.5  # inches: of a label, of all bars
_Association = Mapping[str, Mapping[str, Any]]
_COLORS = ('#4daf4a', '#984ea3', '#e41a1c', '#377eb8', '#ff7f00', '#999999')


def draw_matrix(axes: Any, values: Any, rows: Any, columns: Any, blocks: Any) -> None:
    """Draw a matrix: of up to 12 rows with its numbers; blocks framed, by their start.

    What is 0 or NaN shows the page below it.
    """
    from matplotlib import rcParams
    from matplotlib.patches import Rectangle

    small = len(rows) <= _SHOWN
    axes.imshow(values, _ramp(), vmin=0, aspect='auto' if small else 'equal')
    for axis, names in ((axes.xaxis, columns), (axes.yaxis, rows)):
        size = {} if small else {'fontsize': 7}
        axis.set_ticks(range(len(names)), map(plain, names), **size)
    axes.tick_params(axis='x', rotation=30 if small else 90)
    for row, column in np.argwhere(~np.isnan(values)) if small else ():
        text = f'{values[row, column]:.1f}'
        axes.text(column, row, text, ha='center', va='center')
    for start, end in zip(blocks, [*blocks, len(rows)][1:], strict=True):
        corner, side, ink = (start - 0.5,) * 2, end - start, rcParams['text.color']
        axes.add_patch(Rectangle(corner, side, side, fill=False, color=ink))
        axes.text(end, start + 0.5, plain(blocks[start]))


def _ramp() -> Any:
    """Colours from what lies below to blue."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list('', ['#377eb800', '#377eb8'])


def draw_profile(profile: Mapping[str, Any], path: Path, title: str) -> None:
    """Draw kinds of errors by rank, the gain without each, and misses by length.

    ``profile`` is what ``profile_levels`` gives; ``title`` says if the data are
    simulated.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4 * len(profile)), layout='constrained')
    figure.suptitle(plain(title))
    axes = figure.subplots(len(profile), 3, squeeze=False)
    for row, (level, found) in zip(axes, profile.items(), strict=True):
        bottom, ranks = [0.0] * len(found['slices']), range(1, len(found['slices']) + 1)
        parts = zip(*found['slices'], strict=True)
        for kind, color, shares in zip(found['kinds'], _COLORS, parts, strict=True):
            row[0].bar(ranks, shares, bottom=bottom, color=color, label=kind)
            bottom = [b + s for b, s in zip(bottom, shares, strict=True)]
        row[0].set_xlabel('predictions of a class, in multiples of its truths')
        row[0].set_ylabel(f'{level} predictions (%)')
        row[0].legend(fontsize=7, ncols=6, loc='lower center', bbox_to_anchor=(0.5, 1))
        gain = found['gain']
        row[1].bar(list(gain), list(gain.values()), color=_COLORS[1:])
        row[1].tick_params(axis='x', rotation=30)
        row[1].set_ylabel('gain of mAP_N without it')
        bins = found['sensitivity']['length']
        row[2].bar([b['bin'] for b in bins], [b['missed'] for b in bins])
        row[2].set_xlabel('length of the instance (s)')
        row[2].set_ylabel('missed (%)')
        row[2].set_ylim(0, 100)
    save(figure, path)


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
    figure.suptitle(plain(title))
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
    save(figure, path)
    return lines


def draw_sankey(association: _Association, path: Path, title: str) -> None:
    """Draw emotions, the top actions of each, and ribbons as wide as importances.

    ``association`` is that of results of task ``emotion``. A ribbon is pale where q is
    not below 0.05, a hair where the importance is not above 0; actions stand so that
    few ribbons cross. ``title`` says if the data are simulated.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    names, values, backed, top = _cells(association, 'importance')
    wide = np.where(top, np.fmax(values, 0), 0)  # (E, A)
    wide *= _BARS / (wide.sum() or 1)
    left = np.argsort(-wide.sum(axis=1), kind='stable')
    pulls = (wide + 1e-9 * top)[left]
    right = np.argsort(np.arange(len(left)) @ pulls / pulls.sum(axis=0), kind='stable')
    wide, backed, top = (cells[np.ix_(left, right)] for cells in (wide, backed, top))
    sizes = wide.sum(axis=1), wide.sum(axis=0)
    height = max((np.maximum(size, _LINE) + 0.05).sum() for size in sizes)
    labels = [[*association][i] for i in left], [names[i] for i in right]
    letters = sum(max(map(len, texts)) for texts in labels)
    figure = Figure(figsize=(5 + 0.08 * letters, height + 1), layout='constrained')
    figure.suptitle(textwrap.fill(plain(title), 60))
    axes = figure.add_subplot(
        xticks=[], xlabel='wide: important; pale: q not below 0.05'
    )
    fills, tops = (colormaps['tab10'](left % 10), '#555555'), []
    for i, size in enumerate(sizes):
        # Each bar stands in the middle of a place that is high enough for its label.
        slots = np.maximum(size, _LINE)
        gap = (height - slots.sum()) / max(len(slots) - 1, 1)
        tops.append(np.cumsum(slots + gap) - gap - (slots + size) / 2)
        side = axes.twinx() if i else axes
        side.bar([i] * len(size), size, 0.05, tops[i], color=fills[i], ec=fills[i])
        side.set(xlim=(-0.025, 1.025), ylim=(height, 0), frame_on=False)
        side.set_yticks(tops[i] + size / 2, map(plain, labels[i]))
        side.tick_params(length=0)
    starts = np.cumsum(wide, axis=1) - wide + tops[0][:, None]
    falls = np.cumsum(wide, axis=0) - wide + tops[1] - starts
    along = np.linspace(0, 1)
    for cell in zip(*np.nonzero(top), strict=True):
        upper = starts[cell] + falls[cell] * along**2 * (3 - 2 * along)
        style = {'color': fills[0][cell[0]], 'alpha': 0.6 if backed[cell] else 0.25}
        axes.fill_between(
            0.025 + 0.95 * along, upper, upper + wide[cell], lw=0.4, **style
        )
    save(figure, path)


def draw_associations(association: _Association, path: Path, title: str) -> None:
    """Draw effects, or importances, of all top actions by emotion, as a heat map.

    The top actions of an emotion are framed, a star is at what has a q below 0.05.
    Otherwise as :func:`draw_sankey`.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    first = next(iter(association.values()))['actions'][0]
    key = 'effect' if 'effect' in first else 'importance'
    names, values, backed, top = _cells(association, key)
    size = 5 + 0.6 * len(values), 2 + 0.22 * len(names)
    figure = Figure(figsize=size, layout='constrained')
    figure.suptitle(textwrap.fill(plain(title), 60))
    axes = figure.add_subplot(xlabel='framed: top actions of the emotion; *: q < 0.05')
    most = np.nanmax(np.abs(values)) or 1
    image = axes.imshow(values.T, 'RdBu_r', vmin=-most, vmax=most, aspect='auto')
    axes.set_xticks(range(len(values)), map(plain, association), rotation=30)
    axes.set_yticks(range(len(names)), map(plain, names))
    for i, k in zip(*np.nonzero(top), strict=True):
        axes.add_patch(Rectangle((i - 0.5, k - 0.5), 1, 1, fill=False))
    for i, k in zip(*np.nonzero(backed), strict=True):
        color = 'white' if abs(values[i, k]) > most / 2 else 'black'
        axes.text(i, k, '*', ha='center', va='center_baseline', color=color)
    figure.colorbar(image, label=f'{key} (points)')
    save(figure, path)


def _cells(association: _Association, key: str) -> Any:
    """Top actions of any emotion, and (E, A): values, q < 0.05, a top of this one."""
    names = list(dict.fromkeys(a for told in association.values() for a in told['top']))
    rows = [{a['action']: a for a in told['actions']} for told in association.values()]
    values, q = (
        np.array([[row.get(n, {}).get(k) for n in names] for row in rows], float)
        for k in (key, 'q')
    )
    top = np.array([[n in told['top'] for n in names] for told in association.values()])
    return names, values, q < 0.05, top


def plain(text: str) -> str:
    """Text that Matplotlib shows letter by letter."""
    return shown(text).replace('$', r'\$')


def save(figure: Any, path: Path) -> None:
    """Write a picture; the same picture, the same bytes."""
    from matplotlib import rc_context

    told = {'Date': None} if path.suffix == '.svg' else None
    with rc_context({'svg.hashsalt': 'mmma'}), draft(path) as part:
        figure.savefig(part, dpi=110, format=path.suffix[1:] or None, metadata=told)


def draw_statistics(table: Table, path: Path, title: str) -> None:
    """Draw a table of ``statistics``; ``title`` says if the data are simulated."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rows, pairs, ink = table.rows, 'ratio' in table.titles, rcParams['text.color']
    names = [row[0] for row in rows]
    if pairs:  # of groups, where there are any
        rows = [row for row in rows if row[-1] == rows[0][-1]]
        names = sorted({label for row in rows for label in row[:2]})
    wide = 4.6 if len(names) <= 2 * _SHOWN else 9 if pairs else 14
    figure = Figure(figsize=(wide, min(1.1 * wide, 9)), layout='constrained')
    figure.suptitle(textwrap.fill(plain(title), int(9 * wide)))
    if pairs:
        times, below = np.full((len(names), len(names)), np.nan), figure.add_subplot()
        for a, b, seconds, _, ratio, _ in rows:
            i, j = sorted((names.index(a), names.index(b)))
            times[j, i] = seconds
            text = f'{seconds:.1f}\n×{ratio or 0:.2f}' if len(names) <= _SHOWN else ''
            below.text(i, j, text, ha='center', va='center')
        below.imshow(times, _ramp(), vmin=0, vmax=np.nanmax([0.1, *times.flat]))
        below.set_xlabel('seconds at once, times what chance would give')
        below.set_yticks(range(len(names)), map(plain, names))
    else:
        columns = dict(zip(table.titles, zip(*rows, strict=True), strict=True))
        above, below = figure.subplots(2, 1, sharex=True)
        at = np.arange(len(rows))
        shades = _WORDS['groups']
        colors = [shades.get(kind, '#777777') for kind in columns.get('frequency', at)]
        label = f'all{_WORDS["key"] * ("frequency" in columns)}'
        above.bar(at, columns['all'], color=colors, label=label)
        marks = ('^', -0.2, 'train'), ('s', 0, 'val'), ('o', 0.2, 'test')
        for mark, aside, key in (*marks, ('_', 0, 'published')):
            numbers = [number or np.nan for number in columns[key]]
            if any(columns[key]):
                size = 6 if mark == '_' else 2.5
                above.plot(at + aside, numbers, mark, ms=size, color=ink, label=key)
        keys = {'q1_sec': 'q1', 'median_sec': 'med', 'q3_sec': 'q3', 'mean_sec': 'mean'}
        keys |= {'min_sec': 'whislo', 'max_sec': 'whishi'}
        boxes = ({keys[k]: columns[k][i] or np.nan for k in keys} for i in at)
        below.bxp([{**box, 'fliers': []} for box in boxes], at, showmeans=True)
        told = (above, 'all', 'number'), (below, 'max_sec', 'seconds (triangle: mean)')
        for axes, key, label in told:
            some = [
                n for n in columns[key] + columns['published'] * (key == 'all') if n
            ]
            far = any(columns[key]) and max(some) > 20 * min(some)
            axes.set(yscale='log' if far else 'linear', ylabel=label)
        above.legend(ncols=5, fontsize=7, loc='lower right', bbox_to_anchor=(1, 1))
    size = min(9, 900 / max(len(names), 1))
    below.set_xticks(range(len(names)), map(plain, names), rotation=90, fontsize=size)
    save(figure, path)
