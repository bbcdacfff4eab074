"""Videos with an emotion: the units of the emotion study, from either table."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from mmma.data.clips import Clip
from mmma.data.root import DET_FILE, REC_FILE, TASKS, DataRoot
from mmma.data.videos import Instance, Video
from mmma.taxonomy import check_choice


def emotions_of(root: DataRoot) -> tuple[str, ...]:
    """Emotions of a root in its order: those it names, else those there, sorted."""
    rows = [*(root.read_rec() if root.has_rec and not root.info.emotions else ())]
    rows += root.read_det() if root.has_det and not root.info.emotions else ()
    return root.info.emotions or tuple(sorted({row.emotion for row in rows} - {''}))


def groups_of(videos: Iterable[Video]) -> list[str]:
    """Person of each video, else its name: no group is to be in two folds."""
    return [video.subject or video.video for video in videos]


def emotion_videos(root: DataRoot, task: str | None = None) -> list[Video]:
    """Videos of ``det.json`` with an emotion; where there are none, made of clips.

    ``task`` is ``det`` or ``rec`` where one of the tables alone counts.

    Raises:
        FileNotFoundError: The root lacks the table.
        ValueError: Nothing has an emotion, or clips of a source contradict each other.
    """
    if task is not None:
        check_choice('task', task, TASKS)
    found: list[Video] = []
    if task == 'det' or (task is None and root.has_det):
        found = [video for video in root.read_det() if video.emotion]
    if task == 'rec' or (task is None and not found and root.has_rec):
        found = group_clips(root.read_rec(), str(root.path / REC_FILE))
    if not found:
        tables = {'det': DET_FILE, 'rec': REC_FILE}.get(task, f'{DET_FILE}, {REC_FILE}')
        raise ValueError(
            f'{root.path}: no row of {tables} has an emotion: write it into the column '
            f'emotion of {REC_FILE}, or as "emotion" of videos into {DET_FILE}'
        )
    return found


def group_clips(clips: Iterable[Clip], file: str = REC_FILE) -> list[Video]:
    """Clips with an emotion as videos: those of one ``source_video``, or one alone.

    ``text`` of an instance is its clip. Unknown are rate (NaN), frames (0), times of
    clips without any and the duration then (NaN); else that is the last end. Subject
    and path are empty where clips differ.

    Raises:
        ValueError: Clips of one source differ in emotion, subset or domain.
    """
    sources: dict[str, list[Clip]] = defaultdict(list)
    for clip in filter(lambda clip: clip.emotion, clips):
        first = (sources[clip.source_video or clip.clip] or [clip])[0]
        for key in ('emotion', 'subset', 'domain'):
            one, other = getattr(clip, key), getattr(first, key)
            if one != other:
                raise ValueError(
                    f'{file}:{clip.line}: {clip.clip}: {key} {one!r}, but {other!r} in '
                    f'line {first.line} ({first.clip}), from the same source_video '
                    f'{clip.source_video!r}: give all clips of a source one {key}'
                )
        sources[clip.source_video or clip.clip].append(clip)
    return [_video(name, own) for name, own in sources.items()]


def _video(name: str, clips: Sequence[Clip]) -> Video:
    none = math.nan, math.nan
    instances = [
        Instance(*(clip.span or none), clip.action, clip.subject, text=clip.clip)
        for clip in clips
        if clip.action is not None
    ]
    duration = math.nan
    if all(clip.span for clip in clips):
        instances.sort(key=lambda one: (one.start_sec, one.end_sec))
        duration = max(clip.end_sec or 0.0 for clip in clips)
    own = ({getattr(clip, key) for clip in clips} for key in ('path', 'subject'))
    path, subject = (values.pop() if len(values) == 1 else '' for values in own)
    place = path, clips[0].subset, clips[0].domain, subject, math.nan, 0, duration
    withheld = len(instances) < len(clips)
    rest = clips[0].emotion, clips[0].line
    return Video(name, *place, tuple(instances), withheld, *rest)
