"""Stub: simulated motion (being written)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmma.simulation.domains import DomainStyle
from mmma.simulation.subjects import Subject


@dataclass(frozen=True)
class Event:
    action: str
    start_sec: float
    end_sec: float


@dataclass
class Motion:
    joints: np.ndarray
    fps: float


def simulate_motion(
    subject: Subject,
    style: DomainStyle,
    events: Sequence[Event],
    duration_sec: float,
    fps: float,
    rng: np.random.Generator,
) -> Motion:
    frames = max(1, round(duration_sec * fps))
    return Motion(rng.normal(size=(frames, 72, 3)), fps)


def action_effectors(action: str) -> frozenset[str]:
    """Subset of {'torso', 'head', 'shoulders', 'hands', 'legs'} that an action moves."""
    return frozenset({'hands'})
