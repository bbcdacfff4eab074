"""Files of the model zoo: found on this machine, fetched, and checked again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmma.checkpoints import cache_folder, fetch_file, fetch_url
from mmma.checkpoints.fetching import BAD
from mmma.checkpoints.hashing import mismatch
from mmma.hub.index import ZooModel, list_models, no_model

_SUFFIXES = ('.pth', '.pt', '.ckpt', '.bin', '.safetensors')
_OF_DOWNLOADS = ('.lock', '.part.json')


def checkpoint_path(ckpt: str, offline: bool = False) -> Path:
    """The file that a CKPT argument means.

    Args:
        ckpt: A path, a URL, or the name of a model in the zoo. A file of that name
            comes first.
        offline: Never use the network, as ``MMMA_OFFLINE=1`` does everywhere.

    Raises:
        FileNotFoundError: There is no such file, or it cannot be fetched.
        ValueError: The zoo has no such name; what was fetched has another hash.
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
        raise FileNotFoundError(f'checkpoint {path} is a folder: name a file in it.')
    if not plain:
        raise FileNotFoundError(f'checkpoint {path}: no such file.')
    unknown = no_model(ckpt, list(models.values()))
    raise ValueError(f'checkpoint {ckpt}: no such file, and {unknown}')


def fetch_model(
    model: ZooModel, folder: Path | None = None, offline: bool = False
) -> Path:
    """The file of a model, checked.

    Args:
        model: From the index.
        folder: Where to put it; by default what the checkout or the cache has is used
            as it lies.
        offline: Never use the network.

    Raises:
        FileNotFoundError: It is not here and cannot be fetched.
        ValueError: What was fetched is not what was published.
    """
    file = model.remote()
    near = [model.local] if model.local and model.local.is_file() else []
    if folder is None and near:
        wrong = mismatch(near[0], file.sha256, file.size)
        if not wrong:
            return _from_here(near[0])
    cached = cache_folder() / file.name
    if folder and cached.is_file() and not _same(folder, cached.parent):
        near.append(cached)
    return fetch_file(file, folder, near=near, offline=offline)


def _same(folder: Path, other: Path) -> bool:
    return folder.resolve() == other.resolve()


def _from_here(path: Path) -> Path:
    """A path that results may record: not of this machine, where that can be."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


@dataclass(frozen=True)
class Checked:
    """What was found out of a file.

    Attributes:
        path: The file.
        state: ``ok``, ``damaged`` or ``unknown``.
        why: What is wrong, or why nothing can be said.
    """

    path: Path
    state: str
    why: str = ''


def verify_folder(folder: Path, models: Sequence[ZooModel]) -> Iterator[Checked]:
    """Compare every file of a folder, and of those in it, with the index.

    Args:
        folder: Of downloads.
        models: The index.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: no such folder to verify.')
    known = {file.name: file for file in (model.remote() for model in models)}
    for path in sorted(p for p in folder.rglob('*') if p.is_file()):
        file = known.get(path.name)
        if path.name.endswith(_OF_DOWNLOADS):
            continue
        if path.name.endswith(BAD):
            yield Checked(path, 'damaged', 'put aside, never used: delete it')
        elif path.suffix == '.part':
            yield Checked(path, 'unknown', 'a download that was interrupted')
        elif file is None:
            yield Checked(path, 'unknown', 'not in the index')
        elif wrong := mismatch(path, file.sha256, file.size):
            yield Checked(path, 'damaged', wrong)
        elif not file.sha256:
            yield Checked(path, 'unknown', 'the index has no hash of it')
        else:
            yield Checked(path, 'ok')
