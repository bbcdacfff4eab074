"""How a run is set up, and what testing it gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmma.config import model_name
from mmma.protocols import make_protocol

if TYPE_CHECKING:
    from mmma.evaluation.scores import ScoreTable
    from mmma.structures.segments import Detections


@dataclass(frozen=True)
class TestOptions:
    """How to test.

    Attributes:
        subset: ``test`` or ``val``.
        skip_broken: Leave out clips or videos that cannot be read, and name them.
        trust: Allow the checkpoint to be a pickle that can run code.
        allow_simulated: Allow weights trained on simulated data on real data.
        allow_extractor: Allow skeletons of another extractor than in training.
        work_dir: Folder of the logs; None names one after the config.
        launcher: ``none``, ``pytorch`` or ``slurm``.
        cache: Few-shot: keep features on disk, and use those that are there.
    """

    __test__ = False  # not a pytest class

    subset: str = 'test'
    skip_broken: bool = False
    trust: bool = False
    allow_simulated: bool = False
    allow_extractor: bool = False
    work_dir: str | None = None
    launcher: str = 'none'
    cache: bool = True


@dataclass(frozen=True)
class DetectedVideos:
    """What was found in each video, after NMS.

    Attributes:
        actions: By video.
        bodies: Of body groups, for the same videos in the same order.
    """

    actions: Mapping[str, Detections]
    bodies: Mapping[str, Detections]

    @property
    def names(self) -> tuple[str, ...]:
        """The videos."""
        return tuple(self.actions)

    def select(self, names: Iterable[str]) -> DetectedVideos:
        """Some of the videos, in that order."""
        chosen = list(names)
        return DetectedVideos(
            {name: self.actions[name] for name in chosen},
            {name: self.bodies[name] for name in chosen},
        )


@dataclass(frozen=True)
class Scored:
    """What a model says of one group of rows.

    Attributes:
        table: Of the tested clips or videos.
        labels: What the row is: ``target``, ``shots``, ``run``, ``control``, ...
        broken: Clips or videos that were left out because they could not be read.
    """

    table: ScoreTable | DetectedVideos
    labels: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What testing a checkpoint gave.

    Attributes:
        groups: Scores, in the order of the results' rows.
        checkpoint: Path, SHA-256 and ``pretrain_data`` of the weights.
        seen_domains: Domains the weights were trained on; None where they do not say.
        selected_on: How the checkpoint was chosen; None for the last of a run.
        device: What it ran on.
    """

    groups: list[Scored]
    checkpoint: dict[str, Any]
    seen_domains: list[str] | None
    selected_on: dict[str, Any] | None
    device: str


def set_environment(cfg: Any, launcher: str) -> None:
    """Set the launcher, and a backend that this machine has."""
    import torch
    from mmengine.config import ConfigDict

    cfg.launcher = launcher
    if not torch.cuda.is_available():
        cfg.env_cfg.dist_cfg.backend = 'gloo'
        cfg.model_wrapper_cfg = ConfigDict(
            type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False
        )


def default_folder(cfg: Any) -> Path:
    """``work_dirs/<model>_<data>/<protocol>`` for a resolved config."""
    return Path('work_dirs', model_name(cfg), make_protocol(cfg.protocol).tag())
