"""Weights from elsewhere: fetched once, checked each time, shared by all processes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmma.cache import cache_home
from mmma.checkpoints.hashing import mismatch
from mmma.checkpoints.remote import (
    MIRROR,
    OFFLINE,
    RemoteFile,
    file_name,
    is_offline,
    local_path,
    mirror_places,
    remote_file,
    shown_url,
)
from mmma.checkpoints.transfer import (
    Patience,
    Unavailable,
    WrongBytes,
    notes_path,
    transfer,
)

BAD = '.bad-hash'
"""What is added to the name of a file that is not what was published."""


def cache_folder() -> Path:
    """Where downloads lie: ``checkpoints`` in ``$MMMA_HOME``, or in ~/.cache/mmma."""
    return cache_home() / 'checkpoints'


def fetch_pretrained(
    url: str,
    sha256: str,
    folder: str | Path | None = None,
    size: int | None = None,
) -> Path:
    """Fetch the weights that a recipe starts from.

    Args:
        url: Where they are.
        sha256: How their SHA-256 starts; empty where it is not known.
        folder: Where to keep them; by default :func:`cache_folder`.
        size: Their bytes, where known.

    Raises:
        FileNotFoundError: They are not there and cannot be fetched.
        ValueError: What was fetched has another hash or size.
    """
    file = RemoteFile(file_name(url), url, sha256, size)
    return fetch_file(file, folder, advice=_NO_PRETRAINED)


def fetch_url(url: str, offline: bool = False) -> Path:
    """Fetch a file; eight hex digits at the end of its name are checked.

    Args:
        url: ``http``, ``https`` or ``file``.
        offline: Take it from the cache or a folder, or not at all.

    Raises:
        FileNotFoundError: It is not there and cannot be fetched.
        ValueError: What was fetched has another hash.
    """
    return fetch_file(remote_file(url), offline=offline)


def fetch_file(
    file: RemoteFile,
    folder: str | Path | None = None,
    *,
    near: Sequence[Path] = (),
    offline: bool = False,
    patience: Patience | None = None,
    advice: str = '',
) -> Path:
    """Fetch a file once, and check it each time.

    One process fetches, others wait for it. What is there with another hash or size
    is put aside as ``NAME.bad-hash``, whether found or fetched.

    Args:
        file: What to fetch.
        folder: Where to keep it; by default :func:`cache_folder`.
        near: Files on this machine that may be it; copied rather than downloaded.
        offline: Never use the network, as ``MMMA_OFFLINE=1`` does everywhere.
        patience: How long to try.
        advice: What else the user can do, for the error.

    Raises:
        FileNotFoundError: It is not there and cannot be fetched or written.
        ValueError: What was fetched is not what was published.
    """
    target = Path(folder or cache_folder()) / file.name
    if target.is_file() and not mismatch(target, file.sha256, file.size):
        return target
    with _locked(target):
        if target.is_file():
            wrong = mismatch(target, file.sha256, file.size)
            if not wrong:  # another process was quicker
                return target
            _tell(f'{target} {wrong}: {_put_aside(target, target)}')
        places = [*map(str, near), *mirror_places(file), *([file.url] * bool(file.url))]
        offline = offline or is_offline()
        failures = _try_each(places, file, target, offline, patience or Patience())
        if target.is_file():
            return target
    told = '\n'.join(f'  {place}: {error}' for place, error in failures)
    kind = (
        ValueError
        if any(isinstance(error, WrongBytes) for _, error in failures)
        else FileNotFoundError
    )
    raise kind(
        f'{file.name} cannot be fetched.\n{told or _NO_PLACE}\n'
        f'{_by_hand(file, target)}{advice}.'
    )


_NO_PRETRAINED = ', or train from scratch with --no-pretrained'
_NO_PLACE = f'  No place is known that has it: let {MIRROR} name a server or folder.'


def _by_hand(file: RemoteFile, target: Path) -> str:
    known = f' (its SHA-256 starts with {file.sha256})' if file.sha256 else ''
    what = shown_url(file.url) or file.name
    return f'Download {what} on another machine{known} and put it here as {target}'


def _try_each(
    places: Sequence[str],
    file: RemoteFile,
    target: Path,
    offline: bool,
    patience: Patience,
) -> list[tuple[str, Unavailable]]:
    """Ask one place after the other; what was wrong with those that did not give."""
    failures: list[tuple[str, Unavailable]] = []
    for place in places:
        if failures:
            where, error = failures[-1]
            _tell(f'{where}: {error}. Now asked: {shown_url(place)}')
        try:
            if offline and local_path(place) is None:
                raise Unavailable(f'not asked, for this is offline ({OFFLINE})')
            _obtain(place, file, target, patience)
            break
        except Unavailable as error:
            failures.append((shown_url(place), error))
    return failures


def _obtain(place: str, file: RemoteFile, target: Path, patience: Patience) -> None:
    """Get a file from one place, and put it in its own once it is right."""
    local = local_path(place)
    if local is not None and local.is_file():
        wrong = mismatch(local, file.sha256, file.size)
        if wrong:
            raise WrongBytes(f'{wrong}; not used')
    part = target.with_name(f'{target.name}.part')
    _tell(f'{"copying" if local else "downloading"} {shown_url(place)} to {target}')
    transfer(place, part, patience, file.size)
    wrong = mismatch(part, file.sha256, file.size)
    notes_path(part).unlink(missing_ok=True)
    if wrong:
        raise WrongBytes(f'{wrong}; {_put_aside(part, target)}')
    if not file.sha256:
        _tell(f'{file.name}: its hash is not known, so it was not checked')
    part.replace(target)


def _put_aside(path: Path, target: Path) -> str:
    aside = target.with_name(f'{target.name}{BAD}')
    path.replace(aside)
    return f'kept as {aside}, not used'


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """One download per file; the lock goes with the process that holds it."""
    from filelock import FileLock, Timeout

    path = target.with_name(f'{target.name}.lock')
    lock = FileLock(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _tell(f'waiting for another process that fetches {target.name}')
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise FileNotFoundError(
            f'{target.parent} cannot be written ({error}): choose another folder, for '
            'downloads by MMMA_HOME.'
        ) from None
    try:
        yield
    finally:
        if target.is_file():  # so that whoever gets the lock next has nothing to do
            with contextlib.suppress(OSError):
                path.unlink()
        lock.release()


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
