"""What the bytes of a file are, and whether they are the ones that were published."""

from __future__ import annotations

import hashlib
from pathlib import Path

_LOOKS = (
    (b'<', ': it is a web page'),
    (b'version https://git-lfs', ': it is a Git LFS pointer'),
)


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def mismatch(path: Path, sha256: str = '', size: int | None = None) -> str:
    """What is wrong with a file's bytes.

    Args:
        path: The file.
        sha256: How its SHA-256 should start; empty where that is not known.
        size: How many bytes it should have; None where that is not known.

    Returns:
        ``has 3 bytes, expected 5``; empty where all is as it should be.
    """
    found_size = path.stat().st_size
    if size is not None and found_size != size:
        return f'has {found_size:,} bytes, expected {size:,}{_look(path)}'
    found = file_sha256(path) if sha256 else ''
    if not found.startswith(sha256.lower()):
        return f'has SHA-256 {found[:16]}..., expected {_short(sha256)}{_look(path)}'
    return ''


def _short(sha256: str) -> str:
    return f'{sha256[:16]}...'


def _look(path: Path) -> str:
    with path.open('rb') as file:
        start = file.read(64).lstrip()
    return next((text for mark, text in _LOOKS if start.startswith(mark)), '')
