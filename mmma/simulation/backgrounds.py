"""What is behind the figure: a wall, a room, a street, a set."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from mmma.simulation.camera import Camera
from mmma.simulation.subjects import Colour

_MARGIN = 0.35  # of the picture, on each side, for cameras that move
_WALL_DEPTH = -1.0  # metres, where the floor meets the wall
_PASSERS = 4


class Background:
    """A still picture, larger than the frame, that slides when the camera turns.

    Args:
        kind: ``wall``, ``room``, ``street`` or ``set``.
        camera: Who films.
        rng: Dice.
    """

    def __init__(self, kind: str, camera: Camera, rng: np.random.Generator) -> None:
        self.size = camera.size
        self.margin = np.round(np.array(camera.size) * _MARGIN).astype(int)
        self.shots = camera.shot
        firsts = np.flatnonzero(np.diff(camera.shot, prepend=-1))
        self.pictures = [self._picture(kind, camera, int(i), rng) for i in firsts]
        shift = _slide(camera, firsts[camera.shot])
        origins = np.round(self.margin - shift).astype(int)
        self.origins = np.clip(origins, 0, 2 * self.margin).tolist()
        self.passers = draw_passers(camera, rng) if kind == 'street' else None

    def frame(self, index: int) -> np.ndarray:
        """(H, W, 3) a fresh copy for one frame."""
        width, height = self.size
        x, y = self.origins[index]
        picture = self.pictures[self.shots[index]]
        canvas = picture[y : y + height, x : x + width].copy()
        if self.passers is not None:
            for corners, colour in self.passers:
                cv2.rectangle(canvas, *corners[index], colour, -1)
        return canvas

    def _picture(
        self, kind: str, camera: Camera, frame: int, rng: np.random.Generator
    ) -> np.ndarray:
        width, height = (np.array(self.size) + 2 * self.margin).tolist()
        floor = _floor_line(camera, frame) + self.margin[1]
        canvas = np.zeros((height, width, 3), np.uint8)
        _PAINTERS[kind](canvas, int(np.clip(floor, 0, height)), rng)
        return canvas


def _slide(camera: Camera, since: np.ndarray) -> np.ndarray:
    """(T, 2) pixels by which far things have moved since a frame of the same shot."""
    ahead = camera.rotation[since, 2]
    seen = np.einsum('tij,tj->ti', camera.rotation, ahead)
    return camera.focal[:, None] * seen[:, :2] / np.maximum(seen[:, 2:], 0.2)


def _floor_line(camera: Camera, frame: int) -> float:
    """Height in the picture at which the floor meets the wall, pixels."""
    point = np.array([0.0, 0.0, _WALL_DEPTH]) - camera.position[frame]
    _, down, ahead = camera.rotation[frame] @ point
    return camera.size[1] / 2 + camera.focal[frame] * down / max(ahead, 0.3)


def draw_passers(
    camera: Camera, rng: np.random.Generator
) -> list[tuple[list[tuple[list[int], list[int]]], Colour]]:
    """People and cars that cross a street, as corners of rectangles per frame."""
    frames = len(camera.shot)
    width, height = camera.size
    passers = []
    for _ in range(_PASSERS):
        size = np.array(
            [rng.uniform(0.06, 0.4) * width, rng.uniform(0.18, 0.4) * height]
        )
        speed = rng.choice([-1, 1]) * rng.uniform(0.4, 2.4) * width / 90
        x = np.mod(rng.uniform(0, 2 * width) + speed * np.arange(frames), 2 * width)
        y = np.full(frames, rng.uniform(0.45, 0.6) * height)
        low = np.stack([x - 0.5 * width, y], axis=1)
        corners = np.stack([low, low + size], axis=1).astype(int).tolist()
        passers.append((corners, _grey(rng, 50, 190, 28)))
    return passers


def _grey(rng: np.random.Generator, low: int, high: int, tint: int) -> Colour:
    value = rng.integers(low, high) + rng.integers(-tint, tint + 1, 3)
    r, g, b = (int(v) for v in np.clip(value, 0, 255))
    return r, g, b


def _fade(canvas: np.ndarray, top: Colour, bottom: Colour) -> None:
    """Fill from one colour at the top to another at the bottom."""
    share = np.linspace(0.0, 1.0, len(canvas))[:, None]
    rows = (1 - share) * np.array(top) + share * np.array(bottom)
    canvas[:] = rows[:, None].astype(np.uint8)


def _paint_wall(canvas: np.ndarray, floor: int, rng: np.random.Generator) -> None:
    """A plain light wall and a grey floor."""
    light = _grey(rng, 205, 228, 6)
    _fade(canvas[:floor], light, tuple(c - 14 for c in light))
    dark = _grey(rng, 128, 150, 5)
    _fade(canvas[floor:], dark, tuple(c + 22 for c in dark))
    canvas[max(floor - 4, 0) : floor] = 110


def _paint_room(canvas: np.ndarray, floor: int, rng: np.random.Generator) -> None:
    """A wall with a door or a picture, a shelf, a dark floor."""
    height, width = canvas.shape[:2]
    wall = _grey(rng, 120, 175, 18)
    _fade(canvas[:floor], wall, tuple(max(c - 40, 0) for c in wall))
    canvas[floor:] = _grey(rng, 60, 100, 12)
    for _ in range(3):
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0.1, 0.5) * height)
        box = (
            x,
            y,
            int(rng.uniform(0.08, 0.2) * width),
            int(rng.uniform(0.15, 0.4) * height),
        )
        cv2.rectangle(canvas, box, _grey(rng, 70, 170, 25), -1)
        cv2.rectangle(canvas, box, (60, 50, 45), 2)


def _paint_street(canvas: np.ndarray, floor: int, rng: np.random.Generator) -> None:
    """Sky, house fronts with windows, a pavement."""
    height, width = canvas.shape[:2]
    ground = min(floor, int(0.72 * height))
    _fade(canvas[:ground], (186, 208, 232), (222, 228, 232))
    x = 0
    while x < width:
        wide = int(rng.uniform(0.08, 0.22) * width) + 4
        top = int(rng.uniform(0.02, 0.4) * ground)
        cv2.rectangle(canvas, (x, top), (x + wide, ground), _grey(rng, 90, 190, 14), -1)
        glass = _grey(rng, 60, 120, 12)
        step = max(wide // 4, 6)
        for wx in range(x + step // 2, x + wide - step // 2, step):
            for wy in range(top + step // 2, ground - step, step):
                cv2.rectangle(canvas, (wx, wy, step // 2, step // 2), glass, -1)
        x += wide
    _fade(canvas[ground:], (120, 120, 122), (162, 160, 158))


def _paint_set(canvas: np.ndarray, floor: int, rng: np.random.Generator) -> None:
    """Blurred colours, as behind a face filmed with a long lens."""
    canvas[:] = _grey(rng, 40, 130, 14)
    height, width = canvas.shape[:2]
    for _ in range(14):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        radius = int(rng.uniform(0.05, 0.25) * width)
        cv2.circle(canvas, centre, radius, _grey(rng, 30, 170, 22), -1)
    blur = max(3, width // 16) | 1
    cv2.blur(canvas, (blur, blur), dst=canvas)


_PAINTERS: dict[str, Callable[[np.ndarray, int, np.random.Generator], None]] = {
    'wall': _paint_wall,
    'room': _paint_room,
    'street': _paint_street,
    'set': _paint_set,
}
