"""Features of clips by a frozen backbone, each clip extracted once and kept on disk.

``features/<fingerprint>/<domain>_<subset>/`` in ``$MMMA_HOME`` or ~/.cache/mmma holds
one ``.npz`` per few hundred clips, never changed once written: what an interrupted run
wrote is kept, and concurrent runs cannot harm each other. The fingerprint is of all
that features depend on, but the files of the clips; each clip has a stamp of its own.
Any of the folders may be deleted.

Clips go through the model in blocks that are the same for any wish: the first batch of
clips of a domain and subset, the second, and so on. A clip's neighbours can change the
last bits of its features, so this is what makes results the same with and without the
cache, for any number of runs and shots, and for any number of processes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    get_dist_info,
    is_main_process,
)
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.runner.amp import autocast
from torch import Tensor, nn

from mmma import __version__
from mmma.checkpoints import check_simulated, load_state, weights_of
from mmma.datasets.clips import ClipFilter
from mmma.datasets.samplers import SampleKey
from mmma.engine.run import BackboneOptions, Run
from mmma.engine.weights import FROM_SCRATCH, starting_weights, with_frozen
from mmma.files import atomic_write, cache_home
from mmma.models.heads.action_head import POOLINGS, ActionHead
from mmma.registry import DATASETS, MODELS


@MODELS.register_module()
class TokenHead(ActionHead):
    """``ActionHead`` that averages over space and persons, but not over time.

    A clip's tokens take the place of its views: features are (N * views * T', D), and
    scores are averaged over tokens. The options are those of ``ActionHead``, but for
    pooling ``none``, which leaves nothing to average.
    """

    def pool(self, x: Tensor, num_segs: int | None = None) -> Tensor:
        """Tokens (N * views * T', D), in order of time within a view.

        Args:
            x: Features of the backbone, of the shape that ``pooling`` takes.
            num_segs: Unused, as in ``ActionHead``.

        Raises:
            ValueError: ``x`` has another shape.
        """
        if x.ndim != POOLINGS[self.pooling] or self.pooling == 'none':
            raise ValueError(
                f'features of shape {tuple(x.shape)} hold no tokens for pooling '
                f'{self.pooling!r}: the backbone must give a map of them.'
            )
        if self.pooling == 'segments':
            return x.mean(dim=(2, 3))  # (N*S, D, H, W) -> (N*S, D)
        if self.pooling == 'clip':
            x = x.mean(dim=(3, 4))  # (N, D, T, H, W) -> (N, D, T)
        else:
            x = x.mean(dim=(1, 4))  # (N, M, D, T, V) -> (N, D, T)
        return x.transpose(1, 2).flatten(0, 1)  # (N, D, T) -> (N*T, D)


_FORMAT = 1  # of the files; a change makes all of them unknown
_DAMAGE = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error)


class Row(NamedTuple):
    """What a model sees of one clip: (views, D), (K,), and (B,) if it has bodies."""

    features: np.ndarray
    scores: np.ndarray
    body_scores: np.ndarray | None


def features_folder(origin: Mapping[str, Any], part: str) -> Path:
    """Where features lie.

    Args:
        origin: What they depend on: plain types and configs.
        part: Name of the domain and subset.
    """
    text = json.dumps({**origin, 'format': _FORMAT}, sort_keys=True, default=str)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()[:32]
    return cache_home() / 'features' / fingerprint / part


class FeatureCache:
    """Rows of one domain and subset on disk.

    Args:
        folder: Where they lie; made when the first are written.
        stamps: Of :func:`file_stamps`; rows of a file that has changed are not used.
    """

    def __init__(self, folder: Path, stamps: Mapping[str, int]) -> None:
        self.folder = folder
        self.stamps = stamps

    def read(self) -> dict[str, Row]:
        """All rows that are valid; damaged files are deleted, with a notice."""
        rows: dict[str, Row] = {}
        for file in sorted(self.folder.glob('*.npz')):
            try:
                rows.update(self._read(file))
            except _DAMAGE as error:
                print_log(
                    f'{file} is damaged ({error}): its features are extracted again',
                    'current',
                    logging.WARNING,
                )
                with contextlib.suppress(OSError):
                    file.unlink()
        return rows

    def _read(self, file: Path) -> list[tuple[str, Row]]:
        with np.load(file, allow_pickle=False) as arrays:
            content = {key: arrays[key] for key in arrays.files}
        columns = [content[key] for key in ('features', 'scores')]
        names, stamps = content['names'].tolist(), content['stamps'].tolist()
        bodies = content.get('body_scores', [None] * len(names))
        rows = zip(names, stamps, *columns, bodies, strict=True)
        return [
            (name, Row(*row))
            for name, stamp, *row in rows
            if self.stamps.get(name) == stamp
        ]

    def add(self, rows: Mapping[str, Row]) -> None:
        """Write rows; where that fails, say so and go on."""
        if not rows:
            return
        names = sorted(rows)
        features, scores, bodies = zip(*(rows[n] for n in names), strict=True)
        arrays = {
            'names': np.array(names, dtype=np.str_),
            'stamps': np.array([self.stamps[n] for n in names], np.int64),
            'features': np.stack(features),
            'scores': np.stack(scores),
        }
        if all(body is not None for body in bodies):
            arrays['body_scores'] = np.stack(bodies)
        # Not of the content: an archive holds the time at which it was written.
        identity = arrays['names'].tobytes() + arrays['stamps'].tobytes()
        file = self.folder / f'{hashlib.sha256(identity).hexdigest()[:32]}.npz'
        try:
            with atomic_write(file, 'wb') as draft:
                np.savez(draft, **arrays)
        except OSError as error:
            print_log(f'features are not kept: {error}', 'current', logging.WARNING)


def file_stamps(dataset: Any) -> dict[str, int]:
    """A number for each clip that changes with the file it is read from.

    Args:
        dataset: A ``ClipDataset``: ``RGB`` reads a video per clip, ``Pose`` all from
            the skeleton store. Size and time of change are looked at.
    """
    clips = dataset.metainfo['clips']
    tables = hashlib.sha256(dataset.root.fingerprint().encode())
    if dataset.modality != 'RGB':
        for file in sorted((dataset.root.path / 'skeletons').iterdir()):
            tables.update(f'{file.name} {_size_and_time(file)}'.encode())
        return dict.fromkeys(clips, _number(tables))
    stamps = {}
    for index, clip in enumerate(clips):
        stamp = tables.copy()
        file = Path(dataset.get_data_info(index)['filename'])
        stamp.update(_size_and_time(file).encode())
        stamps[clip] = _number(stamp)
    return stamps


def _size_and_time(file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return 'absent'
    return f'{status.st_size} {status.st_mtime_ns}'


def _number(digest: Any) -> int:
    return int.from_bytes(digest.digest()[:8], 'big', signed=True)


CLIPS_PER_ROUND = 256
"""How many clips are extracted between two writes."""
_NOT_SEEN = ('subset', 'domains', 'clips', 'data_root', 'on_broken', 'body_groups')
"""Options of a data set that change which clips there are, not how they look."""


@dataclass(frozen=True)
class Features:
    """What a model sees of some clips.

    Attributes:
        names: (N,) clip names.
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
    def join(cls, rows: Mapping[str, Row], broken: Iterable[str] = ()) -> Features:
        """Rows as arrays, sorted by name.

        Raises:
            ValueError: There are none.
        """
        names, broken = sorted(rows), sorted(broken)
        if not names:
            raise ValueError(f'none of the {len(broken)} clips could be read')
        features, scores, bodies = zip(*(rows[n] for n in names), strict=True)
        own = all(body is not None for body in bodies)
        return cls(
            names,
            np.stack(features),
            np.stack(scores),
            np.stack(bodies) if own else None,
            broken,
        )

    def take(self, names: list[str]) -> Features:
        """The features of some of the clips, in the given order."""
        where = {name: i for i, name in enumerate(self.names)}
        rows = [where[name] for name in names]
        bodies = None if self.body_scores is None else self.body_scores[rows]
        return Features(names, self.features[rows], self.scores[rows], bodies)


def find_classifier(model: nn.Module) -> nn.Linear:
    """The linear layer that gives a recognizer its class scores.

    Raises:
        ValueError: The model's head has no such layer called ``fc_cls`` or ``fc``.
    """
    head = getattr(model, 'module', model).cls_head
    for name in ('fc_cls', 'fc'):
        layer = getattr(head, name, None)
        if isinstance(layer, nn.Linear):
            return layer
    raise ValueError(
        f'{type(head).__name__} has no linear layer `fc_cls` or `fc`: few-shot '
        'adaptation of the classifier needs one.'
    )


class ClassifierInputs:
    """Notes what the classifier of a model sees, while entered.

    Heads such as MMAction2's ``TSMHead`` classify frames and average their logits. As
    the classifier is linear, that is the logit of the mean feature, which is noted.

    Args:
        model: A recognizer with one linear classifier.
    """

    def __init__(self, model: nn.Module) -> None:
        self.head = getattr(model, 'module', model).cls_head
        self.layer = find_classifier(model)
        self._seen: list[Tensor] = []
        self._logits: list[Tensor] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> ClassifierInputs:
        self._hooks = [
            self.layer.register_forward_pre_hook(
                lambda _, inputs: self._seen.append(inputs[0].detach().float())
            ),
            self.head.register_forward_hook(
                lambda _, __, output: self._logits.append(output)
            ),
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def take(self, num_clips: int) -> np.ndarray:
        """Features (N, views, D) of the N clips that the model saw since last time.

        Raises:
            ValueError: The logits are not those of averaged features.
        """
        features = torch.cat(self._seen)
        logits = self._logits
        self._seen, self._logits = [], []
        if logits:
            features = self._per_view(features, logits)
        return features.unflatten(0, (num_clips, -1)).cpu().numpy()

    def _per_view(self, features: Tensor, outputs: list[Any]) -> Tensor:
        """(views * frames, D) to (views, D), if logits are means over frames."""
        tensors = [o.float() for o in outputs if isinstance(o, Tensor) and o.ndim == 2]
        views = sum(map(len, tensors))
        if features.ndim == 2 and views and len(features) % views == 0:
            features = features.unflatten(0, (views, -1)).mean(dim=1)
            bias = None if self.layer.bias is None else self.layer.bias.float()
            expected = F.linear(features, self.layer.weight.float(), bias)
            logits = torch.cat(tensors)
            if expected.shape == logits.shape:
                # Room for half precision; another way of averaging is far off.
                room = 0.02 * logits.abs().max() + 1e-6
                if (expected - logits).abs().max() <= room:
                    return features
        raise ValueError(
            f'{type(self.head).__name__}: its logits are not those of the mean of what '
            'its classifier sees, so the classifier cannot be adapted apart from the '
            'rest. Use ActionHead, or few-shot with --adapt finetune.'
        )


def extract_features(
    model: nn.Module, dataloader: Iterable, linear: bool = True
) -> Features:
    """Run a model over the batches of a dataloader, in this process.

    Args:
        model: A recognizer.
        dataloader: In test mode; its samples carry ``clip`` in their meta info.
        linear: Note features; without, any head will do, and they are empty.

    Returns:
        Each clip once, sorted by name.
    """
    return Features.join(*run_model(model, dataloader, linear))


@torch.no_grad()
def run_model(
    model: nn.Module, batches: Iterable, linear: bool = True
) -> tuple[dict[str, Row], list[str]]:
    """Rows by clip name, and the names of broken clips; as extract_features."""
    rows: dict[str, Row] = {}
    broken: list[str] = []
    model.eval()
    with ClassifierInputs(model) if linear else contextlib.nullcontext() as inputs:
        for batch in batches:
            samples = model.test_step(batch)
            count = len(samples)
            seen = inputs.take(count) if inputs else np.zeros((count, 1, 0), 'float32')
            for sample, features in zip(samples, seen, strict=True):
                if sample.get('broken'):
                    broken.append(sample.clip)
                    continue
                body = sample.get('pred_body_score')
                rows[sample.clip] = Row(
                    features,
                    sample.pred_score.float().cpu().numpy(),
                    None if body is None else body.float().cpu().numpy(),
                )
    return rows, broken


@dataclass(frozen=True)
class FeatureSource:
    """Features of clips, by the model that a runner holds.

    Attributes:
        runner: Built from a resolved config.
        checkpoint: SHA-256 of the model's weights; None keeps nothing on disk.
        linear: As of :func:`extract_features`.
    """

    runner: Runner
    checkpoint: str | None = None
    linear: bool = True

    def features(
        self, subset: str, domain: str, names: Iterable[str] | None = None
    ) -> Features:
        """Features of a subset of one domain, the same in every process.

        Args:
            subset: ``train``, ``val`` or ``test``.
            domain: The domain.
            names: Clips wanted; None takes all that the config's test set has.

        Raises:
            ValueError: A wanted clip cannot be read, unless the config's test set
                skips such clips.
        """
        options = self.runner.cfg.test_dataloader.dataset
        dataset = self._dataset(subset, domain)
        clips = dataset.metainfo['clips']
        if names is None and options.get('clips') is not None:
            chosen = ClipFilter(subset, [domain], options.clips, True).names
            names = [name for name in clips if name in chosen]
        wanted = set(clips if names is None else names)
        cache = None
        if self.checkpoint:
            folder = features_folder(self._origin(), f'{domain}_{subset}')
            cache = FeatureCache(folder, file_stamps(dataset))
        rows, broken = self._rows(dataset, wanted, cache)
        broken = sorted(wanted & set(broken))
        if broken and options.get('on_broken') != 'skip':
            dataset.on_broken = 'raise'
            dataset[clips.index(broken[0])]
        return Features.join({n: rows[n] for n in wanted if n in rows}, broken)

    def _rows(
        self, dataset: Any, wanted: set[str], cache: FeatureCache | None
    ) -> tuple[dict[str, Row], list[str]]:
        """At least the wanted rows, from the cache and from the model."""
        held = [cache.read() if cache and is_main_process() else {}]
        broadcast_object_list(held)  # else processes could differ in what they miss
        rows, broken = held[0], []
        clips = dataset.metainfo['clips']
        size = self.runner.cfg.test_dataloader.batch_size
        blocks = [range(len(clips))[i : i + size] for i in range(0, len(clips), size)]
        wanted_here = len(wanted & set(rows))
        blocks = [b for b in blocks if any(clips[i] in wanted - set(rows) for i in b)]
        if cache:
            print_log(
                f'features of {len(wanted)} {cache.folder.name} clips: {wanted_here} '
                f'from {cache.folder}',
                'current',
            )
        for found, unreadable in self._rounds(dataset, blocks):
            rows.update(found)
            broken += unreadable
            if cache and is_main_process():
                cache.add(found)
        return rows, broken

    def _rounds(
        self, dataset: Any, blocks: list[range]
    ) -> Iterator[tuple[dict[str, Row], list[str]]]:
        """Rows and broken clips of all processes, some hundred clips at a time."""
        if not blocks:
            return
        rank, world = get_dist_info()
        loader = self.runner.cfg.test_dataloader.to_dict()
        # Keys, not indices: randomness of a test pipeline is then that of the clip.
        keys = [SampleKey(0, 0, i) for block in blocks[rank::world] for i in block]
        loader.update(dataset=dataset, sampler=keys, drop_last=False)
        batches = iter(Runner.build_dataloader(loader, seed=0))
        test_cfg = self.runner.cfg.get('test_cfg') or {}
        per_round = max(1, CLIPS_PER_ROUND // (loader['batch_size'] * world))
        for _ in range(0, len(blocks), per_round * world):
            with autocast(enabled=test_cfg.get('fp16', False)):
                part = run_model(
                    self.runner.model, islice(batches, per_round), self.linear
                )
            parts = all_gather_object(part)
            rows = {name: row for found, _ in parts for name, row in found.items()}
            yield rows, [name for _, broken in parts for name in broken]

    def _dataset(self, subset: str, domain: str) -> Any:
        options = self.runner.cfg.test_dataloader.dataset.to_dict()
        options.update(subset=subset, domains=[domain], clips=None, on_broken='skip')
        options['serialize_data'] = False  # few rows, and it collects garbage each time
        dataset = DATASETS.build(options)
        dataset.full_init()
        return dataset

    def _origin(self) -> dict[str, Any]:
        """All that features depend on, but the files of the clips."""
        cfg = self.runner.cfg
        loader = cfg.test_dataloader
        dataset = loader.dataset.to_dict()
        gpu = torch.cuda.is_available()
        return {
            'mmma': __version__,
            'torch': torch.__version__,
            'device': torch.cuda.get_device_name() if gpu else 'cpu',
            'checkpoint': self.checkpoint,
            'model': cfg.model.to_dict(),
            'dataset': {k: v for k, v in dataset.items() if k not in _NOT_SEEN},
            'batch_size': loader.batch_size,
            'linear': self.linear,
            'fp16': (cfg.get('test_cfg') or {}).get('fp16', False),
        }


RANDOM_SEED = 0
"""Of random weights, and of parts that a file leaves out: the same in every run."""


@dataclass(frozen=True)
class FrozenBackbone:
    """A model whose backbone is used as it is.

    Attributes:
        run: What was opened; features are of its data.
        runner: Holds the model; its classifier means nothing.
        record: What ``results.json`` says of the weights.
        seen_domains: Domains that their training used; None where untold.
        sha256: Of the backbone's weights, as they are in the model.
        is_random: No training made them.
    """

    run: Run
    runner: Runner
    record: dict[str, Any]
    seen_domains: list[str] | None
    sha256: str
    is_random: bool

    @property
    def model(self) -> nn.Module:
        """The model, not wrapped."""
        model = self.runner.model
        return model.module if is_model_wrapper(model) else model

    def source(self, cache: bool = True) -> FeatureSource:
        """Features of clips; apart from those of the same weights with a classifier.

        Args:
            cache: Keep them on disk, and use those that are there.
        """
        return FeatureSource(self.runner, f'backbone-{self.sha256}' if cache else None)


def load_backbone(run: Run, options: BackboneOptions) -> FrozenBackbone:
    """Build the model of a recipe and put weights into its backbone.

    Args:
        run: Opened with the same options: no body classifier, and with ``tokens``
            another head.
        options: Which weights.

    Raises:
        FileNotFoundError: Weights are missing.
        ValueError: There are no weights and random ones were not asked for; they do not
            fit, or are not allowed on these data.
    """
    cfg = run.cfg
    weights = starting_weights(
        cfg, options.checkpoint, options.pretrained, options.trust
    )
    if weights is None and options.pretrained:
        raise ValueError(
            'the recipe names no pretrained weights: give a checkpoint, or say '
            '--no-pretrained for the features of random weights.'
        )
    if weights:
        check_simulated(weights.meta, run.root.info, options.allow_simulated)
    runner = Runner.from_cfg(cfg)
    torch.manual_seed(RANDOM_SEED)
    runner.model.init_weights()
    record, seen = dict(pretrain_data=FROM_SCRATCH, simulated=False), []
    if weights:
        whole = with_frozen(runner.model, weights, cfg)
        load_state(runner.model, weights_of(whole.content), str(whole.path))
        record = weights.record()
        seen = weights.seen_domains or ([] if weights.of_recipe else None)
    sha256 = weights_sha256(runner.model.backbone)
    if not weights:
        record.update(path='random', sha256=sha256, trained_on=FROM_SCRATCH)
    return FrozenBackbone(run, runner, record, seen, sha256, weights is None)


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 of names, types, shapes and bytes of a model's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f'{name} {value.dtype} {tuple(value.shape)};'.encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
