"""The three-dimensional figure: bone lengths, joints, hands, forward kinematics.

Arrays have T frames first; a pair of sides is (left, right). Axes of a hand: towards
the fingers, out of the palm, towards the thumb. Its shape is nine numbers: thumb
azimuth and elevation in degrees, thumb curl, curls of index, middle, ring and little
finger (0 straight, 1 closed), bend of the knuckles in degrees, spread of the fingers.
"""

from dataclasses import dataclass

import numpy as np

from mmma.data.joints import WHOLEBODY65
from mmma.simulation.domains import Array, Subject, load_table
from mmma.simulation.geometry import (
    direction_frame,
    euler_rotation,
    rotate,
    two_bone_ik,
)

SHAPE_SIZE = 9
CURLED = slice(2, 7)  # curls of thumb and fingers

_FIGURES = load_table('figures')
_HAND = {key: np.array(rows) for key, rows in _FIGURES['hand'].items()}
_CONTACTS, _TIPS = _FIGURES['contacts'], _FIGURES['tips']
CONTACTS = (*_CONTACTS, *_TIPS)


def finger_joints(shape: Array) -> Array:
    """(..., 5, 4, 3) finger joints of (..., 9) shapes, in hand axes.

    Thumb to little finger, root to tip; metres from the wrist for a person of 1.70 m.
    """
    bones = np.empty((*shape.shape[:-1], 5, 4, 3))
    bones[..., 0, 0, :], bones[..., 1:, 0, :] = _HAND['thumb_root'], _HAND['knuckles']
    bones[..., 0, 1:, :], bones[..., 1:, 1:, :] = _thumb(shape), _fingers(shape)
    return bones.cumsum(axis=-2)


def contact_point(touch: str, shape: Array) -> Array:
    """(3,) point at which a hand of a (9,) shape touches things, by ``CONTACTS``.

    In hand axes, metres for a person of 1.70 m; fingertips follow the shape.
    """
    if touch in _CONTACTS:
        return np.array(_CONTACTS[touch])
    return finger_joints(shape)[_TIPS[touch], 3].mean(axis=0)


def _fingers(shape: Array) -> Array:
    """(..., 4, 3, 3) bones: each finger bends in its own plane towards the palm."""
    aside = shape[..., 8:9] * np.radians(_HAND['spread'])  # (..., 4)
    bends = shape[..., 3:7, None] * np.radians(_HAND['flex'])  # (..., 4, 3)
    bends[..., 0] += np.radians(shape[..., 7:8])
    angle = np.cumsum(bends, axis=-1)
    along = np.cos(angle) * _HAND['phalanges']
    forward, outward = np.cos(aside)[..., None], np.sin(aside)[..., None]
    down = np.sin(angle) * _HAND['phalanges']
    return np.stack([along * forward, down, along * outward], axis=-1)


def _thumb(shape: Array) -> Array:
    """(..., 3, 3) bones: the thumb turns about its root and curls across the palm."""
    azimuth, elevation = np.radians(shape[..., 0]), np.radians(shape[..., 1])
    ahead, aside, flat = np.cos(azimuth), np.sin(azimuth), np.cos(elevation)
    first = np.stack([ahead * flat, np.sin(elevation), aside * flat], axis=-1)
    # Perpendicular to the thumb and mostly towards the fingers.
    across = np.stack([aside, np.zeros_like(aside), -ahead], axis=-1)
    flex = np.cumsum(np.radians(_HAND['thumb_flex']))
    angle = shape[..., 2, None] * flex  # (..., 3)
    steps = np.cos(angle)[..., None] * first[..., None, :]
    steps += np.sin(angle)[..., None] * across[..., None, :]
    return steps * _HAND['thumb_bones'][:, None]


REFERENCE_HEIGHT = 1.70
SIDES = ('left', 'right')
OUTWARD = np.array([1.0, -1.0])  # x that points away from the body, per side

EXTRA_JOINTS = ('pelvis', 'waist', 'neck', 'skull', 'head')
JOINTS = (*WHOLEBODY65.names, *EXTRA_JOINTS)
JOINT = {name: i for i, name in enumerate(JOINTS)}


def joint_pair(part: str) -> list[int]:
    """Indices of the left and the right joint of a name without its side."""
    return [JOINT[f'{side}_{part}'] for side in SIDES]


HAND_START = joint_pair('hand_root')


class Build:
    """Bone lengths and sizes of one person, metres or factors of an average person.

    Those of ``build`` in ``figures.json``, and ``scale``, the factor of the height.

    Source: segment lengths as shares of height, Drillis and Contini 1966, rounded.
    """

    def __init__(self, subject: Subject) -> None:
        self.scale = subject.height / REFERENCE_HEIGHT
        for name, (length, factor) in _FIGURES['build'].items():
            own = getattr(subject, factor) if factor else 1.0
            setattr(self, name, length * self.scale * own)


@dataclass
class Figure:
    """A posed figure."""

    build: Build  # bone lengths
    joints: Array  # (T, J, 3) in the order of JOINTS, metres
    pelvis: Array  # (T, 3, 3) orientation of the pelvis
    chest: Array  # (T, 3, 3) of the chest
    head: Array  # (T, 3, 3) of the head
    # (T, 2, 3, 3), columns towards fingers, out of the palm, towards thumb
    hands: Array


def pose_trunk(
    build: Build,
    base: Array,
    pelvis: Array,
    chest: Array,
    head: Array,
    thrust: Array,
    shoulders: Array,
) -> Figure:
    """Pelvis, spine, head with face, shoulders and hips; limbs are not placed yet.

    Args are (T, 3): ``base`` where the pelvis is, metres; yaw, pitch, roll of pelvis,
    of chest against pelvis, of head against chest, radians; (T,) ``thrust`` of the head
    forward, radians at the neck; (T, 2, 2) lift and forward turn of each shoulder.
    """
    joints = np.zeros((len(base), len(JOINTS), 3))
    pelvis_axes = euler_rotation(*pelvis.T)
    chest_axes = pelvis_axes @ euler_rotation(*chest.T)
    bend, rest = head * 0.35, head * 0.65
    bend[:, 1] += thrust
    rest[:, 1] -= thrust
    neck_axes = chest_axes @ euler_rotation(*bend.T)
    head_axes = neck_axes @ euler_rotation(*rest.T)
    waist = base + build.waist * pelvis_axes[:, :, 1]
    neck = waist + build.back * chest_axes[:, :, 1]
    skull = neck + build.neck * neck_axes[:, :, 1]
    head = skull + rotate(head_axes, build.skull * np.array([0.0, 0.985, 0.17]))
    spine = np.stack([base, waist, neck, skull, head], axis=1)
    joints[:, [JOINT[name] for name in EXTRA_JOINTS]] = spine
    across = build.hip * OUTWARD[:, None] * pelvis_axes[:, None, :, 0]
    joints[:, joint_pair('hip')] = base[:, None] + across
    hands = np.zeros((len(base), 2, 3, 3))
    figure = Figure(build, joints, pelvis_axes, chest_axes, head_axes, hands)
    # Collar bones turn about the base of the neck, so that they keep their length.
    lift, forward = shoulders[..., 0] - 0.1, shoulders[..., 1]
    aside = OUTWARD * np.cos(lift) * np.cos(forward)
    ahead = np.cos(lift) * np.sin(forward)
    local = np.stack([aside, np.sin(lift), ahead], axis=-1)  # (T, 2, 3)
    offset = build.shoulder * rotate(chest_axes[:, None], local)
    joints[:, joint_pair('shoulder')] = neck[:, None] + offset
    face = _FIGURES['face']
    points = np.array(list(face.values())) * build.head
    offsets = points @ np.swapaxes(head_axes, 1, 2)
    joints[:, [JOINT[n] for n in face]] = joints[:, None, JOINT['head']] + offsets
    return figure


def pose_legs(figure: Figure, ankles: Array, poles: Array, feet: Array) -> None:
    """Place legs and feet of a figure.

    Args are (T, 2, 3): where the ankles should be, where the knees point, and yaw,
    pitch, roll of the feet in radians.
    """
    build, joints = figure.build, figure.joints
    knees, ankles = two_bone_ik(
        joints[:, joint_pair('hip')], ankles, (build.thigh, build.shank), poles
    )
    joints[:, joint_pair('knee')] = knees
    joints[:, joint_pair('ankle')] = ankles
    rotation = euler_rotation(*np.moveaxis(feet, -1, 0))
    for part, offset in _FIGURES['foot'].items():
        local = np.tile(offset, (2, 1)) * build.scale
        local[:, 0] *= OUTWARD
        joints[:, joint_pair(part)] = ankles + rotate(rotation, local)


def pose_arms(figure: Figure, wrists: Array, poles: Array) -> None:
    """Place elbows and wrists: (T, 2, 3) where these should be and those point."""
    joints, lengths = figure.joints, (figure.build.upper_arm, figure.build.forearm)
    shoulders = joints[:, joint_pair('shoulder')]
    elbows, wrists = two_bone_ik(shoulders, wrists, lengths, poles)
    joints[:, joint_pair('elbow')] = elbows
    joints[:, joint_pair('wrist')] = wrists


def hand_frames(fingers: Array, palms: Array, outward: Array | float) -> Array:
    """(..., 3, 3) axes of hands, in columns: to fingers, out of the palm, to the thumb.

    By (..., 3) directions in which fingers point and palms face; ``outward`` is (...,)
    or one number, 1 for left and -1 for right hands.
    """
    out = direction_frame(fingers, palms)
    # The left hand is the right one mirrored.
    out[..., 2] *= -np.asarray(outward)[..., None]
    return out


def pose_hands(figure: Figure, frames: Array, shapes: Array) -> None:
    """Place the finger joints by (T, 2, 3, 3) axes and (T, 2, 9) shapes of hands."""
    joints = figure.joints
    figure.hands = frames
    local = finger_joints(shapes) * figure.build.hand  # (T, 2, 5, 4, 3)
    local = local.reshape(*local.shape[:2], 20, 3)
    turned = local @ np.swapaxes(frames, -1, -2)
    for side, start in enumerate(HAND_START):
        wrist = joints[:, joint_pair('wrist')[side]]
        joints[:, start] = wrist
        joints[:, start + 1 : start + 21] = wrist[:, None] + turned[:, side]
