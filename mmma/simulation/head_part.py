"""The drawn head: hair, face, eyes, brows, nose, mouth, glasses."""

from __future__ import annotations

import cv2
import numpy as np

from mmma.simulation.body import JOINT
from mmma.simulation.figure_parts import SHIFT, View, fixed, shade, stroke
from mmma.simulation.kinematics import rotate
from mmma.simulation.subjects import Colour, Subject

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
