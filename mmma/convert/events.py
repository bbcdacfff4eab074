"""Annotations of people: events of videos, as the tools of annotation hold them.

A file of any tool becomes a list of :class:`Recording`, and back. The module of a
format has ``read_NAME(path)``, which takes a file, or a folder of them, and returns
recordings, and ``write_NAME(out, recordings, space)``, which writes into a folder and
returns the paths of its files. What the one writes the other reads back as it was, with
times to the millisecond.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from mmma.data.root import DET_FILE, INFO_FILE, DataRoot
from mmma.data.videos import Event, Video, read_detections, scan_det
from mmma.files import read_json, read_text, tell
from mmma.foreign import has_controls, is_number, naming, parse_json
from mmma.taxonomy import LabelSpace, check_choice

FORMATS = dict(elan='tiers', boris='boris', labelstudio='timelines', textgrid='tiers')
FORMATS |= dict(fiftyone='timelines', csv='spreadsheets')
"""Name of a format -> the module beside this one that reads and writes it."""
_SUFFIXES = {'.eaf': 'elan', '.textgrid': 'textgrid', '.boris': 'boris', '.json': ''}
_SUFFIXES |= dict.fromkeys(('.csv', '.tsv', '.txt'), 'csv')


@dataclass(frozen=True)
class Recording:
    """A video with the events in it.

    Attributes:
        name: Unique among the recordings that are read or written together.
        path: Its file, as the annotation file gives it; empty where that is unknown.
        fps, duration_sec: Frames per second, and seconds; NaN where unknown.
        events: In the order of the file.
        annotator: Who, or which model, says so; a simulated model's name begins with
            ``simulated``. Written where the format has a place for it.
        subject: Whom the video shows, where that is told of all of it.
        domain: Its domain in a data root.
        subset: Its subset there; an event on a tier ``subset`` says so, too.
    """

    name: str
    path: str = ''
    fps: float = math.nan
    duration_sec: float = math.nan
    events: tuple[Event, ...] = ()
    annotator: str = ''
    subject: str = ''
    domain: str = ''
    subset: str = ''

    @property
    def simulated(self) -> bool:
        """True where nobody real is shown, or was to the model."""
        return self.annotator.startswith('simulated')


Found = Sequence[Recording]


def format_function(action: str, kind: str) -> Callable[..., Any]:
    """The function ``read`` or ``write`` of one of ``FORMATS``, else ValueError."""
    check_choice('format', kind, tuple(FORMATS))
    module = import_module(f'mmma.convert.{FORMATS[kind]}')
    return getattr(module, f'{action}_{kind}')


def change_events(
    recordings: Iterable[Recording], change: Callable[[Event], Event | bool | None]
) -> list[Recording]:
    """Recordings whose events are changed; what becomes None or False goes."""
    changed = ((own, filter(None, map(change, own.events))) for own in recordings)
    return [replace(own, events=tuple(events)) for own, events in changed]


def tell_apart(recordings: Iterable[Recording]) -> list[Recording]:
    """Name recordings of one video by several annotators ``VIDEO@ANNOTATOR``.

    Videos of equal names have their paths as names. A video that is there twice by the
    same, or by nobody, raises ValueError.
    """
    found, paths = list(recordings), defaultdict(set)
    for own in found:
        paths[own.name].add(own.path)
    equal = (len(paths[own.name]) > 1 and own.path for own in found)
    found = [replace(r, name=p) if p else r for r, p in zip(found, equal, strict=True)]
    counts = Counter(own.name for own in found)
    for at, own in enumerate(found):
        if counts[own.name] > 1 and own.annotator:
            found[at] = replace(own, name=f'{own.name}@{own.annotator}')
    (name, count), *_ = Counter(r.name for r in found).most_common(1) or [('', 0)]
    if count > 1:
        raise ValueError(f'the video {name!r} is annotated {count} times: keep one')
    return found


def groups_of(space: LabelSpace) -> dict[str, str]:
    """Name of each action that has a body group -> that of the group."""
    bodies = (space.bodies[body] for body in space.body_of)
    return dict(zip(space.actions, bodies, strict=False))


def known(**values: Any) -> dict[str, Any]:
    """What is neither empty nor NaN."""
    return {key: value for key, value in values.items() if value and value == value}


def media_name(path: str) -> str:
    """Path of a video of what an annotation file gives: a path, or a URL."""
    if '://' not in path and not path.startswith('file:'):
        return path
    parts = urlsplit(path)
    inner = parse_qs(parts.query).get('d')  # Label Studio: /data/local-files/?d=...
    name = inner[0] if inner else unquote(parts.path)
    return re.sub(r'^/(?=[A-Za-z]:)', '', name)  # file:///D:/...


def root_at(path: Path) -> DataRoot | None:
    """The data root at a path, which may be that of its ``det.json``; None without."""
    root = path if path.is_dir() else path.parent
    is_root = (root / INFO_FILE).is_file() and path in (root, root / DET_FILE)
    return DataRoot(root) if is_root else None


def read_recordings(
    path: Path, space: LabelSpace | None = None
) -> tuple[list[Recording], LabelSpace]:
    """Read annotations or predictions of whatever form, told by what is there.

    Args:
        path: A data root, a ``det.json``, detections ``{"results"}``, a JSON of
            ``infer.py`` or a folder of them, or a file or folder of a tool.
        space: Whose labels alone there may be; a root has its own. By default it is
            of the labels that are there, without groups.

    Returns:
        Recordings of all videos whose truth is not withheld, which is told; the space.

    Raises:
        FileNotFoundError: No such file, or nothing that is known in a folder.
        ValueError: It is of no known form, or has faults.
    """
    path = Path(path)
    if data := root_at(path):
        mark, space = 'simulated' * data.info.simulated, data.label_space()
        return _of_videos(path, data.read_det(), space, mark), space
    kinds, files = [*_SUFFIXES], [path]
    if path.is_dir():
        files = [f for f in path.rglob('*') if f.suffix.lower() in kinds]
        files.sort(key=lambda f: (kinds.index(f.suffix.lower()), f))
        files = [f for f in files if _is_answer(f)] or files  # with exports below it
    if not files or not path.exists():
        raise FileNotFoundError(
            f'{path}: no annotation is there: need a data root, JSON of detections or '
            f'infer.py, or files of {", ".join(FORMATS)}'
        )
    kind = _SUFFIXES.get(files[0].suffix.lower(), '')
    if kind == 'csv' and 'observation id' in read_text(files[0])[:10_000].lower():
        kind = 'boris'
    with naming(path):
        read = format_function('read', kind) if kind else _read_json
        found = read(path) if kind else read(path, files, space)
        found = change_events(found, lambda e: e.tier.casefold() != 'subset' and e)
        labels = {event.label for own in found for event in own.events}
        names = {x: space.actions[space.action_id(x)] if space else x for x in labels}
    found = change_events(found, lambda e: replace(e, label=names[e.label]))
    return found, space or LabelSpace('found', tuple(sorted(labels)), (), ())


def _is_answer(file: Path) -> bool:
    """True for a JSON of ``infer.py``."""
    with suppress(ValueError):
        return file.suffix == '.json' and bool(read_json(file, 'request', 'video'))
    return False


def _read_json(
    path: Path, files: Sequence[Path], space: LabelSpace | None
) -> list[Recording]:
    files = sorted(files, key=lambda f: f.name != 'labels.json')  # of FiftyOne
    content = parse_json(read_text(files[0]), files[0])[0]
    keys = {*content} if isinstance(content, dict) else set()
    if 'request' in keys:
        files = [file for file in files if file.suffix.lower() == '.json']
        return [_of_findings(file, path) for file in files]
    if not keys & {'database', 'results'}:
        kind = 'boris' if 'observations' in keys else 'labelstudio'
        kind = 'fiftyone' if keys & {'labels', 'samples'} else kind
        return format_function('read', kind)(path)
    file, true = files[0], 'database' in keys
    if space is None:
        entries = content['database' if true else 'results']
        entries = [*entries.values()] if isinstance(entries, dict) else []
        lists = [v.get('annotations') if isinstance(v, dict) else v for v in entries]
        given = [one for own in lists if isinstance(own, list) for one in own]
        labels = {str(one.get('label')) for one in given if isinstance(one, dict)}
        names = sorted(label for label in labels if not label.isdecimal())
        if len(names) < len(labels):
            raise ValueError(f'{file}: labels are numbers: give --label-space')
        space = LabelSpace('found', tuple(names), (), ())
    if true:
        videos, *odd = scan_det(file, space, of_root=False)
        tell(note for own in odd for note in own.notes())
        return _of_videos(file, videos, space)
    found, events = read_detections(file, space), defaultdict(list)
    columns = found.labels, found.segments_sec.tolist(), found.scores.tolist()
    for video, label, times, score in zip(found.videos, *columns, strict=True):
        events[video].append(Event(*times, space.actions[label], score=score))
    return [Recording(n, events=tuple(events[i])) for i, n in enumerate(found.names)]


def _of_videos(
    path: Path, videos: Sequence[Video], space: LabelSpace, annotator: str = ''
) -> list[Recording]:
    if hidden := sum(video.withheld for video in videos):
        tell([f'{path}: {hidden} of {len(videos)} videos left out: truth withheld'])
    found = []
    for video in (video for video in videos if not video.withheld):
        events = []
        for one in video.instances:
            times = one.start_sec, one.start_sec if one.point else one.end_sec
            more = one.subject, one.score, one.text, one.tier
            events.append(Event(*times, space.actions[one.label], *more))
        facts = video.video, video.path, video.fps, video.duration, tuple(events)
        found.append(Recording(*facts, annotator, video.subject, video.domain))
    return found


def _of_findings(file: Path, path: Path) -> Recording:
    """A JSON of ``infer.py``: segments of its detector, or else what a clip shows."""
    content = read_json(file, 'request', 'video')
    name = file.relative_to(path if path.is_dir() else path.parent).with_suffix('')
    try:
        facts, own = content['video'], content.get('detection')
        own = own or content['recognition']
        whole = {'start_sec': 0.0, 'end_sec': facts['duration_sec']}
        events = []
        for one in own.get('segments', [{**own, **whole}]):
            times, told = [one['start_sec'], one['end_sec']], one['score']
            good = all(map(is_number, (*times, told))) and 0 <= told <= 1
            if not good or not 0 <= times[0] <= times[1]:
                raise TypeError(one)
            events += [Event(*times, one['action'], '', told)] if one['action'] else []
        model = 'simulated ' * bool(content['simulated']) + own['model']['name']
        texts = facts.get('path', ''), model, *(event.label for event in events)
        size = facts['fps'], facts['duration_sec']
        if any(map(has_controls, texts)) or not all(map(is_number, size)):
            raise TypeError(facts)
        return Recording(name.as_posix(), texts[0], *size, tuple(events), model)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'{file}: no JSON of infer.py: {error!r}') from None
