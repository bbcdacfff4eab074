"""``evaluate.py rec``: metrics of anybody's scores against a truth file."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmma.taxonomy import (
    BODY_GROUPS,
    LABEL_SPACES,
    SUBSETS,
    LabelSpace,
    load_label_space,
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
    found = _read_rec(args)
    report = _rec_report(args, found)
    if args.confusions:
        _report_confusions(args, found)
    if args.json:
        print(json.dumps(report, ensure_ascii=False, allow_nan=False))
        return 0
    print(_summary(report))
    print(_rows_table(report['rows']))
    if args.per_class:
        print(_groups_table(report['rows'][0]['groups']))
        print(_per_class_table(report['rows'][0]['per_class']['action']))
    return 0


@dataclass(frozen=True)
class _RecInput:
    """What the files named hold, checked against each other.

    Attributes:
        table: Scores of the clips to evaluate.
        truth: Those clips.
        space: Their label space, with the file's body groups.
        subset: Their subset.
        ignored: Scores of other clips of the truth file.
        train_counts: Training clips per action, where the file lists any.
    """

    table: ScoreTable
    truth: Truth
    space: LabelSpace
    subset: str
    ignored: int
    train_counts: list[int] | None


def _read_rec(args: argparse.Namespace) -> _RecInput:
    from mmma.data.clips import body_map, read_rec
    from mmma.evaluation.rows import Truth
    from mmma.evaluation.scores import match_scores, read_scores

    space = load_label_space(args.label_space, args.body_groups)
    clips = read_rec(args.gt, space)
    space = body_map(clips, space)
    subset, chosen = _choose_subset(clips, args)
    truth = Truth.from_clips(chosen)
    scores = read_scores(args.pred, space)
    _check_overlap(scores.names, {c.clip: c.subset for c in clips}, subset)
    table, ignored = match_scores(scores, truth.names, {c.clip for c in clips})
    if ignored:
        print(f'scores of {ignored} clips outside {subset!r} left out', file=sys.stderr)
    counts = _train_counts(clips, space.num_actions)
    return _RecInput(table, truth, space, subset, ignored, counts)


def _report_confusions(args: argparse.Namespace, found: _RecInput) -> None:
    """Draw the matrix; the mistakes go to standard error, beside ``--json``."""
    from mmma.reporting import plots

    counts = plots.count_confusions(found.table, found.truth, found.space)
    kind = ' (simulated data)' if is_simulated(args.gt) else ''
    title = f'{args.pred.name}: {len(found.truth.names)} {found.subset} clips{kind}'
    plots.draw_confusions(counts, found.space, args.confusions, title)
    share = plots.same_body_share(counts, found.space)
    print(f'{share:.0%} of the mistakes stay in the true body group', file=sys.stderr)
    for true, predicted, clips in plots.confused_pairs(counts, found.space):
        print(f'{clips:5d}  {true} taken for {predicted}', file=sys.stderr)


def _rec_report(args: argparse.Namespace, found: _RecInput) -> dict[str, Any]:
    """What ``--json`` prints: metrics of all clips on top, then all rows."""
    from mmma.evaluation.bootstrap import BootstrapOptions
    from mmma.evaluation.rows import ALIASES, EvaluationOptions, recognition_rows

    options = EvaluationOptions(
        class_set=args.class_set,
        body_scores=args.body_scores,
        bootstrap=BootstrapOptions(resamples=args.resamples, seed=args.seed),
        train_counts=found.train_counts,
    )
    rows = recognition_rows(found.table, found.truth, found.space, options)
    return {
        **rows[0]['metrics'],
        'task': 'rec',
        'subset': found.subset,
        'simulated': is_simulated(args.gt),
        'counts': {**rows[0]['counts'], 'ignored': found.ignored},
        'options': {
            'label_space': args.label_space,
            'body_groups': args.body_groups,
            'class_set': args.class_set,
            'body_scores': args.body_scores,
        },
        'aliases': ALIASES,
        'rows': rows,
    }


def _choose_subset(
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
    return subset, chosen


def _check_overlap(
    names: Sequence[str], subset_of: dict[str, str], subset: str
) -> None:
    """Refuse scores of another subset in words of their own."""
    scored = Counter(subset_of[name] for name in names if name in subset_of)
    if scored and subset != 'all' and subset not in scored:
        raise ValueError(
            f'no score is of a clip of subset {subset!r}, they are of '
            f'{", ".join(sorted(scored))}: choose with --subset'
        )


def _train_counts(clips: Sequence[Clip], num_actions: int) -> list[int] | None:
    """Training clips per action, where the truth file lists any."""
    counts = Counter(c.action for c in clips if c.subset == 'train')
    counts.pop(None, None)
    return [counts[action] for action in range(num_actions)] if counts else None


def is_simulated(gt: Path) -> bool | None:
    """What the data root says of itself; None for a truth file on its own."""
    from mmma.data.root import read_info

    try:
        return read_info(gt.parent).simulated
    except (FileNotFoundError, ValueError):
        return None


def _summary(report: dict[str, Any]) -> str:
    from mmma.reporting.table import SIMULATED

    options = report['options']
    lines = [SIMULATED] if report['simulated'] else []
    lines.append(
        f'subset {report["subset"]}, percent; MCA and macro F1 over class set '
        f'{options["class_set"]!r}, body scores {options["body_scores"]!r}'
    )
    lines.append('Top-1 = micro F1 = WAR, MCA = UAR')
    intervals = report['rows'][0].get('intervals')
    if intervals:
        lines.append(
            f'intervals: 95 %, {intervals["resamples"]} resamples of '
            f'{intervals["units"]} {intervals["unit"]}s, seed {intervals["seed"]}'
        )
    return '\n'.join(lines)


def _rows_table(rows: Sequence[dict[str, Any]]) -> str:
    from prettytable import PrettyTable

    from mmma.reporting.table import COLUMNS

    table = PrettyTable(['domain', 'clips', 'classes', *COLUMNS])
    table.align = 'r'
    table.align['domain'] = 'l'
    for row in rows:
        counts = row['counts']
        sizes = [counts['clips'], counts['classes_present']]
        table.add_row([row['domain'], *sizes, *_cells(row['metrics'])])
        if row is rows[0] and 'intervals' in row:
            bounds = row['intervals']['bounds']
            spans = ['{:.2f}..{:.2f}'.format(*bounds[key]) for key in COLUMNS.values()]
            table.add_row(['  interval', '', '', *spans])
    for name, title in (('mean', 'mean of domains'), ('worst', 'worst domain')):
        if 'across_domains' in rows[0]:
            table.add_row([title, '', '', *_cells(rows[0]['across_domains'][name])])
    return table.get_string()


def _cells(metrics: dict[str, float]) -> list[str]:
    from mmma.reporting.table import COLUMNS

    return [f'{metrics[key]:.2f}' for key in COLUMNS.values()]


def _groups_table(groups: dict[str, Any]) -> str:
    from prettytable import PrettyTable

    from mmma.evaluation.recognition import GROUPS

    keys = ('classes', 'clips', 'action/top1', 'action/mca', 'action/macro_f1')
    table = PrettyTable([f'by {groups["basis"]} counts', *keys])
    table.align = 'r'
    table.float_format = '.2'
    for group in GROUPS:
        table.add_row([group, *(groups[group].get(key, '–') for key in keys)])
    return table.get_string()


def _per_class_table(per_class: dict[str, list[Any]]) -> str:
    from prettytable import PrettyTable

    columns = ('name', 'group', 'support', 'predicted', 'recall', 'precision', 'f1')
    table = PrettyTable(list(columns))
    table.align = 'r'
    table.align['name'] = 'l'
    table.float_format = '.2'
    rows = zip(*(per_class[column] for column in columns), strict=True)
    table.add_rows([list(row) for row in rows])
    return table.get_string()
