"""Layers: how the tracks of events move trunk, feet and hands, one over another.

Angles add up. Feet and hands go from where the layers below put them towards the target
of the track, by the weight of its ramp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmma.simulation.body import OUTWARD
from mmma.simulation.generators import Draw, Ramp, Wave, draw_wave
from mmma.simulation.kinematics import unit
from mmma.simulation.programs import ANGLES, Track

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
