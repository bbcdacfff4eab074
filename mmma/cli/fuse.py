"""Average score files of several models; needs no torch.

Clips and classes are matched by name. Weights are equal, given (--weights), or learnt
(--learn) on the val subset alone: --val-scores names the score files of the same
models on val clips, in the order of SCORES, --gt their truth. The weights minimise the
negative log likelihood of the true action over weights >= 0 that add up to 1, after
--temperature that of each model's own.

Beside fused.npz a fused.json records weights, inputs and how they came about. With
--gt, metrics of each input, of their plain mean and of the fused scores are printed."""

import argparse
import sys

from mmma.cli.arguments import UNSET, apply_preset, declared
from mmma.evaluation.reports import fuse_files
from mmma.evaluation.rows import EvaluationOptions
from mmma.evaluation.scores import SPACES
from mmma.files import only_writer
from mmma.reporting.table import fusion_text
from mmma.taxonomy import read_label_space

ARGUMENTS = f"""
scores SCORES ... (path): scores.npz or .csv
--out fused.npz (out), required
--weights W ... (float): one per file
--learn: learn the weights on val
--val-scores FILE ... (path): for --learn
--temperature: --learn: first make each model's scores softer or sharper, by a
  temperature of its own that is learnt on val as well
--gt rec.csv|DATAROOT (path): truth
--subset val = val: --learn: val, nothing else
--space {{{','.join(SPACES)}}} = mean: mean: of scores (default); logit: of log scores,
  the geometric mean
--body-fusion W (float): then multiply each action by the fused body score of its group
  to the power W; not for models whose head does so in testing (fusion_weight)
*label_space
.class_set .body_scores .resamples
*preset"""
add_arguments = declared(ARGUMENTS, EvaluationOptions, **UNSET)


def run(args: argparse.Namespace) -> int:
    """Fuse, write scores and record, print weights and metrics."""
    _check_arguments(args)
    apply_preset(args)
    if args.label_space:
        args.label_space = read_label_space(args.label_space).plain()
    beside = ('subset', 'preset')  # val; applied
    given = {k: v for k, v in vars(args).items() if k not in beside and v is not None}
    with only_writer(args.out.with_suffix('.json'), file=True):
        record, notes = fuse_files(**given)
    for note in notes:
        print(note, file=sys.stderr)
    print(fusion_text(record))
    print(f'written to {args.out} and {args.out.with_suffix(".json")}')
    return 0


def _check_arguments(args: argparse.Namespace) -> None:
    val_scores = args.val_scores or []
    for flag, given in (('val-scores', val_scores), ('temperature', args.temperature)):
        if given and not args.learn:
            raise ValueError(f'--{flag} without --learn: give both or neither')
    if args.learn and args.weights:
        raise ValueError('--learn and --weights: choose one of them')
    if args.learn and args.subset != 'val':
        raise ValueError(
            f'--learn --subset {args.subset}: weights are learnt on val alone, '
            'never on clips that train or test'
        )
    if args.learn and not (args.gt and val_scores):
        raise ValueError(
            '--learn needs --gt rec.csv (or a data root) and --val-scores: score files '
            'of the same models on val clips'
        )
    if args.learn and len(val_scores) != len(args.scores):
        raise ValueError(
            f'{len(val_scores)} --val-scores for {len(args.scores)} score files: '
            'give one of the same model for each, in the same order'
        )
    beside = args.out.with_suffix('.json')
    if beside.is_file() and b'"body_fusion"' not in beside.read_bytes():
        raise ValueError(f'{beside} is no record of scores: use another name')
