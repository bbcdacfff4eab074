"""What a recipe's model costs, from its config alone: no data, no weights.

The network is built on PyTorch's meta device, which has shapes and no numbers, so that
the largest ViT takes a second. Its input is not typed either: a blank clip goes through
the config's own test pipeline and data preprocessor.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mmma.layout.joints import WHOLEBODY65
from mmma.layout.skeletons import SkeletonWriter
from mmma.registry import MODELS
from mmma.simulation.video_file import write_video

_CLIP = 'blank'
_FRAMES, _FPS, _WIDTH, _HEIGHT = 32, 30.0, 320, 240


@dataclass(frozen=True)
class ModelCost:
    """Size of a model, and the work of one forward pass on one view of one clip.

    Attributes:
        params: Numbers in all parameters, classifier included.
        trainable_params: Those of them that training changes.
        backbone_params: Those of the backbone.
        flops: Fused multiply-adds of convolutions and matrix products, attention and
            graph products included: what action recognition papers print as FLOPs.
            Norms, activations, biases and pooling are left out, as there.
        input_shape: One view of one clip as the network takes it: (1, C, T, H, W)
            for clips and heatmaps, (S, C, H, W) for S frames of a 2D network,
            (1, M, T, V, C) for skeletons.
    """

    params: int
    trainable_params: int
    backbone_params: int
    flops: int
    input_shape: tuple[int, ...]


def model_cost(cfg: Any) -> ModelCost:
    """Parameters and multiply-adds of a recognizer.

    Args:
        cfg: A recognition config with its protocol written.

    Raises:
        ValueError: The test pipeline gives less than one view of the model.
    """
    with DefaultScope.overwrite_default_scope('mmma'):
        view = _one_view(cfg)
        model = _build_on_meta(cfg.model)
    return ModelCost(
        params=_count(model.parameters()),
        trainable_params=_count(p for p in model.parameters() if p.requires_grad),
        backbone_params=_count(model.backbone.parameters()),
        flops=count_flops(model, view),
        input_shape=tuple(view.shape[1:]),
    )


def count_flops(model: nn.Module, inputs: Tensor) -> int:
    """Multiply-adds of one forward pass, from input to class scores.

    Args:
        model: A recognizer of MMAction2's kind, or any module that takes ``inputs``;
            on the meta device, as elsewhere PyTorch runs attention in kernels that it
            does not count.
        inputs: What it takes, with the batch first; only its shape counts.

    Source: PyTorch's flop_counter, which counts a multiply-add as two.
    """
    inputs = torch.empty(inputs.shape, dtype=torch.float32, device='meta')
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if hasattr(model, 'extract_feat'):
            model.extract_feat(inputs, stage='head')
        else:
            model(inputs)
    return counter.get_total_flops() // 2


def _build_on_meta(model_cfg: Mapping[str, Any]) -> nn.Module:
    # Augmentations of a preprocessor draw numbers, which the meta device lacks.
    without = {k: v for k, v in model_cfg.items() if k != 'data_preprocessor'}
    with torch.device('meta'):
        model = MODELS.build(without)
    return model.train().eval()  # train() is where MMAction2 freezes stages


def _count(parameters: Iterator[Tensor]) -> int:
    return sum(p.numel() for p in parameters)


def _one_view(cfg: Any) -> Tensor:
    """(1, ...) the network's input for a batch of one clip in one view."""
    dataset = cfg.test_dataloader.dataset
    packed = Compose(list(dataset.pipeline))(_blank_row(dataset))
    views = packed['inputs']
    # A 2D network's frames lie side by side with its views: (views * S, C, H, W).
    needed = _segments(cfg.model) if views.dim() == 4 else 1
    if len(views) < needed:
        raise ValueError(
            f'the test pipeline of {cfg.filename} gives {len(views)} frames: the model '
            f'takes {needed} (num_segments). Sample so many.'
        )
    packed['inputs'] = views[:needed]
    preprocessor = MODELS.build(
        cfg.model.get('data_preprocessor') or dict(type='ActionDataPreprocessor')
    )
    with torch.no_grad():
        return preprocessor(pseudo_collate([packed]), training=False)['inputs']


def _segments(model_cfg: Mapping[str, Any]) -> int:
    parts = (model_cfg.get('cls_head') or {}, model_cfg['backbone'])
    return max(part.get('num_segments', 1) for part in parts)


def _blank_row(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """What ``ClipDataset`` gives to a pipeline, for a blank clip."""
    pose = dataset.get('modality') == 'Pose'
    root = _blank_root()
    return dict(
        clip=_CLIP,
        index=0,
        filename='' if pose else str(root / 'blank.mp4'),
        data_root=str(root),
        label=0,
        body=0,
        domain='lab',
        subject='',
        modality='Pose' if pose else 'RGB',
        start_index=0,
        test_mode=True,
    )


def _blank_root() -> Path:
    return Path(_blank_folder().name)


@functools.cache
def _blank_folder() -> tempfile.TemporaryDirectory:
    """A folder with a video and the skeleton of a clip in which nothing happens."""
    folder = tempfile.TemporaryDirectory(prefix='mmma-blank-')
    grey = np.full((_HEIGHT, _WIDTH, 3), 128, np.uint8)
    write_video(Path(folder.name, 'blank.mp4'), [grey] * _FRAMES, _FPS)
    joints = len(WHOLEBODY65.names)
    # Joints in different places, so that normalisation has a size to divide by.
    place = np.linspace(20, 200, joints * 2).reshape(joints, 2)
    keypoint = np.tile(place, (1, _FRAMES, 1, 1))
    with SkeletonWriter(folder.name, 'rec', WHOLEBODY65) as writer:
        score = np.ones(keypoint.shape[:3])
        writer.append(_CLIP, keypoint, score, _FPS, _WIDTH, _HEIGHT)
    return folder
