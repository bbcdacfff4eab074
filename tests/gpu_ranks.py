"""One of two processes that train on one device; test_gpu.py starts them."""

import os
import sys
from pathlib import Path

os.environ['LOCAL_RANK'] = '0'  # MMEngine's number of the GPU

import torch

from mmma.config import load_config
from mmma.engine.run import TrainOptions, open_run
from mmma.engine.train import build_trainer, check_data

RECIPE = 'configs/recog/gctsm-tiny_mma82_indomain.py'


def train_rank(root: str, folder: Path) -> None:
    """Two steps; this process's weights before and after them."""
    # Two processes of NCCL need two GPUs.
    given = dict(cfg_options=['env_cfg.dist_cfg.backend=gloo'])
    cfg = load_config(RECIPE, {}, root, **given)
    options = TrainOptions(
        str(folder / 'work'),
        launcher='pytorch',
        amp=torch.cuda.is_available(),
        fast_dev_run=True,
        pretrained=False,
    )
    run = open_run(cfg, options=options)
    check_data(run, 'train', 'val')
    runner = build_trainer(run)
    weights = dict(runner.model.named_parameters())
    start = {name: weight.detach().clone() for name, weight in weights.items()}
    runner.train()
    found = {name: weight.detach() for name, weight in weights.items()}
    file = folder / f'rank{os.environ["RANK"]}.pth'
    torch.save(dict(start=start, weights=found), file)
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    train_rank(sys.argv[1], Path(sys.argv[2]))
