"""Segments as tensors: overlap with gradients, and NMS of many videos at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mmma.structures.segments import LENGTH_MARGIN_SEC, NmsOptions

_MIN_LENGTH = 1e-6  # what is shorter counts as a moment
_LOOK_EVERY = 8  # picks between looks at whether any is left: a look waits for the GPU


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


def class_nms_batch(
    segments: Sequence[Tensor],
    scores: Sequence[Tensor],
    labels: Sequence[Tensor],
    options: NmsOptions | None = None,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """``class_nms`` of several videos, all classes of all videos at once.

    It runs on the device of the tensors in float64 (float32 where the device has no
    other), so that it picks in the order of the numpy version.

    Args:
        segments: (n, 2) of each video.
        scores: (n,) of each video, from 0.
        labels: (n,) of each video.
        options: Default: ``NmsOptions()``.

    Returns:
        Segments, scores and labels of each video, as of ``class_nms``; on the device
        and in the type of the input.

    Raises:
        ValueError: Different numbers of videos or detections, scores below 0, segments
            that end before they start, or numbers that are not finite.
    """
    options = options or NmsOptions()
    counts = _counts(segments, scores, labels)
    if not counts:
        return []
    precise = torch.float32 if segments[0].device.type == 'mps' else torch.float64
    table = torch.cat([x.reshape(-1, 2) for x in segments])
    candidates = _Candidates(table.to(precise), torch.cat([*scores]).to(precise))
    candidates.check()
    classes = torch.cat([*labels]).long()
    videos = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    videos = videos.to(table.device)
    keep = (candidates.scores > options.min_score).nonzero()[:, 0]
    keep = keep[_sorted_by(videos[keep], classes[keep], *candidates.ends(keep))]
    values = candidates.scores[keep]
    if options.method != 'none' and len(keep):
        groups = videos[keep] * (classes.max() + 1) + classes[keep]
        values = _decayed_scores(candidates.table[keep], values, groups, options)
    order = values.nonzero()[:, 0]
    keep, values = keep[order], values[order]
    order = _sorted_by(videos[keep], -values, *candidates.ends(keep), classes[keep])
    keep, values = keep[order], values[order].to(scores[0].dtype)
    return [
        (table[keep[part]], values[part], classes[keep[part]])
        for part in _best_of_each(videos[keep], len(counts), options.max_per_video)
    ]


class _Candidates:
    """Segments (n, 2) and scores (n,) of all videos."""

    def __init__(self, table: Tensor, scores: Tensor) -> None:
        self.table = table
        self.scores = scores

    def ends(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Starts and ends of some."""
        starts, stops = self.table[index].unbind(1)
        return starts, stops

    def check(self) -> None:
        """Refuse what NMS cannot take."""
        lengths = self.table[:, 1] - self.table[:, 0]
        fine = (self.scores >= 0) & (lengths >= 0) & (self.scores + lengths).isfinite()
        if not bool(fine.all()):
            row = int((~fine).nonzero()[0])
            raise ValueError(
                f'detection {row} of all videos, {self.table[row].tolist()} with score '
                f'{float(self.scores[row])}: NMS needs finite segments that end after '
                'they start and finite scores from 0.'
            )


def _counts(*parts: Sequence[Tensor]) -> list[int]:
    """Number of detections of each video."""
    sizes = [[len(x) for x in part] for part in parts]
    if sizes[0] != sizes[1] or sizes[0] != sizes[2]:
        raise ValueError(
            f'segments, scores and labels of videos of {sizes[0]}, {sizes[1]} and '
            f'{sizes[2]} detections: give one of each per detection.'
        )
    return sizes[0]


def _sorted_by(*keys: Tensor) -> Tensor:
    """Order by the first key, then the second, and so on; equals keep their order."""
    order = torch.arange(len(keys[0]), device=keys[0].device)
    for key in reversed(keys):
        order = order[key[order].argsort(stable=True)]
    return order


def _best_of_each(videos: Tensor, num_videos: int, most: int) -> Iterator[slice]:
    """Where the first of each video are, in sorted videos."""
    begin = 0
    for count in videos.bincount(minlength=num_videos).tolist():
        yield slice(begin, begin + min(count, most))
        begin += count


def _decayed_scores(
    table: Tensor, scores: Tensor, groups: Tensor, options: NmsOptions
) -> Tensor:
    """Scores of sorted candidates at the moment they are picked; 0: they never are."""
    found = torch.zeros_like(scores)
    ends = table.T.contiguous()  # (2, n)
    for members, exists in _blocks(table, groups):
        block = torch.where(exists, scores[members], 0)  # (B, m)
        found[members[exists]] = _pick(ends[:, members], block, options)[exists]
    return found


def _blocks(table: Tensor, groups: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Candidates of one group that touch each other, padded to blocks of like sizes.

    Yields:
        (B, m) indices of candidates and which of them exist.
    """
    moments = torch.searchsorted(table.flatten().sort().values, table)  # exact ranks
    moments = moments + groups[:, None] * (2 * len(table))
    reach = moments[:, 1].cummax(0).values
    starts = torch.ones(len(table), dtype=torch.bool, device=table.device)
    starts[1:] = moments[1:, 0] >= reach[:-1]
    begins = starts.nonzero()[:, 0]
    sizes = torch.diff(begins, append=begins.new_tensor([len(table)]))
    steps = sizes.float().log2().ceil()  # a block pads to twice, at most
    for step in sorted({*steps.tolist()}):
        chosen = steps == step
        places = torch.arange(int(sizes[chosen].max()), device=table.device)
        exists = places < sizes[chosen, None]
        yield begins[chosen, None] + torch.where(exists, places, 0), exists


def _pick(members: Tensor, scores: Tensor, options: NmsOptions) -> Tensor:
    """Soft or hard NMS of several groups, one pick of each at a time.

    Args:
        members: (2, B, m) starts and ends, by start.
        scores: (B, m); 0 where there is none.
        options: Sigma, method, maximum, lowest score.

    Returns:
        (B, m) score of each member when it was picked, or 0.
    """
    rows = torch.arange(len(scores), device=scores.device)
    found = torch.zeros_like(scores)
    for step in range(min(scores.shape[1], options.max_per_video)):
        top, best = scores.max(1)  # the first of equal ones
        top = torch.where(top > options.min_score, top, 0)
        found.scatter_add_(1, best[:, None], top[:, None])
        if step % _LOOK_EVERY == _LOOK_EVERY - 1 and not bool(top.any()):
            break
        picks = members[:, rows, best, None]
        scores = scores * _decay(picks, members, options)
        scores[rows, best] = 0  # a pick is used up
    return found


def _decay(picks: Tensor, others: Tensor, options: NmsOptions) -> Tensor:
    """What the scores of others are multiplied by, (2, ...) each, broadcast."""
    shared = torch.minimum(picks[1], others[1]) - torch.maximum(picks[0], others[0])
    shared = shared.clamp(min=0)
    lengths = picks[1] - picks[0] + LENGTH_MARGIN_SEC
    lengths = lengths + (others[1] - others[0] + LENGTH_MARGIN_SEC)
    tiou = shared / (lengths - shared)
    if options.method == 'hard':
        return (tiou < options.tiou).to(tiou.dtype)
    return (tiou * tiou / -options.sigma).exp()


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
