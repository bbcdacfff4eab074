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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

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
from mmengine.runner import Runner
from mmengine.runner.amp import autocast
from torch import Tensor, nn

from mmma import __version__
from mmma.checkpoints import check_simulated, load_state, weights_of
from mmma.datasets.clips import read_names
from mmma.datasets.samplers import SampleKey
from mmma.engine.run import BackboneOptions, Run
from mmma.engine.weights import FROM_SCRATCH, starting_weights, with_frozen
from mmma.evaluation.scores import ScoreTable
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


Row = tuple[np.ndarray, ...]
"""Of one clip: features (views, D), scores (K,) and, if the model has them, body scores
(B,)."""


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
    def join(cls, rows: Mapping[str, Row | None]) -> Features:
        """Rows as arrays, sorted by name.

        Args:
            rows: By clip; None for those that could not be read.

        Raises:
            ValueError: There are none.
        """
        names = sorted(name for name, row in rows.items() if row is not None)
        broken = sorted(rows.keys() - set(names))
        if not names:
            raise ValueError(f'none of the {len(broken)} clips could be read')
        columns = zip(*(rows[name] or () for name in names), strict=True)
        return cls(names, *map(np.stack, columns), broken=broken)

    def take(self, names: Iterable[str]) -> Features:
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


_FORMAT = 1  # of the files; a change makes all of them unknown
_COLUMNS = ('features', 'scores', 'body_scores')  # the last may be absent
_DAMAGE = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error)


def read_cache(folder: Path, stamps: Mapping[str, int]) -> dict[str, Row]:
    """All valid rows of one domain and subset; damaged files are deleted.

    Args:
        folder: Where they lie; it may be absent.
        stamps: Of :func:`file_stamps`; rows of a file that has changed are not used.
    """
    rows: dict[str, Row] = {}
    for file in sorted(folder.glob('*.npz')):
        try:
            with np.load(file, allow_pickle=False) as arrays:
                names, marks = arrays['names'].tolist(), arrays['stamps'].tolist()
                kept = _COLUMNS if _COLUMNS[-1] in arrays else _COLUMNS[:-1]
                found = zip(names, marks, *(arrays[key] for key in kept), strict=True)
                rows.update(
                    {n: tuple(row) for n, mark, *row in found if stamps.get(n) == mark}
                )
        except _DAMAGE as error:
            text = f'{file} is damaged ({error}): its features are extracted again'
            print_log(text, 'current', logging.WARNING)
            with contextlib.suppress(OSError):
                file.unlink()
    return rows


def write_cache(
    folder: Path, stamps: Mapping[str, int], rows: Mapping[str, Row]
) -> None:
    """Keep rows; where that fails, say so and go on.

    Args:
        folder: Of the domain and subset; made if it is absent.
        stamps: Of :func:`file_stamps`.
        rows: By clip.
    """
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


@torch.no_grad()
def run_model(
    model: nn.Module, batches: Iterable[Any], linear: bool = True, fp16: bool = False
) -> Iterator[tuple[list[Any], np.ndarray]]:
    """Run a model over batches, in this process.

    Heads such as MMAction2's ``TSMHead`` classify frames and average their logits. As
    the classifier is linear, that is the logit of the mean feature, which is noted.

    Args:
        model: A recognizer, with one linear classifier where features are wanted.
        batches: Of a dataloader in test mode.
        linear: Note features; without, any head will do, and they are empty.
        fp16: Half precision.

    Yields:
        For each batch its N samples and their features (N, views, D).

    Raises:
        ValueError: The logits are not those of averaged features.
    """
    model.eval()
    seen: list[Tensor] = []
    outputs: list[Any] = []
    hooks: list[Any] = []
    if linear:
        layer, head = find_classifier(model), getattr(model, 'module', model).cls_head
        hooks = [
            layer.register_forward_pre_hook(
                lambda _, inputs: seen.append(inputs[0].detach().float())
            ),
            head.register_forward_hook(lambda _, __, output: outputs.append(output)),
        ]
    try:
        for batch in batches:
            seen.clear()
            outputs.clear()
            with autocast(enabled=fp16):
                samples = model.test_step(batch)
            if not linear:
                yield samples, np.zeros((len(samples), 1, 0), np.float32)
                continue
            features = torch.cat(seen)
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
        expected = F.linear(features, layer.weight.float(), bias)
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


CLIPS_PER_ROUND = 256
"""How many clips are extracted between two writes."""
_NOT_SEEN = ('subset', 'domains', 'clips', 'data_root', 'on_broken', 'body_groups')
"""Options of a data set that change which clips there are, not how they look."""


class FeatureSource:
    """Features of clips, by the model that a runner holds.

    Args:
        runner: Built from a resolved config.
        checkpoint: SHA-256 of the model's weights; None keeps nothing on disk.
        linear: As of :func:`run_model`.
    """

    def __init__(
        self, runner: Runner, checkpoint: str | None = None, linear: bool = True
    ) -> None:
        self.runner, self.checkpoint, self.linear = runner, checkpoint, linear

    def features(
        self, subset: str, domain: str, names: Iterable[str] | None = None
    ) -> Features:
        """Features of a subset of one domain, the same in every process.

        Args:
            subset: ``train``, ``val`` or ``test``.
            domain: The domain.
            names: Clips wanted; None takes all that the config's test set has.

        Raises:
            ValueError: As :meth:`stream`.
        """
        return Features.join(dict(self.stream(subset, domain, names)))

    def stream(
        self, subset: str, domain: str, names: Iterable[str] | None = None
    ) -> Iterator[tuple[str, Row | None]]:
        """Rows as :meth:`features` joins them, None for clips that cannot be read.

        Those on disk come first, then those that the model gives, which are kept some
        hundred at a time.

        Raises:
            ValueError: In the end: a wanted clip cannot be read, unless the config's
                test set skips such clips.
        """
        options = self.runner.cfg.test_dataloader.dataset
        dataset = self._dataset(subset, domain)
        clips = dataset.metainfo['clips']
        if names is None and options.get('clips') is not None:
            names = read_names(options.clips).intersection(clips)
        wanted = set(clips if names is None else names)
        folder, stamps = None, {}
        if self.checkpoint:
            folder, stamps = self._folder(subset, domain), file_stamps(dataset)
        held = [read_cache(folder, stamps) if folder and is_main_process() else {}]
        broadcast_object_list(held)  # else processes could differ in what they miss
        missing = wanted - held[0].keys()
        if folder:
            print_log(
                f'features of {len(wanted)} {folder.name} clips: '
                f'{len(wanted - missing)} from {folder}',
                'current',
            )
        yield from ((name, row) for name, row in held[0].items() if name in wanted)
        broken = []
        for found in self._rounds(dataset, missing):
            if folder and is_main_process():
                read = {name: row for name, row in found.items() if row is not None}
                write_cache(folder, stamps, read)
            for name, row in found.items():
                if name in missing:
                    broken += [name] if row is None else []
                    yield name, row
        if broken and options.get('on_broken') != 'skip':
            dataset.on_broken = 'raise'
            dataset[clips.index(min(broken))]

    def _rounds(
        self, dataset: Any, missing: set[str]
    ) -> Iterator[dict[str, Row | None]]:
        """Rows of all processes of the blocks with missing clips, round by round."""
        clips = dataset.metainfo['clips']
        size = self.runner.cfg.test_dataloader.batch_size
        blocks = [range(len(clips))[i : i + size] for i in range(0, len(clips), size)]
        blocks = [block for block in blocks if any(clips[i] in missing for i in block)]
        if not blocks:
            return
        rank, world = get_dist_info()
        batches = self.run(dataset, blocks[rank::world])
        per_round = max(1, CLIPS_PER_ROUND // (size * world))
        for _ in range(0, len(blocks), per_round * world):
            own: dict[str, Row | None] = {}
            for samples, features in islice(batches, per_round):
                for sample, seen in zip(samples, features, strict=True):
                    scores = [sample.pred_score, sample.get('pred_body_score')]
                    kept = [s.float().cpu().numpy() for s in scores if s is not None]
                    own[sample.clip] = None if sample.get('broken') else (seen, *kept)
            yield {n: row for part in all_gather_object(own) for n, row in part.items()}

    def run(
        self, dataset: Any, batches: Sequence[Iterable[int]], **loading: Any
    ) -> Iterator[tuple[list[Any], np.ndarray]]:
        """Run the model over some samples; see :func:`run_model`.

        Args:
            dataset: In test mode.
            batches: Places of the samples of each batch.
            **loading: Changes to the config's test loader.
        """
        loader = self.runner.cfg.test_dataloader.to_dict()
        for key in ('batch_size', 'drop_last'):
            loader.pop(key, None)
        # Keys, not indices: randomness of a test pipeline is then that of the clip.
        keys = [[SampleKey(0, 0, index) for index in batch] for batch in batches]
        loader.update(dataset=dataset, sampler=None, batch_sampler=keys, **loading)
        built = Runner.build_dataloader(loader, seed=0)
        return run_model(self.runner.model, built, self.linear, self._fp16)

    @property
    def _fp16(self) -> bool:
        return (self.runner.cfg.get('test_cfg') or {}).get('fp16', False)

    def _dataset(self, subset: str, domain: str) -> Any:
        options = self.runner.cfg.test_dataloader.dataset.to_dict()
        options.update(subset=subset, domains=[domain], clips=None, on_broken='skip')
        options['serialize_data'] = False  # few rows, and it collects garbage each time
        dataset = DATASETS.build(options)
        dataset.full_init()
        return dataset

    def _folder(self, subset: str, domain: str) -> Path:
        """Folder by all that features depend on, but the files of the clips."""
        cfg = self.runner.cfg
        loader = cfg.test_dataloader
        dataset = loader.dataset.to_dict()
        gpu = torch.cuda.is_available()
        origin = {
            'mmma': __version__,
            'torch': torch.__version__,
            'device': torch.cuda.get_device_name() if gpu else 'cpu',
            'checkpoint': self.checkpoint,
            'model': cfg.model.to_dict(),
            'dataset': {k: v for k, v in dataset.items() if k not in _NOT_SEEN},
            'batch_size': loader.batch_size,
            'linear': self.linear,
            'fp16': self._fp16,
            'format': _FORMAT,
        }
        text = json.dumps(origin, sort_keys=True, default=str)
        fingerprint = hashlib.sha256(text.encode()).hexdigest()[:32]
        return cache_home() / 'features' / fingerprint / f'{domain}_{subset}'


RANDOM_SEED = 0
"""Of random weights, and of parts that a file leaves out: the same in every run."""


def load_backbone(
    run: Run, options: BackboneOptions, cache: bool = False
) -> tuple[FeatureSource, dict[str, Any]]:
    """Build the model of a recipe and put weights into its backbone.

    Args:
        run: Opened with the same options: no body classifier, and with ``tokens``
            another head.
        options: Which weights.
        cache: Keep features on disk, and use those that are there; apart from those of
            the same weights with a classifier.

    Returns:
        Source of features, whose classifier means nothing; and of the weights the
        ``checkpoint``, as ``results.json`` has it, with the hash of the backbone's
        weights as they are in the model, and ``seen_domains``, None where untold.

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
    seen: list[str] | None = []
    if weights:
        whole = with_frozen(runner.model, weights, cfg)
        load_state(runner.model, weights_of(whole.content), str(whole.path))
        record = weights.record()
        seen = weights.seen_domains or ([] if weights.of_recipe else None)
    sha256 = weights_sha256(runner.model.backbone)
    if not weights:
        record = dict(pretrain_data=FROM_SCRATCH, simulated=False)
        record.update(path='random', sha256=sha256, trained_on=FROM_SCRATCH)
    record |= dict(backbone_sha256=sha256, random_backbone=weights is None)
    source = FeatureSource(runner, f'backbone-{sha256}' if cache else None)
    return source, {'checkpoint': record, 'seen_domains': seen}


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 of names, types, shapes and bytes of a model's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f'{name} {value.dtype} {tuple(value.shape)};'.encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
