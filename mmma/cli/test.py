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
    parser.add_argument('checkpoint', metavar='CKPT', help=f'weights: {CKPT_HELP}')
    add_run_arguments(parser)
    parser.add_argument('--subset', choices=('test', 'val'), default='test')
    parser.add_argument('--runs', type=int, metavar='N', help='fewshot: support draws')
    parser.add_argument(
        '--strict-shots',
        action='store_true',
        default=None,
        help='fewshot: a class with fewer clips than shots is an error',
    )
    parser.add_argument(
        '--adapt',
        metavar='linear|prototype|finetune',
        help='fewshot: refit the classifier (default), compare with class means, or '
        'train the model',
    )
    parser.add_argument(
        '--no-cache',
        dest='cache',
        action='store_false',
        help='fewshot: neither use nor keep features on disk',
    )
    add_view_arguments(parser)
    parser.add_argument(
        '--class-set',
        choices=('present', 'union', 'all'),
        help='classes of MCA and macro F1: with truth (default), with truth or '
        'prediction, all',
    )
    parser.add_argument(
        '--body-scores',
        choices=('sum', 'top1', 'head'),
        help="body scores: sum of a group's actions (default), group of the top "
        "action, or the model's own",
    )
    parser.add_argument(
        '--skip-broken',
        action='store_true',
        help='leave out clips or videos that cannot be read; the results name them',
    )
    parser.add_argument(
        '--trust-checkpoint',
        dest='trust',
        action='store_true',
        help='load the checkpoint even if it is a pickle that can run code',
    )
    parser.add_argument(
        '--allow-simulated',
        action='store_true',
        help='test weights that were trained on simulated data on real data',
    )
    parser.add_argument(
        '--allow-extractor',
        action='store_true',
        help='test on skeletons of another extractor than the weights were trained on',
    )
    parser.add_argument(
        '--out', metavar='FILE', help='default: results.json in the work dir'
    )
    parser.add_argument(
        '--dump',
        metavar='FILE',
        help='also write scores.npz; detections of actions as ActivityNet-style JSON',
    )


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
