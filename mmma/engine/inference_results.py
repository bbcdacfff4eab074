"""How a user's video is looked at, and what that gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from mmma.taxonomy import check_choice

SEGMENT_THRESHOLD = 0.2
"""Of detection, unless the user says. On the simulated test videos of the laboratory,
``skeletondet-tiny`` then shows 3.7 segments per video, as many as are true."""


@dataclass(frozen=True)
class InferenceOptions:
    """How to look at a video.

    Attributes:
        threshold: From which score, in [0, 1], an action is named. Below it recognition
            abstains and detection drops the segment. None: 0 for recognition,
            ``SEGMENT_THRESHOLD`` for detection.
        allow_simulated: Allow weights trained on simulated data on real video.
        allow_extractor: Allow skeletons of another extractor than in training.
        private: No network, and no name of a file in what is said.
        device: ``cpu``, ``cuda`` or ``cuda:N``; None takes the GPU if there is one.
        pose_backend: What finds joints: ``mediapipe`` or ``rtmlib``.
        pose_models: rtmlib: folder of ``det.onnx`` and ``pose.onnx``.
        persons: rtmlib: most people to keep.
        smooth: mediapipe: smooth the body over time, which damps small motion.

    Raises:
        ValueError: A threshold outside [0, 1], or a device that is not there.
    """

    threshold: float | None = None
    allow_simulated: bool = False
    allow_extractor: bool = False
    private: bool = False
    device: str | None = None
    pose_backend: str = 'mediapipe'
    pose_models: Path | None = None
    persons: int = 1
    smooth: bool = False

    def __post_init__(self) -> None:
        if not 0 <= (self.threshold or 0) <= 1:
            raise ValueError(f'threshold {self.threshold}: use a score from 0 to 1.')
        gpus = [f'cuda:{i}' for i in range(torch.cuda.device_count())]
        allowed = ('cpu', *(['cuda'] if gpus else []), *gpus)
        check_choice('device', self.device or 'cpu', allowed)

    def threshold_of(self, task: str) -> float:
        """Lowest score that counts in ``rec`` or ``det``."""
        if self.threshold is None:
            return SEGMENT_THRESHOLD if task == 'det' else 0.0
        return self.threshold


@dataclass(frozen=True)
class ModelCard:
    """What there is to know of a model.

    Attributes:
        name: Model-zoo name, or that of the file.
        task: ``rec`` or ``det``.
        modality: ``RGB`` or ``Pose``.
        sha256: Of the weights' file.
        config: Name of the config.
        config_sha256: Of the resolved config.
        label_space: Whose actions it knows.
        trained_on: Name of the data, if the weights tell.
        simulated: Whether those are simulated.
        extractor: What finds the joints for it; None for pictures.
    """

    name: str
    task: str
    modality: str
    sha256: str
    config: str
    config_sha256: str
    label_space: str
    trained_on: str | None
    simulated: bool
    extractor: str | None


@dataclass(frozen=True)
class Finding:
    """An action or a body group, when, and how sure the model is.

    Attributes:
        start_sec: Start, seconds from the first frame.
        end_sec: End, exclusive.
        action: Its name; None of a body group, and where the model abstains.
        body: Name of the body group; None where the model abstains.
        score: Probability that the model gives it, in [0, 1].
    """

    start_sec: float
    end_sec: float
    action: str | None
    body: str | None
    score: float


@dataclass(frozen=True)
class Recognition:
    """What a recognizer says of a clip.

    Attributes:
        model: The model.
        actions: All actions, the likeliest first.
        bodies: All body groups, the likeliest first.
        abstained: The best score is below the threshold, or nobody is seen.
        threshold: From which score the best action is named.
        notes: What to bear in mind.
    """

    model: ModelCard
    actions: tuple[Finding, ...]
    bodies: tuple[Finding, ...]
    abstained: bool
    threshold: float
    notes: tuple[str, ...] = ()

    @property
    def simulated(self) -> bool:
        """Whether the weights have only ever seen simulated people."""
        return self.model.simulated

    @property
    def answer(self) -> Finding:
        """The likeliest action; without a name where the model abstains."""
        best = self.actions[0]
        if not self.abstained:
            return best
        return Finding(best.start_sec, best.end_sec, None, None, best.score)


@dataclass(frozen=True)
class Detection:
    """What a detector found in a video.

    Attributes:
        model: The model.
        segments: Actions from the threshold on, the best first.
        bodies: Body groups from the threshold on, the best first.
        dropped: Actions below the threshold.
        threshold: From which score a segment is kept.
        abstained: Nobody is seen, so nothing was looked for.
        notes: What to bear in mind.
    """

    model: ModelCard
    segments: tuple[Finding, ...]
    bodies: tuple[Finding, ...]
    dropped: int
    threshold: float
    abstained: bool = False
    notes: tuple[str, ...] = ()

    @property
    def simulated(self) -> bool:
        """Whether the weights have only ever seen simulated people."""
        return self.model.simulated
