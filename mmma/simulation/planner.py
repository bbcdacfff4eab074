"""Decides what a corpus consists of, from its options alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mmma.simulation.domains import DOMAIN_STYLES
from mmma.simulation.durations import lognormal_lengths, spread_normal
from mmma.simulation.motion import Event
from mmma.simulation.people import Pools, cast, make_pools
from mmma.simulation.plan import TASKS, Item, Plan, SimulationOptions
from mmma.simulation.priors import EMOTION_CLIPS, emotion_given_action
from mmma.simulation.scales import ROWS, Size, det_size, rec_size
from mmma.simulation.timeline import (
    conflict_table,
    deal_counts,
    interleave,
    lay_out,
    video_seconds,
)
from mmma.taxonomy import DOMAINS, LabelSpace, load_label_space, load_statistics

SHORTEST_FRAMES = 12
_LONGEST_SEC = 10.0
_CLIP_SPREAD = 0.42  # of the logarithm of a clip's length
_COMMON_FPS_SHARE = 0.8  # of the first frame rate, where a domain has several


def make_plan(options: SimulationOptions) -> Plan:
    """Decide everything but the motion.

    Both tasks are planned whatever ``options.tasks`` says, so that choosing one of them
    changes neither its items nor who is filmed in them.

    Args:
        options: What to simulate.
    """
    space = load_label_space('mma82')
    rec_rng, det_rng = (
        np.random.default_rng(np.random.SeedSequence([options.seed, 0, task]))
        for task in range(len(TASKS))
    )
    rec = rec_size(options.scale, options.balanced, space, rec_rng)
    det = det_size(options.scale, options.balanced, space, det_rng)
    pools = make_pools(rec.items, det.items, options.seed)
    clips = _plan_clips(rec, pools, space, rec_rng) if 'rec' in options.tasks else ()
    videos = _plan_videos(det, pools, space, det_rng) if 'det' in options.tasks else ()
    return _with_paths(Plan(options, tuple(clips), tuple(videos)))


def _plan_clips(
    size: Size, pools: Pools, space: LabelSpace, rng: np.random.Generator
) -> Iterator[Item]:
    """Clips row by row; the actions of a row in random order."""
    emotions = _Emotions(space, rng)
    lengths = {d: iter(_clip_frames(d, size, rng)) for d in DOMAINS}
    index = 0
    for row, (domain, subset) in enumerate(ROWS):
        actions = _shuffled(size.actions[row], rng)
        people = cast(pools.rec[row], len(actions), rng)
        for number, (action, person) in enumerate(zip(actions, people, strict=True)):
            fps, frames = next(lengths[domain])
            yield Item(
                task='rec',
                index=index,
                name=f'{domain}_{subset}_{number + 1:06d}',
                path='',
                subset=subset,
                domain=domain,
                person=person,
                fps=fps,
                frames=frames,
                events=(Event(space.actions[action], 0.0, frames / fps),),
                emotion=emotions.draw(action) if domain == 'emotion' else '',
            )
            index += 1


def _plan_videos(
    size: Size, pools: Pools, space: LabelSpace, rng: np.random.Generator
) -> Iterator[Item]:
    """Videos row by row."""
    fps, frames, events = _video_events(size, space, rng)
    index = 0
    for row, (domain, subset) in enumerate(ROWS):
        people = cast(pools.det[row], int(size.items[row]), rng)
        for number, person in enumerate(people):
            yield Item(
                task='det',
                index=index,
                name=f'{domain}_{subset}_video_{number + 1:05d}',
                path='',
                subset=subset,
                domain=domain,
                person=person,
                fps=float(fps[index]),
                frames=int(frames[index]),
                events=events[index],
            )
            index += 1


def _video_events(
    size: Size, space: LabelSpace, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[tuple[Event, ...]]]:
    """Frame rates, numbers of frames and events of all videos, laid out together."""
    published = load_statistics()['det']
    conflicts = conflict_table(space)
    counts, actions, rates = [], [], []
    for (domain, _), videos, row in zip(ROWS, size.items, size.actions, strict=True):
        counts.append(deal_counts(int(videos), int(row.sum()), rng))
        actions.append(interleave(_shuffled(row, rng), conflicts, rng))
        rates.append(_draw_fps(domain, int(videos), rng))
    count, fps = np.concatenate(counts), np.concatenate(rates)
    mean_sec = published['hours'] * 3600 / published['videos']
    frames = np.rint(video_seconds(count, mean_sec, rng) * fps).astype(np.int64)
    line = lay_out(
        count,
        np.concatenate(actions),
        frames / fps,
        conflicts,
        published['mean_instance_seconds'],
        rng,
    )
    events: list[list[Event]] = [[] for _ in count]
    for at in np.lexsort((line.end_sec, line.start_sec)):
        event = Event(
            space.actions[line.action[at]],
            float(line.start_sec[at]),
            float(line.end_sec[at]),
        )
        events[line.video[at]].append(event)
    return fps, frames, [tuple(mine) for mine in events]


class _Emotions:
    """Draws the emotion of a clip from its action."""

    def __init__(self, space: LabelSpace, rng: np.random.Generator) -> None:
        self._steps = np.cumsum(emotion_given_action(space), axis=1)
        self._names = tuple(EMOTION_CLIPS)
        self._rng = rng

    def draw(self, action: int) -> str:
        place = np.searchsorted(self._steps[action], self._rng.random())
        return self._names[min(int(place), len(self._names) - 1)]


def _shuffled(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(K,) counts -> the indices, each as often as counted, in random order."""
    return rng.permutation(np.repeat(np.arange(len(counts)), counts))


def _draw_fps(domain: str, count: int, rng: np.random.Generator) -> np.ndarray:
    rates = DOMAIN_STYLES[domain].fps
    rare = rng.random(count) >= _COMMON_FPS_SHARE
    other = rng.integers(1, max(len(rates), 2), count) % len(rates)
    return np.array(rates)[np.where(rare, other, 0)]


def _clip_frames(
    domain: str, size: Size, rng: np.random.Generator
) -> list[tuple[float, int]]:
    """Frame rate and number of frames of a domain's clips, with its published mean."""
    count = sum(
        int(n) for n, (d, _) in zip(size.items, ROWS, strict=True) if d == domain
    )
    mean = load_statistics()['rec'][domain]['mean_seconds']
    fps = _draw_fps(domain, count, rng)
    exponents = _CLIP_SPREAD * spread_normal(count, rng)
    shortest = SHORTEST_FRAMES / fps.min()
    seconds = lognormal_lengths(exponents, mean, shortest, _LONGEST_SEC)
    frames = np.maximum(np.rint(seconds * fps), SHORTEST_FRAMES).astype(int)
    return list(zip(fps.tolist(), frames.tolist(), strict=True))


def _with_paths(plan: Plan) -> Plan:
    """Give a video to the items that are drawn; drop what would have nothing."""
    options = plan.options
    if not options.draws:
        return plan
    drawn = plan if options.videos is None else plan.head(options.videos)
    names = {item.name for item in drawn.items}
    kept = plan if options.observes else drawn
    return replace(
        kept,
        rec=tuple(_with_path(item, names) for item in kept.rec),
        det=tuple(_with_path(item, names) for item in kept.det),
    )


def _with_path(item: Item, names: set[str]) -> Item:
    if item.name not in names:
        return item
    folder = f'videos/{item.task}/{item.domain}/{item.subset}'
    return replace(item, path=f'{folder}/{item.name}.mp4')
