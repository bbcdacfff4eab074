"""Bytes from a server or a folder into a file that grows, and that may go on later."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mmma import __version__
from mmma.checkpoints.remote import local_path, shown_url

_BLOCK = 1 << 14  # what is lost of a block when the connection is cut
_BUSY = (429, 500, 502, 503, 504)
_NO_SUCH_HOST = (
    *('getaddrinfo', 'Name or service', 'nodename', 'name resolution'),
    *('No address associated', 'Failed to resolve'),
)
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Patience:
    """How long a download tries.

    Attributes:
        retries: How often a server is asked again that does not answer or cuts the
            connection; bytes that came count the tries anew.
        backoff_sec: Wait before the second of them; each wait doubles.
        timeout_sec: Silence of a server that ends a try.
    """

    retries: int = 4
    backoff_sec: float = 0.5
    timeout_sec: float = 30.0


class Unavailable(Exception):
    """A place does not give a file; the text says why."""


class WrongBytes(Unavailable):
    """A place gives another file than was published."""


class _Cut(Exception):
    """A transfer ended early and may go on; the text says how."""


def transfer(place: str, part: Path, patience: Patience, size: int | None) -> None:
    """Fill a file with the bytes of a place.

    Args:
        place: URL or path.
        part: File to fill. What an interrupted download from the same URL left there
            is gone on with, if the server's file is still the same.
        patience: How long to try.
        size: Bytes that are expected; None where that is not known.

    Raises:
        Unavailable: The place does not give them; what came is kept.
        FileNotFoundError: They cannot be written here.
    """
    local = local_path(place)
    if local is not None:
        _copy(local, part)
        return
    partial = _Partial(part, place)
    furthest, failures = partial.held, 0
    with _session(patience) as session, _bar(part.stem, size) as show:
        while True:
            try:
                _receive(_Request(session, place, patience), partial, size, show)
                return
            except _Cut as cut:
                came = partial.held > furthest
                furthest = max(furthest, partial.held)
                failures = 1 if came else failures + 1
                if failures > patience.retries:
                    raise Unavailable(f'{cut}, again and again') from None
            time.sleep(patience.backoff_sec * 2 ** (failures - 1))


class _Partial:
    """A file that is not whole, and what its server said of the whole one."""

    def __init__(self, path: Path, url: str) -> None:
        self.path = path
        self._notes = notes_path(path)
        self._url = shown_url(url)

    @property
    def held(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def range_headers(self) -> dict[str, str]:
        """What asks for the rest; what cannot be gone on with is deleted."""
        notes = self._read()
        known = notes.get('url') == self._url and notes.get('validator')
        if not self.held or not known:
            self.discard()
            return {}
        return {'Range': f'bytes={self.held}-', 'If-Range': notes['validator']}

    def is_whole(self) -> bool:
        """Whether only the last step of a download was missed."""
        return bool(self.held) and self.held == self._read().get('size')

    def begin(self, headers: Mapping[str, str], size: int | None) -> None:
        """Note what tells this file from a later one of the same URL."""
        tag = headers.get('ETag', '')  # a weak one may stand for other bytes
        strong = tag if not tag.startswith('W/') else ''
        validator = strong or headers.get('Last-Modified', '')
        notes = {'url': self._url, 'validator': validator, 'size': size}
        _write([json.dumps(notes).encode()], self._notes, 'wb')

    def discard(self) -> None:
        for path in (self.path, self._notes):
            path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            notes = json.loads(self._notes.read_text('utf-8'))
            return notes if isinstance(notes, dict) else {}
        return {}


def notes_path(part: Path) -> Path:
    """Where it stands which file a part is of."""
    return part.with_name(f'{part.name}.json')


@dataclass(frozen=True)
class _Request:
    session: Any
    url: str
    patience: Patience

    def send(self, headers: Mapping[str, str]) -> Any:
        """Ask, and raise where the answer is not one of bytes."""
        wait = self.patience.timeout_sec
        try:
            response = self.session.get(
                self.url, headers=headers, stream=True, timeout=(wait, wait)
            )
        except (OSError, ValueError) as error:  # after all retries
            raise Unavailable(_reason(error, self.url)) from None
        if response.status_code not in (200, 206, 416):
            response.close()
            raise Unavailable(_status(response))
        return response


def _receive(
    request: _Request,
    partial: _Partial,
    size: int | None,
    show: Callable[[int, int | None], None],
) -> None:
    """One try to get what is missing."""
    headers = partial.range_headers()
    if partial.is_whole():
        return
    with request.send(headers) as response:
        start = _start(response, partial)
        length = response.headers.get('Content-Length', '')
        encoded = response.headers.get('Content-Encoding', 'identity') != 'identity'
        total = start + int(length) if length.isdigit() and not encoded else None
        if None not in (size, total) and size != total:
            raise WrongBytes(f'has {total:,} bytes there, expected {size:,}')
        if total is not None:
            _check_room(partial.path, total - start)
        if not start:
            partial.begin({} if encoded else response.headers, total)
        show(start, total)
        blocks = _shown(response.iter_content(_BLOCK), start, total, show)
        _write(blocks, partial.path, 'ab' if start else 'wb')
    if total is not None and partial.held < total:
        raise _Cut(f'cut the connection after {partial.held:,} bytes')


def _start(response: Any, partial: _Partial) -> int:
    """Where in the file the answer begins; raises where it does not fit."""
    if response.status_code == 200:
        kind = response.headers.get('Content-Type', '')
        if kind.startswith('text/html'):
            raise Unavailable('sends a web page, as a login or a proxy does')
        return 0
    given = response.headers.get('Content-Range', '')
    if response.status_code == 206 and given.startswith(f'bytes {partial.held}-'):
        return partial.held
    partial.discard()
    raise _Cut('has another file than before')


def _shown(
    blocks: Iterable[bytes],
    done: int,
    total: int | None,
    show: Callable[[int, int | None], None],
) -> Iterator[bytes]:
    import requests

    try:
        for block in blocks:
            yield block
            done += len(block)
            show(done, total)
    except requests.RequestException:
        raise _Cut(f'cut the connection after {done:,} bytes') from None


def _copy(source: Path, part: Path) -> None:
    if not source.is_file():
        raise Unavailable('there is no such file')
    try:
        _check_room(part, source.stat().st_size)
        with source.open('rb') as file:
            _write(iter(lambda: file.read(_BLOCK), b''), part, 'wb')
    except PermissionError as error:
        raise Unavailable(f'cannot be read ({error.strerror})') from None


def _write(blocks: Iterable[bytes], path: Path, mode: str) -> None:
    """Write blocks to the disk itself; without room, make room again."""
    try:
        with path.open(mode) as file:
            for block in blocks:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        kept = 'what is there of it is kept'
        if error.errno in _FULL:
            path.unlink(missing_ok=True)
            kept = 'what was there of it is deleted'
        raise FileNotFoundError(
            f'{path} cannot be written ({error.strerror}); {kept}. {_ELSEWHERE}'
        ) from None


_ELSEWHERE = 'Make room, or let MMMA_HOME name a folder on another disk.'


def _check_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise FileNotFoundError(
            f'{part.parent} has no room for {part.stem}: {needed / 1e6:,.1f} MB are '
            f'to come, {free / 1e6:,.1f} MB are free. {_ELSEWHERE}'
        )


def _session(patience: Patience) -> Any:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(
        total=patience.retries,
        backoff_factor=patience.backoff_sec,
        status_forcelist=_BUSY,
        raise_on_status=False,
        respect_retry_after_header=False,  # it may ask for hours
    )
    session = requests.Session()
    for scheme in ('http://', 'https://'):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    # A compressed answer could not be gone on with.
    session.headers['Accept-Encoding'] = 'identity'
    session.headers['User-Agent'] = f'mmma/{__version__}'
    return session


def _status(response: Any) -> str:
    code = response.status_code
    said = {
        401: 'asks for a login',
        403: 'does not allow it',
        404: 'has no such file',
        410: 'has no such file any more',
    }
    other = 'is busy or broken, try later' if code in _BUSY else 'does not give it'
    return f'{said.get(code, other)} (HTTP {code})'


def _reason(error: Exception, url: str) -> str:
    """Why a server was not reached, without the URL that most errors' texts hold."""
    import requests

    host = urlsplit(url).hostname or 'the host'
    inner = getattr(error.args[0] if error.args else None, 'reason', None)
    names = {type(error).__name__, type(inner).__name__}
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f'the certificate of {host} is not accepted: behind a proxy that signs '
            'anew, let REQUESTS_CA_BUNDLE name its certificate; check the clock, too'
        )
    if isinstance(error, requests.exceptions.ProxyError):
        return 'the proxy does not answer: look at HTTPS_PROXY'
    if any('Timeout' in name for name in names):
        return f'{host} does not answer in time'
    if any(mark in str(inner) for mark in _NO_SUCH_HOST):
        return f'{host} is not found: no network here, or a wrong name'
    if isinstance(error, requests.ConnectionError):
        return f'{host} is not reached: no network here, or no such server'
    if isinstance(error, (requests.RequestException, ValueError)):
        return f'no usable URL ({type(error).__name__})'
    return str(error)  # of a certificate that is to be used and is not there


@contextlib.contextmanager
def _bar(name: str, size: int | None) -> Iterator[Callable[[int, int | None], None]]:
    """A function that shows how much is there, on a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn('{task.description}', markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=size)
        yield lambda done, total: progress.update(task, completed=done, total=total)
