"""A root that claims to be the real MMA-82, against the published figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from mmma.layout.det import Video
from mmma.layout.rec import Clip
from mmma.layout.root import DatasetInfo
from mmma.taxonomy import DOMAINS, SUBSETS, LabelSpace, load_statistics

REAL_NAMES = ('mma82', 'mma-82')


def claims_real(info: DatasetInfo) -> bool:
    """Whether a root says that it is the published MMA-82 itself."""
    is_mma82 = info.label_space == 'mma82' and info.name.lower() in REAL_NAMES
    return is_mma82 and not info.simulated


def rec_differences(clips: Sequence[Clip], space: LabelSpace) -> Iterator[str]:
    """Cells of the recognition table that differ from the published ones.

    Args:
        clips: All rows.
        space: The label space with its published counts.

    Yields:
        One sentence per cell: clips per domain and subset, clips per action.

    Source: MMA-82 repository README; statistics figure of its project page.
    """
    published = load_statistics()['rec']
    cells = Counter((clip.domain, clip.subset) for clip in clips)
    for domain in DOMAINS:
        for subset in SUBSETS:
            count, expected = cells[domain, subset], published[domain][subset]
            if count != expected:
                yield f'{domain} {subset}: {count:,} clips, published {expected:,}'
    counts = Counter(clip.action for clip in clips)
    yield from _actions('clips', counts, space, space.rec_instances, counts[None])


def det_differences(videos: Sequence[Video], space: LabelSpace) -> Iterator[str]:
    """Cells of the detection table that differ from the published ones.

    Args:
        videos: All entries.
        space: The label space with its published counts.

    Yields:
        One sentence per cell: videos, instances, instances per action.
    """
    published = load_statistics()['det']
    withheld = sum(video.withheld for video in videos)
    counts: Counter[int | None] = Counter(
        instance.label for video in videos for instance in video.instances
    )
    if len(videos) != published['videos']:
        yield f'{len(videos):,} videos, published {published["videos"]:,}'
    if counts.total() != published['instances'] and not withheld:
        yield f'{counts.total():,} instances, published {published["instances"]:,}'
    yield from _actions('instances', counts, space, space.det_instances, withheld)


def _actions(
    what: str,
    counts: Counter[int | None],
    space: LabelSpace,
    published: Sequence[int] | None,
    withheld: int,
) -> Iterator[str]:
    """Actions whose count differs; with withheld truth a lower one may be right."""
    for action, expected in enumerate(published or ()):
        count = counts[action]
        if count > expected or (count < expected and not withheld):
            name = space.actions[action]
            yield f'{name!r}: {count:,} {what}, published {expected:,}'
