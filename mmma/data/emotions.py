"""Videos with an emotion: the units of the emotion study, from either table."""

import functools
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from mmma.data.clips import Clip, name_parts
from mmma.data.root import DET_FILE, REC_FILE, TASKS, DataRoot, read_root, say
from mmma.data.videos import Instance, Video
from mmma.foreign import naming
from mmma.taxonomy import check_choice, load_label_space


def emotions_of(root: DataRoot) -> tuple[str, ...]:
    """Emotions of a root in its order: those it names, else those there, sorted."""
    rows = [*(root.read_rec() if root.has_rec and not root.info.emotions else ())]
    rows += root.read_det() if root.has_det and not root.info.emotions else ()
    return root.info.emotions or tuple(sorted({row.emotion for row in rows} - {''}))


def groups_of(videos: Iterable[Video]) -> list[str]:
    """Person of each video, else its name: no group is to be in two folds."""
    return [video.subject or video.video for video in videos]


def unit_names(root: DataRoot, videos: Sequence[Video]) -> dict[str, str]:
    """Names of videos, clips and their files, to the video of the study they are of.

    It is empty where they are of none; names that could be of two are left out.
    """
    found, own = defaultdict(set), {video.video for video in videos}
    rows: list[Any] = [*root.read_det()] if root.has_det else []
    for row in [*rows, *(root.read_rec() if root.has_rec else ())]:
        unit = row.source_video or row.name
        for known in (row.name, unit, row.path, name_parts(row.path)[-1]):
            found[known].add(unit if unit in own else '')
    found.update({name: {name} for name in own})
    return {name: units.pop() for name, units in found.items() if len(units) == 1}


def emotion_videos(root: DataRoot, task: str | None = None) -> list[Video]:
    """Videos of ``det.json`` with an emotion; where there are none, made of clips.

    ``task`` is ``det`` or ``rec`` where one of the tables alone counts.

    Raises:
        FileNotFoundError: The root lacks the table.
        ValueError: Nothing has an emotion, or clips of a source contradict each other.
    """
    there = {'det': root.has_det, 'rec': root.has_rec}
    for own in (
        [check_choice('task', task, TASKS)] if task else filter(there.get, there)
    ):
        rows = root.read_det() if own == 'det' else root.read_rec()
        with naming(root.path / REC_FILE):
            videos = group_clips(rows) if own == 'rec' else rows
        if found := [video for video in videos if video.emotion]:
            return found
    files = {'det': DET_FILE, 'rec': REC_FILE}.get(task, f'{DET_FILE} or {REC_FILE}')
    raise ValueError(
        f'{root.path}: no row of {files} has an emotion: write it into the column '
        f'emotion of {REC_FILE}, or as "emotion" of videos into {DET_FILE}'
    )


def group_clips(clips: Iterable[Clip]) -> list[Video]:
    """Clips with an emotion as videos: those of one ``source_video``, or one alone.

    ``text`` of an instance is its clip. Unknown are rate (NaN), frames (0), times of
    clips without any and the duration then (NaN); else that is the last end. The
    subject is empty where clips differ.

    Raises:
        ValueError: Clips of one source differ in emotion, subset or domain.
    """
    sources: dict[str, list[Clip]] = defaultdict(list)
    for clip in filter(lambda clip: clip.emotion, clips):
        own = sources[clip.source_video or clip.clip]
        own.append(clip)
        for key in ('emotion', 'subset', 'domain'):
            one, other = getattr(clip, key), getattr(own[0], key)
            if one != other:
                raise ValueError(
                    f'line {clip.line}: {clip.clip}: {key} {one!r}, but {other!r} in '
                    f'line {own[0].line} ({own[0].clip}), from the same source_video '
                    f'{clip.source_video!r}: give all clips of a source one {key}'
                )
    videos = []
    for name, own in sources.items():
        instances = [
            Instance(*(c.span or [math.nan] * 2), c.action, c.subject, text=c.clip)
            for c in own
            if c.action is not None
        ]
        first, duration = own[0], math.nan
        if all(clip.span for clip in own):
            instances.sort(key=lambda one: (one.start_sec, one.end_sec))
            duration = max(clip.end_sec or 0.0 for clip in own)
        subject = first.subject * ({clip.subject for clip in own} == {first.subject})
        facts = '', first.subset, first.domain, subject, math.nan, 0, duration
        rest = len(instances) < len(own), first.emotion, first.line
        videos.append(Video(name, *facts, tuple(instances), *rest))
    return videos


LABELS, MARK = ('emotion',), '-emotion'
"""What a recipe may learn in the place of the action (``label`` of its config), and the
end of the name of the label space then, behind that of the root's."""


class EmotionRoot(DataRoot):
    """A root whose clips have their emotion for an action, and no body group.

    They are the clips of ``rec.csv`` that have one; where none has, the videos of
    ``det.json``. Its domains are those with any of them; what is left out is said.

    Raises:
        ValueError: There are fewer than two emotions.
    """

    def __init__(self, root: DataRoot, *known: str) -> None:
        super().__init__(root.path)
        self._whole, info = root, root.info
        rows: list[Any] = root._table('rec') if root.has_rec else []
        if root.has_det and not any(row.emotion for row in rows):
            self.clips_of, rows = 'det', root._table('det')
        own = [row for row in rows if row.emotion]
        found, there = {row.emotion for row in own}, {row.domain for row in own}
        if len(found) < 2:
            raise ValueError(
                f"{root.path}: label = 'emotion' takes two emotions or more, and "
                f'{" and ".join(found) or "none"} is there: write them into the column '
                f'emotion of {REC_FILE}, or as "emotion" of videos into {DET_FILE}'
            )
        domains = tuple(d for d in info.domains if d in there)
        source = info.source_domain if info.source_domain in there else domains[0]
        self._emotions = emotions_of(root)
        actions = [{'name': emotion} for emotion in self._emotions]
        name = load_label_space(info.label_space).name + MARK
        with naming(root.path):
            space = load_label_space({'name': name, 'actions': actions}).plain()
        own_info = dict(label_space=space, domains=domains, source_domain=source)
        self.info = replace(info, **own_info)
        others = ', '.join(d for d in info.domains if d not in there)
        say(
            f'note: {root.path}: the label is the emotion; {len(own)} of {len(rows)} '
            f'rows have one{others and f", none of {others}"}: the rest is left out'
        )

    @property
    def has_rec(self) -> bool:
        """True: clips may be videos."""
        return True

    def _table(self, task: str, body_groups: str = 'taxonomy') -> Any:
        if task != 'rec':
            return self._whole._table(task)
        rows = [row for row in self._whole._table(self.clips_of) if row.emotion]
        return [_labelled(row, self._emotions.index(row.emotion)) for row in rows]


def _labelled(row: Clip | Video, action: int) -> Clip:
    if isinstance(row, Clip):
        return replace(row, action=action, body=None)
    place = row.video, row.path, row.subset, row.domain, row.subject
    return Clip(*place, action, None, row.emotion, row.video, line=row.line)


_emotion_root = functools.lru_cache(maxsize=8)(EmotionRoot)


def labelled_root(path: str | os.PathLike[str], label: str | None = None) -> DataRoot:
    """Open a root as ``read_root`` does; with the label ``emotion`` an ``EmotionRoot``.

    Raises:
        FileNotFoundError: There is none.
        ValueError: Another label, or as of :class:`EmotionRoot`.
    """
    root = read_root(path)
    if label is None:
        return root
    check_choice('label', label, LABELS)
    return _emotion_root(root, root.fingerprint())
