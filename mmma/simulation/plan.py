"""The plan of a corpus and who is in it."""

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmma.data.clips import Clip
from mmma.data.root import DatasetInfo
from mmma.data.videos import Instance, Video
from mmma.simulation.domains import Array, Rng
from mmma.simulation.margins import PLANTED, ROWS, SCALES, apportion, published_clips
from mmma.simulation.motion import Event
from mmma.taxonomy import DOMAINS, SUBSETS, LabelSpace, check_choice, load_statistics

_STREAM = 3  # of the seed; 1 and 2 are the tasks


# Name in the tables, and the seed that the figure is made from.
Person = tuple[str, int]
Pools = list[list[Person]]  # of the rows of ``ROWS``; no person is in two rows


def make_pools(clips: Array, videos: Array, seed: int) -> tuple[Pools, Pools]:
    """Persons of the trimmed clips, and of the untrimmed videos: some of the former.

    A subset has persons in proportion to its published clips, but never more than one
    for two of its (12,) clips or videos per row, which at full scale binds nowhere.
    """
    statistics = load_statistics()
    people = np.array([statistics['rec'][domain]['subjects'] for domain in DOMAINS])
    rec = np.minimum(_by_subset(people), np.maximum(clips // 2, 1))
    filmed = _by_subset(apportion(statistics['det']['subjects'], people))
    det = np.minimum(np.minimum(filmed, rec), np.maximum(videos // 2, 1))
    persons: Pools = []
    last = dict.fromkeys(DOMAINS, 0)
    for (domain, _), count in zip(ROWS, rec.tolist(), strict=True):
        numbers = range(last[domain] + 1, last[domain] + 1 + count)
        last[domain] += count
        row = []
        for number in numbers:
            entropy = [seed, _STREAM, DOMAINS.index(domain), number]
            state = np.random.SeedSequence(entropy).generate_state(1)
            row.append((f'{domain}_p{number:03d}', int(state[0])))
        persons.append(row)
    return persons, [row[:n] for row, n in zip(persons, det.tolist(), strict=True)]


def _by_subset(people: Array) -> Array:
    """(4,) persons per domain -> (12,) per row, at least one in each."""
    weights = published_clips().reshape(len(DOMAINS), len(SUBSETS))
    shares = [apportion(int(n), w, 1) for n, w in zip(people, weights, strict=True)]
    return np.concatenate(shares)


def cast(pool: Sequence[Person], count: int, rng: Rng) -> list[Person]:
    """Persons of ``count`` clips: the whole pool, some more often than others."""
    weights = rng.gamma(4.0, size=len(pool))
    more = rng.multinomial(count - len(pool), weights / weights.sum())
    order = np.repeat(np.arange(len(pool)), 1 + more)
    return [pool[i] for i in rng.permutation(order)]


TASKS = ('rec', 'det')
MODALITIES = ('skeleton', 'video', 'both')
NAME = 'mma82-simulated'
VERSION = '1'


@dataclass(frozen=True)
class SimulationOptions:
    """Choices of what to simulate.

    Attributes:
        scale (tiny|small|full): Number of clips and videos.
        modality (skeleton|video|both): what is written for each clip and video
            (default: skeleton)
        tasks (T): rec: trimmed clips, det: untrimmed videos (default: both)
        videos (N): draw at most N videos per task, from all domains and subsets in
            turn; with modality both the others have skeletons only, with video there
            are no others
        tables_only: neither skeletons nor videos
        balanced: all classes alike, no long tail
        seed (S): Not negative.

    Raises:
        ValueError: A value that is not allowed.
    """

    scale: str = 'small'
    modality: str = 'skeleton'
    tasks: tuple[str, ...] = TASKS
    videos: int | None = None
    tables_only: bool = False
    balanced: bool = False
    seed: int = 0

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
        """True if videos are drawn."""
        return self.modality != 'skeleton' and not self.tables_only

    @property
    def observes(self) -> bool:
        """True if skeletons are written."""
        return self.modality != 'video' and not self.tables_only

    def describe(self) -> str:
        """The options in words, as ``dataset.json`` keeps them."""
        content = 'tables only' if self.tables_only else f'modality {self.modality}'
        tasks = ' '.join(task for task in TASKS if task in self.tasks)
        words = [f'scale {self.scale}', content, f'tasks {tasks}']
        words += ['balanced'] if self.balanced else []
        words += [] if self.videos is None else [f'videos {self.videos}']
        return ', '.join([*words, f'seed {self.seed}'])


@dataclass(frozen=True)
class Item:
    """One clip or one untrimmed video."""

    task: str  # rec for a clip, det for a video
    index: int  # number within the task; its randomness hangs on it alone
    name: str  # name in the tables
    path: str  # video relative to the root; empty where none is drawn
    subset: str  # train, val or test
    domain: str  # one of the four
    subject: str  # who is filmed
    person_seed: int  # what the figure is made from
    fps: float  # frames per second
    frames: int  # number of frames
    events: tuple[Event, ...]  # a single one, from start to end, in a clip
    emotion: str = ''  # emotion of the scene; only in the emotion domain

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.frames / self.fps

    @property
    def row(self) -> tuple[str, str, str, str, str]:
        """Name, path, subset, domain and subject, first in both tables."""
        return self.name, self.path, self.subset, self.domain, self.subject


@dataclass(frozen=True)
class Plan:
    """Every item of a corpus, or of a part of one."""

    options: SimulationOptions  # what it was made from
    rec: tuple[Item, ...]  # trimmed clips, by domain and subset
    det: tuple[Item, ...]  # untrimmed videos, by domain and subset

    @property
    def items(self) -> tuple[Item, ...]:
        """Clips, then videos."""
        return self.rec + self.det

    @property
    def frames(self) -> int:
        """Number of frames."""
        return sum(item.frames for item in self.items)

    def head(self, count: int) -> 'Plan':
        """At most ``count`` items per task, in turn from every domain and subset."""

        def kept(items: tuple[Item, ...]) -> tuple[Item, ...]:
            turns: dict[Any, Iterator[int]] = defaultdict(itertools.count)
            ranks = [next(turns[item.domain, item.subset]) for item in items]
            first = np.argsort(ranks, kind='stable')[:count]
            return tuple(items[place] for place in sorted(first))

        return replace(self, rec=kept(self.rec), det=kept(self.det))

    def clips(self, space: LabelSpace) -> list[Clip]:
        """Rows of ``rec.csv``."""
        actions = [space.action_id(item.events[0].action) for item in self.rec]
        return [
            Clip(*item.row, action, space.body_of[action], item.emotion)
            for item, action in zip(self.rec, actions, strict=True)
        ]

    def videos(self, space: LabelSpace) -> list[Video]:
        """Entries of ``det.json``."""
        return [
            Video(
                *(*item.row, item.fps, item.frames, round(item.seconds, 4)),
                instances=tuple(
                    Instance(e.start_sec, e.end_sec, space.action_id(e.action))
                    for e in item.events
                ),
                emotion=item.emotion,
            )
            for item in self.det
        ]

    def info(self) -> DatasetInfo:
        """Content of ``dataset.json``."""
        return DatasetInfo(
            name=NAME,
            label_space='mma82',
            simulated=True,
            source=f'mmma.simulation: {self.options.describe()}',
            version=VERSION,
            emotions=tuple(PLANTED['emotion_actions']),
            planted=PLANTED,
        )

    def fingerprint(self) -> str:
        """SHA-256, in hex, over the options and every item."""
        digest = hashlib.sha256(self.options.describe().encode())
        for item in self.items:
            digest.update(repr(item).encode())
        return digest.hexdigest()


NEVER_A_BENCHMARK = (
    'Simulated: it exercises and teaches; numbers measured on it are no results of '
    'MMA-82 and are marked so wherever they are shown.'
)
_COLUMNS = ('domain', *SUBSETS, 'total', 'seconds', 'subjects', 'actions', 'drawn')


def summarize(plan: Plan) -> str:
    """Table of each task: domains, subsets, durations, subjects, actions, videos."""
    parts = []
    if plan.rec:
        parts += [f'{len(plan.rec):,} trimmed clips', _table(plan.rec)]
    if plan.det:
        instances = [e for item in plan.det for e in item.events]
        mean = sum(e.end_sec - e.start_sec for e in instances) / len(instances)
        parts.append(
            f'{len(plan.det):,} untrimmed videos with {len(instances):,} instances, '
            f'{len(instances) / len(plan.det):.2f} each, {mean:.2f} s on average'
        )
        parts.append(_table(plan.det))
    return '\n'.join([*parts, NEVER_A_BENCHMARK])


def _table(items: Sequence[Item]) -> str:
    groups = {d: [item for item in items if item.domain == d] for d in DOMAINS}
    rows = [_row(name, mine) for name, mine in groups.items() if mine]
    rows = [_COLUMNS, *rows, _row('all', items)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [[r[0].ljust(widths[0]), *map(str.rjust, r[1:], widths[1:])] for r in rows]
    return '\n'.join(map('  '.join, cells))


def _row(name: str, items: Sequence[Item]) -> tuple[str, ...]:
    subsets = Counter(item.subset for item in items)
    mean_sec = sum(item.seconds for item in items) / len(items)
    return (
        name,
        *(f'{subsets[s]:,}' for s in SUBSETS),
        f'{len(items):,}',
        f'{mean_sec:.2f}',
        str(len({item.subject for item in items})),
        str(len({e.action for item in items for e in item.events})),
        f'{sum(bool(item.path) for item in items):,}',
    )
