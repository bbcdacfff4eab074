"""The figure: bone lengths, joints, forward kinematics, places that hands can touch.

Arrays have T frames first; a pair of sides is (left, right).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmma.layout.joints import WHOLEBODY65
from mmma.simulation.hand import finger_joints
from mmma.simulation.kinematics import (
    direction_frame,
    euler_rotation,
    rotate,
    two_bone_ik,
)
from mmma.simulation.subjects import Subject

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

# Outward, up, forward of the head's centre; metres for a head of average size.
_FACE = {
    'eye': (0.032, 0.018, 0.088),
    'ear': (0.076, 0.0, -0.008),
}
_NOSE = np.array([0.0, -0.016, 0.118])
# Outward, up, forward of the ankle.
_FOOT = {
    'big_toe': (-0.022, -0.068, 0.155),
    'small_toe': (0.045, -0.070, 0.120),
    'heel': (0.0, -0.068, -0.050),
}


@dataclass(frozen=True)
class Build:
    """Bone lengths and sizes of one person, metres.

    Attributes:
        scale: Size against a person of 1.70 m.
        thigh: Hip to knee.
        shank: Knee to ankle.
        ankle: Height of the ankle above the floor.
        hip: Half the distance of the hips.
        waist: Pelvis to waist.
        back: Waist to the base of the neck.
        neck: Base of the neck to the skull's joint.
        skull: Skull's joint to the centre of the head.
        shoulder: Base of the neck to a shoulder.
        upper_arm: Shoulder to elbow.
        forearm: Elbow to wrist.
        hand: Size of the hands against a person of 1.70 m.
        head: Size of the head against an average one.
        girth: Thickness against an average person.
    """

    scale: float
    thigh: float
    shank: float
    ankle: float
    hip: float
    waist: float
    back: float
    neck: float
    skull: float
    shoulder: float
    upper_arm: float
    forearm: float
    hand: float
    head: float
    girth: float


def make_build(subject: Subject) -> Build:
    """Bone lengths of a subject.

    Source: segment lengths as shares of height, Drillis and Contini 1966, rounded.
    """
    u = subject.height / REFERENCE_HEIGHT
    return Build(
        scale=u,
        thigh=0.415 * u * subject.legs,
        shank=0.415 * u * subject.legs,
        ankle=0.08 * u,
        hip=0.085 * u * subject.hips,
        waist=0.11 * u,
        back=0.36 * u,
        neck=0.075 * u,
        skull=0.115 * u * subject.head,
        shoulder=0.185 * u * subject.shoulders,
        upper_arm=0.285 * u * subject.arms,
        forearm=0.255 * u * subject.arms,
        hand=u * subject.arms,
        head=u * subject.head,
        girth=u * subject.girth,
    )


@dataclass
class TrunkAngles:
    """What moves trunk and head; angles in radians.

    Attributes:
        base: (T, 3) where the pelvis is, metres.
        pelvis: (T, 3) yaw, pitch, roll of the pelvis.
        chest: (T, 3) of the chest against the pelvis.
        head: (T, 3) of the head against the chest.
        thrust: (T,) how far the head is pushed forward, radians at the neck.
        shoulders: (T, 2, 2) lift and forward turn of each shoulder.
    """

    base: np.ndarray
    pelvis: np.ndarray
    chest: np.ndarray
    head: np.ndarray
    thrust: np.ndarray
    shoulders: np.ndarray


@dataclass
class Figure:
    """A posed figure.

    Attributes:
        build: Bone lengths.
        joints: (T, J, 3) in the order of ``JOINTS``, metres.
        pelvis: (T, 3, 3) orientation of the pelvis.
        chest: (T, 3, 3) of the chest.
        head: (T, 3, 3) of the head.
        hands: (T, 2, 3, 3), columns towards fingers, out of the palm, towards thumb.
    """

    build: Build
    joints: np.ndarray
    pelvis: np.ndarray
    chest: np.ndarray
    head: np.ndarray
    hands: np.ndarray


def pose_trunk(build: Build, angles: TrunkAngles) -> Figure:
    """Pelvis, spine, head with face, shoulders and hips.

    Args:
        build: Bone lengths.
        angles: Posture of the trunk.

    Returns:
        A figure whose limbs are not placed yet.
    """
    frames = len(angles.base)
    joints = np.zeros((frames, len(JOINTS), 3))
    pelvis = euler_rotation(*angles.pelvis.T)
    chest = pelvis @ euler_rotation(*angles.chest.T)
    bend = angles.head * 0.35
    bend[:, 1] += angles.thrust
    neck = chest @ euler_rotation(*bend.T)
    rest = angles.head * 0.65
    rest[:, 1] -= angles.thrust
    head = neck @ euler_rotation(*rest.T)
    joints[:, JOINT['pelvis']] = angles.base
    joints[:, JOINT['waist']] = angles.base + build.waist * pelvis[:, :, 1]
    joints[:, JOINT['neck']] = joints[:, JOINT['waist']] + build.back * chest[:, :, 1]
    skull = joints[:, JOINT['neck']] + build.neck * neck[:, :, 1]
    joints[:, JOINT['skull']] = skull
    joints[:, JOINT['head']] = skull + rotate(
        head, build.skull * np.array([0.0, 0.985, 0.17])
    )
    figure = Figure(build, joints, pelvis, chest, head, np.zeros((frames, 2, 3, 3)))
    across = build.hip * OUTWARD[:, None] * pelvis[:, None, :, 0]
    joints[:, joint_pair('hip')] = angles.base[:, None] + across
    _place_shoulders(figure, angles.shoulders)
    _place_face(figure)
    return figure


def _place_shoulders(figure: Figure, shoulders: np.ndarray) -> None:
    """Collar bones turn about the base of the neck, so that they keep their length."""
    lift = shoulders[..., 0] - 0.1
    forward = shoulders[..., 1]
    local = np.stack(
        [
            OUTWARD * np.cos(lift) * np.cos(forward),
            np.sin(lift),
            np.cos(lift) * np.sin(forward),
        ],
        axis=-1,
    )  # (T, 2, 3)
    base = figure.joints[:, None, JOINT['neck']]
    offset = figure.build.shoulder * rotate(figure.chest[:, None], local)
    figure.joints[:, joint_pair('shoulder')] = base + offset


def _place_face(figure: Figure) -> None:
    size, joints = figure.build.head, figure.joints
    names, points = ['nose'], [_NOSE]
    for part, (out, up, forward) in _FACE.items():
        for side, sign in zip(SIDES, OUTWARD, strict=True):
            names.append(f'{side}_{part}')
            points.append(np.array([sign * out, up, forward]))
    offsets = np.array(points) * size @ np.swapaxes(figure.head, 1, 2)
    joints[:, [JOINT[n] for n in names]] = joints[:, None, JOINT['head']] + offsets


def pose_legs(
    figure: Figure, ankles: np.ndarray, poles: np.ndarray, feet: np.ndarray
) -> None:
    """Place legs and feet.

    Args:
        figure: Changed.
        ankles: (T, 2, 3) where the ankles should be.
        poles: (T, 2, 3) where the knees point.
        feet: (T, 2, 3) yaw, pitch, roll of the feet, radians.
    """
    build, joints = figure.build, figure.joints
    knees, ankles = two_bone_ik(
        joints[:, joint_pair('hip')], ankles, (build.thigh, build.shank), poles
    )
    joints[:, joint_pair('knee')] = knees
    joints[:, joint_pair('ankle')] = ankles
    rotation = euler_rotation(feet[..., 0], feet[..., 1], feet[..., 2])
    for part, offset in _FOOT.items():
        local = np.tile(offset, (2, 1)) * build.scale
        local[:, 0] *= OUTWARD
        joints[:, joint_pair(part)] = ankles + rotate(rotation, local)


def pose_arms(figure: Figure, wrists: np.ndarray, poles: np.ndarray) -> None:
    """Place elbows and wrists.

    Args:
        figure: Changed.
        wrists: (T, 2, 3) where the wrists should be.
        poles: (T, 2, 3) where the elbows point.
    """
    build, joints = figure.build, figure.joints
    elbows, wrists = two_bone_ik(
        joints[:, joint_pair('shoulder')],
        wrists,
        (build.upper_arm, build.forearm),
        poles,
    )
    joints[:, joint_pair('elbow')] = elbows
    joints[:, joint_pair('wrist')] = wrists


def hand_frames(
    fingers: np.ndarray, palms: np.ndarray, outward: np.ndarray | float
) -> np.ndarray:
    """Axes of hands.

    Args:
        fingers: (..., 3) where the fingers point.
        palms: (..., 3) where the palms face.
        outward: (...,) or one number, 1 for left and -1 for right hands.

    Returns:
        (..., 3, 3), columns towards fingers, out of the palm, towards the thumb.
    """
    out = direction_frame(fingers, palms)
    # The left hand is the right one mirrored.
    out[..., 2] *= -np.asarray(outward)[..., None]
    return out


def pose_hands(figure: Figure, frames: np.ndarray, shapes: np.ndarray) -> None:
    """Place the finger joints.

    Args:
        figure: Changed.
        frames: (T, 2, 3, 3) axes of the hands.
        shapes: (T, 2, 9) shapes.
    """
    joints = figure.joints
    figure.hands = frames
    local = finger_joints(shapes) * figure.build.hand  # (T, 2, 5, 4, 3)
    local = local.reshape(*local.shape[:2], 20, 3)
    turned = local @ np.swapaxes(frames, -1, -2)
    for side, start in enumerate(HAND_START):
        wrist = joints[:, joint_pair('wrist')[side]]
        joints[:, start] = wrist
        joints[:, start + 1 : start + 21] = wrist[:, None] + turned[:, side]
