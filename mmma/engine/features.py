"""Features of clips by a frozen backbone, each clip extracted once and kept on disk;
and those of a data root's clips or videos, in its feature store.

``features/<fingerprint>/<domain>_<subset>/`` in ``$MMMA_HOME`` or ~/.cache/mmma holds
one ``.npz`` per few hundred clips, never changed once written: what an interrupted run
wrote is kept, and concurrent runs cannot harm each other. The fingerprint is of all
that features depend on, but the files of the clips; each clip has a stamp of its own.
Any of the folders may be deleted.

Clips go through the model in blocks that are the same for any wish: the first batch of
clips of a domain and subset, the second, and so on. A clip's neighbours can change the
last bits of its features, so this is what makes results the same with and without the
cache, for any number of runs and shots, and for any number of processes. Memory does
not grow with the data: a store gets clips block by block, and videos one by one.
"""

import contextlib
import hashlib
import json
import logging
import math
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine import dist
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmengine.runner.amp import autocast
from torch import Tensor, nn

from mmma import __version__
from mmma.data.arrays import FeaturesInfo, FeatureStore, FeatureWriter
from mmma.data.root import DataRoot
from mmma.datasets.clips import read_names
from mmma.datasets.samplers import SampleKey
from mmma.datasets.windows import WindowOptions
from mmma.engine.run import OF_WORKERS, BackboneOptions, Run
from mmma.engine.weights import load_backbone
from mmma.evaluation.rows import Group
from mmma.evaluation.scores import ScoreTable, join_tables
from mmma.files import atomic_write, cache_home, only_writer, placed, read_own
from mmma.processes import CRASHED, map_in_processes
from mmma.protocols import Protocol
from mmma.registry import DATASETS, TRANSFORMS
from mmma.taxonomy import SUBSETS

Row = tuple[np.ndarray, ...]
"""Of one clip: features (views, D), scores (K,) and, if the model has them, body scores
(B,)."""
_FORMAT = 1  # of the files; a change makes all of them unknown
_COLUMNS = ('features', 'scores', 'body_scores')  # the last may be absent
CLIPS_PER_ROUND = 256
"""How many clips are extracted between two writes."""
_NOT_SEEN = ('subset', 'domains', 'clips', 'data_root', 'on_broken', 'body_groups')
"""Options of a data set that change which clips there are, not how they look."""


@dataclass(frozen=True)
class Features:
    """Features of some clips, and the scores that the model gives them.

    Attributes:
        names: (N,) of the clips.
        features: (N, views, D) inputs of the classifier, float32.
        scores: (N, K) probabilities of the model as it is, float32.
        body_scores: (N, B) the model's own body scores, if it has any.
        broken: Names of clips that could not be read and were left out.
    """

    names: list[str]
    features: np.ndarray
    scores: np.ndarray
    body_scores: np.ndarray | None = None
    broken: list[str] = field(default_factory=list)

    @classmethod
    def join(cls, rows: Mapping[str, Row | None]) -> 'Features':
        """Rows by clip as arrays, sorted by name; None where a clip could not be read.

        Where none could, ValueError is raised.
        """
        names = sorted(name for name, row in rows.items() if row is not None)
        broken = sorted(rows.keys() - set(names))
        if not names:
            raise ValueError(f'none of the {len(broken)} clips could be read')
        columns = zip(*(rows[name] or () for name in names), strict=True)
        return cls(names, *map(np.stack, columns), broken=broken)

    def take(self, names: Iterable[str]) -> 'Features':
        """The features of some of the clips, in the given order."""
        names, where = list(names), {name: i for i, name in enumerate(self.names)}
        broken = [name for name in names if name in self.broken]
        names = [name for name in names if name not in self.broken]
        rows = [where[name] for name in names]
        bodies = None if self.body_scores is None else self.body_scores[rows]
        return Features(names, self.features[rows], self.scores[rows], bodies, broken)

    def table(self) -> ScoreTable:
        """The scores."""
        return ScoreTable(tuple(self.names), self.scores, self.body_scores)


def domain_groups(
    protocol: Protocol, domains: Sequence[str], found: Sequence[Features]
) -> list[Group]:
    """Scores of tested domains: of ``indomain`` one group over all, else one each."""
    if protocol.name == 'indomain':
        table = join_tables([part.table() for part in found])
        broken = [name for part in found for name in part.broken]
        return [Group({'domain': protocol.domain}, table, broken)]
    pairs = zip(domains, found, strict=True)
    return [Group({'target': d}, part.table(), part.broken) for d, part in pairs]


def row_of(sample: Any, features: np.ndarray) -> Row:
    """The row of a scored sample."""
    scores = [sample.pred_score, sample.get('pred_body_score')]
    return (features, *(s.float().cpu().numpy() for s in scores if s is not None))


def read_cache(folder: Path, stamps: Mapping[str, int]) -> dict[str, Row]:
    """All valid rows in the folder of a domain and subset; damaged files are deleted.

    Rows are valid if the ``stamps`` of the dataset's files have not changed.
    """
    rows: dict[str, Row] = {}

    def valid(arrays: Any) -> dict[str, Row]:
        names, marks = arrays['names'].tolist(), arrays['stamps'].tolist()
        kept = _COLUMNS if _COLUMNS[-1] in arrays else _COLUMNS[:-1]
        if not all(np.isfinite(arrays[key]).all() for key in kept):
            raise ValueError('its rows are not finite')
        found = zip(names, marks, *(arrays[key] for key in kept), strict=True)
        return {n: tuple(row) for n, mark, *row in found if stamps.get(n) == mark}

    for file in sorted(folder.glob('*.npz')):
        rows.update(read_own(file, valid) or {})
    return rows


def write_cache(
    folder: Path, stamps: Mapping[str, int], rows: Mapping[str, Row]
) -> None:
    """Keep rows in the folder of a domain and subset, or say why they are not kept."""
    if not rows:
        return
    names = sorted(rows)
    columns = zip(*(rows[name] for name in names), strict=True)
    arrays = dict(zip(_COLUMNS, map(np.stack, columns), strict=False))
    arrays['names'] = np.array(names, dtype=np.str_)
    arrays['stamps'] = np.array([stamps[name] for name in names], np.int64)
    # Not of the content: an archive holds the time at which it was written.
    identity = arrays['names'].tobytes() + arrays['stamps'].tobytes()
    file = folder / f'{hashlib.sha256(identity).hexdigest()[:32]}.npz'
    try:
        with atomic_write(file, 'wb') as draft:
            np.savez(draft, **arrays)
    except OSError as error:
        print_log(f'features are not kept: {error}', 'current', logging.WARNING)


def find_classifier(model: nn.Module) -> nn.Linear:
    """The linear layer of a head that gives class scores; ValueError without one."""
    head = getattr(model, 'module', model).cls_head
    for layer in (getattr(head, name, None) for name in ('fc_cls', 'fc')):
        if isinstance(layer, nn.Linear):
            return layer
    raise ValueError(
        f'{type(head).__name__} has no linear layer `fc_cls` or `fc`: few-shot '
        'adaptation of the classifier needs one.'
    )


@torch.no_grad()
def run_model(
    model: nn.Module, batches: Iterable[Any], linear: bool = True, fp16: bool = False
) -> Iterator[tuple[list[Any], np.ndarray]]:
    """Run a recognizer over batches of a dataloader in test mode, in this process.

    Heads such as MMAction2's ``TSMHead`` classify frames and average their logits. As
    the classifier is linear, that is the logit of the mean feature, which is noted; of
    logits that are not, ValueError is raised.

    Args:
        linear: Note features, of one linear classifier; without, any head will do, and
            they are empty.

    Yields:
        For each batch its N samples and their features (N, views, D).
    """
    model.eval()
    seen: list[Tensor] = []
    outputs, hooks = [], []
    if linear:
        layer, head = find_classifier(model), getattr(model, 'module', model).cls_head
        hooks.append(layer.register_forward_pre_hook(lambda *x: seen.append(x[1][0])))
        hooks.append(head.register_forward_hook(lambda *x: outputs.append(x[2])))
    try:
        for batch in batches:
            seen.clear()
            outputs.clear()
            with autocast(enabled=fp16):
                samples = model.test_step(batch)
            if not linear:
                yield samples, np.zeros((len(samples), 1, 0), np.float32)
                continue
            features = torch.cat(seen).float()
            if outputs:
                features = _per_view(head, layer, features, outputs)
            yield samples, features.unflatten(0, (len(samples), -1)).cpu().numpy()
    finally:
        for hook in hooks:
            hook.remove()


def _per_view(
    head: nn.Module, layer: nn.Linear, features: Tensor, outputs: list[Any]
) -> Tensor:
    """(views * frames, D) to (views, D), if logits are means over frames."""
    tensors = [o.float() for o in outputs if isinstance(o, Tensor) and o.ndim == 2]
    views = sum(map(len, tensors))
    if features.ndim == 2 and views and len(features) % views == 0:
        features = features.unflatten(0, (views, -1)).mean(dim=1)
        bias = None if layer.bias is None else layer.bias.float()
        expected = nn.functional.linear(features, layer.weight.float(), bias)
        logits = torch.cat(tensors)
        if expected.shape == logits.shape:
            # Room for half precision; another way of averaging is far off.
            room = 0.02 * logits.abs().max() + 1e-6
            if (expected - logits).abs().max() <= room:
                return features
    raise ValueError(
        f'{type(head).__name__}: its logits are not those of the mean of what '
        'its classifier sees, so the classifier cannot be adapted apart from the '
        'rest. Use ActionHead, or few-shot with --adapt finetune.'
    )


class FeatureSource:
    """Features of clips, by the model that a runner holds.

    ``checkpoint`` is the SHA-256 of the model's weights; None keeps nothing on disk.
    """

    def __init__(
        self, runner: Runner, checkpoint: str | None = None, linear: bool = True
    ) -> None:
        self.runner, self.checkpoint, self.linear = runner, checkpoint, linear

    def features(
        self, subset: str, domain: str, names: Iterable[str] | None = None
    ) -> Features:
        """Rows of :meth:`stream` as arrays, the same in every process."""
        return Features.join(dict(self.stream(subset, domain, names)))

    def stream(
        self, subset: str, domain: str, names: Iterable[str] | None = None
    ) -> Iterator[tuple[str, Row | None]]:
        """Features of a subset of one domain; None of clips that cannot be read.

        Without ``names`` they are of all clips that the config's test set has. Those on
        disk come first, then those that the model gives, kept some hundred at a time.
        At the end one that cannot be read raises ValueError, unless they are skipped.
        """
        options = self.runner.cfg.test_dataloader.dataset
        dataset = self.dataset(subset, [domain])
        clips = dataset.metainfo['clips']
        if names is None and options.get('clips') is not None:
            names = read_names(options.clips).intersection(clips)
        wanted = set(clips if names is None else names)
        folder, stamps = None, {}
        if self.checkpoint:
            folder, stamps = self._folder(subset, domain), dataset.file_stamps()
        keeps = folder if dist.is_main_process() else None
        held = [read_cache(keeps, stamps) if keeps else {}]
        dist.broadcast_object_list(held)  # else they could differ in what they miss
        missing = wanted - held[0].keys()
        if folder:
            told = f'{len(wanted)} {folder.name} clips: {len(wanted - missing)}'
            print_log(f'features of {told} from {folder}', 'current')
        yield from ((name, row) for name, row in held[0].items() if name in wanted)
        broken = []
        for found in self._rounds(dataset, missing):
            if keeps:
                write_cache(keeps, stamps, {n: r for n, r in found.items() if r})
            found = {name: row for name, row in found.items() if name in missing}
            broken += [name for name, row in found.items() if row is None]
            yield from found.items()
        if broken and options.get('on_broken') != 'skip':
            dataset.on_broken = 'raise'
            dataset[clips.index(min(broken))]

    def _rounds(
        self, dataset: Any, missing: set[str]
    ) -> Iterator[dict[str, Row | None]]:
        """Rows of all processes of the blocks with missing clips, round by round."""
        clips = dataset.metainfo['clips']
        size = self.runner.cfg.test_dataloader.batch_size
        blocks = _blocks(range(len(clips)), size)
        blocks = [block for block in blocks if any(clips[i] in missing for i in block)]
        if not blocks:
            return
        rank, world = dist.get_dist_info()
        batches = self.run(self.load(dataset, blocks[rank::world]))
        per_round = max(1, CLIPS_PER_ROUND // (size * world))
        for _ in range(0, len(blocks), per_round * world):
            own: dict[str, Row | None] = {}
            for batch in islice(batches, per_round):
                for one, seen in zip(*batch, strict=True):
                    own[one.clip] = None if one.get('broken') else row_of(one, seen)
            parts = dist.all_gather_object(own)
            yield {name: row for part in parts for name, row in part.items()}

    def dataset(self, subset: str, domains: Sequence[str], clips: Any = None) -> Any:
        """Clips of domains, all or some, as tests see them, broken ones marked."""
        own = dict(subset=subset, domains=list(domains), clips=clips, on_broken='skip')
        own['serialize_data'] = False  # few rows, and it collects garbage each time
        options = self.runner.cfg.test_dataloader.dataset.to_dict()
        dataset = DATASETS.build({**options, **own})
        dataset.full_init()
        return dataset

    def run(self, batches: Any) -> Iterator[tuple[list[Any], np.ndarray]]:
        """:func:`run_model` over what :meth:`load` gives."""
        return run_model(self.runner.model, batches, self.linear, self._fp16)

    def load(self, dataset: Any, batches: Iterable[Any], **loading: Any) -> Any:
        """A loader of batches of places of samples, as tests load, but for changes."""
        own = self.runner.cfg.test_dataloader.to_dict().items()
        loader = {k: v for k, v in own if k not in ('batch_size', 'drop_last')}
        # Keys, not indices: randomness of a test pipeline is then that of the clip.
        keys = [[SampleKey(0, 0, index) for index in batch] for batch in batches]
        loader.update(dataset=dataset, sampler=None, batch_sampler=keys, **loading)
        return Runner.build_dataloader(loader, seed=0)

    @property
    def _fp16(self) -> bool:
        return (self.runner.cfg.get('test_cfg') or {}).get('fp16', False)

    def _folder(self, subset: str, domain: str) -> Path:
        """Folder by all that features depend on, but the files of the clips."""
        cfg, gpu = self.runner.cfg, torch.cuda.is_available()
        loader, device = cfg.test_dataloader, gpu and torch.cuda.get_device_name()
        dataset = loader.dataset.to_dict()
        dataset = {k: v for k, v in dataset.items() if k not in _NOT_SEEN}
        origin = dict(mmma=__version__, torch=torch.__version__, device=device or 'cpu')
        origin |= dict(checkpoint=self.checkpoint, linear=self.linear, fp16=self._fp16)
        origin |= dict(model=cfg.model.to_dict(), dataset=dataset, format=_FORMAT)
        origin['batch_size'] = loader.batch_size
        text = json.dumps(origin, sort_keys=True, default=str)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:32]
        return cache_home() / 'features' / fingerprint / f'{domain}_{subset}'


def _blocks(items: Sequence[int], size: int) -> list[Sequence[int]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def extract(
    run: Run,
    weights: BackboneOptions,
    name: str,
    task: str = 'det',
    dtype: str = 'float16',
    rate: float = 15.0,
    stride_sec: float | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = None,
) -> tuple[FeatureStore, int, list[str]]:
    """Extract the features of all clips or videos of a data root.

    Args:
        run: Opened with ``weights``.
        weights: With tokens where several features of a clip or window are wanted.
        rate: Of ``det``: frames per second that the backbone sees.
        stride_sec: Of ``det``: seconds from one window to the next, one pooled feature
            each; None: windows end to end, one feature per token of time.
        on_progress: Called with how many are done, and how many there are.
        workers: Jobs that the batch system of a cluster is asked for.

    Returns:
        The store, how many this run added, and names of those that cannot be read.

    Raises:
        FileNotFoundError: The root has no such table, or weights are missing.
        ValueError: The recipe or the options do not fit, a clip or video cannot be read
            and is not to be skipped, or other features have this name.
    """
    for key, value in (('rate', rate), ('stride_sec', stride_sec)):
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f'{key} {value}: use a number above 0.')
    root, how = run.root, (task, rate, stride_sec)
    stream, names, times, record = _prepare(run, weights, *how)
    if os.environ.get('MMMA_CLUSTER'):
        stream = partial(_in_cluster, run, weights, how, workers, names)
    backbone = run.name + (', random weights' if record['random_backbone'] else '')
    facts = dict(weights_sha256=record['sha256'], data_fingerprint=root.fingerprint())
    info = FeaturesInfo(dtype=dtype, backbone=backbone, **facts, **times)
    with contextlib.suppress(FileNotFoundError, ValueError):
        store = FeatureStore(root.path, name, task)
        if store.info == info and set(store.names) == set(names):
            if (parts := store.path.with_name(f'.{task}.part')).exists():
                with only_writer(parts):  # of a run that was killed at its end
                    shutil.rmtree(parts)
            return store, 0, []
    broken: list[str] = []
    place = root.path / 'features' / name
    with placed(place), FeatureWriter(root.path, name, info, task) as writer:
        before = len(writer.names)
        for each, features in stream(set(names).difference(writer.names)):
            if features is None:
                broken.append(each)
            else:
                writer.append(each, features)
            on_progress(len(writer.names) + len(broken), len(names))
        added = len(writer.names) - before
    return FeatureStore(root.path, name, task), added, broken


_Stream = Callable[[set[str]], Iterator[tuple[str, np.ndarray | None]]]


def _prepare(
    run: Run, weights: BackboneOptions, task: str, rate: float, stride_sec: float | None
) -> tuple[_Stream, list[str], dict[str, Any], dict[str, Any]]:
    """What gives features, of which names, their ``FeaturesInfo``, their weights."""
    root = run.root
    runner, origin = load_backbone(run, weights)
    source, record = FeatureSource(runner), origin['checkpoint']
    if task == 'rec':
        rows = sorted(root.read_rec(), key=lambda clip: (clip.domain, clip.subset))
        names = [clip.clip for clip in rows]  # neighbours go through the model at once
        # Clips of any length have as many rows: the stride is a stand-in.
        times = dict(dim=runner.model.cls_head.in_channels, stride_sec=1.0)
        return partial(_clips, source, root), names, times, record
    names = [video.video for video in root.read_det()]
    datasets, times = _windows(source, root, rate, stride_sec)
    return partial(_videos, source, datasets), names, times, record


_prepared: dict[str, _Stream] = {}


def _some(
    run: Run, weights: BackboneOptions, how: tuple[Any, ...], names: Sequence[str]
) -> list[tuple[str, np.ndarray | None]]:
    """Features of some names, in a process of a cluster, which keeps its model."""
    key = repr((run.cfg.pretty_text, weights, how))
    if key not in _prepared:
        _prepared.clear()
        if multiprocessing.current_process().daemon:  # has no processes of its own
            run.cfg.test_dataloader.num_workers = 0
            for name in OF_WORKERS:
                run.cfg.test_dataloader.pop(name, None)
        _prepared[key] = _prepare(run, weights, *how)[0]
    return list(_prepared[key](set(names)))


def _in_cluster(
    run: Run,
    weights: BackboneOptions,
    how: tuple[Any, ...],
    workers: int | None,
    names: Sequence[str],
    missing: set[str],
) -> Iterator[tuple[str, np.ndarray | None]]:
    work = partial(_some, run, weights, how)
    blocks = _blocks([name for name in names if name in missing], 64)
    for block, found in map_in_processes(work, blocks, workers):
        if found == CRASHED:
            raise ValueError(f'a process died of one of {", ".join(block)}: {CRASHED}')
        yield from found


def _clips(
    source: FeatureSource, root: DataRoot, missing: set[str]
) -> Iterator[tuple[str, np.ndarray | None]]:
    """Features of trimmed clips: of their views, or the tokens of their views."""
    clips = [clip for clip in root.read_rec() if clip.clip in missing]
    for domain, subset in product(root.info.domains, SUBSETS):
        own = [c.clip for c in clips if (c.domain, c.subset) == (domain, subset)]
        rows = source.stream(subset, domain, own) if own else ()
        yield from ((name, row and row[0]) for name, row in rows)


def _windows(
    source: FeatureSource, root: DataRoot, rate: float, stride_sec: float | None
) -> tuple[list[Any], dict[str, Any]]:
    """Untrimmed videos as windows of as many frames as the recipe's clips have.

    As a dataset for each subset; and fields of ``FeaturesInfo``.
    """
    model, loader = source.runner.model, source.runner.cfg.test_dataloader
    steps = [step.to_dict() for step in loader.dataset.pipeline]
    lengths = [step['clip_len'] for step in steps if step['type'] == 'UniformFrames']
    if len(lengths) != 1 or 'Pose' in loader.dataset.get('modality', 'RGB'):
        names = ', '.join(str(step['type']) for step in steps)
        raise ValueError(
            'features of untrimmed videos need a recipe for RGB whose test pipeline '
            f'has one UniformFrames; this one has {names}.'
        )
    stride = frames = int(lengths[0])
    if stride_sec is not None:
        stride = round(stride_sec * rate)
        if not math.isclose(stride / rate, stride_sec) or not stride:
            raise ValueError(
                f'stride_sec {stride_sec} is no whole number of frames at {rate:g} per '
                'second.'
            )
    for place, step in enumerate(steps):
        kind = TRANSFORMS.get(step['type'])
        if hasattr(kind, 'in_windows'):
            steps[place] = dict(type=kind.in_windows)
        if step['type'] == 'FormatShape':
            step['input_format'] = 'NCTHW'  # what PackWindow takes
    keys = ('data_root', 'label_space', 'on_broken')
    options = {key: loader.dataset[key] for key in keys if key in loader.dataset}
    options |= dict(type='UntrimmedDataset', test_mode=True, serialize_data=False)
    options |= dict(window=WindowOptions(frames, rate, stride=stride), pipeline=steps)
    held = {video.subset for video in root.read_det()}
    datasets = [DATASETS.build({**options, 'subset': s}) for s in SUBSETS if s in held]
    # How many features a window gives is known only by asking.
    first = _as_clips(model.data_preprocessor.format_shape, [datasets[0][0]])
    ((_, found),) = run_model(model, [first])
    _, count, dim = found.shape
    step = sec = frames / rate
    if stride_sec is None:
        stride_sec = step = sec / count
    return datasets, dict(dim=dim, fps=rate, stride_sec=stride_sec, offset_sec=step / 2)


def _videos(
    source: FeatureSource, datasets: Iterable[Any], missing: set[str]
) -> Iterator[tuple[str, np.ndarray | None]]:
    """Features of untrimmed videos."""
    runner = source.runner
    collate = partial(_as_clips, runner.model.data_preprocessor.format_shape)
    size = runner.cfg.test_dataloader.batch_size
    for dataset in datasets:
        videos = dataset.metainfo['videos']
        windows = groupby(range(len(videos)), key=videos.__getitem__)
        todo = {name: list(own) for name, own in windows if name in missing}
        batches = [block for own in todo.values() for block in _blocks(own, size)]
        found = source.run(source.load(dataset, batches, collate_fn=collate))
        pairs = (pair for batch in found for pair in zip(*batch, strict=True))
        for name, own in todo.items():
            seen = list(islice(pairs, len(own)))
            if any(sample.get('broken') for sample, _ in seen):
                yield name, None
                continue
            features = np.concatenate([part for _, part in seen])
            padded, positions = seen[-1][0].padding  # of the last window
            empty = len(seen[-1][1]) * padded // positions
            yield name, features[: len(features) - empty]


def _as_clips(shape: str, windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A batch of windows, in the shape of a batch of clips."""
    from mmaction.structures import ActionDataSample

    data = pseudo_collate(windows)
    # (3, T, H, W) -> views of one clip (1, 3, T, H, W), or its frames (T, 3, H, W)
    flat = shape == 'NCHW'
    data['inputs'] = [x.transpose(0, 1) if flat else x[None] for x in data['inputs']]
    for place, sample in enumerate(data['data_samples']):
        padding = (sample.positions - sample.valid, sample.positions)
        meta = dict(clip=sample.video, broken=sample.get('broken'), padding=padding)
        data['data_samples'][place] = ActionDataSample(metainfo=meta)
    return data
