"""Random changes of whole clips, whatever arrays they are: one for every frame.

Randomness comes from numpy's global generator alone, in one order for all.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

FILL = 128  # grey, where a moved frame leaves a gap
GREY = np.array([0.299, 0.587, 0.114])  # ITU-R 601 luma of R, G, B
RAND_AUGMENT = 0.5, 0.7, 0.05
"""Probability of an operation, mean of its strength and spread of that."""
ERASING_PROB = 0.25
BOX_AREA = 0.02, 1 / 3
BOX_ASPECT = 0.3, 1 / 0.3
NOISE_MEAN = np.array([123.675, 116.28, 103.53])  # as in the data preprocessor
NOISE_STD = np.array([58.395, 57.12, 57.375])
_LEVELS = np.arange(256)
_NUM_OPERATIONS = 15
_ATTEMPTS = 100


def draw_operations(num_ops: int, how: Any = RAND_AUGMENT) -> Iterator[Any]:
    """Numbers of operations, drawn with replacement, and strengths, one by one."""
    prob, strength, spread = how
    for number in np.random.randint(_NUM_OPERATIONS, size=num_ops):
        if np.random.random() < prob:
            yield number, float(np.clip(np.random.normal(strength, spread), 0, 1))


def draw_box(
    height: int, width: int, area: Any = BOX_AREA, aspect: Any = BOX_ASPECT
) -> tuple[slice, slice] | None:
    """Rows and columns of a box that is smaller than the frame, if one is found.

    Area is its share of the frame, aspect its height / width; each from, to.
    """
    for _ in range(_ATTEMPTS):
        pixels = np.random.uniform(*area) * height * width
        ratio = math.exp(np.random.uniform(*np.log(aspect)))
        rows = round(math.sqrt(pixels * ratio))
        columns = round(math.sqrt(pixels / ratio))
        if rows < height and columns < width:
            top = np.random.randint(height - rows + 1)
            left = np.random.randint(width - columns + 1)
            return slice(top, top + rows), slice(left, left + columns)
    return None


def _signed(value: float) -> float:
    return -value if np.random.random() < 0.5 else value


def draw_factor(level: float) -> float:
    """Factor of an enhancement: 1 keeps the clip, 0.1 or 1.9 at level 1."""
    return 1 + _signed(0.9 * level)


class ClipOperations(ABC):
    """Operations on uint8 RGB clips of one kind of array, at a level from 0 to 1.

    ``axes`` are those of the width and height. Auto-contrast, equalizing and inverting
    have no strength.
    """

    axes: tuple[int, int]

    def listed(self) -> list[Callable[[Any, float], Any]]:
        """Those of timm, in its order."""
        return [
            *(self.auto_contrast, self.equalize, self.invert, self.rotate),
            *(self.posterize, self.solarize, self.solarize_add, self.adjust_color),
            *(self.adjust_contrast, self.adjust_brightness, self.adjust_sharpness),
            *(partial(self.shear, axis=axis) for axis in (0, 1)),
            *(partial(self.translate, axis=axis) for axis in (0, 1)),
        ]

    @abstractmethod
    def counts(self, clip: Any) -> np.ndarray:
        """Counts (3, 256) of the levels of each channel, over all frames; int64."""

    @abstractmethod
    def look_up(self, clip: Any, table: np.ndarray) -> Any:
        """Replace levels; ``table`` is (256, 3), uint8."""

    @abstractmethod
    def mix(self, clip: Any, grey: int, factor: float) -> Any:
        """A grey and the distance to it, times a factor."""

    @abstractmethod
    def warp(self, clip: Any, linear: np.ndarray, shift: np.ndarray) -> Any:
        """Take each output point (x, y) from ``linear @ (x, y) + shift`` of the input.

        Points are continuous as in PIL: pixel centres lie at 0.5.
        """

    @abstractmethod
    def adjust_color(self, clip: Any, level: float) -> Any:
        """Less or more saturation."""

    @abstractmethod
    def adjust_sharpness(self, clip: Any, level: float) -> Any:
        """Less or more distance from the smoothed frames; border pixels stay."""

    def map_levels(self, clip: Any, table: np.ndarray) -> Any:
        """Replace levels; ``table`` is (256,) or, for each channel, (256, 3)."""
        table = np.rint(table).clip(0, 255).astype(np.uint8).reshape(256, -1)
        return self.look_up(
            clip, np.ascontiguousarray(np.broadcast_to(table, (256, 3)))
        )

    def auto_contrast(self, clip: Any, level: float) -> Any:
        """Stretch each channel of the clip to 0..255."""
        table = np.empty((256, 3))
        for c, counts in enumerate(self.counts(clip)):
            low, high = np.flatnonzero(counts)[[0, -1]]
            stretched = (_LEVELS - low) * 255 // max(high - low, 1)
            table[:, c] = _LEVELS if low == high else stretched
        return self.map_levels(clip, table)

    def equalize(self, clip: Any, level: float) -> Any:
        """Flatten the histogram of each channel of the clip."""
        table = np.empty((256, 3))
        for c, counts in enumerate(self.counts(clip)):
            last = counts[np.flatnonzero(counts)[-1]]
            step = (counts.sum() - last) // 255
            below = counts.cumsum() - counts
            table[:, c] = (step // 2 + below) // step if step else _LEVELS
        return self.map_levels(clip, table)

    def invert(self, clip: Any, level: float) -> Any:
        """Negative of the clip."""
        return 255 - clip

    def posterize(self, clip: Any, level: float) -> Any:
        """Keep 4 bits per channel, down to 0 at level 1."""
        return clip & (256 - 2 ** (4 + int(level * 4)))

    def solarize(self, clip: Any, level: float) -> Any:
        """Invert what is as bright as a threshold or more, 256 down to 0 at level 1."""
        inverted = 255 - _LEVELS
        bright = inverted < int(level * 256)
        return self.map_levels(clip, np.where(bright, inverted, _LEVELS))

    def solarize_add(self, clip: Any, level: float) -> Any:
        """Brighten what is darker than 128, by 110 at level 1."""
        brighter = _LEVELS + int(level * 110)
        return self.map_levels(clip, np.where(_LEVELS < 128, brighter, _LEVELS))

    def adjust_contrast(self, clip: Any, level: float) -> Any:
        """Less or more distance from the clip's mean grey."""
        factor = draw_factor(level)
        means = [counts @ _LEVELS / counts.sum() for counts in self.counts(clip)]
        return self.mix(clip, round(float(GREY @ means)), factor)

    def adjust_brightness(self, clip: Any, level: float) -> Any:
        """Less or more distance from black."""
        return self.mix(clip, 0, draw_factor(level))

    def rotate(self, clip: Any, level: float) -> Any:
        """Turn about the centre, by 30 degrees at level 1."""
        angle = math.radians(_signed(level * 30))
        cos, sin = math.cos(angle), math.sin(angle)
        linear = np.array([[cos, -sin], [sin, cos]])
        centre = np.array([clip.shape[axis] for axis in self.axes]) / 2
        return self.warp(clip, linear, centre - linear @ centre)

    def shear(self, clip: Any, level: float, axis: int) -> Any:
        """Slant columns (axis 0) or rows about the upper left corner, by 0.3 at 1."""
        linear = np.eye(2)
        linear[axis, 1 - axis] = _signed(level * 0.3)
        return self.warp(clip, linear, np.zeros(2))

    def translate(self, clip: Any, level: float, axis: int) -> Any:
        """Move sideways (axis 0) or up and down, by 0.45 of the size at level 1."""
        shift = np.zeros(2)
        shift[axis] = _signed(level * 0.45) * clip.shape[self.axes[axis]]
        return self.warp(clip, np.eye(2), shift)
