"""``test.py CONFIG CKPT``: score a checkpoint under a protocol."""

from __future__ import annotations

import argparse

from mmma.cli.arguments import (
    CKPT_HELP,
    add_config_arguments,
    add_run_arguments,
    add_view_arguments,
    options_of,
    report,
    run_arguments,
)

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
    add_run_arguments(parser)
    add('--subset', choices=('test', 'val'), default='test')
    add('--runs', type=int, metavar='N', help='fewshot: support draws')
    strict = 'fewshot: a class with fewer clips than shots is an error'
    add('--strict-shots', action='store_true', default=None, help=strict)
    adapt = 'fewshot: refit the classifier (default), compare with class means, or '
    adapt += 'train the model'
    add('--adapt', metavar='linear|prototype|finetune', help=adapt)
    cache = 'fewshot: neither use nor keep features on disk'
    add('--no-cache', dest='cache', action='store_false', help=cache)
    add_view_arguments(parser)
    classes = 'classes of MCA and macro F1: with truth (default), with truth or '
    classes += 'prediction, all'
    add('--class-set', choices=('present', 'union', 'all'), help=classes)
    bodies = "body scores: sum of a group's actions (default), group of the top "
    bodies += "action, or the model's own"
    add('--body-scores', choices=('sum', 'top1', 'head'), help=bodies)
    broken = 'leave out clips or videos that cannot be read; the results name them'
    add('--skip-broken', action='store_true', help=broken)
    trust = 'load the checkpoint even if it is a pickle that can run code'
    add('--trust-checkpoint', dest='trust', action='store_true', help=trust)
    simulated = 'test weights that were trained on simulated data on real data'
    add('--allow-simulated', action='store_true', help=simulated)
    other = 'test on skeletons of another extractor than the weights were trained on'
    add('--allow-extractor', action='store_true', help=other)
    add('--out', metavar='FILE', help='default: results.json in the work dir')
    dump = 'also write scores.npz; detections of actions as ActivityNet-style JSON'
    add('--dump', metavar='FILE', help=dump)


def run(args: argparse.Namespace) -> int:
    """Test, write the results and print their table."""
    from mmma.engine.run import TestOptions, open_run
    from mmma.hub.zoo import checkpoint_path

    options = options_of(TestOptions, args)
    opened = open_run(
        *run_arguments(args), options=options, views=args.views, crops=args.crops
    )
    checkpoint = str(checkpoint_path(args.checkpoint))
    report(opened, checkpoint, options, args.out, args.dump)
    return 0
