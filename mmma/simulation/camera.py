"""Pinhole cameras: where they stand, how they shake, cut and project."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmma.simulation.domains import CameraStyle
from mmma.simulation.generators import idle_noise
from mmma.simulation.kinematics import euler_rotation

_NEAREST = 0.05  # metres; points behind the camera count as this far


@dataclass
class Camera:
    """A camera over T frames.

    Attributes:
        position: (T, 3) metres.
        rotation: (T, 3, 3), rows are right, down and forward in the picture.
        focal: (T,) focal length, pixels.
        size: Width and height of the picture, pixels.
        shot: (T,) number of the shot; it changes at a cut.
    """

    position: np.ndarray
    rotation: np.ndarray
    focal: np.ndarray
    size: tuple[int, int]
    shot: np.ndarray

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points in the picture.

        Args:
            points: (T, J, 3) metres.

        Returns:
            (T, J, 2) pixels, and (T, J) depths in metres.
        """
        seen = (points - self.position[:, None]) @ np.swapaxes(self.rotation, 1, 2)
        depth = np.maximum(seen[..., 2], _NEAREST)
        scale = self.focal[:, None] / depth
        centre = np.array(self.size) / 2.0
        return seen[..., :2] * scale[..., None] + centre, depth


def film(
    style: CameraStyle,
    size: tuple[int, int],
    centre: np.ndarray,
    time_sec: np.ndarray,
    rng: np.random.Generator,
) -> Camera:
    """A camera that films a place.

    Args:
        style: How the domain films.
        size: Width and height, pixels.
        centre: (3,) what to look at, metres.
        time_sec: (T,) seconds.
        rng: Dice.
    """
    shots = _cut(style, time_sec, rng)
    views = np.array([_draw_view(style, rng) for _ in range(shots[-1] + 1)])[shots]
    distance, height, yaw, pitch, roll, right, up = views.T
    noise = idle_noise(rng, time_sec, 3, 1.6) * np.radians(style.shake)
    pan = idle_noise(rng, time_sec, 2, 0.12) * np.radians(style.drift)
    yaw, pitch = yaw + pan[:, 0], pitch + 0.4 * pan[:, 1]
    # A frame whose columns are right, up and away from the scene.
    stand = euler_rotation(yaw, -pitch, np.zeros_like(yaw))
    look = stand @ euler_rotation(noise[:, 0], noise[:, 1], noise[:, 2] + roll)
    position = centre + distance[:, None] * stand[:, :, 2]
    position += (right * height)[:, None] * stand[:, :, 0]
    position += (up * height)[:, None] * stand[:, :, 1]
    rotation = np.swapaxes(look, 1, 2) * np.array([[1.0], [-1.0], [-1.0]])
    return Camera(position, rotation, size[1] * distance / height, size, shots)


def _cut(
    style: CameraStyle, time_sec: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(T,) number of the shot."""
    step = time_sec[1] - time_sec[0] if len(time_sec) > 1 else 1.0
    cuts = rng.random(len(time_sec)) < style.cuts_per_sec * step
    cuts[0] = False
    return np.cumsum(cuts)


def _draw_view(style: CameraStyle, rng: np.random.Generator) -> list[float]:
    side = rng.choice([-1.0, 1.0])
    return [
        rng.uniform(*style.distance),
        rng.uniform(*style.view_height),
        side * np.radians(rng.uniform(*style.yaw)),
        np.radians(rng.uniform(*style.pitch)),
        np.radians(rng.uniform(-style.roll, style.roll)),
        rng.uniform(-0.05, 0.05),
        rng.uniform(-0.03, 0.03),
    ]
