"""Samplers, losses and domain generalisation against plain training, on a simulated
skeleton corpus: trains what is missing of a grid, and writes docs/domain_methods.md."""

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import count, main

from mmma.evaluation.reports import read_results, write_results

DOCS = Path(__file__).resolve().parents[1] / 'docs'
TCN = 'skeletontcn-tiny{}_mma82_indomain'
_SAMPLER, _LOSS = 'train_dataloader.sampler.type=', '+model.cls_head.loss_cls.type='
METHODS = {
    'plain': ('',),
    'DomainBalanced': ('-domains',),
    'ClassBalanced': ('', f'{_SAMPLER}ClassBalancedSampler'),
    'ClassBalancedWithinDomain': ('', f'{_SAMPLER}ClassBalancedWithinDomainSampler'),
    'LogitAdjusted': ('', f'{_LOSS}LogitAdjustedCrossEntropy'),
    'GroupDRO': ('-groupdro',),
    'CORAL': ('-coral',),
    'MixStyle': ('-mixstyle',),
}
BY_CLASS = ('plain', 'ClassBalanced', 'LogitAdjusted')  # the others need domains
REST = {
    f'rest to {target}': dict(protocol='zeroshot', source='rest', target=[target])
    for target in ('psychiatric', 'street', 'emotion', 'lab')
}
SETTINGS = {'in-domain': dict(protocol='indomain'), **REST}
SETTINGS['lab to others'] = dict(protocol='zeroshot', source='lab')
COLUMNS = ('in-domain', 'worst domain', 'lab to others', *REST, 'mean of the rest')
METRICS = {'action/top1': 'Top-1', 'action/mca': 'MCA'}
KEPT = ('domain', 'target', 'seed', 'subset', 'counts', 'metrics', 'across_domains')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    add = parser.add_argument
    add(
        'root', type=Path, help='simulate.py --scale small --modality skeleton --seed 0'
    )
    add('--work-dir', type=Path, default=Path('work_dirs/domains'))
    add('--out', type=Path, default=DOCS / 'experiments' / 'domains')
    add('--page', type=Path, default=DOCS / 'domain_methods.md')
    add('--epochs', type=count, default=6)
    add('--seeds', type=count, default=3)
    add('--minutes', type=float, default=1e9, help='begin no run after these')


def grid(seeds: int) -> Iterator[tuple[str, str, int]]:
    """Setting, method and seed of each run."""
    for setting, seed, method in itertools.product(SETTINGS, range(seeds), METHODS):
        if setting != 'lab to others' or method in BY_CLASS:
            yield setting, method, seed


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Train and test what is missing, then write the page of all that is there."""
    began, rows = time.monotonic(), []
    args.out.mkdir(parents=True, exist_ok=True)
    for setting, method, seed in grid(args.seeds):
        file = args.out / f'{method}_{setting.replace(" ", "-")}_{seed}.json'
        if not file.exists() and time.monotonic() - began < 60 * args.minutes:
            start = time.process_time()
            train(args, file, setting, method, seed)
            rows.append({'run': file.stem, 'CPU seconds': time.process_time() - start})
            args.page.write_text(page(args), encoding='utf-8')
    args.page.write_text(page(args), encoding='utf-8')
    missing = len([*grid(args.seeds)]) - len([*args.out.glob('*.json')])
    return {'missing': missing, 'rows': rows or [{'run': 'none'}]}


def train(args: Any, file: Path, setting: str, method: str, seed: int) -> None:
    """Train and test one model; a small results.json stays."""
    import mmma

    suffix, *options = METHODS[method]
    end, work_dir = args.epochs, args.work_dir / file.stem
    loaders = [f'{subset}_dataloader.' for subset in ('train', 'val', 'test')]
    options += [f'{loader}num_workers=0' for loader in loaders]
    options += [f'{loader}persistent_workers=False' for loader in loaders]
    options += [f'train_cfg.{key}={end}' for key in ('max_epochs', 'val_interval')]
    options += [f'param_scheduler.{key}' for key in ('0.end=1', '1.begin=1')]
    options += [f'param_scheduler.1.end={end}', f'param_scheduler.1.T_max={end - 1}']
    told = dict(protocol={**SETTINGS[setting], 'seed': seed}, cfg_options=options)
    told |= dict(data_root=str(args.root), work_dir=str(work_dir))
    config = TCN.format(suffix)
    checkpoint = mmma.train(config, **told)
    results = dict(mmma.test(config, checkpoint, **told))
    results['name'] = method
    results['checkpoint'] = {**results['checkpoint'], 'path': 'not kept'}
    cfg = results['config']
    results['config'] = {key: cfg[key] for key in ('label_space', 'model', 'train_cfg')}
    results['config']['sampler'] = cfg['train_dataloader']['sampler']
    runs = results['runs']
    results['runs'] = [{key: r[key] for key in KEPT if key in r} for r in runs]
    write_results(results, file)
    shutil.rmtree(work_dir)


def values(out: Path) -> dict[tuple[str, str, str], dict[int, float]]:
    """By metric, column and method: a number per seed."""
    found: dict[tuple[str, str, str], dict[int, float]] = {}
    for setting, method, seed in grid(99):
        file = out / f'{method}_{setting.replace(" ", "-")}_{seed}.json'
        if not file.exists():
            continue
        runs = read_results(file)['runs']
        for metric in METRICS:
            shown = [run['metrics'][metric] for run in runs]
            if setting == 'in-domain':
                worst = next(filter(None, (r.get('across_domains') for r in runs)))
                key = metric, 'worst domain', method
                found.setdefault(key, {})[seed] = worst['worst'][metric]
                shown = [r['metrics'][metric] for r in runs if r['domain'] == 'all']
            key = metric, setting, method
            found.setdefault(key, {})[seed] = statistics.mean(shown)
    for metric, method in itertools.product(METRICS, METHODS):
        own = [found.get((metric, setting, method), {}) for setting in REST]
        seeds = set.intersection(*map(set, own))
        key = metric, 'mean of the rest', method
        found[key] = {s: statistics.mean(x[s] for x in own) for s in seeds}
    return found


def gain(own: dict[int, float], plain: dict[int, float]) -> tuple[float, float] | None:
    """Mean gain over plain training of the same seeds, and half its 95 % t-interval."""
    from scipy.special import stdtrit

    both = [own[seed] - plain[seed] for seed in own.keys() & plain.keys()]
    if len(both) < 2:
        return None
    half = stdtrit(len(both) - 1, 0.975) * statistics.stdev(both) / len(both) ** 0.5
    return statistics.mean(both), half


def page(args: argparse.Namespace) -> str:
    """The page: text, the tables, and which gains are beyond chance."""
    found, parts, better, worse = values(args.out), [], [], []
    for metric, title in METRICS.items():
        lines = [f'| {title}, SIMULATED | ' + ' | '.join(COLUMNS) + ' |']
        lines.append('|:--' + '|--:' * len(COLUMNS) + '|')
        for method in METHODS:
            cells = [method]
            for column in COLUMNS:
                own = found.get((metric, column, method), {})
                plain = found.get((metric, column, 'plain'), {})
                told = gain(own, plain) if method != 'plain' else None
                cell = f'{statistics.mean(own.values()):.1f}' if own else '–'
                if told:
                    cell += f' ({told[0]:+.1f} ± {told[1]:.1f})'
                    if abs(told[0]) > told[1]:
                        cell = f'**{cell}**'
                        which = better if told[0] > 0 else worse
                        which.append(f'{method} ({title}, {column})')
                cells.append(cell)
            lines.append('| ' + ' | '.join(cells) + ' |')
        parts.append('\n'.join(lines))
    runs, wanted = len([*args.out.glob('*.json')]), len([*grid(args.seeds)])
    text = (DOCS / 'experiments' / 'domain_methods.txt').read_text(encoding='utf-8')
    told = {'tables': '\n\n'.join(parts), 'runs': f'{runs} of {wanted}'}
    told['better'] = '; '.join(better) or 'none'
    told['worse'] = '; '.join(worse) or 'none'
    for key, value in {**told, 'epochs': str(args.epochs)}.items():
        text = text.replace(f'@{key}@', value)
    return text


if __name__ == '__main__':
    sys.exit(main(sys.modules[__name__]))
