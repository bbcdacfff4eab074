"""Heads of temporal detection: ActionFormer and TriDet, multi-label."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmma.models.layers import MaskedConv, Scale, blank, through
from mmma.models.pyramid import Points, default_ranges, pyramid_points
from mmma.registry import MODELS
from mmma.structures.samples import SegmentSample, segment_iou_pairs
from mmma.structures.segments import Detections
from mmma.taxonomy import check_choice, load_label_space, suggest


@dataclass(frozen=True)
class PointOutputs:
    """What a head gives at the P points of all levels.

    Attributes:
        values: By name; ``cls`` (N, P, K), ``reg`` (N, P, R) and what else it gives.
        points: The points.
        valid: (N, P), bool; false where the window is padding.
    """

    values: Mapping[str, Tensor]
    points: Points
    valid: Tensor


@dataclass(frozen=True)
class Pairs:
    """n pairs of a point and a class.

    Attributes:
        batch: (n,) windows of a batch.
        point: (n,) points.
        label: (n,) classes.
    """

    batch: Tensor
    point: Tensor
    label: Tensor


TARGETS = ('shortest', 'union')
_SAME_LENGTH = 1e-3  # positions


def assign_truths(
    points: Points,
    segments: Tensor,
    labels: Tensor,
    num_classes: int,
    targets: str = 'shortest',
    radius: float = 1.5,
) -> tuple[Tensor, Tensor]:
    """Truths of points and of pairs of points and classes.

    A truth is a candidate of a point that lies inside it, within ``radius`` strides of
    its centre, if the distance to its further end is in the range of the point's level.
    Of several candidates the shortest gives the point its segment. Its classes are
    those of the candidates of that length (``shortest``: a longer instance of another
    class is background there), or of all (``union``).

    Args:
        points: P points.
        segments: (G, 2), start and end in positions.
        labels: (G,), below K.
        num_classes: K.
        targets: ``shortest`` or ``union``.
        radius: Of the centre, in strides.

    Returns:
        Index of the truth of each point (P,), and of the shortest truth of each class
        at each point (P, K); -1 for none. Of equal lengths the first in the list goes.

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
    fits = _candidates(points, segments, radius)
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


def _candidates(points: Points, segments: Tensor, radius: float) -> Tensor:
    """Which truths (G, 2) points may be for, (P, G)."""
    times = points.times[:, None]
    starts, ends = segments.unbind(dim=1)
    centres, around = (starts + ends) / 2, radius * points.strides[:, None]
    inside = times > torch.maximum(starts, centres - around)
    inside &= times < torch.minimum(ends, centres + around)
    furthest = torch.maximum(times - starts, ends - times)
    inside &= furthest >= points.low[:, None]
    return inside & (furthest <= points.high[:, None])


_BODY_OPTIONS = {'loss_weight': 1.0}
_TEST_OPTIONS = {'score_thr': 1e-3, 'top_k': 2000}


class SegmentHead(BaseModule):
    """Every point of every level scores every class and gives a segment.

    Classes are independent sigmoids. One tower of convolutions scores, another finds
    the ends; all levels share them. With ``body`` a further layer on the scoring tower
    scores body groups, whose targets follow from the actions; a body's segment is that
    of its likeliest action at the point.

    All is computed in float32, whatever autocast says: a point far from the start of a
    window has no exact place in a shorter type.

    Args:
        num_classes: K.
        in_channels: Channels of the levels.
        feat_channels: Channels of the towers.
        num_convs: Convolutions with layer norm and ReLU of a tower.
        num_levels: Levels; level l has a stride of 2^l positions.
        ranges: For each level the least and the largest distance, in positions, to the
            further end of a truth it is for; default 0, 4, 8, 16 and so on, the last
            level open.
        radius: How far from the centre of a truth, in strides, its points lie.
        targets: ``shortest`` or ``union``; see :func:`assign_truths`.
        prior: Score of all classes at the start.
        loss_cls: Loss of scores, element by element.
        loss_reg: Loss of segments, pair by pair.
        reg_weight: Factor of the loss of segments; 0 or less lets it weigh as much as
            that of scores.
        label_space: Whose body groups count until :meth:`set_classes` is called.
        body: None, or ``loss_weight`` of the body scores.
        test_cfg: ``score_thr``, that scores must be above, and ``top_k`` pairs of
            point and class of a window, at most.

    Raises:
        ValueError: An unknown option, or a label space of another size.

    Source: OpenTAD ``AnchorFreeHead``, whose names of weights these are (``fc_body``
        excepted).
    """

    class_layers: tuple[str, ...] = ('cls_head',)
    body_layers = ('body_head',)

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 512,
        feat_channels: int = 512,
        num_convs: int = 2,
        num_levels: int = 6,
        ranges: Sequence[tuple[float, float]] | None = None,
        radius: float = 1.5,
        targets: str = 'shortest',
        prior: float = 0.01,
        loss_cls: Mapping[str, Any] | None = None,
        loss_reg: Mapping[str, Any] | None = None,
        reg_weight: float = 1.0,
        label_space: str = 'mma82',
        body: Mapping[str, float] | None = None,
        test_cfg: Mapping[str, float] | None = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_classes = num_classes
        self.strides = [2**level for level in range(num_levels)]
        self.ranges = list(ranges or default_ranges(num_levels))
        self.radius = radius
        self.targets = check_choice('targets', targets, TARGETS)
        self.reg_weight = reg_weight
        self.test_cfg = _options('test_cfg', _TEST_OPTIONS, test_cfg or {})
        self.loss_cls = MODELS.build(loss_cls or dict(type='SigmoidFocalLoss'))
        self.loss_reg = MODELS.build(loss_reg or dict(type='SegmentDIoULoss'))
        self.register_buffer('loss_normalizer', torch.tensor(100.0))
        self._tower_widths = [in_channels] + [feat_channels] * num_convs
        self.cls_convs, self.reg_convs = self._tower(), self._tower()
        self.cls_head = self._layer(num_classes, prior)
        self.scale = nn.ModuleList(Scale() for _ in self.strides)
        self.body_head: nn.Conv1d | None = None
        if body is not None:
            self._add_bodies(label_space, body, prior)

    def _tower(self) -> nn.ModuleList:
        widths = self._tower_widths
        return nn.ModuleList(MaskedConv(a, b) for a, b in itertools.pairwise(widths))

    def _layer(self, num_outputs: int, prior: float = 0.5) -> nn.Conv1d:
        """The last layer of a tower, that starts at the given sigmoid."""
        layer = nn.Conv1d(self._tower_widths[-1], num_outputs, 3, padding=1)
        nn.init.constant_(layer.bias, math.log(prior / (1 - prior)))
        return layer

    def _add_bodies(
        self, label_space: str, options: Mapping[str, float], prior: float
    ) -> None:
        self.body_weight = _options('body', _BODY_OPTIONS, options)['loss_weight']
        space = load_label_space(label_space)
        _check_size('num_classes', self.num_classes, space.num_actions)
        self.body_head = self._layer(space.num_bodies, prior)
        self.register_buffer('body_of', torch.tensor(space.body_of), persistent=False)

    def set_classes(self, dataset_meta: Mapping[str, Any]) -> None:
        """Check the classes of a data set, and learn which action has which body.

        Args:
            dataset_meta: ``classes`` and ``bodies`` are counted, ``body_of`` (K,)
                replaces the map of the label space. Absent keys change nothing.

        Raises:
            ValueError: The data have other numbers of classes or of bodies.
        """
        num_bodies = self.body_head.out_channels if self.body_head is not None else 0
        for key, own in (('classes', self.num_classes), ('bodies', num_bodies)):
            if own and key in dataset_meta:
                _check_size(key, own, len(dataset_meta[key]))
        if self.body_head is not None and 'body_of' in dataset_meta:
            self.body_of.copy_(torch.as_tensor(list(dataset_meta['body_of'])))

    def forward(
        self, levels: Sequence[Tensor], masks: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Raw outputs at the P points of all levels.

        Args:
            levels: Features (N, C, P_l), finest first.
            masks: (N, P_l), bool.

        Returns:
            ``cls`` (N, K, P) logits, ``reg`` (N, R, P), with ``body`` also ``body``
            (N, B, P) logits; what else a head needs.
        """
        outputs: dict[str, list[Tensor]] = {}
        for level, (x, mask) in enumerate(zip(levels, masks, strict=True)):
            for name, value in self.forward_level(level, x, mask).items():
                outputs.setdefault(name, []).append(value)
        return {name: torch.cat(parts, dim=2) for name, parts in outputs.items()}

    def forward_level(self, level: int, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Raw outputs (N, outputs, P_l) of one level."""
        scoring = through(self.cls_convs, x, mask)
        ends = self.reg_head(through(self.reg_convs, x, mask))
        found = dict(cls=self.cls_head(scoring), reg=self.scale[level](ends).relu())
        if self.body_head is not None:
            found['body'] = self.body_head(scoring)
        return found

    @abstractmethod
    def offsets(self, outputs: PointOutputs, pairs: Pairs) -> Tensor:
        """Distances (n, 2) from n points to both ends of segments, in strides."""

    @abstractmethod
    def targets_of(self, owners: Tensor, class_owners: Tensor) -> tuple[Pairs, Tensor]:
        """Pairs whose segments are learned, and the truth of each.

        Args:
            owners: (N, P) truth of each point, -1 for none.
            class_owners: (N, P, K) truth of each class at each point.

        Returns:
            n pairs, and (n,) truths.
        """

    def loss(
        self,
        levels: Sequence[Tensor],
        masks: Sequence[Tensor],
        samples: Sequence[SegmentSample],
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            levels: Features (N, C, P_l), finest first.
            masks: (N, P_l), bool.
            samples: N samples with ``gt_segments``, ``gt_labels`` and ``rate``.

        Returns:
            ``loss_cls``, ``loss_reg``, with ``body`` also ``loss_body``; each divided
            by a running mean of the number of points that have a truth.
        """
        with torch.autocast(levels[0].device.type, enabled=False):
            outputs = self._outputs(levels, masks)
            truths, owners, class_owners = self._assign(outputs.points, samples)
            owners = owners.masked_fill(~outputs.valid, -1)
            class_owners = class_owners.masked_fill(~outputs.valid[..., None], -1)
            pairs, owner = self.targets_of(owners, class_owners)
            found = self.offsets(outputs, pairs)
            wanted = outputs.points.encode(truths[owner], pairs.point)
            losses = self._score_losses(outputs, class_owners, pairs, (found, wanted))
            losses['loss_reg'] = self._segment_loss(found, wanted, losses['loss_cls'])
            total = self._normalizer((owners >= 0).sum())
            return {name: loss / total for name, loss in losses.items()}

    def _outputs(
        self, levels: Sequence[Tensor], masks: Sequence[Tensor]
    ) -> PointOutputs:
        lengths = [x.shape[-1] for x in levels]
        points = pyramid_points(lengths, self.strides, self.ranges, levels[0].device)
        values = self([x.float() for x in levels], masks)
        for name in ('cls', 'reg', 'body'):
            if name in values:
                values[name] = values[name].transpose(1, 2)
        return PointOutputs(values, points, torch.cat(list(masks), dim=1))

    def _segment_loss(self, found: Tensor, wanted: Tensor, balance: Tensor) -> Tensor:
        """Sum over pairs of offsets (n, 2)."""
        sides = found.new_tensor([-1.0, 1.0])
        loss = self.loss_reg(found * sides, wanted * sides).sum()
        if self.reg_weight > 0:
            return self.reg_weight * loss
        return loss * balance.detach() / loss.detach().clamp_min(0.01)

    def _score_losses(
        self,
        outputs: PointOutputs,
        class_owners: Tensor,
        pairs: Pairs,
        ends: tuple[Tensor, Tensor],
    ) -> dict[str, Tensor]:
        """Sums over the points that exist, of actions and of bodies."""
        values, valid = outputs.values, outputs.valid
        hits = class_owners >= 0  # (N, P, K)
        loss = self._score_loss(values['cls'], hits, pairs, ends)
        losses = dict(loss_cls=loss[valid].sum())
        if self.body_head is not None:
            groups = F.one_hot(self.body_of, self.body_head.out_channels)
            bodies = hits.float() @ groups.float() > 0
            loss = self.loss_cls(values['body'][valid], bodies[valid])
            losses['loss_body'] = self.body_weight * loss.sum()
        return losses

    def _score_loss(
        self, logits: Tensor, hits: Tensor, pairs: Pairs, ends: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Loss (N, P, K) of scores; ``ends`` are offsets of pairs, found and wanted."""
        return self.loss_cls(logits, hits)

    def _assign(
        self, points: Points, samples: Sequence[SegmentSample]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All truths (G, 2) in positions; their index by point and by class."""
        device = points.times.device
        tables, by_point, by_class, count = [], [], [], 0
        for sample in samples:
            table = sample.gt_segments.to(device) * sample.rate
            owners = assign_truths(
                points,
                table,
                sample.gt_labels.to(device),
                self.num_classes,
                self.targets,
                self.radius,
            )
            for found, kept in zip(owners, (by_point, by_class), strict=True):
                kept.append(torch.where(found >= 0, found + count, -1))
            tables.append(table)
            count += len(table)
        return torch.cat(tables), torch.stack(by_point), torch.stack(by_class)

    def _normalizer(self, count: Tensor) -> Tensor:
        """Running mean of positive points, at least 1; in testing their number."""
        count = count.float()
        if not self.training:
            return count.clamp_min(1)
        all_reduce(count, 'mean')
        self.loss_normalizer.mul_(0.9).add_(0.1 * count.clamp_min(1))
        return self.loss_normalizer.clone()

    def predict(
        self,
        levels: Sequence[Tensor],
        masks: Sequence[Tensor],
        samples: Sequence[SegmentSample],
    ) -> list[Detections]:
        """Detections of actions; see :meth:`detect`."""
        return [actions for actions, _ in self.detect(levels, masks, samples)]

    @torch.no_grad()
    def detect(
        self,
        levels: Sequence[Tensor],
        masks: Sequence[Tensor],
        samples: Sequence[SegmentSample],
    ) -> list[tuple[Detections, Detections | None]]:
        """Detections of each window before NMS, best first.

        Args:
            levels: Features (N, C, P_l), finest first.
            masks: (N, P_l), bool.
            samples: N samples with ``rate``, ``window_start_sec``, ``duration_sec``.

        Returns:
            Of actions and, with ``body``, of body groups; in seconds of the video, cut
            to its duration. What has no length then is left out.
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
        self, outputs: PointOutputs, index: int, sample: SegmentSample, scores_of: str
    ) -> Detections:
        """Detections of window ``index``, scored by ``cls`` or ``body``."""
        logits = outputs.values[scores_of][index]  # (P, K or B)
        scores = logits.sigmoid().masked_fill(~outputs.valid[index, :, None], 0)
        scores = scores.flatten()
        kept = (scores > self.test_cfg['score_thr']).nonzero()[:, 0]
        order = scores[kept].argsort(descending=True, stable=True)
        kept = kept[order[: int(self.test_cfg['top_k'])]]
        point, label = kept // logits.shape[1], kept % logits.shape[1]
        action = label
        if scores_of == 'body':
            others = self.body_of != label[:, None]  # (n, K)
            action = outputs.values['cls'][index, point].masked_fill(others, -math.inf)
            action = action.argmax(dim=1)
        pairs = Pairs(torch.full_like(point, index), point, action)
        segments = outputs.points.decode(self.offsets(outputs, pairs), point)
        segments = segments.double() / sample.rate + sample.window_start_sec
        segments = segments.clamp(0, sample.duration_sec)
        lasting = segments[:, 1] > segments[:, 0]
        found = (segments[lasting], scores[kept][lasting], label[lasting])
        return Detections(*(x.cpu().numpy() for x in found))


def _options(
    name: str, defaults: Mapping[str, float], given: Mapping[str, float]
) -> dict[str, float]:
    for key, value in given.items():
        if key not in defaults:
            raise ValueError(
                f'unknown option {key!r} in {name} of the head: it has '
                f'{", ".join(defaults)}.{suggest(key, tuple(defaults))}'
            )
        if not value >= 0:
            raise ValueError(f'{name}.{key} {value}: use a number from 0.')
    return {**defaults, **given}


def _check_size(key: str, own: int, theirs: int) -> None:
    if own != theirs:
        raise ValueError(
            f'{key}: the head is built for {own}, the data or the label space has '
            f'{theirs}. Let label_space of the config and the data root agree.'
        )


@MODELS.register_module()
class ActionFormerHead(SegmentHead):
    """Two distances per point.

    A point has one segment, so where instances of several classes overlap it cannot
    give each its own: with ``union`` targets the longer ones are scored there, with the
    segment of the shortest. ``TriDetHead`` can.

    Args:
        **kwargs: Of ``SegmentHead``.

    Source: Zhang et al., 'ActionFormer', ECCV 2022.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reg_head = self._layer(2)

    def offsets(self, outputs: PointOutputs, pairs: Pairs) -> Tensor:
        """See the base class; classes of a point have the same."""
        return outputs.values['reg'][pairs.batch, pairs.point]

    def targets_of(self, owners: Tensor, class_owners: Tensor) -> tuple[Pairs, Tensor]:
        """See the base class; one pair per point."""
        batch, point = (owners >= 0).nonzero(as_tuple=True)
        no_label = torch.zeros_like(point)
        return Pairs(batch, point, no_label), owners[batch, point]


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

    Args:
        num_bins: Strides that an end may be away.
        iou_power: 0 leaves the loss of scores as it is.
        **kwargs: Of ``SegmentHead``.

    Source: Shi et al., 'TriDet', CVPR 2023, section 3.3; OpenTAD ``TriDetHead``, whose
        names of weights these are.
    """

    class_layers = ('cls_head', 'cls_start_head', 'cls_end_head')

    def __init__(
        self, num_bins: int = 16, iou_power: float = 0.2, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_bins = num_bins
        self.iou_power = iou_power
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

    def offsets(self, outputs: PointOutputs, pairs: Pairs) -> Tensor:
        """See the base class."""
        values = outputs.values
        bins = torch.arange(self.num_bins + 1, device=pairs.point.device)
        # Appended bins shift the points of level l by l * num_bins.
        levels = outputs.points.levels[pairs.point]
        first = pairs.point + levels * self.num_bins
        where = (pairs.batch[:, None], pairs.label[:, None], first[:, None] + bins)
        own = values['reg'][pairs.batch, pairs.point].unflatten(1, (2, -1))
        away = bins.to(own)
        starts = (values['start'][where] + own[:, 0]).softmax(dim=1)
        ends = (values['end'][where] + own[:, 1]).softmax(dim=1)
        return torch.stack([starts @ away.flip(0), ends @ away], dim=1)

    def targets_of(self, owners: Tensor, class_owners: Tensor) -> tuple[Pairs, Tensor]:
        """See the base class; one pair per point and class that is true there."""
        batch, point, label = (class_owners >= 0).nonzero(as_tuple=True)
        return Pairs(batch, point, label), class_owners[batch, point, label]

    def _score_loss(
        self, logits: Tensor, hits: Tensor, pairs: Pairs, ends: tuple[Tensor, Tensor]
    ) -> Tensor:
        sides = logits.new_tensor([-1.0, 1.0])
        iou = segment_iou_pairs(ends[0].detach() * sides, ends[1] * sides)
        weights = torch.ones_like(logits)
        weights[pairs.batch, pairs.point, pairs.label] = iou**self.iou_power
        return self.loss_cls(logits, hits) * weights
