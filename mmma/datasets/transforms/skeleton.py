"""Skeletons: reading, sampling, mirroring, cropping.

Shapes are those of the store: keypoints (M, T, V, 2) in pixels, scores (M, T, V) in
[0, 1]. A joint with score 0 is missing; its coordinates mean nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from mmma.datasets.windows import Window
from mmma.layout.joint_sets import get_layout, joint_tree
from mmma.layout.joints import JointLayout
from mmma.layout.skeletons import SkeletonStore
from mmma.registry import TRANSFORMS


@functools.lru_cache(maxsize=8)
def _open_store(data_root: str, task: str) -> SkeletonStore:
    """The store, once per process: its array is memory-mapped and shared by forks."""
    return SkeletonStore(data_root, task)


@TRANSFORMS.register_module()
class LoadSkeleton(BaseTransform):
    """Read a clip's joints, chosen by name, from the data root's skeleton store.

    Takes ``data_root`` and ``clip``; for detection ``video`` and its ``window``, whose
    frames alone are read. Adds ``keypoint`` (M, T, V, 2), ``keypoint_score``
    (M, T, V), ``joint_tree``, ``total_frames`` of the store, ``first_frame`` that was
    read, ``fps``, ``img_shape`` (height, width).

    Args:
        joints: ``all``, a named set (``body17``, ``upper``, ``ends31``), or names.
            Joints that the store lacks get score 0.
        layout: Layout that ``joints`` refers to and that says which joints mirror
            each other: a name, its fields, or None for that of the store.
        num_person: M; the persons with the highest scores are kept, missing ones
            have score 0.
        task: ``rec`` or ``det``.

    Raises:
        ValueError: An unknown layout, set, joint or clip.
        FileNotFoundError: The root has no skeletons.
    """

    def __init__(
        self,
        joints: str | Sequence[str] = 'all',
        layout: str | Mapping[str, Any] | None = 'wholebody65',
        num_person: int = 1,
        task: str = 'rec',
    ) -> None:
        if num_person < 1:
            raise ValueError(f'num_person {num_person}: use a whole number from 1.')
        self.joints = joints
        self.layout = None if layout is None else get_layout(layout)
        self.num_person = num_person
        self.task = task
        if self.layout is not None:
            joint_tree(self.layout, joints)

    def transform(self, results: dict) -> dict:
        """Add the joints of ``results['clip']``."""
        store = _open_store(str(results['data_root']), self.task)
        clip = results['clip' if self.task == 'rec' else 'video']
        total, fps = store.frames(clip), store.fps(clip)
        frames = _frames_of(results.get('window'), total, fps)
        tree = joint_tree(self.layout or store.layout, self.joints)
        keypoint, score = pick_joints(
            *store.get(clip, frames=frames), store.layout, tree.names
        )
        keypoint, score = _pick_persons(keypoint, score, self.num_person)
        width, height = store.size(clip)
        results.update(
            keypoint=keypoint,
            keypoint_score=score,
            joint_tree=tree,
            total_frames=total,
            first_frame=frames.start,
            fps=fps,
            img_shape=(height, width),
        )
        return results


def _frames_of(window: Window | None, total: int, fps: float) -> slice:
    """Frames that a window shows, and one more on both sides; without one, all."""
    if window is None:
        return slice(0, total)
    first = min(max(int(window.start_sec * fps) - 1, 0), total - 1)
    return slice(first, max(min(int(window.end_sec * fps) + 2, total), first + 1))


def pick_joints(
    keypoint: np.ndarray, score: np.ndarray, layout: JointLayout, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Choose joints by name; those that the layout lacks are 0 with score 0.

    Args:
        keypoint: (M, T, W, 2), joints of ``layout``.
        score: (M, T, W).
        layout: Names of the W joints.
        names: (V,) joints wanted.

    Returns:
        Keypoints (M, T, V, 2) and scores (M, T, V), new arrays.
    """
    places = _places(layout.names, names)
    lacking = places < 0
    keypoint, score = keypoint[:, :, places], score[:, :, places]
    if lacking.any():
        keypoint[:, :, lacking] = 0
        score[:, :, lacking] = 0
    return keypoint, score


@functools.lru_cache(maxsize=32)
def _places(have: tuple[str, ...], wanted: tuple[str, ...]) -> np.ndarray:
    index = {name: i for i, name in enumerate(have)}
    return np.array([index.get(name, -1) for name in wanted])


def _pick_persons(
    keypoint: np.ndarray, score: np.ndarray, num_person: int
) -> tuple[np.ndarray, np.ndarray]:
    persons = len(keypoint)
    if persons > num_person:
        best = np.argsort(-score.mean(axis=(1, 2)), kind='stable')[:num_person]
        return keypoint[best], score[best]
    if persons < num_person:
        empty = ((0, num_person - persons), (0, 0), (0, 0))
        return np.pad(keypoint, (*empty, (0, 0))), np.pad(score, empty)
    return keypoint, score


@TRANSFORMS.register_module()
class UniformSkeletonFrames(BaseTransform):
    """Keep ``clip_len`` frames, one from each of as many equal parts of the clip.

    In training the place inside each part is random; in testing it is the middle, or
    ``views`` evenly spread places, one after the other along T. A clip with fewer
    frames repeats neighbours, in order: it looks slower, and neither jumps back to
    its start nor stops. Draws from numpy's global state and never seeds it.

    Takes and shortens ``keypoint`` and ``keypoint_score``. Adds ``frame_inds``,
    ``clip_len`` and ``num_clips``.

    Args:
        clip_len: Frames to keep, T.
        views: Clips of T frames each; more than one in testing only.
        test_mode: Whether places are fixed.

    Raises:
        ValueError: A number below 1, or several views in training.
    """

    def __init__(self, clip_len: int, views: int = 1, test_mode: bool = False) -> None:
        if clip_len < 1 or views < 1:
            raise ValueError(f'clip_len {clip_len}, views {views}: use 1 or more.')
        if views > 1 and not test_mode:
            raise ValueError(f'views {views}: several views need test_mode=True.')
        self.clip_len = clip_len
        self.views = views
        self.test_mode = test_mode

    def transform(self, results: dict) -> dict:
        """Sample the frames."""
        frames = results['keypoint'].shape[1]
        inds = self._places() * (frames / self.clip_len)
        inds = np.minimum(inds.astype(np.int64), frames - 1)
        for key in ('keypoint', 'keypoint_score'):
            results[key] = results[key][:, inds]
        results['frame_inds'] = inds
        results['clip_len'] = self.clip_len
        results['num_clips'] = self.views
        return results

    def _places(self) -> np.ndarray:
        """(views * T,) places in units of one part, the k-th in [k, k + 1)."""
        parts = np.arange(self.clip_len)
        if not self.test_mode:
            return parts + np.random.random(self.clip_len)
        inside = (np.arange(self.views) + 0.5) / self.views
        return (parts + inside[:, None]).ravel()


@TRANSFORMS.register_module()
class SkeletonFlip(BaseTransform):
    """Mirror the picture: x becomes width - x, left and right joints change places.

    A joint whose mirror image was not chosen keeps its place; a missing one stays 0.
    Comes before ``NormalizeSkeleton``. Adds ``flip``.

    Args:
        prob: How often.
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Mirror, or not."""
        results['flip'] = bool(np.random.random() < self.prob)
        if results['flip']:
            order = list(results['joint_tree'].flip_order)
            score = results['keypoint_score'][..., order]
            keypoint = results['keypoint'][..., order, :]
            x = results['img_shape'][1] - keypoint[..., 0]
            keypoint[..., 0] = np.where(score > 0, x, keypoint[..., 0])
            results.update(keypoint=keypoint, keypoint_score=score)
        return results


@TRANSFORMS.register_module()
class SkeletonCrop(BaseTransform):
    """Hide what a closer framing would not show.

    Cuts the picture below a random height between the hips' and the lowest joint's,
    so that a model learns to do without legs; joints below it become missing.

    Args:
        prob: How often.
    """

    def __init__(self, prob: float = 0.2) -> None:
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Hide the lower joints, or nothing."""
        if np.random.random() >= self.prob:
            return results
        depth = np.random.random()
        names = results['joint_tree'].names
        hips = [v for v, name in enumerate(names) if name.endswith('_hip')]
        y, score = results['keypoint'][..., 1], results['keypoint_score']
        seen = score > 0
        if not hips or not seen[..., hips].any():
            return results
        top = y[..., hips][seen[..., hips]].mean()
        bottom = y[seen].max()
        results['keypoint_score'] = np.where(y > top + depth * (bottom - top), 0, score)
        return results
