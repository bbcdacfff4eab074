"""Heads of temporal detection: ActionFormer and TriDet, multi-label."""

import itertools
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmcv.cnn import Scale
from mmengine.dist import all_reduce
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmma.models.heads.action_head import ClassesOfData, fill_options
from mmma.models.layers import MaskedConv, blank, through
from mmma.models.losses import sigmoid_focal_loss
from mmma.models.pyramid import Points, pyramid_points
from mmma.registry import MODELS
from mmma.structures.samples import SegmentSample, segment_diou_pairs, segment_iou_pairs
from mmma.structures.segments import Segments
from mmma.taxonomy import check_choice

TARGETS = ('shortest', 'union')
RADIUS = 1.5
"""Strides around the centre of a truth. Source: ActionFormer, as the next."""
PRIOR = 0.01  # score of all classes at the start
_SAME_LENGTH = 1e-3  # positions

Tensors, Samples = Sequence[Tensor], Sequence[SegmentSample]
Values = Mapping[str, Tensor]
Outputs = tuple[Values, Points, Tensor]
Pairs = tuple[Tensor, Tensor, Tensor]
"""Windows of a batch, points and classes of n pairs, (n,) each."""


def assign_truths(
    points: Points,
    segments: Tensor,
    labels: Tensor,
    num_classes: int,
    targets: str = 'shortest',
) -> tuple[Tensor, Tensor]:
    """Index of the truth of each point (P,) and each class at it (P, K), -1 for none.

    A truth is a candidate of a point that lies inside it, within 1.5 strides of its
    centre, if the distance to its further end is in the range of the point's level.
    Of several candidates the shortest gives the point its segment. Its classes are
    those of the candidates of that length (``shortest``: a longer instance of another
    class is background there), or of all (``union``); of a class the shortest,
    of equal lengths the first in the list. Segments (G, 2) are in positions.

    Source: OpenTAD ``AnchorFreeHead.prepare_targets``; ``union`` is its
        ``filter_similar_gt=False``.
    """
    num_points, num_truths = len(points.times), len(segments)
    if num_truths == 0:
        owners = labels.new_full((num_points, num_classes + 1), -1)
        return owners[:, 0], owners[:, 1:]
    lengths = segments[:, 1] - segments[:, 0]
    order = lengths.argsort(stable=True)
    segments, lengths = segments[order], lengths[order]  # from here shortest first
    times = points.times[:, None]
    starts, ends = segments.unbind(dim=1)
    centres, around = (starts + ends) / 2, RADIUS * points.strides[:, None]
    fits = times > torch.maximum(starts, centres - around)  # (P, G)
    fits &= times < torch.minimum(ends, centres + around)
    furthest = torch.maximum(times - starts, ends - times)
    fits &= (furthest >= points.low[:, None]) & (furthest <= points.high[:, None])
    rank = torch.arange(num_truths, device=fits.device).expand_as(fits)
    rank = torch.where(fits, rank, num_truths)
    best = rank.amin(dim=1)
    if targets == 'shortest':
        reach = torch.cat([lengths, lengths.new_zeros(1)])[best] + _SAME_LENGTH
        rank = torch.where(lengths <= reach[:, None], rank, num_truths)
    by_class = rank.new_full((num_points, num_classes), num_truths)
    classes = labels[order].expand_as(rank)
    by_class = by_class.scatter_reduce(1, classes, rank, 'amin')
    order = torch.cat([order, order.new_tensor([-1])])
    return order[best], order[by_class]


def reach_points(segments: Tensor, count: int) -> Tensor:
    """Segments (G, 2) in positions; those between points reach to the nearest one.

    Else an instance of one frame could have no point to be learned at. Those with one
    of the ``count`` points of the finest level inside stay as they are.
    """
    starts, ends = segments.unbind(dim=1)
    nearest = ((starts + ends) / 2).round().clamp(0, count - 1)
    starts = torch.minimum(starts, nearest - _SAME_LENGTH)
    ends = torch.maximum(ends, nearest + _SAME_LENGTH)
    between = segments[:, 1] <= segments[:, 0].floor() + 1
    return torch.where(between[:, None], torch.stack([starts, ends], dim=1), segments)


class PointScores(ClassesOfData):
    """Part of a head that scores classes at points, by towers of convolutions."""

    class_layers: tuple[str, ...] = ('cls_head',)
    body_layers = ('body_head',)
    towers: tuple[str, ...] = ('cls_convs',)

    def _build_scores(
        self,
        num_classes: int,
        in_channels: int = 512,
        feat_channels: int = 512,
        num_convs: int = 2,
    ) -> None:
        self.num_classes = num_classes
        self.register_buffer('loss_normalizer', torch.tensor(100.0))
        self._widths = [in_channels] + [feat_channels] * num_convs
        for name in self.towers:
            setattr(self, name, self._tower())
        self.cls_head = self._layer(num_classes, PRIOR)

    def _build_bodies(self, label_space: Any, where: str, body: Any) -> None:
        self.body_head: nn.Conv1d | None = None
        if self._know_bodies(label_space, where, body, loss_weight=1.0):
            self.body_head = self._layer(self.num_bodies, PRIOR)

    def _tower(self) -> nn.ModuleList:
        widths = itertools.pairwise(self._widths)
        return nn.ModuleList(MaskedConv(a, b) for a, b in widths)

    def _layer(self, num_outputs: int, prior: float = 0.5) -> nn.Conv1d:
        """The last layer of a tower, that starts at the given sigmoid."""
        layer = nn.Conv1d(self._widths[-1], num_outputs, 3, padding=1)
        nn.init.constant_(layer.bias, math.log(prior / (1 - prior)))
        return layer

    def _body_hits(self, hits: Tensor) -> Tensor:
        """Hits of body groups (..., B) by those of actions (..., K)."""
        groups = F.one_hot(self.body_of, self.num_bodies)
        return hits.float() @ groups.float() > 0

    def _normalizer(self, count: Tensor) -> Tensor:
        """Running mean of positive points, at least 1; in testing their number."""
        count = count.float()
        if not self.training:
            return count.clamp_min(1)
        all_reduce(count, 'mean')
        self.loss_normalizer.mul_(0.9).add_(0.1 * count.clamp_min(1))
        return self.loss_normalizer.clone()


class SegmentHead(PointScores, BaseModule):
    """Every point of every level scores every class and gives a segment.

    Classes are independent sigmoids with a focal loss; segments have a DIoU loss, and
    both weigh the same. One tower of convolutions scores, another finds the ends; all
    levels share them. Level l has a stride of 2^l positions and is for truths whose
    further end is 0 to 4, 4 to 8, 8 to 16, ... positions away. With ``body`` a further
    layer on the scoring tower scores body groups, whose targets follow from the
    actions; a body's segment is that of its likeliest action at the point.

    All is computed in float32, whatever autocast says: a point far from the start of a
    window has no exact place in a shorter type.

    Args:
        in_channels, feat_channels: Of the levels, and of the towers.
        num_convs: Convolutions with layer norm and ReLU of a tower.
        targets: ``shortest`` or ``union``; see :func:`assign_truths`.
        label_space, body: As of ``ActionHead``, without ``fusion_weight``.
        test_cfg: ``score_thr``, that scores must be above, and ``top_k`` pairs of
            point and class of a window, at most.

    Raises:
        ValueError: An unknown option, or a label space of another size.

    Source: OpenTAD ``AnchorFreeHead``, whose names of weights these are (``fc_body``
        excepted).
    """

    towers = ('cls_convs', 'reg_convs')
    iou_power = 0.0  # of what is true in the loss of scores

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 512,
        feat_channels: int = 512,
        num_convs: int = 2,
        num_levels: int = 6,
        targets: str = 'shortest',
        label_space: str | Mapping[str, Any] = 'mma82',
        body: Mapping[str, float] | None = None,
        test_cfg: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.strides = [2**level for level in range(num_levels)]
        self.targets = check_choice('targets', targets, TARGETS)
        defaults = dict(score_thr=1e-3, top_k=2000)
        self.test_cfg = fill_options('test_cfg of the head', defaults, test_cfg or {})
        self._build_scores(num_classes, in_channels, feat_channels, num_convs)
        self.scale = nn.ModuleList(Scale() for _ in self.strides)
        self._build_bodies(label_space, 'the head', body)

    def forward(self, levels: Tensors, masks: Tensors) -> dict[str, Tensor]:
        """Raw outputs at the P points of levels (N, C, P_l), finest first.

        ``cls`` (N, K, P) logits, ``reg`` (N, R, P), with ``body`` also ``body``
        (N, B, P) logits; what else a head needs.
        """
        parts = [
            self.forward_level(level, x, mask)
            for level, (x, mask) in enumerate(zip(levels, masks, strict=True))
        ]
        return {name: torch.cat([p[name] for p in parts], dim=2) for name in parts[0]}

    def forward_level(self, level: int, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Raw outputs (N, outputs, P_l) of one level."""
        scoring = through(self.cls_convs, x, mask)
        ends = self.reg_head(through(self.reg_convs, x, mask))
        found = dict(cls=self.cls_head(scoring), reg=self.scale[level](ends).relu())
        if self.body_head is not None:
            found['body'] = self.body_head(scoring)
        return found

    @abstractmethod
    def offsets(self, values: Values, points: Points, pairs: Pairs) -> Tensor:
        """Distances (n, 2) from the points of n pairs to ends of segments, in strides.

        Values are of :meth:`forward`, but ``cls``, ``reg`` and ``body`` (N, P, .).
        """

    @abstractmethod
    def targets_of(self, owners: Tensor, class_owners: Tensor) -> tuple[Pairs, Tensor]:
        """Pairs whose segments are learned, and the truth (n,) of each.

        From truths of points (N, P), and of classes at them (N, P, K); -1 for none.
        """

    def loss(
        self, levels: Tensors, masks: Tensors, samples: Samples
    ) -> dict[str, Tensor]:
        """Losses of samples with ``gt_segments``, ``gt_labels`` and ``rate``.

        ``loss_cls``, ``loss_reg``, with ``body`` also ``loss_body``; each divided by a
        running mean of the number of points that have a truth.
        """
        with torch.autocast(levels[0].device.type, enabled=False):
            values, points, valid = self._outputs(levels, masks)
            tables, found, count = [], [], 0  # truths in positions, and whose they are
            for sample in samples:
                table = sample.gt_segments.to(valid.device) * sample.rate
                tables.append(reach_points(table, int(sample.valid)))
                own = tables[-1], sample.gt_labels.to(valid.device)
                both = assign_truths(points, *own, self.num_classes, self.targets)
                found.append([torch.where(x >= 0, x + count, -1) for x in both])
                count += len(table)
            truths = torch.cat(tables)
            owners, class_owners = (torch.stack(x) for x in zip(*found, strict=True))
            owners = owners.masked_fill(~valid, -1)
            class_owners = class_owners.masked_fill(~valid[..., None], -1)
            pairs, owner = self.targets_of(owners, class_owners)
            found = self.offsets(values, points, pairs)
            wanted = points.encode(truths[owner], pairs[1])
            hits = class_owners >= 0  # (N, P, K)
            loss = self._score_loss(values['cls'], hits, pairs, (found, wanted))
            losses = dict(loss_cls=loss[valid].sum())
            if self.body_head is not None:
                bodies = self._body_hits(hits)
                loss = sigmoid_focal_loss(values['body'][valid], bodies[valid])
                losses['loss_body'] = self.body['loss_weight'] * loss.sum()
            sides = found.new_tensor([-1.0, 1.0])
            diou = segment_diou_pairs(found * sides, wanted * sides)
            losses['loss_reg'] = (1 - diou).sum()
            total = self._normalizer((owners >= 0).sum())
            return {name: loss / total for name, loss in losses.items()}

    def _outputs(self, levels: Tensors, masks: Tensors) -> Outputs:
        """Values as :meth:`offsets` takes them, points, and which exist (N, P)."""
        lengths = [x.shape[-1] for x in levels]
        points = pyramid_points(lengths, self.strides, levels[0].device)
        values = self([x.float() for x in levels], masks)
        for name in {'cls', 'reg', 'body'} & values.keys():
            values[name] = values[name].transpose(1, 2)
        return values, points, torch.cat(list(masks), dim=1)

    def _score_loss(
        self, logits: Tensor, hits: Tensor, pairs: Pairs, ends: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Loss (N, P, K) of scores; ``ends`` are offsets of pairs, found and wanted."""
        loss = sigmoid_focal_loss(logits, hits)
        if self.iou_power:
            sides = logits.new_tensor([-1.0, 1.0])
            iou = segment_iou_pairs(ends[0].detach() * sides, ends[1] * sides)
            loss[pairs] *= iou**self.iou_power
        return loss

    @torch.no_grad()
    def detect(
        self, levels: Tensors, masks: Tensors, samples: Samples
    ) -> list[tuple[Segments, Segments | None]]:
        """Detections of each window before NMS, best first.

        Of actions and, with ``body``, of body groups; in seconds of the video, cut to
        its duration. What has no length then is left out. Samples tell ``rate``,
        ``window_start_sec`` and ``duration_sec``.
        """
        with torch.autocast(levels[0].device.type, enabled=False):
            outputs = self._outputs(levels, masks)
            found = []
            for i, sample in enumerate(samples):
                actions = self._found(outputs, i, sample, 'cls')
                bodies = None
                if self.body_head is not None:
                    bodies = self._found(outputs, i, sample, 'body')
                found.append((actions, bodies))
            return found

    def _found(
        self, outputs: Outputs, index: int, sample: SegmentSample, scores_of: str
    ) -> Segments:
        """Detections of window ``index``, scored by ``cls`` or ``body``."""
        values, points, valid = outputs
        logits = values[scores_of][index]  # (P, K or B)
        scores = logits.sigmoid().masked_fill(~valid[index, :, None], 0).flatten()
        kept = (scores > self.test_cfg['score_thr']).nonzero()[:, 0]
        order = scores[kept].argsort(descending=True, stable=True)
        kept = kept[order[: int(self.test_cfg['top_k'])]]
        point, label = kept // logits.shape[1], kept % logits.shape[1]
        action = label
        if scores_of == 'body':
            others = self.body_of != label[:, None]  # (n, K)
            action = values['cls'][index, point].masked_fill(others, -math.inf)
            action = action.argmax(dim=1)
        pairs = (torch.full_like(point, index), point, action)
        segments = points.decode(self.offsets(values, points, pairs), point)
        segments = segments.double() / sample.rate + sample.window_start_sec
        segments = segments.clamp(0, sample.duration_sec)
        lasting = segments[:, 1] > segments[:, 0]
        found = (segments[lasting], scores[kept][lasting], label[lasting])
        return Segments(*(x.cpu().numpy() for x in found))


@MODELS.register_module()
class ActionFormerHead(SegmentHead):
    """Two distances per point.

    A point has one segment, so where instances of several classes overlap it cannot
    give each its own: with ``union`` targets the longer ones are scored there, with the
    segment of the shortest. ``TriDetHead`` can.

    Source: Zhang et al., 'ActionFormer', ECCV 2022.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reg_head = self._layer(2)

    def offsets(self, values: Values, points: Points, pairs: Pairs) -> Tensor:
        """See the base class; classes of a point have the same."""
        return values['reg'][pairs[0], pairs[1]]

    def targets_of(self, owners: Tensor, class_owners: Tensor) -> tuple[Pairs, Tensor]:
        """See the base class; one pair per point."""
        batch, point = (owners >= 0).nonzero(as_tuple=True)
        return (batch, point, torch.zeros_like(point)), owners[batch, point]


@MODELS.register_module()
class TriDetHead(SegmentHead):
    """Distances as the mean of a distribution over bins around a point.

    Two further towers say of every position how much it looks like the start, and the
    end, of every class. The start of a class at a point is the mean of a softmax over
    the ``num_bins`` strides before the point and the point itself: of how those
    positions look, plus what the point itself says of each bin; the end likewise.

    A class has its own segment at a point, so with ``union`` targets each instance that
    overlaps there is learned with its own ends (upstream gives them those of the
    shortest). What is true counts in the loss of scores by its IoU to the power of
    ``iou_power``, without a gradient through that weight.

    Source: Shi et al., 'TriDet', CVPR 2023, section 3.3; OpenTAD ``TriDetHead``, whose
        names of weights these are.
    """

    class_layers = ('cls_head', 'cls_start_head', 'cls_end_head')

    def __init__(
        self, num_bins: int = 16, iou_power: float = 0.2, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_bins, self.iou_power = num_bins, iou_power
        self.reg_head = self._layer(2 * (num_bins + 1))
        self.cls_start_convs, self.cls_end_convs = self._tower(), self._tower()
        self.cls_start_head = self._layer(self.num_classes)
        self.cls_end_head = self._layer(self.num_classes)

    def forward_level(self, level: int, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """See the base class; also ``start`` and ``end``, (N, K, P_l + num_bins).

        Both count as 0 where nothing exists, and in the bins that are appended before
        the first position or behind the last. Their towers do not train what is below.
        """
        found = super().forward_level(level, x, mask)
        for name, pad in (('start', (self.num_bins, 0)), ('end', (0, self.num_bins))):
            tower = getattr(self, f'cls_{name}_convs')
            looks = getattr(self, f'cls_{name}_head')(through(tower, x.detach(), mask))
            found[name] = F.pad(blank(looks, mask), pad)
        return found

    def offsets(self, values: Values, points: Points, pairs: Pairs) -> Tensor:
        """See the base class."""
        batch, point, label = pairs
        bins = torch.arange(self.num_bins + 1, device=point.device)
        # Appended bins shift the points of level l by l * num_bins.
        first = point + points.levels[point] * self.num_bins
        where = (batch[:, None], label[:, None], first[:, None] + bins)
        own = values['reg'][batch, point].unflatten(1, (2, -1))
        away = bins.to(own)
        starts = (values['start'][where] + own[:, 0]).softmax(dim=1)
        ends = (values['end'][where] + own[:, 1]).softmax(dim=1)
        return torch.stack([starts @ away.flip(0), ends @ away], dim=1)

    def targets_of(self, owners: Tensor, class_owners: Tensor) -> tuple[Pairs, Tensor]:
        """See the base class; one pair per point and class that is true there."""
        pairs = (class_owners >= 0).nonzero(as_tuple=True)
        return pairs, class_owners[pairs]
