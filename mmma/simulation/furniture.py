"""Seats and held objects, as parts of the drawn figure."""

from __future__ import annotations

import cv2
import numpy as np

from mmma.simulation.body import HAND_START, OUTWARD
from mmma.simulation.figure_parts import (
    SHIFT,
    Part,
    View,
    fixed,
    shade,
    stroke,
)
from mmma.simulation.motion import Held
from mmma.simulation.subjects import Colour, Subject

# Corners of flat things in hand axes: towards fingers, palm, thumb; metres.
_PHONE = np.array(
    [[0.03, 0.03, -0.03], [0.17, 0.03, -0.03], [0.17, 0.03, 0.05], [0.03, 0.03, 0.05]]
)
_PEN = np.array([[0.09, 0.03, -0.03], [0.13, 0.05, 0.13]])
_CUP = np.array([[0.09, 0.04, -0.05], [0.09, 0.04, 0.07]])


class Slab:
    """A flat polygon in space, painted in one colour.

    Args:
        view: The scene.
        corners: (T, N, 3) metres.
        colour: RGB.
        width: Of the rounded edge, metres; two corners make a stroke.
        bias: Added to the depth.
        weight: (T,) painted where above one half.
    """

    def __init__(
        self,
        view: View,
        corners: np.ndarray,
        colour: Colour,
        width: float,
        bias: float = 0.0,
        weight: np.ndarray | None = None,
    ) -> None:
        points, depth = view.motion.camera.project(corners)
        self.depth = depth.mean(axis=1) + bias
        self.points = fixed(points)
        focal = view.motion.camera.focal
        size = width * focal / depth.mean(axis=1)
        self.width = np.maximum(1, np.round(np.clip(size, 1, 400))).astype(int).tolist()
        self.colour, self.outline = colour, shade(colour, 0.65)
        self.weight = weight

    def paint(self, canvas: np.ndarray, frame: int) -> None:
        """Paint one frame."""
        if self.weight is not None and self.weight[frame] < 0.5:
            return
        points, width = self.points[frame], self.width[frame]
        if len(points) == 2:
            stroke(canvas, points, self.outline, width + 2)
            stroke(canvas, points, self.colour, width)
            return
        cv2.polylines(canvas, [points], True, self.outline, width, cv2.LINE_AA, SHIFT)
        cv2.fillPoly(canvas, [points], self.colour, cv2.LINE_AA, SHIFT)


def seat_parts(view: View, subject: Subject) -> list[Part]:
    """A stool or an armchair under a person who sits."""
    posture = view.motion.posture
    if posture == 'standing':
        return []
    top = view.motion.seat - np.array(
        [0.0, 0.085 * view.motion.figure.build.scale, 0.0]
    )
    return (
        _armchair(view, subject, top)
        if posture == 'armchair'
        else _stool(view, subject, top)
    )


def _stool(view: View, subject: Subject, top: np.ndarray) -> list[Part]:
    x, y, z = 0.19, top[1], 0.17
    seat = [[-x, y, -z], [x, y, -z], [x, y, z + 0.1], [-x, y, z + 0.1]]
    parts = [_slab(view, seat, subject.chair, 0.05, 0.3)]
    for sx in (-1, 1):
        for sz in (-1, 1):
            leg = [[sx * x * 0.85, y, sz * z], [sx * x * 1.1, 0, sz * z * 1.2]]
            parts.append(_slab(view, leg, shade(subject.chair, 0.8), 0.035, 0.35))
    return parts


def _armchair(view: View, subject: Subject, top: np.ndarray) -> list[Part]:
    x, y, scale = 0.3, top[1], view.motion.figure.build.scale
    arm = view.motion.seat[1] + 0.17 * scale
    back = [[-x, y, -0.2], [x, y, -0.2], [x, y + 0.72, -0.36], [-x, y + 0.72, -0.36]]
    seat = [[-x, y, -0.2], [x, y, -0.2], [x, y, 0.42], [-x, y, 0.42]]
    front = [[-x, y, 0.42], [x, y, 0.42], [x, 0.05, 0.42], [-x, 0.05, 0.42]]
    parts = [
        _slab(view, back, subject.chair, 0.08, 0.5),
        _slab(view, seat, shade(subject.chair, 0.9), 0.08, 0.4),
        _slab(view, front, shade(subject.chair, 0.8), 0.06, 0.35),
    ]
    for sign in OUTWARD:
        rest = [[sign * x, arm, -0.2], [sign * x, arm, 0.4]]
        post = [[sign * x, arm, 0.4], [sign * x, 0.05, 0.4]]
        parts.append(_slab(view, rest, subject.chair, 0.1, 0.0))
        parts.append(_slab(view, post, subject.chair, 0.08, 0.02))
    return parts


def _slab(
    view: View, corners: list[list[float]], colour: Colour, width: float, bias: float
) -> Part:
    """A slab that stands still."""
    still = np.broadcast_to(corners, (len(view.depth), *np.shape(corners)))
    return Slab(view, still, colour, width, bias)


def object_parts(view: View, objects: list[Held]) -> list[Part]:
    """Pens, phones and cups in hands; glasses belong to the head."""
    known = {'phone': (_PHONE, 0.01), 'pen': (_PEN, 0.012), 'cup': (_CUP, 0.07)}
    colours = {'phone': (30, 32, 38), 'pen': (30, 60, 160), 'cup': (235, 235, 230)}
    parts: list[Part] = []
    for held in objects:
        if held.kind not in known:
            continue
        local, width = known[held.kind]
        figure = view.motion.figure
        wrist = figure.joints[:, None, HAND_START[held.side]]
        turned = (
            local * figure.build.hand @ np.swapaxes(figure.hands[:, held.side], 1, 2)
        )
        parts.append(
            Slab(view, wrist + turned, colours[held.kind], width, -0.05, held.weight)
        )
    return parts
