"""Courses in time: what a motion program means by oscillate, nod, wander and so on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmma.simulation.kinematics import smoothstep

TURN = 2.0 * np.pi


@dataclass
class Draw:
    """The dice of one event: what its tracks share, so that they keep step.

    Attributes:
        rng: Source of all that is not shared.
        vigor: Factor of sizes.
        tempo: Factor of rates.
        rate_share: Number in [0, 1) that picks all rates in their ranges.
        ramp_share: The same for attack and release.
        phase: Common phase, turns.
    """

    rng: np.random.Generator
    vigor: float = 1.0
    tempo: float = 1.0
    rate_share: float = field(init=False)
    ramp_share: float = field(init=False)
    phase: float = field(init=False)

    def __post_init__(self) -> None:
        self.rate_share, self.ramp_share, self.phase = self.rng.random(3)

    def number(self, value: Any, share: float | None = None) -> float:
        """A number as it is; of a range ``[low, high]`` one in between."""
        if isinstance(value, (int, float)):
            return float(value)
        low, high = value
        return low + (high - low) * (self.rng.random() if share is None else share)

    def vector(self, values: Any) -> np.ndarray:
        """One number for each entry."""
        return np.array([self.number(v) for v in values])


@dataclass(frozen=True)
class Wave:
    """One course with its numbers drawn.

    Attributes:
        how: One of ``GENERATORS``.
        size: Degrees or metres.
        rate: Cycles per second.
        phase: Turns.
        count: Cycles after which it ends; endless where infinite.
        anti: Whether the second limb of a pair moves against the first.
        wobble: (3, 2) rates and phases of ``wander``.
    """

    how: str
    size: float
    rate: float
    phase: float
    count: float
    anti: bool
    wobble: np.ndarray | None

    def values(self, time_sec: np.ndarray, second: bool = False) -> np.ndarray:
        """The course.

        Args:
            time_sec: (T,) seconds since the event began.
            second: Whether this is the second limb of a pair.
        """
        against = self.anti and second
        if self.how == 'wander':
            sign = -1.0 if against else 1.0
            return sign * self.size * _wander(time_sec, self.wobble)
        cycles = time_sec * self.rate
        shape = GENERATORS[self.how](cycles, self.phase + 0.5 * against)
        if np.isfinite(self.count):
            shape = shape * ((cycles > 0) & (cycles < self.count))
        return self.size * shape


def draw_wave(spec: Any, draw: Draw) -> Wave:
    """Draw the numbers of a course.

    Args:
        spec: A number or a range means to hold that size; else ``how``, ``size`` and
            optional ``rate``, ``phase``, ``count``, ``anti``.
        draw: Dice of the event.

    Raises:
        ValueError: An unknown generator.
    """
    if not isinstance(spec, Mapping):
        return Wave('hold', _held_size(spec, draw), 0, 0, np.inf, False, None)
    how = spec['how']
    if how not in GENERATORS and how != 'wander':
        known = ', '.join([*GENERATORS, 'wander'])
        raise ValueError(f'unknown generator {how!r}: use one of {known}')
    held = how in ('hold', 'settle')
    size = (
        _held_size(spec['size'], draw)
        if held
        else draw.number(spec['size']) * draw.vigor
    )
    rate = draw.number(spec.get('rate', 1.0), draw.rate_share) * draw.tempo
    wobble = None
    if how == 'wander':
        wobble = draw.rng.random((3, 2))
        wobble[:, 0] = rate * (0.45 + 0.75 * wobble[:, 0])
    count = spec.get('count', np.inf)
    if how == 'nod' and np.isfinite(np.max(count)):
        count = round(draw.number(count))
        phase = 0.0  # whole cycles, so that the course begins and ends at rest
    else:
        phase = spec.get('phase', 0.0) + draw.phase * (how == 'oscillate')
    return Wave(
        how=how,
        size=size,
        rate=rate,
        phase=phase,
        count=count,
        anti=bool(spec.get('anti', False)),
        wobble=wobble,
    )


def _held_size(size: Any, draw: Draw) -> float:
    """Held postures vary less: hands have to reach their places."""
    return draw.number(size) * draw.vigor**0.5


def _wander(time_sec: np.ndarray, wobble: np.ndarray) -> np.ndarray:
    """Smooth and irregular, about within -1 and 1."""
    angle = TURN * (time_sec[:, None] * wobble[:, 0] + wobble[:, 1])
    return np.sin(angle) @ np.array([0.6, 0.5, 0.4])


def _hold(cycles: np.ndarray, phase: float) -> np.ndarray:
    return np.ones_like(cycles)


def _settle(cycles: np.ndarray, phase: float) -> np.ndarray:
    """Go beyond, then come to rest."""
    late = np.maximum(cycles, 0.0)
    return 1.0 + 0.6 * np.sin(TURN * late) * np.exp(-1.5 * late)


def _oscillate(cycles: np.ndarray, phase: float) -> np.ndarray:
    return np.sin(TURN * (cycles + phase))


def _nod(cycles: np.ndarray, phase: float) -> np.ndarray:
    """There and back, to one side only."""
    return 0.5 - 0.5 * np.cos(TURN * (cycles + phase))


def _flick(cycles: np.ndarray, phase: float) -> np.ndarray:
    """A small swing to one side, a large one to the other, a pause."""
    place = np.mod(cycles, 1.7)
    swing = -np.sin(TURN * place) * (place < 1.0)
    return np.where(swing < 0, 0.45 * swing, swing)


GENERATORS = {
    'hold': _hold,
    'settle': _settle,
    'oscillate': _oscillate,
    'nod': _nod,
    'flick': _flick,
}


@dataclass(frozen=True)
class Ramp:
    """When an event is on: rise, stay, fall.

    Attributes:
        start_sec: Where the rise begins.
        attack: Its length, seconds.
        end_sec: Where the fall ends.
        release: Its length.
    """

    start_sec: float
    attack: float
    end_sec: float
    release: float

    def values(self, time_sec: np.ndarray) -> np.ndarray:
        """(T,) weights in [0, 1] at (T,) seconds of the clip."""
        rise = smoothstep((time_sec - self.start_sec) / self.attack)
        return rise * smoothstep((self.end_sec - time_sec) / self.release)


def idle_noise(
    rng: np.random.Generator, time_sec: np.ndarray, channels: int, rate: float
) -> np.ndarray:
    """Smooth noise of about unit size.

    Args:
        rng: Source of rates and phases.
        time_sec: (T,) seconds.
        channels: C, independent courses.
        rate: Typical cycles per second.

    Returns:
        (T, C).
    """
    rates = rate * rng.uniform(0.3, 1.6, (3, channels))
    phases = rng.random((3, channels))
    out = np.zeros((len(time_sec), channels))
    for r, p, weight in zip(rates, phases, (0.9, 0.7, 0.5), strict=True):
        out += weight * np.sin(TURN * (time_sec[:, None] * r + p))
    return out
