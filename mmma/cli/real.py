"""``real DATA``: from the downloaded data to a table beside the paper's."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmma.cli.real_plan import GROUPS, PRESETS, Plan, PlanOptions, make_plan
from mmma.cli.real_state import State, only_run, step_keys
from mmma.data.root import DataRoot

HELP = """Go from a converted data root to a table beside the paper's, in one command.

Steps: check (with leakage), pack, pose, probe (frozen backbone), GC-TSM and PoseC3D
trained and tested in-domain, zero-shot and few-shot, the table as text and LaTeX.
Recognition only. Each step is a command that can be typed alone.

What is done is kept in OUT/real.json: the same command goes on after the last step that
is done, and a killed step goes on where it was. When an option changes, the steps that
depend on it run again; what they made before is moved to NAME.old1, never deleted.

Disk, time and memory are estimated first, from a measurement on a few clips of DATA, on
this machine; – is unknown. Exit status: 0 done, 1 a step failed, 2 bad usage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add = parser.add_argument
    add('data', metavar='DATA', type=Path, help='data root, as convert.py writes it')
    add('--out', metavar='DIR', type=Path, default=Path('work_dirs/real'))
    add('--preset', default='1gpu', metavar='|'.join(PRESETS))
    add(
        '--skip',
        nargs='+',
        default=[],
        metavar='STEP',
        help=f'leave out steps, or groups of them: {", ".join(GROUPS)}',
    )
    add('--again', nargs='+', default=[], metavar='STEP', help='as if never done')
    add('--probe', metavar='NAME', help='recipe of the frozen backbone')
    add('--epochs', type=int, metavar='N', help='of each training')
    add('--runs', type=int, metavar='N', help='few-shot support draws')
    add('--batch-size', type=int, metavar='N', help='of a training, per process')
    add('--backend', default='mediapipe', metavar='mediapipe|rtmlib', help='of pose')
    add('--models', type=Path, metavar='DIR', help='of rtmlib')
    add('--workers', type=int, metavar='N', help='processes (default: one per core)')
    add('--amp', action='store_true', help='train in mixed precision')
    add(
        '--skip-broken',
        action='store_true',
        help='go on without videos that cannot be read; the results name them',
    )
    add('--no-estimate', action='store_true', help='measure nothing, start')
    add('--dry-run', action='store_true', help='print the plan with its estimates')


def run(args: argparse.Namespace) -> int:
    """Plan, estimate, run."""
    options = PlanOptions(
        data=args.data,
        out=args.out,
        preset=args.preset,
        skip=tuple(args.skip),
        probe=args.probe,
        epochs=args.epochs,
        runs=args.runs,
        batch_size=args.batch_size,
        backend=args.backend,
        models=args.models,
        workers=args.workers,
        amp=args.amp,
        skip_broken=args.skip_broken,
    )
    plan = make_plan(options)
    with only_run(options.out) as lock:
        state = State(options.out)
        if not args.dry_run:
            forget(plan, state, args.again)
        keys = step_keys(plan, DataRoot(options.data).fingerprint(), state.steps)
        done = [s.name for s in plan.steps if state.is_done(s, keys[s.name])]
        needed = show_plan(plan, options, done, not args.no_estimate)
        if args.dry_run:
            return 0
        check_machine(plan, options, done)
        if needed is not None:
            from mmma.cli.real_estimate import check_disk

            check_disk(options.out, needed)
        from mmma.cli.real_run import Runner

        status = Runner(plan, keys, state, options.out, lock).run()
    if status == 0:
        show_end(plan, options.out)
    return status


def forget(plan: Plan, state: State, again: list[str]) -> None:
    """Let steps run again, and all that build on them.

    Args:
        plan: The steps.
        state: What was done.
        again: Names or groups.

    Raises:
        ValueError: The plan has no such step.
    """
    from mmma.taxonomy import check_choice

    known = (*dict.fromkeys(s.group for s in plan.steps), *(s.name for s in plan.steps))
    for name in again:
        check_choice('step of --again', name, known)
    forgotten: set[str] = set()
    for step in plan.steps:
        if {step.name, step.group} & set(again) or forgotten & set(step.needs):
            forgotten.add(step.name)
            state.forget(step.name)


def show_plan(
    plan: Plan, options: PlanOptions, done: list[str], measuring: bool
) -> float | None:
    """Print the plan.

    Args:
        plan: The steps.
        options: What the user decides.
        done: Steps that were done before.
        measuring: Whether to estimate what the others take.

    Returns:
        Bytes that they need; None if not estimated.
    """
    from mmma.cli.real_estimate import Counts, estimate, measure, plan_table
    from mmma.files import usable_cores

    left = [step for step in plan.steps if step.name not in done]
    estimates = {}
    if measuring and any(step.group != 'table' for step in left):
        found = measure(Plan(tuple(left), {}, plan.root), options)
        counts = Counts.read(DataRoot(options.data).read_rec())
        cores = options.workers or usable_cores()
        estimates = {s.name: estimate(s, counts, found, cores) for s in left}
    print(plan_table(plan, estimates, done), flush=True)
    return sum(e.bytes or 0 for e in estimates.values()) if estimates else None


def check_machine(plan: Plan, options: PlanOptions, done: list[str]) -> None:
    """Refuse now what would fail hours later.

    Args:
        plan: The steps.
        options: What the user decides.
        done: Steps that were done before.

    Raises:
        ValueError: There are too few GPUs, or the pose extractor is not installed.
        FileNotFoundError: Its model files are missing.
    """
    left = [step for step in plan.steps if step.name not in done]
    if any(step.name == 'pose' for step in left):
        from mmma.media.extractors import PoseOptions, describe_extractor

        try:
            describe_extractor(PoseOptions(options.backend, models=options.models))
        except ValueError as error:
            raise ValueError(
                f'pose: {error}; or --skip pose, and PoseC3D with it'
            ) from None
    gpus = max((step.gpus for step in left), default=0)
    if gpus:
        import torch

        found = torch.cuda.device_count()
        if found < gpus:
            raise ValueError(
                f'--preset {options.preset} needs {gpus} GPUs, torch sees {found}: use '
                'another preset (cpu-small shows the way without one), or --skip '
                'gctsm posec3d'
            )


def show_end(plan: Plan, out: Path) -> None:
    """Print the table and where everything is."""
    text = out / 'table.txt'
    if any(step.name == 'table-text' for step in plan.steps):
        print(text.read_text(encoding='utf-8').rstrip())
        print(f'table: {text}; LaTeX: {out / "table.tex"}')
    print(f'all done, in {out}')
