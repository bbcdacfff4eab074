"""Fetch weights of the model zoo by name, and check their SHA-256 and size.

They are kept in ~/.cache/mmma/checkpoints ($MMMA_HOME/checkpoints), where every command
finds them by name. A download that was cut off goes on where it stopped. A file with
another hash is put aside as NAME.bad-hash and not used.

MMMA_ZOO_URL   a server or folder with copies of the files, asked first
MMMA_OFFLINE=1 never use the network

Exit status: 0 done, 1 --verify found damage, 2 bad usage, or a file was not fetched."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmma.hub.zoo import ZooModel

_USES = {
    'rec': 'names the action of a clip (infer.py --recog)',
    'det': 'finds actions in videos (infer.py --det)',
    'emotion': 'names the emotion of a clip (infer.py --recog)',
}

ARGUMENTS = """
names [NAME ...]: as --list shows them
--list: print what there is
--json: --list: print one JSON list, nothing else
--for/config CONFIG: fetch the weights that training with this config starts from
--verify [DIR]: check every file of a folder (default: the cache) against the index
--dest DIR (path): put the files here, not in the cache"""


def run(args: argparse.Namespace) -> int:
    """List, verify or fetch, whichever was asked for."""
    wanted = [args.list, args.verify is not None, bool(args.names or args.config)]
    if sum(wanted) != 1:
        raise ValueError('give names or --for CONFIG, or --list, or --verify.')
    if args.json and not args.list:
        raise ValueError('--json goes with --list.')
    if args.dest and not wanted[2]:
        raise ValueError('--dest goes with names or --for CONFIG.')
    from mmma.hub.zoo import list_models

    models = list_models()
    if args.json:
        print(json.dumps([model.listed() for model in models], indent=2))
        return 0
    for model in models if args.list else ():
        size = model.size or 4 * (model.parameters or 0)  # float32
        shown = f'{"" if model.size else "about "}{size / 1e6:,.1f} MB'
        told = f'{model.kind}, {shown if size else "size unknown"}, {model.modality}: '
        starts = f'the start of {" and ".join(Path(c).stem for c in model.configs)}'
        told += _USES[model.task] if model.kind == 'ours' else starts
        told += '; trained on simulated data, a demonstration' * model.simulated
        told += f'; SHA-256 {(model.sha256 or "unknown")[:8]}'
        lines = textwrap.wrap(told, 94, break_on_hyphens=False)
        print(model.name, *lines, sep='\n    ')
    if args.list:
        return 0
    if args.verify is not None:
        return _verify(args.verify, models)
    return _fetch(args.names, args.config, args.dest, models)


def _verify(folder: str, models: Sequence[ZooModel]) -> int:
    """Print what became of each file of a folder, or the cache; 1 if any is damaged."""
    from mmma.checkpoints import cache_folder
    from mmma.hub.zoo import verify_folder

    place = Path(folder) if folder else cache_folder()
    if not folder and not place.is_dir():
        print(f'{place}: nothing was downloaded yet', file=sys.stderr)
        return 0
    states = []
    for path, state, why in verify_folder(place, models):
        states.append(state)
        print(f'{state:<8} {path.relative_to(place)}' + (f': {why}' if why else ''))
    counts = ', '.join(f'{states.count(s)} {s}' for s in ('ok', 'damaged', 'unknown'))
    print(f'{place}: {counts}', file=sys.stderr)
    return 1 if 'damaged' in states else 0


def _fetch(
    names: Sequence[str],
    config: str | None,
    dest: Path | None,
    models: Sequence[ZooModel],
) -> int:
    """Fetch everything that was named, and say where it lies; 2 if any failed."""
    from mmma.checkpoints.download import file_name
    from mmma.config import find_config, read_config
    from mmma.hub.zoo import ZooModel, fetch_model, no_model

    known = {model.name: model for model in models}
    wanted = {name: known.get(name) for name in names}
    if config is not None:
        source = read_config(find_config(config)).get('pretrained')
        if source is None:
            print(f'{config} starts from random weights: nothing to download')
        else:
            name = file_name(source.url).rpartition('.')[0]
            start = ZooModel(name, 'upstream', 'rec', 'RGB', source.url)
            start = next((m for m in models if m.url == source.url), start)
            facts = {'sha256': max(start.sha256 or '', source.sha8, key=len) or None}
            facts['size'] = start.size or source.get('size')
            wanted[start.name] = dataclasses.replace(start, **facts)
    failed = []
    for name, model in wanted.items():
        try:
            if model is None:
                raise ValueError(no_model(name, models))
            print(f'{name}: {fetch_model(model, dest)}', flush=True)
        except (ValueError, FileNotFoundError) as error:
            failed.append(name)
            print(f'error: {error}', file=sys.stderr)
    if failed:
        print(f'not fetched: {", ".join(failed)}', file=sys.stderr)
    return 2 if failed else 0
