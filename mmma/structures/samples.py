"""Segments as tensors: data samples, suppression, and windows merged into videos."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmma.structures.segments import FrameScores, NmsOptions, Segments
from mmma.taxonomy import check_choice

_MIN_LENGTH = 1e-6  # what is shorter counts as a moment


def segment_iou_pairs(pred: Tensor, gt: Tensor) -> Tensor:
    """Temporal IoU of (n, 2) segments with the same index, with gradients.

    (n,), in [0, 1], at least float32; 0, as the gradient, where both are moments.

    Raises:
        ValueError: Other shapes.
    """
    a, b = _pairs(pred, gt)
    shared = torch.minimum(a[:, 1], b[:, 1]) - torch.maximum(a[:, 0], b[:, 0])
    shared = shared.clamp(min=0)
    return _ratio(shared, (a[:, 1] - a[:, 0]) + (b[:, 1] - b[:, 0]) - shared)


def segment_diou_pairs(pred: Tensor, gt: Tensor) -> Tensor:
    """Distance IoU of (n, 2) segments with the same index, with gradients.

    IoU minus the square of the distance of the centres over the length that encloses
    both. (n,), in (-1, 1], at least float32: 1 for equal segments, below 0 for distant
    ones, 0 for two equal moments.

    Raises:
        ValueError: Other shapes.

    Source: Zheng et al., Distance-IoU Loss, in one dimension as in ActionFormer.
    """
    first, second = _pairs(pred, gt)
    distance = (first.sum(-1) - second.sum(-1)) / 2
    ends = torch.maximum(first[:, 1], second[:, 1])
    around = ends - torch.minimum(first[:, 0], second[:, 0])
    return segment_iou_pairs(first, second) - _ratio(distance, around).square()


def _pairs(pred: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
    if pred.dim() != 2 or pred.shape[1] != 2 or pred.shape != gt.shape:
        raise ValueError(
            f'segments of shapes {tuple(pred.shape)} and {tuple(gt.shape)}: give two '
            'of (n, 2).'
        )
    precise = torch.promote_types(pred.dtype, torch.float32)
    return pred.to(precise), gt.to(precise)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole; 0, also of the gradient, where the whole is a moment."""
    lasts = whole > _MIN_LENGTH
    return torch.where(lasts, part / torch.where(lasts, whole, 1), 0)


class SegmentSample(BaseDataElement):  # type: ignore[misc]
    """One window of an untrimmed video.

    Metainfo: ``video``, ``index``, ``domain``, ``subject``, ``window_start_sec``,
    ``rate`` (positions per second), ``positions``, ``duration_sec`` (of the video) and
    ``broken``.

    Attributes:
        gt_segments: (G, 2) float32, seconds from the start of the window.
        gt_labels: (G,) int64, indices of the label space.
        valid: Positions that exist, from the first; the rest is padding.
        pred: Segments that were found, in seconds of the video, before NMS.
        pred_frames: Of a dense head: number of the first position in the video,
            positions per second, scores (valid, C).

    Raises:
        ValueError: Truth of another shape, or more positions than the window has.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name == 'gt_segments':
            value = torch.as_tensor(value, dtype=torch.float32)
            value = value if value.numel() else value.reshape(0, 2)
            if value.dim() != 2 or value.shape[1] != 2:
                raise ValueError(
                    f'gt_segments of shape {tuple(value.shape)}: give (G, 2), start '
                    'and end in seconds from the start of the window.'
                )
        elif name == 'gt_labels':
            value = torch.as_tensor(value)
            if value.dim() != 1 or (value.numel() and value.is_floating_point()):
                raise ValueError(
                    f'gt_labels of shape {tuple(value.shape)} and type {value.dtype}: '
                    'give (G,) class indices.'
                )
            value = value.long()
        elif name == 'valid':
            positions = self.get('positions')
            if value < 0 or (positions is not None and value > positions):
                raise ValueError(
                    f'valid {value}: use a number from 0 to {positions}, the positions '
                    'of the window.'
                )
        super().__setattr__(name, value)


MERGE_RULES = ('relabel', 'head')
"""Sources of bodies: actions relabelled before NMS, or the body head."""
PIECE_SHARE = 0.75
"""Share of a window that a piece of a longer segment fills, as in training."""
_PIECE_SCORE = 0.1  # a piece is found, and not among all that may be


def join_pieces(found: Segments, window_sec: float) -> Segments:
    """Add what pieces from several windows make together to segments of one video.

    Pieces are those that fill ``PIECE_SHARE`` of a window with half the best score of
    their class. Those of a class that overlap are one segment as well, of the best of
    their scores, if it is longer than a window. Nothing else changes.
    """
    starts, ends = found.segments_sec.T
    long = (ends - starts >= PIECE_SHARE * window_sec) & (found.scores >= _PIECE_SCORE)
    added = []
    for label in np.unique(found.labels[long]):
        rows = np.flatnonzero(long & (found.labels == label))
        rows = rows[found.scores[rows] >= found.scores[rows].max() / 2]
        rows = rows[np.argsort(starts[rows], kind='stable')]
        apart = starts[rows[1:]] > np.maximum.accumulate(ends[rows])[:-1]
        for group in np.split(rows, np.flatnonzero(apart) + 1):
            start_sec, end_sec = starts[group].min(), ends[group].max()
            if len(group) > 1 and end_sec - start_sec > window_sec:
                added.append((start_sec, end_sec, found.scores[group].max(), label))
    if not added:
        return found
    table = np.array(added)
    whole = Segments(table[:, :2], table[:, 2], table[:, 3].astype(np.int64))
    return Segments.concat([found, whole])


class WindowMerger:
    """Takes the windows of one video, in any order, and merges them.

    As the best of all are the best of the best, the result does not depend on how
    windows are handed over.

    Args:
        body_of: (K,) body group of each action; without any, groups get no segments.
        nms: Of each level by itself.
        bodies: One of ``MERGE_RULES``.
        max_candidates: Of a video and level before NMS, the best; so that memory does
            not grow with the video.
        join_sec: Length of a window, whose pieces of longer segments are joined; None
            joins none.

    Raises:
        ValueError: Another rule, or no candidate.
    """

    def __init__(
        self,
        body_of: Sequence[int],
        nms: NmsOptions | None = None,
        bodies: str = 'relabel',
        max_candidates: int = 10_000,
        join_sec: float | None = None,
    ) -> None:
        check_choice('bodies', bodies, MERGE_RULES)
        if max_candidates < 1:
            raise ValueError(
                f'max_candidates {max_candidates}: use at least 1 candidate.'
            )
        self.body_of = list(body_of)
        self.nms = nms or NmsOptions()
        self.bodies = bodies
        self.max_candidates, self.join_sec = max_candidates, join_sec
        self._kept: dict[str, Segments] = {}
        self._frames: list[tuple[int, float, np.ndarray]] = []

    def add(
        self, actions: Segments, bodies: Segments | None = None, frames: Any = None
    ) -> None:
        """Take what was found in a window, before NMS, in seconds of the video.

        Frames, ``pred_frames`` of a ``SegmentSample``, are all kept.

        Raises:
            ValueError: The rule is ``head`` and the model has no such head.
        """
        found = {'action': actions}
        if self.bodies == 'head' and self.body_of:
            if bodies is None:
                raise ValueError(
                    "bodies 'head': the model has no body head. Use bodies 'relabel', "
                    'or a model whose head has body=dict().'
                )
            found['body'] = bodies
        if frames is not None:
            wide = len(self.body_of) if self.bodies == 'relabel' else None
            self._frames.append((*frames[:2], frames[2][:, : wide or None]))
        for level, own in found.items():
            if level in self._kept:
                own = Segments.concat([self._kept[level], own])
            full = len(own) > self.max_candidates
            self._kept[level] = own.top(self.max_candidates) if full else own

    def finish(self) -> dict[str, Any]:
        """Segments by level, best first; the next video may be added then.

        Of a dense head also ``frames``, ``FrameScores``: the mean over windows.
        """
        none = Segments([], [], [])  # type: ignore[arg-type]
        wanted = ('action', 'body') if self.body_of else ('action',)
        levels = {level: self._kept.pop(level, none) for level in wanted}
        if self.join_sec:
            levels = {k: join_pieces(own, self.join_sec) for k, own in levels.items()}
        if self.bodies == 'relabel' and self.body_of:
            levels['body'] = levels['action'].to_bodies(self.body_of)
        frames, self._frames = self._frames, []
        done = {level: found.nms(self.nms) for level, found in levels.items()}
        return done | ({'frames': FrameScores.merged(frames)} if frames else {})
