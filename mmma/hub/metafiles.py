"""Metafiles: what the zoo says of each recipe, in OpenMMLab's format.

``configs/metafiles/{method}.yml`` has one collection, one model per recipe and one per
file of our own weights. People write the facts of a method (paper, licences,
architecture); what a config tells (files, input, parameters, multiply-adds, starting
weights) and what was measured is computed.
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
_DETECTORS = 'configs/det'
_HEAD = """\
# By hand: the collection, Architecture, Training Resources, License. Entries with
# Weights come from tools/publish_model.py. The rest is computed by
# tools/build_model_zoo.py. FLOPs are fused multiply-adds of one view of one clip, of a
# detector of one window; Input is what the network takes for it.
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
    'Weights SHA256',
    'Weights Size',
)
_METADATA_KEYS = (
    'Architecture',
    'Input',
    'Window Seconds',
    'Parameters',
    'Trainable Parameters',
    'FLOPs',
    'Pretrained',
    'Pretrained Weights',
    'Pretrained Weights SHA256',
    'Pretrained Weights Size',
    'Training Data',
    'Simulated',
    'Protocol',
    'Epochs',
    'Precision',
    'Training Resources',
)


@dataclass(frozen=True)
class Recipe:
    """One recipe and its leaves.

    Attributes:
        name: As of its leaves, without the protocol: ``videomae-s_mma82``.
        leaves: Config files, relative to the root, in the order of the protocols; of a
            detector the one file.
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
    """Recipes of recognition and detection that have leaves, sorted by name.

    Args:
        root: Folder of ``configs/``.
    """
    leaves: dict[str, dict[str, str]] = {}
    for path in sorted((root / _LEAVES).glob('*.py')):
        name, _, protocol = path.stem.rpartition('_')
        leaves.setdefault(name, {})[protocol] = path.relative_to(root).as_posix()
    recipes = [
        Recipe(name, tuple(found[p] for p in PROTOCOLS if p in found))
        for name, found in leaves.items()
        if set(found) & set(PROTOCOLS)
    ]
    recipes += [
        Recipe(path.stem, (path.relative_to(root).as_posix(),))
        for path in (root / _DETECTORS).glob('*.py')
    ]
    return sorted(recipes, key=lambda recipe: recipe.name)


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


def is_checkpoint(entry: Mapping[str, Any]) -> bool:
    """Whether an entry is trained weights of ours; the others are recipes."""
    return bool(entry.get('Weights'))


def checkpoint_entries(
    metafiles: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Entries of our own weights, in the order of methods and names.

    Args:
        metafiles: From :func:`read_metafiles`.
    """
    return [
        entry
        for data in metafiles.values()
        for entry in data.get('Models') or []
        if is_checkpoint(entry)
    ]


def with_entry(data: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """A metafile with an entry added, or put in the place of the one of its name.

    Args:
        data: Contents of a metafile.
        entry: A whole entry; its collection is set.

    Returns:
        New contents, models sorted by name.

    Raises:
        ValueError: The name is a recipe's and the entry is weights, or vice versa.
    """
    models = {known['Name']: known for known in data.get('Models') or []}
    name = entry['Name']
    if name in models and is_checkpoint(models[name]) != is_checkpoint(entry):
        raise ValueError(
            f'{name} is there already, and one of the two is a recipe, the other '
            'weights. Give the weights another name.'
        )
    models[name] = {**entry, 'In Collection': data['Collections'][0]['Name']}
    return {**data, 'Models': [models[name] for name in sorted(models)]}


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
        for entry in data.get('Models') or []:
            name = entry['Name']
            if is_checkpoint(entry):
                problems += _without_config(method, entry, by_name.values())
            elif name not in by_name or by_name[name].method != method:
                problems.append(
                    f'{_FOLDER}/{method}.yml: {name} has no config '
                    f'{_LEAVES}/{name}_*.py of this method. Remove or rename it.'
                    f'{suggest(name, list(by_name))}'
                )
    return problems


def _without_config(
    method: str, entry: Mapping[str, Any], recipes: Iterable[Recipe]
) -> Iterator[str]:
    leaves = [leaf for r in recipes if r.method == method for leaf in r.leaves]
    config = str(entry.get('Config'))
    if config not in leaves:
        yield (
            f'{_FOLDER}/{method}.yml: {entry["Name"]} has Config {config}, which is '
            f'no config of this method. Correct or remove it.{suggest(config, leaves)}'
        )


def config_facts(recipe: Recipe, cfg: Mapping[str, Any]) -> Facts:
    """What a recipe's config says as it is written.

    Args:
        recipe: The recipe.
        cfg: Its resolved config.
    """
    pretrained = cfg.get('pretrained') or {}
    space = cfg['label_space']
    model = cfg['model']
    part = model.get('backbone') or model['projection']
    return Facts(
        architecture=part['type'],
        entry={
            'Config': recipe.leaves[0],
            'Configs': list(recipe.leaves),
            'Modality': modality(cfg),
        },
        metadata={
            'Pretrained': pretrained.get('data'),
            'Pretrained Weights': pretrained.get('url'),
            'Pretrained Weights SHA256': pretrained.get('sha8') or None,
            'Pretrained Weights Size': pretrained.get('size'),
            'Training Data': f'{space[:-2].upper()}-{space[-2:]}',
        },
    )


def modality(cfg: Mapping[str, Any]) -> str:
    """``RGB``, ``Pose`` or ``Feature``: what a config's model sees."""
    return str(cfg['test_dataloader']['dataset'].get('modality', 'RGB'))


def cost_facts(cost: Any) -> dict[str, Any]:
    """What ``Metadata`` takes from a ``mmma.hub.cost.ModelCost``."""
    frozen = cost.trainable_params < cost.params
    return {
        'Input': 'x'.join(map(str, cost.input_shape)),
        'Parameters': cost.params,
        'Trainable Parameters': cost.trainable_params if frozen else None,
        'FLOPs': cost.flops,
        'Window Seconds': cost.window_sec and round(cost.window_sec, 2),
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
        ``Models.videomae_mma82.Metadata.FLOPs is 1, should be 2``; models go by name,
        results by data set.
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
    for key in ('Name', 'Dataset'):
        if value and _all_named(value, key):
            named = {v[key]: v for v in value}
            return named if len(named) == len(value) else value
    return value


def _all_named(value: Any, key: str = 'Name') -> bool:
    return isinstance(value, list) and all(
        isinstance(v, Mapping) and key in v for v in value
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
