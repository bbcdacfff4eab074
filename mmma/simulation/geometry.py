"""Rotations, inverse kinematics, courses in time and cameras over arrays of frames.

Axes everywhere: x to the person's left, y up, z to the front; metres, radians.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmma.simulation.domains import Array, DomainStyle, Rng
from mmma.taxonomy import check_choice

TINY = 1e-12


def norm(vectors: Array) -> Array:
    """Lengths (...,) of vectors (..., 3)."""
    return np.sqrt(np.einsum('...i,...i->...', vectors, vectors))


def unit(vectors: Array) -> Array:
    """Vectors (..., 3) brought to length one; a zero vector stays zero."""
    return vectors / np.maximum(norm(vectors), TINY)[..., None]


def rotate(rotation: Array, vectors: Array) -> Array:
    """Rotations (..., 3, 3) applied to vectors (..., 3) that broadcast with them."""
    return np.matmul(rotation, vectors[..., None])[..., 0]


def euler_rotation(yaw: Array, pitch: Array, roll: Array) -> Array:
    """(..., 3, 3) rotation by roll, then pitch, then yaw; columns are the turned axes.

    Each is (...,): yaw about y, positive to the person's left; pitch about x, positive
    forward and down; roll about z, positive to the person's right.
    """
    cy, sy = np.cos(yaw), np.sin(yaw)
    cp, sp = np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    out = np.empty((*np.broadcast(yaw, pitch, roll).shape, 3, 3))
    out[..., 0, 0] = cy * cr + sy * sp * sr
    out[..., 0, 1] = sy * sp * cr - cy * sr
    out[..., 0, 2] = sy * cp
    out[..., 1, 0] = cp * sr
    out[..., 1, 1] = cp * cr
    out[..., 1, 2] = -sp
    out[..., 2, 0] = cy * sp * sr - sy * cr
    out[..., 2, 1] = cy * sp * cr + sy * sr
    out[..., 2, 2] = cy * cp
    return out


def axis_rotation(axis: Array, angle: Array) -> Array:
    """(..., 3, 3) rotation by (...,) angles about (..., 3) axes of any length but zero.

    Source: Rodrigues' rotation formula.
    """
    x, y, z = np.moveaxis(unit(axis), -1, 0)
    c, s = np.cos(angle), np.sin(angle)
    k = 1.0 - c
    out = np.empty((*np.broadcast(x, angle).shape, 3, 3))
    for i, a in enumerate((x, y, z)):
        out[..., i, i] = c + a * a * k
    out[..., 0, 1], out[..., 1, 0] = x * y * k - z * s, x * y * k + z * s
    out[..., 0, 2], out[..., 2, 0] = x * z * k + y * s, x * z * k - y * s
    out[..., 1, 2], out[..., 2, 1] = y * z * k - x * s, y * z * k + x * s
    return out


def direction_frame(first: Array, second: Array) -> Array:
    """Right-handed frame whose first axis is given and second is nearest to a wish.

    Both are (..., 3) directions; the columns of the (..., 3, 3) frame are its axes.
    """
    out = np.empty((*np.broadcast_shapes(first.shape, second.shape), 3))
    f = unit(first)
    dot = np.einsum('...i,...i->...', second, f)
    s = unit(second - dot[..., None] * f)
    out[..., 0] = f
    out[..., 1] = s
    # np.cross is several times slower on small arrays.
    out[..., 0, 2] = f[..., 1] * s[..., 2] - f[..., 2] * s[..., 1]
    out[..., 1, 2] = f[..., 2] * s[..., 0] - f[..., 0] * s[..., 2]
    out[..., 2, 2] = f[..., 0] * s[..., 1] - f[..., 1] * s[..., 0]
    return out


def two_bone_ik(
    root: Array, target: Array, lengths: tuple[float, float], pole: Array
) -> tuple[Array, Array]:
    """Place the middle and the end, (..., 3) each, of a chain of two bones.

    The end is the (..., 3) target where it is in reach of the (..., 3) root, else the
    nearest point of the reach on the line to it; the middle lies towards the (..., 3)
    pole. Upper and lower bone keep their lengths in any case.
    """
    upper, lower = lengths
    offset = target - root
    wished = norm(offset)
    along = offset / np.maximum(wished, TINY)[..., None]
    reach = np.clip(wished, abs(upper - lower) + 1e-9, upper + lower - 1e-9)
    foot = (upper**2 - lower**2 + reach**2) / (2.0 * reach)
    height = np.sqrt(np.maximum(upper**2 - foot**2, 0.0))
    aside = pole - np.einsum('...i,...i->...', pole, along)[..., None] * along
    middle = root + foot[..., None] * along + height[..., None] * unit(aside)
    return middle, root + reach[..., None] * along


def smoothstep(x: Array) -> Array:
    """Rise from 0 at 0 to 1 at 1 with the least jerk; constant outside.

    Source: Flash and Hogan 1985, minimum-jerk profile of a reaching hand.
    """
    x = np.clip(x, 0.0, 1.0)
    return x * x * x * (10.0 + x * (6.0 * x - 15.0))


TURN = 2.0 * np.pi


class Draw:
    """Dice of one event, with what its tracks share, so that they keep step.

    ``vigor`` is a factor of sizes, ``tempo`` one of rates.
    """

    def __init__(self, rng: Rng, vigor: float = 1.0, tempo: float = 1.0) -> None:
        self.rng, self.vigor, self.tempo = rng, vigor, tempo
        # In [0, 1): pick all rates in their ranges, and all attacks and releases;
        # common phase, turns.
        self.rate_share, self.ramp_share, self.phase = rng.random(3)

    def number(self, value: Any, share: float | None = None) -> float:
        """A number as it is; of a range ``[low, high]`` one in between."""
        if isinstance(value, (int, float)):
            return float(value)
        low, high = value
        return low + (high - low) * (self.rng.random() if share is None else share)

    def vector(self, values: Any) -> Array:
        """One number for each entry."""
        return np.array([self.number(v) for v in values])


Course = Callable[..., Array]  # of (T,) seconds since the event began


def draw_wave(spec: Any, draw: Draw) -> Course:
    """Draw the numbers of a course, a function of (T,) seconds since the event began.

    And of ``second``: true for the second limb of a pair. As ``spec`` a number or a
    range means to hold that size; else it has ``how``, ``size`` in degrees or metres
    and optional ``rate`` in cycles per second, ``phase`` in turns, ``count`` of cycles
    after which it ends, ``anti`` if the second limb moves against the first.

    Raises:
        ValueError: An unknown generator.
    """
    if not isinstance(spec, Mapping):
        spec = {'how': 'hold', 'size': spec}
    how, anti = spec['how'], bool(spec.get('anti', False))
    check_choice('generator', how, (*GENERATORS, 'wander'))
    # Held postures vary less: hands have to reach their places.
    held = how in ('hold', 'settle')
    size = draw.number(spec['size']) * draw.vigor ** (0.5 if held else 1.0)
    rate = draw.number(spec.get('rate', 1.0), draw.rate_share) * draw.tempo
    wobble = None
    if how == 'wander':
        wobble = draw.rng.random((3, 2))
        wobble[:, 0] = rate * (0.45 + 0.75 * wobble[:, 0])
    count = spec.get('count', np.inf)
    if how == 'nod' and np.isfinite(np.max(count)):
        count = round(draw.number(count))
        phase = 0.0  # whole cycles, so that the course begins and ends at rest
    else:
        phase = spec.get('phase', 0.0) + draw.phase * (how == 'oscillate')

    def course(time_sec: Array, second: bool = False) -> Array:
        against = anti and second
        if how == 'wander':
            # Smooth and irregular, about within -1 and 1.
            angle = TURN * (time_sec[:, None] * wobble[:, 0] + wobble[:, 1])
            sign = -1.0 if against else 1.0
            return sign * size * (np.sin(angle) @ np.array([0.6, 0.5, 0.4]))
        cycles = time_sec * rate
        shape = GENERATORS[how](cycles, phase + 0.5 * against)
        if np.isfinite(count):
            shape = shape * ((cycles > 0) & (cycles < count))
        return size * shape

    return course


def _settle(cycles: Array) -> Array:
    """Go beyond, then come to rest."""
    late = np.maximum(cycles, 0.0)
    return 1.0 + 0.6 * np.sin(TURN * late) * np.exp(-1.5 * late)


def _flick(cycles: Array) -> Array:
    """A small swing to one side, a large one to the other, a pause."""
    place = np.mod(cycles, 1.7)
    swing = -np.sin(TURN * place) * (place < 1.0)
    return np.where(swing < 0, 0.45 * swing, swing)


# Shapes over cycles and phase; a nod goes there and back, to one side only.
GENERATORS: dict[str, Callable[[Array, float], Array]] = {
    'hold': lambda cycles, phase: np.ones_like(cycles),
    'settle': lambda cycles, phase: _settle(cycles),
    'oscillate': lambda cycles, phase: np.sin(TURN * (cycles + phase)),
    'nod': lambda cycles, phase: 0.5 - 0.5 * np.cos(TURN * (cycles + phase)),
    'flick': lambda cycles, phase: _flick(cycles),
}


# Weight of an event in time: second at which its rise begins and the length of it,
# second at which its fall ends and the length of that.
Ramp = tuple[float, float, float, float]


def ramp_weight(ramp: Ramp, time_sec: Array) -> Array:
    """(T,) weights in [0, 1] at (T,) seconds of the clip."""
    start_sec, attack, end_sec, release = ramp
    rise = smoothstep((time_sec - start_sec) / attack)
    return rise * smoothstep((end_sec - time_sec) / release)


def idle_noise(rng: Rng, time_sec: Array, channels: int, rate: float) -> Array:
    """(T, C) smooth noise of about unit size; ``rate`` is typical cycles per second."""
    rates = rate * rng.uniform(0.3, 1.6, (3, channels))
    phases = rng.random((3, channels))
    out = np.zeros((len(time_sec), channels))
    for r, p, weight in zip(rates, phases, (0.9, 0.7, 0.5), strict=True):
        out += weight * np.sin(TURN * (time_sec[:, None] * r + p))
    return out


_NEAREST = 0.05  # metres; points behind the camera count as this far


@dataclass
class Camera:
    """A camera over T frames."""

    position: Array  # (T, 3) metres
    rotation: Array  # (T, 3, 3), rows are right, down and forward in the picture
    focal: Array  # (T,) focal length, pixels
    size: tuple[int, int]  # width and height of the picture, pixels
    shot: Array  # (T,) number of the shot; it changes at a cut

    def project(self, points: Array) -> tuple[Array, Array]:
        """(T, J, 3) points in metres -> (T, J, 2) pixels, (T, J) depths in metres."""
        seen = (points - self.position[:, None]) @ np.swapaxes(self.rotation, 1, 2)
        depth = np.maximum(seen[..., 2], _NEAREST)
        scale = self.focal[:, None] / depth
        centre = np.array(self.size) / 2.0
        return seen[..., :2] * scale[..., None] + centre, depth


def film(style: DomainStyle, centre: Array, time_sec: Array, rng: Rng) -> Camera:
    """Place a camera that films a (3,) centre over (T,) seconds as the domain does."""
    step = time_sec[1] - time_sec[0] if len(time_sec) > 1 else 1.0
    cuts = rng.random(len(time_sec)) < style.cuts_per_sec * step
    cuts[0] = False
    shots = np.cumsum(cuts)
    views = np.array([_draw_view(style, rng) for _ in range(shots[-1] + 1)])[shots]
    distance, height, yaw, pitch, roll, right, up = views.T
    noise = idle_noise(rng, time_sec, 3, 1.6) * np.radians(style.shake)
    pan = idle_noise(rng, time_sec, 2, 0.12) * np.radians(style.pan)
    yaw, pitch = yaw + pan[:, 0], pitch + 0.4 * pan[:, 1]
    # A frame whose columns are right, up and away from the scene.
    stand = euler_rotation(yaw, -pitch, np.zeros_like(yaw))
    look = stand @ euler_rotation(noise[:, 0], noise[:, 1], noise[:, 2] + roll)
    position = centre + distance[:, None] * stand[:, :, 2]
    position += (right * height)[:, None] * stand[:, :, 0]
    position += (up * height)[:, None] * stand[:, :, 1]
    rotation = np.swapaxes(look, 1, 2) * np.array([[1.0], [-1.0], [-1.0]])
    focal = style.size[1] * distance / height
    return Camera(position, rotation, focal, style.size, shots)


def _draw_view(style: DomainStyle, rng: Rng) -> list[float]:
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
