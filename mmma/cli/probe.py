"""``probe.py CONFIG|NAME ...``: frozen backbones under every protocol, in minutes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmma.cli.arguments import add_view_arguments
from mmma.cli.download import CKPT_HELP
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
        action='store_true',
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
        action='store_true',
        help='neither use nor keep features on disk',
    )
    parser.add_argument(
        '--skip-broken',
        action='store_true',
        help='leave out clips that cannot be read; the results name them',
    )
    parser.add_argument(
        '--trust-checkpoint',
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
    from mmma.data.root import DataRoot

    config = find_recipe(name)
    cfg = _load(config, {'protocol': 'indomain'}, args)
    root = DataRoot(cfg.data_root)
    from mmma.config import model_name
    from mmma.engine.features import BackboneOptions, load_backbone
    from mmma.engine.probe import Prober, check_adaptation
    from mmma.protocols import make_protocol

    folder = args.out / model_name(cfg) / kind
    options = BackboneOptions(
        checkpoint=checkpoint,
        pretrained=not args.no_pretrained,
        tokens=kind == 'attentive',
        trust=args.trust_checkpoint,
        allow_simulated=args.allow_simulated,
        skip_broken=args.skip_broken,
        work_dir=str(folder / 'logs'),
    )
    clips = root.read_rec()
    prober = Prober(
        load_backbone(cfg, options), clips, kind, args.seed, not args.no_cache
    )
    wanted = PROTOCOLS if 'all' in args.protocols else args.protocols
    flags = [_with_shots(f, args) for f in prober.plan(wanted, args.subset)]
    cfgs = [_load(config, f, args) for f in flags]
    for each in cfgs:
        check_adaptation(each)
    started = time.monotonic()
    parts = prober.parts([make_protocol(c.protocol) for c in cfgs], args.subset)
    prober.extract(parts, _show_progress)
    extracted = time.monotonic()
    found = [_score(prober, each, root, folder, args) for each in cfgs]
    print(
        f'{model_name(cfg)}, {kind}: features in {extracted - started:.1f} s, '
        f'{len(found)} results in {time.monotonic() - extracted:.1f} s',
        file=sys.stderr,
    )
    return found


def find_recipe(name: str) -> str:
    """The config that a user means.

    Args:
        name: A config, or the name of a recipe, as ``videomae-s``.

    Raises:
        FileNotFoundError: There is no such config.
    """
    from mmma.config import find_config

    try:
        return str(find_config(f'recog/{name}_mma82_indomain'))
    except FileNotFoundError:
        return str(find_config(name))


def _load(config: str, flags: dict[str, Any], args: argparse.Namespace) -> Any:
    from mmma.config import load_config
    from mmma.datasets.transforms.rgb import with_views

    cfg = load_config(
        config,
        {**flags, 'seed': args.seed},
        data_root=args.data_root,
        cfg_options=args.cfg_options,
    )
    if cfg.task != 'rec':
        raise ValueError(f'{config}: probes are for recognition.')
    dataset = cfg.test_dataloader.dataset
    dataset.pipeline = with_views(dataset.pipeline, args.views, args.crops)
    return cfg


def _with_shots(flags: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    if flags['protocol'] != 'fewshot':
        return flags
    return {**flags, 'shots': args.shots, 'runs': args.runs}


def _score(
    prober: Any, cfg: Any, root: Any, folder: Path, args: argparse.Namespace
) -> dict[str, Any]:
    """Train and score the probe of a protocol, and write what it gave."""
    from mmma.apis import summarize
    from mmma.engine.probe import save_probe
    from mmma.engine.run import TestOptions
    from mmma.protocols import make_protocol
    from mmma.reporting.results import write_results

    probe, outcome = prober.score(cfg, root.info, args.subset)
    options = TestOptions(subset=args.subset, skip_broken=args.skip_broken)
    results = summarize(cfg, outcome, options)
    random = ', random weights' if prober.backbone.is_random else ''
    results['name'] += f', {probe.kind} probe{random}'
    results['probe'] = probe.record()
    subset = '' if args.subset == 'test' else f'-{args.subset}'
    folder = folder / f'{make_protocol(cfg.protocol).tag()}{subset}'
    if args.save_checkpoint and probe.kind == 'linear':
        save_probe(folder / 'probe.pth', cfg, prober.backbone, probe, outcome)
    write_results(results, folder / 'results.json')
    return results


def _show_progress(done: int, total: int) -> None:
    print(f'features of {done:,} of {total:,} clips', file=sys.stderr)
