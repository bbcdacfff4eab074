"""``data/simulate``: write the simulated stand-in for MMA-82."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from mmma.files import progress_bar, usable_cores

HELP = """Write a simulated MMA-82: 82 actions, four domains, both tasks.

It stands in for the gated corpus: it exercises and teaches, and is never a benchmark.
The same options and seed give the same bytes for any number of workers; an interrupted
run goes on when the same command is given again.

scales: tiny (about 400 clips, 60 videos), small (about 5,000 and 700; the default),
full (the published 39,816 and 11,180)"""


_GO_ON = 'give the same command again to go on'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument('out', metavar='OUT', help='folder to write, as data/mma82')
    parser.add_argument('--scale', default='small', metavar='tiny|small|full')
    parser.add_argument(
        '--modality',
        default='skeleton',
        metavar='skeleton|video|both',
        help='what is written for each clip and video (default: skeleton)',
    )
    parser.add_argument(
        '--tasks',
        nargs='+',
        default=['rec', 'det'],
        metavar='T',
        help='rec: trimmed clips, det: untrimmed videos (default: both)',
    )
    parser.add_argument(
        '--videos',
        type=int,
        metavar='N',
        help='draw at most N videos per task, from all domains and subsets in turn; '
        'with modality both the others have skeletons only, with video there are no '
        'others',
    )
    parser.add_argument(
        '--tables-only', action='store_true', help='neither skeletons nor videos'
    )
    parser.add_argument(
        '--balanced', action='store_true', help='all classes alike, no long tail'
    )
    parser.add_argument('--seed', type=int, default=0, metavar='S')
    parser.add_argument(
        '--workers', type=int, metavar='N', help='processes (default: one per core)'
    )
    parser.add_argument(
        '--force', action='store_true', help='delete another simulated corpus in OUT'
    )


def run(args: argparse.Namespace) -> int:
    """Plan, write, and say what was written."""
    # Before numpy is there: each worker uses one core, and results do not depend on it.
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    from mmma.simulation.corpus import needed_bytes, write_corpus
    from mmma.simulation.plan import SimulationOptions, summarize
    from mmma.simulation.planner import make_plan

    started = time.monotonic()
    options = SimulationOptions(
        scale=args.scale,
        modality=args.modality,
        tasks=tuple(args.tasks),
        tables_only=args.tables_only,
        balanced=args.balanced,
        seed=args.seed,
        videos=args.videos,
    )
    plan = make_plan(options)
    root = Path(args.out)
    workers = usable_cores() if args.workers is None else args.workers
    print(
        f'{root}: {options.describe()}; up to {needed_bytes(plan) / 1e6:,.0f} MB',
        file=sys.stderr,
    )
    try:
        with progress_bar('frames') as report:
            fresh = write_corpus(plan, root, workers, args.force, report)
    except KeyboardInterrupt:
        print(f'what is done in {root} is kept: {_GO_ON}', file=sys.stderr)
        raise
    except OSError as error:
        print(f'error: {error}\nwhat is done is kept: {_GO_ON}', file=sys.stderr)
        return 2
    print(summarize(plan))
    took = f'written in {time.monotonic() - started:.1f} s with {workers} workers'
    print(f'{root}: {took if fresh else "complete already, nothing to do"}')
    return 0
