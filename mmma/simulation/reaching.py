"""Hands: how the tracks of events lead them to places and shape them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmma.simulation.body import OUTWARD, Figure, hand_frames
from mmma.simulation.generators import Wave
from mmma.simulation.hand import CURLED, SHAPE_SIZE, contact_point
from mmma.simulation.kinematics import axis_rotation, rotate, smoothstep, unit
from mmma.simulation.layers import Layer, blend, sum_waves
from mmma.simulation.places import ON_ARMS, find_place, locate, part_frame
from mmma.simulation.programs import load_shapes

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
