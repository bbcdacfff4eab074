"""Start of Python, of packages, of a command's help, and of a test up to its first
batch, on simulated skeletons with a small model of the zoo."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness import Case, count, main, time_cases

import mmma

TOOLS = Path(__file__).resolve().parents[1] / 'tools'
MODEL = 'skeletontcn-tiny_mma82_zeroshot-simulated'
UPSTREAM = """
from mmma import compat
compat._TABLE['later'] = []  # as upstream imports itself
compat.install()
import mmaction.models, mmaction.datasets, mmaction.evaluation, mmengine.runner
"""
COMMANDS = {
    'python': ['-c', 'pass'],
    'import torch': ['-c', 'import torch'],
    'import mmaction, mmengine.runner': ['-c', UPSTREAM],
    'import mmma': ['-c', 'import mmma'],
    'train.py --help': [str(TOOLS / 'train.py'), '--help'],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument('--rounds', type=count, default=5, help='that are timed')


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Each in processes of its own."""
    run = partial(subprocess.run, stdout=subprocess.DEVNULL, check=True)
    cases = [
        Case({'what': name}, partial(run, [sys.executable, *command]))
        for name, command in COMMANDS.items()
    ]
    with tempfile.TemporaryDirectory() as folder:
        root = str(Path(folder, 'data'))
        told = ['--scale', 'tiny', '--modality', 'skeleton', '--tasks', 'rec']
        mmma.command('data/simulate', root, *told)
        config = 'recog/skeletontcn-tiny_mma82_zeroshot'
        test = [str(TOOLS / 'test.py'), config, MODEL, '--data-root', root]
        step = partial(first_batch, [*test, '--work-dir', str(Path(folder, 'runs'))])
        cases.append(Case({'what': 'test.py to its first batch'}, step))
        rows = time_cases(cases, args.rounds)
    return {'python': sys.version.split()[0], 'rows': rows}


def first_batch(command: Sequence[str]) -> None:
    """Run a test until it tells of a batch, then end it.

    Raises:
        ValueError: It ended before.
    """
    told = []
    both = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT}
    with subprocess.Popen([sys.executable, *command], text=True, **both) as process:
        for line in process.stdout or ():
            told.append(line)
            if 'Epoch(test)' in line:
                process.kill()
                return
    raise ValueError(''.join(told[-5:]))


if __name__ == '__main__':
    sys.exit(main(sys.modules[__name__]))
