"""``download.py NAME ...``: weights of the model zoo, fetched and checked."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmma.hub.zoo import ZooModel

HELP = """Fetch weights of the model zoo by name, and check their SHA-256 and size.

They are kept in ~/.cache/mmma/checkpoints ($MMMA_HOME/checkpoints), where every command
finds them by name. A download that was cut off goes on where it stopped. A file with
another hash is put aside as NAME.bad-hash and not used.

MMMA_ZOO_URL   a server or folder with copies of the files, asked first
MMMA_OFFLINE=1 never use the network

Exit status: 0 done, 1 --verify found damage, 2 bad usage, or a file was not fetched."""

_ROW = '{:<9} {:<5} {:<9} {:>10}  {:<9} {:<10} {}'
_COLUMNS = _ROW.format(
    'kind', 'task', 'modality', 'size', 'sha256', 'simulated', 'name'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument('names', nargs='*', metavar='NAME', help='as --list shows them')
    parser.add_argument('--list', action='store_true', help='print what there is')
    parser.add_argument(
        '--json', action='store_true', help='--list: print one JSON list, nothing else'
    )
    parser.add_argument(
        '--for',
        dest='config',
        metavar='CONFIG',
        help='fetch the weights that training with this config starts from',
    )
    parser.add_argument(
        '--verify',
        nargs='?',
        const='',
        metavar='DIR',
        help='check every file of a folder (default: the cache) against the index',
    )
    parser.add_argument(
        '--dest', type=Path, metavar='DIR', help='put the files here, not in the cache'
    )


def run(args: argparse.Namespace) -> int:
    """List, verify or fetch.

    Raises:
        ValueError: Not exactly one of these was asked for; no such name.
        FileNotFoundError: No such config, or no such folder to verify.
    """
    wanted = [args.list, args.verify is not None, bool(args.names or args.config)]
    if sum(wanted) != 1:
        raise ValueError('give names or --for CONFIG, or --list, or --verify.')
    if args.json and not args.list:
        raise ValueError('--json goes with --list.')
    if args.dest and not wanted[2]:
        raise ValueError('--dest goes with names or --for CONFIG.')
    from mmma.hub.zoo import list_models

    models = list_models()
    if args.list:
        show_models(models, args.json)
        return 0
    if args.verify is not None:
        return verify(args.verify, models)
    return fetch(args.names, args.config, args.dest)


def show_models(models: Iterable[ZooModel], as_json: bool) -> None:
    """Print the index, as a table or as JSON."""
    if as_json:
        print(json.dumps([model.listed() for model in models], indent=2))
        return
    print(_COLUMNS)
    for model in models:
        print(
            _ROW.format(
                model.kind,
                model.task,
                model.modality,
                f'{model.size / 1e6:,.1f} MB' if model.size else '–',
                (model.sha256 or '–')[:8],
                'simulated' if model.simulated else '–',
                model.name,
            )
        )


def verify(folder: str, models: list[ZooModel]) -> int:
    """Print what became of each file of a folder; 1 if any is damaged.

    Args:
        folder: Which; empty is the cache.
        models: The index.
    """
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


def fetch(names: Iterable[str], config: str | None, dest: Path | None) -> int:
    """Fetch everything that was named, and say where it lies; 2 if any failed.

    Args:
        names: Of models.
        config: A config whose weights are wanted as well.
        dest: Where to put them; None is the cache.
    """
    from mmengine.config import Config

    from mmma.config import find_config
    from mmma.hub.zoo import fetch_model, find_model

    wanted: dict[str, Callable[[], ZooModel]] = {
        name: functools.partial(find_model, name) for name in names
    }
    if config is not None:
        source = Config.fromfile(find_config(config)).get('pretrained')
        if source is None:
            print(f'{config} starts from random weights: nothing to download')
        else:
            start = _start_of(source)
            wanted[start.name] = lambda: start
    failed = []
    for name, find in wanted.items():
        try:
            print(f'{name}: {fetch_model(find(), dest)}', flush=True)
        except (ValueError, FileNotFoundError) as error:
            failed.append(name)
            print(f'error: {error}', file=sys.stderr)
    if failed:
        print(f'not fetched: {", ".join(failed)}', file=sys.stderr)
    return 2 if failed else 0


def _start_of(source: Any) -> ZooModel:
    """The model of the index behind a config's ``pretrained``, or one like it."""
    from mmma.checkpoints.download import file_name
    from mmma.hub.zoo import ZooModel, list_models

    name = file_name(source.url).rpartition('.')[0]
    model = ZooModel(name, 'upstream', 'rec', 'RGB', source.url)
    model = next((m for m in list_models() if m.url == source.url), model)
    sha256 = max(model.sha256 or '', source.sha8, key=len)
    size = model.size or source.get('size')
    return dataclasses.replace(model, sha256=sha256 or None, size=size)
