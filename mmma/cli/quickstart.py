"""See the whole toolbox work in minutes, on simulated data.

Trains a small recognizer and detector on lab, and tests both under all protocols of
theirs. What each command says is in OUT/quickstart/. Given again, it starts anew."""

import argparse
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from io import TextIOWrapper
from pathlib import Path
from statistics import fmean
from typing import Any

from mmma.cli import main
from mmma.files import read_json
from mmma.reporting.table import SIMULATED, Table
from mmma.taxonomy import own_table
from mmma.workflow import duration, only_run

ARGUMENTS = """
--data DIR (path) = data/mma82: where the simulated data are, or will be
--out DIR (path) = work_dirs/quickstart"""


class _Log(TextIOWrapper):
    """File of which a line now and then goes to the console too."""

    console: Any = None
    last, pause = 0.0, 30.0  # seconds; pauses grow

    def write(self, text: str) -> int:
        if time.monotonic() - self.last > self.pause and text.strip():
            self.last, self.pause = time.monotonic(), 1.3 * self.pause
            print(f'{"":15}{text.strip()[:64]}', file=self.console, flush=True)
        return super().write(text)


def run(args: argparse.Namespace) -> int:
    """Run the commands one after another in this process, then tell the results."""
    words, told = {'data': args.data, 'out': args.out}, own_table('workflow')
    began, steps = time.monotonic(), told['quickstart']
    with only_run(args.out):
        (logs := args.out / 'quickstart').mkdir(exist_ok=True)
        for number, (title, line) in enumerate(steps, start=1):
            command, *argv = (word.format(**words) for word in line.split())
            clock = '{}:{:02}'.format(*divmod(int(time.monotonic() - began), 60))
            print(f'{clock:>5} [{number:2}/{len(steps)}] {title}', flush=True)
            log = logs / f'{number:02d}.log'
            with _Log(log.open('wb'), 'utf-8', line_buffering=True) as file:
                file.console, file.last = sys.stdout, time.monotonic()
                if command.startswith('data/'):  # they limit threads of their process
                    line = [sys.executable, '-m', 'mmma', command, *argv]
                    status = subprocess.call(line, stdout=file, stderr=file)
                else:
                    with redirect_stdout(file), redirect_stderr(file):
                        status = main(command, argv)
            if status:
                print(log.read_text('utf-8')[-1000:], f'that is of {log}', sep='\n')
                return status
        print(f'done in {duration(time.monotonic() - began)}\n\n{SIMULATED}')
        table, numbers = _found(args.out, told['quickstart_columns'])
        print(table.text())
        for text in told['quickstart_end']:
            print(text.format(**words, **numbers))
    return 0


def _found(out: Path, columns: Any) -> tuple[Table, dict[str, float]]:
    """Table of all results without doubles, and the numbers of what is said of it."""
    cells: dict[str, dict[str, Any]] = {}
    for title, kinds, key, *wanted in columns:
        runs = [r for k in kinds for r in read_json(out / k / 'results.json')['runs']]
        for row in runs:
            if [row.get('shots'), row.get('control')] == wanted:
                own = cells.setdefault(row.get('target') or row['domain'], {})
                value = {**row['counts'], **row['metrics']}[key]
                own.setdefault(title, []).append(value)
    cells.pop('all')
    for own in cells.values():
        own |= {t: v[0] if type(v[0]) is int else fmean(v) for t, v in own.items()}
    lab, *others = cells.values()
    firsts = [own['Top-1'] for own in others]
    gains = [own['5-shot'] - own['Top-1'] for own in others]
    numbers = {'lab': lab['Top-1'], 'map': lab['mAP'], 'lowest': min(gains)}
    numbers |= {'highest': max(gains), 'least': min(firsts), 'most': max(firsts)}
    titles = [column[0] for column in columns]
    rows = [[k, *(own.get(t, '–') for t in titles)] for k, own in cells.items()]
    return Table(['tested on', *titles], rows, digits=1), numbers
