"""Train whole and split models; of two processes one dies at the end: ROOT FOLDER."""

import os
import signal
import sys

from mmma.apis import load_config
from mmma.engine.run import TrainOptions, open_run
from mmma.engine.train import train


def run(name, epochs=4, **options):
    """Train some epochs of the smallest transformer in a folder of that name."""
    root, folder = sys.argv[1:]
    flags = {'domain': 'lab'}
    cfg = load_config(
        'configs/recog/videomae-tiny_mma82_indomain.py', flags, data_root=root
    )
    for subset in ('train', 'val', 'test'):
        cfg[f'{subset}_dataloader'].num_workers = 0
    cfg.train_cfg.max_epochs = epochs
    cfg.param_scheduler = []
    cfg.optim_wrapper.clip_grad = {'max_norm': 1.0}
    cfg.default_hooks.ema = {'type': 'TrainedEMAHook', 'decay': 0.5}
    cfg.compile = {'backend': 'eager'}
    given = TrainOptions(work_dir=f'{folder}/{name}', launcher='pytorch', **options)
    train(open_run(cfg, options=given), given)


if __name__ == '__main__':
    run('whole')
    run('parts', epochs=2, shard=True)
    run('parts', shard=True, resume=True)
    if os.environ['RANK'] == '1':
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ['WORLD_SIZE'] == '2':
        run('more', epochs=10**6)  # until the launcher ends it
