"""Features along untrimmed videos, at constant steps from the start of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn

from mmma.datasets.windows import Window, WindowOptions
from mmma.registry import DATASETS
from mmma.structures.windows import grid_length

_STEPS = {
    'UniformFrames': dict(type='WindowFrames'),
    'PackClip': dict(type='PackWindow'),
}
"""Steps of a recipe for clips, and what takes their place in untrimmed videos."""


@dataclass(frozen=True)
class DenseWindows(WindowOptions):
    """Windows at constant steps, the last ones reaching beyond the video's end.

    Attributes:
        stride: Positions from one window to the next; None: windows end to end.
    """

    stride: int | None = None

    def tile(self, video_sec: float) -> list[Window]:
        """Windows from 0 on, until one reaches the end of the video.

        Args:
            video_sec: Length of the video.
        """
        length, step = grid_length(video_sec, self.rate), self.stride or self.positions
        count = 1 + max(0, math.ceil((length - self.positions) / step))
        return [
            Window(
                i * step / self.rate,
                self.positions,
                min(length - i * step, self.positions),
                self.rate,
                video_sec,
            )
            for i in range(count)
        ]


def clip_length(pipeline: list[Mapping[str, Any]]) -> int:
    """Frames of a clip that a recipe's test pipeline gives.

    Args:
        pipeline: Configs of its transforms.

    Raises:
        ValueError: It is none that features of untrimmed videos can be made with.
    """
    lengths = [s['clip_len'] for s in pipeline if s['type'] == 'UniformFrames']
    if len(lengths) != 1:
        names = ', '.join(str(step['type']) for step in pipeline)
        raise ValueError(
            'features of untrimmed videos need a recipe for RGB whose test pipeline '
            f'has one UniformFrames; this one has {names}.'
        )
    return int(lengths[0])


def dense_dataset(options: Mapping[str, Any], windows: DenseWindows) -> Any:
    """Untrimmed videos as windows of frames, by the test pipeline of a recipe.

    Args:
        options: Of the recipe's ``ClipDataset``.
        windows: How videos are cut.
    """
    pipeline = [_STEPS.get(step['type'], dict(step)) for step in options['pipeline']]
    for step in pipeline:
        if step['type'] == 'FormatShape':
            step['input_format'] = 'NCTHW'  # what PackWindow takes
    kept = ('data_root', 'subset', 'label_space', 'on_broken')
    dataset = DATASETS.build(
        dict(
            type='UntrimmedDataset',
            **{key: options[key] for key in kept if key in options},
            pipeline=pipeline,
            test_mode=True,
            lazy_init=True,
            serialize_data=False,
        )
    )
    dataset.window = windows
    dataset.full_init()
    return dataset


def windows_of(dataset: Any) -> dict[str, list[int]]:
    """Numbers of the windows of each video."""
    found: dict[str, list[int]] = {}
    for index, video in enumerate(dataset.metainfo['videos']):
        found.setdefault(video, []).append(index)
    return found


@torch.no_grad()
def video_features(
    model: nn.Module, samples: Iterable[Mapping[str, Any]], batch_size: int
) -> np.ndarray | None:
    """Features of the windows of one video, one after the other.

    Args:
        model: A recognizer, not wrapped.
        samples: Of a :func:`dense_dataset`.
        batch_size: Windows at once.

    Returns:
        (T, D) float32, the T' features of each window but those that show nothing but
        padding of the last; None where the video cannot be read.
    """
    model.eval()
    found: list[Tensor] = []
    batch: list[Mapping[str, Any]] = []
    for sample in samples:
        if sample['data_samples'].get('broken'):
            return None
        batch.append(sample)
        if len(batch) == batch_size:
            found.append(_features(model, batch))
            batch = []
    if batch:
        found.append(_features(model, batch))
    features = torch.cat(found)  # (windows, T', D)
    last = sample['data_samples']
    empty = features.shape[1] * (last.positions - last.valid) // last.positions
    features = features.flatten(0, 1)
    return features[: len(features) - empty].numpy()


def window_shape(model: nn.Module, sample: Mapping[str, Any]) -> tuple[int, int]:
    """T' and D: how many features a window gives, and of which size."""
    model.eval()
    with torch.no_grad():
        _, count, dim = _features(model, [sample]).shape
    return count, dim


def _features(model: nn.Module, batch: list[Mapping[str, Any]]) -> Tensor:
    flat = model.data_preprocessor.format_shape == 'NCHW'
    data = pseudo_collate(batch)
    # (3, T, H, W) -> views of one clip (1, 3, T, H, W), or its frames (T, 3, H, W)
    data['inputs'] = [x.transpose(0, 1) if flat else x[None] for x in data['inputs']]
    data = model.data_preprocessor(data, False)
    features, _ = model.extract_feat(data['inputs'], test_mode=True)
    features = model.cls_head.pool(features).float().cpu()
    return features.unflatten(0, (len(batch), -1))
