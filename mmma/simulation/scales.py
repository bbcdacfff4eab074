"""How large the corpus is at each scale: totals per domain, subset and action."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmma.simulation.margins import apportion, integer_table
from mmma.simulation.priors import domain_prior
from mmma.taxonomy import DOMAINS, SUBSETS, LabelSpace, check_choice, load_statistics

# Rows of every table: domains, and within each its subsets.
ROWS = tuple((domain, subset) for domain in DOMAINS for subset in SUBSETS)
_LAB = [ROWS.index(('lab', subset)) for subset in SUBSETS]
_INSTANCES_TO_HOLD_EVERY_CLASS = 1.2


@dataclass(frozen=True)
class Scale:
    """Size of a corpus against the published one.

    Attributes:
        clips: Share of the published trimmed clips.
        videos: Share of the published untrimmed videos.
        least_clips: Clips that a subset of a domain holds at least.
        least_videos: Videos that a subset of a domain holds at least.
        lab_clips: Clips of every class in train, val, test of the lab at least.
        lab_instances: The same for instances in untrimmed videos.
    """

    clips: float
    videos: float
    least_clips: int
    least_videos: int
    lab_clips: tuple[int, int, int]
    lab_instances: tuple[int, int, int]


SCALES: dict[str, Scale] = {
    'tiny': Scale(0.01, 0.004, 8, 2, (1, 0, 0), (1, 0, 0)),
    'small': Scale(1 / 8, 1 / 16, 8, 4, (2, 1, 1), (1, 1, 1)),
    'full': Scale(1.0, 1.0, 0, 0, (2, 1, 1), (1, 1, 1)),
}


@dataclass(frozen=True)
class Size:
    """Counts that a corpus has exactly.

    Attributes:
        items: (12,) clips or videos of every row of ``ROWS``.
        actions: (12, K) clips, or instances in videos, per row and action.
    """

    items: np.ndarray
    actions: np.ndarray


def published_clips() -> np.ndarray:
    """(12,) published clips of every domain and subset, in the order of ``ROWS``."""
    rec = load_statistics()['rec']
    return np.array([rec[domain][subset] for domain, subset in ROWS])


def rec_size(
    scale: str, balanced: bool, space: LabelSpace, rng: np.random.Generator
) -> Size:
    """Clips per domain, subset and action.

    Args:
        scale: ``tiny``, ``small`` or ``full``, which has the published totals.
        balanced: All classes alike instead of the published long tail.
        space: Label space with published counts.
        rng: Draws the rounding.

    Raises:
        ValueError: An unknown scale.
    """
    size = SCALES[check_choice('scale', scale, tuple(SCALES))]
    rows = np.rint(published_clips() * size.clips).astype(np.int64)
    rows = np.maximum(rows, size.least_clips)
    weights = np.ones(space.num_actions) if balanced else _counts(space.rec_instances)
    return _fill(rows, rows, weights, size.lab_clips, space, rng)


def det_size(
    scale: str, balanced: bool, space: LabelSpace, rng: np.random.Generator
) -> Size:
    """Untrimmed videos per domain and subset, instances per action too.

    How the published videos divide into domains and subsets is unknown; they follow
    the trimmed clips here.

    Args:
        scale: ``tiny``, ``small`` or ``full``, which has the published totals.
        balanced: All classes alike instead of the published long tail.
        space: Label space with published counts.
        rng: Draws the rounding.

    Raises:
        ValueError: An unknown scale.
    """
    size = SCALES[check_choice('scale', scale, tuple(SCALES))]
    published = load_statistics()['det']
    per_video = published['instances'] / published['videos']
    videos = apportion(
        round(published['videos'] * size.videos), published_clips(), size.least_videos
    )
    # A tiny lab would otherwise have fewer instances than there are classes.
    needed = _INSTANCES_TO_HOLD_EVERY_CLASS * space.num_actions / per_video
    for row, least in zip(_LAB, size.lab_instances, strict=True):
        videos[row] = max(videos[row], round(needed * least))
    rows = apportion(round(videos.sum() * per_video), videos, videos)
    weights = np.ones(space.num_actions) if balanced else _counts(space.det_instances)
    return _fill(videos, rows, weights, size.lab_instances, space, rng)


def _counts(published: tuple[int, ...] | None) -> np.ndarray:
    if published is None:
        raise ValueError('the label space has no published counts: use mma82')
    return np.array(published, dtype=float)


def _fill(
    items: np.ndarray,
    rows: np.ndarray,
    weights: np.ndarray,
    lab_least: tuple[int, int, int],
    space: LabelSpace,
    rng: np.random.Generator,
) -> Size:
    """Spread ``rows`` over the actions.

    At full scale the weights are the published counts and add up to the rows, so that
    sharing gives them back unchanged.
    """
    least = np.zeros((len(ROWS), space.num_actions), dtype=np.int64)
    least[_LAB] = np.array(lab_least)[:, None]
    columns = apportion(int(rows.sum()), weights, sum(lab_least))
    prior = np.repeat(domain_prior(space), len(SUBSETS), axis=0) * columns
    return Size(items, integer_table(prior, rows, columns, least, rng))
