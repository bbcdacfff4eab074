"""Motion programs and places to touch: the data files, checked and looked up.

A program is a list of variants for seated people and, where they differ, one for people
who stand. A variant is a list of tracks. A track moves one effector::

    {"head": {"pitch": WAVE, ...}}           degrees; also "torso", "shoulders"
    {"hand": "main", "at": PLACE, ...}       one or both hands
    {"foot": "both", "to": [x, y, z], ...}   one or both feet
    {"shift_hand": "main", "by": [WAVE]}     hands, from where they are

Vectors are outward, up, forward. Files of ``programs/`` hold actions by body group,
``rest`` postures, ``shapes`` of hands, ``places`` to touch, ``presets`` that a track
takes over with ``use``, ``habits`` that nobody labels; other modules read ``weights``
of classes, ``styles`` of domains and ``figures``, measures of bodies and things.

The tracks of an event become layers of a motion: angles add up; feet and hands go from
where the layers below put them towards the target, by the weight of the track's ramp.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmma.simulation.domains import Array, load_table
from mmma.simulation.figure import (
    CONTACTS,
    CURLED,
    JOINT,
    OUTWARD,
    SHAPE_SIZE,
    Figure,
    contact_point,
    hand_frames,
    joint_pair,
)
from mmma.simulation.geometry import (
    Course,
    Draw,
    Ramp,
    axis_rotation,
    direction_frame,
    draw_wave,
    rotate,
    smoothstep,
    unit,
)
from mmma.taxonomy import check_choice, suggest

Track = dict[str, Any]
Variants = list[list[Track]]

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
HAND_KEYS = {*_HAND_NEEDS, 'offset', 'frame', 'moves', 'twist', 'shape_moves'}
HAND_KEYS |= {'arc', 'object', 'use'}
FOOT_KEYS = {'foot', 'to', 'by', 'knee_to', 'knee', 'heel', 'toe', 'turn'}
SHIFT_KEYS = {'shift_hand', 'by'}
LIMBS = ('hand', 'foot', 'shift_hand')


@functools.cache
def load_shapes() -> dict[str, Array]:
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

    They are some of ``torso``, ``head``, ``shoulders``, ``hands``, ``legs``.

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
    entry = {'tracks': entry} if isinstance(entry, list) else entry
    seated = _expand(entry['tracks'], where)
    upright = entry.get('standing')
    standing = _expand(upright, where) if upright else seated
    return {'seated': seated, 'standing': standing}


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
    """Refuse a track, its presets filled in, with a name that nothing answers to.

    Raises:
        ValueError: ``where``, and a missing key or an unknown key, channel, place,
            shape, contact or limb.
    """
    if 'hand' in track:
        keys = HAND_KEYS
        for key in _HAND_NEEDS:
            if key not in track:
                raise ValueError(f'{where}: a hand track needs {key!r}: {track}')
        check_choice('place', track['at'].split('.')[0], load_table('places'), where)
        check_choice('hand shape', track['shape'], load_shapes(), where)
        check_choice('contact', track['touch'], CONTACTS, where)
    elif 'shift_hand' in track:
        keys = SHIFT_KEYS
    else:
        keys = FOOT_KEYS if 'foot' in track else set(ANGLES)
    for key in track:
        check_choice('key', key, sorted(keys | TIMING), where)
    for limb in LIMBS:
        if limb in track:
            check_choice('limb', track[limb], WHO, where)
    for effector in ANGLES.keys() & track.keys():
        for channel in track[effector]:
            check_choice(f'channel of {effector}', channel, ANGLES[effector], where)


ON_ARMS = ('forearm', 'upper_arm', 'hand')  # known only once the arms are placed
_TRUNK = ('head', 'chest', 'pelvis')
_LIMBS = load_table('figures')['limbs']  # names of both ends


def find_place(name: str) -> dict[str, Any]:
    """The entry of a place; ``.other`` behind its name only tells the side."""
    return load_table('places')[name.partition('.')[0]]


def locate(
    figure: Figure, name: str, side: int, posture: str, frames: slice
) -> tuple[Array, Array]:
    """(T, 3) positions of a place and (T, 3, 3) axes, columns outward, up, forward.

    The figure is posed as far as the place needs; some lie elsewhere when standing.
    ``side`` is that of the hand that goes there, and its outward; ``.other`` behind
    the name means the place on the other side.
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
) -> tuple[Array, Array]:
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
    return start, axes[..., [2, 1, 0]] * np.array([-OUTWARD[side], 1.0, 1.0])


def _limb(figure: Figure, part: str, side: int, frames: slice) -> tuple[Array, Array]:
    start, end = (joint_pair(name)[side] for name in _LIMBS[part])
    return figure.joints[frames, start], figure.joints[frames, end]


_NAMES = [f'{effector}.{c}' for effector, names in ANGLES.items() for c in names]
CHANNELS = {name: i for i, name in enumerate(_NAMES)}
METRES = ('rise', 'slide', 'shift')
# Positive turns and leans go towards the main side: about y that is positive for the
# left side, about z negative.
_TOWARDS_MAIN = {'turn': 1, 'twist': 1, 'yaw': 1, 'side': -1, 'roll': -1, 'shift': 1}
_BALL = (0.068, -0.135)  # metres up and forward, from the ball of the foot to the ankle
# Usual lengths of attack and release, seconds.
_RAMPS = {'hand': (0.32, 0.52), 'foot': (0.3, 0.5)}
_ANGLE_RAMP = (0.2, 0.4)


@dataclass
class Layer:
    """A track of an event, its common numbers drawn."""

    track: Track  # the data
    sides: tuple[int, ...]  # limbs that it moves, main first; for angles the main side
    frames: slice  # frames in which it has weight, T of them
    time_sec: Array  # (T,) time of these frames since the start of the event
    weight: Array  # (T,) how far it is on, 0 to 1
    draw: Draw  # dice
    posture: str  # posture of the person

    def waves(self, specs: list[dict[str, Any]]) -> list[tuple[Any, Course]]:
        """Each spec with its course drawn."""
        return [(spec, draw_wave(spec, self.draw)) for spec in specs]


def make_ramp(track: Track, span: tuple[float, float], draw: Draw) -> Ramp:
    """Draw rise and fall of a track of an event that spans some seconds.

    A track may have ``attack`` and ``release`` in seconds, and ``stay``: the chance
    that the fall comes after the end.
    """
    usual = next((v for k, v in _RAMPS.items() if k in track), _ANGLE_RAMP)
    attack = draw.number(track.get('attack', usual), draw.ramp_share) / draw.tempo
    release = draw.number(track.get('release', usual), draw.ramp_share) / draw.tempo
    start_sec, end_sec = span
    fit = min(1.0, 0.75 * (end_sec - start_sec) / (attack + release))
    attack, release = max(attack * fit, 1e-3), max(release * fit, 1e-3)
    start_sec -= 0.3 * draw.ramp_share * attack
    stays = draw.rng.random() < track.get('stay', 0.0)
    end_sec += release if stays else 0.3 * draw.ramp_share * release
    return start_sec, attack, end_sec, release


def add_angles(channels: Array, layer: Layer) -> None:
    """Add trunk, head and shoulder angles of a layer to (T, 14) ``CHANNELS``."""
    sign = OUTWARD[layer.sides[0]]
    for effector in ANGLES:
        for channel, spec in layer.track.get(effector, {}).items():
            values = draw_wave(spec, layer.draw)(layer.time_sec) * layer.weight
            if channel in _TOWARDS_MAIN:
                values *= sign * _TOWARDS_MAIN[channel]
            if channel not in METRES:
                values = np.radians(values)
            channels[layer.frames, CHANNELS[f'{effector}.{channel}']] += values


def move_feet(feet: Array, layer: Layer) -> None:
    """Blend a layer with a foot track into the (3, T, 2, 3) targets of the feet.

    Ankles, in the frame of the floor under the pelvis: outward, up, forward, metres for
    1.70 m; where the knees point, the same axes; yaw outward, pitch down and roll of
    the feet, radians.
    """
    track, draw, weight = layer.track, layer.draw, layer.weight
    goals = [draw.vector(track[k]) if k in track else None for k in ('to', 'knee_to')]
    courses = [layer.waves(track.get(k, [])) for k in ('by', 'knee')]
    turns = {
        k: draw_wave(track[k], draw) for k in ('heel', 'toe', 'turn') if k in track
    }
    for i, side in enumerate(layer.sides):
        at, poles, angles = feet[:, layer.frames, side]
        for here, goal in zip((at, poles), goals, strict=True):
            if goal is not None:
                blend(here, goal, weight)
        for here, waves in zip((at, poles), courses, strict=True):
            here += weight[:, None] * sum_waves(waves, layer.time_sec, i > 0)
        turned = {
            k: np.radians(w(layer.time_sec, i > 0)) * weight for k, w in turns.items()
        }
        angles[:, 0] += turned.get('turn', 0.0)
        angles[:, 1] -= turned.get('toe', 0.0)  # the toes are lifted about the heel
        if 'heel' not in turned:
            continue
        lift = turned['heel']  # about the ball of the foot
        up, back = _BALL
        at[:, 1] += up * np.cos(lift) - back * np.sin(lift) - up
        at[:, 2] += up * np.sin(lift) + back * np.cos(lift) - back
        angles[:, 1] += lift


def sum_waves(waves: list[tuple[Any, Course]], time_sec: Array, second: bool) -> Array:
    """(T, 3) sum of courses, of a limb or the second of a pair, along their axes."""
    total = np.zeros((len(time_sec), 3))
    for spec, wave in waves:
        course = wave(time_sec, second)
        total += course[:, None] * unit(np.array(spec['axis'], float))
    return total


def blend(here: Array, goal: Array, weight: Array) -> None:
    """Move (T, C) values by (T,) weights towards (T, C) or (C,) others, in place."""
    here += weight[:, None] * (goal - here)


_TWIST_AXES = {'fingers': 0, 'palm': 1, 'thumb': 2}
_JITTER = 0.007  # metres by which a touch misses its place
_TILT = 0.13  # by how much the direction of a hand varies
_ARC = (0.03, 0.0, 0.06)  # metres outward, up, forward of the straight way to a place


# Targets of the hands: (T, 2, 3) ``wrists`` in metres, directions in which ``fingers``
# point, ``palms`` face and elbows point (``poles``), and (T, 2, 9) ``shapes``.
Hands = dict[str, Array]


def resting_hands(frames: int) -> Hands:
    """All at zero: the first layer of each hand must have full weight."""
    names = ('wrists', 'fingers', 'palms', 'poles')
    hands = {name: np.zeros((frames, 2, 3)) for name in names}
    return {**hands, 'shapes': np.zeros((frames, 2, SHAPE_SIZE))}


def needs_arms(layer: Layer) -> bool:
    """True if the track's place lies on an arm, so that arms must be placed first."""
    return 'at' in layer.track and find_place(layer.track['at'])['part'] in ON_ARMS


def move_hands(hands: Hands, figure: Figure, layer: Layer) -> None:
    """Blend a layer with a hand track, or one that shifts hands, into their targets.

    The figure is posed as far as the place needs.
    """
    if 'shift_hand' in layer.track:
        moves = layer.waves(layer.track['by'])
        for i, side in enumerate(layer.sides):
            axes = part_frame(figure, 'pelvis', side, side, layer.frames)[1]
            shift = rotate(axes, sum_waves(moves, layer.time_sec, i > 0))
            hands['wrists'][layer.frames, side] += layer.weight[:, None] * shift
    else:
        _reach(hands, figure, layer)


def _reach(hands: Hands, figure: Figure, layer: Layer) -> None:
    """Move hands from where they are towards the place of the track."""
    track, frames, weight = layer.track, layer.frames, layer.weight
    scale, rng = figure.build.scale, layer.draw.rng
    offset = layer.draw.vector(track.get('offset', (0, 0, 0)))
    jitter = rng.normal(0.0, _JITTER, 3)
    tilt = rng.normal(0.0, _TILT, (2, 3))
    moves, twists, shape_moves = (
        layer.waves(track.get(k, [])) for k in ('moves', 'twist', 'shape_moves')
    )
    shape = load_shapes()[track['shape']]
    contact = contact_point(track['touch'], shape) * figure.build.hand
    # A hand must have come near before it can rub or turn.
    near = smoothstep(2.0 * weight - 0.8)
    for i, side in enumerate(layer.sides):
        out, second = OUTWARD[side], i > 0
        point, axes = locate(figure, track['at'], side, layer.posture, frames)
        if 'frame' in track:
            axes = part_frame(figure, track['frame'], side, side, frames)[1]
        moved = sum_waves(moves, layer.time_sec, second)
        where = rotate(axes, (offset + near[:, None] * moved) * scale)
        point = point + where + jitter * scale
        turned = hand_frames(
            rotate(axes, unit(np.array(track['fingers'], float)) + tilt[0]),
            rotate(axes, unit(np.array(track['palm'], float)) + tilt[1]),
            out,
        )
        for spec, wave in twists:
            axis = turned[..., _TWIST_AXES[spec['about']]]
            angle = np.radians(wave(layer.time_sec, second)) * near
            turned = axis_rotation(axis, out * angle) @ turned
        shapes = np.repeat(shape[None], len(weight), axis=0)
        for spec, wave in shape_moves:
            course = wave(layer.time_sec, second) * near
            shapes[:, spec['slots']] += course[:, None]
        if shape_moves:
            shapes[:, CURLED] = np.clip(shapes[:, CURLED], 0.0, 1.1)
        wrist = hands['wrists'][frames, side]
        blend(wrist, point - rotate(turned, contact), weight)
        arc = np.array(track.get('arc', _ARC)) * (out, 1.0, 1.0)
        wrist += (4.0 * weight * (1.0 - weight))[:, None] * arc
        blend(hands['fingers'][frames, side], turned[..., 0], weight)
        blend(hands['palms'][frames, side], turned[..., 1], weight)
        blend(hands['shapes'][frames, side], shapes, weight)
        chest = part_frame(figure, 'chest', side, side, frames)[1]
        pole = rotate(chest, np.array(track['elbow'], float))
        blend(hands['poles'][frames, side], pole, weight)
