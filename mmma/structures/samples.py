"""Segments as tensors: data samples, suppression, and windows merged into videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmma.structures.segments import Detections, NmsOptions
from mmma.taxonomy import check_choice

_MIN_LENGTH = 1e-6  # what is shorter counts as a moment


def segment_iou_pairs(pred: Tensor, gt: Tensor) -> Tensor:
    """Temporal IoU of segments with the same index, with gradients.

    Args:
        pred: (n, 2), columns start and end, in any unit.
        gt: (n, 2).

    Returns:
        (n,), in [0, 1], at least float32; where both are moments it is 0, and so is
        the gradient.

    Raises:
        ValueError: Other shapes.
    """
    return _iou_pairs(*_pairs(pred, gt))


def segment_diou_pairs(pred: Tensor, gt: Tensor) -> Tensor:
    """Distance IoU of segments with the same index, with gradients.

    IoU minus the square of the distance of the centres over the length that encloses
    both. One value per pair: memory grows with n, not with its square.

    Args:
        pred: (n, 2), columns start and end, in any unit.
        gt: (n, 2).

    Returns:
        (n,), in (-1, 1], at least float32: 1 for equal segments, below 0 for distant
        ones, 0 for two equal moments.

    Raises:
        ValueError: Other shapes.

    Source: Zheng et al., Distance-IoU Loss, in one dimension as in ActionFormer.
    """
    first, second = _pairs(pred, gt)
    distance = (first.sum(-1) - second.sum(-1)) / 2
    around = torch.maximum(first[:, 1], second[:, 1]) - torch.minimum(
        first[:, 0], second[:, 0]
    )
    return _iou_pairs(first, second) - _ratio(distance, around).square()


def _pairs(pred: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
    if pred.dim() != 2 or pred.shape[1] != 2 or pred.shape != gt.shape:
        raise ValueError(
            f'segments of shapes {tuple(pred.shape)} and {tuple(gt.shape)}: give two '
            'of (n, 2).'
        )
    precise = torch.promote_types(pred.dtype, torch.float32)
    return pred.to(precise), gt.to(precise)


def _iou_pairs(a: Tensor, b: Tensor) -> Tensor:
    shared = torch.minimum(a[:, 1], b[:, 1]) - torch.maximum(a[:, 0], b[:, 0])
    shared = shared.clamp(min=0)
    return _ratio(shared, (a[:, 1] - a[:, 0]) + (b[:, 1] - b[:, 0]) - shared)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole; 0, also of the gradient, where the whole is a moment."""
    lasts = whole > _MIN_LENGTH
    return torch.where(lasts, part / torch.where(lasts, whole, 1), 0)


class SegmentSample(BaseDataElement):  # type: ignore[misc]
    """One window of an untrimmed video.

    Metainfo: ``video``, ``index``, ``domain``, ``subject``, ``window_start_sec``,
    ``rate`` (positions per second), ``positions``, ``duration_sec`` (of the video) and
    ``broken``.
    """

    @property
    def gt_segments(self) -> Tensor:
        """(G, 2) float32, seconds from the start of the window."""
        table: Tensor = self._gt_segments
        return table

    @gt_segments.setter
    def gt_segments(self, value: Any) -> None:
        table = torch.as_tensor(value, dtype=torch.float32)
        if table.numel() == 0:
            table = table.reshape(0, 2)
        if table.dim() != 2 or table.shape[1] != 2:
            raise ValueError(
                f'gt_segments of shape {tuple(table.shape)}: give (G, 2), start and '
                'end in seconds from the start of the window.'
            )
        self.set_field(table, '_gt_segments', dtype=Tensor)

    @gt_segments.deleter
    def gt_segments(self) -> None:
        del self._gt_segments

    @property
    def gt_labels(self) -> Tensor:
        """(G,) int64, indices of the label space."""
        labels: Tensor = self._gt_labels
        return labels

    @gt_labels.setter
    def gt_labels(self, value: Any) -> None:
        labels = torch.as_tensor(value)
        if labels.dim() != 1 or (labels.numel() and labels.is_floating_point()):
            raise ValueError(
                f'gt_labels of shape {tuple(labels.shape)} and type {labels.dtype}: '
                'give (G,) class indices.'
            )
        self.set_field(labels.long(), '_gt_labels', dtype=Tensor)

    @gt_labels.deleter
    def gt_labels(self) -> None:
        del self._gt_labels

    @property
    def valid(self) -> int:
        """Positions that exist, from the first; the rest is padding."""
        count: int = self._valid
        return count

    @valid.setter
    def valid(self, value: int) -> None:
        positions = self.get('positions')
        if value < 0 or (positions is not None and value > positions):
            raise ValueError(
                f'valid {value}: use a number from 0 to {positions}, the positions of '
                'the window.'
            )
        self.set_field(int(value), '_valid', dtype=int)

    @valid.deleter
    def valid(self) -> None:
        del self._valid

    @property
    def pred(self) -> Detections:
        """What was found, in seconds of the video, before NMS."""
        found: Detections = self._pred
        return found

    @pred.setter
    def pred(self, value: Detections) -> None:
        self.set_field(value, '_pred', dtype=Detections)

    @pred.deleter
    def pred(self) -> None:
        del self._pred


MERGE_RULES = ('relabel', 'head')
"""Where bodies come from: actions relabelled before NMS, or the body head."""


@dataclass(frozen=True)
class MergeOptions:
    """How the windows of a video become its detections.

    Attributes:
        nms: Of each level by itself.
        bodies: ``relabel`` or ``head``.
        max_candidates: Of a video and level before NMS, the best; so that memory does
            not grow with the video.

    Raises:
        ValueError: Another rule, or no candidate.
    """

    nms: NmsOptions = field(default_factory=NmsOptions)
    bodies: str = 'relabel'
    max_candidates: int = 10_000

    def __post_init__(self) -> None:
        check_choice('bodies', self.bodies, MERGE_RULES)
        if self.max_candidates < 1:
            raise ValueError(
                f'max_candidates {self.max_candidates}: use at least 1 candidate.'
            )


class WindowMerger:
    """Takes the windows of one video, in any order, and merges them.

    What it holds is bounded by ``max_candidates`` and one window, however long the
    video is. As the best of all are the best of the best, the result does not depend
    on how windows are handed over.

    Args:
        body_of: (K,) body group of each action.
        options: Default: ``MergeOptions()``.
    """

    def __init__(
        self, body_of: Sequence[int], options: MergeOptions | None = None
    ) -> None:
        self.body_of = list(body_of)
        self.options = options or MergeOptions()
        self._kept: dict[str, Detections] = {}

    def add(self, actions: Detections, bodies: Detections | None = None) -> None:
        """Take a window.

        Args:
            actions: Before NMS, seconds of the video.
            bodies: Of the body head; only needed for the rule ``head``.

        Raises:
            ValueError: The rule is ``head`` and the model has no such head.
        """
        self._add('action', actions)
        if self.options.bodies == 'head':
            if bodies is None:
                raise ValueError(
                    "bodies 'head': the model has no body head. Use bodies 'relabel', "
                    'or a model whose head has body=dict().'
                )
            self._add('body', bodies)

    def candidates(self, level: str) -> Detections:
        """What is held of a level, in any order."""
        return self._kept.get(level, Detections.empty())

    def finish(self) -> dict[str, Detections]:
        """Detections by level, best first; the next video may be added then."""
        actions, bodies = self.candidates('action'), self.candidates('body')
        self._kept = {}
        if self.options.bodies == 'relabel':
            bodies = actions.to_bodies(self.body_of)
        levels = {'action': actions, 'body': bodies}
        return {level: found.nms(self.options.nms) for level, found in levels.items()}

    def _add(self, level: str, found: Detections) -> None:
        joined = Detections.concat([self.candidates(level), found])
        if len(joined) > self.options.max_candidates:
            joined = joined.top(self.options.max_candidates)
        self._kept[level] = joined
