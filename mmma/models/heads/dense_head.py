"""Dense head of temporal detection: scores of every class at every position."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import functional as F

from mmma.models.heads.action_head import fill_options
from mmma.models.heads.segment_heads import PointScores, Samples, Tensors
from mmma.models.layers import through
from mmma.models.losses import sigmoid_focal_loss
from mmma.registry import MODELS
from mmma.structures.samples import SegmentSample
from mmma.structures.segments import MOMENT_MARGIN, Segments
from mmma.taxonomy import check_choice

LOSSES = {
    'focal': sigmoid_focal_loss,
    'bce': partial(F.binary_cross_entropy_with_logits, reduction='none'),
}
_RUNS = dict(hysteresis=0.7, min_sec=0.0, top_k=2000)
_THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def covered_positions(sample: SegmentSample, positions: int, classes: int) -> Tensor:
    """Which classes are true where, (P, K): somewhere at least, as in frame mAP."""
    table = sample.gt_segments * sample.rate
    first, stop = (table - MOMENT_MARGIN).ceil().unbind(dim=1)
    nearest = table.mean(dim=1).round().clamp(0, sample.valid - 1)
    first, stop = (
        torch.where(stop <= first, nearest + i, (first, stop)[i]) for i in (0, 1)
    )
    places = torch.arange(positions, device=table.device)[:, None]
    inside = (places >= first) & (places < stop)  # (P, G)
    return inside.float() @ F.one_hot(sample.gt_labels, classes).float() > 0


def at_finest(levels: Tensors, masks: Tensors) -> Tensor:
    """Sum (N, C, P) of levels (N, C, P_l), linear between points that exist."""
    total = levels[0]
    places = torch.arange(total.shape[-1], device=total.device)
    for level, (x, mask) in enumerate(zip(levels[1:], masks[1:], strict=True), 1):
        low = places >> level
        high = (low + 1).clamp(max=x.shape[-1] - 1)
        share = (places / 2**level - low) * mask[:, high]  # (N, P)
        total = total + torch.lerp(x[..., low], x[..., high], share[:, None])
    return total


def score_runs(scores: np.ndarray, threshold: float, low: float) -> np.ndarray:
    """Runs of (P, C) scores above ``low`` that reach above a threshold somewhere.

    First position, the one behind the last, class, mean and highest score, (n, 5).
    """
    rows = np.pad(scores.T.astype(np.float64), ((0, 0), (0, 1)))  # parted by a 0
    values = rows.ravel()
    ends = np.flatnonzero(np.diff(values > low, prepend=False)).reshape(-1, 2)
    if not len(ends):
        return np.empty((0, 5))
    highest = np.maximum.reduceat(values, ends[:, 0])
    label, sums = ends[:, 0] // rows.shape[1], np.append(0, values.cumsum())
    mean = np.diff(sums[ends])[:, 0] / np.diff(ends)[:, 0]
    places = (ends - label[:, None] * rows.shape[1]).T
    return np.stack([*places, label, mean, highest], axis=1)[highest > threshold]


@MODELS.register_module()
class DenseHead(PointScores, BaseModule):
    """Every position scores every class, any number of which may be true there.

    Segments are runs of positions that score above a threshold, half a position longer
    at both ends; several thresholds give several lengths, and NMS chooses. A sample
    gets what a ``SegmentHead`` gives it, and ``pred_frames``. All is in float32; the
    loss is divided by a running mean of the number of true pairs of position and class.

    Args:
        levels: ``finest`` sees the first level, ``all`` the sum of all, upsampled.
        loss: ``focal`` or ``bce``.
        test_cfg: ``thresholds`` of runs, rising, in (0, 1); ``hysteresis``, the share
            of a threshold above which a run that reaches it goes on; ``min_sec``, its
            least length; ``score``, ``mean`` or ``max`` of it; ``top_k`` of a window.
        **sizes: And other arguments: as of ``SegmentHead``.

    Raises:
        ValueError: An unknown option, or a label space of another size.
    """

    def __init__(
        self,
        num_classes: int,
        levels: str = 'all',
        loss: str = 'focal',
        label_space: str | Mapping[str, Any] = 'mma82',
        body: Mapping[str, float] | None = None,
        test_cfg: Mapping[str, Any] | None = None,
        **sizes: int,
    ) -> None:
        super().__init__()
        self.levels = check_choice('levels', levels, ('finest', 'all'))
        self.point_loss = LOSSES[check_choice('loss', loss, tuple(LOSSES))]
        cfg = dict(test_cfg or {})
        self.thresholds = tuple(cfg.pop('thresholds', _THRESHOLDS))
        score = check_choice('score', cfg.pop('score', 'mean'), ('mean', 'max'))
        self.score_at = dict(mean=3, max=4)[score]
        self.test_cfg = fill_options('test_cfg of DenseHead', _RUNS, cfg)
        rising = (np.diff((0.0, *self.thresholds, 1.0)) > 0).all()
        if not (rising and self.thresholds and 0 < self.test_cfg['hysteresis'] <= 1):
            given = f'thresholds {self.thresholds}, hysteresis of {self.test_cfg}'
            raise ValueError(f'{given}: must rise from 0 to 1; be above 0, up to 1.')
        self._build_scores(num_classes, **sizes)
        self._build_bodies(label_space, 'DenseHead', body)

    def forward(self, levels: Tensors, masks: Tensors) -> dict[str, Tensor]:
        """Logits at the P positions: ``cls`` (N, K, P), with ``body`` (N, B, P)."""
        levels = [x.float() for x in levels]
        x = at_finest(levels, masks) if self.levels == 'all' else levels[0]
        x = through(self.cls_convs, x, masks[0])
        heads = {'cls': self.cls_head, 'body': self.body_head}
        return {name: head(x) for name, head in heads.items() if head is not None}

    def loss(
        self, levels: Tensors, masks: Tensors, samples: Samples
    ) -> dict[str, Tensor]:
        """``loss_cls``, with ``body`` also ``loss_body``, of samples with truth."""
        with torch.autocast(levels[0].device.type, enabled=False):
            logits, valid = self(levels, masks), masks[0]
            size = valid.shape[1], self.num_classes
            hits = torch.stack([covered_positions(s, *size) for s in samples])
            hits = hits.to(valid.device)[valid]  # (n, K)
            total, losses = self._normalizer(hits.sum()), {}
            for name, own in logits.items():
                wanted = hits if name == 'cls' else self._body_hits(hits)
                loss = self.point_loss(own.transpose(1, 2)[valid], wanted.float()).sum()
                weight = 1.0 if name == 'cls' else self.body['loss_weight']
                losses[f'loss_{name}'] = weight * loss / total
            return losses

    @torch.no_grad()
    def detect(
        self, levels: Tensors, masks: Tensors, samples: Samples
    ) -> list[tuple[Segments, Segments | None]]:
        """Detections of each window, as of ``SegmentHead``; adds ``pred_frames``."""
        with torch.autocast(levels[0].device.type, enabled=False):
            logits = self(levels, masks)
        scores = torch.cat([*logits.values()], dim=1).sigmoid().transpose(1, 2)
        found = []
        for own, sample in zip(scores.cpu().numpy(), samples, strict=True):
            own = own[: int(sample.valid)]
            first = round(sample.window_start_sec * sample.rate)
            sample.pred_frames = first, float(sample.rate), own
            parts = own[:, : self.num_classes], own[:, self.num_classes :]
            actions, bodies = (self._runs(part, sample) for part in parts)
            found.append((actions, None if self.body_head is None else bodies))
        return found

    def _runs(self, scores: np.ndarray, sample: SegmentSample) -> Segments:
        """Segments of a window's scores (P, C), best first, in seconds of the video."""
        share = self.test_cfg['hysteresis']
        runs = [score_runs(scores, t, share * t) for t in self.thresholds]
        table = np.unique(np.concatenate(runs), axis=0)
        least = self.test_cfg['min_sec'] * sample.rate - MOMENT_MARGIN
        table = table[table[:, 1] - table[:, 0] >= least]
        segments = (table[:, :2] - 0.5) / sample.rate + sample.window_start_sec
        segments = segments.clip(0, sample.duration_sec)
        found = Segments(
            segments, table[:, self.score_at], table[:, 2].astype(np.int64)
        )
        return found.top(int(self.test_cfg['top_k']))
