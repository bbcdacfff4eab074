"""Events on the timelines of Label Studio and FiftyOne, which count frames from 1.

Frames ``[first, last]``, both within, are ``(first - 1) / fps`` to ``last / fps``
seconds. Times between frames stand beside them, so that nothing is rounded.

Source: HumanSignal/label-studio, web/libs/editor/src, tags/object/Video/Video.js 025b
and regions/TimelineRegion.js 0911; HumanSignal/label-studio-ml-backend, examples/yolo,
utils/converter.py; voxel51/fiftyone, fiftyone/utils/data/importers.py and its docs.
"""

import json
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

from mmma.convert.events import Event, Found, Recording, groups_of, known, tell_apart
from mmma.data.clips import seconds_of, split_name
from mmma.files import read_json, tell, write_file
from mmma.foreign import first_line, is_number, naming
from mmma.taxonomy import LabelSpace
from mmma.video import VIDEO_SUFFIXES, probe_video

Json = Mapping[str, Any]
NOTES = ('subject', 'text', 'tier')


def frames_of(start_sec: float, end_sec: float, fps: float) -> tuple[int, int]:
    """First and last frame, from 1, of which a span has a part; one at least."""
    first = math.floor(start_sec * fps + 1e-4) + 1
    return first, max(first, math.ceil(end_sec * fps - 1e-4))


def seconds_between(first: int, last: int, fps: float) -> tuple[float, float]:
    """Start and end of frames, counted from 1, both within."""
    return round((first - 1) / fps, 6), round(last / fps, 6)


def _frames(event: Event, fps: float) -> tuple[tuple[int, int], bool]:
    """Frames of an event, and if its times are theirs."""
    frames = frames_of(event.start_sec, event.end_sec, fps)
    start_sec, end_sec = seconds_between(*frames, fps)
    off = abs(start_sec - event.start_sec), abs(end_sec - event.end_sec)
    return frames, max(off) < 1e-5


def _facts(own: Recording) -> dict[str, Any]:
    return known(fps=own.fps, duration_sec=own.duration_sec, annotator=own.annotator)


@contextmanager
def _formed(place: str, form: str) -> Iterator[None]:
    """Name the place of what is wrong in others' JSON, and its form."""
    try:
        with naming(place):
            yield
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError) as error:
        raise ValueError(f'{place}: must be {form} ({first_line(error)})') from None


def _recording(name: Any, path: Any, facts: Json, fps: Any, events: Any) -> Recording:
    values = fps, facts.get('duration_sec')
    fps, length = (float(x) if is_number(x) and x > 0 else math.nan for x in values)
    by = str(facts.get('annotator') or '')
    return Recording(str(name), str(path), fps, length, tuple(events), by)


def make_event(times: Any, label: Any, score: Any, notes: Mapping[str, Any]) -> Event:
    """An event of others' files; raises ValueError for what none can have."""
    start_sec, end_sec = times
    if not 0 <= start_sec <= end_sec < math.inf:
        raise ValueError(f'from {start_sec} to {end_sec} s: must end after its start')
    if not isinstance(label, str) or not label:
        raise ValueError(f'label {label!r}: must be a name')
    if score is not None and not (is_number(score) and 0 <= score <= 1):
        raise ValueError(f'score {score!r}: must be from 0 to 1')
    subject, text, tier = (str(notes.get(key) or '') for key in NOTES)
    return Event(start_sec, end_sec, label, subject, score, text, tier)


def _labels(recordings: Found, space: LabelSpace) -> list[str]:
    """Actions of the space, and after them the events' labels that it lacks."""
    used = (event.label for own in recordings for event in own.events)
    return list(dict.fromkeys([*space.actions, *used]))


def _dump(path: Path, content: Any) -> Path:
    write_file(path, json.dumps(content, indent=1, ensure_ascii=False) + '\n')
    return path


def write_labelstudio(out: Path, recordings: Found, space: LabelSpace) -> list[Path]:
    """Write tasks to import, and the labeling config of their project.

    Events are a prediction, that is a pre-annotation, where all have scores; else an
    annotation. ``meta`` of a region has what Label Studio has no place for. A video
    whose rate is unknown raises ValueError.
    """
    tasks: list[dict[str, Any]] = []
    for own in recordings:
        if not own.fps > 0:
            raise ValueError(
                f'{own.name}: Label Studio counts frames, and how many this video has '
                'per second is unknown: give --videos DIR, or export from a data root'
            )
        url = f'/data/local-files/?d={quote(own.path)}' if own.path else own.name
        regions = [_region(at, event, own.fps) for at, event in enumerate(own.events)]
        kind, answer = 'annotations', {'result': regions}
        scores = [event.score for event in own.events if event.score is not None]
        if regions and len(scores) == len(regions):
            kind, answer['score'] = 'predictions', sum(scores) / len(scores)
            answer['model_version'] = own.annotator or 'mmma'
        data = {'video': url, 'recording': own.name, **_facts(own)}
        tasks.append({'data': data, kind: [answer]})
    lines = ['<View>', '<Video name="video" value="$video" frameRate="$fps"/>']
    lines.append('<TimelineLabels name="action" toName="video">')
    group_of = groups_of(space)
    labels = _labels(recordings, space)
    for group, own in groupby(labels, lambda label: group_of.get(label, 'other')):
        lines += [f'  <Header value={quoteattr(group)}/>'] if group_of else []
        lines += [f'  <Label value={quoteattr(label)}/>' for label in own]
    config = Path(out) / 'labeling_config.xml'
    write_file(config, '\n'.join([*lines, '</TimelineLabels>', '</View>', '']))
    return [_dump(Path(out) / 'tasks.json', tasks), config]


def _region(at: int, event: Event, fps: float) -> dict[str, Any]:
    (first, last), exact = _frames(event, fps)
    text = event.text and [event.text]  # as the panel of a region writes it
    times = [event.start_sec, event.end_sec]
    meta = known(text=text, subject=event.subject, tier=event.tier)
    meta |= {} if exact else {'segment': times}
    value = {'ranges': [{'start': first, 'end': last}], 'timelinelabels': [event.label]}
    region = {'id': f'event{at}', 'from_name': 'action', 'to_name': 'video'}
    region |= {'type': 'timelinelabels', 'value': value, **known(meta=meta)}
    return region | ({} if event.score is None else {'score': event.score})


def read_labelstudio(path: Path, fps: float = math.nan) -> list[Recording]:
    """Read an export of Label Studio, JSON or JSON-MIN, or a folder of them.

    Annotations count before predictions, ground truth before other annotations. ``fps``
    is the ``frameRate`` of the labeling config, for tasks that do not tell it. Raises
    ValueError for a task without a video or rate, or with a bad range.
    """
    path, found, left = Path(path), list[Recording](), Counter[str]()
    form = 'an object with data and annotations, as Label Studio exports tasks'
    for file in sorted(path.glob('*.json')) if path.is_dir() else [path]:
        content = read_json(file)
        for at, item in enumerate(content if isinstance(content, list) else [content]):
            with _formed(f'{file}: task {at + 1}', form):
                found += _read_task(_as_task(item), fps, left)
    if not found:
        raise ValueError(f'{path}: no annotated tasks of Label Studio in it')
    tell(f'{path.name}: left out {n} {what}' for what, n in left.items() if n)
    with naming(path):
        return tell_apart(found)


def _as_task(item: dict[str, Any]) -> dict[str, Any]:
    """A task of an export, of JSON-MIN, or of a storage with a file per annotation."""
    if isinstance(item.get('task'), dict) and 'result' in item:
        return {**item['task'], 'annotations': [item]}
    if 'data' in item:
        return item
    lists = [own for own in item.values() if isinstance(own, list)]
    values = [x for own in lists for x in own if 'timelinelabels' in x]
    results = [{'type': 'timelinelabels', 'value': value} for value in values]
    one = {'result': results, 'completed_by': item.get('annotator')}
    return {'data': item, 'annotations': [one]}


def _read_task(task: Json, fps: float, left: Counter[str]) -> Iterator[Recording]:
    """A recording for each who annotated a task; ``left`` counts what is not read."""
    data = task['data']
    video = next(filter(None, map(_video_of, data.values())), '')
    name = data.get('recording') or split_name(video)[0]
    if not name:
        raise ValueError(f'no video among its data: {", ".join(data) or "none"}')
    every, guesses = task.get('annotations') or [], task.get('predictions') or []
    done = [one for one in every if not one.get('was_cancelled')]
    answers = [one for one in done if one.get('ground_truth')] or done or guesses
    others = 'answers (cancelled, not the ground truth, or predictions beside truth)'
    left[others] += len(every) + len(guesses) - len(answers)
    left['tasks without an answer'] += not answers
    rate = data.get('fps', fps)
    for answer in answers:
        by = answer.get('completed_by') or answer.get('model_version') or ''
        by = by.get('email', by.get('id')) if isinstance(by, dict) else by
        if answer['result'] and not (is_number(rate) and rate > 0):
            raise ValueError(
                'frames per second are unknown: give --fps, or fps in the data: the '
                'frameRate of <Video> in the labeling config, 24 where it has none, '
                'whatever that of the video is'
            )
        events = _read_results(answer['result'], rate, left)
        facts = {'annotator': '' if by == 'mmma' else by, **data}
        yield _recording(name, video, facts, rate, events)


def _read_results(results: Any, fps: float, left: Counter[str]) -> Iterator[Event]:
    """Events of the results of an annotation; answers about a region are its notes."""

    def texts(words: Any) -> list[str]:
        return [words] if isinstance(words, str) else list(map(str, words or ()))

    notes, spans = defaultdict(list), []
    for result in results:
        value = result.get('value') or {}
        words = texts(value.get('text')) + texts(value.get('choices'))
        if 'ranges' in value and 'timelinelabels' in value:
            spans.append((value, result.get('meta') or {}, result))
        elif words and 'ranges' in value:
            who = re.search('subj|person|partic', str(result.get('from_name')))
            notes[result.get('id'), bool(who)] += words
        else:
            left[f'results {result.get("type")}, which have no ranges of frames'] += 1
    for value, meta, result in spans:
        who, what = (notes[result.get('id'), key] for key in (True, False))
        told = {**meta, 'text': '\n'.join([*texts(meta.get('text')), *what])}
        told |= {'subject': ', '.join(who)} if who else {}
        for span in value['ranges']:
            first, last = span['start'], span['end']
            if not (is_number(first) and is_number(last) and 0 <= first <= last):
                raise ValueError(f'range {span!r}: must be frames, from 1')
            first, last = max(first, 1), max(last, 1)  # scripts count from 0, at times
            times = meta.get('segment')
            if not times or frames_of(*times, fps) != (first, last):  # it was moved
                times = seconds_between(first, last, fps)
            for label in value['timelinelabels']:
                yield make_event(times, label, result.get('score'), told)


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


def write_fiftyone(out: Path, recordings: Found, space: LabelSpace) -> list[Path]:
    """Write ``labels.json`` of a ``FiftyOneTemporalDetectionDataset``.

    ``data.json`` has the paths of videos, where they are known.
    """
    labels: dict[str, list[Any]] = {}
    classes = {label: at for at, label in enumerate(_labels(recordings, space))}
    for own in recordings:
        labels[own.name] = []
        for event in own.events:
            frames, exact = _frames(event, own.fps) if own.fps > 0 else ((), False)
            item: dict[str, Any] = {'label': classes[event.label]}
            times = [event.start_sec, event.end_sec]
            item |= {'support': frames} if exact else {'timestamps': times}
            item |= {} if event.score is None else {'confidence': event.score}
            notes = known(subject=event.subject, text=event.text, tier=event.tier)
            labels[own.name].append(item | known(attributes=notes))
    facts = {own.name: _facts(own) for own in recordings}
    content = {'classes': list(classes), 'labels': labels, 'videos': facts}
    # FiftyOne takes the last suffix off these keys, if only what follows a dot.
    paths = {r.name + split_name(r.path)[1]: r.path for r in recordings if r.path}
    files = {'labels.json': content} | ({'data.json': paths} if paths else {})
    return [_dump(Path(out) / name, own) for name, own in files.items()]


def read_fiftyone(path: Path, fps: float = math.nan) -> list[Recording]:
    """Read ``labels.json`` of temporal detections, or the folder with it.

    ``fps`` is for videos that are not in ``data`` beside the file. Another form, and
    frames of a video whose rate is unknown, raise ValueError.
    """
    file = Path(path) / 'labels.json' if Path(path).is_dir() else Path(path)
    content, found, left = read_json(file, 'labels'), [], Counter[str]()
    if not isinstance(content['labels'], dict):
        raise ValueError(f'{file}: labels must be an object, a list for each video')
    manifest = file.with_name('data.json')
    paths = read_json(manifest) if manifest.is_file() else {}
    paths = {os.path.splitext(key)[0]: own for key, own in paths.items()} | paths
    for place in sorted(file.parent.glob('data/**/*')):
        if place.suffix.lower() in VIDEO_SUFFIXES:
            name = place.relative_to(file.parent / 'data').with_suffix('').as_posix()
            paths.setdefault(name, place.relative_to(file.parent).as_posix())
    form = '{"label", "support": [first, last] frame or "timestamps": [start, stop]}'
    for name, items in content['labels'].items():
        if items is None:
            left['videos without labels'] += 1
            continue
        with _formed(f'{file}: {name}', f'a list of {form}'):
            facts = content.get('videos', {}).get(name, {})
            video, rate = paths.get(name, ''), facts.get('fps', fps)
            if 'fps' not in facts and video and (file.parent / video).is_file():
                rate = probe_video(file.parent / video).fps
            classes = content.get('classes') or ()
            events = [_read_detection(item, classes, rate, left) for item in items]
            found.append(_recording(name, video, facts, rate, events))
    tell(f'{file.name}: left out {n} {what}' for what, n in left.items() if n)
    return found


def _read_detection(item: Json, classes: Any, fps: Any, left: Counter[str]) -> Event:
    label, notes = item['label'], item.get('attributes') or {}
    if isinstance(label, int) and not 0 <= label < len(classes):
        raise ValueError(f'label {label}: the file has {len(classes)} classes')
    if 'support' not in item:
        times = [seconds_of(str(time)) for time in item['timestamps']]
    elif not (is_number(fps) and fps > 0):
        raise ValueError(
            'frames per second are unknown: put the video into data/ beside the file, '
            'under its name there, or give --fps'
        )
    else:
        times = seconds_between(*item['support'], fps)
    label = classes[label] if isinstance(label, int) else label
    left.update(f'attributes {key!r}' for key in notes.keys() - {*NOTES})
    return make_event(times, label, item.get('confidence'), notes)
