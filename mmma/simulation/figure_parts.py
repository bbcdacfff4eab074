"""The drawn figure: parts that know their depth and paint themselves on a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from mmma.simulation.body import HAND_START, JOINT, joint_pair
from mmma.simulation.motion import Motion
from mmma.simulation.subjects import Colour, Subject

SHIFT = 4  # fractional bits of coordinates
_FAR_PX = 3000.0
_OUTLINE = 0.62  # brightness of an outline against its fill

# Radii in metres of a person of average girth, and depths added for sorting: a hand on
# a thigh lies nearer than the thigh's middle may be.
_UPPER_ARM, _FOREARM, _THIGH, _SHANK, _SHOE, _NECK = (
    0.046,
    0.036,
    0.068,
    0.05,
    0.04,
    0.05,
)
_BIAS = {'trunk': 0.13, 'thigh': 0.1, 'arm': 0.0, 'forearm': 0.0, 'hand': -0.02}


class Part(Protocol):
    """Something that is painted as a whole.

    Attributes:
        depth: (T,) metres from the camera; far parts are painted first.
    """

    depth: np.ndarray

    def paint(self, canvas: np.ndarray, frame: int) -> None:
        """Paint one frame on (H, W, 3)."""
        ...


def fixed(points: np.ndarray) -> np.ndarray:
    """Pixels as fixed-point integers that OpenCV can draw."""
    points = np.clip(points, -_FAR_PX, _FAR_PX) * (1 << SHIFT)
    return np.ascontiguousarray(np.round(points), dtype=np.int32)


def shade(colour: Colour, factor: float) -> Colour:
    """A colour, brighter or darker."""
    r, g, b = (int(min(255, c * factor)) for c in colour)
    return r, g, b


@dataclass
class View:
    """The motion as the camera sees it.

    Attributes:
        motion: What is seen.
        points: (T, J, 2) joints, pixels.
        depth: (T, J) metres.
        scale: (T, J) pixels per metre at the joints.
    """

    motion: Motion
    points: np.ndarray
    depth: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, motion: Motion) -> View:
        """Project the joints of a motion."""
        points, depth = motion.camera.project(motion.joints)
        return cls(motion, points, depth, motion.camera.focal[:, None] / depth)

    def project(self, points: np.ndarray) -> np.ndarray:
        """(T, N, 2) pixels of (T, N, 3) metres."""
        return self.motion.camera.project(points)[0]

    def width(self, joints: list[int], radius: float) -> np.ndarray:
        """(T,) thickness in pixels of something round at some joints."""
        size = 2.0 * radius * self.scale[:, joints].mean(axis=1)
        return np.maximum(1, np.round(np.clip(size, 1, 400))).astype(int)


class Strokes:
    """Thick lines with round ends, outlined as one.

    Args:
        view: The scene.
        lines: Joints of each line.
        radii: Metres, one for each line.
        colours: One for each line.
        bias: Added to the depth.
    """

    def __init__(
        self,
        view: View,
        lines: list[list[int]],
        radii: list[float],
        colours: list[Colour],
        bias: float,
    ) -> None:
        joints = sorted({j for line in lines for j in line})
        self.depth = view.depth[:, joints].mean(axis=1) + bias
        self.lines = [fixed(view.points[:, line]) for line in lines]
        self.widths = [
            view.width(line, r).tolist() for line, r in zip(lines, radii, strict=True)
        ]
        self.colours = colours
        self.outline = shade(colours[0], _OUTLINE)

    def paint(self, canvas: np.ndarray, frame: int) -> None:
        """Paint one frame."""
        for line, width in zip(self.lines, self.widths, strict=True):
            stroke(canvas, line[frame], self.outline, width[frame] + 2)
        for line, width, colour in zip(
            self.lines, self.widths, self.colours, strict=True
        ):
            stroke(canvas, line[frame], colour, width[frame])


def stroke(canvas: np.ndarray, line: np.ndarray, colour: Colour, width: int) -> None:
    """One line through (N, 2) fixed-point points."""
    cv2.polylines(canvas, [line], False, colour, width, cv2.LINE_AA, SHIFT)


class Trunk:
    """Shirt from shoulders to hips: a polygon with rounded corners, and the spine."""

    def __init__(self, view: View, subject: Subject) -> None:
        build = view.motion.figure.build
        spine = [JOINT['neck'], JOINT['waist'], JOINT['pelvis']]
        left_shoulder, right_shoulder = joint_pair('shoulder')
        left_hip, right_hip = joint_pair('hip')
        self.depth = view.depth[:, spine].mean(axis=1) + _BIAS['trunk']
        corners = [left_shoulder, right_shoulder, right_hip, left_hip]
        self.hull = fixed(view.points[:, corners])
        self.spine = fixed(view.points[:, spine])
        self.edge = view.width(spine, 0.055 * build.girth).tolist()
        self.core = view.width(spine, 0.105 * build.girth).tolist()
        self.hips = fixed(view.points[:, [left_hip, right_hip]])
        self.hip_width = view.width([left_hip, right_hip], 0.085 * build.girth).tolist()
        self.colour, self.trousers = subject.top, subject.bottom

    def paint(self, canvas: np.ndarray, frame: int) -> None:
        """Paint one frame."""
        stroke(canvas, self.hips[frame], self.trousers, self.hip_width[frame])
        dark = shade(self.colour, _OUTLINE)
        for colour, grow in ((dark, 2), (self.colour, 0)):
            hull = self.hull[frame]
            cv2.polylines(
                canvas,
                [hull],
                True,
                colour,
                self.edge[frame] + grow,
                cv2.LINE_AA,
                SHIFT,
            )
            cv2.fillPoly(canvas, [hull], colour, cv2.LINE_AA, SHIFT)
            stroke(canvas, self.spine[frame], colour, self.core[frame] + grow)


class Hand:
    """Palm and five fingers."""

    def __init__(self, view: View, side: int, colour: Colour) -> None:
        start = HAND_START[side]
        joints = list(range(start, start + 21))
        self.depth = view.depth[:, joints].mean(axis=1) + _BIAS['hand']
        points = fixed(view.points[:, joints])
        self.palm = np.ascontiguousarray(points[:, [0, 1, 5, 9, 13, 17]])
        self.fingers = points[:, 1:].reshape(len(points), 5, 4, 2)
        size = view.motion.figure.build.hand
        self.width = view.width(joints, 0.0085 * size).tolist()
        self.colour, self.outline = colour, shade(colour, _OUTLINE)

    def paint(self, canvas: np.ndarray, frame: int) -> None:
        """Paint one frame."""
        palm, fingers, width = self.palm[frame], self.fingers[frame], self.width[frame]
        for colour, grow in ((self.outline, 2), (self.colour, 0)):
            cv2.fillPoly(canvas, [palm], colour, cv2.LINE_AA, SHIFT)
            cv2.polylines(
                canvas, [palm], True, colour, width + grow, cv2.LINE_AA, SHIFT
            )
            cv2.polylines(
                canvas, list(fingers), False, colour, width + grow, cv2.LINE_AA, SHIFT
            )
        if width >= 3:  # lines between fingers that lie side by side
            cv2.polylines(
                canvas, list(fingers[1:]), False, self.outline, 1, cv2.LINE_AA, SHIFT
            )


def body_parts(view: View, subject: Subject) -> list[Part]:
    """Trunk, limbs, shoes, hands and neck of a figure."""
    girth = view.motion.figure.build.girth
    parts: list[Part] = [Trunk(view, subject)]
    parts.append(
        Strokes(
            view,
            [[JOINT['neck'], JOINT['skull']]],
            [_NECK * girth],
            [shade(subject.skin, 0.9)],
            0.03,
        )
    )
    for side in range(2):
        parts += _leg_parts(view, subject, side)
        parts += _arm_parts(view, subject, side)
    return parts


def _leg_parts(view: View, subject: Subject, side: int) -> list[Part]:
    girth, cloth = view.motion.figure.build.girth, subject.bottom
    names = ('hip', 'knee', 'ankle', 'heel', 'big_toe')
    hip, knee, ankle, heel, toe = (joint_pair(n)[side] for n in names)
    return [
        Strokes(view, [[hip, knee]], [_THIGH * girth], [cloth], _BIAS['thigh']),
        Strokes(view, [[knee, ankle]], [_SHANK * girth], [cloth], 0.0),
        Strokes(view, [[heel, toe]], [_SHOE], [subject.shoes], -0.02),
    ]


def _arm_parts(view: View, subject: Subject, side: int) -> list[Part]:
    girth = view.motion.figure.build.girth
    shoulder, elbow, wrist = (
        joint_pair(n)[side] for n in ('shoulder', 'elbow', 'wrist')
    )
    lower = subject.top if subject.sleeve >= 1.0 else subject.skin
    return [
        Strokes(
            view, [[shoulder, elbow]], [_UPPER_ARM * girth], [subject.top], _BIAS['arm']
        ),
        Strokes(view, [[elbow, wrist]], [_FOREARM * girth], [lower], _BIAS['forearm']),
        Hand(view, side, subject.skin),
    ]
