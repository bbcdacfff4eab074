"""PointTAD's detection files: times in seconds, labels by index.

``{video: {"subset": "train", "duration", "actions": [[class, start_sec, end_sec]]}}``,
as the ``mmad.json`` of MMA-52, whose classes count from 0. Files that count from 1,
such as those of MultiTHUMOS, need ``first_index`` in the mapping.

Source: VUT-HFUT/MAC_2024_baseline, MMAD/PointTAD; MCG-NJU/PointTAD, ea3169db.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmma.layout.converters.detection_export import write_foreign
from mmma.layout.converters.detection_json import ForeignVideo, convert_detection
from mmma.layout.converters.target import Conversion, Options
from mmma.layout.det import Video
from mmma.layout.root import DataRoot

FILE = 'pointtad.json'


def convert_pointtad(source: Path, out: Path, options: Options) -> Conversion:
    """Convert PointTAD's JSON; as :func:`convert_detection`.

    Args:
        source: The file, or a folder with it.
        out: The data root to write.
        options: What the user chose.
    """
    return convert_detection('PointTAD', parse_pointtad, source, out, options)


def parse_pointtad(content: Any) -> list[ForeignVideo]:
    """Take the content of a file apart.

    Args:
        content: Of the JSON file.

    Raises:
        ValueError: It is of another format, or empty.
    """
    if not isinstance(content, dict) or not content or 'database' in content:
        raise ValueError(
            'need {video: {"subset", "duration", "actions"}}, with a video at least; '
            'for {"database": ...} use the format opentad'
        )
    return [_video(name, entry) for name, entry in content.items()]


def _video(name: str, entry: Any) -> ForeignVideo:
    found = entry.get('actions') if isinstance(entry, dict) else 'bad'
    fault = _fault(found)
    if fault:
        return ForeignVideo(name, {}, fault=fault)
    pairs = None if found is None else [(a[1:], a[0]) for a in found]
    return ForeignVideo(name, entry, pairs)


def _fault(actions: Any) -> str:
    if actions is None:
        return ''
    if not isinstance(actions, list):
        return 'must be an object with subset, duration, and a list of actions'
    for i, one in enumerate(actions):
        if not isinstance(one, list) or len(one) != 3:
            return f'action {i}: must be [class, start_sec, end_sec], not {one!r}'
    return ''


def export_pointtad(root: DataRoot, out: Path) -> list[str]:
    """Write a root's detection table for PointTAD, with its list of classes.

    Classes count from 0, in the order of the list. What PointTAD does not know (rate,
    frames, domain, subject) is added to each video, so that converting back loses
    nothing but the places of the videos.

    Args:
        root: The data root.
        out: Folder to write into.

    Returns:
        What to tell the user.
    """
    return write_foreign(root, out / FILE, _entry)


def _entry(video: Video) -> dict[str, Any]:
    columns = ('subset', 'duration', 'fps', 'frames', 'domain', 'subject')
    entry = {column: getattr(video, column) for column in columns}
    if not video.withheld:
        entry['actions'] = [[i.label, i.start_sec, i.end_sec] for i in video.instances]
    return entry
