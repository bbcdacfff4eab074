"""The sample of a window: its truth, what of it exists, and what a model found."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmma.structures.detections import Detections


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
