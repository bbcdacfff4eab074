"""Interface of pose extractors, and their options."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
    return importlib.import_module(BACKENDS[options.backend]).describe(options)


def build_extractor(options: PoseOptions) -> Extractor:
    """Load an extractor.

    Args:
        options: Of the extractor.
    """
    return importlib.import_module(BACKENDS[options.backend]).build(options)
