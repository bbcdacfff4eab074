"""Metafiles: what the zoo says of each recipe, in OpenMMLab's format.

``configs/metafiles/{method}.yml`` has one collection and one model per recipe. People
write the facts of a method (paper, licences, architecture, measured results); what a
config tells (files, input, parameters, multiply-adds, starting weights) is computed.
``model-index.yml`` beside ``configs/`` lists the files, so that MMEngine, MIM and
``model-index`` read them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mmma.protocols import PROTOCOLS
from mmma.taxonomy import suggest

INDEX = 'model-index.yml'
_FOLDER = 'configs/metafiles'
_LEAVES = 'configs/recog'
_HEAD = """\
# By hand: the collection, Architecture, Training Resources, License, Results, Weights.
# The rest is computed by tools/build_model_zoo.py. FLOPs are fused multiply-adds of one
# view of one clip; Input is what the network takes for it.
"""
_ENTRY_KEYS = (
    'Name',
    'In Collection',
    'Config',
    'Configs',
    'Modality',
    'Metadata',
    'Paper',
    'License',
    'Results',
    'Weights',
)
_METADATA_KEYS = (
    'Architecture',
    'Input',
    'Parameters',
    'Trainable Parameters',
    'FLOPs',
    'Pretrained',
    'Pretrained Weights',
    'Training Data',
    'Training Resources',
)


@dataclass(frozen=True)
class Recipe:
    """One recipe and its leaves.

    Attributes:
        name: As of its leaves, without the protocol: ``videomae-s_mma82``.
        leaves: Config files, relative to the root, in the order of the protocols.
    """

    name: str
    leaves: tuple[str, ...]

    @property
    def method(self) -> str:
        """Name of its metafile: ``videomae`` for ``videomae-s_mma82``."""
        return self.name.partition('_')[0].partition('-')[0]


@dataclass
class Facts:
    """What is computed of a recipe.

    Attributes:
        architecture: Class of the backbone, for an entry that says no better.
        entry: Keys of the entry, but for ``Metadata``.
        metadata: Keys of ``Metadata``; None is for a key that must not be there.
    """

    architecture: str
    entry: dict[str, Any]
    metadata: dict[str, Any]


def find_recipes(root: Path) -> list[Recipe]:
    """Recipes that have leaves, sorted by name.

    Args:
        root: Folder of ``configs/``.
    """
    leaves: dict[str, dict[str, str]] = {}
    for path in sorted((root / _LEAVES).glob('*.py')):
        name, _, protocol = path.stem.rpartition('_')
        leaves.setdefault(name, {})[protocol] = path.relative_to(root).as_posix()
    return [
        Recipe(name, tuple(found[p] for p in PROTOCOLS if p in found))
        for name, found in sorted(leaves.items())
        if set(found) & set(PROTOCOLS)
    ]


def metafile_path(root: Path, method: str) -> Path:
    """Where the metafile of a method lies."""
    return root / _FOLDER / f'{method}.yml'


def read_metafiles(root: Path) -> dict[str, dict[str, Any]]:
    """Contents of every metafile by method, sorted.

    Args:
        root: Folder of ``configs/``.

    Raises:
        ValueError: A file is no YAML, has not exactly one collection, or has a model
            without a name or twice.
    """
    found = {}
    for path in sorted((root / _FOLDER).glob('*.yml')):
        try:
            data = yaml.safe_load(path.read_text(encoding='utf-8'))
        except yaml.YAMLError as error:
            raise ValueError(f'{path} is no YAML: {error}') from None
        _check(path, data)
        found[path.stem] = data
    return found


def unlisted(
    recipes: Iterable[Recipe], metafiles: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Recipes that lack a metafile, and entries that lack their config.

    Args:
        recipes: From :func:`find_recipes`.
        metafiles: From :func:`read_metafiles`.

    Returns:
        One sentence for each.
    """
    by_name = {recipe.name: recipe for recipe in recipes}
    problems = [
        f'{recipe.leaves[0]}: there is no {_FOLDER}/{recipe.method}.yml. Write one '
        f'with a collection.{suggest(recipe.method, list(metafiles))}'
        for recipe in by_name.values()
        if recipe.method not in metafiles
    ]
    for method, data in metafiles.items():
        for name in (entry['Name'] for entry in data.get('Models') or []):
            if name not in by_name or by_name[name].method != method:
                problems.append(
                    f'{_FOLDER}/{method}.yml: {name} has no config '
                    f'{_LEAVES}/{name}_*.py of this method. Remove or rename it.'
                    f'{suggest(name, list(by_name))}'
                )
    return problems


def config_facts(recipe: Recipe, cfg: Mapping[str, Any]) -> Facts:
    """What a recipe's config says as it is written.

    Args:
        recipe: The recipe.
        cfg: Its resolved config.
    """
    pose = cfg['test_dataloader']['dataset'].get('modality') == 'Pose'
    pretrained = cfg.get('pretrained') or {}
    space = cfg['label_space']
    return Facts(
        architecture=cfg['model']['backbone']['type'],
        entry={
            'Config': recipe.leaves[0],
            'Configs': list(recipe.leaves),
            'Modality': 'Pose' if pose else 'RGB',
        },
        metadata={
            'Pretrained': pretrained.get('data'),
            'Pretrained Weights': pretrained.get('url'),
            'Training Data': f'{space[:-2].upper()}-{space[-2:]}',
        },
    )


def cost_facts(cost: Any) -> dict[str, Any]:
    """What ``Metadata`` takes from a ``mmma.hub.cost.ModelCost``."""
    frozen = cost.trainable_params < cost.params
    return {
        'Input': 'x'.join(map(str, cost.input_shape)),
        'Parameters': cost.params,
        'Trainable Parameters': cost.trainable_params if frozen else None,
        'FLOPs': cost.flops,
    }


def refresh(data: Mapping[str, Any], facts: Mapping[str, Facts]) -> dict[str, Any]:
    """A metafile with its computed fields set, and entries of new recipes added.

    Args:
        data: Contents of a metafile.
        facts: Of the method's recipes, by name.

    Returns:
        New contents; what people wrote stays, models are sorted by name.
    """
    collection = data['Collections'][0]['Name']
    entries = {entry['Name']: dict(entry) for entry in data.get('Models') or []}
    for name, found in facts.items():
        entry = entries.setdefault(name, {'Name': name})
        metadata = {
            'Architecture': found.architecture,
            **(entry.get('Metadata') or {}),
            **found.metadata,
        }
        metadata = {k: v for k, v in metadata.items() if v is not None}
        entry.update({'In Collection': collection, **found.entry, 'Metadata': metadata})
    return {**data, 'Models': [entries[name] for name in sorted(entries)]}


def metafile_text(data: Mapping[str, Any]) -> str:
    """A metafile as text; the same contents, the same bytes."""
    models = []
    for entry in data.get('Models') or []:
        metadata = _ordered(entry.get('Metadata') or {}, _METADATA_KEYS)
        models.append(_ordered({**entry, 'Metadata': metadata}, _ENTRY_KEYS))
    return _HEAD + _dump({**data, 'Models': models})


def index_text(methods: Iterable[str]) -> str:
    """``model-index.yml`` for these methods."""
    return _dump({'Import': [f'{_FOLDER}/{method}.yml' for method in sorted(methods)]})


def differences(old: Any, new: Any, where: str = '') -> Iterator[str]:
    """Say where two contents differ.

    Args:
        old: As written.
        new: As computed.
        where: Key that leads there.

    Yields:
        ``Models.videomae_mma82.Metadata.FLOPs is 1, should be 2``; models go by name.
    """
    old, new = _by_name(old), _by_name(new)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*new, *(k for k in old if k not in new)]:
            path = f'{where}.{key}' if where else str(key)
            yield from differences(old.get(key), new.get(key), path)
    elif old is None and isinstance(new, Mapping):
        yield f'{where} is missing'
    elif old != new:
        yield f'{where} is {old!r}, should be {new!r}'


def _by_name(value: Any) -> Any:
    return {v['Name']: v for v in value} if _all_named(value) else value


def _all_named(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(v, Mapping) and 'Name' in v for v in value
    )


def _check(path: Path, data: Any) -> None:
    collections = data.get('Collections') if isinstance(data, Mapping) else None
    if not _all_named(collections) or len(collections) != 1:
        raise ValueError(f'{path}: give one item in Collections, with a Name.')
    models = data.get('Models') or []
    if not _all_named(models):
        raise ValueError(f'{path}: Models must be a list of items with a Name.')
    names = [entry['Name'] for entry in models]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f'{path}: {name} is there {names.count(name)} times.')


def _ordered(entry: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {**{key: entry[key] for key in keys if key in entry}, **entry}


def _dump(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=88)
