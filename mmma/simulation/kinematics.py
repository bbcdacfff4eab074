"""Rotations, frames and two-bone inverse kinematics over arrays of frames.

Axes everywhere: x to the person's left, y up, z to the front; metres, radians.
"""

from __future__ import annotations

import numpy as np

TINY = 1e-12


def norm(vectors: np.ndarray) -> np.ndarray:
    """Lengths (...,) of vectors (..., 3)."""
    return np.sqrt(np.einsum('...i,...i->...', vectors, vectors))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) brought to length one; a zero vector stays zero."""
    return vectors / np.maximum(norm(vectors), TINY)[..., None]


def rotate(rotation: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) applied to vectors (..., 3) that broadcast with them."""
    return np.matmul(rotation, vectors[..., None])[..., 0]


def euler_rotation(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Rotation by roll, then pitch, then yaw.

    Args:
        yaw: (...,) about y; positive turns to the person's left.
        pitch: (...,) about x; positive bends forward and down.
        roll: (...,) about z; positive leans to the person's right.

    Returns:
        (..., 3, 3), columns are the turned x, y, z axes.
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


def axis_rotation(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotation by an angle about an axis.

    Args:
        axis: (..., 3), any length but zero.
        angle: (...,).

    Returns:
        (..., 3, 3).

    Source: Rodrigues' rotation formula.
    """
    x, y, z = np.moveaxis(unit(axis), -1, 0)
    c, s = np.cos(angle), np.sin(angle)
    k = 1.0 - c
    out = np.empty((*np.broadcast(x, angle).shape, 3, 3))
    out[..., 0, 0], out[..., 1, 1], out[..., 2, 2] = (
        c + x * x * k,
        c + y * y * k,
        c + z * z * k,
    )
    out[..., 0, 1], out[..., 1, 0] = x * y * k - z * s, x * y * k + z * s
    out[..., 0, 2], out[..., 2, 0] = x * z * k + y * s, x * z * k - y * s
    out[..., 1, 2], out[..., 2, 1] = y * z * k - x * s, y * z * k + x * s
    return out


def direction_frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Right-handed frame whose first axis is given and second is nearest to a wish.

    Args:
        first: (..., 3) direction of the first axis.
        second: (..., 3) wished direction of the second; made perpendicular.

    Returns:
        (..., 3, 3), columns are the axes.
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
    root: np.ndarray,
    target: np.ndarray,
    lengths: tuple[float, float],
    pole: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Place the middle and the end of a two-bone chain.

    The end is the target where it is in reach, else the nearest point of the reach on
    the line to it. Bones keep their lengths in any case.

    Args:
        root: (..., 3) shoulders or hips.
        target: (..., 3) where wrists or ankles should be.
        lengths: Upper and lower bone.
        pole: (..., 3) direction towards which elbow or knee points.

    Returns:
        Middle and end, both (..., 3).
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


def smoothstep(x: np.ndarray) -> np.ndarray:
    """Rise from 0 at 0 to 1 at 1 with the least jerk; constant outside.

    Source: Flash and Hogan 1985, minimum-jerk profile of a reaching hand.
    """
    x = np.clip(x, 0.0, 1.0)
    return x * x * x * (10.0 + x * (6.0 * x - 15.0))
