"""One published model: ``zoo/NAME`` with its weights, config, log and results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmma.checkpoints import file_sha256
from mmma.checkpoints.safetensors_files import SUFFIX, read_safetensors_meta
from mmma.hub.plain_config import measured_otherwise, parse_config
from mmma.taxonomy import suggest

MAX_BYTES = 8 << 20
_SCHEMA = 1


@dataclass(frozen=True)
class ZooFolder:
    """A published model on disk.

    Attributes:
        path: ``zoo/NAME``.
        weights: ``NAME-<sha8>.safetensors`` in it.
    """

    path: Path
    weights: Path

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.path.name

    @cached_property
    def sha256(self) -> str:
        """Of the weights file as it is."""
        return file_sha256(self.weights)

    @property
    def relative(self) -> str:
        """Path of the weights beside ``configs/``: ``zoo/NAME/NAME-<sha8>...``."""
        return '/'.join((self.path.parent.name, self.name, self.weights.name))

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What the weights tell of themselves."""
        return read_safetensors_meta(self.weights)

    @cached_property
    def cfg(self) -> dict[str, Any]:
        """The resolved config, read without running it."""
        path = self.path / 'config.py'
        return parse_config(path.read_text(encoding='utf-8'), str(path))

    def results(self) -> dict[str, dict[str, Any]]:
        """Contents of the results files by name, that of the own protocol first."""
        return {p.name: read_results(p) for p in _results_files(self.path)}


def find_published(folder: Path) -> ZooFolder | None:
    """The published model in a folder; None where there is none.

    Raises:
        ValueError: There are several.
    """
    found = sorted(folder.glob(f'{folder.name}-*{SUFFIX}'))
    if len(found) > 1:
        names = ', '.join(path.name for path in found)
        raise ValueError(f'{folder} has several weights ({names}): remove the old.')
    return ZooFolder(folder, found[0]) if found else None


def read_published(source: str | Path, zoo: Path) -> ZooFolder:
    """Find a published model.

    Args:
        source: Its folder, or its name in the zoo.
        zoo: The zoo's folder.

    Raises:
        FileNotFoundError: There is none of that name.
        ValueError: Its folder has several weights.
    """
    for folder in (Path(source), zoo / str(source)):
        found = find_published(folder.resolve()) if folder.is_dir() else None
        if found:
            return found
    known = sorted(p.name for p in zoo.glob('*') if p.is_dir() and find_published(p))
    raise FileNotFoundError(
        f'{source} is neither the work dir of a training run nor a model in {zoo} '
        f'({", ".join(known) or "none yet"}).{suggest(Path(source).name, known)}'
    )


def results_name(results: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """File name of results: ``results.json`` for the protocol that was trained for.

    Args:
        results: Contents of a results file.
        own: ``protocol`` of the published config.
    """
    told = dict(results['protocol'])
    same = {k: v for k, v in told.items() if k != 'seed'} == {
        k: v for k, v in own.items() if k != 'seed'
    }
    if same:
        return 'results.json'
    parts = [told['name']]
    domain, targets = told.get('domain', 'all'), told.get('target', [])
    parts += [domain] if domain != 'all' else []
    parts += targets if len(targets) == 1 else []
    parts += [f'{k}shot' for k in told.get('shots', [])]
    return f'results_{"_".join(parts)}.json'


def read_results(path: Path) -> dict[str, Any]:
    """Read a results file.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is no results file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'no results file {str(path)!r}.')
    try:
        results: dict[str, Any] = json.loads(Path(path).read_text(encoding='utf-8'))
        if results['schema'] == _SCHEMA and results['runs'] and results['checkpoint']:
            return results
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f'{path} is no results file of this version of tools/test.py.')


def check_results(
    results: Mapping[str, Any], model: ZooFolder, reference: Mapping[str, Any]
) -> None:
    """Refuse results that are not of the published file, measured as it says.

    Args:
        results: Contents of a results file.
        model: Whose results they are said to be.
        reference: Config to measure with, resolved for the protocol of the results.

    Raises:
        ValueError: They are of other weights, of another task, of a part of the data,
            or measured with other options.
    """
    found = results['checkpoint'].get('sha256')
    if found != model.sha256:
        raise ValueError(
            f'these results are of {results["checkpoint"].get("path")} (SHA-256 '
            f'{str(found)[:8]}...), not of the published {model.weights.name}. '
            f'Half precision can move a number: test {model.weights}.'
        )
    options = results['options']
    odd = [
        what
        for what, wrong in (
            (f'task {results["task"]}', results['task'] != reference.get('task')),
            (f'subset {options.get("subset")}', options.get('subset') != 'test'),
            ('--fast-dev-run', options.get('fast_dev_run')),
            (f'{len(results.get("broken", []))} left out', results.get('broken')),
        )
        if wrong
    ]
    odd += measured_otherwise(results['config'], reference)
    if odd:
        raise ValueError(
            f'these results of {model.name} are measured in another way than its '
            f'config says ({", ".join(odd[:4])}): test again, without options.'
        )


def problems_of(model: ZooFolder) -> Iterator[str]:
    """What is wrong with a published folder, as sentences."""
    if not model.weights.name.endswith(f'-{model.sha256[:8]}{SUFFIX}'):
        yield (
            f'{model.relative} has SHA-256 {model.sha256[:8]}...: damaged or changed.'
        )
    for key in ('label_space', 'classes', 'data', 'protocol'):
        if key not in model.meta:
            yield f'{model.relative}: its meta lacks {key}. Publish it again.'
    for name in ('config.py', 'train.log'):
        if not (model.path / name).is_file():
            yield f'{model.path / name} is missing. Publish it again.'
    for name, results in model.results().items():
        if results['checkpoint'].get('sha256') != model.sha256:
            yield f'{model.path / name} is of other weights. Test the published ones.'


def large_files(folder: Path) -> list[str]:
    """Files that are too large for a repository, with their sizes."""
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    return [f'{n} ({s / 1e6:.1f} MB)' for n, s in sizes.items() if s > MAX_BYTES]


def _results_files(folder: Path) -> list[Path]:
    """In an order that is the same everywhere: ``results.json`` first."""
    return sorted(
        folder.glob('results*.json'), key=lambda p: (len(p.name) > 12, p.name)
    )
