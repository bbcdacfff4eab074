"""Stub: drawn frames (being written)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmma.simulation.domains import DomainStyle
from mmma.simulation.motion import Motion
from mmma.simulation.subjects import Subject


def render_frames(
    motion: Motion, subject: Subject, style: DomainStyle, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    width, height = style.size
    for _ in range(len(motion.joints)):
        yield rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
