"""Go from a converted data root to a table beside the paper's, in one command.

Steps: check (with leakage), pack, pose, probe (frozen backbone), GC-TSM and PoseC3D
trained and tested in-domain, zero-shot and few-shot, the table as text and LaTeX.
Recognition only. Each step is a command that can be typed alone.

What is done is kept in OUT/real.json: the same command goes on after the last step that
is done, and a killed step goes on where it was. When an option changes, the steps that
depend on it run again; what they made before is moved to NAME.old1, never deleted.

Disk, time and memory are estimated first, from a measurement on a few clips of DATA, on
this machine; – is unknown. Exit status: 0 done, 1 a step failed, 2 bad usage."""

import argparse

from mmma.workflow import GROUPS, PRESETS, Workflow, only_run

ARGUMENTS = f"""
data DATA (path): data root, as convert.py writes it
--out DIR (path) = work_dirs/real
--preset {'|'.join(PRESETS)} = 1gpu
--skip STEP ... = []: leave out steps, or groups of them: {', '.join(GROUPS)}
--again STEP ... = []: as if never done
--probe NAME: recipe of the frozen backbone
--epochs N (int): of each training
--runs N (int): few-shot support draws
--batch-size N (int): of a training, per process
--backend mediapipe|rtmlib|litert = mediapipe: of pose
--models DIR (path): of rtmlib or litert
*workers
--amp: train in mixed precision
--skip-broken: go on without videos that cannot be read; the results name them
--no-estimate: measure nothing, start
--dry-run: print the plan with its estimates"""


def run(args: argparse.Namespace) -> int:
    """Plan, estimate, run."""
    from mmma.estimates import estimate_steps, plan_table

    with only_run(args.out) as lock:
        flow = Workflow(args, lock)
        left = [step for step in flow.steps if not flow.is_done(step)]
        estimates = {} if args.no_estimate else estimate_steps(flow, left)
        print(plan_table(flow, estimates, left), flush=True)
        if args.dry_run:
            return 0
        flow.check_machine(left, sum(known[0] or 0 for known in estimates.values()))
        status = flow.run()
    if status == 0:
        text = args.out / 'table.txt'
        if 'table' not in flow.left_out:
            print(text.read_text(encoding='utf-8').rstrip())
            print(f'table: {text}; LaTeX: {args.out / "table.tex"}')
        print(f'all done, in {args.out}')
    return status
