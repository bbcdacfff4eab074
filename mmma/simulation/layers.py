"""Layers of a motion: curves of joints, and hands that reach.

Layers: how the tracks of events move trunk, feet and hands, one over another.

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
    Draw,
    Ramp,
    Wave,
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
    """A track of an event, its common numbers drawn.

    Attributes:
        track: The data.
        sides: Limbs that it moves, main first; for angles the main side.
        frames: Frames in which it has weight, T of them.
        time_sec: (T,) time of these frames since the start of the event.
        weight: (T,) how far it is on, 0 to 1.
        draw: Dice.
        posture: Posture of the person.
    """

    track: Track
    sides: tuple[int, ...]
    frames: slice
    time_sec: np.ndarray
    weight: np.ndarray
    draw: Draw
    posture: str

    def waves(self, specs: list[dict[str, Any]]) -> list[tuple[Any, Wave]]:
        """Each spec with its course drawn."""
        return [(spec, draw_wave(spec, self.draw)) for spec in specs]


def make_ramp(track: Track, span: tuple[float, float], draw: Draw) -> Ramp:
    """When a track of an event rises and falls.

    Args:
        track: May have ``attack`` and ``release`` in seconds, and ``stay``: the chance
            that the fall comes after the end.
        span: Start and end of the event, seconds.
        draw: Dice of the event.
    """
    kind = next((k for k in _RAMPS if k in track), None)
    usual = _RAMPS.get(kind, _ANGLE_RAMP)
    attack = draw.number(track.get('attack', usual), draw.ramp_share) / draw.tempo
    release = draw.number(track.get('release', usual), draw.ramp_share) / draw.tempo
    start_sec, end_sec = span
    fit = min(1.0, 0.75 * (end_sec - start_sec) / (attack + release))
    attack, release = max(attack * fit, 1e-3), max(release * fit, 1e-3)
    start_sec -= 0.3 * draw.ramp_share * attack
    stays = draw.rng.random() < track.get('stay', 0.0)
    end_sec += release if stays else 0.3 * draw.ramp_share * release
    return Ramp(start_sec, attack, end_sec, release)


def add_angles(channels: np.ndarray, layer: Layer) -> None:
    """Add trunk, head and shoulder angles of a layer.

    Args:
        channels: (T, 14) courses in the order of ``CHANNELS``, radians or metres;
            changed.
        layer: What to add.
    """
    sign = OUTWARD[layer.sides[0]]
    for effector in ANGLES:
        for channel, spec in layer.track.get(effector, {}).items():
            values = draw_wave(spec, layer.draw).values(layer.time_sec) * layer.weight
            if channel in _TOWARDS_MAIN:
                values *= sign * _TOWARDS_MAIN[channel]
            if channel not in METRES:
                values = np.radians(values)
            channels[layer.frames, CHANNELS[f'{effector}.{channel}']] += values


@dataclass
class Feet:
    """Targets of the feet in the frame of the floor under the pelvis.

    Attributes:
        at: (T, 2, 3) ankles; outward, up, forward, metres for 1.70 m.
        poles: (T, 2, 3) where the knees point, the same axes.
        angles: (T, 2, 3) yaw outward, pitch down, roll; radians.
    """

    at: np.ndarray
    poles: np.ndarray
    angles: np.ndarray

    @classmethod
    def empty(cls, frames: int) -> Feet:
        """All at zero."""
        return cls(*np.zeros((3, frames, 2, 3)))


def move_feet(feet: Feet, layer: Layer) -> None:
    """Blend a layer into the targets of the feet."""
    track, draw, weight = layer.track, layer.draw, layer.weight
    to = draw.vector(track['to']) if 'to' in track else None
    knee_to = draw.vector(track['knee_to']) if 'knee_to' in track else None
    moves = layer.waves(track.get('by', []))
    knees = layer.waves(track.get('knee', []))
    turns = {
        k: draw_wave(track[k], draw) for k in ('heel', 'toe', 'turn') if k in track
    }
    for i, side in enumerate(layer.sides):
        at = feet.at[layer.frames, side]
        poles = feet.poles[layer.frames, side]
        if to is not None:
            blend(at, to, weight)
        if knee_to is not None:
            blend(poles, knee_to, weight)
        at += weight[:, None] * sum_waves(moves, layer.time_sec, i > 0)
        poles += weight[:, None] * sum_waves(knees, layer.time_sec, i > 0)
        angles = {
            k: np.radians(w.values(layer.time_sec, i > 0)) * weight
            for k, w in turns.items()
        }
        _turn_foot(at, feet.angles[layer.frames, side], angles)


def _turn_foot(
    at: np.ndarray, angles: np.ndarray, turns: dict[str, np.ndarray]
) -> None:
    """Lift the heel about the ball of the foot, or the toes about the heel."""
    if 'turn' in turns:
        angles[:, 0] += turns['turn']
    if 'toe' in turns:
        angles[:, 1] -= turns['toe']
    if 'heel' in turns:
        lift = turns['heel']
        up, back = _BALL
        at[:, 1] += up * np.cos(lift) - back * np.sin(lift) - up
        at[:, 2] += up * np.sin(lift) + back * np.cos(lift) - back
        angles[:, 1] += lift


def sum_waves(
    waves: list[tuple[Any, Wave]], time_sec: np.ndarray, second: bool
) -> np.ndarray:
    """Sum of courses along their axes.

    Args:
        waves: Specs with an ``axis`` and their courses.
        time_sec: (T,) seconds since the event began.
        second: Whether this is the second limb of a pair.

    Returns:
        (T, 3).
    """
    total = np.zeros((len(time_sec), 3))
    for spec, wave in waves:
        course = wave.values(time_sec, second)
        total += course[:, None] * unit(np.array(spec['axis'], float))
    return total


def blend(here: np.ndarray, goal: np.ndarray, weight: np.ndarray) -> None:
    """Move (T, C) values by (T,) weights towards (T, C) or (C,) others, in place."""
    here += weight[:, None] * (goal - here)


_TWIST_AXES = {'fingers': 0, 'palm': 1, 'thumb': 2}
_JITTER = 0.007  # metres by which a touch misses its place
_TILT = 0.13  # by how much the direction of a hand varies
_ARC = (0.03, 0.0, 0.06)  # metres outward, up, forward of the straight way to a place


@dataclass
class Hands:
    """Targets of the hands.

    Attributes:
        wrists: (T, 2, 3) metres.
        fingers: (T, 2, 3) where the fingers point.
        palms: (T, 2, 3) where the palms face.
        poles: (T, 2, 3) where the elbows point.
        shapes: (T, 2, 9).
    """

    wrists: np.ndarray
    fingers: np.ndarray
    palms: np.ndarray
    poles: np.ndarray
    shapes: np.ndarray

    @classmethod
    def empty(cls, frames: int) -> Hands:
        """All at zero: the first layer of each hand must have full weight."""
        return cls(*np.zeros((4, frames, 2, 3)), np.zeros((frames, 2, SHAPE_SIZE)))


def needs_arms(layer: Layer) -> bool:
    """Whether the track's place lies on an arm, so that arms must be placed first."""
    if 'at' not in layer.track:
        return False
    side = layer.sides[0]
    return find_place(layer.track['at'], side, layer.posture).part in ON_ARMS


def move_hands(hands: Hands, figure: Figure, layer: Layer) -> None:
    """Blend a layer into the targets of the hands.

    Args:
        hands: Changed.
        figure: Posed as far as the place needs.
        layer: Has a hand track.
    """
    if 'shift_hand' in layer.track:
        _shift_hands(hands, figure, layer)
        return
    reach = _Reach.draw(layer)
    for i, side in enumerate(layer.sides):
        reach.blend(hands, figure, layer, side, i > 0)


def _shift_hands(hands: Hands, figure: Figure, layer: Layer) -> None:
    """Move hands from where the layers below put them."""
    moves = layer.waves(layer.track['by'])
    for i, side in enumerate(layer.sides):
        axes = part_frame(figure, 'pelvis', side, side, layer.frames)[1]
        shift = rotate(axes, sum_waves(moves, layer.time_sec, i > 0))
        hands.wrists[layer.frames, side] += layer.weight[:, None] * shift


@dataclass
class _Reach:
    """What both hands of a hand track share.

    Attributes:
        offset: (3,) from the place.
        jitter: (3,) by which the touch misses, metres in space.
        tilt: (2, 3) added to the directions of fingers and palm.
        moves: Courses along axes.
        twists: Turns of the hand.
        shape_moves: Courses of numbers of the shape.
    """

    offset: np.ndarray
    jitter: np.ndarray
    tilt: np.ndarray
    moves: list[tuple[Any, Wave]]
    twists: list[tuple[Any, Wave]]
    shape_moves: list[tuple[Any, Wave]]

    @classmethod
    def draw(cls, layer: Layer) -> _Reach:
        track, rng = layer.track, layer.draw.rng
        return cls(
            offset=layer.draw.vector(track.get('offset', (0, 0, 0))),
            jitter=rng.normal(0.0, _JITTER, 3),
            tilt=rng.normal(0.0, _TILT, (2, 3)),
            moves=layer.waves(track.get('moves', [])),
            twists=layer.waves(track.get('twist', [])),
            shape_moves=layer.waves(track.get('shape_moves', [])),
        )

    def blend(
        self, hands: Hands, figure: Figure, layer: Layer, side: int, second: bool
    ) -> None:
        """Move one hand from where it is towards its target."""
        track, frames, weight = layer.track, layer.frames, layer.weight
        point, axes = self._target(figure, layer, side, second)
        frame = hand_frames(
            rotate(axes, unit(np.array(track['fingers'], float)) + self.tilt[0]),
            rotate(axes, unit(np.array(track['palm'], float)) + self.tilt[1]),
            OUTWARD[side],
        )
        frame = self._twist(frame, layer, side, second)
        shape = load_shapes()[track['shape']]
        contact = contact_point(track['touch'], shape) * figure.build.hand
        wrist = hands.wrists[frames, side]
        blend(wrist, point - rotate(frame, contact), weight)
        arc = np.array(track.get('arc', _ARC)) * (OUTWARD[side], 1.0, 1.0)
        wrist += (4.0 * weight * (1.0 - weight))[:, None] * arc
        blend(hands.fingers[frames, side], frame[..., 0], weight)
        blend(hands.palms[frames, side], frame[..., 1], weight)
        shapes = self._shapes(shape, layer, second)
        blend(hands.shapes[frames, side], shapes, weight)
        chest = part_frame(figure, 'chest', side, side, frames)[1]
        pole = rotate(chest, np.array(track['elbow'], float))
        blend(hands.poles[frames, side], pole, weight)

    def _target(
        self, figure: Figure, layer: Layer, side: int, second: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """(T, 3) where the hand touches, and (T, 3, 3) axes for its directions."""
        track, scale = layer.track, figure.build.scale
        place = find_place(track['at'], side, layer.posture)
        origin, axes = locate(figure, place, side, layer.frames)
        if 'frame' in track:
            axes = part_frame(figure, track['frame'], side, side, layer.frames)[1]
        moved = sum_waves(self.moves, layer.time_sec, second)
        offset = self.offset + _nearness(layer)[:, None] * moved
        return origin + rotate(axes, offset * scale) + self.jitter * scale, axes

    def _twist(
        self, frame: np.ndarray, layer: Layer, side: int, second: bool
    ) -> np.ndarray:
        for spec, wave in self.twists:
            axis = frame[..., _TWIST_AXES[spec['about']]]
            angle = np.radians(wave.values(layer.time_sec, second)) * _nearness(layer)
            frame = axis_rotation(axis, OUTWARD[side] * angle) @ frame
        return frame

    def _shapes(self, shape: np.ndarray, layer: Layer, second: bool) -> np.ndarray:
        """(T, 9) or (9,) shapes over time."""
        if not self.shape_moves:
            return shape
        moved = np.repeat(shape[None], len(layer.weight), axis=0)
        for spec, wave in self.shape_moves:
            course = wave.values(layer.time_sec, second) * _nearness(layer)
            moved[:, spec['slots']] += course[:, None]
        moved[:, CURLED] = np.clip(moved[:, CURLED], 0.0, 1.1)
        return moved


def _nearness(layer: Layer) -> np.ndarray:
    """(T,) 0 to 1: a hand must have come near before it can rub or turn."""
    return smoothstep(2.0 * layer.weight - 0.8)
