"""Find body, feet and hands in the videos of a data root: its skeleton store.

mediapipe follows one person and brings its models along (pip install 'mmma[pose]', up
to Python 3.12). litert runs them without it (pip install 'mmma[litert]'; the heavy one,
litert-full or litert-lite) and says how to fetch them. rtmlib follows several and takes
local files: --models DIR with det.onnx (YOLOX), pose.onnx (RTMW or DWPose, 133 joints).

Extractor, version and options are recorded in skeletons/layout.json; models refuse to
be tested on skeletons of another extractor than they were trained on. An interrupted
run goes on when the same command is given again; clips that a store of the same
extractor has are kept (--force looks at all of them again).

Clips that fail are listed. The store is written when there are none, or with
--skip-broken: then skeletons/TASK_missing.csv names them, and using one of them in a
skeleton model is an error until its row leaves the table.

Exit status: 0 done, 1 clips failed and were not skipped, 2 bad usage."""

import argparse
import sys
from pathlib import Path
from typing import Any

from mmma.cli.arguments import check_workers, declared, options_of
from mmma.files import only_writer, progress_bar
from mmma.taxonomy import check_choice

ARGUMENTS = """
root ROOT (path): data root
.backend
*tasks
*workers
.persons .smooth .models .device
--skip-broken: write what was found without clips that failed
--force: look at all videos again, and replace what is there
--sheet FILE (out): PNG or JPG: what was found, over frames"""
add_arguments = declared(ARGUMENTS, 'mmma.media.pose:PoseOptions')


def run(args: argparse.Namespace) -> int:
    """Extract, and say what came of it."""
    from mmma.media.pose import PoseOptions, extract_root, write_sheet

    hold = only_writer(Path(args.root) / 'skeletons')
    root, report = search(args, extract_root, PoseOptions, 'joints', 'store', hold)
    for task, (frames, shares, without_body) in report.rates.items():
        text = ', '.join(f'{part} {share:.1%}' for part, share in shares.items())
        print(f'{task}: found in {frames:,} frames: {text}')
        if without_body:
            print(f'{task}: no body at all in {without_body:,} clips')
    if args.sheet is not None and report.complete:
        for number, task in enumerate(report.rates):
            name = f'{args.sheet.stem}_{task}{args.sheet.suffix}'
            file = args.sheet.with_name(name) if number else args.sheet
            print(f'{file}: {", ".join(write_sheet(root, task, file))}')
    if report.complete:
        pack = f'python tools/data/pack.py {args.root} OUT --crop person'
        print(f'next: train a skeleton recipe, or {pack}')
    return 0 if report.complete else 1


def search(
    args: argparse.Namespace, find: Any, kind: type, what: str, file: str, hold: Any
) -> tuple[Any, Any]:
    """Search the videos of a root; the root and the report, whose failures are told."""
    from mmma.data.root import DataRoot

    check_workers(args.workers)
    if args.sheet is not None:
        check_choice('suffix of --sheet', args.sheet.suffix.lower(), ('.png', '.jpg'))
        if not args.sheet.parent.is_dir():
            raise FileNotFoundError(f'--sheet: there is no folder {args.sheet.parent}')
    root, options = DataRoot(args.root), options_of(kind, args)
    how = {k: getattr(args, k) for k in ('tasks', 'workers', 'skip_broken', 'force')}
    with hold, progress_bar(f'find {what}, MB') as show:
        how['on_progress'] = lambda *sizes: show(*(n // 10**6 for n in sizes))
        report = find(root, options, **how)
    speed = report.frames / max(report.seconds, 1e-9)
    told = f'{report.extracted:,} looked at now: {report.frames:,} frames'
    clips = f'{args.root}: {report.extractor}: {report.clips:,} clips'
    print(f'{clips}, {told}, {speed:.1f} per second')
    for task, name, reason in report.failures:
        print(f'FAILED {task} {name}: {reason}', file=sys.stderr)
    if report.failures:
        done, end = f'so no {file} was written', '; or --skip-broken.'
        if report.complete:
            done, end = f'left out of the {file}', '.'
        told = f'{len(report.failures):,} of {report.clips:,} clips failed, {done}'
        print(f'{told}. Repair the files and run it again{end}', file=sys.stderr)
    return root, report
