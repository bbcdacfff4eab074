"""What a model sees of clips: extracted once per checkpoint, kept on disk.

Clips go through the model in blocks that are the same for any wish: the first batch of
clips of a domain and subset, the second, and so on. A clip's neighbours can change the
last bits of its features, so this is what makes results the same with and without the
cache, for any number of runs and shots, and for any number of processes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
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
from mmma.datasets.clip_selection import ClipFilter
from mmma.datasets.samplers.keys import SampleKey
from mmma.engine.feature_cache import FeatureCache, Row, features_folder, file_stamps
from mmma.registry import DATASETS

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
