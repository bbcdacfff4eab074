"""OpenTAD's detection files: ActivityNet style, times in seconds, labels by name.

``{"database": {video: {"subset": "training", "duration", "frame", "annotations":
[{"segment": [start_sec, end_sec], "label"}]}}}`` and ``category_idx.txt``.

Source: OpenTAD, opentad/datasets, 3dd7b032.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmma.layout.converters.detection_export import write_foreign
from mmma.layout.converters.detection_json import ForeignVideo, convert_detection
from mmma.layout.converters.target import Conversion, Options
from mmma.layout.det import Video
from mmma.layout.root import DataRoot

FILE = 'opentad.json'
_SUBSETS = {'train': 'training', 'val': 'validation', 'test': 'testing'}


def convert_opentad(source: Path, out: Path, options: Options) -> Conversion:
    """Convert OpenTAD's JSON; as :func:`convert_detection`.

    Args:
        source: The file, or a folder with it.
        out: The data root to write.
        options: What the user chose.
    """
    return convert_detection('OpenTAD', parse_opentad, source, out, options)


def parse_opentad(content: Any) -> list[ForeignVideo]:
    """Take the content of a file apart.

    Args:
        content: Of the JSON file.

    Raises:
        ValueError: It is of another format, or empty.
    """
    database = content.get('database') if isinstance(content, dict) else None
    if not isinstance(database, dict) or not database:
        raise ValueError(
            'need {"database": {video: {...}}}, with a video at least; for {video: '
            '{"actions": [...]}} use the format pointtad'
        )
    return [_video(name, entry) for name, entry in database.items()]


def _video(name: str, entry: Any) -> ForeignVideo:
    found = entry.get('annotations') if isinstance(entry, dict) else 'bad'
    fault = _fault(found)
    if fault:
        return ForeignVideo(name, {}, fault=fault)
    pairs = None if found is None else [(a['segment'], a['label']) for a in found]
    frames = {'frames': entry['frame']} if 'frame' in entry else {}
    return ForeignVideo(name, {**entry, **frames}, pairs)


def _fault(annotations: Any) -> str:
    if annotations is None:
        return ''
    if not isinstance(annotations, list):
        return 'must be an object with subset, duration, and a list of annotations'
    for i, one in enumerate(annotations):
        if not isinstance(one, dict) or not {'segment', 'label'} <= set(one):
            return f'annotation {i}: must be {{"segment", "label"}}, not {one!r}'
    return ''


def export_opentad(root: DataRoot, out: Path) -> list[str]:
    """Write a root's detection table for OpenTAD, with its list of classes.

    What OpenTAD does not know (rate, domain, subject) is added to each video, so that
    converting back loses nothing but the places of the videos.

    Args:
        root: The data root.
        out: Folder to write into.

    Returns:
        What to tell the user.
    """
    actions = root.label_space().actions

    def entry(video: Video) -> dict[str, Any]:
        said: dict[str, Any] = {
            'subset': _SUBSETS[video.subset],
            'duration': video.duration,
            'frame': video.frames,
            'fps': video.fps,
            'domain': video.domain,
            'subject': video.subject,
        }
        if not video.withheld:
            said['annotations'] = [
                {'segment': [i.start_sec, i.end_sec], 'label': actions[i.label]}
                for i in video.instances
            ]
        return said

    head = f'{{"version": {json.dumps(root.info.name)}, "taxonomy": [], "database": {{'
    return write_foreign(root, out / FILE, entry, (head, '}}'))
