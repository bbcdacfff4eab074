"""Skeletons: filling missing joints, origin and size."""

from __future__ import annotations

import functools

import numpy as np
from mmcv.transforms import BaseTransform

from mmma.layout.joint_sets import JointTree
from mmma.registry import TRANSFORMS

# Length of limbs as a fraction of stature, by the names of their ends.
# Source: Drillis and Contini, Body Segment Parameters, 1966 (as redrawn in Winter,
# Biomechanics and Motor Control of Human Movement, figure 4.1).
_LIMB_LENGTHS = {
    ('left_shoulder', 'right_shoulder'): 0.259,
    **{
        (f'{side}_{a}', f'{side}_{b}'): length
        for side in ('left', 'right')
        for a, b, length in (
            ('shoulder', 'hip', 0.288),
            ('shoulder', 'elbow', 0.186),
            ('elbow', 'wrist', 0.146),
            ('hip', 'knee', 0.245),
            ('knee', 'ankle', 0.246),
        )
    },
}
_SHOULDERS = ('left_shoulder', 'right_shoulder')
_SHOULDER_WIDTH = _LIMB_LENGTHS[_SHOULDERS]


@TRANSFORMS.register_module()
class NormalizeSkeleton(BaseTransform):
    """Fill missing joints, then put the body in the origin at unit size.

    The origin is the middle of the shoulders, the unit the width of shoulders seen
    from the front; both are medians over the clip, so sway and camera shake stay.
    Size comes from limb lengths (see :func:`body_size`), because one shoulder width
    shrinks when the body turns.

    Changes ``keypoint``; scores stay, so a model can tell filled joints.

    Args:
        center: ``clip`` keeps one origin per clip, ``frame`` one per frame, which
            takes out sway and shake.

    Raises:
        ValueError: Another ``center``.
    """

    def __init__(self, center: str = 'clip') -> None:
        if center not in ('clip', 'frame'):
            raise ValueError(f'center {center!r}: use clip or frame.')
        self.center = center

    def transform(self, results: dict) -> dict:
        """Fill and normalise every person."""
        tree, score = results['joint_tree'], results['keypoint_score']
        keypoint = fill_missing(results['keypoint'], score, tree)
        origin = self._origin(keypoint, score, tree)
        ever = (score > 0).any(axis=1)
        sizes = [
            body_size(*person, tree) for person in zip(keypoint, ever, strict=True)
        ]
        size = np.array(sizes, np.float32).reshape(-1, 1, 1, 1)
        results['keypoint'] = (keypoint - origin) / size
        return results

    def _origin(
        self, keypoint: np.ndarray, score: np.ndarray, tree: JointTree
    ) -> np.ndarray:
        """(M, T or 1, 1, 2) middle of the shoulders, or of what there is."""
        shoulders = [tree.names.index(n) for n in _SHOULDERS if n in tree.names]
        if shoulders and (score[..., shoulders] > 0).any():
            origin = keypoint[:, :, shoulders].mean(axis=2, keepdims=True)
        else:
            origin = keypoint.mean(axis=2, keepdims=True)
        if self.center == 'clip':
            origin = np.median(origin, axis=1, keepdims=True)
        return origin


def fill_missing(
    keypoint: np.ndarray, score: np.ndarray, tree: JointTree
) -> np.ndarray:
    """Give every joint a place, also where its score is 0.

    Between two frames that show a joint it moves evenly; before the first and after
    the last it rests. A joint that no frame shows lies on its nearest ancestor that
    is shown, or in the middle of all joints; a person without joints lies in (0, 0).

    Args:
        keypoint: (M, T, V, 2).
        score: (M, T, V).
        tree: Its V joints.

    Returns:
        (M, T, V, 2), finite, new.
    """
    seen = score > 0
    keypoint = np.where(seen[..., None], keypoint, np.float32(0))
    gaps = np.flatnonzero(~seen.all(axis=(0, 1)))  # joints, to spare the others
    if len(gaps):
        keypoint[:, :, gaps] = _interpolate(keypoint[:, :, gaps], seen[:, :, gaps])
    lost = ~seen.any(axis=1)  # (M, V)
    for person in np.flatnonzero(lost.any(axis=1)):
        _hang_lost(keypoint[person], lost[person], np.array(tree.parents))
    return keypoint


def _hang_lost(keypoint: np.ndarray, lost: np.ndarray, parents: np.ndarray) -> None:
    """Put joints that no frame shows on an ancestor, in place; keypoint (T, V, 2)."""
    anchor = np.arange(len(parents))
    for _ in parents:
        anchor = np.where(lost[anchor], parents[anchor], anchor)
    keypoint[:] = keypoint[:, anchor]
    adrift = lost[anchor]
    if adrift.any() and not lost.all():
        middle = keypoint[:, ~lost].mean(axis=1, keepdims=True)
        keypoint[:, adrift] = middle


def _interpolate(keypoint: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Linear in time between seen frames; (M, T, V, 2) and (M, T, V)."""
    frames = seen.shape[1]
    time = np.arange(frames)[None, :, None]
    before = np.maximum.accumulate(np.where(seen, time, -1), axis=1)
    after = np.where(seen, time, frames)[:, ::-1]
    after = np.minimum.accumulate(after, axis=1)[:, ::-1]
    before, after = (
        np.where(before < 0, np.minimum(after, frames - 1), before),
        np.where(after == frames, np.maximum(before, 0), after),
    )
    share = (time - before) / np.maximum(after - before, 1)
    first = np.take_along_axis(keypoint, before[..., None], axis=1)
    last = np.take_along_axis(keypoint, after[..., None], axis=1)
    share = np.clip(share, 0, 1)[..., None].astype(keypoint.dtype)
    return first + share * (last - first)


def body_size(keypoint: np.ndarray, ever: np.ndarray, tree: JointTree) -> float:
    """Width of one person's shoulders as if seen from the front, in pixels.

    Every limb gives an estimate: its median length over time, times what shoulders
    measure relative to it. Foreshortening only shortens, so the upper quartile of the
    estimates is taken. Without limbs it is a quarter of the diagonal of the box
    around all joints; never 0.

    Args:
        keypoint: (T, V, 2) pixels, gaps filled.
        ever: (V,) whether any frame shows the joint.
        tree: The V joints.
    """
    first, last, scale = _limbs(tree)
    shown = ever[first] & ever[last]
    size = 0.0
    if shown.any():
        limbs = keypoint[:, first[shown]] - keypoint[:, last[shown]]
        lengths = np.sort(np.hypot(limbs[..., 0], limbs[..., 1]), axis=0)
        estimates = np.sort(lengths[len(lengths) // 2] * scale[shown])
        size = float(estimates[len(estimates) * 3 // 4])
    if not size and ever.any():
        size = float(np.hypot(*np.ptp(keypoint[:, ever], axis=(0, 1)))) / 4
    return size or 1.0


@functools.lru_cache(maxsize=32)
def _limbs(tree: JointTree) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends (L,) of the limbs of known length, and (L,) shoulder widths per length."""
    place = {name: v for v, name in enumerate(tree.names)}
    known = [
        (place[a], place[b], _SHOULDER_WIDTH / length)
        for (a, b), length in _LIMB_LENGTHS.items()
        if a in place and b in place
    ]
    ends = np.array([(a, b) for a, b, _ in known], int).reshape(-1, 2)
    return ends[:, 0], ends[:, 1], np.array([scale for *_, scale in known])
