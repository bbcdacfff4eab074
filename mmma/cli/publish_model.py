"""Publish a trained model: weights, config and log into zoo/NAME.

1. publish_model.py WORK_DIR               half-precision weights, named by their hash
2. test.py CONFIG zoo/NAME/NAME-HASH...    the number of the file that others get
3. publish_model.py NAME --results FILE    that number beside it, in the metafile too

Each step prints the next. Results of any other file are refused. The best checkpoint of
the run is taken, of several the newest, or else the last. Nothing that is written names
the machine."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmma.hub.published import ZooFolder

ARGUMENTS = """
source WORK_DIR|NAME: work dir of train.py; or a published model, to add to it
--checkpoint FILE (path): of the run, instead of the best
--name NAME: default: the config's, with -simulated where the data are
--out DIR (path): the zoo, beside the metafiles; default: zoo in the checkout
--precision float16|float32 = float16: default: float16, which tests round up again
--results FILE ... (path) = []: results.json of the published file, one per protocol
--resources TEXT: what it was trained on; default: what the log says
--hub DIR (path): also write a folder for the Hugging Face Hub
--check: write nothing; say what is wrong with a published model
--force: replace published weights by others"""


def run(args: argparse.Namespace) -> int:
    """Publish, or add to what is published; print the next command."""
    from mmma.hub.publish import add_results, update_metafile, write_hub_folder
    from mmma.hub.published import large_files

    zoo = args.out or _checkout_zoo()
    if zoo is None:
        raise ValueError('mmma is no checkout here: say where the zoo is with --out.')
    if args.check:
        return _check(args.source, zoo)
    model, data_root = _published(args, zoo)
    for path in add_results(model, args.results):
        print(f'wrote {path}')
    metafile = update_metafile(model, args.resources)
    print(f'wrote {metafile}' if metafile else 'no metafile: mmma has no such method')
    for file in large_files(model.path):
        print(f'warning: {model.path.name}/{file} is large for a repository (8 MB).')
    if args.hub:
        for path in write_hub_folder(model, args.hub, args.force):
            print(f'wrote {path}')
    for line in _next_steps(model, Path(args.source), data_root, args.hub):
        print(line)
    return 0


def _check(source: str, zoo: Path) -> int:
    """Print faults of a published model; 1 if there are any."""
    from mmma.hub.publish import metafile_differences
    from mmma.hub.published import problems_of, read_published

    model = read_published(source, zoo)
    problems = [*problems_of(model), *metafile_differences(model)]
    for problem in problems:
        print(problem)
    if not problems:
        print(f'{model.name}: weights, results and metafile belong together.')
    return 1 if problems else 0


def _next_steps(
    model: ZooFolder, source: Path, data_root: str | None, hub: Path | None
) -> list[str]:
    """The commands that come next, as lines to print."""
    from mmma.hub.publish import leaf_of
    from mmma.hub.published import leaf_flags

    if hub:
        return [f'upload: hf upload USER/{model.name} {shlex.quote(str(hub))}']
    zoo = model.path.parent
    out = [] if zoo == _checkout_zoo() else ['--out', str(zoo)]
    tool = ['tools/publish_model.py', model.name, *out]
    if model.results():
        return [
            'next: tools/build_model_zoo.py (the pages)',
            f'or:   {shlex.join([*tool, "--hub", "DIR"])} (a folder for the Hub)',
        ]
    leaf = leaf_of(model)
    work_dir = source if data_root else Path('work_dirs', model.name)
    test = ['tools/test.py', leaf or str(model.config)]
    short = os.path.relpath(model.weights)
    test += [str(model.weights) if short.startswith('..') else short]
    test += leaf_flags(leaf, model.cfg['protocol']) if leaf else []
    test += ['--data-root', data_root or 'DATA', '--work-dir', f'{work_dir}/published']
    tool += ['--results', f'{work_dir}/published/results.json']
    return [f'next: {shlex.join(test)}', f'then: {shlex.join(tool)}']


def _checkout_zoo() -> Path | None:
    import mmma

    checkout = Path(mmma.__file__).resolve().parents[1]
    return checkout / 'zoo' if (checkout / 'configs').is_dir() else None


def _published(args: argparse.Namespace, zoo: Path) -> tuple[ZooFolder, str | None]:
    """The model that is meant, published first where a run is, and the run's data."""
    from mmma.hub.publish import publish
    from mmma.hub.published import find_published, read_published, read_run

    source = Path(args.source)
    if not source.is_dir() or find_published(source.resolve()):
        for flag in ('checkpoint', 'name'):
            if getattr(args, flag):
                raise ValueError(f'--{flag} goes with a work dir, not with a model.')
        return read_published(args.source, zoo), None
    training = read_run(source, args.checkpoint)
    model = publish(training, zoo, args.name, args.precision, args.force)
    size = model.weights.stat().st_size
    print(f'took {training.checkpoint}')
    print(f'wrote {model.weights}: {size / 1e6:.2f} MB, SHA-256 {model.sha256}')
    return model, training.cfg.get('data_root')
