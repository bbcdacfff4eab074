"""Train a model under a protocol.

indomain trains on --domain (default all); the others train on --source (default the
root's); few-shot and other adaptation to a target happens in test.py."""

import argparse
import shlex
from pathlib import Path

from mmma.apis import report
from mmma.cli.arguments import declared, options_of, run_arguments
from mmma.engine.run import TestOptions, TrainOptions

ARGUMENTS = """
*config
.work_dir .launcher .load_from .resume .amp .device_augment .shard .pretrained
.trust .allow_simulated .allow_changed_config .fast_dev_run .log .preset"""
add_arguments = declared(ARGUMENTS, TrainOptions)


def run(args: argparse.Namespace) -> int:
    """Train; with ``--fast-dev-run`` also test and write the results."""
    from mmma.engine.run import open_run

    options = options_of(TrainOptions, args)
    opened = open_run(*run_arguments(args), options=options)  # before slow imports
    from mmengine.dist import is_main_process

    from mmma.engine.train import latest_checkpoint, train

    trained = train(opened, options)
    pretrained = trained.cfg.get('pretraining')  # there is nothing to test
    if args.fast_dev_run and not pretrained:
        place = str(trained.work_dir)
        tested = TestOptions(work_dir=place, launcher=options.launcher)
        checkpoint = latest_checkpoint(trained.work_dir)
        dump = 'detections.json' if trained.task == 'det' else 'scores.npz'
        dump = str(trained.work_dir / dump)  # all there is where truth is withheld
        report(open_run(trained.cfg, options=tested), checkpoint, tested, dump=dump)
    elif is_main_process():
        from mmengine.logging import MMLogger

        from mmma.hub.zoo import trained_in

        config = trained.work_dir / Path(trained.cfg.filename).name  # needs no flag
        log = MMLogger.get_current_instance().log_file
        print(f'checkpoint: {trained_in(trained.work_dir)}\nlog: {log}')
        then = ('train', 'RECIPE', '--load-from') if pretrained else ('test', config)
        words = map(str, ('python', '-m', 'mmma', *then, trained.work_dir))
        print(f'next: {shlex.join(words)}')
    return 0
