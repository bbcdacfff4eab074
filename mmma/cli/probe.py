"""Fill every recognition row with probes of frozen backbones.

Each clip goes once through the backbone of a recipe, with its published weights or
those of --ckpt; what it gives is kept on disk, so that a run that was stopped goes on.
Then a probe is trained for each protocol: in-domain on all domains and on each alone,
and on lab, from which zero-shot and few-shot start. Its settings are chosen on val of
the domains that it is trained on, never on a target.

linear: logistic regression on pooled features; its l2 is chosen. attentive: one learned
query that attends over the tokens of a clip, averaged over space but not over time; its
rate and weight decay are chosen. Tokens take a second pass over the clips.

Written are OUT/NAME/PROBE/PROTOCOL/results.json, which table.py reads."""

import argparse
import sys
import time
from typing import Any

from mmma.cli.arguments import CKPT_HELP, declared, find_recipe, options_of
from mmma.engine.run import BackboneOptions, TestOptions, open_run
from mmma.files import only_writer, progress_bar
from mmma.protocols import PROTOCOLS

KINDS = ('linear', 'attentive')

ARGUMENTS = f"""
configs CONFIG|NAME ...: config files, or names of recipes as videomae-s
--ckpt CKPT ... = []: weights, one for each config (default: those that the recipes
  name): {CKPT_HELP}
.pretrained
--probe {{{','.join(KINDS)},both}} = linear
--protocols {{all,{','.join(PROTOCOLS[:3])}}} ... = [all]
--subset {{test,val}} = test
--seed S (int) = 0
--shots K ... (int): fewshot: supports per class
--runs N (int): fewshot: support draws
*views
--data-root DIR: default: data/mma82
--out DIR (path) = work_dirs/probes
--save-checkpoint: also write each linear probe as probe.pth, which test.py takes
--no-cache/cache: neither use nor keep features on disk
.skip_broken .trust .allow_simulated
--cfg-options K=V ... = []"""
add_arguments = declared(ARGUMENTS, BackboneOptions)


def run(args: argparse.Namespace) -> int:
    """Probe every config, write the results and print their table."""
    if args.ckpt and len(args.ckpt) != len(args.configs):
        counts = f'{len(args.ckpt)} checkpoints for {len(args.configs)} configs'
        raise ValueError(f'{counts}: give one for each, or none.')
    if args.save_checkpoint and args.probe == 'attentive':
        raise ValueError('--save-checkpoint: only linear probes are checkpoints.')
    from mmma.hub.zoo import checkpoint_path

    given = [str(checkpoint_path(ckpt)) for ckpt in args.ckpt]
    checkpoints = given or [None] * len(args.configs)
    found: list[dict[str, Any]] = []
    for name, checkpoint in zip(args.configs, checkpoints, strict=True):
        for kind in KINDS if args.probe == 'both' else (args.probe,):
            found += _probe(name, checkpoint, kind, args)
    from mmma.reporting.table import results_table

    print(results_table(found))
    print(f'written to {args.out}')
    return 0


def _probe(
    name: str, checkpoint: str | None, kind: str, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Probe one backbone under all protocols that are wanted; gives the results."""
    config = find_recipe(name)

    def load(flags: dict[str, Any]) -> Any:
        if flags['protocol'] == 'fewshot':
            flags = {**flags, 'shots': args.shots, 'runs': args.runs}
        given = (config, {**flags, 'seed': args.seed}, args.data_root, args.cfg_options)
        return open_run(*given, views=args.views, crops=args.crops)

    plain = load({'protocol': 'indomain'})
    if plain.task != 'rec':
        raise ValueError(f'{config}: probes are for recognition.')
    folder = args.out / plain.name / kind
    own = {'tokens': kind == 'attentive', 'work_dir': str(folder / 'logs')}
    options = options_of(BackboneOptions, args, checkpoint=checkpoint, **own)
    from mmma.engine.probe import Prober, save_probe
    from mmma.engine.test import summarize
    from mmma.engine.weights import load_backbone
    from mmma.evaluation.reports import write_results

    with only_writer(folder):
        backbone = load_backbone(open_run(plain.cfg, options=options), options)
        prober = Prober(*backbone, plain.clips(), kind, args.seed, args.cache)
        wanted = PROTOCOLS[:3] if 'all' in args.protocols else args.protocols
        runs = list(map(load, prober.plan(wanted, args.subset, *plain.root.domains)))
        started = time.monotonic()
        with progress_bar('features of') as report:
            prober.extract(runs, args.subset, report)
        extracted = time.monotonic()
        found = []
        for run in runs:
            probe, groups, origin = prober.score(run, args.subset)
            results = summarize(run, groups, origin, options_of(TestOptions, args))
            random = origin['checkpoint']['random_backbone']
            results['name'] += f', {kind} probe' + ', random weights' * random
            results['probe'] = probe.record()
            suffix = '' if args.subset == 'test' else f'-{args.subset}'
            place = folder / f'{run.protocol.tag()}{suffix}'
            if args.save_checkpoint and kind == 'linear':
                model = prober.source.runner.model
                save_probe(place / 'probe.pth', run, model, probe, origin)
            write_results(results, place / 'results.json')
            found.append(results)
    first = f'{plain.name}, {kind}: features in {extracted - started:.1f} s'
    then = f'{len(found)} results in {time.monotonic() - extracted:.1f} s'
    print(f'{first}, {then}', file=sys.stderr)
    return found
