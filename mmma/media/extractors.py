"""The interface of pose extractors, their options and rates."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmma.data.arrays import SkeletonStore
from mmma.data.joints import WHOLEBODY65
from mmma.taxonomy import check_choice

BACKENDS = {
    'mediapipe': 'mmma.media.mediapipe',
    'rtmlib': 'mmma.media.rtmlib',
}
"""Module of each backend: ``describe(options)`` names it without loading its library
(and says what is missing), ``build(options)`` loads it."""

JOINTS = {name: place for place, name in enumerate(WHOLEBODY65.names)}
NUM_JOINTS = len(JOINTS)


@dataclass(frozen=True)
class PoseOptions:
    """What finds the joints, and how.

    Attributes:
        backend: One of ``BACKENDS``.
        persons: Most people to keep per clip.
        smooth: Let mediapipe smooth the body over time, which damps small motion.
        models: rtmlib: folder of ``det.onnx`` and ``pose.onnx``.
        device: rtmlib: ``cpu``, ``cuda`` or ``cuda:N``; changes no option of the data.

    Raises:
        ValueError: An unknown backend, or no person to keep.
    """

    backend: str
    persons: int = 1
    smooth: bool = False
    models: Path | None = None
    device: str = 'cpu'

    def __post_init__(self) -> None:
        check_choice('backend', self.backend, tuple(BACKENDS))
        if self.persons < 1:
            raise ValueError(f'--persons {self.persons}: must be 1 or more')


class Extractor(ABC):
    """Finds the joints of ``WHOLEBODY65`` in the frames of one clip after another."""

    @abstractmethod
    def extract(
        self, frames: Iterable[np.ndarray], fps: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Joints of a clip; nothing of the clip before is remembered.

        Args:
            frames: (H, W, 3) uint8 RGB each, in time order.
            fps: Frames per second.

        Returns:
            Keypoints (M, T, V, 2) in pixels and scores (M, T, V) in [0, 1], 0 where a
            joint was not found.
        """


def describe_extractor(options: PoseOptions) -> str:
    """What a skeleton store records of its extractor: name, version, options.

    Args:
        options: Of the extractor.

    Raises:
        ValueError: Its library is missing, or an option is not for it.
        FileNotFoundError: Its model files are missing.
    """
    return _backend(options).describe(options)


def build_extractor(options: PoseOptions) -> Extractor:
    """Load an extractor.

    Args:
        options: Of the extractor.
    """
    return _backend(options).build(options)


def _backend(options: PoseOptions) -> Any:
    return importlib.import_module(BACKENDS[options.backend])


_BODY = slice(0, JOINTS['left_big_toe'])
_PARTS = {
    'body': _BODY,
    'left hand': slice(JOINTS['left_hand_root'], JOINTS['right_hand_root']),
    'right hand': slice(JOINTS['right_hand_root'], len(JOINTS)),
}


@dataclass(frozen=True)
class Rates:
    """Shares of the frames of a store.

    Attributes:
        frames: Their number.
        found: Part -> frames in which it was found, of anybody.
        without_body: Clips in which no body was found at all.
    """

    frames: int
    found: dict[str, int]
    without_body: int

    @classmethod
    def of(cls, store: SkeletonStore) -> Rates:
        """Count in a store of ``WHOLEBODY65``.

        Args:
            store: The skeletons of a task.
        """
        found = dict.fromkeys(_PARTS, 0)
        frames = without_body = 0
        for name in store.names:
            scores = store.get(name)[1]  # (M, T, V)
            frames += scores.shape[1]
            before = found['body']
            for part, places in _PARTS.items():
                found[part] += int(scores[..., places].any(axis=(0, 2)).sum())
            without_body += found['body'] == before
        return cls(frames, found, without_body)

    def shares(self) -> dict[str, float]:
        """Part -> share of the frames, in [0, 1]."""
        return {part: count / self.frames for part, count in self.found.items()}
