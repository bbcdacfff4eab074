"""Compute what the model zoo says. Of each recipe: configs, input, parameters,
multiply-adds; of our own weights in zoo/: size and results. Writes
configs/metafiles/*.yml, model-index.yml, model_zoo.md and docs/zoo/*.md; what people
wrote into the metafiles stays. Weights and results that do not belong together are
refused, and then nothing is written. Needs no data and no GPU."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmma.config import config_folders

if TYPE_CHECKING:
    from mmma.reporting.zoo_results import Method

_SHOWN = 10
_WHEEL = '.mim'
_COLUMNS = f'{"recipe":<38}{"params (M)":>11}{"GFLOPs":>9}  input'

ARGUMENTS = """
--check: write nothing; say what is out of date, and exit 1 if anything is"""


def run(args: argparse.Namespace) -> int:
    """Write or compare; print one row per recipe."""
    from mmma.files import only_writer, write_file
    from mmma.hub import zoo
    from mmma.hub.metafiles import measure, refresh
    from mmma.reporting.zoo_pages import PAGES, zoo_pages
    from mmma.reporting.zoo_results import read_studies, read_zoo

    roots = [folder.parent for folder in config_folders()]
    if not roots or roots[0].name == _WHEEL:
        raise FileNotFoundError('no checkout found: run this in a checkout of mmma.')
    root = roots[0]
    folder = zoo.metafile_path(root, '').parent
    with nullcontext() if args.check else only_writer(folder):
        recipes, old = zoo.find_recipes(root), zoo.read_metafiles(root)
        facts, failures = measure(root, recipes, old)
        new = {m: refresh(data, facts.get(m, {})) for m, data in old.items()}
        problems = [*zoo.unlisted(recipes, old), *failures]
        new, methods, refused = read_zoo(root, new)
        _print_costs(methods)
        if refused:
            problems += refused
        else:
            texts = {m: zoo.metafile_text(data) for m, data in new.items()}
            files = {zoo.metafile_path(root, m): text for m, text in texts.items()}
            files[root / zoo.INDEX] = zoo.index_text(new)
            pages = zoo_pages(methods, read_studies(root))
            files |= {root / page: text for page, text in pages.items()}
            if args.check:
                problems += _outdated(root, files, old, new)
            else:
                for path, text in files.items():
                    write_file(path, text)
            problems += [
                f'{PAGES}/{path.name}: there is no such method. Remove it.'
                for path in sorted((root / PAGES).glob('*.md'))
                if path.stem not in new
            ]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _print_costs(methods: Sequence[Method]) -> None:
    """One line per recipe: name, parameters, multiply-adds, input; unknown is –."""
    from mmma.reporting.zoo_pages import billions, millions

    print(_COLUMNS)
    for entry in (recipe for method in methods for recipe in method.recipes):
        known = entry.get('Metadata', {})
        params, flops = millions(known.get('Parameters')), billions(known.get('FLOPs'))
        print(f'{entry["Name"]:<38}{params:>11}{flops:>9}  {known.get("Input", "–")}')


def _outdated(
    root: Path,
    files: Mapping[Path, str],
    old: Mapping[str, Any],
    new: Mapping[str, Any],
) -> list[str]:
    """Files that are not as they would be written, and where they differ."""
    from mmma.hub.zoo import differences, metafile_path
    from mmma.reporting.zoo_pages import text_differences

    methods = {metafile_path(root, method): method for method in new}
    found = []
    for path, text in files.items():
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
    return [*found, 'Run tools/build_model_zoo.py to update them.'] if found else []
