"""What all benchmarks share: command line, device, timing, memory, the table.

A benchmark is a module with ``add_arguments(parser)``; ``measure(args)``, which returns
``rows`` (their keys are the headings) and the conditions; and, for
:func:`fresh_process`, ``alone(...)``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Case:
    """One variant that is timed: the first columns of its row, and what it does."""

    labels: Mapping[str, str]
    step: Callable[[], Any]


def main(bench: ModuleType, argv: Sequence[str] | None = None) -> int:
    """Run a benchmark; bad input is told without a traceback, with exit status 2."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ['--alone']:
        print(json.dumps(bench.alone(*json.loads(argv[1]))))
        return 0
    parser = argparse.ArgumentParser(description=bench.__doc__)
    parser.add_argument('--json', action='store_true', help='one JSON object instead')
    bench.add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        found = bench.measure(args)
    except (ValueError, FileNotFoundError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(json.dumps(found) if args.json else table(found))
    return 0


def count(text: str) -> int:
    """Type of an option that is a whole number from 1."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text}: use at least 1.')
    return int(text)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``, which :func:`find_device` takes."""
    parser.add_argument('--device', choices=('auto', 'cpu', 'cuda'), default='auto')


def find_device(wanted: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` is a GPU where there is one.

    Raises:
        ValueError: No GPU for ``cuda``.
    """
    import torch

    gpu = torch.cuda.is_available()
    if wanted == 'cuda' and not gpu:
        raise ValueError('--device cuda: torch sees no GPU; use --device cpu.')
    return wanted.replace('auto', 'cuda' if gpu else 'cpu')


def conditions(args: argparse.Namespace, device: str = 'cpu') -> dict[str, Any]:
    """The options, the machine and the version of torch."""
    import torch

    name = torch.cuda.get_device_name() if device == 'cuda' else 'CPU'
    threads = torch.get_num_threads()
    options = {k: v for k, v in vars(args).items() if k not in ('json', 'device')}
    return {**options, 'machine': name, 'threads': threads, 'torch': torch.__version__}


def time_cases(
    cases: Sequence[Case],
    rounds: int,
    per: int = 1,
    compare: Callable[[Any, Any], Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """One row per case: its labels, its times, its difference from the first.

    The cases take turns, so that what else the machine does hits them alike; one round
    before the clock starts warms up.

    Args:
        cases: What to run.
        rounds: Measured runs of each.
        per: Clips or videos of a run; times are given for one of them.
        compare: From what the warm-up of a case and of the first one gave to further
            columns.
    """
    outputs = [case.step() for case in cases]
    taken: list[list[float]] = [[] for _ in cases]
    for _ in range(rounds):
        for case, times in zip(cases, taken, strict=True):
            start = time.perf_counter()
            case.step()
            _wait_for_gpu()
            times.append(time.perf_counter() - start)
    first = statistics.median(taken[0])
    return [
        {
            **case.labels,
            'median ms': 1000 * statistics.median(times) / per,
            'fastest ms': 1000 * min(times) / per,
            'times faster': first / statistics.median(times),
            **(compare(output, outputs[0]) if compare else {}),
        }
        for case, times, output in zip(cases, taken, outputs, strict=True)
    ]


def _wait_for_gpu() -> None:
    torch = sys.modules.get('torch')
    if torch and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def fresh_process(script: str, what: str, *arguments: Any) -> Any:
    """What ``alone(what, *arguments)`` of a script returns in a process of its own.

    Raises:
        ValueError: It failed.
    """
    command = [sys.executable, '-W', 'ignore', script, '--alone']
    command.append(json.dumps([what, *arguments]))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f'measuring {what} failed: {done.stderr.strip()[-500:]}')
    return json.loads(done.stdout.splitlines()[-1])


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


def table(found: Mapping[str, Any]) -> str:
    """A line of conditions, then the rows."""
    from prettytable import PrettyTable

    rows = PrettyTable(list(found['rows'][0]))
    rows.align = 'r'
    rows.align[rows.field_names[0]] = 'l'
    rows.add_rows([[_cell(value) for value in row.values()] for row in found['rows']])
    told = ', '.join(f'{k} {v}' for k, v in found.items() if k != 'rows')
    return f'{told}\n{rows}'


def _cell(value: Any) -> str:
    if value is None:
        return '–'
    if isinstance(value, float):
        return f'{value:.2e}' if 0 < abs(value) < 1e-3 else f'{value:,.2f}'
    return str(value)
