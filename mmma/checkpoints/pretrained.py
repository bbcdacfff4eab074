"""Pretrained weights: downloaded once, checked each time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def cache_folder() -> Path:
    """Where downloads lie: ``checkpoints`` in ``$MMMA_HOME``, or in ~/.cache/mmma."""
    home = os.environ.get('MMMA_HOME') or Path('~/.cache/mmma').expanduser()
    return Path(home) / 'checkpoints'


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch_pretrained(url: str, sha256: str, folder: str | Path | None = None) -> Path:
    """Download weights once, and check them each time.

    Args:
        url: Where they are.
        sha256: How their SHA-256 starts; empty where it is not known.
        folder: Where to keep them; by default :func:`cache_folder`.

    Returns:
        The local file.

    Raises:
        FileNotFoundError: They are not there and cannot be downloaded.
        ValueError: The file has another hash.
    """
    target = Path(folder or cache_folder()) / _file_name(url)
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            if not target.is_file():  # another process may have been quicker
                _download(url, sha256, target)
    found = file_sha256(target)
    if not found.startswith(sha256):
        raise ValueError(
            f'{target} has SHA-256 {found[:16]}..., expected {sha256}...: damaged, or '
            f'another file. Delete it, and it is downloaded again from {url}.'
        )
    return target


def _file_name(url: str) -> str:
    """Files of the Hugging Face Hub are all called alike: add their repository."""
    place, resolve, path = url.partition('/resolve/')
    name = (path if resolve else url).rsplit('/', 1)[-1]
    return '-'.join([*place.split('/')[-2:], name]) if resolve else name


def _download(url: str, sha256: str, target: Path) -> None:
    import shutil
    from urllib.request import urlopen

    draft = target.with_name(f'{target.name}.{os.getpid()}.part')
    print(f'downloading {url} to {target}', file=sys.stderr)
    try:
        with urlopen(url, timeout=60) as remote, draft.open('wb') as local:
            shutil.copyfileobj(remote, local, 1 << 20)
        draft.replace(target)
    except OSError as error:
        known = f' (its SHA-256 starts with {sha256})' if sha256 else ''
        raise FileNotFoundError(
            f'pretrained weights cannot be downloaded ({error}). Download {url} on '
            f'another machine{known} and put it here as {target}, or train from '
            'scratch with --no-pretrained.'
        ) from None
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """One download per machine; the lock goes with the process that holds it."""
    try:
        import fcntl
    except ImportError:  # Windows: each process downloads its own draft
        yield
        return
    lock = target.with_name(f'{target.name}.lock')
    try:
        with lock.open('w') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    finally:
        lock.unlink(missing_ok=True)
