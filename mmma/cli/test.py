"""``test.py CONFIG CKPT``: score a checkpoint under a protocol."""

import argparse

from mmma.cli.arguments import (
    CKPT_HELP,
    add_config_arguments,
    add_options,
    add_view_arguments,
    options_of,
    report,
    run_arguments,
)
from mmma.engine.run import TestOptions
from mmma.files import try_out

HELP = """Score a checkpoint under a protocol and write results.json.

Zero-shot means that no clip of the target domain was trained on; its classes are not
unseen. Few-shot adapts the model to K clips per class of the target. In detection
bodies are scored apart: actions are relabelled to body groups before NMS, or come from
the body head (--cfg-options +test_evaluator.bodies=head)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_config_arguments(parser)
    add = parser.add_argument
    add('checkpoint', metavar='CKPT', help=f'weights: {CKPT_HELP}')
    names = ('work_dir', 'launcher', 'subset')
    add_options(parser, TestOptions, *names, subset={'help': None})
    add('--runs', type=int, metavar='N', help='fewshot: support draws')
    strict = 'fewshot: a class with fewer clips than shots is an error'
    add('--strict-shots', action='store_true', default=None, help=strict)
    add_options(parser, TestOptions, 'adapt', 'cache')
    add_view_arguments(parser)
    names = ('class_set', 'body_scores', 'skip_broken', 'trust', 'allow_simulated')
    trust = {'flag': '--trust-checkpoint'}
    add_options(parser, TestOptions, *names, 'allow_extractor', trust=trust)
    add_options(parser, TestOptions, 'preset', preset={'flag': '--preset --as'})
    told = 'default: results.json in the work dir'
    add('--out', type=try_out, metavar='FILE', help=told)
    dump = 'also write scores.npz; detections of actions as ActivityNet-style JSON; '
    dump += 'all that is written where truth is withheld'
    add('--dump', type=try_out, metavar='FILE', help=dump)
    told = 'also draw how often scores are right, as given and calibrated'
    add('--reliability', type=try_out, metavar='FILE.png', help=told)


def run(args: argparse.Namespace) -> int:
    """Test, write the results and print their table."""
    from mmma.engine.run import open_run

    options = options_of(TestOptions, args)
    opened = open_run(
        *run_arguments(args), options=options, views=args.views, crops=args.crops
    )
    report(opened, args.checkpoint, options, args.out, args.dump, args.reliability)
    return 0
