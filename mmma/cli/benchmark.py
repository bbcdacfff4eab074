"""``benchmark``: measure parts of the toolbox on this machine.

Each part is a module ``mmma/cli/benchmark_<part>.py`` with ``HELP``,
``add_arguments(parser)`` and ``run(args)``, like a command.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

HELP = 'Measure parts of the toolbox on this machine.'
PARTS = ('data', 'model', 'eval', 'heatmap', 'nms', 'fewshot')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command per part."""
    parts = parser.add_subparsers(dest='part', metavar='PART', required=True)
    for name in PARTS:
        module = _module(name)
        part = parts.add_parser(name, help=module.HELP, description=module.HELP)
        part.add_argument(
            '--json', action='store_true', help='print one JSON object instead'
        )
        module.add_arguments(part)


def run(args: argparse.Namespace) -> int:
    """Run the chosen part."""
    return _module(args.part).run(args)


def report(found: Mapping[str, Any], columns: Mapping[str, str], as_json: bool) -> None:
    """Print what was measured.

    Args:
        found: ``rows`` (a list of dicts) and the conditions of the measurement.
        columns: Heading of each key of a row, in order.
        as_json: One JSON object rather than a table.
    """
    if as_json:
        print(json.dumps(found))
        return
    from prettytable import PrettyTable

    conditions = {k: v for k, v in found.items() if k != 'rows'}
    print(', '.join(f'{k} {v}' for k, v in conditions.items()))
    table = PrettyTable(list(columns.values()))
    table.align = 'r'
    table.align[next(iter(columns.values()))] = 'l'
    for row in found['rows']:
        table.add_row([_cell(row[key]) for key in columns])
    print(table)


def seconds_in_turns(
    steps: Mapping[str, Callable[[], Any]], rounds: int
) -> dict[str, list[float]]:
    """Times of each of several steps.

    The steps take turns, so that what else the machine does hits them alike; one
    round before the clock starts warms up.

    Args:
        steps: What to run, by name.
        rounds: Measured runs of each.
    """
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if number:
                taken[name].append(time.perf_counter() - start)
    return taken


def resident_mib() -> tuple[float, float]:
    """Memory of this process in RAM, in MiB: now, and its peak so far.

    Linux tells both in /proc. Elsewhere 'now' is the peak as well, so that no
    difference of the two is claimed.
    """
    status = Path('/proc/self/status')
    if status.is_file():
        lines = (line.split() for line in status.read_text().splitlines())
        sizes = {line[0]: float(line[1]) for line in lines if line[0].startswith('Vm')}
        return sizes['VmRSS:'] / 1024, sizes['VmHWM:'] / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = peak / 2**20 if sys.platform == 'darwin' else peak / 1024
    return peak, peak


def python_command(module: str, arguments: Sequence[str]) -> list[str]:
    """Command line that runs a module in a fresh interpreter."""
    return [sys.executable, '-W', 'ignore', '-m', module, *arguments]


def _module(part: str) -> Any:
    return importlib.import_module(f'mmma.cli.benchmark_{part}')


def _cell(value: Any) -> str:
    if value is None:
        return '–'
    if isinstance(value, float):
        return f'{value:.2e}' if 0 < abs(value) < 1e-3 else f'{value:,.2f}'
    return str(value)
