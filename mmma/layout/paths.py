"""Paths inside a data root: what they may be, and writing a file in one step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def leaves_root(relative: str) -> bool:
    """Whether a path of a table is absolute or climbs out by ``..``.

    Looks at the text alone, so that large tables read fast; links are looked at when
    a file is opened (``DataRoot.video_path``).

    Args:
        relative: Path as written, relative to the data root; empty is inside.
    """
    if not relative:
        return False
    if relative[0] in '/\\' or relative[1:2] == ':':
        return True
    return '..' in relative and '..' in relative.replace('\\', '/').split('/')


@contextmanager
def atomic_write(path: Path, mode: str = 'w') -> Iterator[IO[Any]]:
    """Open a file that appears under its name only when it is complete.

    Args:
        path: The file; its folder is made if it does not exist.
        mode: ``w`` for UTF-8 text, ``wb`` for bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    text = {} if 'b' in mode else {'encoding': 'utf-8', 'newline': ''}
    try:
        with part.open(mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_text(path: Path) -> str:
    """Text of a table; a byte order mark is dropped.

    Args:
        path: A UTF-8 file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not UTF-8 text.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file')
    try:
        return path.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{path}: not UTF-8 text (byte {error.start}); save it as UTF-8'
        ) from None
