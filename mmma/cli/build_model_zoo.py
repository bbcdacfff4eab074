"""``build_model_zoo.py``: computed fields of the metafiles, pages of the zoo."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmma.config import config_folders

if TYPE_CHECKING:
    from mmma.hub.zoo import Facts, Recipe
    from mmma.reporting.zoo_pages import Checkpoint

HELP = """Compute what the model zoo says. Of each recipe: configs, input, parameters,
multiply-adds; of our own weights in zoo/: size and results. Writes
configs/metafiles/*.yml, model-index.yml, model_zoo.md and docs/zoo/*.md; what people
wrote into the metafiles stays. Weights and results that do not belong together are
refused, and then nothing is written. Needs no data and no GPU."""
Metafiles = Mapping[str, Mapping[str, Any]]
_SHOWN = 10
_WHEEL = '.mim'
_COLUMNS = f'{"recipe":<38}{"params (M)":>11}{"GFLOPs":>9}  input'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        '--check',
        action='store_true',
        help='write nothing; say what is out of date, and exit 1 if anything is',
    )


def run(args: argparse.Namespace) -> int:
    """Write or compare; print one row per recipe.

    Raises:
        FileNotFoundError: There is no checkout.
        ValueError: A metafile cannot be read, or real and simulated results would
            stand in one table.
    """
    from mmma.hub.zoo import find_recipes, read_metafiles, refresh, unlisted

    roots = [folder.parent for folder in config_folders()]
    if not roots or roots[0].name == _WHEEL:
        raise FileNotFoundError('no checkout found: run this in a checkout of mmma.')
    root = roots[0]
    recipes, old = find_recipes(root), read_metafiles(root)
    facts, failures = measure(root, recipes, old)
    new = {method: refresh(data, facts.get(method, {})) for method, data in old.items()}
    problems = [*unlisted(recipes, old), *failures]
    new, checkpoints, refused = read_zoo(root, new)
    print(_COLUMNS)
    for line in rows(new):
        print(line)
    if refused:
        problems += refused
    elif args.check:
        problems += outdated(root, old, new, checkpoints)
    else:
        write(root, new, checkpoints)
        problems += _stale(root, new)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def read_zoo(
    root: Path, metafiles: Metafiles
) -> tuple[dict[str, Any], list[Checkpoint], list[str]]:
    """Read our own weights' results, and compute the fields of their entries.

    Args:
        root: Folder of ``zoo/``.
        metafiles: By method.

    Returns:
        The metafiles, the weights, and one sentence for each that is refused.
    """
    from mmma.hub.published import ZooFolder, metafile_entry
    from mmma.hub.zoo import checkpoint_entries, with_entry
    from mmma.reporting.zoo_pages import read_zoo_checkpoint

    found, checkpoints, problems = dict(metafiles), [], []
    for method, data in metafiles.items():
        for entry in checkpoint_entries({method: data}):
            try:
                read = read_zoo_checkpoint(root, entry)
                weights = root / entry['Weights']
                model = ZooFolder(weights.parent, weights)
                fields = metafile_entry(model, entry['Config'], data)
            except (ValueError, FileNotFoundError) as error:
                problems.append(f'configs/metafiles/{method}.yml: {error}')
                continue
            found[method] = with_entry(found[method], fields)
            checkpoints.append(replace(read, entry=fields))
    return found, checkpoints, problems


def measure(
    root: Path, recipes: Iterable[Recipe], metafiles: Metafiles
) -> tuple[dict[str, dict[str, Facts]], list[str]]:
    """Compute the facts of each recipe of a metafile.

    A recipe that needs a package which is not installed keeps its recorded costs.

    Args:
        root: Folder of ``configs/``.
        recipes: From ``find_recipes``.
        metafiles: By method.

    Returns:
        Facts by method and name, and one sentence for each recipe that does not build.
    """
    import mmma.models  # noqa: F401  a broken installation fails here, not below
    from mmma.hub.cost import model_cost
    from mmma.hub.zoo import config_facts

    facts: dict[str, dict[str, Facts]] = {}
    problems = []
    for recipe in recipes:
        if recipe.method not in metafiles:
            continue
        models = metafiles[recipe.method].get('Models') or []
        entry = next((e for e in models if e['Name'] == recipe.name), {})
        try:
            cfg = _load(root / recipe.leaves[0])
            found = config_facts(recipe, cfg)
            facts.setdefault(recipe.method, {})[recipe.name] = found
            shape = str((entry.get('Metadata') or {}).get('Input', ''))
            found.metadata.update(model_cost(cfg, shape))
        except ImportError as error:
            print(f'{recipe.name}: costs not recomputed: {error}', file=sys.stderr)
        except (KeyError, TypeError, ValueError, OSError) as error:
            # One bad recipe must not hide the others.
            problems.append(f'{recipe.leaves[0]}: {type(error).__name__}: {error}')
    return facts, problems


def rows(metafiles: Metafiles) -> Iterator[str]:
    """One line per recipe: name, parameters, multiply-adds, input; unknown is –."""
    from mmma.hub.zoo import is_checkpoint

    for data in metafiles.values():
        for entry in data['Models']:
            if is_checkpoint(entry):
                continue
            known = entry.get('Metadata', {})
            params, flops = known.get('Parameters'), known.get('FLOPs')
            millions = f'{params / 1e6:.2f}' if params else '–'
            digits = 2 if flops and flops > 1e8 else 4
            giga = f'{flops / 1e9:.{digits}f}' if flops else '–'
            size = known.get('Input', '–')
            yield f'{entry["Name"]:<38}{millions:>11}{giga:>9}  {size}'


def outdated(
    root: Path, old: Metafiles, new: Metafiles, checkpoints: Sequence[Checkpoint]
) -> list[str]:
    """Say which files are not as they would be written, and where.

    Args:
        root: Folder of ``configs/``.
        old: Metafiles as they are.
        new: Metafiles as they should be.
        checkpoints: Our own weights.
    """
    from mmma.hub.zoo import differences, metafile_path
    from mmma.reporting.zoo_pages import text_differences

    methods = {metafile_path(root, method): method for method in new}
    found = []
    for path, text in _files(root, new, checkpoints).items():
        name = path.relative_to(root).as_posix()
        if not path.is_file():
            found.append(f'{name}: is missing')
            continue
        written = path.read_bytes().decode('utf-8')
        if written == text:
            continue
        method = methods.get(path)
        where = list(differences(old[method], new[method])) if method else []
        where = where or list(text_differences(written, text))
        found += [f'{name}: {line}' for line in where[:_SHOWN]]
        if len(where) > _SHOWN:
            found.append(f'{name}: and {len(where) - _SHOWN} more')
    if found:
        found.append('Run tools/build_model_zoo.py to update them.')
    return [*found, *_stale(root, new)]


def write(root: Path, metafiles: Metafiles, checkpoints: Sequence[Checkpoint]) -> None:
    """Write the metafiles, their index and the pages."""
    for path, text in _files(root, metafiles, checkpoints).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode('utf-8'))


def _stale(root: Path, metafiles: Metafiles) -> list[str]:
    from mmma.reporting.zoo_pages import PAGES

    pages = sorted((root / PAGES).glob('*.md'))
    return [
        f'{PAGES}/{path.name}: there is no such method. Remove it.'
        for path in pages
        if path.stem not in metafiles
    ]


def _files(
    root: Path, metafiles: Metafiles, checkpoints: Sequence[Checkpoint]
) -> dict[Path, str]:
    """Text of every file that is generated."""
    from mmma.hub.zoo import (
        INDEX,
        index_text,
        is_checkpoint,
        metafile_path,
        metafile_text,
    )
    from mmma.reporting.zoo_pages import Method, zoo_pages

    own = {checkpoint.name: checkpoint for checkpoint in checkpoints}
    methods = [
        Method(
            name,
            data['Collections'][0],
            tuple(e for e in data['Models'] if not is_checkpoint(e)),
            tuple(own[e['Name']] for e in data['Models'] if is_checkpoint(e)),
        )
        for name, data in metafiles.items()
    ]
    files = {metafile_path(root, m): metafile_text(d) for m, d in metafiles.items()}
    files[root / INDEX] = index_text(metafiles)
    return {**files, **{root / p: text for p, text in zoo_pages(methods).items()}}


def _load(path: Path) -> Any:
    from mmengine.config import Config

    from mmma.protocols import make_protocol, write_protocol

    cfg = Config.fromfile(path)
    write_protocol(cfg, make_protocol(cfg.protocol))
    return cfg
