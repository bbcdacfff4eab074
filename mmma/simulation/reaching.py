"""Hands: how the tracks of events lead them to places and shape them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmma.simulation.body import OUTWARD, Figure, hand_frames
from mmma.simulation.generators import Wave
from mmma.simulation.hand import SHAPE_SIZE, contact_point
from mmma.simulation.kinematics import axis_rotation, rotate, smoothstep, unit
from mmma.simulation.layers import Layer, blend, sum_waves
from mmma.simulation.places import ON_ARMS, Place, find_place, locate, part_frame
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
        """All at zero."""
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
        place = find_place(layer.track['at'], side, layer.posture)
        reach.blend(hands, figure, layer, (place, side, i > 0))


def _shift_hands(hands: Hands, figure: Figure, layer: Layer) -> None:
    """Move hands from where the layers below put them."""
    moves = layer.waves(layer.track['by'])
    for i, side in enumerate(layer.sides):
        axes = part_frame(figure, 'pelvis', side, side, layer.frames)[1]
        shift = rotate(axes, sum_waves(moves, layer.time_sec, i > 0))
        hands.wrists[layer.frames, side] += layer.weight[:, None] * shift


@dataclass
class _Reach:
    """What both hands of a hand track share."""

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
        self,
        hands: Hands,
        figure: Figure,
        layer: Layer,
        target: tuple[Place, int, bool],
    ) -> None:
        """Move one hand towards its target."""
        place, side, second = target
        track, build, frames = layer.track, figure.build, layer.frames
        origin, axes = locate(figure, place, side, frames)
        if 'frame' in track:
            axes = part_frame(figure, track['frame'], side, side, frames)[1]
        # A touch needs to have come near before it can rub.
        gate = smoothstep(2.0 * layer.weight - 0.8)
        offset = self.offset + gate[:, None] * sum_waves(
            self.moves, layer.time_sec, second
        )
        point = origin + rotate(axes, offset * build.scale)
        point += self.jitter * build.scale
        fingers = rotate(axes, unit(np.array(track['fingers'], float)) + self.tilt[0])
        palms = rotate(axes, unit(np.array(track['palm'], float)) + self.tilt[1])
        frame = hand_frames(_pair(fingers), _pair(palms))[:, side]
        frame = self._twisted(frame, layer, gate, (side, second))
        shape = load_shapes()[track['shape']]
        contact = contact_point(track['touch'], shape) * build.hand
        wrist = point - rotate(frame, contact)
        self._mix(hands, layer, side, (wrist, frame))
        moved = self._moved_shape(shape, layer, second, gate)
        _lerp(hands.shapes[frames, side], moved, layer.weight)
        if 'elbow' in track:
            chest = part_frame(figure, 'chest', side, side, frames)[1]
            pole = rotate(chest, np.array(track['elbow'], float))
            _lerp(hands.poles[frames, side], pole, layer.weight)

    def _twisted(
        self,
        frame: np.ndarray,
        layer: Layer,
        gate: np.ndarray,
        limb: tuple[int, bool],
    ) -> np.ndarray:
        side, second = limb
        for spec, wave in self.twists:
            axis = _TWIST_AXES[spec['about']]
            angle = np.radians(wave.values(layer.time_sec, second)) * gate
            turn = axis_rotation(frame[..., axis], OUTWARD[side] * angle)
            frame = turn @ frame
        return frame

    def _mix(
        self,
        hands: Hands,
        layer: Layer,
        side: int,
        goal: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Wrist and axes go to the goal, the wrist in an arc about the body."""
        wrist, frame = goal
        frames, weight = layer.frames, layer.weight
        here = hands.wrists[frames, side]
        arc = np.array(layer.track.get('arc', (0.03, 0.0, 0.06)))
        bulge = (4.0 * weight * (1.0 - weight))[:, None] * arc
        _lerp(here, wrist, weight)
        here += bulge * (OUTWARD[side], 1.0, 1.0)
        _lerp(hands.fingers[frames, side], frame[..., 0], weight)
        _lerp(hands.palms[frames, side], frame[..., 1], weight)

    def _moved_shape(
        self, shape: np.ndarray, layer: Layer, second: bool, gate: np.ndarray
    ) -> np.ndarray:
        if not self.shape_moves:
            return shape
        moved = np.repeat(shape[None], len(layer.weight), axis=0)
        for spec, wave in self.shape_moves:
            course = wave.values(layer.time_sec, second) * gate
            moved[:, spec['slots']] += course[:, None]
        moved[:, 2:7] = np.clip(moved[:, 2:7], 0.0, 1.1)
        return moved


def _pair(vectors: np.ndarray) -> np.ndarray:
    """The same directions for both sides, so that one can be chosen."""
    return np.repeat(vectors[:, None], 2, axis=1)


def _lerp(here: np.ndarray, goal: np.ndarray, weight: np.ndarray) -> None:
    here += weight[:, None] * (goal - here)


def initial_poles(build: Build, figure: Figure) -> np.ndarray:
    """(T, 2, 3) elbows down, out and back."""
    local = np.array([[0.5, -1.0, -0.4], [-0.5, -1.0, -0.4]])
    return rotate(figure.chest[:, None], local)
