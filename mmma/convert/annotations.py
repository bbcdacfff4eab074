"""Annotations of a tool as a data root: labels, persons and subsets of its videos."""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from unicodedata import normalize

from mmma.convert.detection import resolve_labels
from mmma.convert.events import (
    FORMATS,
    Event,
    Recording,
    change_events,
    format_function,
    media_name,
    root_at,
)
from mmma.convert.target import (
    VIDEO_MODES,
    Conversion,
    Options,
    SourceTree,
    UserMapping,
    by_start,
    plain_name,
    subject_of,
)
from mmma.data.clips import Clip, split_name
from mmma.data.root import DatasetInfo
from mmma.data.videos import END_TOLERANCE_SEC, Video, odd_videos, parse_video
from mmma.files import SHOWN, tell
from mmma.foreign import naming
from mmma.taxonomy import SUBSETS, LabelSpace, check_choice, load_label_space
from mmma.video import open_video

DEFAULT_FPS = 30.0
HELD_OUT = 0.15
"""Share of persons who validate, and of those who test."""
MAPPING_NAME = 'root.mapping'
"""What no tool has a place for, beside files written of a root: a mapping."""


def convert_events(kind: str, source: Path, out: Path, options: Options) -> Conversion:
    """Convert annotations of a tool, one of ``FORMATS``, and the videos that they name.

    Of the options, ``videos`` may be the folder of the videos.
    """
    if options.videos not in VIDEO_MODES:
        options = replace(options, videos='link', sources=Path(options.videos))
    tree = SourceTree(source, () if source.is_file() else None)
    conversion = Conversion(tree, out, options)
    tree = _video_tree(conversion)
    kept = source / MAPPING_NAME
    given = options.mapping or (kept if kept.is_file() else None)
    keys = 'action_names', 'subsets', 'subjects', 'simulated', 'tiers', 'emotions'
    mapping = UserMapping.read(given, *keys, label_space=options.label_space)
    if given == kept:
        conversion.note(f'{kept} is used; --mapping goes before it')
    more: dict[str, Any] = {}
    if FORMATS[kind] == 'timelines' and options.fps:
        more['fps'] = options.fps
    elif FORMATS[kind] == 'tiers':
        more['groups'] = not mapping.label_space
    recordings = format_function('read', kind)(source, **more)
    if not recordings:
        raise ValueError(f'{source}: no video with annotations is in it')
    recordings = _take_tiers(recordings, mapping.tiers, conversion)
    recordings, told = _take_subsets(recordings, source)
    space, recordings = _resolve(recordings, mapping, conversion)
    facts = {r.name: _facts(r, conversion, tree) for r in recordings}
    people = {r.name: _people(r, mapping) for r in recordings}
    asked = {**mapping.subsets, **told}
    subsets = _split(recordings, facts, people, asked, conversion.notices)
    odd = odd_videos(source)
    for own in (r for r in recordings if subsets[r.name]):
        entry = {**facts[own.name], 'subset': subsets[own.name]}
        entry['subject'], *others = people[own.name] or ['']
        if others:
            told = by_start(mapping.subjects, own.name)
            entry['subject'] = told or own.subject
        entry['domain'] = mapping.domain_of(own.name, own.domain)
        entry['emotion'] = by_start(mapping.emotions, own.name)
        entry['annotations'] = _annotations(own.events, entry)
        if video := parse_video(own.name, entry, space, odd, 0, (entry['domain'],)):
            conversion.videos.append(video)
            conversion.clips += _clips(video, space)
    for found in odd:
        conversion.notices += found.notes(options.strict)
    if not conversion.videos:
        raise ValueError(f'{source}: no video is left to convert')
    groups = f', {space.num_bodies} groups' if space.bodies else ''
    conversion.note(f'label space {space.name}: {space.num_actions} actions{groups}')
    marked = any(own.simulated for own in recordings)
    order = [*space.domains, *mapping.domains.values()]
    used = dict.fromkeys(video.domain for video in conversion.videos)
    domains = sorted(used, key=lambda own: order.index(own) if own in order else 1e9)
    facts = space.plain(), mapping.simulated or marked, f'{kind} annotations'
    info = DatasetInfo(out.resolve().name, *facts, domains=tuple(domains))
    conversion.write(info, space)
    return conversion


def _video_tree(conversion: Conversion) -> SourceTree:
    """Where videos are searched: as asked, in the source, or beside its one file."""
    tree, source = conversion.sources or conversion.tree, conversion.tree.path
    if conversion.sources and not tree.videos:
        raise ValueError(f'{tree.path}: no video is in this folder')
    if tree is conversion.tree and source.is_file():
        return SourceTree(
            source.parent, sorted(f.name for f in source.parent.iterdir())
        )
    return tree


def _people(recording: Recording, mapping: UserMapping) -> list[str]:
    """Persons of a video: of its events; of those without one, the video's."""
    found = {event.subject for event in recording.events} or {''}
    if '' in found:
        own = subject_of(recording.name.rpartition('/')[2])
        told = by_start(mapping.subjects, recording.name) or recording.subject
        found |= {told or (own if own.isdecimal() else '')}
    return sorted(found - {''})


def _take_tiers(
    recordings: Sequence[Recording], tiers: Mapping[str, str], conversion: Conversion
) -> list[Recording]:
    """Recordings with our names of tiers; '' leaves one out, ``*`` is all others."""
    left, rest = Counter[str](), tiers.get('*')
    seen = {event.tier for recording in recordings for event in recording.events}
    for name in tiers.keys() - seen - {'*'}:
        there = ', '.join(sorted(seen))
        text = f'no events on a tier {name!r}; there are: {there}'
        raise ValueError(f'{conversion.tree.path}: {text}')

    def named(event: Event) -> Event | None:
        tier = tiers.get(event.tier, event.tier if rest is None else rest)
        if tier or (event.tier not in tiers and rest is None):
            return replace(event, tier=tier)
        left[event.tier] += 1
        return None

    kept = change_events(recordings, named)
    for tier, number in left.items():
        conversion.note(f'tier {tier!r}: {number} events left out, as asked')
    return kept


def _take_subsets(
    recordings: Sequence[Recording], source: Path
) -> tuple[list[Recording], dict[str, str]]:
    """Recordings without events on a tier ``subset``, and subsets that are told."""
    told, kept = {}, []
    for own in recordings:
        marks = [e for e in own.events if e.tier.casefold() == 'subset']
        given = next((mark.label.strip() for mark in marks), own.subset)
        with naming(f'{source}: {own.name}'):
            for name in filter(None, [given.lower()]):
                told[own.name] = check_choice('subset', name, SUBSETS)
        events = tuple(event for event in own.events if event not in marks)
        kept.append(replace(own, events=events))
    return kept, told


def _resolve(
    recordings: Sequence[Recording], mapping: UserMapping, conversion: Conversion
) -> tuple[LabelSpace, list[Recording]]:
    """Label space of events, and the events with its names, in one spelling.

    Events without a label, and those that the mapping leaves out, go and are told.
    """
    clean = change_events(recordings, _one_spelling)
    names = mapping.action_names
    counts = Counter(names.get(e.label, e.label) for r in clean for e in r.events)
    if mapping.label_space:
        space = load_label_space(mapping.label_space)
    else:
        pairs = [(names.get(e.label, e.label), e.tier) for r in clean for e in r.events]
        space = space_of(pairs, conversion.tree.path)
        same = 'is taken for the label that differs in case or spaces alone'
        for label in sorted(counts.keys() - {*space.actions, ''}):
            conversion.note(f'{label!r} {same}')
    own = replace(mapping, label_space=space.plain())
    found = [(r.name, e.label) for r in clean for e in r.events if e.label]
    _, ours = resolve_labels(found, None, own, conversion.tree.path)
    empty = sum(not e.label for r in clean for e in r.events)
    left = Counter(label for _, label in found if not ours[label])
    for label, number in left.items():
        conversion.note(f'{label!r}: {number} events left out, as asked')
    if empty:
        conversion.note(f'{empty} events without a label are left out')

    kept = change_events(clean, lambda e: ours.get(e.label) and e)
    return space, change_events(kept, lambda e: replace(e, label=ours[e.label]))


def _one_spelling(event: Event) -> Event:
    """An event whose names have composed letters and single spaces."""
    texts = {
        key: normalize('NFC', ' '.join(getattr(event, key).split()))
        for key in ('label', 'subject', 'tier')
    }
    text = event.text.replace('\r\n', '\n').replace('\r', '\n').strip()
    return replace(event, text=text, **texts)


def space_of(pairs: Iterable[tuple[str, str]], source: Path) -> LabelSpace:
    """Label space of the labels found: sorted names, in their commonest spelling.

    Of the pairs of a label and its tier, tiers are groups where there are two or more
    and every label lies in one of them. No label, and one that is a number, raise
    ValueError.
    """
    spellings: dict[str, Counter[str]] = defaultdict(Counter)
    tiers: dict[str, set[str]] = defaultdict(set)
    for label, tier in pairs:
        if label:
            spellings[plain_name(label)][label] += 1
            tiers[plain_name(label)].add(tier)
    names = {k: min(own, key=lambda n: (-own[n], n)) for k, own in spellings.items()}
    if not names:
        raise ValueError(
            f'{source}: no event has a label, so there is no action to learn: give the '
            'file with labels, or --label-space for videos in which nothing happens'
        )
    number = re.compile(r'-?\d+')
    if odd := sorted(key for key, name in names.items() if number.fullmatch(name)):
        told = [f'{names[key]!r} on tier {min(tiers[key])!r}' for key in odd[:SHOWN]]
        raise ValueError(
            f'{source}: {len(odd)} labels are numbers ({", ".join(told)}): say what '
            f'each means by --mapping FILE with {{"action_names": {{"{names[odd[0]]}": '
            '"nodding"}}, or leave tiers out by {"tiers": {"theirs": ""}}'
        )
    groups = {tier for own in tiers.values() for tier in own}
    single = all(len(own) == 1 for own in tiers.values()) and len(groups) > 1
    grouped = single and all(re.search(r'\D', tier) for tier in groups)
    actions = [
        {'name': name, **({'body': next(iter(tiers[key]))} if grouped else {})}
        for key, name in sorted(names.items(), key=lambda item: item[1])
    ]
    bodies = {'bodies': sorted(groups)} if grouped else {}
    table = {'name': f'{source.stem}-labels', **bodies, 'actions': actions}
    return load_label_space(table)


def _facts(
    recording: Recording, conversion: Conversion, tree: SourceTree
) -> dict[str, Any]:
    """Path, rate, frames and length of a video: of its file, else as they are told."""
    if found := _video_of(recording, tree):
        file = PurePosixPath(tree.path_of(found[0]).absolute())
        path = f'videos/{found[0].as_posix().removeprefix("videos/")}'
        return {'path': conversion.add_video(file, path), **found[1]}
    own = recording.fps, conversion.options.fps, DEFAULT_FPS
    fps = next(rate for rate in own if rate and rate > 0)  # NaN is not
    ends = [e.end_sec + (e.start_sec == e.end_sec) / fps for e in recording.events]
    length = recording.duration_sec if recording.duration_sec > 0 else 0.0  # no NaN
    duration = max([length, *ends]) or 1 / fps
    name = media_name(recording.path) or recording.name
    path = f'videos/{"".join(split_name(name))}' if tree.videos else ''
    path = path and conversion.add_video(None, path)  # else there are none to expect
    frames = max(1, round(duration * fps))
    return {'path': path, 'fps': fps, 'frames': frames, 'duration': duration}


def _video_of(
    own: Recording, tree: SourceTree
) -> tuple[PurePosixPath, dict[str, Any]] | None:
    """A recording's video in a tree, with what it tells; None if it is not there."""
    names = filter(None, (media_name(own.path), own.name))
    found = next(filter(None, (tree.find_video(name, '') for name in names)), None)
    if found is None:
        return None
    file = tree.path_of(found)
    with naming(file), open_video(file) as video:
        facts = {'fps': video.fps, 'frames': video.num_frames}
        return found, {**facts, 'duration': video.duration_sec}


def _annotations(
    events: Iterable[Event], entry: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Annotations of an entry of ``det.json``; points become a frame wide."""
    duration, width = entry['duration'], 1 / entry['fps']
    made = []
    for event in events:
        start_sec, end_sec = event.start_sec, event.end_sec
        if point := start_sec == end_sec:
            if start_sec <= duration + END_TOLERANCE_SEC:
                start_sec = min(start_sec, duration - width)
            end_sec = start_sec + width
        subject = event.subject if event.subject != entry['subject'] else ''
        told = {'subject': subject, 'score': event.score, 'text': event.text}
        told |= {'tier': event.tier, 'point': point or None}
        told = {key: value for key, value in told.items() if value not in ('', None)}
        made.append({'segment': [start_sec, end_sec], 'label': event.label, **told})
    return sorted(made, key=lambda one: (one['segment'], one['label']))


def _clips(video: Video, space: LabelSpace) -> list[Clip]:
    """Events of a video as spans of it, at least a frame wide."""
    clips, width = [], 1 / video.fps
    for i, one in enumerate(video.instances, start=1):
        end_sec = one.end_sec
        if end_sec - one.start_sec < width:
            end_sec = min(one.start_sec + width, video.duration)
        start_sec = max(0.0, min(one.start_sec, end_sec - width))
        name = f'{video.video}_{i:04d}'
        body = space.body_of[one.label] if space.bodies else None
        place = video.path, video.subset, video.domain, one.subject or video.subject
        source, times = video.video if video.path else '', (start_sec, end_sec)
        clips.append(Clip(name, *place, one.label, body, video.emotion, source, *times))
    return clips


def _split(
    recordings: Sequence[Recording],
    facts: Mapping[str, Mapping[str, Any]],
    people: Mapping[str, Sequence[str]],
    asked: Mapping[str, str],
    notices: list[str],
) -> dict[str, str]:
    """Subset of each video, empty where it is left out: nobody is in two of them.

    Videos that share a person or a file belong together. Of those families that nobody
    asked a subset for, 15 % each are for val and test, at least one from three on; of
    two, one is for test. Which ones follows from their names alone; the family with
    most events trains. A single family is split by video.
    """
    for key in sorted(asked.keys() - {*people}.union(*people.values())):
        notices.append(f'subsets: {key!r} is neither a video nor a person there')
    files, shared = {}, {}
    for name, path in ((r.name, facts[r.name]['path'] or r.path) for r in recordings):
        files[name] = [f'file {path}'] if path else []
        shared[name] = [*files[name], *(f'person {own}' for own in people[name])]
    subsets: dict[str, str] = {}
    for name, own in people.items():
        told = [asked[key] for key in (name, *own) if key in asked]
        if name not in asked and len({*told}) > 1:
            raise ValueError(
                f'{name}: {", ".join(own)} are in it, whose subsets differ: give the '
                'video one of its own'
            )
        subsets |= {name: told[0]} if told else {}
    families = _families(shared)
    for family in families:
        if told := [subsets[name] for name in family if subsets.get(name)]:
            subsets |= {name: subsets.get(name, told[0]) for name in family}
    families = [f for f in families if not {*f} & subsets.keys()]
    if len(families) == 1 and len(families[0]) > 1 and not subsets:
        families = _families(files)
        notices.append(
            'all videos show the same person, or persons who meet: each video is in '
            'one subset, but the persons who train and test are the same'
        )
    elif families and not any(people.values()):
        notices.append(
            'no person is told: each video is in one subset, and the same person may '
            'train and test; name them in the tool, or by --mapping FILE with '
            '{"subjects": {"start of a video\'s name": "person"}}'
        )
    sizes = {r.name: len(r.events) for r in recordings}
    subsets |= _allot({tuple(f): sum(map(sizes.__getitem__, f)) for f in families})
    found = Counter(filter(None, subsets.values()))
    if any(people.values()):
        within = {(subsets[name], own) for name in people for own in people[name]}
        counted = Counter(subset for subset, _ in within)
        told = ', '.join(f'{s} {counted[s]}' for s in SUBSETS)
        notices.append(f'persons of the subsets: {told}')
    if families and (lacking := [s for s in SUBSETS if not found[s]]):
        notices.append(
            f'nothing is in {" and ".join(lacking)}: too few persons, or videos where '
            'no person is told'
        )
    return subsets


def _allot(sizes: Mapping[tuple[str, ...], int]) -> dict[str, str]:
    """Subset of each member of families, whose events are counted."""
    largest = max(sizes, key=lambda family: (sizes[family], family), default=())

    def digest(names: Sequence[str]) -> bytes:  # says nothing of what they mean
        return hashlib.sha256('\n'.join(sorted(names)).encode()).digest()

    others = sorted(sizes.keys() - {largest}, key=digest)
    held = max(1, round(HELD_OUT * len(sizes))) if len(sizes) > 2 else 0
    tests, values = held or len(others), 2 * held
    subsets = dict.fromkeys(largest, 'train')
    for i, family in enumerate(others):
        subset = 'test' if i < tests else 'val' if i < values else 'train'
        subsets |= dict.fromkeys(family, subset)
    return subsets


def _families(shared: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Names that are linked by what they share, directly or through others."""
    top: dict[str, str] = {}

    def find(key: str) -> str:
        while (up := top.setdefault(key, key)) != key:
            key = up
        return key

    families = defaultdict(list)
    for name, own in shared.items():
        for key in own:
            top[find(key)] = find(f'video {name}')
    for name in shared:
        families[find(f'video {name}')].append(name)
    return list(families.values())


def link_videos(
    recordings: Sequence[Recording], source: Path, videos: Path | None = None
) -> list[Recording]:
    """Recordings whose paths are those of files, and whose events name a person.

    They are of ``source``, to whose folder their paths are relative; in ``videos`` they
    are searched by name, which then tell rate and length.
    """
    folder, linked = source if source.is_dir() else source.parent, []
    tree = SourceTree(videos) if videos else None
    for own in recordings:
        file = folder / own.path if own.path else None
        if tree and (found := _video_of(own, tree)):
            file, facts = tree.path_of(found[0]), found[1]
            own = replace(own, fps=facts['fps'], duration_sec=facts['duration'])
        elif tree:
            tell([f'{own.name}: no video of this name is in {videos}'])
        if file is not None and file.is_file():
            own = replace(own, path=str(file.absolute()))
        events = (replace(e, subject=e.subject or own.subject) for e in own.events)
        linked.append(replace(own, events=tuple(events)))
    return linked


def root_mapping(source: Path) -> tuple[str, str] | None:
    """Name and text of a mapping with what tools have no place for; None of no root."""
    if not (root := root_at(source)):
        return None
    videos = root.read_det()
    space, simulated = root.label_space().plain(), root.info.simulated
    content = {'label_space': space, 'simulated': simulated}
    for key in ('subset', 'subject', 'domain', 'emotion'):
        content[f'{key}s'] = {video.video: getattr(video, key) for video in videos}
    if not any(content['emotions'].values()):
        del content['emotions']
    return MAPPING_NAME, json.dumps(content, indent=1, ensure_ascii=False) + '\n'
