"""Extract features of a frozen backbone into ROOT/features/NAME.

--task det: along untrimmed videos, at --rate frames per second, in windows of as many
frames as the recipe's clips have. Windows lie end to end, and each token of time is a
feature, averaged over space: 7.5 per second for VideoMAE at 15 frames per second. With
--stride-sec a window starts every so many seconds and gives one feature.
--task rec: of clips, by the recipe's test pipeline: one feature per view, or with
--tokens one per view and token of time.

Beside them is noted which weights, rate and data made them. A run that was stopped goes
on when the same command is given again. Exit status: 0 done, 1 clips or videos could
not be read and were left out (listed), 2 bad usage or bad input."""

import argparse
import sys

from mmma.cli.arguments import CKPT_HELP, declared, find_recipe, options_of
from mmma.config import model_name
from mmma.engine.run import BackboneOptions, open_run
from mmma.files import progress_bar

ARGUMENTS = f"""
root ROOT (path): data root
config CONFIG|NAME: of recognition, as videomae-s
checkpoint [CKPT]: default: weights of the recipe; {CKPT_HELP}
.pretrained
--name NAME: of the features (default: that of the recipe)
--task {{rec,det}} = det
--dtype {{float16,float32}} = float16
--rate FPS (float) = 15.0: det: default 15
--stride-sec S (float): det: see above
--tokens: rec: see above
--views V (int): rec: views per clip
.skip_broken .trust .allow_simulated
--workers N (int): of --cluster slurm: jobs
--cfg-options K=V ... = []"""
add_arguments = declared(ARGUMENTS, BackboneOptions)


def run(args: argparse.Namespace) -> int:
    """Extract, and say what came of it."""
    for key in ('tokens', 'views') if args.task == 'det' else ('stride_sec',):
        if getattr(args, key):
            flag = key.replace('_', '-')
            raise ValueError(f'--{flag} is no option of --task {args.task}.')
    if args.workers and not args.cluster:
        raise ValueError('--workers is of --cluster slurm: leave it out')
    from mmma.hub.zoo import checkpoint_path

    checkpoint = args.checkpoint and str(checkpoint_path(args.checkpoint))
    dense = args.task == 'det' and args.stride_sec is None
    own = {'checkpoint': checkpoint, 'tokens': dense or args.tokens}
    weights = options_of(BackboneOptions, args, **own)
    recipe, protocol = find_recipe(args.config), {'protocol': 'indomain'}
    given = recipe, protocol, str(args.root), args.cfg_options
    opened = open_run(*given, options=weights, views=args.views)
    from mmma.engine.features import extract

    recipe = model_name(opened.cfg.filename, 'mma82', '')
    name = args.name or recipe.removesuffix('_mma82')
    options = (name, args.task, args.dtype, args.rate, args.stride_sec)
    with progress_bar('features') as report:
        store, added, left_out = extract(
            opened, weights, *options, report, args.workers
        )
    info = store.info
    print(
        f'{args.root}/features/{name}: {len(store):,} rows of {args.task}, '
        f'{added:,} of them now; D {info.dim}, {info.dtype}, one per '
        f'{info.stride_sec:.4g} s, by {info.backbone}'
    )
    for broken in left_out:
        print(f'LEFT OUT {broken}: cannot be read', file=sys.stderr)
    return 1 if left_out else 0
