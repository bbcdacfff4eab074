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
    parser.add_argument(
        '--load-from', metavar='CKPT', help=f'start from these weights: {CKPT_HELP}'
    )
    parser.add_argument(
        '--resume', action='store_true', help='go on from the latest in the work dir'
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision (bf16 where the GPU has it)'
    )
    parser.add_argument(
        '--no-pretrained',
        dest='pretrained',
        action='store_false',
        help='train from scratch',
    )
    parser.add_argument(
        '--trust-checkpoint',
        dest='trust',
        action='store_true',
        help='load weights even if they are a pickle that can run code',
    )
    parser.add_argument(
        '--allow-simulated',
        action='store_true',
        help='start from weights trained on simulated data on real data',
    )
    parser.add_argument(
        '--fast-dev-run',
        action='store_true',
        help='two iterations each of train, validate and test, to a results.json',
    )


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
        report(
            open_run(trained.cfg, options=tested),
            latest_checkpoint(trained.work_dir),
            tested,
        )
    return 0
