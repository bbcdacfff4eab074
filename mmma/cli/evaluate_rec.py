"""``evaluate.py rec``: metrics of anybody's scores against a truth file."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmma.taxonomy import (
    BODY_GROUPS,
    LABEL_SPACES,
    SUBSETS,
    LabelSpace,
    load_label_space,
    suggest,
)

if TYPE_CHECKING:
    from mmma.data.clips import Clip
    from mmma.evaluation.rows import Truth
    from mmma.evaluation.scores import ScoreTable

HELP = """Evaluate recognition scores.

--gt is a rec.csv, --pred a score file: scores.npz (clips: N names, scores: (N, K),
optional classes: K names) or scores.csv (clip and one column per action). Clips and
classes are matched by name. Scores are probabilities and used as given.

Each clip of the evaluated subset needs a score. Scores of clips of other subsets are
left out and counted; clips that the truth file lacks are an error."""

_SET_CHOICES = ('present', 'union', 'all')
_BODY_CHOICES = ('sum', 'top1', 'head')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``evaluate.py rec``."""
    add = parser.add_argument
    add('--gt', required=True, type=Path, metavar='rec.csv', help='truth')
    add('--pred', required=True, type=Path, metavar='scores.npz|csv', help='scores')
    add(
        '--subset',
        choices=(*SUBSETS, 'all'),
        help='clips to evaluate (default: the only subset of the truth file, or test '
        'if it has several)',
    )
    add(
        '--domain',
        help='clips of this domain alone, as test.py --protocol zeroshot --dump scores '
        'them (default: all)',
    )
    add('--label-space', choices=LABEL_SPACES, default='mma82')
    add(
        '--body-groups',
        choices=BODY_GROUPS,
        default='taxonomy',
        help='group of an action where the truth file gives none (default: taxonomy)',
    )
    add(
        '--class-set',
        choices=_SET_CHOICES,
        default='present',
        help='classes of MCA and macro F1: with truth (default), with truth or '
        'prediction, or all; --json holds all three',
    )
    add(
        '--body-scores',
        choices=_BODY_CHOICES,
        default='sum',
        help='body scores: sums of action scores (default), the body of the top '
        'action, or body_scores of the file; --json holds all that exist',
    )
    add(
        '--resamples',
        type=int,
        default=1000,
        metavar='N',
        help='bootstrap resamples of the 95 %% intervals (default 1000; 0: none)',
    )
    add('--seed', type=int, default=0, metavar='S', help='seed of the bootstrap')
    add('--per-class', action='store_true', help='also print one row per action')
    add(
        '--confusions',
        type=Path,
        metavar='FILE.png',
        help='also draw the confusion matrix, and print the most frequent mistakes',
    )
    add('--json', action='store_true', help='print one JSON object, percent unrounded')


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    report = _report(args)
    if args.json:
        print(json.dumps(report, ensure_ascii=False, allow_nan=False))
        return 0
    from mmma.reporting.table import report_text

    print(report_text(report, args.per_class))
    return 0


def _report(args: argparse.Namespace) -> dict[str, Any]:
    """What ``--json`` prints: metrics of all clips on top, then all rows."""
    from mmma.data.clips import body_map, read_rec
    from mmma.data.root import is_simulated
    from mmma.evaluation.bootstrap import BootstrapOptions
    from mmma.evaluation.rows import (
        ALIASES,
        EvaluationOptions,
        Truth,
        recognition_rows,
    )
    from mmma.evaluation.scores import match_scores, read_scores

    space = load_label_space(args.label_space, args.body_groups)
    clips = read_rec(args.gt, space)
    space = body_map(clips, space)
    subset, chosen = _choose_clips(clips, args)
    truth = Truth.from_clips(chosen)
    scores = read_scores(args.pred, space)
    _check_overlap(scores.names, clips, chosen, subset)
    table, ignored = match_scores(scores, truth.names, {c.clip for c in clips})
    place = f'{subset!r} of {args.domain!r}' if args.domain else repr(subset)
    if ignored:
        print(f'scores of {ignored} clips outside {place} left out', file=sys.stderr)
    simulated = is_simulated(args.gt)
    if args.confusions:
        kind = ' (simulated data)' if simulated else ''
        title = f'{args.pred.name}: {len(truth.names)} {subset} clips{kind}'
        _report_confusions(args.confusions, table, truth, space, title)
    options = EvaluationOptions(
        class_set=args.class_set,
        body_scores=args.body_scores,
        bootstrap=BootstrapOptions(resamples=args.resamples, seed=args.seed),
        train_counts=_train_counts(clips, space.num_actions),
    )
    rows = recognition_rows(table, truth, space, options)
    return {
        **rows[0]['metrics'],
        'task': 'rec',
        'subset': subset,
        **({'domain': args.domain} if args.domain else {}),
        'simulated': simulated,
        'counts': {**rows[0]['counts'], 'ignored': ignored},
        'options': {
            'label_space': args.label_space,
            'body_groups': args.body_groups,
            'class_set': args.class_set,
            'body_scores': args.body_scores,
        },
        'aliases': ALIASES,
        'rows': rows,
    }


def _report_confusions(
    path: Path, table: ScoreTable, truth: Truth, space: LabelSpace, title: str
) -> None:
    """Draw the matrix; the mistakes go to standard error, beside ``--json``."""
    from mmma.reporting import plots

    counts = plots.count_confusions(table, truth, space)
    plots.draw_confusions(counts, space, path, title)
    share = plots.same_body_share(counts, space)
    print(f'{share:.0%} of the mistakes stay in the true body group', file=sys.stderr)
    for true, predicted, clips in plots.confused_pairs(counts, space):
        print(f'{clips:5d}  {true} taken for {predicted}', file=sys.stderr)


def _choose_clips(
    clips: Sequence[Clip], args: argparse.Namespace
) -> tuple[str, list[Clip]]:
    counts = Counter(clip.subset for clip in clips)
    subset = args.subset or (next(iter(counts)) if len(counts) == 1 else 'test')
    chosen = [clip for clip in clips if subset in ('all', clip.subset)]
    if not chosen:
        there = ', '.join(f'{name} ({n} clips)' for name, n in counts.items())
        raise ValueError(
            f'{args.gt}: no clips of subset {subset!r}; it has {there}: choose one '
            'with --subset'
        )
    own = [clip for clip in chosen if args.domain in (None, clip.domain)]
    if not own:
        counts = Counter(clip.domain for clip in chosen)
        there = ', '.join(f'{name} ({n} clips)' for name, n in counts.items())
        raise ValueError(
            f'{args.gt}: no clips of domain {args.domain!r} in subset {subset!r}; it '
            f'has {there}.{suggest(args.domain, list(counts))}'
        )
    return subset, own


def _check_overlap(
    names: Sequence[str], clips: Sequence[Clip], chosen: Sequence[Clip], subset: str
) -> None:
    """Refuse scores of another subset, or of one domain of several, by their name."""
    scored = set(names)
    subsets = {clip.subset for clip in clips if clip.clip in scored}
    if subsets and subset != 'all' and subset not in subsets:
        raise ValueError(
            f'no score is of a clip of subset {subset!r}, they are of '
            f'{", ".join(sorted(subsets))}: choose with --subset'
        )
    there = {clip.domain for clip in chosen}
    domains = sorted({clip.domain for clip in chosen if clip.clip in scored})
    if domains and len(domains) < len(there):
        raise ValueError(
            f'no score is of a clip of {", ".join(sorted(there - set(domains)))}, all '
            f'are of {", ".join(domains)}: choose with --domain'
        )


def _train_counts(clips: Sequence[Clip], num_actions: int) -> list[int] | None:
    """Training clips per action, where the truth file lists any."""
    counts = Counter(c.action for c in clips if c.subset == 'train')
    counts.pop(None, None)
    return [counts[action] for action in range(num_actions)] if counts else None
