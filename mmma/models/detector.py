"""Detector: windows of untrimmed videos to detections."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor
from torch.nn import functional as F

from mmma.checkpoints.loading import renamed
from mmma.registry import MODELS
from mmma.structures.samples import SegmentSample
from mmma.taxonomy import check_choice


def from_opentad(weights: Mapping[str, Any], adapters: bool = True) -> dict[str, Any]:
    """Rename the weights of OpenTAD's ActionFormer, TriDet or AdaTAD.

    To those of a ``SegmentDetector``: the norm and the classifier behind the backbone
    are left out, the normalizer of losses is a float. ``adapters`` takes AdaTAD alone,
    which has some in its backbone.

    Raises:
        ValueError: A name that these detectors do not have, or a part missing.

    Source: sming256/OpenTAD, cd0ca96f; vit_adapter.py, 01c58b9f.
    """
    what, normalizer = 'a one-stage detector of OpenTAD', 'rpn_head.loss_normalizer'
    found = renamed(weights, 'opentad', what)
    if isinstance(found.get(normalizer), Tensor):
        found[normalizer] = found[normalizer].float()
    for part, mark in (('projection', 'projection.'), ('head', 'rpn_head.cls_head.')):
        if not any(name.startswith(mark) for name in found):
            raise ValueError(f'not {what}: it has no {part}.')
    if adapters and not any('.adapter.' in name for name in found):
        raise ValueError(
            'not an AdaTAD of OpenTAD: no block of its backbone has an adapter.'
        )
    return found


POOLINGS = {'clip': (3, 4), 'graph': (1, 4), 'none': ()}
"""Axes of the backbone's features that each pooling averages."""
_FEATURE_DIMS = 3


@MODELS.register_module()
class SegmentDetector(BaseModel):
    """Backbone, projection to a pyramid, neck and head.

    Weights have the names of OpenTAD's detectors: ``backbone``, ``projection``,
    ``neck``, ``rpn_head``.

    Args:
        projection: Features (N, D, P) and mask to levels and masks.
        head: A ``SegmentHead``.
        neck: Levels to levels; None for none.
        backbone: Inputs to features in time; None where inputs are features (N, D, P).
        pooling: What the backbone gives: ``none`` for (N, D, T), ``clip`` for
            (N, D, T, H, W), ``graph`` for (N, M, D, T, V). Whatever T is, features are
            interpolated to the positions of the window.
        data_preprocessor: Default: to the device, and no more.

    Source: OpenTAD ``ActionFormer`` and Liu et al., AdaTAD, CVPR 2024.
    """

    def __init__(
        self,
        projection: Mapping[str, Any],
        head: Mapping[str, Any],
        neck: Mapping[str, Any] | None = None,
        backbone: Mapping[str, Any] | None = None,
        pooling: str = 'none',
        data_preprocessor: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor)
        self.backbone = None if backbone is None else MODELS.build(backbone)
        self.pooling = check_choice('pooling', pooling, tuple(POOLINGS))
        self.projection = MODELS.build(projection)
        self.neck = None if neck is None else MODELS.build(neck)
        self.rpn_head = MODELS.build(head)
        for part in (self.projection, self.neck, self.rpn_head):
            if part is not None:  # recognizers lack them
                part.starts_fresh = True

    def extract_feat(
        self,
        inputs: Tensor | Sequence[Tensor],
        samples: Sequence[SegmentSample] | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Levels (N, C, P_l) of a batch, or its windows one by one; masks (N, P_l).

        Samples have ``positions`` and ``valid``; without them features are taken as
        they are, and all as existing.

        Raises:
            ValueError: Features that ``pooling`` does not fit, or windows of different
                lengths.
        """
        x = inputs if isinstance(inputs, Tensor) else torch.stack(list(inputs))
        if self.backbone is not None:
            x = self.backbone(x)
        axes = POOLINGS[self.pooling]
        if x.ndim != _FEATURE_DIMS + len(axes):
            raise ValueError(
                f'features of shape {tuple(x.shape)} do not fit pooling '
                f'{self.pooling!r} of SegmentDetector, which takes '
                f'{_FEATURE_DIMS + len(axes)} dimensions: choose another pooling.'
            )
        x = (x.mean(dim=axes) if axes else x).float()  # (N, D, T)
        if samples:
            lengths = {int(sample.positions) for sample in samples}
            if len(lengths) > 1:
                raise ValueError(
                    f'windows of {sorted(lengths)} positions in one batch: give all '
                    'data sets the same window.'
                )
            positions = lengths.pop()
            if x.shape[-1] != positions:
                x = F.interpolate(x, positions, mode='linear', align_corners=False)
            valid = torch.tensor([sample.valid for sample in samples], device=x.device)
        else:
            valid = torch.full((len(x),), x.shape[-1], device=x.device)
        mask = torch.arange(x.shape[-1], device=x.device) < valid[:, None]
        levels, masks = self.projection(x, mask)
        if self.neck is not None:
            levels = self.neck(levels, masks)
        return levels, masks

    def forward(
        self,
        inputs: Tensor | Sequence[Tensor],
        data_samples: Sequence[SegmentSample] | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """Losses, detections or raw outputs of a batch of windows.

        Mode ``loss`` gives a dict of losses; ``predict`` the samples with ``pred`` and,
        from a head with bodies, ``pred_body``, both in seconds of the video; ``tensor``
        the raw outputs of the head; another one is a ``ValueError``.
        """
        check_choice('mode', mode, ('loss', 'predict', 'tensor'))
        levels, masks = self.extract_feat(inputs, data_samples)
        if mode == 'tensor':
            return self.rpn_head(levels, masks)
        if mode == 'loss':
            return self.rpn_head.loss(levels, masks, data_samples)
        found = self.rpn_head.detect(levels, masks, data_samples)
        for sample, (actions, bodies) in zip(data_samples, found, strict=True):
            sample.pred = actions
            if bodies is not None:
                sample.pred_body = bodies
        return data_samples
