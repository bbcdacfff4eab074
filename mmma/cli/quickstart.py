"""``quickstart``: simulated data, two small models, all protocols, one table."""

import argparse
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from mmma.cli import main
from mmma.cli.arguments import declared
from mmma.files import read_json
from mmma.reporting.table import SIMULATED, Table
from mmma.taxonomy import own_table
from mmma.workflow import duration, only_run, tools

HELP = """See the whole toolbox work in minutes, on simulated data.

Simulates skeletons, trains a small recognizer and a small detector on lab, tests both
under every protocol of theirs, and tells what came out. What each command of it says is
in OUT/quickstart/. Given again, all of it is done anew."""

ARGUMENTS = """
--data DIR (path) = data/mma82: where the simulated data are, or will be
--out DIR (path) = work_dirs/quickstart"""
add_arguments = declared(ARGUMENTS)
_SHOW_EVERY_SEC = 40


class _Log:
    """Stream into a file; now and then a line of it goes to the console too."""

    def __init__(self, file: Any) -> None:
        self._file, self._console, self._last = file, sys.stdout, time.monotonic()

    def write(self, text: str) -> int:
        """Write to the file."""
        now = time.monotonic()
        if now - self._last > _SHOW_EVERY_SEC and text.strip():
            self._last = now
            print(f'        {text.strip()[:70]}', file=self._console, flush=True)
        return self._file.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def run(args: argparse.Namespace) -> int:
    """Run the commands one after another in this process, then tell the results."""
    words, told = {'data': args.data, 'out': args.out}, own_table('workflow')
    began, steps = time.monotonic(), told['quickstart']
    with only_run(args.out):
        logs = args.out / 'quickstart'
        logs.mkdir(exist_ok=True)
        for number, (title, line) in enumerate(steps, start=1):
            command, *rest = line.split()
            argv, log = [w.format(**words) for w in rest], logs / f'{number:02d}.log'
            print(f'[{number:2}/{len(steps)}] {title}', flush=True)
            started = time.monotonic()
            with log.open('w', encoding='utf-8') as file:
                stream = _Log(file)
                with redirect_stdout(stream), redirect_stderr(stream):
                    status = main(command, argv)
            if status:
                last = log.read_text('utf-8').strip().split('\n')[-1]
                print(f'{last}\nall it said: {log}', file=sys.stderr)
                return status
            if (took := time.monotonic() - started) > 5:
                print(f'        {duration(took)}', flush=True)
    print(f'done in {duration(time.monotonic() - began)}\n')
    found, numbers = _found(args.out)
    print(SIMULATED, found.text(), sep='\n')
    for text in (*told['quickstart_end'], '', *told['quickstart_next']):
        print(text.format(**words, **numbers, **tools()))
    return 0


def _found(out: Path) -> tuple[Table, dict[str, float]]:
    """Table of all results without doubles, and the numbers of the sentences."""
    cells: dict[str, dict[str, Any]] = {}
    kinds = 'indomain', 'zeroshot', 'fewshot', 'det/indomain', 'det/zeroshot'
    for kind in kinds:
        for row in read_json(out / kind / 'results.json')['runs']:
            place, counts = row.get('target') or row.get('domain'), row['counts']
            own, metrics = cells.setdefault(place, {}), row['metrics']
            if kind.startswith('det'):
                own |= {'videos': counts['videos'], 'mAP': metrics['action/mAP']}
            elif kind != 'fewshot':
                own |= {
                    'clips': row['counts']['clips'],
                    'Top-1': metrics['action/top1'],
                }
                own['body'] = metrics['body/top1']
            elif row.get('shots') and row.get('control') in (None, 'prior'):
                name = 'prior' if row.get('control') else '5-shot'
                own.setdefault(name, []).append(metrics['action/top1'])
    cells.pop('all', None)
    for own in cells.values():
        for name in {'prior', '5-shot'} & own.keys():
            own[name] = sum(own[name]) / len(own[name])
    lab, *others = cells.values()
    gains = [own['5-shot'] - own['Top-1'] for own in others]
    firsts = [own['Top-1'] for own in others]
    numbers = {'lab': lab['Top-1'], 'map': lab['mAP'], 'lowest': min(gains)}
    numbers |= {'highest': max(gains), 'least': min(firsts), 'most': max(firsts)}
    titles = ['clips', 'Top-1', 'body', '5-shot', 'prior', 'videos', 'mAP']
    rows = [[k, *(own.get(t, '–') for t in titles)] for k, own in cells.items()]
    return Table(['tested on', *titles], rows, digits=1), numbers
