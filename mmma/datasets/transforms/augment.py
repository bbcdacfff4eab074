"""Random augmentation of whole clips and skeletons: one change for every frame.

Randomness comes from numpy's global generator alone.
"""

import functools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmma.data import randaugment
from mmma.data.joints import JointTree
from mmma.registry import TRANSFORMS

_LEVELS = np.arange(256)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13


@TRANSFORMS.register_module()
class ClipRandAugment(BaseTransform):
    """RandAugment with one draw of operations and strengths for the whole clip.

    timm's ``rand-m7-n4-mstd0.5-inc1``: ``num_ops`` times, one of 15 operations is drawn
    and applied with probability 0.5, at a strength of N(0.7, 0.05) of the most. Where
    PIL looks at a single image (auto-contrast, equalize, contrast), the whole clip is
    looked at here: statistics of single frames would make still clips flicker.

    Changes ``imgs``: a list of T arrays (H, W, 3) or an array (T, H, W, 3), uint8 RGB;
    what comes out has the same form. Use it after a resize, for speed. ``num_ops``
    operations are drawn per clip, with replacement.

    Raises:
        ValueError: A negative number; frames that are not uint8 RGB.

    Source: Cubuk et al., 'RandAugment', CVPRW 2020; operations and strengths as in
    timm, auto_augment.py, and MCG-NJU/VideoMAE, rand_augment.py, 14ef8d85.
    """

    prob, strength, spread = randaugment.RAND_AUGMENT

    def __init__(self, num_ops: int = 4) -> None:
        if num_ops < 0:
            raise ValueError(f'num_ops {num_ops}: use a number from 0.')
        self.num_ops = num_ops

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Augment ``results['imgs']``."""
        clip = _as_clip(results['imgs'])
        how = self.prob, self.strength, self.spread
        for number, level in randaugment.draw_operations(self.num_ops, how):
            clip = OPERATIONS[number](clip, level)
        results['imgs'] = _like(clip, results['imgs'])
        return results


@TRANSFORMS.register_module()
class ClipErasing(BaseTransform):
    """Fill one random box, the same in every frame, with noise.

    VideoMAE erases normalised frames with N(0, 1). Frames are normalised later here
    (in the data preprocessor), so the noise is N(mean, std) per channel: the same
    once normalised, save that pixels end at 0 and 255, about 2 std off.

    Raises:
        ValueError: Frames that are not uint8 RGB.

    Source: Zhong et al., 'Random Erasing Data Augmentation', AAAI 2020;
    MCG-NJU/VideoMAE, random_erasing.py (mode ``pixel``, cube), 14ef8d85.
    """

    prob = randaugment.ERASING_PROB
    area, aspect = randaugment.BOX_AREA, randaugment.BOX_ASPECT
    mean, std = randaugment.NOISE_MEAN, randaugment.NOISE_STD

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Erase a box of ``results['imgs']``, or leave the clip as it is."""
        if np.random.random() >= self.prob:
            return results
        clip = _as_clip(results['imgs'])
        if box := randaugment.draw_box(*clip.shape[1:3], self.area, self.aspect):
            part = clip[:, box[0], box[1]]
            noise = np.random.standard_normal(part.shape) * self.std + self.mean
            part[...] = noise.round().clip(0, 255)
        results['imgs'] = _like(clip, results['imgs'])
        return results


class FrameOperations(randaugment.ClipOperations):
    """Operations on arrays (T, H, W, 3), by OpenCV."""

    axes = 2, 1

    def counts(self, clip: np.ndarray) -> np.ndarray:
        """See the base class."""
        count = functools.partial(cv2.calcHist, [_tall(clip)])
        found = [count([c], None, [256], [0, 256]).ravel() for c in range(3)]
        return np.stack(found).astype(np.int64)

    def look_up(self, clip: np.ndarray, table: np.ndarray) -> np.ndarray:
        """See the base class."""
        return cv2.LUT(_tall(clip), table[None]).reshape(clip.shape)

    def mix(self, clip: np.ndarray, grey: int, factor: float) -> np.ndarray:
        """See the base class."""
        return self.map_levels(clip, grey + factor * (_LEVELS - grey))

    def warp(
        self, clip: np.ndarray, linear: np.ndarray, shift: np.ndarray
    ) -> np.ndarray:
        """See the base class; OpenCV's pixel centres lie at whole numbers."""
        centre = np.full(2, 0.5)
        matrix = np.column_stack([linear, linear @ centre + shift - centre])
        gaps = dict(borderMode=cv2.BORDER_CONSTANT, borderValue=[randaugment.FILL] * 3)
        options = dict(flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, **gaps)
        move = functools.partial(cv2.warpAffine, M=matrix, dsize=clip.shape[2:0:-1])
        return np.stack([move(frame, **options) for frame in clip])

    def adjust_color(self, clip: np.ndarray, level: float) -> np.ndarray:
        """See the base class."""
        factor = randaugment.draw_factor(level)
        mix = factor * np.eye(3) + (1 - factor) * randaugment.GREY
        return cv2.transform(_tall(clip), mix).reshape(clip.shape)

    def adjust_sharpness(self, clip: np.ndarray, level: float) -> np.ndarray:
        """See the base class."""
        factor = randaugment.draw_factor(level)
        kernel = (1 - factor) * _SMOOTH
        kernel[1, 1] += factor
        out = clip.copy()
        for frame, new in zip(clip, out, strict=True):
            new[1:-1, 1:-1] = cv2.filter2D(frame, -1, kernel)[1:-1, 1:-1]
        return out


OPERATIONS = FrameOperations().listed()


def _tall(clip: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) -> (T*H, W, 3): one image for OpenCV."""
    return clip.reshape(-1, *clip.shape[2:])


def _as_clip(imgs: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Copy frames into one array (T, H, W, 3)."""
    clip = np.array(imgs)
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3:
        raise ValueError(
            f'imgs are {clip.dtype} of shape {clip.shape}: clip augmentation takes '
            'uint8 RGB frames (T, H, W, 3); put it before FormatShape.'
        )
    return clip


def _like(clip: np.ndarray, imgs: Sequence[np.ndarray] | np.ndarray) -> Any:
    return clip if isinstance(imgs, np.ndarray) else list(clip)


@TRANSFORMS.register_module()
class SkeletonFlip(BaseTransform):
    """Mirror half of the clips: x becomes width - x, left and right change places.

    A joint whose mirror image was not chosen keeps its place; a missing one stays 0.
    Frames in ``imgs`` are mirrored as well. Comes before ``NormalizeSkeleton``. Adds
    ``flip``.
    """

    prob = 0.5

    def transform(self, results: dict) -> dict:
        """Mirror, or not."""
        results['flip'] = bool(np.random.random() < self.prob)
        if results['flip']:
            order = results['joint_tree'].flip_order
            score = results['keypoint_score'].take(order, axis=2)
            keypoint = results['keypoint'].take(order, axis=2)
            x = results['img_shape'][1] - keypoint[..., 0]
            keypoint[..., 0] = np.where(score > 0, x, keypoint[..., 0])
            results.update(keypoint=keypoint, keypoint_score=score)
            if 'imgs' in results:
                results['imgs'] = [frame[:, ::-1] for frame in results['imgs']]
        return results


@TRANSFORMS.register_module()
class SkeletonCrop(BaseTransform):
    """Hide what a closer framing would not show.

    Joints below a random height between the hips' and the lowest joint's become
    missing, so that a model learns to do without legs. ``prob`` is how often.
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


@TRANSFORMS.register_module()
class SkeletonJitter(BaseTransform):
    """Turn, stretch and disturb a normalised skeleton a little, in training.

    Comes after ``NormalizeSkeleton``, whose origin it turns and stretches about; one
    draw per clip, so that motion stays smooth: a turn of up to ``degrees`` either way,
    a slant (tangent of the angle) of up to ``shear``, each axis by 1 +- ``scale``.
    """

    def __init__(
        self, degrees: float = 10.0, scale: float = 0.1, shear: float = 0.1
    ) -> None:
        self.degrees, self.scale, self.shear = degrees, scale, shear

    def transform(self, results: dict) -> dict:
        """Distort ``keypoint``."""
        angle = np.deg2rad(np.random.uniform(-self.degrees, self.degrees))
        cos, sin = np.cos(angle), np.sin(angle)
        slant = np.random.uniform(-self.shear, self.shear)
        stretch = np.diag(1 + np.random.uniform(-self.scale, self.scale, 2))
        matrix = np.array([[cos, -sin], [sin, cos]]) @ [[1, slant], [0, 1]] @ stretch
        keypoint = results['keypoint'] @ matrix.T.astype(np.float32)
        results['keypoint'] = keypoint.astype(np.float32)
        return results


@TRANSFORMS.register_module()
class SkeletonBend(BaseTransform):
    """Give a normalised skeleton another posture and build, in training.

    Turns and stretches every bone by one draw per clip, and all joints that hang on
    it go along. Motion keeps its rhythm and its size; posture, camera and build change,
    which a model trained on one domain would otherwise take for part of the action.
    ``degrees`` is the standard deviation of a bone's turn, little, so that a hand still
    touches what it touches; ``leg_degrees`` is for those below the hips, as people sit
    in one domain and stand in another; ``scale`` is of the logarithm of a stretch.
    """

    def __init__(
        self, degrees: float = 5.0, leg_degrees: float = 30.0, scale: float = 0.1
    ) -> None:
        self.degrees, self.leg_degrees, self.scale = degrees, leg_degrees, scale

    def transform(self, results: dict) -> dict:
        """Change ``keypoint``."""
        tree = results['joint_tree']
        chain, fixed, below_hip = _chains(tree)
        spread = np.where(below_hip, self.leg_degrees, self.degrees)
        turn = np.deg2rad(np.random.normal(0, 1, len(fixed)) * spread)
        stretch = np.exp(np.random.normal(0, self.scale, len(fixed)))
        turn[fixed], stretch[fixed] = 0, 1
        cos = (stretch * np.cos(turn)).astype(np.float32)
        sin = (stretch * np.sin(turn)).astype(np.float32)
        keypoint = results['keypoint']
        bone = keypoint - keypoint.take(tree.parents, axis=2)
        bone[:, :, fixed] = keypoint[:, :, fixed]
        x, y = bone[..., 0], bone[..., 1]
        turned = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
        results['keypoint'] = chain @ turned  # (V, V) @ (M, T, V, 2)
        return results


@functools.lru_cache(maxsize=32)
def _chains(tree: JointTree) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(V, V) which bones lead to a joint; (V,) roots; (V,) joints below a hip."""
    parents = np.array(tree.parents)
    joints = np.arange(len(parents))
    chain = np.zeros((len(parents), len(parents)), np.float32)
    at = joints
    for _ in joints:
        chain[joints, at] = 1
        at = parents[at]
    legs = ('_knee', '_ankle', '_toe', '_heel')
    return chain, parents == joints, np.array([n.endswith(legs) for n in tree.names])
