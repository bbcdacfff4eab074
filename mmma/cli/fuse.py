"""``fuse.py SCORES ... --out fused.npz``: average the scores of several models."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmma.taxonomy import LABEL_SPACES, LabelSpace, load_label_space

if TYPE_CHECKING:
    import numpy as np

    from mmma.data.clips import Clip
    from mmma.evaluation.rows import Truth
    from mmma.evaluation.scores import LearntWeights, ScoreTable

HELP = """Average score files of several models; needs no torch.

Clips and classes are matched by name. Weights are equal, given (--weights), or learnt
(--learn) on the val subset alone: --val-scores names the score files of the same
models on val clips, in the order of SCORES, --gt their truth. The weights minimise the
negative log likelihood of the true action over weights >= 0 that add up to 1.

Beside fused.npz a fused.json records weights, inputs and how they came about. With
--gt, metrics of each input and of the fused scores are printed."""

_SPACES = ('mean', 'logit')
_BODY_CHOICES = ('sum', 'top1', 'head')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    add('scores', nargs='+', type=Path, metavar='SCORES', help='scores.npz or .csv')
    add('--out', required=True, type=Path, metavar='fused.npz')
    add('--weights', nargs='+', type=float, metavar='W', help='one per file')
    add('--learn', action='store_true', help='learn the weights on val')
    add('--val-scores', nargs='+', type=Path, metavar='FILE', help='for --learn')
    add('--gt', type=Path, metavar='rec.csv|DATAROOT', help='truth')
    add('--subset', default='val', metavar='val', help='--learn: val, nothing else')
    add(
        '--space',
        choices=_SPACES,
        default='mean',
        help='mean: of scores (default); logit: of log scores, the geometric mean',
    )
    add(
        '--body-fusion',
        type=float,
        metavar='W',
        help='then multiply each action by the fused body score of its group to the '
        'power W; not for models whose head does so in testing (fusion_weight)',
    )
    add('--label-space', choices=LABEL_SPACES, default='mma82')
    add(
        '--body-scores',
        choices=_BODY_CHOICES,
        default='sum',
        help='body scores of the metrics, as in evaluate.py',
    )
    add(
        '--resamples',
        type=int,
        default=1000,
        metavar='N',
        help='bootstrap resamples of the 95 %% intervals (default 1000; 0: none)',
    )


def run(args: argparse.Namespace) -> int:
    """Fuse, write scores and record, print weights and metrics."""
    from mmma.evaluation.scores import fuse_tables, write_scores
    from mmma.reporting.table import fusion_text

    _check_arguments(args)
    gold = _read_gold(args) if args.gt else None
    space = gold.space if gold else load_label_space(args.label_space)
    tables = _read_tables(args.scores, space)
    weights, learnt, fitted = _choose_weights(args, gold, space)
    _warn_of_scales(tables, args)
    fused = fuse_tables(tables, weights, args.space)
    if args.body_fusion is not None:
        fused = _fuse_bodies(fused, space, args.body_fusion)
    report = _metrics(args, [*tables, fused], gold, fitted) if gold else None
    write_scores(args.out, fused, space)
    record = _record(args, weights, fused) | {'learnt': learnt, 'metrics': report}
    record['simulated'] = gold.simulated if gold else None
    sidecar = args.out.with_suffix('.json')
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    sidecar.write_text(text + '\n', encoding='utf-8')
    print(fusion_text(record))
    print(f'written to {args.out} and {sidecar}')
    return 0


@dataclass(frozen=True)
class _Gold:
    """The truth file: its clips by name, and their label space."""

    path: Path
    clips: dict[str, Clip]
    space: LabelSpace
    simulated: bool | None


def _check_arguments(args: argparse.Namespace) -> None:
    if args.learn:
        _check_learning(args)
    elif args.val_scores:
        raise ValueError('--val-scores without --learn: give both or neither')
    if args.out.resolve() in {p.resolve() for p in (*args.scores, *_val_scores(args))}:
        raise ValueError(f'--out {args.out} is one of the inputs: use another name')


def _check_learning(args: argparse.Namespace) -> None:
    if args.weights:
        raise ValueError('--learn and --weights: choose one of them')
    if args.subset != 'val':
        raise ValueError(
            f'--learn --subset {args.subset}: weights are learnt on val alone, '
            'never on clips that train or test'
        )
    if not args.gt or not args.val_scores:
        raise ValueError(
            '--learn needs --gt rec.csv (or a data root) and --val-scores: score files '
            'of the same models on val clips'
        )
    if len(args.val_scores) != len(args.scores):
        raise ValueError(
            f'{len(args.val_scores)} --val-scores for {len(args.scores)} score files: '
            'give one of the same model for each, in the same order'
        )


def _val_scores(args: argparse.Namespace) -> Sequence[Path]:
    return args.val_scores or ()


def _read_gold(args: argparse.Namespace) -> _Gold:
    from mmma.data.clips import body_map, read_rec
    from mmma.data.root import INFO_FILE, REC_FILE, missing_root, read_info

    path = args.gt
    if path.is_dir():
        if not (path / INFO_FILE).is_file():
            raise FileNotFoundError(missing_root(path))
        path = path / REC_FILE
    info = read_info(path.parent) if (path.parent / INFO_FILE).is_file() else None
    if info and info.label_space != args.label_space:
        raise ValueError(
            f'{path.parent} is of label space {info.label_space!r}, not '
            f'{args.label_space!r}: give --label-space {info.label_space}'
        )
    space = load_label_space(args.label_space)
    clips = read_rec(path, space)
    simulated = info.simulated if info else None
    return _Gold(path, {c.clip: c for c in clips}, body_map(clips, space), simulated)


def _read_tables(paths: Sequence[Path], space: LabelSpace) -> list[ScoreTable]:
    from mmma.evaluation.scores import align_tables, read_scores

    tables = [read_scores(path, space) for path in paths]
    return align_tables(tables, [str(path) for path in paths])


def _choose_weights(
    args: argparse.Namespace, gold: _Gold | None, space: LabelSpace
) -> tuple[np.ndarray, dict[str, Any] | None, set[str]]:
    """Weights, the record of learning them, and the clips they were learnt on."""
    from mmma.evaluation.scores import check_weights, learn_weights

    number = len(args.scores)
    if not args.learn or gold is None:
        return check_weights(args.weights or [1.0] * number, number), None, set()
    tables = _read_tables(args.val_scores, space)
    truth = _val_truth(tables[0].names, gold)
    learnt = learn_weights(tables, truth.labels, args.space)
    listed = sum(c.subset == 'val' for c in gold.clips.values())
    if listed > len(truth.names):
        print(
            f'{listed - len(truth.names)} of {listed} val clips of {gold.path} have no '
            'scores: weights are learnt on the others',
            file=sys.stderr,
        )
    return learnt.weights, _learning_record(args, learnt, truth, gold), set(truth.names)


def _val_truth(names: Sequence[str], gold: _Gold) -> Truth:
    """Truth of clips to learn from, every one of which is of subset val."""
    from mmma.evaluation.rows import Truth

    unknown = [name for name in names if name not in gold.clips]
    if unknown:
        raise ValueError(
            f'--val-scores: {len(unknown)} of {len(names)} clips are not in '
            f'{gold.path}: {_first(unknown)}'
        )
    others = [name for name in names if gold.clips[name].subset != 'val']
    if others:
        subsets = Counter(gold.clips[name].subset for name in others)
        counts = ', '.join(f'{n} of {subset}' for subset, n in sorted(subsets.items()))
        raise ValueError(
            f'--val-scores: {len(others)} of {len(names)} clips are not of subset val '
            f'({counts}): {_first(others)}; weights are learnt on val alone'
        )
    return Truth.from_clips(gold.clips[name] for name in names)


def _warn_of_scales(tables: Sequence[ScoreTable], args: argparse.Namespace) -> None:
    """The arithmetic mean follows whoever writes the larger numbers."""
    from mmma.evaluation.scores import are_probabilities

    if args.space == 'mean':
        for path, table in zip(args.scores, tables, strict=True):
            if not are_probabilities(table.scores):
                print(
                    f'{path}: rows do not add up to 1, so these are no probabilities; '
                    'averaged as given, larger numbers weigh more',
                    file=sys.stderr,
                )
    heads = [t.body_scores is not None for t in tables]
    if any(heads) and not all(heads):
        print(
            f'{sum(heads)} of {len(heads)} files have body_scores: none are written',
            file=sys.stderr,
        )


def _fuse_bodies(fused: ScoreTable, space: LabelSpace, weight: float) -> ScoreTable:
    from mmma.evaluation.recognition import fuse_body_scores

    if fused.body_scores is None:
        raise ValueError(
            '--body-fusion needs body_scores in every score file; test a model with a '
            'body head, or leave it out'
        )
    scores = fuse_body_scores(fused.scores, fused.body_scores, space.body_of, weight)
    return replace(fused, scores=scores)


def _metrics(
    args: argparse.Namespace,
    tables: Sequence[ScoreTable],
    gold: _Gold,
    fitted: set[str],
) -> dict[str, Any] | None:
    """Metrics of each table, the fused one last; None where no truth is known."""
    from mmma.evaluation.bootstrap import BootstrapOptions
    from mmma.evaluation.rows import EvaluationOptions, Truth, recognition_row

    names = tables[0].names
    known = [gold.clips[n] for n in names if n in gold.clips]
    known = [clip for clip in known if clip.action is not None]
    if len(known) < len(names):
        print(
            f'{gold.path} has the truth of {len(known)} of {len(names)} clips: '
            + ('metrics are of these alone' if known else 'no metrics'),
            file=sys.stderr,
        )
    if not known:
        return None
    options = EvaluationOptions(
        body_scores=args.body_scores,
        bootstrap=BootstrapOptions(resamples=args.resamples),
    )
    truth = Truth.from_clips(known)
    rows = [recognition_row(table, truth, gold.space, options) for table in tables]
    return {
        'clips': len(known),
        'subsets': dict(sorted(Counter(c.subset for c in known).items())),
        'weights_fitted_on_them': sum(clip.clip in fitted for clip in known),
        'options': {'class_set': options.class_set, 'body_scores': args.body_scores},
        'inputs': [_numbers(row) for row in rows[:-1]],
        'fused': _numbers(rows[-1]),
    }


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ('metrics', 'intervals') if key in row}


def _record(
    args: argparse.Namespace, weights: np.ndarray, fused: ScoreTable
) -> dict[str, Any]:
    how = 'learnt' if args.learn else 'given' if args.weights else 'equal'
    return {
        'schema': 1,
        'weights': weights.tolist(),
        'weights_from': how,
        'space': args.space,
        'label_space': args.label_space,
        'clips': len(fused.names),
        'body_scores': fused.body_scores is not None,
        'body_fusion': args.body_fusion,
        'inputs': _files(args.scores),
    }


def _learning_record(
    args: argparse.Namespace, learnt: LearntWeights, truth: Truth, gold: _Gold
) -> dict[str, Any]:
    return {
        'objective': 'negative log likelihood of the true action, nats per clip',
        'subset': 'val',
        'clips': len(truth.names),
        'domains': dict(Counter(truth.domains)),
        'truth': _files([gold.path])[0],
        'val_scores': _files(args.val_scores),
        'nll': learnt.nll,
        'equal_nll': learnt.equal_nll,
        'single_nll': learnt.single_nll.tolist(),
        'gap': learnt.gap,
        'steps': learnt.steps,
    }


def _files(paths: Sequence[Path]) -> list[dict[str, str]]:
    return [
        {
            'file': path.as_posix(),
            'sha256': hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in paths
    ]


def _first(names: Sequence[str]) -> str:
    return ', '.join(map(repr, names[:5])) + (', ...' if len(names) > 5 else '')
