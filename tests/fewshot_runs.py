"""Runners of a tiny model for few-shot tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.registry import init_default_scope

from mmma.config import load_config
from mmma.engine.run import TestOptions, open_run
from mmma.engine.test import load_runner
from mmma.registry import MODELS

TINY = 'configs/recog/videomae-tiny_mma82_fewshot.py'


def make_run(
    root: Path, folder: Path, body: bool = False, **flags: Any
) -> tuple[Any, Any]:
    """A run on ``street`` and its runner, whose model has weights drawn with seed 0.

    Args:
        root: Data root.
        folder: Where the checkpoint and logs go.
        body: Give the model a body classifier.
        **flags: Of the protocol.
    """
    flags = {'target': ['street'], 'shots': [1], 'runs': 1, **flags}
    cfg = load_config(TINY, flags, data_root=str(root))
    for subset in ('train', 'test'):
        loader = cfg[f'{subset}_dataloader']
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.model.cls_head.init_std = 0.1
    if body:
        cfg.model.cls_head.body = dict(fusion_weight=0.5)
    init_default_scope('mmma')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    checkpoint = folder / 'source.pth'
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, checkpoint)
    options = TestOptions(work_dir=str(folder / 'test'))
    run = open_run(cfg, options=options)
    return run, load_runner(run, str(checkpoint), options)[0]
