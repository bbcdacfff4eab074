"""``data/features``: features of a root's clips or videos by a frozen backbone."""

import argparse
import sys
from pathlib import Path

from mmma.cli.arguments import CKPT_HELP, add_options, find_recipe, options_of
from mmma.config import model_name
from mmma.engine.run import BackboneOptions, open_run
from mmma.files import progress_bar

HELP = """Extract features of a frozen backbone into ROOT/features/NAME.

--task det: along untrimmed videos, at --rate frames per second, in windows of as many
frames as the recipe's clips have. Windows lie end to end, and each token of time is a
feature, averaged over space: 7.5 per second for VideoMAE at 15 frames per second. With
--stride-sec a window starts every so many seconds and gives one feature.
--task rec: of clips, by the recipe's test pipeline: one feature per view, or with
--tokens one per view and token of time.

Beside them is noted which weights, rate and data made them. A run that was stopped goes
on when the same command is given again. Exit status: 0 done, 1 clips or videos could
not be read and were left out (listed), 2 bad usage or bad input."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add = parser.add_argument
    add('root', metavar='ROOT', type=Path, help='data root')
    add('config', metavar='CONFIG|NAME', help='of recognition, as videomae-s')
    told = f'default: weights of the recipe; {CKPT_HELP}'
    add('checkpoint', nargs='?', metavar='CKPT', help=told)
    add_options(parser, BackboneOptions, 'pretrained')
    add('--name', help='of the features (default: that of the recipe)')
    add('--task', choices=('rec', 'det'), default='det')
    add('--dtype', choices=('float16', 'float32'), default='float16')
    add('--rate', type=float, default=15.0, metavar='FPS', help='det: default 15')
    add('--stride-sec', type=float, metavar='S', help='det: see above')
    add('--tokens', action='store_true', help='rec: see above')
    add('--views', type=int, metavar='V', help='rec: views per clip')
    names, trust = ('skip_broken', 'trust', 'allow_simulated'), '--trust-checkpoint'
    add_options(parser, BackboneOptions, *names, trust={'flag': trust})
    add('--cfg-options', nargs='+', default=[], metavar='K=V')


def run(args: argparse.Namespace) -> int:
    """Extract, and say what came of it."""
    for key in ('tokens', 'views') if args.task == 'det' else ('stride_sec',):
        if getattr(args, key):
            raise ValueError(
                f'--{key.replace("_", "-")} is no option of --task {args.task}.'
            )
    from mmma.hub.zoo import checkpoint_path

    checkpoint = args.checkpoint and str(checkpoint_path(args.checkpoint))
    dense = args.task == 'det' and args.stride_sec is None
    weights = options_of(
        BackboneOptions, args, checkpoint=checkpoint, tokens=dense or args.tokens
    )
    opened = open_run(
        find_recipe(args.config),
        {'protocol': 'indomain'},
        str(args.root),
        args.cfg_options,
        options=weights,
        views=args.views,
    )
    from mmma.engine.features import extract

    recipe = model_name(opened.cfg.filename, 'mma82', '')
    name = args.name or recipe.removesuffix('_mma82')
    options = (name, args.task, args.dtype, args.rate, args.stride_sec)
    with progress_bar('features') as report:
        store, added, left_out = extract(opened, weights, *options, report)
    info = store.info
    print(
        f'{args.root}/features/{name}: {len(store):,} rows of {args.task}, '
        f'{added:,} of them now; D {info.dim}, {info.dtype}, one per '
        f'{info.stride_sec:.4g} s, by {info.backbone}'
    )
    for broken in left_out:
        print(f'LEFT OUT {broken}: cannot be read', file=sys.stderr)
    return 1 if left_out else 0
