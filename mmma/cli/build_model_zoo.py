"""``build_model_zoo.py``: the computed fields of the metafiles, and their index."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmma.config import config_folders

if TYPE_CHECKING:
    from mmma.hub.metafiles import Facts, Recipe

HELP = """Compute what the model zoo says of each recipe: configs, input, parameters,
multiply-adds. Writes configs/metafiles/*.yml and model-index.yml in place; what people
wrote there stays. Needs no data, no weights and no GPU."""
_COLUMNS = f'{"recipe":<26}{"params (M)":>11}{"GFLOPs":>9}  input'


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
        FileNotFoundError: No configs are found.
        ValueError: A metafile cannot be read.
    """
    from mmma.hub.metafiles import find_recipes, read_metafiles, refresh, unlisted

    if not config_folders():
        raise FileNotFoundError('no configs found: run this in a checkout of mmma.')
    root = config_folders()[0].parent
    recipes, old = find_recipes(root), read_metafiles(root)
    facts, failures = measure(root, [r for r in recipes if r.method in old])
    new = {method: refresh(data, facts.get(method, {})) for method, data in old.items()}
    problems = [*unlisted(recipes, old), *failures]
    print(_COLUMNS)
    for line in rows(new):
        print(line)
    if args.check:
        problems += outdated(root, old, new)
    else:
        write(root, new)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def measure(
    root: Path, recipes: Iterable[Recipe]
) -> tuple[dict[str, dict[str, Facts]], list[str]]:
    """Compute the facts of each recipe.

    A recipe that needs a package which is not installed keeps its recorded costs.

    Args:
        root: Folder of ``configs/``.
        recipes: From ``find_recipes``.

    Returns:
        Facts by method and name, and one sentence for each recipe that does not build.
    """
    import mmma.models  # noqa: F401  a broken installation fails here, not below
    from mmma.hub.cost import model_cost
    from mmma.hub.metafiles import config_facts, cost_facts

    facts: dict[str, dict[str, Facts]] = {}
    problems = []
    for recipe in recipes:
        try:
            cfg = _load(root / recipe.leaves[0])
            found = config_facts(recipe, cfg)
            facts.setdefault(recipe.method, {})[recipe.name] = found
            found.metadata.update(cost_facts(model_cost(cfg)))
        except ImportError as error:
            print(f'{recipe.name}: costs not recomputed: {error}', file=sys.stderr)
        except Exception as error:  # one bad recipe must not hide the others
            problems.append(f'{recipe.leaves[0]}: {type(error).__name__}: {error}')
    return facts, problems


def rows(metafiles: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """One line per model: name, parameters, multiply-adds, input; unknown is –."""
    for data in metafiles.values():
        for entry in data['Models']:
            known = entry.get('Metadata', {})
            params, flops = known.get('Parameters'), known.get('FLOPs')
            millions = f'{params / 1e6:.2f}' if params else '–'
            digits = 2 if flops and flops > 1e8 else 4
            giga = f'{flops / 1e9:.{digits}f}' if flops else '–'
            size = known.get('Input', '–')
            yield f'{entry["Name"]:<26}{millions:>11}{giga:>9}  {size}'


def outdated(
    root: Path,
    old: Mapping[str, Mapping[str, Any]],
    new: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """Say which files are not as they would be written, and where.

    Args:
        root: Folder of ``configs/``.
        old: Metafiles as they are.
        new: Metafiles as they should be.
    """
    from mmma.hub.metafiles import differences

    found = []
    for path, (method, text) in _files(root, new).items():
        if path.is_file() and path.read_text(encoding='utf-8') == text:
            continue
        name = path.relative_to(root).as_posix()
        where = list(differences(old[method], new[method])) if method else []
        found += [f'{name}: {line}' for line in where or ['not as it is written']]
    if found:
        found.append('Run tools/build_model_zoo.py to update them.')
    return found


def write(root: Path, metafiles: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the metafiles and their index."""
    for path, (_, text) in _files(root, metafiles).items():
        path.write_text(text, encoding='utf-8')


def _files(
    root: Path, metafiles: Mapping[str, Mapping[str, Any]]
) -> dict[Path, tuple[str, str]]:
    """Method (empty for the index) and text of every file that is generated."""
    from mmma.hub.metafiles import INDEX, index_text, metafile_path, metafile_text

    files = {
        metafile_path(root, method): (method, metafile_text(data))
        for method, data in metafiles.items()
    }
    return {**files, root / INDEX: ('', index_text(metafiles))}


def _load(path: Path) -> Any:
    from mmengine.config import Config

    from mmma.protocols import make_protocol, write_protocol

    cfg = Config.fromfile(path)
    write_protocol(cfg, make_protocol(cfg.protocol))
    return cfg
