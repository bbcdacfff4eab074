"""The index of the zoo: metafiles, entries, and models found by name.

``configs/metafiles/{method}.yml``, in OpenMMLab's format, has one collection, one model
per recipe and one per file of our own weights. People write the facts of a method
(paper, licences, architecture, input); what a config tells (files, parameters,
multiply-adds, starting weights) and what was measured is computed. ``model-index.yml``
lists the files, so that MMEngine, MIM and ``model-index`` read them too.

An entry with ``Weights`` is ours, trained and measured here; what a recipe's
``Pretrained Weights`` name is upstream's. Nothing here loads PyTorch.
"""

import difflib
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from mmma import __version__
from mmma.checkpoints import RemoteFile, cache_folder, fetch_file, fetch_url
from mmma.checkpoints.download import BAD, check_name, file_name, hash_in_name
from mmma.checkpoints.files import last_checkpoint, mismatch
from mmma.config import config_folders
from mmma.evaluation.form import check_value
from mmma.files import read_text
from mmma.foreign import first_line, has_controls, naming
from mmma.protocols import PROTOCOLS
from mmma.taxonomy import own_table, suggest

INDEX = 'model-index.yml'
_ALIKE = 0.7
_ODD_YAML = ValueError, LookupError, TypeError, AttributeError, RecursionError
_LISTED = ('name', 'kind', 'task', 'modality', 'size', 'sha256', 'config', 'simulated')
_SUFFIXES = ('.pth', '.pt', '.ckpt', '.bin', '.safetensors')
_FOLDER = 'configs/metafiles'
_LEAVES = 'configs/recog'
_DETECTORS, _EMOTIONS = 'configs/det', 'configs/emotion'
_TASKS = {_DETECTORS: 'det', _EMOTIONS: 'emotion'}
_WORDS = own_table('pages')['metafile']
_ENTRY = own_table('forms')['metafile']


def method_of(recipe: str) -> str:
    """Name of a recipe's metafile: ``videomae`` for ``videomae-s_mma82``."""
    return recipe.partition('_')[0].partition('-')[0]


def find_recipes(root: Path) -> dict[str, tuple[str, ...]]:
    """Recipes of recognition and detection of a checkout, sorted, with their leaves.

    ``videomae-s_mma82`` to files relative to the root, by protocol, emotions last.
    """
    recipes: dict[str, tuple[str, ...]] = {}
    for protocol in PROTOCOLS:
        for path in (root / _LEAVES).glob(f'*_{protocol}.py'):
            name, leaf = path.stem.rpartition('_')[0], f'{_LEAVES}/{path.name}'
            recipes[name] = (*recipes.get(name, ()), leaf)
    for path in (root / _DETECTORS).glob('*.py'):
        recipes[path.stem] = (f'{_DETECTORS}/{path.name}',)
    for path in (root / _EMOTIONS).glob('*.py'):
        if path.stem in recipes:
            recipes[path.stem] += (f'{_EMOTIONS}/{path.name}',)
    return dict(sorted(recipes.items()))


def metafile_path(root: Path, method: str) -> Path:
    """Path of the metafile of a method."""
    return root / _FOLDER / f'{method}.yml'


def read_metafiles(root: Path) -> dict[str, dict[str, Any]]:
    """Contents of every metafile by method; ValueError where one is malformed."""
    found = {p.stem: read_yaml(p) for p in sorted((root / _FOLDER).glob('*.yml'))}
    for method, data in found.items():
        _check(metafile_path(root, method), data)
    return found


def read_yaml(path: Path) -> Any:
    """Content of a YAML file of plain values."""
    try:
        return yaml.safe_load(read_text(path))
    except (yaml.YAMLError, *_ODD_YAML) as error:
        raise ValueError(f'{path} is no YAML: {first_line(error)}') from None


def is_checkpoint(entry: Mapping[str, Any]) -> bool:
    """True for trained weights of ours; the other entries are recipes."""
    return bool(entry.get('Weights'))


def with_entry(data: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """A metafile with an entry added or replaced, of one kind, else ValueError."""
    models = {known['Name']: known for known in data.get('Models') or []}
    name = entry['Name']
    if name in models and is_checkpoint(models[name]) != is_checkpoint(entry):
        told = f'{name} is there already, and one of the two is a recipe'
        raise ValueError(f'{told}, the other weights. Give the weights another name.')
    models[name] = {**entry, 'In Collection': data['Collections'][0]['Name']}
    return {**data, 'Models': [models[name] for name in sorted(models)]}


def unlisted(
    recipes: Mapping[str, Sequence[str]], metafiles: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Sentences on recipes without a metafile, and on entries without their config."""
    problems = [
        f'{leaves[0]}: there is no {_FOLDER}/{method_of(name)}.yml. Write one with a '
        f'collection.{suggest(method_of(name), list(metafiles))}'
        for name, leaves in recipes.items()
        if method_of(name) not in metafiles
    ]
    for method, data in metafiles.items():
        own = {n: leaves for n, leaves in recipes.items() if method_of(n) == method}
        configs = [leaf for leaves in own.values() for leaf in leaves]
        for entry in data.get('Models') or []:
            name, config = entry['Name'], str(entry.get('Config'))
            if is_checkpoint(entry) and config not in configs:
                fault = f'Config {config}, which is no config of this method. Correct'
                hint = f'or remove it.{suggest(config, configs)}'
            elif not is_checkpoint(entry) and name not in own:
                fault = f'no config {_LEAVES}/{name}_*.py of this method. Remove'
                hint = f'or rename it.{suggest(name, list(recipes))}'
            else:
                continue
            problems.append(f'{_FOLDER}/{method}.yml: {name} has {fault} {hint}')
    return problems


def display_name(space: str) -> str:
    """``MMA-82`` for ``mma82``."""
    return re.sub(r'^(m+a)(\d+)$', lambda m: f'{m[1].upper()}-{m[2]}', space)


def modality(cfg: Mapping[str, Any]) -> str:
    """``RGB``, ``Pose``, both with a ``+``, or ``Feature``, as a model sees clips."""
    return str(cfg['test_dataloader']['dataset'].get('modality', 'RGB'))


def metafile_text(data: Mapping[str, Any]) -> str:
    """A metafile as text; the same contents, the same bytes."""
    models = []
    for entry in data.get('Models') or []:
        metadata = _ordered(entry.get('Metadata') or {}, _WORDS['metadata'])
        models.append(_ordered({**entry, 'Metadata': metadata}, _WORDS['entry']))
    return '\n'.join(_WORDS['head']) + _dump({**data, 'Models': models})


def index_text(methods: Iterable[str]) -> str:
    """``model-index.yml`` for these methods."""
    return _dump({'Import': [f'{_FOLDER}/{method}.yml' for method in sorted(methods)]})


def differences(old: Any, new: Any, where: str = '') -> Iterator[str]:
    """Say where contents differ: ``Models.videomae_mma82.Config is 1, should be 2``.

    Models go by name, results by data set.
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
        isinstance(v, Mapping) and not has_controls(v.get(key)) for v in value
    )


def _check(path: Path, data: Any) -> None:
    collections = data.get('Collections') if isinstance(data, Mapping) else None
    if not _all_named(collections) or len(collections) != 1:
        raise ValueError(f'{path}: give one item in Collections, with a Name.')
    models = data.get('Models') or []
    if not _all_named(models):
        raise ValueError(f'{path}: Models must be a list of items with a Name.')
    with naming(path):
        for entry in models:
            check_value(entry, _ENTRY, entry['Name'])
    for name, count in Counter(entry['Name'] for entry in models).items():
        if count > 1:
            raise ValueError(f'{path}: {name} is there {count} times.')


def _ordered(entry: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {**{key: entry[key] for key in keys if key in entry}, **entry}


def _dump(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=88)


@dataclass(frozen=True)
class ZooModel:
    """One file of weights.

    Attributes:
        kind: ``ours``, or ``upstream`` for what recipes start from.
        task: ``rec``, ``det`` or ``emotion``, of the recipe.
        sha256: Its SHA-256 in hex, or how that starts; None, as others, is unknown.
        size: In bytes.
        config: The config that it is tested with, or the first that starts from it.
        simulated, data: What it was trained on.
        configs: All configs that it belongs to, one per recipe.
        parameters: Of the recipe.
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
    parameters: int | None = None
    data: str | None = None
    license: str | None = None
    local: Path | None = field(default=None, repr=False)

    def remote(self) -> RemoteFile:
        """The file to fetch."""
        own = self.local is not None
        name = self.local.name if own else file_name(self.url)
        folder = self.name if own else ''
        return RemoteFile(name, self.url, self.sha256 or '', self.size, folder)

    def listed(self) -> dict[str, Any]:
        """Facts of ``download.py --list --json``; of two modalities the first."""
        told = {key: getattr(self, key) for key in _LISTED}
        return {**told, 'modality': self.modality.partition('+')[0]}


def list_models(root: Path | None = None) -> list[ZooModel]:
    """All models, ours first, each kind by name.

    ``root`` is the folder of ``configs/``; by default the checkout's or the package's.

    A metafile that is malformed, or two files of one name, raise ValueError.
    """
    if root is None:
        if not config_folders():
            raise FileNotFoundError('no configs found: install mmma again.')
        root = config_folders()[0].parent
    found: dict[str, ZooModel] = {}
    for method, data in read_metafiles(root).items():
        with naming(metafile_path(root, method)):
            for entry in data.get('Models') or ():
                if model := _model_of(root, data['Collections'][0], entry):
                    known = found.get(model.name)
                    found[model.name] = _merged(known, model) if known else model
    return sorted(found.values(), key=lambda m: (m.kind, m.name))


def no_model(name: str, models: Sequence[ZooModel]) -> str:
    """Sentence on a name that no model has, with those that are near it."""
    wanted = name.lower()
    near = [m.name for m in models if wanted in m.name.lower()]
    # Recipes that start from a model.
    near += [m.name for m in models if any(wanted in str(c) for c in m.configs)]
    # Names are long: how they start is what people remember.
    alike = difflib.SequenceMatcher(None, wanted)
    for model in models:
        alike.set_seq2(model.name.lower()[: len(wanted)])
        near += [model.name] if alike.ratio() > _ALIKE else []
    hint = f' Near: {", ".join([*dict.fromkeys(near)][:3])}.' if near else ''
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


def _model_of(
    root: Path, collection: Mapping[str, Any], entry: Mapping[str, Any]
) -> ZooModel | None:
    """Weights of an entry: ours, or those that a recipe starts from."""
    known, config = entry.get('Metadata') or {}, entry.get('Config')
    ours = is_checkpoint(entry)
    told, what = (entry, 'Weights') if ours else (known, 'Pretrained Weights')
    url = str(told.get(what) or '')
    if not url:
        return None
    file = PurePosixPath(url).name if ours else file_name(url)
    for part in (entry['Name'], *PurePosixPath(url).parts) if ours else (file,):
        check_name(str(part), f'the metafile entry {entry["Name"]}')
    local = root / url if ours else None
    if ours:  # as of this release; none where the package names no repository
        url = (site := repository_url()) and f'{site}/raw/v{__version__}/{url}'
    tasks = [item.get('Task') for item in entry.get('Results') or []]
    of_leaf = _TASKS.get(str(PurePosixPath(str(config)).parent), 'rec')
    terms = entry.get('License') or collection.get('License') or {}
    terms = terms.get(what) if isinstance(terms, Mapping) else terms
    return ZooModel(
        name=str(entry['Name']) if ours else file.rpartition('.')[0] or file,
        kind='ours' if ours else 'upstream',
        task='det' if 'Temporal Action Detection' in tasks else of_leaf,
        modality=entry.get('Modality') or 'RGB',
        url=url,
        sha256=str(told.get(f'{what} SHA256') or hash_in_name(file)) or None,
        size=told.get(f'{what} Size'),
        config=config,
        simulated=ours and bool(known.get('Simulated')),
        configs=(config,) if config else (),
        parameters=known.get('Parameters'),
        data=known.get('Training Data' if ours else 'Pretrained'),
        license=str(terms) if terms and terms != '–' else None,
        local=local,
    )


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


def checkpoint_path(ckpt: str, offline: bool = False) -> Path:
    """The file that a CKPT argument means: a path, a URL, or a name in the zoo.

    A file of that name comes first. A work dir means the checkpoint of
    :func:`trained_in`. ``offline`` is as of :func:`mmma.checkpoints.fetch_file`.

    No such file: FileNotFoundError. No such name, or another hash: ValueError.
    """
    path = Path(ckpt).expanduser()
    if path.is_file():
        return path
    if '://' in ckpt:
        return fetch_url(ckpt, offline)
    plain = len(path.parts) == 1 and path.suffix not in _SUFFIXES and '\\' not in ckpt
    models = {model.name: model for model in list_models()} if plain else {}
    if ckpt in models:
        return fetch_model(models[ckpt], offline=offline)
    if path.is_dir():
        return trained_in(path)
    if not plain:
        raise FileNotFoundError(f'checkpoint {path}: no such file.')
    unknown = no_model(ckpt, list(models.values()))
    raise ValueError(f'checkpoint {ckpt}: no such file, and {unknown}')


def trained_in(work_dir: Path) -> Path:
    """The best checkpoint of a work dir, else its last; FileNotFoundError: none."""
    best = sorted(work_dir.glob('best_*.pth'), key=lambda p: p.stat().st_mtime)
    if len(best) == 1:
        return best[0]
    found = best[-1] if best else last_checkpoint(work_dir)
    if not found:
        raise FileNotFoundError(
            f'{work_dir} holds no checkpoint (best_*.pth, epoch_*.pth or iter_*.pth): '
            'give the work dir of tools/train.py, or name a file.'
        )
    last = Path(found)
    why = f'newest of {len(best)}' if best else 'last, for there is no best_*.pth'
    print(f'{work_dir}: {last.name} is taken, the {why}', file=sys.stderr)
    return last


def fetch_model(
    model: ZooModel, folder: Path | None = None, offline: bool = False
) -> Path:
    """The file of a model, checked.

    Without a destination what the checkout or the cache has is used as it lies.
    """
    file = model.remote()
    near = [model.local] if model.local and model.local.is_file() else []
    if folder is None and near:
        found, here = near[0], Path.cwd()
        if not mismatch(found, file.sha256, file.size):
            # Results may record it, so it names no folder of this machine if it can.
            return found.relative_to(here) if found.is_relative_to(here) else found
    cached = cache_folder() / file.name
    if folder and cached.is_file() and folder.resolve() != cached.parent.resolve():
        near.append(cached)
    return fetch_file(file, folder, near=near, offline=offline)


def verify_folder(
    folder: Path, models: Sequence[ZooModel]
) -> Iterator[tuple[Path, str, str]]:
    """Files below a folder that is there: ``ok``, ``damaged`` or ``unknown``; why."""
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: no such folder to verify.')
    known = {file.name: file for file in (model.remote() for model in models)}
    for path in sorted(p for p in folder.rglob('*') if p.is_file()):
        file = known.get(path.name)
        if path.name.endswith(('.lock', '.part.json')):
            continue
        if path.name.endswith(BAD):
            yield path, 'damaged', 'put aside, never used: delete it'
        elif path.suffix == '.part':
            yield path, 'unknown', 'a download that was interrupted'
        elif file is None:
            yield path, 'unknown', 'not in the index'
        elif wrong := mismatch(path, file.sha256, file.size):
            yield path, 'damaged', wrong
        elif not file.sha256:
            yield path, 'unknown', 'the index has no hash of it'
        else:
            yield path, 'ok', ''
