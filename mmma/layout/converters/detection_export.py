"""Writing a root's detection table in the formats of others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmma.layout.converters.detection_labels import CLASS_LISTS
from mmma.layout.det import Video
from mmma.layout.paths import atomic_write
from mmma.layout.root import DataRoot


def write_foreign(
    root: DataRoot,
    file: Path,
    entry: Callable[[Video], dict[str, Any]],
    brackets: tuple[str, str] = ('{', '}'),
) -> list[str]:
    """Write a detection file, one line per video, and the list of classes beside it.

    Args:
        root: The data root.
        file: The file to write.
        entry: What the file says of a video; whether it is simulated is added.
        brackets: What comes before the first video and after the last.

    Returns:
        What to tell the user.
    """
    videos = root.read_det()
    marked = {'simulated': True} if root.info.simulated else {}
    with atomic_write(file) as table:
        table.write(brackets[0])
        for i, video in enumerate(videos):
            said = json.dumps({**entry(video), **marked}, ensure_ascii=False)
            name = json.dumps(video.video, ensure_ascii=False)
            table.write(f'{"," if i else ""}\n{name}: {said}')
        table.write(f'\n{brackets[1]}\n')
    classes = file.with_name(CLASS_LISTS[0])
    with atomic_write(classes) as table:
        table.writelines(f'{name}\n' for name in root.label_space().actions)
    subsets = Counter(video.subset for video in videos)
    counts = ', '.join(f'{subset} {count}' for subset, count in subsets.items())
    instances = sum(len(video.instances) for video in videos)
    return [
        f'wrote {file}: {counts} videos, {instances} instances',
        f'wrote {classes}',
        f'note: the videos stay in {root.path}, where its det.json says',
    ]
