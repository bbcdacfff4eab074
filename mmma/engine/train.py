"""Training a recipe."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

from mmengine.logging import print_log
from mmengine.runner import Runner, find_latest_checkpoint

from mmma.checkpoints import check_simulated
from mmma.engine.hooks import PlainCheckpointHook
from mmma.engine.run import Run, TrainOptions
from mmma.engine.weights import (
    FROM_SCRATCH,
    StartFrom,
    read_checkpoint,
    starting_weights,
)


def train(run: Run, options: TrainOptions) -> Run:
    """Train a model in a run that was opened with the same options.

    Returns:
        The run as it was trained, which tells what its weights had seen before.

    Raises:
        ValueError: Weights that do not fit.
        FileNotFoundError: Data or weights are missing.
    """
    resuming = options.resume and find_latest_checkpoint(str(run.work_dir))
    if resuming:
        start = read_checkpoint(resuming)
    else:
        start = starting_weights(
            run.cfg, options.load_from, options.pretrained, options.trust
        )
    if start:
        check_simulated(start.meta, run.root.info, options.allow_simulated)
    run = replace(run, cfg=copy.deepcopy(run.cfg))
    run.cfg.pretrain_data = start.pretrain_data if start else FROM_SCRATCH
    run.cfg.seen_before = (start.seen_domains or []) if start else []
    runner = build_trainer(run)
    if options.resume and not resuming:
        print_log(f'nothing to resume in {run.work_dir}: training starts', 'current')
    if start and not resuming:
        runner.register_hook(StartFrom(start))
    runner.train()
    return run


def build_trainer(run: Run) -> Runner:
    """Build the runner of a run; its checkpoints tell of the run."""
    runner = Runner.from_cfg(run.cfg)
    for hook in runner.hooks:
        if isinstance(hook, PlainCheckpointHook):
            hook.run = run
    return runner


def latest_checkpoint(work_dir: Path) -> str:
    """The last checkpoint that a run wrote.

    Raises:
        FileNotFoundError: It wrote none.
    """
    found = find_latest_checkpoint(str(work_dir))
    if not found:
        raise FileNotFoundError(f'{work_dir} holds no checkpoint.')
    return found
