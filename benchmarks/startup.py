"""Start of Python, of the package, and of a command's help."""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from harness import Case, count, main, time_cases

TRAIN = str(Path(__file__).parents[1] / 'tools' / 'train.py')
COMMANDS = {
    'python': ['-c', 'pass'],
    'import mmma': ['-c', 'import mmma'],
    'train.py --help': [TRAIN, '--help'],
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
    rows = time_cases(cases, args.rounds)
    return {'python': sys.version.split()[0], 'rows': rows}


if __name__ == '__main__':
    sys.exit(main(sys.modules[__name__]))
