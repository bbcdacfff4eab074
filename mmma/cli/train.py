"""``train.py CONFIG``: train a model under a protocol."""

from __future__ import annotations

import argparse
from dataclasses import replace

from mmma.cli.arguments import (
    CKPT_HELP,
    add_config_arguments,
    add_run_arguments,
    options_of,
    report,
    run_arguments,
)

HELP = """Train a model under a protocol.

indomain trains on --domain (default all); zeroshot and fewshot train on lab alone,
few-shot adaptation to a target happens in test.py."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_config_arguments(parser)
    add_run_arguments(parser)
    add = parser.add_argument
    add('--load-from', metavar='CKPT', help=f'start from these weights: {CKPT_HELP}')
    resume = 'go on from the latest in the work dir'
    add('--resume', action='store_true', help=resume)
    amp = 'mixed precision (bf16 where the GPU has it)'
    add('--amp', action='store_true', help=amp)
    scratch = 'train from scratch'
    add('--no-pretrained', dest='pretrained', action='store_false', help=scratch)
    trust = 'load weights even if they are a pickle that can run code'
    add('--trust-checkpoint', dest='trust', action='store_true', help=trust)
    simulated = 'start from weights trained on simulated data on real data'
    add('--allow-simulated', action='store_true', help=simulated)
    short = 'two iterations each of train, validate and test, to a results.json'
    add('--fast-dev-run', action='store_true', help=short)


def run(args: argparse.Namespace) -> int:
    """Train; with ``--fast-dev-run`` also test and write the results."""
    from mmma.engine.run import TestOptions, TrainOptions, open_run
    from mmma.hub.zoo import checkpoint_path

    options = options_of(TrainOptions, args)
    opened = open_run(*run_arguments(args), options=options)
    if args.load_from:
        options = replace(options, load_from=str(checkpoint_path(args.load_from)))
    from mmma.engine.train import latest_checkpoint, train

    trained = train(opened, options)
    if args.fast_dev_run:
        tested = TestOptions(work_dir=str(trained.work_dir))
        checkpoint = latest_checkpoint(trained.work_dir)
        report(open_run(trained.cfg, options=tested), checkpoint, tested)
    return 0
