"""What a corpus consists of, item by item, before anything moves."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmma.layout.det import Instance, Video
from mmma.layout.rec import Clip
from mmma.layout.root import DatasetInfo
from mmma.simulation.motion import Event
from mmma.simulation.people import Person
from mmma.simulation.scales import SCALES
from mmma.taxonomy import LabelSpace, check_choice

TASKS = ('rec', 'det')
MODALITIES = ('skeleton', 'video', 'both')
NAME = 'mma82-simulated'
VERSION = '1'


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
        tasks = ' '.join(task for task in TASKS if task in self.tasks)
        words = [f'scale {self.scale}', content, f'tasks {tasks}']
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
        return replace(self, rec=_keep(self.rec, count), det=_keep(self.det, count))

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
                    Instance(e.start_sec, e.end_sec, ids[e.action]) for e in item.events
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
        digest = hashlib.sha256(self.options.describe().encode())
        for item in self.items:
            digest.update(repr(item).encode())
        return digest.hexdigest()


def _keep(items: Sequence[Item], count: int) -> tuple[Item, ...]:
    """At most ``count`` items, in turn from every domain and subset; order kept."""
    turn: dict[tuple[str, str], int] = {}
    ranked = []
    for position, item in enumerate(items):
        row = item.domain, item.subset
        turn[row] = turn.get(row, -1) + 1
        ranked.append((turn[row], position))
    return tuple(items[p] for p in sorted(p for _, p in sorted(ranked)[:count]))
