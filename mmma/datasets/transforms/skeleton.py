"""Skeletons of clips: reading, sampling, normalising, input features, heatmaps.

Shapes are those of the store: keypoints (M, T, V, 2) in pixels, scores (M, T, V) in
[0, 1]. A joint with score 0 is missing; its coordinates mean nothing.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmma.data.arrays import SkeletonStore
from mmma.data.joints import LIMB_LENGTHS, JointTree, joint_tree
from mmma.datasets.transforms.rgb import UniformFrames, places_in_parts
from mmma.registry import TRANSFORMS
from mmma.taxonomy import check_choice

# Once per process: its array is memory-mapped and shared by forks.
_open_store = functools.lru_cache(maxsize=8)(SkeletonStore)


@TRANSFORMS.register_module()
class LoadSkeleton(BaseTransform):
    """Read a clip's joints, chosen by name, from the data root's skeleton store.

    Takes ``data_root`` and ``clip``; for detection ``video`` and its ``window``, whose
    frames alone are read; ``store`` is the task whose skeletons a clip has, if another.
    Joints that are there already are chosen from instead: those of a whole video, with
    the ``layout`` of their W joints, ``fps`` and ``img_shape``. Adds ``keypoint``,
    ``keypoint_score``, ``joint_tree``, ``total_frames`` of the clip, ``first_frame``
    that was read, ``fps``, ``img_shape`` (height, width).

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
        self.num_person, self.task = num_person, task
        self.tree = None if layout is None else joint_tree(layout, joints)

    def transform(self, results: dict) -> dict:
        """Add the joints of ``results['clip']``."""
        if given := 'keypoint' in results:
            total, fps = results['keypoint'].shape[1], results['fps']
            layout, img_shape = results['layout'], results['img_shape']
        else:
            own = results.get('store', self.task)  # videos may be clips
            store = _open_store(str(results['data_root']), own)
            clip = results['clip' if self.task == 'rec' else 'video']
            total, fps = store.frames(clip), store.fps(clip)
            layout, img_shape = store.layout, store.size(clip)[::-1]
        frames = slice(0, total)
        if window := results.get('window'):  # and one more on both sides
            first = min(max(int(window.start_sec * fps) - 1, 0), total - 1)
            stop = max(min(int(window.end_sec * fps) + 2, total), first + 1)
            frames = slice(first, stop)
        tree = self.tree or joint_tree(layout, self.joints)
        places = _places(layout.names, tree.names)
        if given:
            found = (results[key][:, frames] for key in ('keypoint', 'keypoint_score'))
            keypoint, score = (part[:, :, places] for part in found)  # copies
            for part in (keypoint, score):
                part[:, :, places < 0] = 0
        else:
            keypoint, score = store.get(clip, places, frames)
        persons = len(keypoint)
        if persons > self.num_person:
            best = np.argsort(-score.mean(axis=(1, 2)), kind='stable')
            best = best[: self.num_person]
            keypoint, score = keypoint[best], score[best]
        elif persons < self.num_person:
            empty = ((0, self.num_person - persons), (0, 0), (0, 0))
            keypoint, score = np.pad(keypoint, (*empty, (0, 0))), np.pad(score, empty)
        results.update(keypoint=keypoint, keypoint_score=score, joint_tree=tree)
        results.update(total_frames=total, first_frame=frames.start)
        results.update(fps=fps, img_shape=img_shape)
        return results


@functools.lru_cache(maxsize=32)
def _places(have: tuple[str, ...], wanted: tuple[str, ...]) -> np.ndarray:
    index = {name: i for i, name in enumerate(have)}
    return np.array([index.get(name, -1) for name in wanted])


@TRANSFORMS.register_module()
class UniformSkeletonFrames(UniformFrames):
    """Keep ``clip_len`` frames, one from each of as many equal parts of the clip.

    Places are those of ``places_in_parts``, views one after the other along T. A
    clip with fewer frames repeats neighbours, in order: it looks slower, and neither
    jumps back to its start nor stops.

    Takes and shortens ``keypoint`` and ``keypoint_score``. Adds ``frame_inds``,
    ``clip_len`` and ``num_clips``.

    Raises:
        ValueError: As :class:`UniformFrames`, or several views in training.
    """

    in_windows = 'WindowSkeleton'

    def __init__(self, clip_len: int, views: int = 1, test_mode: bool = False) -> None:
        super().__init__(clip_len, views, test_mode)
        if views > 1 and not test_mode:
            raise ValueError(f'views {views}: several views need test_mode=True.')

    def transform(self, results: dict) -> dict:
        """Sample the frames."""
        frames = results['keypoint'].shape[1]
        places = places_in_parts(self.clip_len, self.views, self.test_mode).ravel()
        inds = places * (frames / self.clip_len)
        inds = np.minimum(inds.astype(np.int64), frames - 1)
        for key in ('keypoint', 'keypoint_score'):
            results[key] = results[key].take(inds, axis=1)
        results.update(frame_inds=inds, clip_len=self.clip_len, num_clips=self.views)
        return results


*_SHOULDERS, _SHOULDER_WIDTH = LIMB_LENGTHS[0]


@TRANSFORMS.register_module()
class NormalizeSkeleton(BaseTransform):
    """Fill missing joints, then put the body in the origin at unit size.

    The origin is the middle of the shoulders, the unit the width of shoulders seen
    from the front; both are medians over the clip, so sway and camera shake stay.
    Size comes from limb lengths (see :func:`body_size`), because one shoulder width
    shrinks when the body turns.

    Changes ``keypoint``; scores stay, so a model can tell filled joints.
    """

    def transform(self, results: dict) -> dict:
        """Fill and normalise every person."""
        tree, score = results['joint_tree'], results['keypoint_score']
        keypoint = fill_missing(results['keypoint'], score, tree)
        # The middle of the shoulders, or of what there is.
        middle = [tree.names.index(n) for n in _SHOULDERS if n in tree.names]
        if not middle or not (score[..., middle] > 0).any():
            middle = slice(None)
        origin = np.sort(keypoint[:, :, middle].mean(axis=2), axis=1)  # (M, T, 2)
        half = (keypoint.shape[1] - 1) // 2
        origin = (origin[:, half] + origin[:, -half - 1]) / 2  # the median
        ever = (score > 0).any(axis=1)
        persons = zip(keypoint, ever, strict=True)
        sizes = [body_size(*person, tree) for person in persons]
        size = np.array(sizes, np.float32).reshape(-1, 1, 1, 1)
        results['keypoint'] = (keypoint - origin[:, None, None]) / size
        return results


def fill_missing(
    keypoint: np.ndarray, score: np.ndarray, tree: JointTree
) -> np.ndarray:
    """Give every joint a place, also where its score is 0.

    Between two frames that show a joint it moves evenly; before the first and after
    the last it rests. A joint that no frame shows lies on its nearest ancestor that
    is shown, or in the middle of all joints; a person without joints lies in (0, 0).
    What it gives is (M, T, V, 2), finite, new.
    """
    seen = score > 0
    if seen.all():
        return keypoint.copy()
    keypoint = np.where(seen[..., None], keypoint, np.float32(0))
    gaps = np.flatnonzero(~seen.all(axis=(0, 1)))  # joints, to spare the others
    keypoint[:, :, gaps] = _interpolate(keypoint[:, :, gaps], seen[:, :, gaps])
    lost_of, parents = ~seen.any(axis=1), np.array(tree.parents)  # (M, V), (V,)
    for person in np.flatnonzero(lost_of.any(axis=1)):
        joints, lost = keypoint[person], lost_of[person]
        anchor, above = None, np.arange(len(parents))
        while not np.array_equal(anchor, above):
            anchor, above = above, np.where(lost[above], parents[above], above)
        joints[:] = joints[:, anchor]
        adrift = lost[anchor]
        if adrift.any() and not lost.all():
            joints[:, adrift] = joints[:, ~lost].mean(axis=1, keepdims=True)
    return keypoint


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
    around all joints; never 0. Keypoints are (T, V, 2), gaps filled; ``ever`` (V,) is
    true where any frame shows the joint.
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
        for a, b, length in LIMB_LENGTHS
        if a in place and b in place
    ]
    ends = np.array([(a, b) for a, b, _ in known], int).reshape(-1, 2)
    return ends[:, 0], ends[:, 1], np.array([scale for *_, scale in known])


STREAMS = ('joint', 'bone', 'joint_motion', 'bone_motion')


@TRANSFORMS.register_module()
class SkeletonFeatures(BaseTransform):
    """Streams of a skeleton, side by side as channels.

    ``joint`` is the place, ``bone`` the joint minus its parent in the joint tree; the
    two motions are the change to the next frame, 0 in the last of each clip. Takes
    ``keypoint`` (M, T, V, 2), gives (M, T, V, 2S) for S streams in their order.
    ``keypoint_score`` is kept as one more channel for MMAction2's ``FormatGCNInput``,
    or without ``score`` taken away.

    Raises:
        ValueError: No stream, or an unknown one.

    Source: the four streams are those of MS-AAGCN (arXiv 1912.06971). PYSKL and
        MMAction2 hang hips on the nose (here on the shoulders), and the score of a bone
        or motion is there the mean of both ends or frames (here the joint's): their
        bone and motion weights do not fit, those of joints do.
    """

    def __init__(self, streams: Sequence[str] = ('joint',), score: bool = True) -> None:
        if isinstance(streams, str) or not streams:
            raise ValueError(
                f'streams {streams!r}: give a list of {", ".join(STREAMS)}.'
            )
        for stream in streams:
            check_choice('stream', stream, STREAMS)
        self.streams = tuple(streams)
        self.score = score

    def transform(self, results: dict) -> dict:
        """Replace ``keypoint`` by the streams."""
        joint = results['keypoint']
        bone = joint - joint.take(results['joint_tree'].parents, axis=2)
        views = results.get('num_clips', 1)
        found = []
        for stream in self.streams:
            values = bone if stream.startswith('bone') else joint
            if stream.endswith('motion'):
                clips = values.reshape(len(values), views, -1, *values.shape[2:])
                change = np.diff(clips, axis=2, append=clips[:, :, -1:])
                values = change.reshape(values.shape)
            found.append(values)
        results['keypoint'] = np.concatenate(found, axis=-1)
        if not self.score:
            results.pop('keypoint_score', None)
        return results


@TRANSFORMS.register_module()
class SkeletonCompact(BaseTransform):
    """Cut the picture to a padded box around the joints seen in any frame.

    As MMAction2's ``PoseCompact``, which takes a coordinate of 0 for a missing joint;
    here a joint is missing where its score is 0, and one at the picture's edge counts.
    The box is longer than the figure by the share ``padding``, is made larger to have
    ``hw_ratio``, height / width, unless that is None, and may leave the picture. A
    figure smaller than ``threshold`` pixels is left as it is.

    Takes and changes ``keypoint`` and ``img_shape``; frames in ``imgs`` are cut
    likewise, black beyond the picture.

    Raises:
        ValueError: A negative padding, or a ratio that is not above 0.

    Source: MMAction2, PoseCompact, 4d6c9347.
    """

    def __init__(
        self, padding: float = 0.25, threshold: float = 10, hw_ratio: float | None = 1.0
    ) -> None:
        if padding < 0 or (hw_ratio is not None and hw_ratio <= 0):
            raise ValueError(
                f'padding {padding}, hw_ratio {hw_ratio}: use a padding from 0 and a '
                'ratio above 0.'
            )
        self.padding, self.threshold, self.hw_ratio = padding, threshold, hw_ratio

    def transform(self, results: dict) -> dict:
        """Move the joints into the box."""
        seen = results['keypoint'][results['keypoint_score'] > 0]  # (S, 2)
        if not len(seen):
            return results
        low, high = seen.min(0), seen.max(0)
        if (high - low < self.threshold).any():
            return results
        centre = (low + high) / 2
        half = (high - low) / 2 * (1 + self.padding)
        if self.hw_ratio is not None:
            half[1] = max(self.hw_ratio * half[0], half[1])
            half[0] = max(half[1] / self.hw_ratio, half[0])
        corner = np.trunc(centre - half).astype(int)
        width, height = (np.trunc(centre + half).astype(int) - corner).tolist()
        results['keypoint'] = results['keypoint'] - corner.astype(np.float32)
        results['img_shape'] = (height, width)
        if 'imgs' in results:
            move = np.array([[1, 0, -corner[0]], [0, 1, -corner[1]]], np.float32)
            cut = functools.partial(cv2.warpAffine, M=move, dsize=(width, height))
            results['imgs'] = [cut(frame) for frame in results['imgs']]
        return results


@TRANSFORMS.register_module()
class MirrorViews(BaseTransform):
    """Add the mirror image of every view, for testing.

    Joints change places by name, so that joint and limb heatmaps need no lists of left
    and right channels. x becomes width - 1 - x, which maps pixels to pixels. Comes
    after all that changes ``img_shape``.

    Takes and doubles ``keypoint`` (M, S * T, V, 2), ``keypoint_score`` and
    ``num_clips`` S.
    """

    def transform(self, results: dict) -> dict:
        """Append the mirrored views along the frames."""
        order = list(results['joint_tree'].flip_order)
        keypoint = results['keypoint']
        mirrored = keypoint[..., order, :].copy()
        mirrored[..., 0] = results['img_shape'][1] - 1 - mirrored[..., 0]
        score = results['keypoint_score']
        results['keypoint'] = np.concatenate([keypoint, mirrored], axis=1)
        results['keypoint_score'] = np.concatenate([score, score[..., order]], axis=1)
        results['num_clips'] *= 2
        return results


@TRANSFORMS.register_module()
class FormatKeypoints(BaseTransform):
    """Put joints and scores together for ``HeatmapPreprocessor``, view by view.

    Takes ``keypoint`` (M, S * T, V, 2), ``keypoint_score`` (M, S * T, V) and
    ``num_clips`` S. Changes ``keypoint`` to (S, M, T, V, 3): x, y, score.
    """

    def transform(self, results: dict) -> dict:
        """Join and reshape."""
        parts = results['keypoint'], results['keypoint_score'][..., None]
        joints = np.concatenate(parts, axis=-1).astype(np.float32)
        persons, frames, *rest = joints.shape
        views = results['num_clips']
        joints = joints.reshape(persons, views, frames // views, *rest)
        results['keypoint'] = np.ascontiguousarray(joints.swapaxes(0, 1))
        return results
