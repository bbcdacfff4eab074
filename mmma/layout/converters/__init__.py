"""Converters from what others publish to the layout of a data root."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmma.layout.converters.ma52 import convert_ma52
from mmma.layout.converters.mma52 import convert_mma52
from mmma.layout.converters.mma82 import convert_mma82
from mmma.layout.converters.pyskl import convert_pyskl
from mmma.layout.converters.target import Conversion, Options
from mmma.taxonomy import check_choice

__all__ = ['CONVERTERS', 'Conversion', 'Options', 'convert']

CONVERTERS: dict[str, Callable[[Path, Path, Options], Conversion]] = {
    'ma52': convert_ma52,
    'mma52': convert_mma52,
    'mma82': convert_mma82,
    'pyskl': convert_pyskl,
}


def convert(
    kind: str, source: Path, out: Path, options: Options | None = None
) -> Conversion:
    """Convert a published data set.

    Args:
        kind: One of ``CONVERTERS``.
        source: The folder, or for ``pyskl`` the file, that was downloaded.
        out: The data root to write.
        options: What the user chose.

    Returns:
        What was written.

    Raises:
        FileNotFoundError: No such folder, or it lacks the tables.
        ValueError: An unknown kind, or something in the tables or options is wrong.
    """
    check_choice('format', kind, tuple(CONVERTERS))
    return CONVERTERS[kind](Path(source), Path(out), options or Options())
