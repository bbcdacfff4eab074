"""Trainings and tests for a table, one after another; each result is kept as it ends.

A grid is a JSON file with ``seeds`` and ``rows``. A row has:

    title     what the table calls it
    train     arguments of train.py; a row without only tests others' weights
    tests     by name, a line, ``test CONFIG {work} --out {out} ...``, or several

In all of them ``{seed}``, ``{work}`` (the row's own folder), ``{work:ROW}`` (another
row's, same seed), ``{out}`` (the file that a command must write; ``> {out}`` keeps what
it prints) and roots by name are filled in; rows are trained before they are needed.

    python benchmarks/grid.py benchmarks/models.json --work DIR --root raw=A packed=B

goes on where it stopped: what lies in docs/experiments/NAME/ is not made again, and an
interrupted training is resumed. It prints the tables: mean over seeds ± half the 95 %
t-interval of that mean; docs/NAME.md becomes docs/experiments/NAME.txt with them.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LEFT_OUT = ('per_class', 'groups', 'class_sets', 'body_scores')  # of rows, for size
SHOWN = {
    'action/top1': 'Top-1',
    'action/mca': 'MCA',
    'action/mAP': 'action mAP',
    'action/frame_mAP': 'action frame mAP',
}
DOMAINS = ('lab', 'psychiatric', 'street', 'emotion')


def fill(line: str, grid: Mapping[str, Any], row: str, seed: int, **known: Any) -> str:
    """A command line with its braces filled in."""
    work = {name: grid['work'] / f'{name}-seed{seed}' for name in grid['rows']}
    known |= {**grid['roots'], 'seed': seed, 'work': work[row]}
    known |= {f'work:{name}': folder for name, folder in work.items()}

    def value(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise ValueError(f'{row}: {found[0]} is unknown; known: {", ".join(known)}')
        return str(known[found[1]])

    return re.sub(r'\{([^{}]+)\}', value, line)


def call(line: str, log: Path) -> None:
    """Run a command of the toolbox; what it says is appended to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words, _, kept = line.partition(' > ')
    command = [sys.executable, '-m', 'mmma', *shlex.split(words)]
    pipe = subprocess.PIPE if kept else None
    with log.open('a', encoding='utf-8') as file:
        done = subprocess.run(command, stdout=pipe or file, stderr=file)
    if kept and not done.returncode:
        Path(kept).write_bytes(done.stdout)
    if status := done.returncode:
        raise SystemExit(f'{line}\nended with {status}: see {log}')


def train(grid: Mapping[str, Any], name: str, seed: int) -> None:
    """Train a row once, or go on; what it took is kept beside its weights."""
    row, work = grid['rows'][name], grid['work'] / f'{name}-seed{seed}'
    done = work / 'trained.json'
    if 'train' not in row or done.exists():
        return
    needs = re.findall(r'\{work:([^}]+)\}', row['train'])
    for other in needs:
        train(grid, other, seed)
    began = time.monotonic()
    line = f'train {row["train"]} --seed {{seed}} --work-dir {{work}}'
    resumed = (work / 'last_checkpoint').exists()
    call(fill(line, grid, name, seed) + ' --resume' * resumed, work / 'grid.log')
    took = {'seconds': round(time.monotonic() - began), 'resumed': resumed}
    done.write_text(json.dumps(took))


def run_test(grid: Mapping[str, Any], name: str, test: str, seed: int) -> Path:
    """Run the commands of a test, and before them others whose files they read."""
    lines = grid['rows'][name]['tests'][test]
    lines = [lines] if isinstance(lines, str) else lines
    work = grid['work'] / f'{name}-seed{seed}'
    for other, file in re.findall(r'\{work:([^}]+)\}/(\S+)', ' '.join(lines)):
        for their, told in grid['rows'][other]['tests'].items():
            missing = not (grid['work'] / f'{other}-seed{seed}' / file).exists()
            if missing and f'{{work}}/{file}' in str(told):
                train(grid, other, seed)
                run_test(grid, other, their, seed)
    out = work / f'{test}.json'
    for line in lines:
        call(fill(line, grid, name, seed, out=out), work / 'grid.log')
    return out


def make(grid: Mapping[str, Any], name: str, test: str, seed: int) -> None:
    """Make one result, unless it is there."""
    place = grid['out'] / f'{name}-{test}-seed{seed}.json'
    if place.exists():
        return
    train(grid, name, seed)
    began = time.monotonic()
    out = run_test(grid, name, test, seed)
    work = out.parent
    results = json.loads(out.read_text('utf-8'))
    took = {'test': round(time.monotonic() - began)}
    if (told := work / 'trained.json').exists():
        took |= {'train': json.loads(told.read_text('utf-8'))['seconds']}
    results |= {'name': grid['rows'][name]['title'], 'seconds': took}
    for run in results.get('runs') or results['rows']:
        for key in LEFT_OUT:
            run.pop(key, None)
    grid['out'].mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, separators=(',', ':'))
    places = {str(path): f'data/{key}' for key, path in grid['roots'].items()}
    for path, told in {str(grid['work']): 'work_dirs', **places}.items():
        text = text.replace(path, told)
    draft = place.with_suffix('.part')
    draft.write_text(text, 'utf-8')
    draft.replace(place)
    print(f'{time.strftime("%H:%M")} {place.name}: {took}', flush=True)


def cells(grid: Mapping[str, Any]) -> dict[tuple[str, ...], dict[str, list[float]]]:
    """Values over seeds by metric, of each title, domain, method and control."""
    found: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for name, row in grid['rows'].items():
        files = [(t, s) for t in row['tests'] for s in grid['seeds']]
        for test, seed in files:
            file = grid['out'] / f'{name}-{test}-seed{seed}.json'
            results = json.loads(file.read_text('utf-8')) if file.exists() else {}
            for run in results.get('runs') or results.get('rows') or ():
                place = run.get('target') or run['domain']
                zero_shot = run.get('control') == 'zero-shot'  # stands apart already
                if place == 'all' or zero_shot:
                    continue
                key = row['title'], place, run.get('method', ''), run.get('control', '')
                own = found.setdefault(key, {})
                for metric in SHOWN.keys() & run['metrics'].keys():
                    own.setdefault(metric, []).append(run['metrics'][metric])
                took = results.get('seconds', {}).get('train')
                if took and place == 'lab':
                    own.setdefault('minutes', []).append(took / 60)
    return found


def spread(values: list[float]) -> str:
    """Mean ± half the 95 % t-interval of the mean."""
    from scipy import stats

    mean = f'{statistics.mean(values):.1f}'
    if len(values) < 2:
        return mean
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return f'{mean} ± {half:.1f}'


def table(grid: Mapping[str, Any]) -> str:
    """All that has been made, as Markdown: a table a metric, then one of adaptation."""
    found, parts = cells(grid), []
    domains = [d for d in DOMAINS if any(key[1] == d for key in found)]
    rows = list(dict.fromkeys((key[0], key[2]) for key in found))

    def value(metric: str, *key: str) -> str:
        own = found.get(key, {}).get(metric)
        return spread(own) if own else '–'

    def lines(metric: str, adapted: bool) -> Iterator[str]:
        for title, method in rows:
            places = domains[adapted:]  # adapted to all but the source
            keys = [(title, domain, method) for domain in places]
            own = [found.get((*key, ''), {}).get(metric, []) for key in keys]
            if not any(own) or bool(method) != adapted:
                continue
            shown = [value(metric, *key, '') for key in keys]
            if adapted:
                theirs = [value(metric, *key, 'source') for key in keys]
                shown = [f'{x} ({y})' for x, y in zip(shown, theirs, strict=True)]
            told = [f'{title}, {method}' if method else title, *shown]
            if not adapted:
                told += [
                    value('minutes', title, 'lab', '', ''),
                    str(max(map(len, own))),
                ]
            yield f'| {" | ".join(told)} |'

    for metric, name in SHOWN.items():
        plain = list(lines(metric, False))
        if plain:
            heads = [f'{name}, SIMULATED', *domains, 'minutes of training', 'seeds']
            rule = '|:--' + '|--:' * (len(heads) - 1) + '|'
            parts.append('\n'.join([f'| {" | ".join(heads)} |', rule, *plain]))
    heads = ['Top-1 adapted (control), SIMULATED', *domains[1:]]
    rule = '|:--' + '|--:' * len(domains[1:]) + '|'
    adapted = list(lines('action/top1', True))
    if adapted:
        parts.append('\n'.join([f'| {" | ".join(heads)} |', rule, *adapted]))
    return '\n\n'.join(parts)


def main() -> int:
    """Make what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('grid', type=Path, help='JSON file of the grid')
    parser.add_argument('--root', nargs='+', default=[], help='NAME=DIR of data roots')
    parser.add_argument('--work', type=Path, help='folder for the trainings')
    parser.add_argument('--only', nargs='+', help='rows, by name (default: all)')
    parser.add_argument('--seeds', nargs='+', type=int, help="default: the grid's")
    parser.add_argument('--table', action='store_true', help='only print the table')
    args = parser.parse_args()
    grid = json.loads(args.grid.read_text('utf-8'))
    grid['out'] = HERE.parent / 'docs/experiments' / args.grid.stem
    if not args.table:
        if not args.work:
            parser.error('--work is needed, or --table.')
        grid['roots'] = dict(root.split('=', 1) for root in args.root)
        grid['work'] = args.work.resolve()
        for seed in args.seeds or grid['seeds']:
            for name in args.only or grid['rows']:
                for test in grid['rows'][name]['tests']:
                    make(grid, name, test, seed)
    text = table(grid)
    told = grid['out'].with_suffix('.txt')
    if told.exists():
        page = told.read_text('utf-8').replace('@tables@', text)
        (HERE.parent / 'docs' / told.name.replace('.txt', '.md')).write_text(
            page, 'utf-8'
        )
    print(text)
    return 0


if __name__ == '__main__':
    sys.exit(main())
