"""What a corpus consists of, item by item, before anything moves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmma.layout.det import Instance, Video
from mmma.layout.rec import Clip
from mmma.layout.root import DatasetInfo
from mmma.simulation.domains import DOMAIN_STYLES
from mmma.simulation.durations import lognormal_lengths, spread_normal
from mmma.simulation.motion import Event
from mmma.simulation.people import Person, Pools, cast, make_pools
from mmma.simulation.priors import EMOTION_CLIPS, emotion_given_action
from mmma.simulation.scales import ROWS, SCALES, Size, det_size, rec_size
from mmma.simulation.timeline import (
    conflict_table,
    deal_counts,
    interleave,
    lay_out,
    video_seconds,
)
from mmma.taxonomy import (
    DOMAINS,
    LabelSpace,
    check_choice,
    load_label_space,
    load_statistics,
)

TASKS = ('rec', 'det')
MODALITIES = ('skeleton', 'video', 'both')
NAME = 'mma82-simulated'
VERSION = '1'
SHORTEST_FRAMES = 12
_LONGEST_SEC = 10.0
_CLIP_SPREAD = 0.42  # of the logarithm of a clip's length
_COMMON_FPS_SHARE = 0.8  # of the first frame rate, where a domain has several


@dataclass(frozen=True)
class SimulationOptions:
    """What to simulate.

    Attributes:
        scale: ``tiny``, ``small`` or ``full``.
        modality: ``skeleton``, ``video`` or ``both``.
        tasks: ``rec``, ``det`` or both.
        tables_only: Neither skeletons nor videos.
        balanced: All classes alike instead of the long tail.
        seed: Not negative.
        videos: Videos drawn per task at most; None draws all. With skeletons the
            others have no video; without, the corpus holds no others.

    Raises:
        ValueError: A value that is not allowed.
    """

    scale: str = 'small'
    modality: str = 'skeleton'
    tasks: tuple[str, ...] = TASKS
    tables_only: bool = False
    balanced: bool = False
    seed: int = 0
    videos: int | None = None

    def __post_init__(self) -> None:
        check_choice('scale', self.scale, tuple(SCALES))
        check_choice('modality', self.modality, MODALITIES)
        for task in self.tasks:
            check_choice('task', task, TASKS)
        if not self.tasks:
            raise ValueError('no task: choose rec, det or both')
        if self.seed < 0:
            raise ValueError(f'seed {self.seed}: use 0 or more')
        if self.videos is not None and (self.videos < 1 or not self.draws):
            raise ValueError(
                f'videos {self.videos}: use 1 or more, with modality video or both '
                'and not with tables only'
            )

    @property
    def draws(self) -> bool:
        """Whether videos are drawn."""
        return self.modality != 'skeleton' and not self.tables_only

    @property
    def observes(self) -> bool:
        """Whether skeletons are written."""
        return self.modality != 'video' and not self.tables_only

    def describe(self) -> str:
        """The options in words, as ``dataset.json`` keeps them."""
        content = 'tables only' if self.tables_only else f'modality {self.modality}'
        words = [f'scale {self.scale}', content, f'tasks {" ".join(self.tasks)}']
        words += ['balanced'] if self.balanced else []
        words += [] if self.videos is None else [f'videos {self.videos}']
        return ', '.join([*words, f'seed {self.seed}'])


@dataclass(frozen=True)
class Item:
    """One clip or one untrimmed video.

    Attributes:
        task: ``rec`` for a clip, ``det`` for a video.
        index: Number within the task; its randomness hangs on it alone.
        name: Name in the tables.
        path: Video relative to the root; empty where none is drawn.
        subset: ``train``, ``val`` or ``test``.
        domain: One of the four.
        person: Who is filmed.
        fps: Frames per second.
        frames: Number of frames.
        events: What happens; a single one, from start to end, in a clip.
        emotion: Emotion of the scene; only in clips of the emotion domain.
    """

    task: str
    index: int
    name: str
    path: str
    subset: str
    domain: str
    person: Person
    fps: float
    frames: int
    events: tuple[Event, ...]
    emotion: str = ''

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.frames / self.fps


@dataclass(frozen=True)
class Plan:
    """Every item of a corpus.

    Attributes:
        options: What it was made from.
        rec: Trimmed clips, by domain and subset.
        det: Untrimmed videos, by domain and subset.
    """

    options: SimulationOptions
    rec: tuple[Item, ...]
    det: tuple[Item, ...]

    @property
    def items(self) -> tuple[Item, ...]:
        """Clips, then videos."""
        return self.rec + self.det

    def head(self, count: int) -> Plan:
        """The same plan with at most ``count`` items per task.

        They are taken in turn from every domain and subset.
        """
        return replace(
            self, rec=_keep(self.rec, count), det=_keep(self.det, count)
        )

    def clips(self, space: LabelSpace) -> list[Clip]:
        """Rows of ``rec.csv``."""
        ids = {name: i for i, name in enumerate(space.actions)}
        rows = []
        for item in self.rec:
            action = ids[item.events[0].action]
            rows.append(
                Clip(
                    clip=item.name,
                    path=item.path,
                    subset=item.subset,
                    domain=item.domain,
                    subject=item.person.name,
                    action=action,
                    body=space.body_of[action],
                    emotion=item.emotion,
                )
            )
        return rows

    def videos(self, space: LabelSpace) -> list[Video]:
        """Entries of ``det.json``."""
        ids = {name: i for i, name in enumerate(space.actions)}
        return [
            Video(
                video=item.name,
                path=item.path,
                subset=item.subset,
                domain=item.domain,
                subject=item.person.name,
                fps=item.fps,
                frames=item.frames,
                duration=round(item.seconds, 4),
                instances=tuple(
                    Instance(e.start_sec, e.end_sec, ids[e.action])
                    for e in item.events
                ),
            )
            for item in self.det
        ]

    def info(self) -> DatasetInfo:
        """What ``dataset.json`` says."""
        return DatasetInfo(
            name=NAME,
            label_space='mma82',
            simulated=True,
            source=f'mmma.simulation: {self.options.describe()}',
            version=VERSION,
        )

    def fingerprint(self) -> str:
        """SHA-256, in hex, over the options and every item."""
        digest = hashlib.sha256(repr(self.options).encode())
        for item in self.items:
            digest.update(repr(item).encode())
        return digest.hexdigest()


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
    clips = videos = ()
    if 'rec' in options.tasks:
        clips = _plan_clips(rec, pools, space, rec_rng)
    if 'det' in options.tasks:
        videos = _plan_videos(det, pools, space, det_rng)
    return _with_paths(Plan(options, clips, videos))


def _plan_clips(
    size: Size, pools: Pools, space: LabelSpace, rng: np.random.Generator
) -> tuple[Item, ...]:
    """Clips row by row; the actions of a row in random order."""
    emotions = _Emotions(space, rng)
    items: list[Item] = []
    for domain in DOMAINS:
        rows = [row for row, (d, _) in enumerate(ROWS) if d == domain]
        actions = [_shuffled(size.actions[row], rng) for row in rows]
        fps, frames = _clip_frames(domain, sum(map(len, actions)), rng)
        at = 0
        for row, labels in zip(rows, actions, strict=True):
            subset = ROWS[row][1]
            people = cast(pools.rec[row], len(labels), rng)
            for number, (label, person) in enumerate(zip(labels, people, strict=True)):
                event = Event(space.actions[label], 0.0, frames[at] / fps[at])
                items.append(
                    Item(
                        task='rec',
                        index=len(items),
                        name=f'{domain}_{subset}_{number + 1:06d}',
                        path='',
                        subset=subset,
                        domain=domain,
                        person=person,
                        fps=fps[at],
                        frames=frames[at],
                        events=(event,),
                        emotion=emotions.draw(label) if domain == 'emotion' else '',
                    )
                )
                at += 1
    return tuple(items)


def _plan_videos(
    size: Size, pools: Pools, space: LabelSpace, rng: np.random.Generator
) -> tuple[Item, ...]:
    """Videos row by row, their instances laid out for all rows together."""
    conflicts = conflict_table(space.actions)
    counts, actions = [], []
    for videos, row in zip(size.items, size.actions, strict=True):
        counts.append(deal_counts(int(videos), int(row.sum()), rng))
        actions.append(interleave(_shuffled(row, rng), conflicts, rng))
    published = load_statistics()['det']
    count = np.concatenate(counts)
    mean = published['hours'] * 3600 / published['videos']
    fps = np.concatenate(
        [_draw_fps(d, int(n), rng) for (d, _), n in zip(ROWS, size.items, strict=True)]
    )
    frames = np.rint(video_seconds(count, mean, rng) * fps).astype(int)
    timeline = lay_out(
        count,
        np.concatenate(actions),
        frames / fps,
        conflicts,
        published['mean_instance_seconds'],
        rng,
    )
    names = [space.actions[a] for a in timeline.action]
    events = list(
        map(Event, names, timeline.start_sec.tolist(), timeline.end_sec.tolist())
    )
    offsets = np.concatenate([[0], np.cumsum(count)])
    items: list[Item] = []
    for row, (domain, subset) in enumerate(ROWS):
        people = cast(pools.det[row], int(size.items[row]), rng)
        for number, person in enumerate(people):
            i = len(items)
            mine = events[offsets[i] : offsets[i + 1]]
            items.append(
                Item(
                    task='det',
                    index=i,
                    name=f'{domain}_{subset}_video_{number + 1:05d}',
                    path='',
                    subset=subset,
                    domain=domain,
                    person=person,
                    fps=float(fps[i]),
                    frames=int(frames[i]),
                    events=tuple(sorted(mine, key=lambda e: (e.start_sec, e.end_sec))),
                )
            )
    return tuple(items)


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
    domain: str, count: int, rng: np.random.Generator
) -> tuple[list[float], list[int]]:
    """Frame rates and numbers of frames with the domain's published mean length."""
    mean = load_statistics()['rec'][domain]['mean_seconds']
    fps = _draw_fps(domain, count, rng)
    shortest = SHORTEST_FRAMES / fps.min()
    exponents = _CLIP_SPREAD * spread_normal(count, rng)
    seconds = lognormal_lengths(exponents, mean, shortest, _LONGEST_SEC)
    frames = np.maximum(np.rint(seconds * fps), SHORTEST_FRAMES)
    return fps.tolist(), frames.astype(int).tolist()


def _keep(items: Sequence[Item], count: int) -> tuple[Item, ...]:
    """At most ``count`` items, in turn from every domain and subset; order kept."""
    turn: dict[tuple[str, str], int] = {}
    ranked = []
    for position, item in enumerate(items):
        row = item.domain, item.subset
        turn[row] = turn.get(row, -1) + 1
        ranked.append((turn[row], position))
    return tuple(items[p] for p in sorted(p for _, p in sorted(ranked)[:count]))


def _with_paths(plan: Plan) -> Plan:
    """Give a video to the items that are drawn; drop what would have nothing."""
    options = plan.options
    if not options.draws:
        return plan
    limit = max(len(plan.items), 1) if options.videos is None else options.videos
    drawn = plan.head(limit)
    if not options.observes:
        return replace(drawn, rec=_paths(drawn.rec), det=_paths(drawn.det))
    names = {item.name for item in drawn.items}
    return replace(
        plan, rec=_paths(plan.rec, names), det=_paths(plan.det, names)
    )


def _paths(items: Iterable[Item], names: set[str] | None = None) -> tuple[Item, ...]:
    return tuple(
        replace(item, path=f'videos/{i.task}/{i.domain}/{i.subset}/{i.name}.mp4')
        if names is None or item.name in names
        else item
        for item in items
        for i in (item,)
    )
