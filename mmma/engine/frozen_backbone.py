"""A recipe's backbone, frozen, with weights that tell where they come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmma import registry  # noqa: F401  (fills the registries)
from mmma.checkpoints import check_simulated, load_state, weights_of
from mmma.engine.features import FeatureSource
from mmma.engine.outcome import default_folder, set_environment
from mmma.engine.tokens import show_tokens
from mmma.engine.weights import (
    FROM_SCRATCH,
    starting_weights,
    with_frozen,
)
from mmma.layout.root import DataRoot

RANDOM_SEED = 0
"""Of random weights, and of parts that a file leaves out: the same in every run."""


@dataclass(frozen=True)
class BackboneOptions:
    """Where a backbone's weights come from, and how clips are read.

    Attributes:
        checkpoint: Path or URL of the weights; None takes the recipe's.
        pretrained: False leaves the weights random, unless there is a checkpoint.
        tokens: See tokens instead of pooled features.
        trust: Allow the checkpoint to be a pickle that can run code.
        allow_simulated: Allow weights trained on simulated data on real data.
        skip_broken: Leave out clips that cannot be read, and name them.
        work_dir: Folder of the logs; None names one after the config.
    """

    checkpoint: str | None = None
    pretrained: bool = True
    tokens: bool = False
    trust: bool = False
    allow_simulated: bool = False
    skip_broken: bool = False
    work_dir: str | None = None


@dataclass(frozen=True)
class FrozenBackbone:
    """A model whose backbone is used as it is.

    Attributes:
        runner: Holds the model; its classifier means nothing.
        record: What ``results.json`` says of the weights.
        seen_domains: Domains that their training used; None where untold.
        sha256: Of the backbone's weights, as they are in the model.
        is_random: No training made them.
    """

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


def load_backbone(cfg: Any, options: BackboneOptions) -> FrozenBackbone:
    """Build the model of a recipe and put weights into its backbone.

    Args:
        cfg: From :func:`mmma.apis.load_config`; changed in place: no body classifier,
            and with ``tokens`` another head.
        options: Which weights.

    Raises:
        FileNotFoundError: Data or weights are missing.
        ValueError: There are no weights and random ones were not asked for; they do not
            fit, or are not allowed on these data.
    """
    cfg.work_dir = options.work_dir or str(default_folder(cfg) / 'frozen')
    set_environment(cfg, 'none')
    cfg.load_from, cfg.resume = None, False
    root = DataRoot(cfg.data_root)
    dataset = cfg.test_dataloader.dataset
    dataset.on_broken = 'skip' if options.skip_broken else 'raise'
    if cfg.model.cls_head.get('body'):
        cfg.model.cls_head.body = None
    if options.tokens:
        show_tokens(cfg.model)
    weights = starting_weights(
        cfg, options.checkpoint, options.pretrained, options.trust
    )
    if weights is None and options.pretrained:
        raise ValueError(
            'the recipe names no pretrained weights: give a checkpoint, or say '
            '--no-pretrained for the features of random weights.'
        )
    if weights:
        check_simulated(weights.meta, root.info, options.allow_simulated)
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
    return FrozenBackbone(runner, record, seen, sha256, weights is None)


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 of names, types, shapes and bytes of a model's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        value = value.detach().cpu().contiguous()
        digest.update(f'{name} {value.dtype} {tuple(value.shape)};'.encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
