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

from mmma.data.arrays import FeaturesInfo, FeatureWriter, SkeletonWriter
from mmma.data.joints import WHOLEBODY65
from mmma.datasets.windows import Window, WindowOptions
from mmma.registry import MODELS
from mmma.simulation.render import write_video

_CLIP = 'blank'
_FRAMES, _FPS, _WIDTH, _HEIGHT = 32, 30.0, 320, 240
_FEATURES = 'LoadFeatures'


@dataclass(frozen=True)
class ModelCost:
    """Size of a model, and the work of one forward pass.

    It is that of one view of one clip, or of one window of a detector.

    Attributes:
        params: Numbers in all parameters, classifier included.
        trainable_params: Those of them that training changes.
        backbone_params: Those of the backbone; 0 of a detector that takes features.
        flops: Fused multiply-adds of convolutions and matrix products, attention and
            graph products included: what action recognition papers print as FLOPs.
            Norms, activations, biases and pooling are left out, as there.
        input_shape: One view of one clip, or one window, as the network takes it:
            (1, C, T, H, W) for clips and heatmaps, (S, C, H, W) for S frames of a 2D
            network, (1, M, T, V, C) for skeletons, (1, D, P) for features.
        window_sec: Length of a detector's window; None of a recognizer.
    """

    params: int
    trainable_params: int
    backbone_params: int
    flops: int
    input_shape: tuple[int, ...]
    window_sec: float | None = None


def model_cost(cfg: Any) -> ModelCost:
    """Parameters and multiply-adds of a recognizer or detector.

    Args:
        cfg: A config with its protocol written.

    Raises:
        ValueError: The test pipeline gives less than one view of the model.
    """
    detects = cfg.get('task') == 'det'
    with DefaultScope.overwrite_default_scope('mmma'):
        batch = _one_window(cfg) if detects else _one_view(cfg)
        model = _build_on_meta(cfg.model)
    inputs = batch['inputs']
    samples = batch['data_samples'] if detects else None
    backbone = model.backbone
    return ModelCost(
        params=_count(model.parameters()),
        trainable_params=_count(p for p in model.parameters() if p.requires_grad),
        backbone_params=0 if backbone is None else _count(backbone.parameters()),
        flops=count_flops(model, inputs, samples),
        input_shape=tuple(inputs.shape if detects else inputs.shape[1:]),
        window_sec=_window(cfg).end_sec if detects else None,
    )


def count_flops(model: nn.Module, inputs: Tensor, samples: Any = None) -> int:
    """Multiply-adds of one forward pass, from input to class scores.

    Args:
        model: A recognizer of MMAction2's kind, a ``SegmentDetector``, or any module
            that takes ``inputs``; on the meta device, as elsewhere PyTorch runs
            attention in kernels that it does not count.
        inputs: What it takes, with the batch first; only its shape counts.
        samples: Of a detector: its windows. Only the network is counted, no NMS.

    Source: PyTorch's flop_counter, which counts a multiply-add as two.
    """
    inputs = torch.empty(inputs.shape, dtype=torch.float32, device='meta')
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if samples is not None:
            model(inputs, samples, mode='tensor')
        elif hasattr(model, 'extract_feat'):
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


def _one_view(cfg: Any) -> dict[str, Any]:
    """A batch of one clip in one view, ``inputs`` (1, ...) as the network takes it."""
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
    return _preprocess(cfg, packed, 'ActionDataPreprocessor')


def _one_window(cfg: Any) -> dict[str, Any]:
    """A batch of one full window, ``inputs`` (1, ...) as the network takes it."""
    dataset = cfg.test_dataloader.dataset
    packed = Compose(list(dataset.pipeline))(_blank_window(cfg))
    batch = _preprocess(cfg, packed, 'BaseDataPreprocessor')
    if not isinstance(batch['inputs'], Tensor):  # each window its own tensor
        batch['inputs'] = torch.stack(list(batch['inputs']))
    return batch


def _preprocess(cfg: Any, packed: dict[str, Any], default: str) -> dict[str, Any]:
    preprocessor = MODELS.build(
        cfg.model.get('data_preprocessor') or dict(type=default)
    )
    with torch.no_grad():
        return preprocessor(pseudo_collate([packed]), training=False)


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


def _blank_window(cfg: Any) -> dict[str, Any]:
    """What ``UntrimmedDataset`` gives for a blank video as long as a window."""
    window, dataset = _window(cfg), cfg.test_dataloader.dataset
    root = _blank_video(dataset.get('modality', 'RGB'), window.positions, window.rate)
    loads = [step for step in dataset.pipeline if step['type'] == _FEATURES]
    for step in loads:
        _write_features(root, step, window)
    return dict(
        video=_CLIP,
        index=0,
        filename=str(root / 'blank.mp4'),
        data_root=str(root),
        domain='lab',
        subject='',
        modality=dataset.get('modality', 'RGB'),
        window=window,
        window_index=0,
        num_windows=1,
        gt_segments=np.zeros((0, 2), np.float32),
        gt_labels=np.zeros(0, np.int64),
    )


def _window(cfg: Any) -> Window:
    """A window that lies wholly inside its video."""
    options = WindowOptions(**(cfg.test_dataloader.dataset.get('window') or {}))
    return options.tile(options.positions / options.rate)[0]


def _blank_root() -> Path:
    return Path(_blank_folder('both', 'rec', _FRAMES, _FPS).name)


def _blank_video(modality: str, positions: int, rate: float) -> Path:
    return Path(_blank_folder(modality, 'det', positions, rate).name)


@functools.cache
def _blank_folder(
    modality: str, task: str, frames: int, fps: float
) -> tempfile.TemporaryDirectory:
    """A folder with a video and a skeleton in which nothing happens."""
    folder = tempfile.TemporaryDirectory(prefix='mmma-blank-')
    if modality in ('RGB', 'both'):
        grey = np.full((_HEIGHT, _WIDTH, 3), 128, np.uint8)
        write_video(Path(folder.name, 'blank.mp4'), [grey] * frames, fps)
    if modality in ('Pose', 'both'):
        joints = len(WHOLEBODY65.names)
        # Joints in different places, so that normalisation has a size to divide by.
        place = np.linspace(20, 200, joints * 2).reshape(joints, 2)
        keypoint = np.tile(place, (1, frames, 1, 1))
        with SkeletonWriter(folder.name, task, WHOLEBODY65) as writer:
            score = np.ones(keypoint.shape[:3])
            writer.append(_CLIP, keypoint, score, fps, _WIDTH, _HEIGHT)
    return folder


def _write_features(root: Path, step: Mapping[str, Any], window: Window) -> None:
    """Blank features as the transform ``step`` wants them; once."""
    if (root / 'features' / step['name']).exists():
        return
    stride = step.get('stride_sec') or 1 / window.rate
    info = FeaturesInfo(stride, step['dim'], stride / 2, step.get('fps'))
    with FeatureWriter(root, step['name'], info) as writer:
        steps = round(window.video_sec / stride)
        writer.append(_CLIP, np.zeros((steps, step['dim']), np.float16))
