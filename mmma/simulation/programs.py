"""Motion programs and places to touch: the data files, checked and looked up.

A program is a list of variants for seated people and, where they differ, one for people
who stand. A variant is a list of tracks. A track moves one effector::

    {"head": {"pitch": WAVE, ...}}           degrees; also "torso", "shoulders"
    {"hand": "main", "at": PLACE, ...}       one or both hands
    {"foot": "both", "to": [x, y, z], ...}   one or both feet
    {"shift_hand": "main", "by": [WAVE]}     hands, from where they are

Vectors are outward, up, forward. Files of ``programs/`` hold actions by body group,
``rest`` postures, ``shapes`` of hands, ``places`` to touch, ``presets`` that a track
takes over with ``use``, ``habits`` that nobody labels, ``weights`` of classes.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from mmma.simulation.figure import CONTACTS, JOINT, OUTWARD, Figure, joint_pair
from mmma.simulation.geometry import direction_frame, rotate
from mmma.taxonomy import suggest

Track = dict[str, Any]
Variants = list[list[Track]]

FOLDER = Path(__file__).parent / 'programs'
GROUPS = ('body', 'head', 'upper_limb', 'lower_limb')
GROUPS += ('body_hand', 'head_hand', 'leg_hand')
WHO = ('main', 'other', 'both')
TIMING = {'attack', 'release', 'stay'}
ANGLES = {
    'torso': ('turn', 'lean', 'side', 'twist', 'curl', 'rise', 'slide', 'shift'),
    'head': ('yaw', 'pitch', 'roll', 'thrust'),
    'shoulders': ('lift', 'forward'),
}
_HAND_NEEDS = ('hand', 'at', 'touch', 'fingers', 'palm', 'elbow', 'shape')
HAND_KEYS = {
    *('hand', 'at', 'touch', 'offset', 'fingers', 'palm', 'elbow', 'shape', 'frame'),
    *('moves', 'twist', 'shape_moves', 'arc', 'object', 'use'),
}
FOOT_KEYS = {'foot', 'to', 'by', 'knee_to', 'knee', 'heel', 'toe', 'turn'}
SHIFT_KEYS = {'shift_hand', 'by'}
LIMBS = ('hand', 'foot', 'shift_hand')


@functools.cache
def load_table(name: str) -> dict[str, Any]:
    """One file of the folder, as it is."""
    return json.loads((FOLDER / f'{name}.json').read_text(encoding='utf-8'))


@functools.cache
def load_shapes() -> dict[str, np.ndarray]:
    """Hand shapes, (9,) each."""
    return {name: np.array(row, float) for name, row in load_table('shapes').items()}


@functools.cache
def load_programs() -> dict[str, dict[str, Variants]]:
    """All actions: posture ``seated`` or ``standing`` to variants.

    Raises:
        ValueError: A file has an unknown name in a track.
    """
    return {
        action: _by_posture(entry, f'{group}.json: {action}')
        for group in GROUPS
        for action, entry in load_table(group).items()
    }


@functools.cache
def load_habits() -> dict[str, Variants]:
    """Small motions that nobody labels, by posture."""
    return _by_posture(load_table('habits'), 'habits.json')


@functools.cache
def load_rest() -> dict[str, dict[str, Variants]]:
    """Resting postures: posture to ``trunk``, ``hands`` and ``legs``, as variants."""
    return {
        posture: {
            part: _expand(variants, f'rest.json: {posture}: {part}')
            for part, variants in parts.items()
        }
        for posture, parts in load_table('rest').items()
    }


def find_program(action: str, posture: str) -> Variants:
    """Variants of an action for people in a posture.

    Raises:
        ValueError: No program has that name.
    """
    programs = load_programs()
    if action not in programs:
        raise ValueError(
            f'no motion program for action {action!r}.{suggest(action, programs)}'
        )
    return programs[action]['standing' if posture == 'standing' else 'seated']


@functools.cache
def action_effectors(action: str) -> frozenset[str]:
    """Parts of the body that an action moves; actions that share none can overlap.

    Returns:
        Some of ``torso``, ``head``, ``shoulders``, ``hands``, ``legs``.

    Raises:
        ValueError: No program has that name.
    """
    limbs = {'hand': 'hands', 'shift_hand': 'hands', 'foot': 'legs'}
    return frozenset(
        limbs.get(key, key)
        for posture in ('seated', 'standing')
        for variant in find_program(action, posture)
        for track in variant
        for key in track.keys() & {*ANGLES, *limbs}
    )


def _by_posture(entry: Any, where: str) -> dict[str, Variants]:
    if isinstance(entry, list):
        entry = {'tracks': entry}
    seated = _expand(entry['tracks'], where)
    if 'standing' not in entry:
        return {'seated': seated, 'standing': seated}
    return {'seated': seated, 'standing': _expand(entry['standing'], where)}


def _expand(variants: Variants, where: str) -> Variants:
    """Fill in presets, then check names."""
    presets = load_table('presets')
    out = []
    for variant in variants:
        tracks = [{**presets[t['use']], **t} if 'use' in t else t for t in variant]
        for track in tracks:
            check_track(track, where)
        out.append(tracks)
    return out


def check_track(track: Track, where: str) -> None:
    """Refuse a track with a name that nothing answers to.

    Args:
        track: Presets filled in.
        where: File and program, for the message.

    Raises:
        ValueError: A missing key; an unknown key, channel, place, shape, contact or
            limb.
    """
    if 'hand' in track:
        keys = HAND_KEYS
        for key in _HAND_NEEDS:
            if key not in track:
                raise ValueError(f'{where}: a hand track needs {key!r}: {track}')
        _check(where, 'place', track['at'].split('.')[0], load_table('places'))
        _check(where, 'hand shape', track['shape'], load_shapes())
        _check(where, 'contact', track['touch'], CONTACTS)
    elif 'shift_hand' in track:
        keys = SHIFT_KEYS
    else:
        keys = FOOT_KEYS if 'foot' in track else set(ANGLES)
    for key in track:
        _check(where, 'key', key, keys | TIMING)
    for limb in LIMBS:
        if limb in track:
            _check(where, 'limb', track[limb], WHO)
    for effector in ANGLES.keys() & track.keys():
        for channel in track[effector]:
            _check(where, f'channel of {effector}', channel, ANGLES[effector])


def _check(where: str, kind: str, name: str, allowed: Any) -> None:
    if name not in allowed:
        raise ValueError(
            f'{where}: unknown {kind} {name!r}; known: {", ".join(sorted(allowed))}.'
            f'{suggest(name, allowed)}'
        )


ON_ARMS = ('forearm', 'upper_arm', 'hand')  # known only once the arms are placed
_TRUNK = ('head', 'chest', 'pelvis')
_LIMBS = {
    'thigh': ('hip', 'knee'),
    'shank': ('knee', 'ankle'),
    'foot': ('heel', 'big_toe'),
    'forearm': ('elbow', 'wrist'),
    'upper_arm': ('shoulder', 'elbow'),
}


def find_place(name: str) -> dict[str, Any]:
    """The entry of a place; ``.other`` behind its name only tells the side."""
    return load_table('places')[name.partition('.')[0]]


def locate(
    figure: Figure, name: str, side: int, posture: str, frames: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and axes of a place.

    Args:
        figure: Posed as far as the place needs.
        name: Place, of the other side with ``.other`` behind it.
        side: Side of the hand that goes there; outward is its outward.
        posture: Some places lie elsewhere when standing.
        frames: Which frames, T of them.

    Returns:
        (T, 3) positions and (T, 3, 3) axes, columns outward, up, forward.
    """
    place = find_place(name)
    part, at = place['part'], place['at']
    if posture == 'standing':
        at = place.get('standing', at)
    across = name.endswith('.other') or part in ON_ARMS
    part_side = 1 - side if across else side
    origin, axes = part_frame(figure, part, part_side, side, frames)
    if part in _LIMBS:
        start, end = _limb(figure, part, part_side, frames)
        origin = start + place.get('along', 0.0) * (end - start)
    # Metres for a person of 1.70 m.
    scale = figure.build.head if part == 'head' else figure.build.scale
    at = np.array(at) * scale
    if across and part in _TRUNK:
        at = at * (-1.0, 1.0, 1.0)
    return origin + rotate(axes, at), axes


def part_frame(
    figure: Figure, part: str, part_side: int, side: int, frames: slice
) -> tuple[np.ndarray, np.ndarray]:
    """Origin (T, 3) and axes (T, 3, 3) of a body part, for a hand of some side.

    Along a limb forward runs down, up is its front or upper side.
    """
    joints = figure.joints[frames]
    if part in _TRUNK:
        origin = joints[:, JOINT['neck' if part == 'chest' else part]]
        axes = getattr(figure, part)[frames]
        return origin, axes * np.array([OUTWARD[side], 1.0, 1.0])
    if part == 'hand':
        axes = figure.hands[frames, part_side]
        # Thumb, back of the hand, fingers stand for outward, up, forward.
        axes = axes[..., [2, 1, 0]] * np.array([1.0, -1.0, 1.0])
        return joints[:, joint_pair('wrist')[part_side]], axes
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


def _limb(
    figure: Figure, part: str, side: int, frames: slice
) -> tuple[np.ndarray, np.ndarray]:
    start, end = (joint_pair(name)[side] for name in _LIMBS[part])
    return figure.joints[frames, start], figure.joints[frames, end]
