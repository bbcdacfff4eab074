"""Views of a clip in testing: more times, and more crops of the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TIME_SAMPLERS = ('UniformFrames', 'UniformSkeletonFrames')
"""Transforms that choose the times of views."""


def with_views(
    pipeline: Sequence[Mapping[str, Any]],
    views: int | None = None,
    crops: int | None = None,
) -> list[dict[str, Any]]:
    """A test pipeline that gives views * crops inputs per clip.

    Heads average the probabilities of all of them. Crops are the middle one, or three
    side by side that cover the picture: its short side is then resized to the crop's,
    so that what was cut off at the borders is seen.

    Args:
        pipeline: Configs of the transforms.
        views: Evenly spread sets of times; None leaves them.
        crops: 1 or 3; None leaves them.

    Returns:
        A new pipeline.

    Raises:
        ValueError: A number that is not allowed, or a pipeline that lacks what would
            have to change: crops of skeletons above all.
    """
    changed = [dict(step) for step in pipeline]
    if views is not None:
        _set_views(changed, views)
    if crops is not None:
        _set_crops(changed, crops)
    return changed


def _set_views(pipeline: list[dict[str, Any]], views: int) -> None:
    if views < 1:
        raise ValueError(f'views {views}: use a whole number from 1')
    place = _last(pipeline, *TIME_SAMPLERS)
    if place is None:
        raise ValueError(
            f'views {views}: the test pipeline has none of {", ".join(TIME_SAMPLERS)}, '
            f'which choose the times of a view; it has {_names(pipeline)}. Use one of '
            'them, or set the views in the config'
        )
    pipeline[place]['views'] = views


def _set_crops(pipeline: list[dict[str, Any]], crops: int) -> None:
    if crops not in (1, 3):
        raise ValueError(f'crops {crops}: use 1 (the middle) or 3 (side by side)')
    place = _last(pipeline, 'CenterCrop', 'ThreeCrop')
    if place is None:
        if _last(pipeline, 'LoadSkeleton') is not None:
            raise ValueError(
                f'crops {crops}: skeletons have no picture to crop. Use --views, which '
                'takes more times of a clip'
            )
        raise ValueError(
            f'crops {crops}: the test pipeline has no CenterCrop to replace; it has '
            f'{_names(pipeline)}. Add one, or set the crops in the config'
        )
    crop = pipeline[place]
    wanted = 'ThreeCrop' if crops == 3 else 'CenterCrop'
    if _type(crop) == wanted:
        return
    crop['type'] = wanted
    if crops == 3:
        _fit_short_side(pipeline, place, crop['crop_size'])


def _fit_short_side(
    pipeline: list[dict[str, Any]], place: int, crop_size: int | Sequence[int]
) -> None:
    """Resize to the crop's size what is cropped at a place of the pipeline."""
    sizes = {crop_size} if isinstance(crop_size, int) else set(crop_size)
    if len(sizes) > 1:
        raise ValueError(
            f'crops 3: the crop {tuple(crop_size)} is no square, so three do not '
            'cover a picture side by side. Use a square crop'
        )
    resize = {'type': 'Resize', 'scale': (-1, sizes.pop())}
    before = _last(pipeline[:place], 'Resize')
    if before is None:
        pipeline.insert(place, resize)
    else:
        kept = {k: v for k, v in pipeline[before].items() if k != 'keep_ratio'}
        pipeline[before] = {**kept, **resize}


def _last(pipeline: Sequence[Mapping[str, Any]], *types: str) -> int | None:
    """Place of the last transform of some types."""
    places = [i for i, step in enumerate(pipeline) if _type(step) in types]
    return places[-1] if places else None


def _type(step: Mapping[str, Any]) -> str:
    return str(step['type']).rpartition('.')[2]


def _names(pipeline: Sequence[Mapping[str, Any]]) -> str:
    return ', '.join(_type(step) for step in pipeline)
