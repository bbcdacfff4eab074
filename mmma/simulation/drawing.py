"""Drawing the figure and the furniture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from mmma.simulation.domains import Colour, Subject
from mmma.simulation.figure import HAND_START, JOINT, OUTWARD, joint_pair
from mmma.simulation.geometry import rotate
from mmma.simulation.motion import Held, Motion

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


# Semi-axes (3,) and centres (3,): left, up, forward; metres of an average head.
_SKULL = (np.array([0.079, 0.112, 0.097]), np.array([0.0, 0.006, -0.004]))
_HAIR = (np.array([0.086, 0.100, 0.098]), np.array([0.0, 0.030, -0.018]))
_FACE = (np.array([0.068, 0.096, 0.070]), np.array([0.0, -0.018, 0.036]))
_LOCKS = {'bob': 0.10, 'long': 0.19}  # how far the hair hangs down
_EYE = 0.032
# Features of the face as lines through points, on one side or in the middle.
_LINES = {
    'left_brow': [[0.018, 0.044, 0.094], [0.034, 0.050, 0.092], [0.050, 0.044, 0.082]],
    'right_brow': [
        [-0.018, 0.044, 0.094],
        [-0.034, 0.050, 0.092],
        [-0.050, 0.044, 0.08],
    ],
    'nose': [[0.004, 0.020, 0.102], [0.0, -0.016, 0.122], [0.014, -0.026, 0.104]],
    'mouth': [[-0.026, -0.058, 0.092], [0.0, -0.061, 0.105], [0.026, -0.058, 0.092]],
}


class Head:
    """A head whose face shows where it turns.

    Args:
        view: The scene.
        subject: Colours and haircut.
        glasses: (T,) weight of the glasses.
    """

    def __init__(self, view: View, subject: Subject, glasses: np.ndarray) -> None:
        self.view, self.subject = view, subject
        figure = view.motion.figure
        self.size = figure.build.head
        self.centre = figure.joints[:, JOINT['head']]
        self.depth = view.depth[:, JOINT['head']]
        self.pixels = view.scale[:, JOINT['head']]
        toward = view.motion.camera.position - self.centre
        self.facing = np.einsum('ti,ti->t', toward, figure.head[:, :, 2]) > 0
        self.skull = self._ellipse(*_SKULL)
        self.hair = self._ellipse(*_HAIR)
        self.face = self._ellipse(*_FACE)
        self.lines = {k: self._points(np.array(v)) for k, v in _LINES.items()}
        signs = np.array([[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
        self.eyes = self._points(signs * (_EYE, 0.018, 0.092))
        self.ears = self._points(signs * (0.080, 0.0, -0.008))
        self.temples = self._points(signs * (0.076, 0.016, 0.0))
        self.locks = self._lock_points(signs)
        self.glasses = glasses

    def _points(self, local: np.ndarray) -> np.ndarray:
        """(T, N, 2) fixed-point pixels of (N, 3) points of the head."""
        turned = rotate(self.view.motion.figure.head[:, None], local * self.size)
        return fixed(self.view.project(self.centre[:, None] + turned))

    def _lock_points(self, signs: np.ndarray) -> np.ndarray | None:
        """(T, 2 sides, 2 ends, 2): hair that hangs down at the sides."""
        length = _LOCKS.get(self.subject.haircut)
        if length is None:
            return None
        ends = np.array([[0.066, 0.05, -0.03], [0.072, 0.05 - length, -0.035]])
        points = self._points((signs[:, None] * ends).reshape(4, 3))
        return points.reshape(-1, 2, 2, 2)

    def _ellipse(self, axes: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """Outline of an ellipsoid in the picture.

        Returns:
            (T, 5): centre, semi-axes in pixels, angle in degrees.
        """
        head = self.view.motion.figure.head
        centre = self.centre + rotate(head, offset * self.size)
        points = self.view.project(centre[:, None])[:, 0]
        # Rows: the ellipsoid's axes in the picture's right and down.
        seen = self.view.motion.camera.rotation[:, :2] @ (head * (axes * self.size))
        values, vectors = np.linalg.eigh(seen @ np.swapaxes(seen, 1, 2))
        radii = np.sqrt(np.maximum(values, 1e-9)) * self.pixels[:, None]
        angle = np.degrees(np.arctan2(vectors[:, 1, 0], vectors[:, 0, 0]))
        return np.column_stack([points, np.clip(radii, 0.5, 800), angle])

    def paint(self, canvas: np.ndarray, frame: int) -> None:
        """Paint one frame."""
        skin, hair = self.subject.skin, self.subject.hair
        thick = max(1, round(0.012 * self.pixels[frame]))
        _fill_ellipse(canvas, self.skull[frame], shade(skin, 0.62), 1.0)
        _fill_ellipse(canvas, self.skull[frame], skin, 0.0)
        self._paint_locks(canvas, frame)
        if not self.facing[frame]:
            self._paint_face(canvas, frame, thick)
        _fill_ellipse(canvas, self.hair[frame], shade(hair, 0.7), 1.0)
        _fill_ellipse(canvas, self.hair[frame], hair, 0.0)
        if self.facing[frame]:
            self._paint_face(canvas, frame, thick)

    def _paint_locks(self, canvas: np.ndarray, frame: int) -> None:
        if self.locks is None:
            return
        width = max(1, round(0.05 * self.size * self.pixels[frame]))
        for lock in self.locks[frame]:
            stroke(canvas, lock, self.subject.hair, width)

    def _paint_face(self, canvas: np.ndarray, frame: int, thick: int) -> None:
        skin = self.subject.skin
        dark = shade(skin, 0.55)
        for ear in self.ears[frame]:
            radius = int(0.018 * self.size * self.pixels[frame] * (1 << SHIFT))
            cv2.circle(canvas, ear.tolist(), radius, skin, -1, cv2.LINE_AA, SHIFT)
        _fill_ellipse(canvas, self.face[frame], skin, 0.0)
        if not self.facing[frame]:
            return
        stroke(canvas, self.lines['left_brow'][frame], self.subject.hair, thick)
        stroke(canvas, self.lines['right_brow'][frame], self.subject.hair, thick)
        stroke(canvas, self.lines['nose'][frame], dark, thick)
        stroke(canvas, self.lines['mouth'][frame], (150, 62, 62), thick)
        self._paint_eyes(canvas, frame)

    def _paint_eyes(self, canvas: np.ndarray, frame: int) -> None:
        unit = self.size * self.pixels[frame] * (1 << SHIFT)
        for eye in self.eyes[frame].tolist():
            for radius, colour in ((0.0135, (250, 250, 250)), (0.0085, (30, 24, 22))):
                cv2.circle(
                    canvas, eye, int(radius * unit), colour, -1, cv2.LINE_AA, SHIFT
                )
        if self.glasses[frame] > 0.3:
            self._paint_glasses(canvas, frame, int(0.024 * unit))

    def _paint_glasses(self, canvas: np.ndarray, frame: int, radius: int) -> None:
        colour: Colour = (20, 20, 24)
        eyes, temples = self.eyes[frame], self.temples[frame]
        for eye, temple in zip(eyes, temples, strict=True):
            cv2.circle(canvas, eye.tolist(), radius, colour, 1, cv2.LINE_AA, SHIFT)
            aside = eye + (temple - eye) * 0.45
            stroke(canvas, np.stack([aside, temple]).astype(np.int32), colour, 1)
        middle = eyes[0] + (eyes[1] - eyes[0]) * [[0.38], [0.62]]
        stroke(canvas, middle.astype(np.int32), colour, 1)


def _fill_ellipse(
    canvas: np.ndarray, ellipse: np.ndarray, colour: Colour, grow: float
) -> None:
    x, y, a, b, angle = ellipse
    centre = fixed(np.array([x, y])).tolist()
    axes = fixed(np.array([a + grow, b + grow])).tolist()
    cv2.ellipse(canvas, centre, axes, angle, 0, 360, colour, -1, cv2.LINE_AA, SHIFT)


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
