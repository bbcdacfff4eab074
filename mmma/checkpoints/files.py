"""Reading checkpoint files without running code from them."""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any

_PLAIN_GLOBALS = re.compile(r'torch\b|collections OrderedDict')
_UNREADABLE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, OSError),
    *(LookupError, ValueError, TypeError, AttributeError),
)
_PICKLES = 5  # in a file of torch before 1.6: magic, version, system, object, keys


def load_weights_file(path: str | Path, trust: bool = False) -> Any:
    """Read a checkpoint onto the CPU.

    Args:
        path: A file of ``torch.save`` or, where that package is installed, safetensors.
        trust: Allow a pickle that can run code; only for files of a trusted author.

    Returns:
        What the file holds, usually a dict.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, is no checkpoint, or is not plain.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path}: no such file.')
    if path.suffix == '.safetensors':
        return _load_safetensors(path)
    _check_format(path)
    import torch

    try:
        return torch.load(path, map_location='cpu', weights_only=not trust)
    except ImportError as error:
        raise ValueError(
            f'checkpoint {path} needs another package to be read: {error}.'
        ) from None
    except _UNREADABLE as error:
        foreign = [] if trust else _foreign_globals(path)
        message = _refusal(path, foreign) if foreign else _damage(path, error)
        raise ValueError(message) from None


def _load_safetensors(path: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise ValueError(f'checkpoint {path}: pip install safetensors.') from None
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(_damage(path, error)) from None


def _check_format(path: Path) -> None:
    """Tell what a file is that ``torch.load`` would only stumble over."""
    with path.open('rb') as file:
        start = file.read(256)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith('data.pkl') for name in names):
            return
        what = 'a zip archive without weights'
    elif start.startswith(b'PK'):
        what = 'a checkpoint that was cut off: copy or download it again'
    elif start.startswith(b'\x80'):
        return
    elif start.startswith(b'version https://git-lfs'):
        what = 'a Git LFS pointer: fetch the file itself with `git lfs pull`'
    elif start.lstrip()[:1] == b'<':
        what = 'a web page: download the file itself'
    else:
        what = 'empty' if not start else 'of no format that torch.save writes'
    raise ValueError(f'{path} is no checkpoint, it is {what}.')


def _refusal(path: Path, names: list[str]) -> str:
    listed = ', '.join(names[:4]) + (', ...' if len(names) > 4 else '')
    if any(name.startswith('mmengine.') for name in names):
        what = (
            'is a training checkpoint of another MMEngine program: beside its weights '
            f'lies a log history of pickled objects ({listed})'
        )
    else:
        what = f'is not plain weights: to read it is to run code from it ({listed})'
    return (
        f'checkpoint {path} {what}. It was not loaded. Only if you trust where it '
        'comes from: --trust-checkpoint.'
    )


def _foreign_globals(path: Path) -> list[str]:
    """Names that a pickle imports, without importing them; torch's own are left out."""
    found: dict[str, None] = {}
    # Ends with the file, or in the tensors that follow the pickles of old files.
    with contextlib.suppress(ValueError, zipfile.BadZipFile):
        stream = _pickles(path)
        for _ in range(_PICKLES):
            strings: list[str] = []
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == 'GLOBAL':
                    found[str(argument)] = None
                elif opcode.name == 'STACK_GLOBAL':
                    found[' '.join(strings[-2:])] = None
                elif isinstance(argument, str):
                    strings.append(argument)
    return [n.replace(' ', '.') for n in found if not _PLAIN_GLOBALS.match(n)]


def _pickles(path: Path) -> io.BytesIO:
    if not zipfile.is_zipfile(path):
        return io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith('data.pkl'))
        return io.BytesIO(archive.read(name))


def _damage(path: Path, error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f'checkpoint {path} is damaged ({lines[0]}): copy or download it again.'
