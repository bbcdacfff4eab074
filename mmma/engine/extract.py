"""Features of a data root by a frozen backbone, into the root's feature store.

Memory does not grow with the data: clips go through in blocks, videos one by one. What
a run that was stopped has written is kept, and the next goes on with the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmma.data.arrays import FeaturesInfo, FeatureStore, FeatureWriter
from mmma.data.root import DataRoot
from mmma.datasets.samplers import SampleKey
from mmma.datasets.windows import Window, WindowOptions
from mmma.engine.features import FrozenBackbone
from mmma.registry import DATASETS
from mmma.structures.segments import grid_length
from mmma.taxonomy import SUBSETS

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


CLIPS_AT_ONCE = 512
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ExtractOptions:
    """What to extract.

    Attributes:
        name: Of the features.
        task: ``rec`` or ``det``.
        dtype: ``float16`` or ``float32``.
        rate: Of ``det``: frames per second that the backbone sees.
        stride_sec: Of ``det``: seconds from one window to the next, one pooled feature
            each; None: windows end to end, one feature per token of time.

    Raises:
        ValueError: A rate or stride that is not above 0.
    """

    name: str
    task: str = 'det'
    dtype: str = 'float16'
    rate: float = 15.0
    stride_sec: float | None = None

    def __post_init__(self) -> None:
        for key in ('rate', 'stride_sec'):
            value = getattr(self, key)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f'{key} {value}: use a number above 0.')


@dataclass(frozen=True)
class Extracted:
    """What came of it.

    Attributes:
        info: As written beside the features.
        rows: Clips or videos in the store.
        added: Of those, how many this run extracted.
        broken: Clips or videos that cannot be read and were left out.
    """

    info: FeaturesInfo
    rows: int
    added: int
    broken: list[str]


def extract(
    backbone: FrozenBackbone,
    options: ExtractOptions,
    on_progress: Progress = lambda done, total: None,
) -> Extracted:
    """Extract the features of all clips or videos of a data root.

    Args:
        backbone: With tokens where several features of a clip or window are wanted.
        options: What to extract.
        on_progress: Called with how many are done, and how many there are.

    Raises:
        FileNotFoundError: The root has no such table.
        ValueError: The recipe or the options do not fit, a clip or video cannot be read
            and is not to be skipped, or other features have this name.
    """
    root = backbone.run.root
    task = _Clips if options.task == 'rec' else _Videos
    work = task(backbone, options, root)
    info = work.info()
    done = _finished(root, options, info, set(work.names))
    if done is not None:
        return Extracted(info, done, 0, [])
    with FeatureWriter(root.path, options.name, info, options.task) as writer:
        before = len(writer.names)
        missing = [name for name in work.names if name not in writer]
        broken: list[str] = []
        for name, features in work.run(missing):
            if features is None:
                broken.append(name)
            else:
                writer.append(name, features)
            on_progress(len(writer.names) + len(broken), len(work.names))
        rows = len(writer.names)
    return Extracted(info, rows, rows - before, broken)


def _finished(
    root: DataRoot, options: ExtractOptions, info: FeaturesInfo, names: set[str]
) -> int | None:
    """Rows of a store that is what is asked for already."""
    try:
        store = FeatureStore(root.path, options.name, options.task)
    except (FileNotFoundError, ValueError):
        return None
    same = store.info == info and set(store.names) == names
    return len(store) if same else None


class _Clips:
    """Trimmed clips; a clip's rows are its views, or the tokens of its views."""

    def __init__(
        self, backbone: FrozenBackbone, options: ExtractOptions, root: DataRoot
    ) -> None:
        self.backbone, self.options, self.root = backbone, options, root
        self.source = backbone.source(cache=False)
        self._parts: dict[tuple[str, str], list[str]] = {
            (subset, domain): [] for domain in root.info.domains for subset in SUBSETS
        }
        for clip in root.read_rec():
            self._parts[clip.subset, clip.domain].append(clip.clip)
        self.names = [name for part in self._parts.values() for name in part]

    def info(self) -> FeaturesInfo:
        # Clips of any length have as many rows: the stride is a stand-in.
        dim = self.backbone.model.cls_head.in_channels
        return _info(self.backbone, self.options, self.root, dim, stride_sec=1.0)

    def run(self, missing: list[str]) -> Iterator[tuple[str, np.ndarray | None]]:
        wanted = set(missing)
        size = self.backbone.run.cfg.test_dataloader.batch_size
        step = max(1, CLIPS_AT_ONCE // size) * size  # whole batches: none runs twice
        for (subset, domain), names in self._parts.items():
            for start in range(0, len(names), step):
                block = [n for n in names[start : start + step] if n in wanted]
                if block:
                    found = self.source.features(subset, domain, block)
                    rows = dict(zip(found.names, found.features, strict=True))
                    yield from ((name, rows.get(name)) for name in block)


class _Videos:
    """Untrimmed videos, as windows of as many frames as the recipe's clips have."""

    def __init__(
        self, backbone: FrozenBackbone, options: ExtractOptions, root: DataRoot
    ) -> None:
        self.backbone, self.options, self.root = backbone, options, root
        dataset = backbone.run.cfg.test_dataloader.dataset
        frames = clip_length(dataset.pipeline)
        stride = None
        if options.stride_sec is not None:
            stride = round(options.stride_sec * options.rate)
            if (
                not math.isclose(stride / options.rate, options.stride_sec)
                or not stride
            ):
                raise ValueError(
                    f'stride_sec {options.stride_sec} is no whole number of frames at '
                    f'{options.rate:g} per second.'
                )
        self.windows = DenseWindows(frames, options.rate, stride=stride)
        subsets = {video.subset for video in root.read_det()}
        self.datasets = [
            dense_dataset({**dataset.to_dict(), 'subset': subset}, self.windows)
            for subset in SUBSETS
            if subset in subsets
        ]
        self._windows = [windows_of(each) for each in self.datasets]
        self.names = [name for each in self._windows for name in each]

    def info(self) -> FeaturesInfo:
        # How many features a window gives is known only by asking.
        count, dim = window_shape(self.backbone.model, self.datasets[0][0])
        window_sec = self.windows.positions / self.options.rate
        if self.options.stride_sec is None:
            stride_sec = window_sec / count
            offset_sec = stride_sec / 2
        else:
            stride_sec, offset_sec = self.options.stride_sec, window_sec / 2
        return _info(
            self.backbone,
            self.options,
            self.root,
            dim,
            stride_sec=stride_sec,
            offset_sec=offset_sec,
            fps=self.options.rate,
        )

    def run(self, missing: list[str]) -> Iterator[tuple[str, np.ndarray | None]]:
        wanted = set(missing)
        for place, windows in enumerate(self._windows):
            for name, numbers in windows.items():
                if name in wanted:
                    yield name, self._features(place, numbers)

    def _features(self, place: int, numbers: list[int]) -> np.ndarray | None:
        loader = self.backbone.run.cfg.test_dataloader
        few = len(numbers) <= loader.batch_size
        samples = DataLoader(
            self.datasets[place],
            batch_size=None,
            sampler=[SampleKey(0, 0, number) for number in numbers],  # type: ignore[arg-type]
            num_workers=0 if few else loader.num_workers,
            collate_fn=_same,
        )
        return video_features(self.backbone.model, samples, loader.batch_size)


def _same(sample: Any) -> Any:
    return sample


def _info(
    backbone: FrozenBackbone,
    options: ExtractOptions,
    root: DataRoot,
    dim: int,
    **times: Any,
) -> FeaturesInfo:
    random = ', random weights' if backbone.is_random else ''
    return FeaturesInfo(
        dim=dim,
        dtype=options.dtype,
        backbone=backbone.run.name + random,
        weights_sha256=backbone.record['sha256'],
        data_fingerprint=root.fingerprint(),
        **times,
    )
