"""Choosing what decodes a video."""

from __future__ import annotations

import functools
import importlib.util
import os

from mmma.datasets.video.decord_reader import DecordReader
from mmma.datasets.video.index import is_rotated, open_container, read_index
from mmma.datasets.video.pyav_reader import PyAVReader
from mmma.datasets.video.reader import VideoReader
from mmma.taxonomy import check_choice

BACKENDS = ('decord', 'pyav')
_MODULES = {'decord': 'decord', 'pyav': 'av'}


@functools.cache
def available_backends() -> tuple[str, ...]:
    """Backends whose library is installed; ``auto`` takes the first."""
    return tuple(b for b in BACKENDS if importlib.util.find_spec(_MODULES[b]))


def check_backend(backend: str) -> str:
    """Return the backend to use.

    Args:
        backend: ``auto`` or one of ``BACKENDS``.

    Raises:
        ValueError: An unknown backend, or one that is not installed.
    """
    check_choice('video backend', backend, ('auto', *BACKENDS))
    available = available_backends()
    if backend == 'auto':
        return available[0]
    if backend not in available:
        raise ValueError(
            f'video backend {backend!r} is not installed: use one of '
            f'{", ".join(available)}, or auto.'
        )
    return backend


def open_video(path: str | os.PathLike[str], backend: str = 'auto') -> VideoReader:
    """Open a video; frames and times are the same for both backends.

    PyAV reads the time stamps for both of them. It also decodes, whatever was asked
    for, where decord is known to give other frames or none: odd sizes with
    halved chroma, a few small widths, more than 8 bits, AV1, rotation, frames that an
    edit list hides, containers other than MP4 and Matroska.

    Args:
        path: The file.
        backend: ``auto`` (decord where it is installed, else PyAV), ``decord``
            or ``pyav``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: An unknown backend, or one that is not installed.
        BrokenVideoError: The file cannot be read as video.
    """
    backend = check_backend(backend)
    container = open_container(path)
    try:
        index = read_index(container)
        common = backend != 'pyav' and index.common and not is_rotated(container)
    except ValueError:
        container.close()
        raise
    if not common:
        return PyAVReader(path, index, container)
    container.close()
    return DecordReader(path, index)
