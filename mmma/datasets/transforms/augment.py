"""Random augmentation of whole clips and skeletons: one change for every frame.

Randomness comes from numpy's global generator alone.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmma.data.joints import JointTree
from mmma.registry import TRANSFORMS

_FILL = (128, 128, 128)  # grey, where a moved frame leaves a gap
_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R 601 luma of R, G, B
_LEVELS = np.arange(256)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
_ERASING_ATTEMPTS = 100


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

    prob, strength, spread = 0.5, 0.7, 0.05

    def __init__(self, num_ops: int = 4) -> None:
        if num_ops < 0:
            raise ValueError(f'num_ops {num_ops}: use a number from 0.')
        self.num_ops = num_ops

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Augment ``results['imgs']``."""
        clip = _as_clip(results['imgs'])
        for number in np.random.randint(len(OPERATIONS), size=self.num_ops):
            if np.random.random() >= self.prob:
                continue
            level = np.clip(np.random.normal(self.strength, self.spread), 0, 1)
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

    prob = 0.25
    area = (0.02, 1 / 3)  # of the box, as a share of the frame
    aspect = (0.3, 1 / 0.3)  # height / width of the box
    mean = np.array([123.675, 116.28, 103.53])  # as in the data preprocessor
    std = np.array([58.395, 57.12, 57.375])

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Erase a box of ``results['imgs']``, or leave the clip as it is."""
        if np.random.random() >= self.prob:
            return results
        clip = _as_clip(results['imgs'])
        height, width = clip.shape[1:3]
        log_aspect = np.log(self.aspect)
        for _ in range(_ERASING_ATTEMPTS):  # until a box is smaller than the frame
            pixels = np.random.uniform(*self.area) * height * width
            aspect = math.exp(np.random.uniform(*log_aspect))
            rows = round(math.sqrt(pixels * aspect))
            columns = round(math.sqrt(pixels / aspect))
            if rows < height and columns < width:
                top = np.random.randint(height - rows + 1)
                left = np.random.randint(width - columns + 1)
                part = clip[:, top : top + rows, left : left + columns]
                noise = np.random.standard_normal(part.shape) * self.std + self.mean
                part[...] = noise.round().clip(0, 255)
                break
        results['imgs'] = _like(clip, results['imgs'])
        return results


def auto_contrast(clip: np.ndarray, level: float) -> np.ndarray:
    """Stretch each channel of the clip to 0..255; has no strength."""
    table = np.empty((256, 3))
    for c, counts in enumerate(_histograms(clip)):
        low, high = np.flatnonzero(counts)[[0, -1]]
        table[:, c] = _LEVELS if low == high else (_LEVELS - low) * 255 / (high - low)
    return _look_up(clip, np.floor(table))


def equalize(clip: np.ndarray, level: float) -> np.ndarray:
    """Flatten the histogram of each channel of the clip; has no strength."""
    table = np.empty((256, 3))
    for c, counts in enumerate(_histograms(clip)):
        last = counts[np.flatnonzero(counts)[-1]]
        step = (counts.sum() - last) // 255
        below = counts.cumsum() - counts
        table[:, c] = (step // 2 + below) // step if step else _LEVELS
    return _look_up(clip, table)


def invert(clip: np.ndarray, level: float) -> np.ndarray:
    """Negative of the clip; has no strength."""
    return 255 - clip


def posterize(clip: np.ndarray, level: float) -> np.ndarray:
    """Keep 4 bits per channel, down to 0 at level 1."""
    bits = 4 - int(level * 4)
    return clip & np.uint8(256 - 2 ** (8 - bits))


def solarize(clip: np.ndarray, level: float) -> np.ndarray:
    """Invert what is at least as bright as a threshold, 256 down to 0 at level 1."""
    inverted = 255 - _LEVELS
    return _look_up(clip, np.where(inverted < int(level * 256), inverted, _LEVELS))


def solarize_add(clip: np.ndarray, level: float) -> np.ndarray:
    """Brighten what is darker than 128, by 110 at level 1."""
    brighter = _LEVELS + int(level * 110)
    return _look_up(clip, np.where(_LEVELS < 128, brighter, _LEVELS))


def adjust_color(clip: np.ndarray, level: float) -> np.ndarray:
    """Less or more saturation."""
    factor = _draw_factor(level)
    mix = factor * np.eye(3) + (1 - factor) * _GREY
    return cv2.transform(_tall(clip), mix).reshape(clip.shape)


def adjust_contrast(clip: np.ndarray, level: float) -> np.ndarray:
    """Less or more distance from the clip's mean grey."""
    factor = _draw_factor(level)
    means = [counts @ _LEVELS / counts.sum() for counts in _histograms(clip)]
    grey = round(float(_GREY @ means))
    return _look_up(clip, grey + factor * (_LEVELS - grey))


def adjust_brightness(clip: np.ndarray, level: float) -> np.ndarray:
    """Less or more distance from black."""
    return _look_up(clip, _draw_factor(level) * _LEVELS)


def adjust_sharpness(clip: np.ndarray, level: float) -> np.ndarray:
    """Less or more distance from the smoothed frames; border pixels stay."""
    factor = _draw_factor(level)
    kernel = (1 - factor) * _SMOOTH
    kernel[1, 1] += factor
    out = clip.copy()
    for frame, new in zip(clip, out, strict=True):
        new[1:-1, 1:-1] = cv2.filter2D(frame, -1, kernel)[1:-1, 1:-1]
    return out


def rotate(clip: np.ndarray, level: float) -> np.ndarray:
    """Turn about the centre, by 30 degrees at level 1."""
    angle = math.radians(_signed(level * 30))
    cos, sin = math.cos(angle), math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    centre = np.array([clip.shape[2], clip.shape[1]]) / 2
    return _warp(clip, linear, centre - linear @ centre)


def shear(clip: np.ndarray, level: float, axis: int) -> np.ndarray:
    """Slant columns (axis 0) or rows about the upper left corner, by 0.3 at level 1."""
    linear = np.eye(2)
    linear[axis, 1 - axis] = _signed(level * 0.3)
    return _warp(clip, linear, np.zeros(2))


def translate(clip: np.ndarray, level: float, axis: int) -> np.ndarray:
    """Move sideways (axis 0) or up and down, by 0.45 of the size at level 1."""
    shift = np.zeros(2)
    shift[axis] = _signed(level * 0.45) * clip.shape[2 - axis]
    return _warp(clip, np.eye(2), shift)


OPERATIONS: list[Callable[[np.ndarray, float], np.ndarray]] = [
    *(auto_contrast, equalize, invert, rotate, posterize, solarize, solarize_add),
    *(adjust_color, adjust_contrast, adjust_brightness, adjust_sharpness),
    *(functools.partial(shear, axis=axis) for axis in (0, 1)),
    *(functools.partial(translate, axis=axis) for axis in (0, 1)),
]
"""Those of timm, in its order."""


def _signed(value: float) -> float:
    return -value if np.random.random() < 0.5 else value


def _draw_factor(level: float) -> float:
    """Factor of an enhancement: 1 keeps the clip, 0.1 or 1.9 at level 1."""
    return 1 + _signed(0.9 * level)


def _tall(clip: np.ndarray) -> np.ndarray:
    """(T, H, W, 3) -> (T*H, W, 3): one image for OpenCV."""
    return clip.reshape(-1, *clip.shape[2:])


def _histograms(clip: np.ndarray) -> list[np.ndarray]:
    """Counts (256,) of the levels of each channel, over all frames."""
    image = _tall(clip)
    return [
        cv2.calcHist([image], [c], None, [256], [0, 256]).ravel().astype(np.int64)
        for c in range(3)
    ]


def _look_up(clip: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Replace levels; ``table`` is (256,) or, for each channel, (256, 3)."""
    table = np.rint(table).clip(0, 255).astype(np.uint8)
    table = np.broadcast_to(table.reshape(1, 256, -1), (1, 256, 3))
    return cv2.LUT(_tall(clip), np.ascontiguousarray(table)).reshape(clip.shape)


def _warp(clip: np.ndarray, linear: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Take each output point (x, y) from ``linear @ (x, y) + shift`` of the input.

    Points are continuous as in PIL: pixel centres lie at 0.5, while OpenCV's lie at
    whole numbers.
    """
    centre = np.full(2, 0.5)
    matrix = np.column_stack([linear, linear @ centre + shift - centre])
    size = clip.shape[2], clip.shape[1]
    gaps = dict(borderMode=cv2.BORDER_CONSTANT, borderValue=_FILL)
    options = dict(flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, **gaps)
    return np.stack([cv2.warpAffine(frame, matrix, size, **options) for frame in clip])


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
