"""Places that a hand can go to, and the axes in which directions are given there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mmma.simulation.body import JOINT, OUTWARD, Figure, joint_pair
from mmma.simulation.kinematics import direction_frame, rotate
from mmma.simulation.programs import load_table

ON_ARMS = ('forearm', 'upper_arm', 'hand')  # known only once the arms are placed
_LIMBS = {
    'thigh': ('hip', 'knee'),
    'shank': ('knee', 'ankle'),
    'foot': ('heel', 'big_toe'),
    'forearm': ('elbow', 'wrist'),
    'upper_arm': ('shoulder', 'elbow'),
}


class Place(NamedTuple):
    """A place in the data files, with its side.

    Attributes:
        part: What it moves with.
        side: 0 left, 1 right.
        along: Share of the way down a limb.
        at: (3,) outward, up, forward of it; metres for a person of 1.70 m.
    """

    part: str
    side: int
    along: float
    at: np.ndarray


def find_place(name: str, side: int, posture: str) -> Place:
    """Look a place up.

    Args:
        name: Place, of the other side with ``.other`` behind it.
        side: Side of the hand that goes there.
        posture: Some places lie elsewhere when standing.
    """
    name, _, which = name.partition('.')
    entry: dict[str, Any] = load_table('places')[name]
    at = entry['at']
    if posture == 'standing':
        at = entry.get('standing', at)
    other = which == 'other' or entry['part'] in ON_ARMS
    place_side = 1 - side if other else side
    return Place(entry['part'], place_side, entry.get('along', 0.0), np.array(at))


def locate(
    figure: Figure, place: Place, side: int, frames: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Where a place is.

    Args:
        figure: Posed as far as the place needs.
        place: The place.
        side: Side of the hand that goes there; outward is its outward.
        frames: Which frames, T of them.

    Returns:
        (T, 3) positions and (T, 3, 3) axes, columns outward, up, forward.
    """
    origin, axes = part_frame(figure, place.part, place.side, side, frames)
    if place.part in _LIMBS:
        start, end = _limb(figure, place.part, place.side, frames)
        origin = start + place.along * (end - start)
    scale = figure.build.head if place.part == 'head' else figure.build.scale
    at = place.at * scale
    if place.side != side and place.part in ('head', 'chest', 'pelvis'):
        at = at * (-1.0, 1.0, 1.0)
    return origin + rotate(axes, at), axes


def part_frame(
    figure: Figure, part: str, part_side: int, side: int, frames: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Origin (T, 3) and axes (T, 3, 3) of a body part, for a hand of some side."""
    joints = figure.joints[frames]
    if part in ('head', 'chest', 'pelvis'):
        origin = joints[:, JOINT['neck' if part == 'chest' else part]]
        axes = getattr(figure, part)[frames]
        return origin, axes * np.array([OUTWARD[side], 1.0, 1.0])
    if part == 'hand':
        axes = figure.hands[frames, part_side]
        # Thumb, back of the hand, fingers stand for outward, up, forward.
        axes = axes[..., [2, 1, 0]] * np.array([1.0, -1.0, 1.0])
        return joints[:, joint_pair('wrist')[part_side]], axes
    return _limb_frame(figure, part, part_side, side, frames)


def _limb(
    figure: Figure, part: str, side: int, frames: slice
) -> tuple[np.ndarray, np.ndarray]:
    start, end = (joint_pair(name)[side] for name in _LIMBS[part])
    return figure.joints[frames, start], figure.joints[frames, end]


def _limb_frame(
    figure: Figure, part: str, part_side: int, side: int, frames: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Forward runs down the limb, up is its front or upper side."""
    start, end = _limb(figure, part, part_side, frames)
    trunk = figure.pelvis if part in ('thigh', 'shank', 'foot') else figure.chest
    if part == 'upper_arm':
        wish = trunk[frames, :, 2] + OUTWARD[part_side] * trunk[frames, :, 0]
    elif part == 'foot':
        wish = trunk[frames, :, 1]
    else:
        wish = trunk[frames, :, 1] + trunk[frames, :, 2]
    axes = direction_frame(end - start, wish)
    out = np.empty_like(axes)
    out[..., 0] = -OUTWARD[side] * axes[..., 2]
    out[..., 1] = axes[..., 1]
    out[..., 2] = axes[..., 0]
    return start, out
