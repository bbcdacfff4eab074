"""Training a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.logging import print_log
from mmengine.runner import Runner, find_latest_checkpoint

from mmma.checkpoints import check_simulated
from mmma.data.root import DataRoot
from mmma.engine.run import default_folder, set_environment
from mmma.engine.weights import (
    FROM_SCRATCH,
    StartFrom,
    read_checkpoint,
    starting_weights,
)
from mmma.taxonomy import SUBSETS

FAST_DEV_ITERATIONS = 2


@dataclass(frozen=True)
class TrainOptions:
    """What the command line adds to a config.

    Attributes:
        work_dir: Folder of logs and checkpoints; None names one after the config.
        load_from: Path of weights to start from instead of the recipe's.
        resume: Go on from the latest checkpoint of the work dir, if there is one.
        amp: Mixed precision.
        pretrained: Start from the recipe's pretrained weights.
        trust: Allow ``load_from`` to be a pickle that can run code.
        allow_simulated: Allow weights trained on simulated data on real data.
        fast_dev_run: Two iterations of training and validation.
        launcher: ``none``, ``pytorch`` or ``slurm``.
    """

    work_dir: str | None = None
    load_from: str | None = None
    resume: bool = False
    amp: bool = False
    pretrained: bool = True
    trust: bool = False
    allow_simulated: bool = False
    fast_dev_run: bool = False
    launcher: str = 'none'


def train(cfg: Any, options: TrainOptions) -> Path:
    """Train a model.

    Args:
        cfg: From :func:`mmma.apis.load_config`; changed in place.
        options: What the command line adds.

    Returns:
        The work dir.

    Raises:
        ValueError: Mixed precision without a GPU; weights that do not fit.
        FileNotFoundError: Data or weights are missing.
    """
    work_dir = prepare(cfg, options)
    if options.amp:
        _use_amp(cfg)
    if options.fast_dev_run:
        shorten(cfg)
    resuming = options.resume and find_latest_checkpoint(str(work_dir))
    if resuming:
        start = read_checkpoint(resuming)
    else:
        start = starting_weights(
            cfg, options.load_from, options.pretrained, options.trust
        )
    if start:
        info = DataRoot(cfg.data_root).info
        check_simulated(start.meta, info, options.allow_simulated)
    cfg.pretrain_data = start.pretrain_data if start else FROM_SCRATCH
    cfg.seen_before = (start.seen_domains or []) if start else []
    runner = Runner.from_cfg(cfg)
    if options.resume and not resuming:
        print_log(f'nothing to resume in {work_dir}: training starts', 'current')
    if start and not resuming:
        runner.register_hook(StartFrom(start))
    runner.train()
    return work_dir


def prepare(cfg: Any, options: TrainOptions) -> Path:
    """Set the work dir and launcher, and check the data, before anything is built."""
    DataRoot(cfg.data_root)
    cfg.work_dir = str(options.work_dir or cfg.get('work_dir') or default_folder(cfg))
    cfg.resume = options.resume
    set_environment(cfg, options.launcher)
    return Path(cfg.work_dir)


def shorten(cfg: Any) -> None:
    """Change a config to two iterations each of training, validation and testing."""
    names = _names_by_subset(DataRoot(cfg.data_root), cfg.task)
    for subset in SUBSETS:
        loader = cfg[f'{subset}_dataloader']
        loader.batch_size = 2
        loader.num_workers = 0
        loader.persistent_workers = False
        loader.pop('prefetch_factor', None)
        if subset != 'train':
            wanted = loader.batch_size * FAST_DEV_ITERATIONS
            domains = loader.dataset.domains
            chosen = _spread([names.get((subset, d), []) for d in domains], wanted)
            loader.dataset['videos' if cfg.task == 'det' else 'clips'] = chosen
    cfg.train_cfg = ConfigDict(
        type='IterBasedTrainLoop',
        max_iters=FAST_DEV_ITERATIONS,
        val_interval=FAST_DEV_ITERATIONS,
    )
    cfg.param_scheduler = []
    cfg.log_processor.by_epoch = False
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(by_epoch=False, interval=FAST_DEV_ITERATIONS)
    cfg.fast_dev_run = True


def _names_by_subset(root: DataRoot, task: str) -> dict[tuple[str, str], list[str]]:
    """Clips of each subset and domain, or videos in which something happens."""
    if task == 'det':
        rows = [(v, v.video) for v in root.read_det() if v.instances]
    else:
        rows = [(c, c.clip) for c in root.read_rec()]
    names: dict[tuple[str, str], list[str]] = {}
    for row, name in rows:
        names.setdefault((row.subset, row.domain), []).append(name)
    return names


def _spread(names: list[list[str]], wanted: int) -> list[str]:
    """A few names, from each list in turn."""
    turns = zip_longest(*names)
    return [name for turn in turns for name in turn if name is not None][:wanted]


def latest_checkpoint(work_dir: Path) -> str:
    """The last checkpoint that a run wrote.

    Raises:
        FileNotFoundError: It wrote none.
    """
    found = find_latest_checkpoint(str(work_dir))
    if not found:
        raise FileNotFoundError(f'{work_dir} holds no checkpoint.')
    return found


def _use_amp(cfg: Any) -> None:
    if not torch.cuda.is_available():
        raise ValueError('--amp needs a GPU, and torch sees none: leave it out.')
    bf16 = torch.cuda.is_bf16_supported()
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.dtype = 'bfloat16' if bf16 else 'float16'
