"""Events on the timelines of Label Studio and FiftyOne, which count frames from 1.

Frames ``[first, last]``, both within, are ``(first - 1) / fps`` to ``last / fps``
seconds. Times between frames stand beside them, so that nothing is rounded.

Source: HumanSignal/label-studio, web/libs/editor/src, tags/object/Video/Video.js 025b
and regions/TimelineRegion.js 0911; HumanSignal/label-studio-ml-backend, examples/yolo,
utils/converter.py; voxel51/fiftyone, fiftyone/utils/data/importers.py and its docs.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

from mmma.data.clips import seconds_of, split_name
from mmma.data.convert.events import Event, Recording, tell_apart
from mmma.files import read_json, tell, write_file
from mmma.foreign import is_number, naming
from mmma.taxonomy import LabelSpace
from mmma.video import VIDEO_SUFFIXES, probe_video

_FACTS = ('fps', 'duration_sec', 'annotator')
_NOTES = ('subject', 'text', 'tier')


def frames_of(start_sec: float, end_sec: float, fps: float) -> tuple[int, int]:
    """First and last frame, from 1, of which a span has a part; one at least."""
    first = math.floor(start_sec * fps + 1e-4) + 1
    return first, max(first, math.ceil(end_sec * fps - 1e-4))


def seconds_between(first: int, last: int, fps: float) -> tuple[float, float]:
    """Start and end of frames, counted from 1, both within."""
    return round((first - 1) / fps, 6), round(last / fps, 6)


def _frames(event: Event, fps: float) -> tuple[list[int], bool]:
    """Frames of an event, and if its times are theirs."""
    times = event.start_sec, event.end_sec
    frames = frames_of(*times, fps)
    shown = zip(times, seconds_between(*frames, fps), strict=True)
    return list(frames), all(abs(one - other) < 1e-5 for one, other in shown)


def _known(own: Event | Recording, keys: Sequence[str]) -> dict[str, Any]:
    """Attributes that are neither empty nor NaN."""
    values = {key: getattr(own, key) for key in keys}
    return {key: value for key, value in values.items() if value and value == value}


def _labels(recordings: Iterable[Recording], space: LabelSpace) -> list[str]:
    """Actions of the space, and after them the events' labels that it lacks."""
    used = (event.label for own in recordings for event in own.events)
    return list(dict.fromkeys([*space.actions, *used]))


def _dump(path: Path, content: Any) -> Path:
    write_file(path, json.dumps(content, indent=1, ensure_ascii=False) + '\n')
    return path


def write_labelstudio(
    out: Path, recordings: Iterable[Recording], space: LabelSpace
) -> list[Path]:
    """Write tasks to import, and the labeling config of their project.

    Events are a prediction, that is a pre-annotation, where all have scores; else an
    annotation. ``meta`` of a region has what Label Studio has no place for.

    Raises:
        ValueError: The rate of a video is unknown.
    """
    recordings, out, tasks = list(recordings), Path(out), []
    for own in recordings:
        if not own.fps > 0:
            raise ValueError(
                f'{own.name}: Label Studio counts frames, and how many this video has '
                'per second is unknown: export from a data root, which knows'
            )
        url = f'/data/local-files/?d={quote(own.path)}' if own.path else own.name
        data = {'video': url, 'recording': own.name, **_known(own, _FACTS)}
        results = [_region(at, event, own.fps) for at, event in enumerate(own.events)]
        scores = [event.score for event in own.events if event.score is not None]
        if results and len(scores) == len(results):
            score = {'score': sum(scores) / len(scores)}
            score['model_version'] = own.annotator or 'mmma'
            tasks.append({'data': data, 'predictions': [{'result': results, **score}]})
        else:
            tasks.append({'data': data, 'annotations': [{'result': results}]})
    lines = ['<View>', '<Video name="video" value="$video" frameRate="$fps"/>']
    lines.append('<TimelineLabels name="action" toName="video">')
    groups = [space.bodies[group] for group in space.body_of]
    group_of = dict(zip(space.actions, groups, strict=False))
    before = None
    for label in _labels(recordings, space):
        group = group_of.get(label, 'other')
        if groups and group != before:
            lines.append(f'  <Header value={quoteattr(group)}/>')
        before = group
        lines.append(f'  <Label value={quoteattr(label)}/>')
    config = out / 'labeling_config.xml'
    write_file(config, '\n'.join([*lines, '</TimelineLabels>', '</View>', '']))
    return [_dump(out / 'tasks.json', tasks), config]


def _region(at: int, event: Event, fps: float) -> dict[str, Any]:
    (first, last), exact = _frames(event, fps)
    meta = _known(event, _NOTES)
    if event.text:
        meta['text'] = [event.text]  # as the panel of a region writes it
    if not exact:
        meta['segment'] = [event.start_sec, event.end_sec]
    value = {'ranges': [{'start': first, 'end': last}], 'timelinelabels': [event.label]}
    region = {'id': f'event{at}', 'from_name': 'action', 'to_name': 'video'}
    region |= {'type': 'timelinelabels', 'value': value}
    region |= {'meta': meta} if meta else {}
    return region | ({} if event.score is None else {'score': event.score})


def read_labelstudio(path: Path, fps: float = math.nan) -> list[Recording]:
    """Read an export of Label Studio, JSON or JSON-MIN, or a folder of them.

    Annotations count before predictions, ground truth before other annotations.

    Args:
        path: The file or folder.
        fps: ``frameRate`` of the labeling config, for tasks that do not tell ``fps``.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A task without a video or rate, or a bad range.
    """
    path, found, left = Path(path), list[Recording](), Counter[str]()
    for file in sorted(path.glob('*.json')) if path.is_dir() else [path]:
        content = read_json(file)
        for at, item in enumerate(content if isinstance(content, list) else [content]):
            with naming(f'{file}: task {at + 1}'):
                found += _read_task(_as_task(item), fps, left)
    if not found:
        raise ValueError(f'{path}: no annotated tasks of Label Studio in it')
    tell(f'{path.name}: left out {n} {what}' for what, n in left.items() if n)
    return tell_apart(found)


def _as_task(item: Any) -> dict[str, Any]:
    """A task of an export, of JSON-MIN, or of a storage with a file per annotation."""
    if not isinstance(item, dict):
        raise ValueError(f'must be an object with data and annotations, not {item!r}')
    if isinstance(item.get('task'), dict) and 'result' in item:
        return {**item['task'], 'annotations': [item]}
    if isinstance(item.get('data'), dict):
        return item
    lists = [own for own in item.values() if isinstance(own, list)]
    values = [x for own in lists for x in own if 'timelinelabels' in x]
    results = [{'type': 'timelinelabels', 'value': value} for value in values]
    one = {'result': results, 'completed_by': item.get('annotator')}
    return {'data': item, 'annotations': [one]}


def _read_task(
    task: Mapping[str, Any], fps: float, left: Counter[str]
) -> Iterator[Recording]:
    """A recording for each who annotated a task; ``left`` counts what is not read."""
    data, rest = task['data'], Counter[str]()
    video = next(filter(None, map(_video_of, data.values())), '')
    name = data.get('recording') or split_name(video)[0]
    if not (name or isinstance(data.get('video'), str)):
        raise ValueError(f'no video among its data: {", ".join(data) or "none"}')
    given = [x for x in task.get('annotations') or () if not x.get('was_cancelled')]
    answers = [x for x in given if x.get('ground_truth')] or given
    guesses = task.get('predictions') or []
    rest['annotations that were skipped'] = len(task.get('annotations') or ()) - len(
        given
    )
    rest['annotations beside ground truth'] = len(given) - len(answers)
    rest['predictions beside annotations'] = len(guesses) if answers else 0
    rest['tasks without annotations'] = not (answers or guesses)
    left.update(rest)
    rate = data.get('fps', fps)
    for answer in answers or guesses:
        by = answer.get('completed_by') or answer.get('model_version') or ''
        by = by.get('email', by.get('id')) if isinstance(by, dict) else by
        if answer.get('result') and not (is_number(rate) and rate > 0):
            raise ValueError(
                'frames per second are unknown: give --fps with the frameRate of the '
                "labeling config's <Video> (24 where it has none), by which Label "
                "Studio counts frames, whatever the video's own rate is"
            )
        events = tuple(_read_results(answer.get('result') or (), rate, left))
        duration_sec = data.get('duration_sec', math.nan)
        by = str(data.get('annotator', by if by != 'mmma' else ''))
        yield Recording(name or data['video'], video, rate, duration_sec, events, by)


def _read_results(
    results: Sequence[Mapping[str, Any]], fps: float, left: Counter[str]
) -> Iterator[Event]:
    """Events of the results of an annotation; answers about a region are its notes."""
    notes: dict[Any, dict[str, Any]] = {}
    for result in results:
        value = result.get('value') or {}
        words = value.get('text') or value.get('choices') or ()
        if words and 'ranges' in value:
            subject = re.search('subj|person|partic', str(result.get('from_name')))
            own = notes.setdefault(result.get('id'), {'text': []})
            key = 'subject' if subject else 'text'
            own[key] = [
                *own.get(key, ()),
                *([words] if isinstance(words, str) else words),
            ]
        elif result.get('type') != 'timelinelabels' or 'ranges' not in value:
            left[f'results {result.get("type")}, which have no ranges of frames'] += 1
    for result in results:
        value, meta = result.get('value') or {}, result.get('meta') or {}
        more = notes.get(result.get('id'), {})
        texts = meta.get('text') or []
        texts = [*([texts] if isinstance(texts, str) else texts), *more.get('text', ())]
        subject = ', '.join(more.get('subject', ())) or str(meta.get('subject', ''))
        rest = (
            subject,
            result.get('score'),
            '\n'.join(texts),
            str(meta.get('tier', '')),
        )
        for span in value.get('ranges', ()) if 'timelinelabels' in value else ():
            first, last = span.get('start'), span.get('end')
            if not (is_number(first) and is_number(last) and 1 <= first <= last):
                raise ValueError(
                    f'range {span!r}: must have start and end, from frame 1'
                )
            times = meta.get('segment')
            if not times or frames_of(*times, fps) != (first, last):  # it was moved
                times = seconds_between(first, last, fps)
            for label in value['timelinelabels']:
                yield Event(*times, label, *rest)


def _video_of(value: Any) -> str:
    """Path of a video from its place in Label Studio; empty of other values."""
    url = value if isinstance(value, str) else ''
    if '://' in url or url.startswith('/data/'):
        parts = urlsplit(url)
        local = parse_qs(parts.query).get('d')
        url = local[0] if local else unquote(parts.path).strip('/')
    # An upload has eight letters of its own before its name.
    url = re.sub(r'^(?:data/)?upload/(?:\d+/)?(?:[0-9a-f]{8}-)?', '', url)
    return url if Path(url).suffix.lower() in VIDEO_SUFFIXES else ''


def write_fiftyone(
    out: Path, recordings: Iterable[Recording], space: LabelSpace
) -> list[Path]:
    """Write ``labels.json`` of a ``FiftyOneTemporalDetectionDataset``.

    ``data.json`` has the paths of videos, where they are known.
    """
    recordings, out, labels = list(recordings), Path(out), {}
    classes = {label: at for at, label in enumerate(_labels(recordings, space))}
    for own in recordings:
        labels[own.name] = []
        for event in own.events:
            span = {'timestamps': [event.start_sec, event.end_sec]}
            frames, exact = _frames(event, own.fps) if own.fps > 0 else ([], False)
            item = {'label': classes[event.label], **span}
            if exact:
                item = {'label': classes[event.label], 'support': frames}
            if event.score is not None:
                item['confidence'] = event.score
            notes = _known(event, _NOTES)
            labels[own.name].append(item | ({'attributes': notes} if notes else {}))
    facts = {own.name: _known(own, _FACTS) for own in recordings}
    content = {'classes': list(classes), 'labels': labels, 'videos': facts}
    paths = {own.name: own.path for own in recordings if own.path}
    files = {'labels.json': content} | ({'data.json': paths} if paths else {})
    return [_dump(out / name, own) for name, own in files.items()]


def read_fiftyone(path: Path, fps: float = math.nan) -> list[Recording]:
    """Read ``labels.json`` of temporal detections, or the folder with it.

    Args:
        path: The file or folder.
        fps: That of videos which are not in ``data`` beside the file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not of that form, or frames of a video without a rate.
    """
    file = Path(path) / 'labels.json' if Path(path).is_dir() else Path(path)
    content, found, left = read_json(file, 'labels'), [], Counter[str]()
    manifest = file.with_name('data.json')
    paths = read_json(manifest) if manifest.is_file() else {}
    for place in sorted(file.parent.glob('data/**/*')):
        if place.suffix.lower() in VIDEO_SUFFIXES:
            name = place.relative_to(file.parent / 'data').with_suffix('').as_posix()
            paths.setdefault(name, place.relative_to(file.parent).as_posix())
    if not isinstance(content['labels'], dict):
        raise ValueError(f'{file}: labels must be an object, a list for each video')
    for name, items in content['labels'].items():
        facts = content.get('videos', {}).get(name, {})
        video, rate = paths.get(name, ''), facts.get('fps', fps)
        if 'fps' not in facts and video and (file.parent / video).is_file():
            rate = probe_video(file.parent / video).fps
        events = []
        for at, item in enumerate(items or ()):
            with naming(f'{file}: {name} [{at}]'):
                classes = content.get('classes') or ()
                events.append(_read_detection(item, classes, rate, left))
        left['videos without labels'] += items is None
        rest = facts.get('duration_sec', math.nan), tuple(events)
        if items is not None:
            by = facts.get('annotator', '')
            found.append(Recording(name, video, rate, *rest, by))
    tell(f'{file.name}: left out {n} {what}' for what, n in left.items() if n)
    return found


def _read_detection(
    item: Any, classes: Sequence[str], fps: float, left: Counter[str]
) -> Event:
    try:
        label, notes = item['label'], item.get('attributes') or {}
        label = classes[label] if isinstance(label, int) else str(label)
        if 'support' in item:
            first, last = map(int, item['support'])
            times = seconds_between(first, last, fps)
        else:
            times = tuple(seconds_of(str(time)) for time in item['timestamps'])
        start_sec, end_sec = times
    except (TypeError, KeyError, IndexError, ValueError):
        start_sec = end_sec = -1.0
    if math.isnan(start_sec):
        raise ValueError(
            'frames per second are unknown: put the video into data/ beside the file, '
            'under its name there, or give --fps'
        )
    if not 0 <= start_sec <= end_sec < math.inf:
        raise ValueError(
            'must be {"label", "support": [first, last] frame from 1} or {"label", '
            f'"timestamps": [start, stop]}}, labels of the classes, not {item!r}'
        )
    left.update(f'attributes {key!r}' for key in notes.keys() - {*_NOTES})
    subject, text, tier = (str(notes.get(key) or '') for key in _NOTES)
    score = item.get('confidence')
    return Event(start_sec, end_sec, label, subject, score, text, tier)
