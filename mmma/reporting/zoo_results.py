"""Our own weights in the zoo with their results, each checked against the other.

A number of ours is shown only if its results file was measured with the very file that
is published: its hash is the entry's, and the file's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from mmma.evaluation.form import audit_results
from mmma.hub.metafiles import metafile_entry
from mmma.hub.publish import SIMULATED
from mmma.hub.published import ZooFolder
from mmma.hub.zoo import is_checkpoint, with_entry
from mmma.reporting.paper import Row, paper_tables
from mmma.reporting.results import Results, read_named


@dataclass(frozen=True)
class Checkpoint:
    """Our own weights, with what was measured with them.

    Attributes:
        entry: Of the metafile.
        measured: Its results, ``results.json`` first; files relative to the root.
    """

    entry: Mapping[str, Any]
    measured: tuple[Results, ...]

    @property
    def name(self) -> str:
        """Name as in the metafile."""
        return str(self.entry['Name'])

    @property
    def task(self) -> str:
        """``rec`` or ``det``."""
        return str(self.measured[0]['task'])

    @property
    def simulated(self) -> bool:
        """True if it was trained, and so measured, on simulated data."""
        return bool(self.entry['Metadata']['Simulated'])

    def rows(self) -> list[Row]:
        """Measured rows in the order of the paper's tables.

        Raises:
            ValueError: Its results were not measured alike.
        """
        tables = paper_tables(self.measured, published=False, level='action')
        return [row for table in tables for row in table.rows]


@dataclass(frozen=True)
class Method:
    """One metafile: its recipes are entries without weights, its checkpoints ours."""

    name: str
    collection: Mapping[str, Any]
    recipes: tuple[Mapping[str, Any], ...]
    checkpoints: tuple[Checkpoint, ...] = ()

    def weights_of(self, recipe: Mapping[str, Any]) -> list[Checkpoint]:
        """Our weights of a recipe."""
        leaves = recipe['Configs']
        return [c for c in self.checkpoints if c.entry['Config'] in leaves]


def read_zoo(
    root: Path, metafiles: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], list[Method], list[str]]:
    """Read the results of our own weights, and compute the fields of their entries.

    Returns:
        The metafiles, the methods, and one sentence for each entry that is refused.
    """
    found, methods, problems = dict(metafiles), [], []
    for method, data in metafiles.items():
        own = []
        for entry in filter(is_checkpoint, data.get('Models') or ()):
            weights = root / entry['Weights']
            model = ZooFolder(weights.parent, weights)
            try:
                read = read_zoo_checkpoint(model, entry)
                fields = metafile_entry(model, entry['Config'], data)
            except (ValueError, FileNotFoundError) as error:
                problems.append(f'configs/metafiles/{method}.yml: {error}')
                continue
            found[method] = with_entry(found[method], fields)
            own.append(replace(read, entry=fields))
        models = found[method].get('Models') or ()
        recipes = tuple(entry for entry in models if not is_checkpoint(entry))
        own.sort(key=lambda c: c.name)
        methods.append(Method(method, data['Collections'][0], recipes, tuple(own)))
    return found, methods, problems


def read_studies(root: Path) -> list[Results]:
    """Results of emotions in ``zoo/emotion_*/``, which have no weights, audited."""
    found = read_named([*map(str, sorted(root.glob('zoo/emotion_*/results*.json')))])
    for results in found:
        audit_results(results, str(results['files'][0]))
    return found


def read_zoo_checkpoint(model: ZooFolder, entry: Mapping[str, Any]) -> Checkpoint:
    """Read the results of our own weights, and check that they are theirs.

    Raises:
        FileNotFoundError: Weights, or a file that belongs beside them, are missing.
        ValueError: A hash, a protocol or ``Simulated`` differs between entry, weights
            and results, or the results contradict themselves.
    """
    name, simulated = entry['Name'], (entry.get('Metadata') or {}).get('Simulated')
    if not isinstance(simulated, bool) or name.endswith(SIMULATED) is not simulated:
        raise ValueError(
            f'{name}: Metadata.Simulated is {simulated!r}. Write true or false; names '
            f'of weights trained on simulated data, and no others, end in {SIMULATED}.'
        )
    where, wanted = entry['Weights'], str(entry.get('Weights SHA256') or '')
    expected = f'zoo/{name}/{name}-{wanted[:8]}.safetensors'
    if len(wanted) != 64 or where != expected:
        raise ValueError(
            f'{name}: Weights {where} with SHA-256 {wanted or "unknown"}: weights of '
            f'this hash are called {expected}, and the whole hash is needed.'
        )
    for file in (model.weights.name, model.config.name, 'train.log', 'results.json'):
        if not (model.path / file).is_file():
            text = f'{name}: there is no zoo/{name}/{file}. Publish the weights again'
            raise FileNotFoundError(f'{text}, or remove the entry.')
    if model.sha256 != wanted:
        raise ValueError(
            f'{where} has SHA-256 {model.sha256}, the entry of {name} says {wanted}. '
            'Publish the weights again.'
        )
    measured = {f'zoo/{name}/{file}': r for file, r in model.results().items()}
    for path, results in measured.items():
        _check_belongs(entry, results, path)
        audit_results(results, path)
    path, results = next(iter(measured.items()))
    protocol, told = results['protocol']['name'], entry['Metadata'].get('Protocol')
    if protocol != told:
        raise ValueError(f'{path} is of protocol {protocol}, the entry says {told}.')
    named = {'name': name}
    told = ({**r, **named, 'files': [PurePosixPath(p)]} for p, r in measured.items())
    return Checkpoint(entry, tuple(told))


def _check_belongs(
    entry: Mapping[str, Any], results: Mapping[str, Any], where: str
) -> None:
    """Results are of these weights, on data of their kind, in full."""
    wanted, found = entry['Weights SHA256'], results['checkpoint'].get('sha256')
    if found != wanted:
        raise ValueError(
            f'{where} was measured with weights of SHA-256 {found}, the entry of '
            f'{entry["Name"]} is of {wanted}. Test the published file.'
        )
    simulated = entry['Metadata']['Simulated']
    for part in ('checkpoint', 'data'):
        if (kind := bool(results[part].get('simulated'))) != simulated:
            raise ValueError(
                f'{where}: {part}.simulated is {kind}, Simulated of the entry of '
                f'{entry["Name"]} is {simulated}. Numbers of real and of simulated '
                'data must not mix.'
            )
    if task_of(entry) != results['task']:
        raise ValueError(
            f'{where} is of task {results["task"]!r}, {entry["Config"]} is not.'
        )
    adapted = results['protocol']['name'] == 'adapt'
    if adapted or results['options'].get('fast_dev_run') or results.get('broken'):
        raise ValueError(
            f'{where} is not over all clips or videos, or of adapted weights: test '
            'again without --fast-dev-run, --skip-broken and --protocol adapt.'
        )


def task_of(recipe: Mapping[str, Any]) -> str:
    """``rec`` or ``det``, of an entry of a metafile."""
    return 'det' if recipe['Config'].startswith('configs/det/') else 'rec'
