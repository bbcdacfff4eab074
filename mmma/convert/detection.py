"""Detection tables of OpenTAD and PointTAD, both ways.

OpenTAD is ActivityNet style: ``{"database": {video: {"subset": "training", "duration",
"frame", "annotations": [{"segment": [start_sec, end_sec], "label"}]}}}`` and
``category_idx.txt``. PointTAD has labels by index, ``{video: {"subset": "train",
"duration", "actions": [[class, start_sec, end_sec]]}}``, as the ``mmad.json`` of
MMA-52, whose classes count from 0; files that count from 1, such as those of
MultiTHUMOS, need ``first_index`` in the mapping.

Both are translated to entries of ``det.json`` and then read as those are.

Source: OpenTAD, opentad/datasets, 3dd7b032; VUT-HFUT/MAC_2024_baseline, MMAD/PointTAD;
MCG-NJU/PointTAD, ea3169db.
"""

import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmma.convert.target import (
    Conversion,
    Options,
    UserMapping,
    label_names,
    list_sources,
    plain_name,
    subject_of,
)
from mmma.data.root import DataRoot, DatasetInfo
from mmma.data.videos import entry_lines, odd_videos, parse_video, write_entries
from mmma.files import SHOWN, OddEntries, read_text, replace_together, write_file
from mmma.foreign import is_number, naming, parse_json
from mmma.taxonomy import DOMAINS, LABEL_SPACES, LabelSpace, load_label_space, suggest
from mmma.video import probe_video

MAPPING_KEYS = ('action_names', 'first_index', 'subsets')
CLASS_LISTS = ('category_idx.txt', 'label_name.txt', 'classes.txt')
"""Names that lists of classes go by: one class per line, in the order of indices."""
PUBLISHED_ORDER = 'ma52'
"""The label space whose indices are published: they mean something without a list."""
SUBSET_NAMES = {'training': 'train', 'validation': 'val', 'testing': 'test'}
_MORE = ('subject', 'score', 'text', 'tier', 'point')  # of a det.json of ours
_ITEMS = {'opentad': 'annotations', 'pointtad': 'actions'}


def convert_detection(
    kind: str, source: Path, out: Path, options: Options
) -> Conversion:
    """Convert a detection file, its list of classes and the videos beside it.

    ``kind`` is ``opentad`` or ``pointtad``; the mapping may have ``MAPPING_KEYS``.
    """
    tree, (path, *others) = list_sources(source, ('.json',))
    if others:
        names = ', '.join(own.name for own in (path, *others[:2]))
        count = f'{1 + len(others)} .json files ({names})'
        raise ValueError(f'{tree.path}: {count}; give one of them')
    conversion = Conversion(tree, out, options)
    asked = options.label_space
    mapping = UserMapping.read(options.mapping, *MAPPING_KEYS, label_space=asked)
    odd = odd_videos(path)
    entries, lines = _read(kind, path, odd)
    videos = {}
    for name, entry in entries.items():
        with naming(f'{path}: {name}'):
            subset = subset_of(str(entry.get('subset')), mapping)
        if subset:
            videos[name] = {**entry, 'subset': subset}
    if not videos:
        odd[0].notes(strict=True)
        raise ValueError(f'{path}: no videos are left to convert')
    beside = (path.with_name(name) for name in CLASS_LISTS)
    classes = next((f for f in beside if f.is_file()), None) or tree.find(*CLASS_LISTS)
    found = [(v, one['label']) for v, entry in videos.items() for one in _of(entry)]
    space, names = resolve_labels(found, classes, mapping, path)
    counts = Counter(entry['subset'] for entry in videos.values() for _ in _of(entry))
    has_rates = False
    for name, entry in videos.items():
        named = [{**one, 'label': names[_key(one['label'])]} for one in _of(entry)]
        ours = _entry(name, entry, mapping, conversion)
        # Subsets in which nothing happens at all are withheld: test sets are so.
        if entry['annotations'] is not None and counts[entry['subset']]:
            ours['annotations'] = [one for one in named if one['label']]
        try:
            own, ours['fps'], ours['frames'] = _rate(entry, ours['path'], conversion)
        except ValueError as error:
            odd[0].add(lines[name], name, str(error))
            continue
        has_rates |= own
        domains = DOMAINS if space.name in LABEL_SPACES else (str(ours['domain']),)
        video = parse_video(name, ours, space, odd, lines[name], domains)
        conversion.videos += [video] if video else []
    conversion.labels |= _from_0(found, classes, mapping)
    odd[0].total = len(lines)
    notices = [note for own in odd for note in own.notes(options.strict)]
    notices.append(f'label space {space.name}')
    if has_rates and options.fps:
        notices.append('videos with their own fps or frames: --fps is not for them')
    left_out = Counter(str(label) for _, label in found if not names[_key(label)])
    asked = 'annotations left out, as asked'
    notices += [f'{label!r}: {count} {asked}' for label, count in left_out.items()]
    conversion.notices += notices + [
        f'{subset}: no video has annotations, so the truth is withheld'
        for subset in sorted({entry['subset'] for entry in videos.values()} - {*counts})
    ]
    simulated = any(entry.get('simulated') is True for entry in videos.values())
    title = f'{"OpenTAD" if kind == "opentad" else "PointTAD"} {path.name}'
    conversion.write(DatasetInfo(path.stem, space.plain(), simulated, title), space)
    return conversion


def _of(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    return entry['annotations'] or []


def _read(
    kind: str, path: Path, odd: tuple[OddEntries, OddEntries]
) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """Videos of a file with ``annotations`` and ``frames`` as ours, and all lines.

    Annotations are not checked; None where the file has none.
    """
    text = read_text(path)
    content, repeated = parse_json(text, path)
    found = content if isinstance(content, dict) else {}
    if kind == 'opentad':
        found = found.get('database')
        if not isinstance(found, dict) or not found:
            raise ValueError(
                f'{path}: need {{"database": {{video: {{...}}}}}}, with a video at '
                'least; for {video: {"actions": [...]}} use the format pointtad'
            )
    elif not found or 'database' in found:
        raise ValueError(
            f'{path}: need {{video: {{"subset", "duration", "actions"}}}}, with a '
            'video at least; for {"database": ...} use the format opentad'
        )
    lines = entry_lines(text, found)
    entries, key = {}, _ITEMS[kind]
    for name in repeated:
        odd[0].add(lines.get(name, 0), name, 'is there twice: the last one counts')
    for name, entry in found.items():
        items = entry.get(key) if isinstance(entry, dict) else 'bad'
        if items is not None and not isinstance(items, list):
            text = f'must be an object with subset, duration, and a list of {key}'
            odd[0].add(lines[name], name, text)
            continue
        annotations = None if items is None else []
        for i, one in enumerate(items or ()):
            try:
                annotations.append(_annotation(kind, one))
            except ValueError as error:
                odd[1].total += 1
                odd[1].add(lines[name], name, f'{key[:-1]} {i}: {error}')
        frames = entry.get('frames')
        if kind == 'opentad':
            frames = entry.get('frame', frames)
        entries[name] = {**entry, 'annotations': annotations, 'frames': frames}
    return entries, lines


def _annotation(kind: str, one: Any) -> dict[str, Any]:
    try:
        if kind == 'opentad':
            more = {key: one[key] for key in _MORE if key in one}
            return {'segment': one['segment'], 'label': one['label'], **more}
        if isinstance(one, list):
            label, start_sec, end_sec = one
            return {'segment': [start_sec, end_sec], 'label': label}
    except (TypeError, KeyError, ValueError):
        pass
    form = '{"segment", "label"}'
    form = form if kind == 'opentad' else '[class, start_sec, end_sec]'
    raise ValueError(f'must be {form}, not {one!r}')


def subset_of(name: str, mapping: UserMapping) -> str:
    """Our subset of theirs, by mapping or custom; '' leaves it out. Or ValueError."""
    ours = mapping.subsets.get(name, SUBSET_NAMES.get(name, name))
    if ours not in SUBSET_NAMES.values() and name not in mapping.subsets:
        known = ', '.join((*SUBSET_NAMES.values(), *SUBSET_NAMES))
        raise ValueError(
            f'unknown subset {name!r}: known are {known}. Say what it is by '
            '--mapping FILE with {"subsets": {"theirs": "test"}}'
        )
    return ours


def _entry(
    name: str, entry: Mapping[str, Any], mapping: UserMapping, conversion: Conversion
) -> dict[str, Any]:
    """Entry of our table, without rate and annotations."""
    subset, person = entry['subset'], subject_of(name)
    found = conversion.tree.find_video(name, subset)
    return {
        'path': conversion.add_video(found, f'videos/{subset}/{name}.mp4'),
        'subset': subset,
        'domain': entry.get('domain') or mapping.domain_of(name),
        'subject': entry.get('subject', person if person.isdecimal() else ''),
        'emotion': entry.get('emotion', ''),
        'duration': entry.get('duration'),
    }


def _rate(
    entry: Mapping[str, Any], path: str, conversion: Conversion
) -> tuple[bool, Any, Any]:
    """True if the file knows the rate; it and frames of file, user or video."""
    fps, frames, duration = (entry.get(k) for k in ('fps', 'frames', 'duration'))
    if not _is_positive(duration):
        raise ValueError(f'duration {duration!r}: must be a number above 0')
    if fps is None and _is_positive(frames):
        fps = frames / duration
    known = fps is not None
    if not known:
        fps = conversion.options.fps
    if fps is None:
        file = conversion.source_of(path)
        if file is None:
            raise ValueError(
                'neither fps nor number of frames, and no video to read them from: put '
                'the videos beside the file, or give --fps N if all have the same'
            )
        fps = probe_video(file).fps
    if frames is None and _is_positive(fps) and _is_positive(duration * fps):
        frames = max(1, round(duration * fps))
    return known, fps, frames


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


def resolve_labels(
    labels: Iterable[tuple[str, Any]],
    class_list: Path | None,
    mapping: UserMapping,
    path: Path,
) -> tuple[LabelSpace, dict[Any, str]]:
    """Find the label space of a file, and our names of its labels.

    Labels are (video, label) of every annotation; without a label space in the mapping
    it is the one that knows most names. ``path`` is for messages. A bad class list,
    unknown labels, and indices that nothing explains raise ValueError.

    Returns:
        The space; and our name of each label, empty where the mapping leaves it out.
    """
    listed = label_names(class_list) if class_list else {}
    videos: dict[Any, list[str]] = defaultdict(list)
    for video, label in labels:
        videos[_key(label)].append(video)
    renamed = mapping.action_names
    spelt = {str(k) for k in videos if not _is_index(k)} | set(listed.values())
    best = mapping.label_space or (PUBLISHED_ORDER if videos else LABEL_SPACES[0])
    if spelt and not mapping.label_space:  # that with most of the names, or the first
        plain = {plain_name(renamed.get(name, name)) for name in spelt}
        known = {s: map(plain_name, load_label_space(s).actions) for s in LABEL_SPACES}
        best = max(LABEL_SPACES, key=lambda own: len(plain.intersection(known[own])))
    space = load_label_space(best)
    known = {plain_name(name): name for name in space.actions}
    published = space.actions if space.name == PUBLISHED_ORDER else ()
    by_index = listed or dict(enumerate(published))

    def named(label: Any) -> str:
        """Name that the file's own list, or the published one, has for an index."""
        if not _is_index(label):
            return str(label)
        return by_index.get(int(label) - mapping.first_index, '')

    names, unknown, lines = {}, [], []
    for label, where in videos.items():
        name = spelling = named(label)
        name = renamed.get(str(label), renamed.get(name, name) if name else None)
        names[label] = known.get(plain_name(name)) if name else name
        if names[label] is None:
            means = f' ({spelling})' if _is_index(label) and spelling else ''
            unknown.append(label)
            lines.append(
                f'  {label!r}{means}: {len(where)} annotations, the first in '
                f'{where[0]!r}.{suggest(spelling or str(label), space.actions)}'
            )
    if not unknown:
        return space, names
    lines[SHOWN:] = [f'  ... and {len(lines) - SHOWN} more'] * (len(lines) > SHOWN)
    if any(map(_is_index, unknown)) and not listed:
        hint = (
            'Indices need the list of their names: put it beside the file as '
            f'{CLASS_LISTS[0]}, one name per line (the order of {space.name} is '
            f'assumed only for {PUBLISHED_ORDER}; files that count from 1 need '
            '--mapping FILE with {"first_index": 1})'
        )
    else:
        hint = (
            'Rename them, or leave them out, by --mapping FILE with {"action_names": '
            '{"theirs": "ours", "Ambiguous": ""}}'
        )
    count = sum(len(videos[label]) for label in unknown)
    head = f'{len(unknown)} unknown labels of {space.name} in {count} annotations'
    raise ValueError('\n'.join([f'{path}: {head}', *lines, hint]))


def _from_0(
    labels: Iterable[tuple[str, Any]], class_list: Path | None, mapping: UserMapping
) -> set[Any]:
    """Labels as if they counted from 0; none where the list of classes says another."""
    if class_list and 0 not in label_names(class_list):
        return set()
    first = mapping.first_index
    return {int(x) - first if _is_index(x) else _key(x) for _, x in labels}


def _is_index(label: Any) -> bool:
    return isinstance(label, int) or bool(re.fullmatch(r'\d{1,9}', str(label)))


def _key(label: Any) -> Any:
    """Something to look a label up by; what is neither text nor index is its text."""
    is_label = isinstance(label, (str, int)) and not isinstance(label, bool)
    return label if is_label else repr(label)


def export_detection(kind: str, root: DataRoot, out: Path) -> list[str]:
    """Write a root's detection table for others, and the list of classes beside it.

    What the format does not know (rate, domain, subject) is added to each video, so
    that converting back loses nothing but the places of the videos. Classes count from
    0, in the order of the list. Lines for the user are returned.
    """
    videos, actions = root.read_det(), root.label_space().actions
    theirs = {ours: name for name, ours in SUBSET_NAMES.items()}
    entries = []
    for video in videos:
        entry = {'subset': video.subset, 'duration': video.duration}
        if kind == 'opentad':
            entry |= {'subset': theirs[video.subset], 'frame': video.frames}
            entry['fps'] = video.fps
            items = [
                {'segment': [i.start_sec, i.end_sec], 'label': actions[i.label]}
                for i in video.instances
            ]
        else:
            entry |= {'fps': video.fps, 'frames': video.frames}
            items = [[i.label, i.start_sec, i.end_sec] for i in video.instances]
        entry |= {'domain': video.domain, 'subject': video.subject}
        if not video.withheld:
            entry[_ITEMS[kind]] = items
        if video.emotion:
            entry['emotion'] = video.emotion
        if root.info.simulated:
            entry['simulated'] = True
        entries.append((video.video, entry))
    head, tail = '{', '}'
    if kind == 'opentad':
        name = json.dumps(root.info.name)
        head, tail = f'{{"version": {name}, "taxonomy": [], "database": {{', '}}'
    file, classes = out / f'{kind}.json', out / CLASS_LISTS[0]
    drafts = out / '.export.part'
    write_entries(drafts / file.name, entries, head, tail)
    write_file(drafts / classes.name, ''.join(f'{name}\n' for name in actions))
    replace_together(drafts, out, file.name, classes.name)
    shutil.rmtree(drafts)
    subsets = Counter(video.subset for video in videos)
    counts = ', '.join(f'{subset} {count}' for subset, count in subsets.items())
    instances = sum(len(video.instances) for video in videos)
    return [
        f'wrote {file}: {counts} videos, {instances} instances',
        f'wrote {classes}',
        f'note: the videos stay in {root.path}, where its det.json says',
    ]
