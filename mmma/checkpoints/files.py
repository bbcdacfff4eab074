"""Reading checkpoint files without running code from them."""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from mmma.checkpoints.safetensors_files import damage, is_safetensors, read_safetensors

_PLAIN_GLOBALS = re.compile(
    r'collections OrderedDict|torch(\.\w+)? \w*Storage|torch (Size|device)'
    r'|torch (b?float|u?int|q?u?int|complex|bool|half|double|long|short)\w*'
    r'|torch\._utils _rebuild_\w+|torch\._tensor _rebuild_from_type_v2'
    r'|torch( |\.nn\.parameter )(Tensor|Parameter)|torch\.serialization _get_layout'
)
_ZIP_START = b'PK\x03\x04'  # by which torch tells its two formats apart
_UNREADABLE = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, OSError),
    *(LookupError, ValueError, TypeError, AttributeError),
)
_PICKLES = 5  # in a file of torch before 1.6: magic, version, system, object, keys


def load_weights_file(path: str | Path, trust: bool = False) -> Any:
    """Read a checkpoint onto the CPU.

    Args:
        path: A file of ``torch.save``, or safetensors.
        trust: Allow a pickle that can run code; only for files of a trusted author.

    Returns:
        What the file holds, usually a dict: ``state_dict`` and ``meta``, or weights.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, is no checkpoint, or is not plain.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path}: no such file.')
    if is_safetensors(path):
        return read_safetensors(path)
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
        message = _refusal(path, foreign) if foreign else damage(path, error)
        raise ValueError(message) from None


def _check_format(path: Path) -> None:
    """Refuse what ``torch.load`` would stumble over, or open without its safeguard.

    Before torch 2.6, ``weights_only`` neither kept TorchScript archives from running
    nor tar archives from being unpacked.
    """
    with path.open('rb') as file:
        start = file.read(256)
    if start.startswith(_ZIP_START) and zipfile.is_zipfile(path):
        what = _what_archive(path)
    elif start.startswith(b'PK'):
        what = 'a checkpoint that was cut off: copy or download it again'
    elif tarfile.is_tarfile(path):
        what = 'a tar archive, as torch.save wrote it before 2017'
    elif start.startswith(b'\x80'):
        what = None
    elif start.startswith(b'version https://git-lfs'):
        what = 'a Git LFS pointer: fetch the file itself with `git lfs pull`'
    elif start.lstrip()[:1] == b'<':
        what = 'a web page: download the file itself'
    elif names := _foreign_globals(path):
        raise ValueError(_refusal(path, names))
    else:
        what = 'empty' if not start else 'of no format that torch.save writes'
    if what:
        raise ValueError(f'{path} is no checkpoint, it is {what}.')


def _what_archive(path: Path) -> str | None:
    """What a zip archive is that is no checkpoint."""
    import torch

    try:  # torch's own reader: another may find other files in a crafted archive
        names = torch._C.PyTorchFileReader(str(path)).get_all_records()
    except RuntimeError:
        return 'a zip archive without weights'
    if 'constants.pkl' in names or any(name.startswith('code/') for name in names):
        return 'a TorchScript program: save its state_dict() where it was made'
    return None if 'data.pkl' in names else 'a zip archive without weights'


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
    with contextlib.suppress(ValueError, LookupError, zipfile.BadZipFile):
        stream = _pickles(path)
        for _ in range(_PICKLES):
            strings: list[str] = []
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name in ('GLOBAL', 'INST'):
                    found[str(argument)] = None
                elif opcode.name == 'STACK_GLOBAL':
                    found[' '.join(strings[-2:])] = None
                elif isinstance(argument, str):
                    strings.append(argument)
    return [n.replace(' ', '.') for n in found if not _PLAIN_GLOBALS.fullmatch(n)]


def _pickles(path: Path) -> io.BytesIO:
    with path.open('rb') as file:
        if file.read(4) != _ZIP_START:  # a zip archive may lie within a pickle
            return io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        name = next((n for n in archive.namelist() if n.endswith('data.pkl')), '')
        return io.BytesIO(archive.read(name))
