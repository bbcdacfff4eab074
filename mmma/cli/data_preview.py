"""Draw a contact sheet of a data root: actions by domains, frames in time order.

One clip is shown for each action and domain: its video, or its skeleton where it has
none. With one domain, actions run on over several columns."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mmma.taxonomy import check_choice

if TYPE_CHECKING:
    import numpy as np

    from mmma.data.clips import Clip
    from mmma.data.root import DataRoot

SUFFIXES = ('.png', '.jpg')
_COLUMNS = 3  # of actions, when there is one domain

ARGUMENTS = """
root ROOT (path): data root
--out sheet.png (out), required: PNG or JPG
--domain D: only this domain
--actions A ...: names or indices; by default all
--frames N (int) = 4: per clip
--height PX (int) = 96: of a frame in the sheet"""


def run(args: argparse.Namespace) -> int:
    """Choose clips, read frames, write the sheet."""
    from mmma.data.root import DataRoot
    from mmma.simulation.preview import write_sheet

    out = args.out
    check_choice('suffix of --out', out.suffix.lower(), SUFFIXES)
    if not out.parent.is_dir():
        raise FileNotFoundError(f'--out: there is no folder {out.parent}')
    if args.frames < 1 or args.height < 16:
        raise ValueError('--frames must be at least 1 and --height at least 16')
    root = DataRoot(args.root)
    if args.domain is not None:
        check_choice('domain', args.domain, root.info.domains)
    space = root.label_space()
    actions = [space.action_id(name) for name in args.actions or space.actions]
    shown = choose_clips(root, actions, args.domain)
    read = clip_reader(root, args.frames)
    strips = [(label, read(clip) if clip else []) for label, clip in shown]
    domains = len(strips) // len(actions)
    columns = domains if domains > 1 else min(_COLUMNS, len(strips))
    mark = ' (simulated: no real person, never a benchmark)'
    title = root.info.name + (mark if root.info.simulated else '')
    write_sheet(out, 'actions', strips, columns, args.height, title)
    print(f'{out}: {sum(clip is not None for _, clip in shown)} clips')
    return 0


def choose_clips(
    root: DataRoot, actions: Sequence[int], domain: str | None
) -> list[tuple[str, Clip | None]]:
    """For each action and domain a label and the first clip, those with video first.

    Raises:
        ValueError: There is no such clip at all.
    """
    found: dict[tuple[int, str], Clip] = {}
    for clip in sorted(root.read_rec(), key=lambda clip: not clip.path):
        if clip.action is not None and domain in (None, clip.domain):
            found.setdefault((clip.action, clip.domain), clip)
    found = {key: clip for key, clip in found.items() if key[0] in set(actions)}
    if not found:
        raise ValueError(
            f'{root.path}: no labelled clip of these actions in '
            f'{domain or "any domain"}; choose others'
        )
    domains = [d for d in root.info.domains if any(key[1] == d for key in found)]
    names = root.label_space().actions
    return [(f'{d}: {names[a]}', found.get((a, d))) for a in actions for d in domains]


def clip_reader(root: DataRoot, frames: int) -> Callable[[Clip], list[np.ndarray]]:
    """Reader of some frames of a clip: video, or drawn skeletons where it has none."""
    import numpy as np

    from mmma.data.arrays import SkeletonStore
    from mmma.data.clips import span_frames
    from mmma.media.pose import draw_over
    from mmma.simulation.preview import pick_frames
    from mmma.video import open_video

    store = SkeletonStore(root.path, 'rec') if root.has_skeletons('rec') else None

    def read(clip: Clip) -> list[np.ndarray]:
        if clip.path:
            with open_video(root.video_path(clip.path)) as video:
                known = video.times_sec, video.duration_sec
                first, stop, _ = span_frames(*known, clip.span)
                chosen = first + pick_frames(stop - first, frames)
                return list(video.get_frames(chosen))
        if store is None or clip.clip not in store.index:
            raise ValueError(f'clip {clip.clip!r} has neither video nor skeleton')
        keypoints, scores = store.get(clip.clip)
        blank = np.full((*store.size(clip.clip)[::-1], 3), 255, np.uint8)
        return [
            draw_over(blank, keypoints[0, i], scores[0, i], store.layout)
            for i in pick_frames(scores.shape[1], frames)
        ]

    return read
