# ruff: noqa: E501, SIM102
"""``python trace_files.py TREE train|zeroshot|fewshot|det|all [--out DIR] [--list]``

How many files and functions of mmma a command runs, and how often it opens the tables of
the data root. Counted are named functions (no lambdas, comprehensions or class bodies)
that are called in the main process, loaders having no workers; what runs while a module
is being imported does not count. train: recognition, skeletontcn-tiny, 2 epochs on the
tiny simulated lab; zeroshot, fewshot (1 shot, 2 runs): tests of that checkpoint; det:
training of skeletondet-tiny, 2 epochs.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

PYTHON = os.environ.get('GOLDEN_PYTHON', sys.executable)
TABLES = ('rec.csv', 'det.json', 'dataset.json')
OPTIMIZED = 0x1  # of functions; module and class bodies lack it
REC, DET = 'recog/skeletontcn-tiny_mma82_zeroshot', 'det/skeletondet-tiny_mma82'
MODES = ('train', 'zeroshot', 'fewshot', 'det')


def loaders(*subsets):
    for subset in subsets:
        yield f'{subset}_dataloader.num_workers=0'
        yield f'{subset}_dataloader.persistent_workers=False'


def command(mode, out, data):
    """Name and arguments of the traced command."""
    places = ['--data-root', str(data), '--work-dir', str(out / mode)]
    short = ['train_cfg.max_epochs=2', 'train_cfg.val_interval=1']
    if mode in ('train', 'det'):
        config = REC if mode == 'train' else DET
        return 'train', [
            config,
            *places,
            '--cfg-options',
            *short,
            *loaders('train', 'val'),
        ]
    flags = ['--shots', '1', '--runs', '2'] if mode == 'fewshot' else []
    checkpoint = str(out / 'train' / 'epoch_2.pth')
    argv = [REC, checkpoint, *places, '--protocol', mode, *flags]
    return 'test', [*argv, '--cfg-options', *loaders('test')]


def trace(mode, out, data, report):
    """Run a command under a profiler; write what was seen."""
    package = str(Path.cwd() / 'mmma') + os.sep
    root = str(data) + os.sep
    calls, at_import, opened = Counter(), Counter(), Counter()
    importing = threading.local()

    def hear(event, args):
        if event == 'open' and isinstance(args[0], (str, os.PathLike)):
            path = os.path.abspath(os.fspath(args[0]))
            if path.startswith(root) and os.path.basename(path) in TABLES:
                opened[os.path.relpath(path, root)] += 1

    def profile(frame, event, arg):
        if event not in ('call', 'return'):
            return
        code = frame.f_code
        if code.co_name == '<module>':
            depth = getattr(importing, 'depth', 0)
            importing.depth = depth + 1 if event == 'call' else max(depth - 1, 0)
        elif event == 'call' and code.co_filename.startswith(package):
            if code.co_flags & OPTIMIZED and not code.co_name.startswith('<'):
                seen = at_import if getattr(importing, 'depth', 0) else calls
                name = getattr(code, 'co_qualname', code.co_name)
                seen[
                    code.co_filename.removeprefix(package), name, code.co_firstlineno
                ] += 1

    from mmma.cli import main

    name, argv = command(mode, out, data)
    sys.addaudithook(hear)
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        status = main(name, argv)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    files = Counter(file for file, _, _ in calls)
    loaded = [m for m in sys.modules if m == 'mmma' or m.startswith('mmma.')]
    report.write_text(json.dumps({
        'status': status,
        'files': dict(sorted(files.items())),
        'functions': len(calls),
        'at_import': len({*at_import} - {*calls}),
        'calls': sum(calls.values()),
        'modules_imported': len(loaded),
        'opened': dict(opened),
        'names': sorted(f'{f}:{n}' for f, n, _ in calls),
    }))  # fmt: skip


def run(tree, mode, top, list_files):
    out, data = top / tree.name, top / 'data'
    shutil.rmtree(out / mode, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    report = out / f'{mode}.json'
    report.unlink(missing_ok=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith(('MMMA_', 'PYTHON'))}
    home = out / 'home'
    shutil.rmtree(home, ignore_errors=True)
    env |= {
        'PYTHONPATH': str(tree), 'MMMA_HOME': str(home), 'OMP_NUM_THREADS': '1',
        'PYTHONPYCACHEPREFIX': str(top / 'pycache'), 'CUDA_VISIBLE_DEVICES': '',
        'MMMA_OFFLINE': '1',
    }  # fmt: skip
    if not (data / 'done').is_file():
        shutil.rmtree(data, ignore_errors=True)
        argv = ['--scale', 'tiny', '--seed', '0', '--workers', '1']
        made = [PYTHON, 'tools/data/simulate.py', str(data), *argv]
        subprocess.run(made, cwd=tree, env=env, check=True, capture_output=True)
        (data / 'done').touch()
    if (
        mode in ('zeroshot', 'fewshot')
        and not (out / 'train' / 'epoch_2.pth').is_file()
    ):
        run(tree, 'train', top, None)
    argv = [PYTHON, '-W', 'ignore', str(Path(__file__).resolve()), '--worker', mode]
    with (out / f'{mode}.log').open('wb') as log:
        argv += [str(out), str(data), str(report)]
        subprocess.run(argv, cwd=tree, env=env, stdout=log, stderr=log)
    found = json.loads(report.read_text())
    if found['status']:
        sys.exit(f'{mode}: exit status {found["status"]}, see {out}/{mode}.log')
    if list_files is None:
        return
    opened = ', '.join(f'{name} {found["opened"].get(name, 0)}' for name in TABLES)
    print(
        f'{mode}: {len(found["files"])} files, {found["functions"]} functions, '
        f'{found["calls"]:,} calls; {found["modules_imported"]} mmma modules imported '
        f'(+{found["at_import"]} functions while importing); opened: {opened}',
        flush=True,
    )
    if list_files:
        for name, number in found['files'].items():
            print(f'  {number:>3}  mmma/{name}')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('tree', type=Path)
    parser.add_argument('mode', choices=(*MODES, 'all'))
    parser.add_argument('--out', type=Path, default=Path('/tmp/mmma-trace'))
    parser.add_argument('--no-list', action='store_true', help='numbers alone')
    args = parser.parse_args()
    for mode in MODES if args.mode == 'all' else (args.mode,):
        run(args.tree.resolve(), mode, args.out.resolve(), not args.no_list)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--worker']:
        trace(sys.argv[2], *map(Path, sys.argv[3:6]))
    else:
        main()
