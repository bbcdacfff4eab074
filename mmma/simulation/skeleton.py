"""Stub: observed skeletons (being written)."""

from __future__ import annotations

import numpy as np

from mmma.simulation.domains import DomainStyle
from mmma.simulation.motion import Motion
from mmma.simulation.subjects import Subject


def observe_skeleton(
    motion: Motion, subject: Subject, style: DomainStyle, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    frames = len(motion.joints)
    size = np.array(style.size)
    keypoints = rng.uniform(0, 1, (frames, 65, 2)) * size
    return keypoints.astype(np.float32), np.full((frames, 65), 0.9, np.float32)
