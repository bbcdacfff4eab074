"""The index of the model zoo: every file of weights that can be named.

It is read from ``configs/metafiles/*.yml`` of the checkout or of the installed package:
an entry with ``Weights`` is ours, trained and measured here; what a recipe's
``Pretrained Weights`` name is upstream's. Nothing here loads PyTorch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path, PurePosixPath
from typing import Any

from mmma import __version__
from mmma.checkpoints import RemoteFile
from mmma.checkpoints.remote import check_name, file_name, hash_in_name, remote_file
from mmma.config import config_folders
from mmma.hub.metafiles import is_checkpoint, read_metafiles

KINDS = ('ours', 'upstream')
_ALIKE = 0.7
_LISTED = ('name', 'kind', 'task', 'modality', 'size', 'sha256', 'config', 'simulated')


@dataclass(frozen=True)
class ZooModel:
    """One file of weights.

    Attributes:
        name: What commands call it.
        kind: ``ours``, or ``upstream`` for what recipes start from.
        task: ``rec`` or ``det``, of the recipe.
        modality: ``RGB`` or ``Pose``.
        url: Where it comes from; empty where that is not known.
        sha256: Its SHA-256 in hex, or how that starts; None where it is not known.
        size: Its bytes; None where they are not known.
        config: The config that it is tested with, or the first that starts from it.
        simulated: It was trained on simulated data.
        configs: All configs that it belongs to, one per recipe.
        data: What it was trained on.
        license: Of the weights, where known.
        local: Where the checkout has it, or would have it; None for upstream.
    """

    name: str
    kind: str
    task: str
    modality: str
    url: str = ''
    sha256: str | None = None
    size: int | None = None
    config: str | None = None
    simulated: bool = False
    configs: tuple[str, ...] = ()
    data: str | None = None
    license: str | None = None
    local: Path | None = field(default=None, repr=False)

    def remote(self) -> RemoteFile:
        """The file to fetch."""
        if self.local is None:
            return remote_file(self.url, self.sha256 or '', self.size)
        return RemoteFile(
            name=self.local.name,
            url=self.url,
            sha256=self.sha256 or '',
            size=self.size,
            folder=self.name,
        )

    def listed(self) -> dict[str, Any]:
        """What ``download.py --list --json`` says of it."""
        known = asdict(self)
        return {key: known[key] for key in _LISTED}


def list_models(root: Path | None = None) -> list[ZooModel]:
    """All models, ours first, each kind by name.

    Args:
        root: Folder of ``configs/``; by default the checkout's or the package's.

    Raises:
        FileNotFoundError: There are no configs.
        ValueError: A metafile cannot be read, or names no file that could be fetched;
            two files have one name.
    """
    if root is None:
        if not config_folders():
            raise FileNotFoundError('no configs found: install mmma again.')
        root = config_folders()[0].parent
    found: dict[str, ZooModel] = {}
    for collection, entry in _entries(root):
        for model in _models(root, collection, entry):
            known = found.get(model.name)
            found[model.name] = _merged(known, model) if known else model
    return sorted(found.values(), key=lambda m: (KINDS.index(m.kind), m.name))


def find_model(name: str, root: Path | None = None) -> ZooModel:
    """The model of a name.

    Args:
        name: As ``list_models`` has it.
        root: Folder of ``configs/``.

    Raises:
        ValueError: There is none.
    """
    models = {model.name: model for model in list_models(root)}
    if name in models:
        return models[name]
    raise ValueError(no_model(name, list(models.values())))


def no_model(name: str, models: Sequence[ZooModel]) -> str:
    """What to say of a name that no model has, with those that are near it."""
    near = _near(name, models)
    hint = f' Near: {", ".join(near)}.' if near else ''
    return f'no model {name!r} in the zoo.{hint} All names: download.py --list'


def repository_url() -> str:
    """Address of the repository by the package's metadata; empty where it has none."""
    try:
        urls = metadata('mmma').get_all('Project-URL') or []
    except PackageNotFoundError:
        return ''
    pairs = (url.partition(',') for url in urls)
    found = [url.strip() for label, _, url in pairs if label.lower() == 'repository']
    return found[0].rstrip('/') if found else ''


def _entries(root: Path) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Collection and entry of every model in the metafiles."""
    for data in read_metafiles(root).values():
        for entry in data.get('Models') or []:
            yield data['Collections'][0], entry


def _models(
    root: Path, collection: Mapping[str, Any], entry: Mapping[str, Any]
) -> Iterator[ZooModel]:
    known = entry.get('Metadata') or {}
    config = entry.get('Config')
    shared: dict[str, Any] = dict(
        task='det' if _is_detector(entry) else 'rec',
        modality=entry.get('Modality') or 'RGB',
        config=config,
        configs=(config,) if config else (),
    )
    if is_checkpoint(entry):
        name, weights = str(entry['Name']), str(entry['Weights'])
        yield ZooModel(
            name=name,
            kind='ours',
            url=_own_url(name, weights),
            sha256=str(entry.get('Weights SHA256') or hash_in_name(weights)) or None,
            size=entry.get('Weights Size'),
            simulated=bool(known.get('Simulated')),
            data=known.get('Training Data'),
            license=_license(collection, entry, 'Weights'),
            local=root / weights,
            **shared,
        )
    elif url := known.get('Pretrained Weights'):
        file = file_name(url)
        check_name(file, f'the metafile entry {entry["Name"]}')
        sha256 = str(known.get('Pretrained Weights SHA256') or hash_in_name(file))
        yield ZooModel(
            name=file.rpartition('.')[0] or file,
            kind='upstream',
            url=url,
            sha256=sha256 or None,
            size=known.get('Pretrained Weights Size'),
            data=known.get('Pretrained'),
            license=_license(collection, entry, 'Pretrained Weights'),
            **shared,
        )


def _is_detector(entry: Mapping[str, Any]) -> bool:
    tasks = [item.get('Task') for item in entry.get('Results') or []]
    of_leaf = str(entry.get('Config')).startswith('configs/det/')
    return of_leaf or 'Temporal Action Detection' in tasks


def _own_url(name: str, weights: str) -> str:
    """Where the repository has a file of ours, as of this release."""
    source = f'the metafile entry {name}'
    parts = PurePosixPath(weights).parts
    for part in (name, *parts):
        check_name(part, source)
    repository = repository_url()
    return f'{repository}/raw/v{__version__}/{weights}' if repository else ''


def _license(
    collection: Mapping[str, Any], entry: Mapping[str, Any], of: str
) -> str | None:
    found = entry.get('License') or collection.get('License') or {}
    found = found.get(of) if isinstance(found, Mapping) else found
    return str(found) if found and found != '–' else None


def _merged(known: ZooModel, other: ZooModel) -> ZooModel:
    """One model of two recipes that start from it."""
    if known.url != other.url or known.kind != other.kind:
        raise ValueError(
            f'two files of the zoo are called {known.name}: {known.url or known.kind} '
            f'and {other.url or other.kind}. Rename one.'
        )
    if (known.task, other.task) == ('det', 'rec'):  # detectors start from recognizers
        known, other = other, known
    sha256 = max(known.sha256 or '', other.sha256 or '', key=len)
    return replace(
        known,
        sha256=sha256 or None,
        size=known.size or other.size,
        configs=(*known.configs, *(c for c in other.configs if c not in known.configs)),
    )


def _near(name: str, models: Sequence[ZooModel], most: int = 3) -> list[str]:
    """Names like this one, or of models that a recipe of this name starts from."""
    wanted = name.lower()
    near = [m.name for m in models if wanted in m.name.lower()]
    near += [m.name for m in models if any(wanted in str(c) for c in m.configs)]
    for model in models:  # names are long: how they start is what people remember
        start = model.name.lower()[: len(wanted)]
        if difflib.SequenceMatcher(None, wanted, start).ratio() > _ALIKE:
            near.append(model.name)
    return list(dict.fromkeys(near))[:most]
