"""What a root holds: its long tail, lengths, what happens together, who, and where."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np

from mmma.convert.events import groups_of, read_recordings
from mmma.data.arrays import SkeletonStore
from mmma.data.check import try_all
from mmma.data.clips import Clip
from mmma.data.root import DataRoot
from mmma.evaluation.behaviour import behaviour_tables
from mmma.evaluation.recognition import GROUPS, frequency_groups
from mmma.evaluation.scores import first_of
from mmma.files import tell
from mmma.packets import index_video
from mmma.reporting.table import Table
from mmma.taxonomy import SUBSETS, load_statistics, own_table

_WORDS = own_table('statistics')
Told = tuple[Table, list[str]]


def statistics(
    root: DataRoot, task: str, workers: int | None = None
) -> Iterator[tuple[str, Table, list[str]]]:
    """Statistics of a task of a root: name, table, and sentences on what it shows.

    They are of ``actions``, ``groups`` of them, ``domains``, ``subjects``, ``emotions``
    and, in videos, what is ``together``; what there is none of is left out. ``workers``
    read files of clips whose length neither span nor skeleton tells.
    """
    space, body = root.label_space(), groups_of(root.label_space())
    kept = load_statistics()[task] if space.name == 'mma82' else {}
    if task == 'rec':
        noun, known, clips = 'clips', space.rec_instances, root.read_rec()
        units = list(zip(clips, clip_seconds(root, clips, workers), strict=True))
        own = [(c.action, c, t) for c, t in units if c.action is not None]
    else:
        noun, known, kept = 'videos', space.det_instances, {'all': kept} if kept else {}
        units = [(video, video.duration) for video in root.read_det()]
        pairs = [(v, i) for v, _ in units for i in v.instances]
        own = [(i.label, v, i.end_sec - i.start_sec) for v, i in pairs]
    named = [(space.actions[k], *more) for k, *more in own]
    published = dict(zip(space.actions, known or (), strict=False))
    table, told = _table('action', named, space.actions, published)
    kinds = frequency_groups([row[1] for row in table.rows]).tolist()
    told.append(_WORDS['frequency'].format(*map(kinds.count, GROUPS)))
    rows = [(*r, k, body.get(r[0], '')) for r, k in zip(table.rows, kinds, strict=True)]
    yield 'actions', Table((*table.titles, 'frequency', 'group'), rows), told
    if body:
        grouped = [(body[action], *more) for action, *more in named]
        yield 'groups', *_table('group', grouped, space.bodies)
    if task == 'det':
        yield 'together', *_together(root)
    hidden = sum(r.withheld if task == 'det' else r.action is None for r, _ in units)
    for key in ('domain', 'subject', 'emotion'):
        have = [(getattr(r, key), r, t) for r, t in units if getattr(r, key)]
        facts, names = (kept, root.info.domains) if key == 'domain' else ({}, ())
        published = {name: facts[name][noun] for name in names if name in facts}
        table, told = _table(key, have, names, published)
        several = sum(sum(map(bool, row[1:4])) > 1 for row in table.rows)
        lost = len(units), noun, len(units) - len(have), key, hidden
        told.append(_WORDS['several'].format(several, len(table.rows), key, *lost))
        for name, known in facts.items():
            cells = ', '.join(f'{fact} {number:,}' for fact, number in known.items())
            told.append(_WORDS['published'].format(name, cells))
        if have:
            yield f'{key}s', table, told + root.incomplete(task) * (key == 'domain')


def clip_seconds(root: DataRoot, clips: Sequence[Clip], workers: Any) -> list[float]:
    """Length of each clip by its span, skeleton, or file; NaN, and told, by none."""
    store = SkeletonStore(root, 'rec') if root.has_skeletons('rec') else None
    found = {n: store.frames(n) / store.fps(n) for n in store.names} if store else {}
    found |= {c.clip: c.span[1] - c.span[0] for c in clips if c.span}
    rest = [clip for clip in clips if clip.clip not in found]
    files = {c.clip: root.video_path(c.path) for c in rest if c.path}
    read = dict(try_all(index_video, files.values(), workers, 'read times'))
    found |= {n: getattr(read[f], 'duration_sec', np.nan) for n, f in files.items()}
    lost = [c.clip for c in rest if not found.get(c.clip, np.nan) > 0]
    tell([_WORDS['unknown'].format(root.path, len(lost), first_of(lost))] * bool(lost))
    return [found.get(clip.clip, np.nan) for clip in clips]


def _table(title: str, found: Any, names: Iterable[str], published: Any = ()) -> Told:
    """Numbers by name and subset, and lengths, of clips, videos or instances."""
    of: dict[str, list[Any]] = {name: [] for name in names}
    for name, row, seconds in found:
        one = seconds, getattr(row, 'clip', '') or row.video, row.subset, row.subject
        of.setdefault(name, []).append(one)
    rows = []
    for name, own in of.items():
        counts = [sum(one[2] == subset for one in own) for subset in SUBSETS]
        known = sorted(one[:2] for one in own if one[0] == one[0])
        secs = [one[0] for one in known] or [np.nan]
        low, q1, middle, q3, high = np.percentile(secs, (0, 25, 50, 75, 100)).tolist()
        people = len({one[3] for one in own} - {''})
        told = len(own), dict(published).get(name, ''), people
        times = float(np.nansum(secs)) / 3600, middle, low, high, float(np.mean(secs))
        ends = (known[0][1], known[-1][1]) if known else ('', '')
        cells = name, *counts, *told, *times, q1, q3, *ends
        rows.append(['' if cell != cell else cell for cell in cells])
    rows.sort(key=lambda row: (-row[4], row[0]))
    cells = [dict(zip(['name', *_WORDS['columns']], r, strict=True)) for r in rows]
    sizes = np.array([row[4] for row in rows], int)
    table, total = Table((title, *_WORDS['columns']), rows), sizes.sum()
    if not total:
        return table, [f'there is no {title}']
    facts = dict(title=title, names=len(rows), total=total, first=cells[0])
    facts |= {'half': int(np.searchsorted(np.cumsum(sizes), total / 2)) + 1}
    facts |= {'share': sizes[0] / total, 'empty': (sizes == 0).sum()}
    told = [_WORDS['half'].format(**facts)]
    if some := [cell for cell in cells if cell['shortest']]:
        low = min(some, key=itemgetter('min_sec'))
        high = max(some, key=itemgetter('max_sec'))
        brief, long = (f(some, key=itemgetter('median_sec')) for f in (min, max))
        ends = {'low': low, 'high': high, 'brief': brief, 'long': long}
        told += [_WORDS[key].format(**ends) for key in ('medians', 'lengths')]
    return table, told


def _together(root: DataRoot) -> Told:
    """What goes on at once, of all domains: groups, then actions."""
    recordings, space = read_recordings(root.path)
    pooled = [replace(one, domain='all') for one in recordings]
    found = behaviour_tables(pooled, space, 'condition')['cooccurrence']
    rows = [(*r[4:7], r[9], r[10] if r[9] else '', r[3]) for r in found]
    rows.sort(key=lambda row: (row[-1] == 'action', -row[2], row[:2]))
    told = []
    for level, what in (('body', 'groups'), ('action', 'actions')):
        both = [row for row in rows if row[-1] == level and row[2] > 0]
        for a, b, seconds, _, ratio, _ in both[:1]:
            told.append(_WORDS['pairs'].format(len(both), what, a, b, seconds, ratio))
    return Table(_WORDS['together'], rows), told or ['nothing goes on at once']
