"""Frames of a motion, drawn with OpenCV."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from mmma.simulation.backgrounds import Background
from mmma.simulation.domains import DomainStyle, PictureStyle
from mmma.simulation.figure_parts import View, body_parts
from mmma.simulation.furniture import object_parts, seat_parts
from mmma.simulation.head_part import Head
from mmma.simulation.motion import Motion
from mmma.simulation.subjects import Subject

_NOISE_PICTURES = 3


def render_frames(
    motion: Motion, subject: Subject, style: DomainStyle, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Draw a motion frame by frame.

    Args:
        motion: Figure and camera.
        subject: Who moves.
        style: Domain: background, light, noise.
        rng: Dice; the same state gives the same pixels.

    Yields:
        (H, W, 3) uint8, RGB.
    """
    background = Background(style.picture.background, motion.camera, rng)
    finish = _Finish(style.picture, motion.camera.size, rng)
    view = View.of(motion)
    parts = body_parts(view, subject) + seat_parts(view, subject)
    parts += object_parts(view, motion.objects)
    parts.append(Head(view, subject, _glasses(motion, subject)))
    order = np.argsort(-np.stack([part.depth for part in parts], axis=1), axis=1)
    for frame in range(len(view.depth)):
        canvas = background.frame(frame)
        for i in order[frame].tolist():
            parts[i].paint(canvas, frame)
        yield finish.apply(canvas)


def _glasses(motion: Motion, subject: Subject) -> np.ndarray:
    """(T,) whether glasses are on: the person's own, or those that are pushed."""
    on = np.full(len(motion.joints), float(subject.glasses))
    pushed = any(held.kind == 'glasses' for held in motion.objects)
    return np.ones_like(on) if pushed else on


class _Finish:
    """Light, blur and noise of the sensor."""

    def __init__(
        self, style: PictureStyle, size: tuple[int, int], rng: np.random.Generator
    ) -> None:
        light, warmth = rng.uniform(*style.light), rng.uniform(*style.warmth)
        gain = light * np.array([1 + warmth, 1.0, 1 - warmth])
        grey = np.arange(256)[:, None] * gain
        self.table = np.clip(grey, 0, 255).astype(np.uint8).reshape(1, 256, 3)
        self.blur = style.blur
        width, height = size
        self.rng = rng
        # A few noise pictures, larger than the frame, read at places drawn each time.
        shape = (_NOISE_PICTURES, height + 32, width + 32, 3)
        noise = rng.standard_normal(shape, dtype=np.float32) * style.noise
        self.noise = np.round(noise).astype(np.int16)

    def apply(self, canvas: np.ndarray) -> np.ndarray:
        """Finish a frame."""
        if self.blur:
            side = 2 * self.blur + 1
            canvas = cv2.GaussianBlur(canvas, (side, side), 0)
        canvas = cv2.LUT(canvas, self.table)
        height, width = canvas.shape[:2]
        i, y, x = self.rng.integers((_NOISE_PICTURES, 32, 32))
        noise = self.noise[i, y : y + height, x : x + width]
        return cv2.add(canvas, noise, dtype=cv2.CV_8U)
