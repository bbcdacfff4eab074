"""Features of a data root by a frozen backbone, into the root's feature store.

Memory does not grow with the data: clips go through in blocks, videos one by one. What
a run that was stopped has written is kept, and the next goes on with the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
from mmengine.dataset import pseudo_collate

from mmma.data.arrays import FeaturesInfo, FeatureStore, FeatureWriter
from mmma.data.root import DataRoot
from mmma.datasets.windows import Window, WindowOptions
from mmma.engine.features import FeatureSource, load_backbone, run_model
from mmma.engine.run import BackboneOptions, Run
from mmma.registry import DATASETS
from mmma.structures.segments import grid_length
from mmma.taxonomy import SUBSETS

Stream = Callable[[set[str]], Iterator[tuple[str, np.ndarray | None]]]
"""Function of names that are missing, which gives each with its features, or None."""
Work = tuple[list[str], dict[str, Any], Stream]
"""All names, fields of ``FeaturesInfo``, and the stream."""


def extract(
    run: Run,
    weights: BackboneOptions,
    name: str,
    task: str = 'det',
    dtype: str = 'float16',
    rate: float = 15.0,
    stride_sec: float | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[FeatureStore, int, list[str]]:
    """Extract the features of all clips or videos of a data root.

    Args:
        run: Opened with ``weights``.
        weights: Of the backbone; with tokens where several features of a clip or
            window are wanted.
        name: Of the features.
        task: ``rec`` or ``det``.
        dtype: ``float16`` or ``float32``.
        rate: Of ``det``: frames per second that the backbone sees.
        stride_sec: Of ``det``: seconds from one window to the next, one pooled feature
            each; None: windows end to end, one feature per token of time.
        on_progress: Called with how many are done, and how many there are.

    Returns:
        The store, how many clips or videos this run added, and the names of those that
        cannot be read and were left out.

    Raises:
        FileNotFoundError: The root has no such table, or weights are missing.
        ValueError: The recipe or the options do not fit, a clip or video cannot be read
            and is not to be skipped, or other features have this name.
    """
    for key, value in (('rate', rate), ('stride_sec', stride_sec)):
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f'{key} {value}: use a number above 0.')
    root = run.root
    source, origin = load_backbone(run, weights)
    record = origin['checkpoint']
    clips = task == 'rec'
    work = _clips(source, root) if clips else _videos(source, root, rate, stride_sec)
    names, times, stream = work
    info = FeaturesInfo(
        dtype=dtype,
        backbone=run.name + (', random weights' if record['random_backbone'] else ''),
        weights_sha256=record['sha256'],
        data_fingerprint=root.fingerprint(),
        **times,
    )
    with suppress(FileNotFoundError, ValueError):
        store = FeatureStore(root.path, name, task)
        if store.info == info and set(store.names) == set(names):
            return store, 0, []
    broken: list[str] = []
    with FeatureWriter(root.path, name, info, task) as writer:
        before = len(writer.names)
        for each, features in stream({n for n in names if n not in writer}):
            if features is None:
                broken.append(each)
            else:
                writer.append(each, features)
            on_progress(len(writer.names) + len(broken), len(names))
        added = len(writer.names) - before
    return FeatureStore(root.path, name, task), added, broken


def _clips(source: FeatureSource, root: DataRoot) -> Work:
    """Trimmed clips; a clip's rows are its views, or the tokens of its views."""
    parts: dict[tuple[str, str], list[str]] = {
        (subset, domain): [] for domain in root.info.domains for subset in SUBSETS
    }
    for clip in root.read_rec():
        parts[clip.subset, clip.domain].append(clip.clip)

    def stream(missing: set[str]) -> Iterator[tuple[str, np.ndarray | None]]:
        for part, names in parts.items():
            if wanted := missing.intersection(names):
                for name, row in source.stream(*part, wanted):
                    yield name, row and row[0]

    # Clips of any length have as many rows: the stride is a stand-in.
    times = dict(dim=source.runner.model.cls_head.in_channels, stride_sec=1.0)
    return [name for names in parts.values() for name in names], times, stream


def _videos(
    source: FeatureSource, root: DataRoot, rate: float, stride_sec: float | None
) -> Work:
    """Untrimmed videos, as windows of as many frames as the recipe's clips have."""
    model, loader = source.runner.model, source.runner.cfg.test_dataloader
    frames = clip_length(loader.dataset.pipeline)
    stride = frames
    if stride_sec is not None:
        stride = round(stride_sec * rate)
        if not math.isclose(stride / rate, stride_sec) or not stride:
            raise ValueError(
                f'stride_sec {stride_sec} is no whole number of frames at {rate:g} per '
                'second.'
            )
    windows = DenseWindows(frames, rate, stride=stride)
    subsets = {video.subset for video in root.read_det()}
    options = loader.dataset.to_dict()
    datasets = [
        _dataset({**options, 'subset': subset}, windows)
        for subset in SUBSETS
        if subset in subsets
    ]
    collate = partial(_as_clips, model.data_preprocessor.format_shape == 'NCHW')

    def stream(missing: set[str]) -> Iterator[tuple[str, np.ndarray | None]]:
        size = loader.batch_size
        for dataset in datasets:
            videos, batches = dataset.metainfo['videos'], []
            for name, places in groupby(range(len(videos)), key=videos.__getitem__):
                own = list(places) if name in missing else []
                batches += [own[i : i + size] for i in range(0, len(own), size)]
            if batches:
                found = source.run(dataset, batches, collate_fn=collate)
                pairs = (p for batch in found for p in zip(*batch, strict=True))
                for name, seen in groupby(pairs, key=lambda pair: pair[0].clip):
                    yield name, _joined(list(seen))

    # How many features a window gives is known only by asking.
    ((_, first),) = run_model(model, [collate([datasets[0][0]])])
    _, count, dim = first.shape
    window_sec = frames / rate
    if stride_sec is None:
        stride_sec = window_sec / count
        offset_sec = stride_sec / 2
    else:
        offset_sec = window_sec / 2
    times = dict(dim=dim, stride_sec=stride_sec, offset_sec=offset_sec, fps=rate)
    names = dict.fromkeys(v for d in datasets for v in d.metainfo['videos'])
    return list(names), times, stream


def clip_length(pipeline: Sequence[Mapping[str, Any]]) -> int:
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


@dataclass(frozen=True)
class DenseWindows(WindowOptions):
    """Windows at constant steps, the last ones reaching beyond the video's end.

    Attributes:
        stride: Positions from one window to the next.
    """

    stride: int = 1

    def tile(self, video_sec: float) -> list[Window]:
        """Windows from 0 on, until one reaches the end of the video.

        Args:
            video_sec: Length of the video.
        """
        length = grid_length(video_sec, self.rate)
        count = 1 + max(0, math.ceil((length - self.positions) / self.stride))
        return [
            self._window(
                start / self.rate, min(length - start, self.positions), video_sec
            )
            for start in range(0, count * self.stride, self.stride)
            if start < length  # a long stride can step over the end
        ]


_STEPS = {
    'UniformFrames': dict(type='WindowFrames'),
    'PackClip': dict(type='PackWindow'),
}
"""Steps of a recipe for clips, and what takes their place in untrimmed videos."""


def _dataset(options: Mapping[str, Any], windows: DenseWindows) -> Any:
    """Untrimmed videos as windows of frames, by options of a recipe's dataset."""
    pipeline = [_STEPS.get(step['type'], dict(step)) for step in options['pipeline']]
    for step in pipeline:
        if step['type'] == 'FormatShape':
            step['input_format'] = 'NCTHW'  # what PackWindow takes
    keys = ('data_root', 'subset', 'label_space', 'on_broken')
    kept = {key: options[key] for key in keys if key in options}
    dataset = DATASETS.build(
        dict(
            type='UntrimmedDataset',
            pipeline=pipeline,
            test_mode=True,
            lazy_init=True,
            serialize_data=False,
            **kept,
        )
    )
    dataset.window = windows
    dataset.full_init()
    return dataset


def _as_clips(flat: bool, windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch of windows, in the shape of a batch of clips."""
    from mmaction.structures import ActionDataSample

    data = pseudo_collate(windows)
    # (3, T, H, W) -> views of one clip (1, 3, T, H, W), or its frames (T, 3, H, W)
    data['inputs'] = [x.transpose(0, 1) if flat else x[None] for x in data['inputs']]
    data['data_samples'] = [
        ActionDataSample(
            metainfo={
                'clip': sample.video,
                'broken': sample.get('broken'),
                'padding': (sample.positions - sample.valid, sample.positions),
            }
        )
        for sample in data['data_samples']
    ]
    return data


def _joined(windows: list[tuple[Any, np.ndarray]]) -> np.ndarray | None:
    """Features (T, D) of a video, without those that show nothing but padding."""
    if any(sample.get('broken') for sample, _ in windows):
        return None
    features = np.concatenate([seen for _, seen in windows])
    last, seen = windows[-1]
    padded, positions = last.padding
    return features[: len(features) - len(seen) * padded // positions]
