"""Layers of a motion: how tracks of events move trunk, feet and hands, one by one.

Angles add up. Feet and hands go from where the layers below put them towards the target
of the track, by the weight of its ramp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmma.simulation.figure import (
    CURLED,
    OUTWARD,
    SHAPE_SIZE,
    Figure,
    contact_point,
    hand_frames,
)
from mmma.simulation.geometry import (
    Course,
    Draw,
    Ramp,
    axis_rotation,
    draw_wave,
    rotate,
    smoothstep,
    unit,
)
from mmma.simulation.programs import (
    ANGLES,
    ON_ARMS,
    Track,
    find_place,
    load_shapes,
    locate,
    part_frame,
)

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
    time_sec: np.ndarray  # (T,) time of these frames since the start of the event
    weight: np.ndarray  # (T,) how far it is on, 0 to 1
    draw: Draw  # dice
    posture: str  # posture of the person

    def waves(self, specs: list[dict[str, Any]]) -> list[tuple[Any, Course]]:
        """Each spec with its course drawn."""
        return [(spec, draw_wave(spec, self.draw)) for spec in specs]


def make_ramp(track: Track, span: tuple[float, float], draw: Draw) -> Ramp:
    """Draw rise and fall of a track of an event.

    Args:
        track: May have ``attack`` and ``release`` in seconds, and ``stay``: the chance
            that the fall comes after the end.
        span: Start and end of the event, seconds.
        draw: Dice of the event.
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


def add_angles(channels: np.ndarray, layer: Layer) -> None:
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


def move_feet(feet: np.ndarray, layer: Layer) -> None:
    """Blend a layer into the targets of the feet.

    Args:
        feet: (3, T, 2, 3), changed. Ankles, in the frame of the floor under the pelvis:
            outward, up, forward, metres for 1.70 m; where the knees point, the same
            axes; yaw outward, pitch down and roll of the feet, radians.
        layer: Has a foot track.
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


def sum_waves(
    waves: list[tuple[Any, Course]], time_sec: np.ndarray, second: bool
) -> np.ndarray:
    """(T, 3) sum of courses along the ``axis`` of each spec.

    Args:
        waves: Specs and their courses.
        time_sec: (T,) seconds since the event began.
        second: True for the second limb of a pair.
    """
    total = np.zeros((len(time_sec), 3))
    for spec, wave in waves:
        course = wave(time_sec, second)
        total += course[:, None] * unit(np.array(spec['axis'], float))
    return total


def blend(here: np.ndarray, goal: np.ndarray, weight: np.ndarray) -> None:
    """Move (T, C) values by (T,) weights towards (T, C) or (C,) others, in place."""
    here += weight[:, None] * (goal - here)


_TWIST_AXES = {'fingers': 0, 'palm': 1, 'thumb': 2}
_JITTER = 0.007  # metres by which a touch misses its place
_TILT = 0.13  # by how much the direction of a hand varies
_ARC = (0.03, 0.0, 0.06)  # metres outward, up, forward of the straight way to a place


# Targets of the hands: (T, 2, 3) ``wrists`` in metres, directions in which ``fingers``
# point, ``palms`` face and elbows point (``poles``), and (T, 2, 9) ``shapes``.
Hands = dict[str, np.ndarray]


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
