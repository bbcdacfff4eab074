"""``test.py CONFIG CKPT``: score a checkpoint under a protocol."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmma.cli.arguments import (
    add_config_arguments,
    add_run_arguments,
    add_view_arguments,
    read_config,
)
from mmma.cli.download import CKPT_HELP

HELP = """Score a checkpoint under a protocol and write results.json.

Zero-shot means that no clip of the target domain was trained on; its classes are not
unseen. Few-shot adapts the model to K clips per class of the target. In detection
bodies are scored apart: actions are relabelled to body groups before NMS, or come from
the body head (--cfg-options +test_evaluator.bodies=head)."""

_RECOGNITION_ONLY = ('views', 'crops', 'class_set', 'body_scores')


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
        action='store_true',
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
    cfg = read_config(args)
    for key in _RECOGNITION_ONLY if cfg.task == 'det' else ():
        if getattr(args, key) is not None:
            raise ValueError(f'--{key.replace("_", "-")} is no option of detection.')
    for key in ('class_set', 'body_scores'):
        if getattr(args, key):
            cfg.test_evaluator[key] = getattr(args, key)
    if args.adapt:
        if cfg.protocol.name != 'fewshot':
            raise ValueError(f'--adapt is no option of protocol {cfg.protocol.name!r}.')
        cfg.fewshot.adapt = args.adapt
    from mmma.data.root import DataRoot

    DataRoot(cfg.data_root)  # says what is missing before anything slow is imported
    from mmma.datasets.transforms.rgb import with_views
    from mmma.engine.test import TestOptions
    from mmma.hub.zoo import checkpoint_path

    dataset = cfg.test_dataloader.dataset
    dataset.pipeline = with_views(dataset.pipeline, args.views, args.crops)
    options = TestOptions(
        subset=args.subset,
        skip_broken=args.skip_broken,
        trust=args.trust_checkpoint,
        allow_simulated=args.allow_simulated,
        allow_extractor=args.allow_extractor,
        work_dir=args.work_dir,
        launcher=args.launcher,
        cache=not args.no_cache,
    )
    checkpoint = str(checkpoint_path(args.checkpoint))
    report(cfg, checkpoint, options, args.out, args.dump)
    return 0


def report(
    cfg: Any,
    checkpoint: str,
    options: Any,
    out: str | None = None,
    dump: str | None = None,
) -> None:
    """Test a checkpoint; the first rank writes the results and prints their table.

    Args:
        cfg: From :func:`mmma.apis.load_config`.
        checkpoint: Path or URL of the weights.
        options: ``mmma.engine.run.TestOptions``.
        out: Results file; None writes ``results.json`` in the work dir.
        dump: Score file or detections to write as well; few-shot writes several score
            files, see score_files.
    """
    from mmengine.dist import is_main_process

    from mmma.apis import summarize
    from mmma.engine.test import score_checkpoint
    from mmma.reporting.results import write_results
    from mmma.reporting.table import results_table

    outcome = score_checkpoint(cfg, checkpoint, options)
    if not is_main_process():
        return
    results = summarize(cfg, outcome, options)
    path = Path(out or Path(cfg.work_dir, 'results.json'))
    write_results(results, path)
    if dump:
        write_dump(cfg, outcome.groups, Path(dump))
    print(results_table([results]))
    print(f'written to {path}')


def write_dump(cfg: Any, groups: list[Any], dump: Path) -> None:
    """Write what ``--dump`` asks for.

    Args:
        cfg: The tested config.
        groups: ``mmma.engine.run.Scored``, one or more.
        dump: The file that the user named.
    """
    from mmma.data.root import DataRoot

    space = DataRoot(cfg.data_root).label_space()
    if cfg.task == 'det':
        from mmma.engine.test import detection_table
        from mmma.evaluation.segment_files import write_detections

        write_detections(dump, detection_table(groups), space)
        return
    from mmma.evaluation.scores import write_scores

    for file, table in score_files(dump, groups):
        write_scores(file, table, space)


def score_files(dump: Path, groups: list[Any]) -> Iterator[tuple[Path, Any]]:
    """What ``--dump`` writes: one file, or for few-shot one per target, shots and run.

    Args:
        dump: The file that the user named.
        groups: ``mmma.engine.run.Scored``, one or more.

    Yields:
        ``scores.npz``, or ``scores_street_5shot_run0.npz``, and its table.
    """
    from mmma.evaluation.scores import join_tables

    if 'shots' not in groups[0].labels:
        yield dump, join_tables([group.table for group in groups])
        return
    for group in groups:
        labels = group.labels
        parts = [labels['target'], f'{labels["shots"]}shot']
        parts += [labels['control']] if 'control' in labels else []
        parts += [f'run{labels["run"]}'] if 'run' in labels else []
        yield dump.with_name('_'.join([dump.stem, *parts]) + dump.suffix), group.table
