"""Parts of a drawn figure and its furniture, painted one behind another."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from mmma.simulation.domains import Array, Colour, Subject, load_table
from mmma.simulation.figure import HAND_START, JOINT, OUTWARD, joint_pair
from mmma.simulation.geometry import rotate
from mmma.simulation.motion import Held, Motion

SHIFT = 4  # fractional bits of coordinates
_FAR_PX = 3000.0
_OUTLINE = 0.62  # brightness of an outline against its fill


# Something that is painted as a whole: (T,) metres from the camera, of which far ones
# come first, and what paints the frame of a number on (H, W, 3).
Part = tuple[Array, Callable[[Array, int], None]]


def fixed(points: Array) -> Array:
    """Pixels as fixed-point integers that OpenCV can draw."""
    points = np.clip(points, -_FAR_PX, _FAR_PX) * (1 << SHIFT)
    return np.ascontiguousarray(np.round(points), dtype=np.int32)


def shade(colour: Colour, factor: float) -> Colour:
    """A colour, brighter or darker."""
    r, g, b = (int(min(255, c * factor)) for c in colour)
    return r, g, b


class View:
    """A motion as the camera sees it.

    Attributes:
        points: (T, J, 2) joints, pixels.
        depth: (T, J) metres.
        scale: (T, J) pixels per metre at the joints.
    """

    def __init__(self, motion: Motion) -> None:
        self.motion = motion
        self.points, self.depth = motion.camera.project(motion.joints)
        self.scale = motion.camera.focal[:, None] / self.depth

    def width(self, joints: list[int], radius: float) -> list[int]:
        """T thicknesses in pixels of something round at some joints."""
        return _thickness(2.0 * radius * self.scale[:, joints].mean(axis=1))


def _thickness(pixels: Array) -> list[int]:
    return np.maximum(1, np.round(np.clip(pixels, 1, 400))).astype(int).tolist()


def _lines(
    canvas: Array,
    lines: Sequence[Array],
    colour: Colour,
    width: int,
    closed: bool = False,
) -> None:
    """Draw lines through (N, 2) fixed-point points."""
    cv2.polylines(canvas, lines, closed, colour, width, cv2.LINE_AA, SHIFT)


def _fill(canvas: Array, corners: Array, colour: Colour) -> None:
    cv2.fillPoly(canvas, [corners], colour, cv2.LINE_AA, SHIFT)


def _circle(
    canvas: Array, centre: list[int], radius: float, colour: Colour, width: int
) -> None:
    """Draw a circle, filled where the width is -1."""
    cv2.circle(canvas, centre, int(radius), colour, width, cv2.LINE_AA, SHIFT)


def _limb(
    view: View, joints: list[int], radius: float, colour: Colour, bias: float
) -> Part:
    """A thick outlined line with round ends; ``bias`` is added to its depth."""
    line, widths = fixed(view.points[:, joints]), view.width(joints, radius)
    dark = shade(colour, _OUTLINE)

    def paint(canvas: Array, frame: int) -> None:
        _lines(canvas, [line[frame]], dark, widths[frame] + 2)
        _lines(canvas, [line[frame]], colour, widths[frame])

    return view.depth[:, joints].mean(axis=1) + bias, paint


def _trunk(view: View, subject: Subject) -> Part:
    """Shirt from shoulders to hips: a polygon with rounded corners, and the spine."""
    girth = view.motion.figure.build.girth
    spine = [JOINT['neck'], JOINT['waist'], JOINT['pelvis']]
    hips, shoulders = joint_pair('hip'), joint_pair('shoulder')
    hull = fixed(view.points[:, [*shoulders, *hips[::-1]]])
    back, seat = fixed(view.points[:, spine]), fixed(view.points[:, hips])
    edge, core = view.width(spine, 0.055 * girth), view.width(spine, 0.105 * girth)
    seat_width = view.width(hips, 0.085 * girth)
    colours = ((shade(subject.top, _OUTLINE), 2), (subject.top, 0))

    def paint(canvas: Array, frame: int) -> None:
        _lines(canvas, [seat[frame]], subject.bottom, seat_width[frame])
        for colour, grow in colours:
            _lines(canvas, [hull[frame]], colour, edge[frame] + grow, closed=True)
            _fill(canvas, hull[frame], colour)
            _lines(canvas, [back[frame]], colour, core[frame] + grow)

    return view.depth[:, spine].mean(axis=1) + 0.13, paint


def _hand(view: View, side: int, skin: Colour) -> Part:
    """Palm and five fingers."""
    start = HAND_START[side]
    joints = list(range(start, start + 21))
    points = fixed(view.points[:, joints])
    palms = np.ascontiguousarray(points[:, [0, 1, 5, 9, 13, 17]])
    fingers = points[:, 1:].reshape(len(points), 5, 4, 2)
    widths = view.width(joints, 0.0085 * view.motion.figure.build.hand)
    dark = shade(skin, _OUTLINE)

    def paint(canvas: Array, frame: int) -> None:
        palm, width = palms[frame], widths[frame]
        for colour, grow in ((dark, 2), (skin, 0)):
            _fill(canvas, palm, colour)
            _lines(canvas, [palm], colour, width + grow, closed=True)
            _lines(canvas, list(fingers[frame]), colour, width + grow)
        if width >= 3:  # lines between fingers that lie side by side
            _lines(canvas, list(fingers[frame, 1:]), dark, 1)

    return view.depth[:, joints].mean(axis=1) - 0.02, paint


def body_parts(view: View, subject: Subject) -> list[Part]:
    """Trunk, limbs, shoes, hands and neck of a figure."""
    girth = view.motion.figure.build.girth
    sleeve = subject.top if subject.sleeve >= 1.0 else subject.skin
    # Joints, metres, colour, and a depth added for sorting: a hand on a thigh lies
    # nearer than the thigh's middle may be.
    limbs = (
        ('hip', 'knee', 0.068 * girth, subject.bottom, 0.1),
        ('knee', 'ankle', 0.05 * girth, subject.bottom, 0.0),
        ('heel', 'big_toe', 0.04, subject.shoes, -0.02),
        ('shoulder', 'elbow', 0.046 * girth, subject.top, 0.0),
        ('elbow', 'wrist', 0.036 * girth, sleeve, 0.0),
    )
    neck = [JOINT['neck'], JOINT['skull']]
    parts = [_trunk(view, subject)]
    parts.append(_limb(view, neck, 0.05 * girth, shade(subject.skin, 0.9), 0.03))
    for side in range(2):
        for start, end, radius, colour, bias in limbs:
            ends = [joint_pair(start)[side], joint_pair(end)[side]]
            parts.append(_limb(view, ends, radius, colour, bias))
        parts.append(_hand(view, side, subject.skin))
    return parts


_FIGURES = load_table('figures')
_LOCKS = {'bob': 0.10, 'long': 0.19}  # how far the hair hangs down
_EYE = 0.032


def head_part(view: View, subject: Subject, glasses: bool) -> Part:
    """A head whose face shows where it turns, with glasses or without."""
    return view.depth[:, JOINT['head']], _Head(view, subject, glasses).paint


class _Head:
    """The parts of a head over time."""

    def __init__(self, view: View, subject: Subject, glasses: bool) -> None:
        self.view, self.subject = view, subject
        figure = view.motion.figure
        self.size = figure.build.head
        self.centre = figure.joints[:, JOINT['head']]
        self.pixels = view.scale[:, JOINT['head']]
        toward = view.motion.camera.position - self.centre
        self.facing = np.einsum('ti,ti->t', toward, figure.head[:, :, 2]) > 0
        self.skull, self.hair, self.face = (
            self._ellipse(*np.array(_FIGURES['head'][k])) for k in _FIGURES['head']
        )
        lines = _FIGURES['lines'].items()
        self.lines = {k: self._points(np.array(v)) for k, v in lines}
        signs = np.array([[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
        self.eyes = self._points(signs * (_EYE, 0.018, 0.092))
        self.ears = self._points(signs * (0.080, 0.0, -0.008))
        self.temples = self._points(signs * (0.076, 0.016, 0.0))
        # (T, 2 sides, 2 ends, 2): hair that hangs down at the sides.
        length = _LOCKS.get(subject.haircut)
        ends = np.array([[0.066, 0.05, -0.03], [0.072, 0.05 - (length or 0), -0.035]])
        locks = self._points((signs[:, None] * ends).reshape(4, 3))
        self.locks = None if length is None else locks.reshape(-1, 2, 2, 2)
        self.glasses = glasses

    def _points(self, local: Array) -> Array:
        """(T, N, 2) fixed-point pixels of (N, 3) points of the head."""
        turned = rotate(self.view.motion.figure.head[:, None], local * self.size)
        return fixed(self.view.motion.camera.project(self.centre[:, None] + turned)[0])

    def _ellipse(self, axes: Array, offset: Array) -> Array:
        """(T, 5) outline of an ellipsoid: centre, semi-axes in pixels, degrees."""
        head = self.view.motion.figure.head
        centre = self.centre + rotate(head, offset * self.size)
        points = self.view.motion.camera.project(centre[:, None])[0][:, 0]
        # Rows: the ellipsoid's axes in the picture's right and down.
        seen = self.view.motion.camera.rotation[:, :2] @ (head * (axes * self.size))
        values, vectors = np.linalg.eigh(seen @ np.swapaxes(seen, 1, 2))
        radii = np.sqrt(np.maximum(values, 1e-9)) * self.pixels[:, None]
        angle = np.degrees(np.arctan2(vectors[:, 1, 0], vectors[:, 0, 0]))
        return np.column_stack([points, np.clip(radii, 0.5, 800), angle])

    def paint(self, canvas: Array, frame: int) -> None:
        """Paint one frame."""
        skin, hair = self.subject.skin, self.subject.hair
        _fill_ellipse(canvas, self.skull[frame], shade(skin, 0.62), 1.0)
        _fill_ellipse(canvas, self.skull[frame], skin, 0.0)
        width = max(1, round(0.05 * self.size * self.pixels[frame]))
        for lock in () if self.locks is None else self.locks[frame]:
            _lines(canvas, [lock], hair, width)
        if not self.facing[frame]:
            self._paint_face(canvas, frame)
        _fill_ellipse(canvas, self.hair[frame], shade(hair, 0.7), 1.0)
        _fill_ellipse(canvas, self.hair[frame], hair, 0.0)
        if self.facing[frame]:
            self._paint_face(canvas, frame)
            self._paint_features(canvas, frame)

    def _paint_face(self, canvas: Array, frame: int) -> None:
        for ear in self.ears[frame].tolist():
            radius = 0.018 * self.size * self.pixels[frame] * (1 << SHIFT)
            _circle(canvas, ear, radius, self.subject.skin, -1)
        _fill_ellipse(canvas, self.face[frame], self.subject.skin, 0.0)

    def _paint_features(self, canvas: Array, frame: int) -> None:
        thick = max(1, round(0.012 * self.pixels[frame]))
        brow, dark = self.subject.hair, shade(self.subject.skin, 0.55)
        colours = {'nose': dark, 'mouth': (150, 62, 62)}
        for name, line in self.lines.items():
            _lines(canvas, [line[frame]], colours.get(name, brow), thick)
        unit = self.size * self.pixels[frame] * (1 << SHIFT)
        for eye in self.eyes[frame].tolist():
            for radius, colour in ((0.0135, (250, 250, 250)), (0.0085, (30, 24, 22))):
                _circle(canvas, eye, radius * unit, colour, -1)
        if self.glasses:
            self._paint_glasses(canvas, frame, 0.024 * unit)

    def _paint_glasses(self, canvas: Array, frame: int, radius: float) -> None:
        colour: Colour = (20, 20, 24)
        eyes, temples = self.eyes[frame], self.temples[frame]
        for eye, temple in zip(eyes, temples, strict=True):
            _circle(canvas, eye.tolist(), radius, colour, 1)
            aside = eye + (temple - eye) * 0.45
            _lines(canvas, [np.stack([aside, temple]).astype(np.int32)], colour, 1)
        middle = eyes[0] + (eyes[1] - eyes[0]) * [[0.38], [0.62]]
        _lines(canvas, [middle.astype(np.int32)], colour, 1)


def _fill_ellipse(canvas: Array, ellipse: Array, colour: Colour, grow: float) -> None:
    x, y, a, b, angle = ellipse
    centre = fixed(np.array([x, y])).tolist()
    axes = fixed(np.array([a + grow, b + grow])).tolist()
    cv2.ellipse(canvas, centre, axes, angle, 0, 360, colour, -1, cv2.LINE_AA, SHIFT)


def _slab(
    view: View,
    corners: Array | list[list[float]],
    colour: Colour,
    width: float,
    bias: float,
    weight: Array | None = None,
) -> Part:
    """A flat polygon in space, painted in one colour where the weight is above 0.5.

    Corners are (T, N, 3) metres, or (N, 3) of what stands still, and two make a stroke;
    ``width`` is that of the rounded edge, metres; ``bias`` is added to the depth.
    """
    camera = view.motion.camera
    corners = np.broadcast_to(corners, (len(view.depth), *np.shape(corners)[-2:]))
    points, depth = camera.project(corners)
    away, points = depth.mean(axis=1), fixed(points)
    widths = _thickness(width * camera.focal / away)
    dark = shade(colour, 0.65)

    def paint(canvas: Array, frame: int) -> None:
        if weight is not None and weight[frame] < 0.5:
            return
        if len(points[frame]) == 2:
            _lines(canvas, [points[frame]], dark, widths[frame] + 2)
            _lines(canvas, [points[frame]], colour, widths[frame])
        else:
            _lines(canvas, [points[frame]], dark, widths[frame], closed=True)
            _fill(canvas, points[frame], colour)

    return away + bias, paint


def seat_parts(view: View, subject: Subject) -> list[Part]:
    """A stool or an armchair under a person who sits."""
    motion, chair = view.motion, subject.chair
    if motion.posture == 'standing':
        return []
    scale = motion.figure.build.scale
    y = motion.seat[1] - 0.085 * scale
    if motion.posture == 'armchair':
        return _armchair(view, chair, y, motion.seat[1] + 0.17 * scale)
    x, z = 0.19, 0.17
    seat = [[-x, y, -z], [x, y, -z], [x, y, z + 0.1], [-x, y, z + 0.1]]
    parts = [_slab(view, seat, chair, 0.05, 0.3)]
    for sx in (-1, 1):
        for sz in (-1, 1):
            leg = [[sx * x * 0.85, y, sz * z], [sx * x * 1.1, 0, sz * z * 1.2]]
            parts.append(_slab(view, leg, shade(chair, 0.8), 0.035, 0.35))
    return parts


def _armchair(view: View, chair: Colour, y: float, arm: float) -> list[Part]:
    """Back, seat and front at height ``y``, two arms on posts."""
    x = 0.3
    back = [[-x, y, -0.2], [x, y, -0.2], [x, y + 0.72, -0.36], [-x, y + 0.72, -0.36]]
    seat = [[-x, y, -0.2], [x, y, -0.2], [x, y, 0.42], [-x, y, 0.42]]
    front = [[-x, y, 0.42], [x, y, 0.42], [x, 0.05, 0.42], [-x, 0.05, 0.42]]
    parts = [
        _slab(view, back, chair, 0.08, 0.5),
        _slab(view, seat, shade(chair, 0.9), 0.08, 0.4),
        _slab(view, front, shade(chair, 0.8), 0.06, 0.35),
    ]
    for sign in OUTWARD:
        rest = [[sign * x, arm, -0.2], [sign * x, arm, 0.4]]
        post = [[sign * x, arm, 0.4], [sign * x, 0.05, 0.4]]
        parts.append(_slab(view, rest, chair, 0.1, 0.0))
        parts.append(_slab(view, post, chair, 0.08, 0.02))
    return parts


def object_parts(view: View, objects: list[Held]) -> list[Part]:
    """Pens, phones and cups in hands; glasses belong to the head."""
    figure, parts = view.motion.figure, []
    for kind, side, weight in objects:
        if kind in _FIGURES['objects']:
            corners, width, colour = _FIGURES['objects'][kind]
            local = np.array(corners) * figure.build.hand
            axes = np.swapaxes(figure.hands[:, side], 1, 2)
            corners = figure.joints[:, None, HAND_START[side]]
            corners = corners + local @ axes
            parts.append(_slab(view, corners, colour, width, -0.05, weight))
    return parts
