"""``probe.py CONFIG|NAME ...``: frozen backbones under every protocol, in minutes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmma.cli.arguments import CKPT_HELP, add_view_arguments, find_recipe, options_of
from mmma.protocols import PROTOCOLS

HELP = """Fill every recognition row with probes of frozen backbones.

Each clip goes once through the backbone of a recipe, with its published weights or
those of --ckpt; what it gives is kept on disk, so that a run that was stopped goes on.
Then a probe is trained for each protocol: in-domain on all domains and on each alone,
and on lab, from which zero-shot and few-shot start. Its settings are chosen on val of
the domains that it is trained on, never on a target.

linear: logistic regression on pooled features; its l2 is chosen. attentive: one learned
query that attends over the tokens of a clip, averaged over space but not over time; its
rate and weight decay are chosen. Tokens take a second pass over the clips.

Written are OUT/NAME/PROBE/PROTOCOL/results.json, which table.py reads."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        'configs',
        nargs='+',
        metavar='CONFIG|NAME',
        help='config files, or names of recipes as videomae-s',
    )
    parser.add_argument(
        '--ckpt',
        nargs='+',
        default=[],
        metavar='CKPT',
        help='weights, one for each config (default: those that the recipes name): '
        f'{CKPT_HELP}',
    )
    parser.add_argument(
        '--no-pretrained',
        dest='pretrained',
        action='store_false',
        help='features of random weights, and say so in the results',
    )
    parser.add_argument(
        '--probe', choices=('linear', 'attentive', 'both'), default='linear'
    )
    parser.add_argument(
        '--protocols', nargs='+', choices=('all', *PROTOCOLS), default=['all']
    )
    parser.add_argument('--subset', choices=('test', 'val'), default='test')
    parser.add_argument('--seed', type=int, default=0, metavar='S')
    parser.add_argument(
        '--shots', nargs='+', type=int, metavar='K', help='fewshot: supports per class'
    )
    parser.add_argument('--runs', type=int, metavar='N', help='fewshot: support draws')
    add_view_arguments(parser)
    parser.add_argument('--data-root', metavar='DIR', help='default: data/mma82')
    parser.add_argument(
        '--out', metavar='DIR', type=Path, default=Path('work_dirs/probes')
    )
    parser.add_argument(
        '--save-checkpoint',
        action='store_true',
        help='also write each linear probe as probe.pth, which test.py takes',
    )
    parser.add_argument(
        '--no-cache',
        dest='cache',
        action='store_false',
        help='neither use nor keep features on disk',
    )
    parser.add_argument(
        '--skip-broken',
        action='store_true',
        help='leave out clips that cannot be read; the results name them',
    )
    parser.add_argument(
        '--trust-checkpoint',
        dest='trust',
        action='store_true',
        help='load checkpoints even if they are pickles that can run code',
    )
    parser.add_argument(
        '--allow-simulated',
        action='store_true',
        help='probe weights that were trained on simulated data on real data',
    )
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='K=V')


def run(args: argparse.Namespace) -> int:
    """Probe every config, write the results and print their table."""
    if args.ckpt and len(args.ckpt) != len(args.configs):
        raise ValueError(
            f'{len(args.ckpt)} checkpoints for {len(args.configs)} configs: give one '
            'for each, or none.'
        )
    if args.save_checkpoint and args.probe == 'attentive':
        raise ValueError('--save-checkpoint: only linear probes are checkpoints.')
    kinds = ('linear', 'attentive') if args.probe == 'both' else (args.probe,)
    from mmma.hub.zoo import checkpoint_path

    given = [str(checkpoint_path(ckpt)) for ckpt in args.ckpt]
    checkpoints: Sequence[str | None] = given or [None] * len(args.configs)
    found: list[dict[str, Any]] = []
    for name, checkpoint in zip(args.configs, checkpoints, strict=True):
        for kind in kinds:
            found += probe_config(name, checkpoint, kind, args)
    from mmma.reporting.table import results_table

    print(results_table(found))
    print(f'written to {args.out}')
    return 0


def probe_config(
    name: str, checkpoint: str | None, kind: str, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Probe one backbone under all protocols that are wanted.

    Args:
        name: Config or name of a recipe.
        checkpoint: Its weights; None takes the recipe's.
        kind: ``linear`` or ``attentive``.
        args: Of the command.

    Returns:
        The contents of the results files that were written.
    """
    from mmma.engine.run import BackboneOptions, open_run

    config = find_recipe(name)

    def load(flags: dict[str, Any], options: Any = None) -> Any:
        if flags['protocol'] == 'fewshot':
            flags = {**flags, 'shots': args.shots, 'runs': args.runs}
        return open_run(
            *(config, {**flags, 'seed': args.seed}, args.data_root, args.cfg_options),
            options=options,
            views=args.views,
            crops=args.crops,
        )

    plain = load({'protocol': 'indomain'})
    if plain.task != 'rec':
        raise ValueError(f'{config}: probes are for recognition.')
    folder = args.out / plain.name / kind
    options = options_of(
        BackboneOptions,
        args,
        checkpoint=checkpoint,
        tokens=kind == 'attentive',
        work_dir=str(folder / 'logs'),
    )
    from mmma.engine.features import load_backbone
    from mmma.engine.probe import Prober, check_adaptation

    backbone = load_backbone(open_run(plain.cfg, options=options), options)
    prober = Prober(backbone, plain.root.read_rec(), kind, args.seed, args.cache)
    wanted = PROTOCOLS if 'all' in args.protocols else args.protocols
    planned = prober.plan(wanted, args.subset, *plain.root.domains)
    runs = [load(flags) for flags in planned]
    for run in runs:
        check_adaptation(run)
    started = time.monotonic()
    parts = prober.parts([run.protocol for run in runs], args.subset)
    prober.extract(parts, _show_progress)
    extracted = time.monotonic()
    found = [_score(prober, run, folder, args) for run in runs]
    print(
        f'{plain.name}, {kind}: features in {extracted - started:.1f} s, '
        f'{len(found)} results in {time.monotonic() - extracted:.1f} s',
        file=sys.stderr,
    )
    return found


def _score(
    prober: Any, run: Any, folder: Path, args: argparse.Namespace
) -> dict[str, Any]:
    """Train and score the probe of a protocol, and write what it gave."""
    from mmma.engine.probe import save_probe
    from mmma.engine.run import TestOptions
    from mmma.engine.test import summarize
    from mmma.reporting.results import write_results

    probe, groups, origin = prober.score(run, args.subset)
    options = options_of(TestOptions, args)
    results = summarize(run, groups, origin, options)
    random = ', random weights' if prober.backbone.is_random else ''
    results['name'] += f', {probe.kind} probe{random}'
    results['probe'] = probe.record()
    subset = '' if args.subset == 'test' else f'-{args.subset}'
    folder = folder / f'{run.protocol.tag()}{subset}'
    if args.save_checkpoint and probe.kind == 'linear':
        save_probe(folder / 'probe.pth', run, prober.backbone, probe, origin)
    write_results(results, folder / 'results.json')
    return results


def _show_progress(done: int, total: int) -> None:
    print(f'features of {done:,} of {total:,} clips', file=sys.stderr)
