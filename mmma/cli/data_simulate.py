"""Write a simulated MMA-82: 82 actions, four domains, both tasks.

It stands in for the gated corpus: it exercises and teaches, and is never a benchmark.
The same options and seed give the same bytes for any number of workers; an interrupted
run goes on when the same command is given again.

scales: tiny (about 400 clips, 60 videos), small (about 5,000 and 700; the default),
full (the published 39,816 and 11,180)"""

import argparse
import sys
import time
from pathlib import Path

from mmma.cli.arguments import declared, options_of
from mmma.files import progress_bar
from mmma.processes import usable_cores

ARGUMENTS = """
out OUT: folder to write, as data/mma82
.scale .modality .tasks .videos .tables_only .balanced .seed
*workers
--force: delete another simulated corpus in OUT"""
_OPTIONS, _SEED = 'mmma.simulation.plan:SimulationOptions', {'help': None}
add_arguments = declared(ARGUMENTS, _OPTIONS, seed=_SEED)


def run(args: argparse.Namespace) -> int:
    """Plan, write, and say what was written."""
    from mmma.simulation.corpus import needed_bytes, write_corpus
    from mmma.simulation.plan import SimulationOptions, summarize
    from mmma.simulation.planner import make_plan

    started = time.monotonic()
    options = options_of(SimulationOptions, args)
    plan = make_plan(options)
    root = Path(args.out)
    workers = usable_cores() if args.workers is None else args.workers
    print(
        f'{root}: {options.describe()}; up to {needed_bytes(plan) / 1e6:,.0f} MB',
        file=sys.stderr,
    )
    with progress_bar('frames') as report:
        fresh = write_corpus(plan, root, workers, args.force, report)
    print(summarize(plan))
    took = f'written in {time.monotonic() - started:.1f} s with {workers} workers'
    print(f'{root}: {took if fresh else "complete already, nothing to do"}')
    return 0
