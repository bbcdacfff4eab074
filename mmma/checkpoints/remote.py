"""Files that lie elsewhere: names, addresses, mirrors, what is known of their bytes.

``MMMA_ZOO_URL`` names a mirror: a server, a ``file://`` URL or a folder that has files
under their names. It is asked before the places that files come from.
``MMMA_OFFLINE=1`` keeps everything off the network; folders are asked all the same.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import url2pathname

MIRROR = 'MMMA_ZOO_URL'
OFFLINE = 'MMMA_OFFLINE'
_HASH_IN_NAME = re.compile(r'[-_]([0-9a-f]{8})\.(pth|safetensors)$')
_ODD = re.compile(r'[/\\:\x00-\x1f\x7f]')


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch.

    Attributes:
        name: What it is called here and at a mirror.
        url: Where it comes from; empty where no such place is known.
        sha256: Its SHA-256 or how that starts; empty where it is not known.
        size: Its bytes; None where that is not known.
        folder: Where a mirror may have it as well, below its root.
    """

    name: str
    url: str = ''
    sha256: str = ''
    size: int | None = None
    folder: str = ''

    def __post_init__(self) -> None:
        for name in (self.name, *([self.folder] if self.folder else [])):
            check_name(name, shown_url(self.url) or 'the model zoo')


def remote_file(url: str, sha256: str = '', size: int | None = None) -> RemoteFile:
    """The file behind a URL.

    Args:
        url: ``http``, ``https`` or ``file``.
        sha256: How its SHA-256 starts; by default what its name says of it.
        size: Its bytes, where they are known.

    Raises:
        ValueError: Its name is none that a file here may have.
    """
    name = file_name(url)
    return RemoteFile(name, url, sha256 or hash_in_name(name), size)


def file_name(url: str) -> str:
    """What a downloaded file is called.

    Files of the Hugging Face Hub are all called alike: their repository is added.
    """
    place, resolve, inner = urlsplit(url).path.partition('/resolve/')
    last = (inner if resolve else place).rsplit('/', 1)[-1]
    parts = [*place.split('/')[-2:], last] if resolve else [last]
    return '-'.join(unquote(part) for part in parts)


def hash_in_name(name: str) -> str:
    """The eight hex digits at the end of a file name, or nothing."""
    found = _HASH_IN_NAME.search(name)
    return found.group(1) if found else ''


def check_name(name: str, source: str) -> None:
    """Refuse a name that is no plain file name.

    Args:
        name: Of a file or a folder.
        source: Who gave it, for the error.

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
    return urlunsplit(plain) + ('?...' if parts.query else '')


def local_path(place: str) -> Path | None:
    """The path that a place is on this machine; None for one on the network.

    Args:
        place: A URL or a path.

    Raises:
        ValueError: A URL of another kind.
    """
    if '://' not in place:
        return Path(place).expanduser()
    parts = urlsplit(place)
    if parts.scheme.lower() in ('http', 'https'):
        return None
    if parts.scheme.lower() == 'file' and parts.netloc in ('', 'localhost'):
        return Path(url2pathname(parts.path))
    raise ValueError(
        f'{shown_url(place)}: use http://, https:// or file:///, or a folder.'
    )


def mirror_places(file: RemoteFile) -> list[str]:
    """Where the mirror may have a file, the likeliest first; empty without one.

    Raises:
        FileNotFoundError: The mirror is a folder that is not there.
    """
    base = os.environ.get(MIRROR, '').strip()
    if not base:
        return []
    names = [file.name, *([f'{file.folder}/{file.name}'] if file.folder else [])]
    folder = local_path(base)
    if folder is None:
        parts = urlsplit(base)
        root = parts.path.rstrip('/')
        paths = [parts._replace(path=f'{root}/{quote(name)}') for name in names]
        return [urlunsplit(path) for path in paths]
    if not folder.is_dir():
        raise FileNotFoundError(
            f'{MIRROR} is {shown_url(base)}: no such folder. Correct it, or unset it.'
        )
    found = [str(folder / name) for name in names if (folder / name).is_file()]
    return found or [str(folder / file.name)]


def is_offline() -> bool:
    """Whether ``MMMA_OFFLINE`` keeps this process off the network."""
    return os.environ.get(OFFLINE, '').lower() not in ('', '0', 'false', 'no')
