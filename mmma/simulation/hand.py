"""Hands: 21 joints from a shape of nine numbers.

Local axes of a hand: towards the fingers, out of the palm, towards the thumb.
A shape is thumb azimuth and elevation in degrees, thumb curl, curls of index, middle,
ring and little finger (0 straight, 1 closed), bend of the knuckles in degrees and
spread of the fingers.
"""

from __future__ import annotations

import numpy as np

SHAPE_SIZE = 9
CURLED = slice(2, 7)  # curls of thumb and fingers
_FINGER_CURLS = slice(3, 7)

# Metres for a person of 1.70 m; index, middle, ring, little finger.
_KNUCKLES = np.array(
    [[0.090, 0.0, 0.025], [0.093, 0.0, 0.004], [0.087, 0.0, -0.017], [0.078, 0, -0.036]]
)
_PHALANGES = np.array(
    [
        [0.045, 0.027, 0.022],
        [0.050, 0.030, 0.023],
        [0.046, 0.028, 0.022],
        [0.036, 0.021, 0.019],
    ]
)
_THUMB_ROOT = np.array([0.025, 0.008, 0.028])
_THUMB_BONES = np.array([0.045, 0.034, 0.028])
_SPREAD = np.radians([14.0, 3.0, -9.0, -20.0])
_FLEX = np.radians([78.0, 98.0, 62.0])
_THUMB_FLEX = np.radians([0.0, 45.0, 60.0])

_CONTACTS = {
    'wrist': (0.0, 0.0, 0.0),
    'palm': (0.080, 0.016, -0.003),
    'back': (0.080, -0.016, -0.003),
    'heel': (0.030, 0.018, -0.010),
    'edge': (0.060, 0.0, -0.042),
    'knuckles': (0.098, -0.012, 0.0),
}
_TIPS = {'thumb': (0,), 'index': (1,), 'middle': (2,), 'pads': (1, 2), 'pinch': (0, 1)}

CONTACTS = (*_CONTACTS, *_TIPS)


def finger_joints(shape: np.ndarray) -> np.ndarray:
    """Finger joints in hand axes.

    Args:
        shape: (..., 9) shapes.

    Returns:
        (..., 5, 4, 3): thumb to little finger, root to tip, metres from the wrist for a
        person of 1.70 m.
    """
    out = np.empty((*shape.shape[:-1], 5, 4, 3))
    _place_fingers(shape, out[..., 1:, :, :])
    _place_thumb(shape, out[..., 0, :, :])
    return out


def contact_point(touch: str, shape: np.ndarray) -> np.ndarray:
    """Where a hand of a given shape touches things.

    Args:
        touch: One of ``CONTACTS``; fingertips follow the shape.
        shape: (9,) shape.

    Returns:
        (3,) in hand axes, metres for a person of 1.70 m.
    """
    if touch in _CONTACTS:
        return np.array(_CONTACTS[touch])
    return finger_joints(shape)[list(_TIPS[touch]), 3].mean(axis=0)


def _place_fingers(shape: np.ndarray, out: np.ndarray) -> None:
    """Index to little finger: each bends in its own plane towards the palm."""
    aside = shape[..., 8:9] * _SPREAD  # (..., 4)
    bends = shape[..., _FINGER_CURLS, None] * _FLEX  # (..., 4, 3)
    bends[..., 0] += np.radians(shape[..., 7:8])
    angle = np.cumsum(bends, axis=-1)
    along = np.cos(angle) * _PHALANGES
    steps = np.empty((*angle.shape, 3))
    steps[..., 0] = along * np.cos(aside)[..., None]
    steps[..., 1] = np.sin(angle) * _PHALANGES
    steps[..., 2] = along * np.sin(aside)[..., None]
    out[..., 0, :] = _KNUCKLES
    for i in range(3):
        out[..., i + 1, :] = out[..., i, :] + steps[..., i, :]


def _place_thumb(shape: np.ndarray, out: np.ndarray) -> None:
    """The thumb turns about its root and curls across the palm."""
    azimuth, elevation = np.radians(shape[..., 0]), np.radians(shape[..., 1])
    first = np.empty((*azimuth.shape, 3))
    first[..., 0] = np.cos(azimuth) * np.cos(elevation)
    first[..., 1] = np.sin(elevation)
    first[..., 2] = np.sin(azimuth) * np.cos(elevation)
    # Perpendicular to the thumb and mostly towards the fingers.
    across = np.empty_like(first)
    across[..., 0] = np.sin(azimuth)
    across[..., 1] = 0.0
    across[..., 2] = -np.cos(azimuth)
    angle = shape[..., 2, None] * np.cumsum(_THUMB_FLEX)  # (..., 3)
    steps = np.cos(angle)[..., None] * first[..., None, :]
    steps += np.sin(angle)[..., None] * across[..., None, :]
    steps *= _THUMB_BONES[:, None]
    out[..., 0, :] = _THUMB_ROOT
    for i in range(3):
        out[..., i + 1, :] = out[..., i, :] + steps[..., i, :]
