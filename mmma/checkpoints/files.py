"""Files of weights: read without running code from them, and written plain.

The metadata of a safetensors file are ``{"format": "pt", "mmma": ...}``, the latter the
checkpoint's ``meta`` as JSON; files of other programs lack it, and are tensors alone.
Weights that training leaves as they were, which a module tells by ``frozen_names()``,
are left out of checkpoints, which have their hash instead.
"""

import contextlib
import hashlib
import io
import json
import os
import pickle
import pickletools
import re
import tarfile
import zipfile
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from mmma.files import atomic_write
from mmma.foreign import first_line, has_controls, parse_json
from mmma.taxonomy import own_table

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
    """Difference from a known size and start of SHA-256: ``has 3 bytes, expected 5``.

    Empty where all is as it should be.
    """
    found_size = path.stat().st_size
    if size is not None and found_size != size:
        return f'has {found_size:,} bytes, expected {size:,}{_look(path)}'
    found = file_sha256(path) if sha256 else ''
    if not found.startswith(sha256.lower()):
        return f'has SHA-256 {found[:16]}..., expected {sha256[:16]}...{_look(path)}'
    return ''


def _look(path: Path) -> str:
    with path.open('rb') as file:
        start = file.read(64).lstrip()
    return next((text for mark, text in _LOOKS if start.startswith(mark)), '')


def to_plain(value: Any, where: str = 'checkpoint') -> Any:
    """Turn a value into tensors, dicts, lists, tuples and scalars.

    It is anything a training run keeps: also arrays and scalars of numpy, paths, enums,
    config dicts, MMEngine's ``HistoryBuffer``.

    Raises:
        ValueError: A value, called ``where``, has no plain form.
    """
    import numpy as np
    import torch

    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        kind = OrderedDict if isinstance(value, OrderedDict) else dict
        keys = {key: to_plain(key, where) for key in value}
        plain = kind((keys[k], to_plain(v, f'{where}.{k}')) for k, v in value.items())
        if hasattr(value, '_metadata'):  # of Module.state_dict, read when loading
            plain._metadata = to_plain(value._metadata, where)  # type: ignore
        return plain
    if isinstance(value, (list, tuple, deque)):
        items = [to_plain(v, f'{where}.{i}') for i, v in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, (set, frozenset)):
        return to_plain(sorted(value), where)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in 'bif' or value.dtype == 'uint8':
            return torch.from_numpy(value.copy())
        return to_plain(value.tolist(), where)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Enum):
        return to_plain(value.value, where)
    if isinstance(value, (Path, torch.device, torch.dtype, str)):
        return str(value)
    if type(value).__name__ == 'HistoryBuffer':
        log, count = (torch.from_numpy(np.array(data)) for data in value.data)
        return {'log': log, 'count': count, 'max_length': value.max_length}
    raise ValueError(
        f'{where}: a {type(value).__name__} has no form of tensors and plain types.'
    )


SUFFIX = '.safetensors'
META_KEY = 'mmma'
_META = own_table('forms')['checkpoint']
"""Kinds of what a checkpoint tells of itself; of what is not here nothing depends."""
_KINDS: dict[str, tuple[Any, str]] = {
    **{'text': (str, 'text without controls'), 'int': (int, 'a whole number')},
    **{'bool': (bool, 'true or false'), 'list': ((list, tuple), 'a list')},
    'dict': (dict, 'an object'),
}
_TYPES = (
    *('float64', 'float32', 'float16', 'bfloat16'),
    *('int64', 'int32', 'int16', 'int8', 'uint8', 'bool'),
)


def read_safetensors_meta(path: str | Path) -> dict[str, Any]:
    """Read what a file tells of itself, without torch; empty where it tells nothing.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged or of another kind.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'checkpoint {path}: no such file.')
    return _read_safetensors(Path(path), tensors=False)[0] or {}


def _checked_meta(path: Path, meta: Any) -> dict[str, Any]:
    """What a file tells of itself, each fact of its kind; None is untold.

    Raises:
        ValueError: A fact that others read is of another kind.
    """

    def check(value: Any, kind: Any, where: str) -> None:
        name = kind if isinstance(kind, str) else type(kind).__name__
        outer, told = _KINDS[name]
        odd = name == 'text' and has_controls(value)
        if odd or not isinstance(value, outer) or (outer is int and value is True):
            raise ValueError(
                f'checkpoint {path}: {where} is {str(value)[:40]!r}, and must be '
                f'{told}. Ask for another file, or keep its weights alone.'
            )
        if isinstance(kind, dict):
            for key in kind.keys() & value.keys():
                if value[key] is not None:
                    check(value[key], kind[key], f'{where}.{key}')
        elif isinstance(kind, list):
            for number, item in enumerate(value):
                check(item, kind[0], f'{where}.{number}')

    left, size = deque([(meta, 0)]), 0
    while left:
        value, depth = left.popleft()
        size += len(value) if isinstance(value, (str, bytes)) else 1
        if depth > 32 or size > 1 << 22:  # a config is 10 deep and 50,000 letters long
            raise ValueError(f'checkpoint {path}: its meta has no end: it is damaged.')
        inner = [*value, *value.values()] if isinstance(value, Mapping) else value
        if isinstance(inner, (list, tuple, set)):
            left.extend((item, depth + 1) for item in inner)
    check(meta, _META, 'meta')
    groups, frozen = len(meta.get('bodies') or ()), meta.get('frozen')
    odd = [i for i in meta.get('body_of') or () if not 0 <= i < groups]
    faults = [f'body_of has {i} for {groups} bodies' for i in odd]
    for key in ('classes', 'bodies'):
        names = meta.get(key) or ()
        faults += [f'{key} has names twice'] * (len(set(names)) < len(names))
    if frozen and None in map(frozen.get, _META['frozen']):
        faults.append('frozen lacks a key')
    if faults:
        raise ValueError(f'checkpoint {path}: meta.{faults[0]}: it is damaged.')
    return meta


def _read_safetensors(
    path: Path, tensors: bool = True
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Our meta in the header, None where it has none; the tensors, if asked for."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ValueError(f'checkpoint {path}: pip install safetensors.') from None
    try:
        with safe_open(path, framework='pt' if tensors else 'numpy') as file:
            text = (file.metadata() or {}).get(META_KEY)
            names = file.keys() if tensors else ()
            state = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, AttributeError, TypeError) as error:
        with path.open('rb') as file:
            start = file.read(2)
        if start != b'PK' and start[:1] != b'\x80':
            raise ValueError(_damage(path, error)) from None
        raise ValueError(
            f'checkpoint {path} is named {SUFFIX} but is a pickle, as torch.save '
            'writes it. It was not loaded. If you expected that: rename it to .pth.'
        ) from None
    if text is None:
        return None, state
    try:
        meta, repeated = parse_json(text, path)
    except ValueError:
        meta, repeated = None, []
    if not isinstance(meta, dict) or repeated:
        raise ValueError(_damage(path, f'{META_KEY!r} in its header is no JSON'))
    return _checked_meta(path, meta), state


def _damage(path: Path, error: Exception | str) -> str:
    """Sentence on a file that cannot be read."""
    text = str(error).rpartition('WeightsUnpickler error: ')[2].strip()
    why = first_line(text or type(error).__name__)
    return f'checkpoint {path} is damaged ({why}): copy or download it again.'


def write_safetensors(
    path: str | Path, state: Mapping[str, Any], meta: Mapping[str, Any] | None = None
) -> None:
    """Write weights and what they are; the same contents, the same bytes.

    The library writes several metadata in an order of its own, each time another: the
    header is sorted.

    Raises:
        ValueError: A tensor has a type that the format lacks, or ``meta`` has a value
            that JSON lacks.

    Source: https://github.com/huggingface/safetensors, section Format.
    """
    import torch
    from safetensors.torch import save

    told = {'format': 'pt'}
    if meta is not None:
        try:
            told[META_KEY] = json.dumps(
                meta, sort_keys=True, ensure_ascii=False, allow_nan=False
            )
        except (TypeError, ValueError) as error:
            what = f'meta of the checkpoint has no form in JSON ({error}): keep numbers'
            raise ValueError(f'{what}, strings, lists and dicts in it.') from None
    for name, value in state.items():
        kind = str(value.dtype).removeprefix('torch.')
        if kind not in _TYPES:
            raise ValueError(
                f'{name} is of type {kind}: safetensors has {", ".join(_TYPES)}.'
            )
    apart = {  # what shares memory, as tied weights do, is refused
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in state.items()
    }
    data = memoryview(save(apart, told))
    end = 8 + int.from_bytes(data[:8], 'little')
    header = json.loads(bytes(data[8:end]))
    text = json.dumps(header, sort_keys=True, ensure_ascii=False, separators=(',', ':'))
    content = text.encode()
    content += b' ' * (-len(content) % 8)  # its alignment
    with atomic_write(Path(path), 'wb') as file:
        file.write(len(content).to_bytes(8, 'little') + content)
        file.write(data[end:])


_PLAIN_GLOBALS = re.compile(
    r'collections OrderedDict|torch(\.\w+)? \w*Storage|torch (Size|device)'
    r'|torch (b?float|u?int|q?u?int|complex|bool|half|double|long|short)\w*'
    r'|torch\._utils _rebuild_\w+|torch\._tensor _rebuild_from_type_v2'
    r'|torch( |\.nn\.parameter )(Tensor|Parameter)|torch\.serialization _get_layout'
)
_ZIP_START = b'PK\x03\x04'  # by which torch tells its two formats apart
_PICKLES = 5  # in a file of torch before 1.6: magic, version, system, object, keys


class _ShortError(pickle.UnpicklingError):
    """Error of a text that torch searches in time that grows with its square."""

    def __str__(self) -> str:
        return super().__str__()[:1000]


def load_weights_file(path: str | Path, trust: bool = False) -> Any:
    """Read a checkpoint, a file of ``torch.save`` or safetensors, onto the CPU.

    It is usually a dict: ``state_dict`` and ``meta``, or weights. ``trust`` allows a
    pickle that can run code; it is only for files of a trusted author.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, is no checkpoint, or is not plain.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path}: no such file.')
    with path.open('rb') as file:
        start = file.read(10)
    size = 8 + int.from_bytes(start[:8], 'little')
    begun = start[8:] in (b'{"', b'{}') and size <= path.stat().st_size
    if path.suffix == SUFFIX or begun:  # the Hub's cache names no types
        meta, state = _read_safetensors(path)
        return state if meta is None else {'state_dict': state, 'meta': meta}
    _check_format(path)
    import torch

    torch._weights_only_unpickler.UnpicklingError = _ShortError  # type: ignore
    try:
        content = torch.load(path, map_location='cpu', weights_only=not trust)
        meta = content.get('meta') if isinstance(content, Mapping) else None
    except ImportError as error:
        raise ValueError(
            f'checkpoint {path} needs another package to be read: {error}.'
        ) from None
    except Exception as error:  # a damaged file can be anything
        foreign = [] if trust else _foreign_globals(path)
        message = _refusal(path, foreign) if foreign else _damage(path, error)
        raise ValueError(message) from None
    if isinstance(meta, Mapping):
        _checked_meta(path, meta)
    return content


def _check_format(path: Path) -> None:
    """Refuse what ``torch.load`` would stumble over, or open without its safeguard.

    Before torch 2.6, ``weights_only`` neither kept TorchScript archives from running
    nor tar archives from being unpacked.
    """
    import torch

    with path.open('rb') as file:
        start = file.read(256)
    try:
        zipped = start.startswith(_ZIP_START) and zipfile.is_zipfile(path)
        if zipped:  # torch's: another reader may find other files in a crafted archive
            names: list[str] = []
            with contextlib.suppress(RuntimeError):  # not torch's
                names = torch._C.PyTorchFileReader(str(path)).get_all_records()
            with zipfile.ZipFile(path) as archive:
                kinds = [(i.compress_type, i.flag_bits & 1) for i in archive.infolist()]
    except Exception as error:  # both raise what they like
        raise ValueError(_damage(path, error)) from None
    if zipped:
        if 'constants.pkl' in names or any(n.startswith('code/') for n in names):
            what = 'a TorchScript program: save its state_dict() where it was made'
        elif any(map(any, kinds)):  # may be larger than it looks; torch writes none
            what = 'a zip archive whose parts are compressed or encrypted'
        else:
            what = None if 'data.pkl' in names else 'a zip archive without weights'
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


def _refusal(path: Path, names: list[str]) -> str:
    listed = first_line(', '.join(names[:4])) + (', ...' if len(names) > 4 else '')
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
    with contextlib.suppress(Exception):
        with path.open('rb') as file:
            zipped = file.read(4) == _ZIP_START  # one may lie within a pickle
        if zipped:
            with zipfile.ZipFile(path) as archive:
                names = (n for n in archive.namelist() if n.endswith('data.pkl'))
                stream = io.BytesIO(archive.read(next(names, '')))
        else:
            stream = io.BytesIO(path.read_bytes())
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


def frozen_names(model: Any) -> list[str]:
    """Names in a model's state dict that training does not change."""
    return [
        f'{prefix}.{name}' if prefix else name
        for prefix, module in model.named_modules()
        if hasattr(module, 'frozen_names')
        for name in module.frozen_names()
    ]


def weights_sha256(state: Mapping[str, Any], names: Iterable[str] | None = None) -> str:
    """SHA-256 of names, types, shapes and bytes of weights, all or those of names."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(state if names is None else names):
        value = state[name].detach().cpu().contiguous()
        digest.update(f'{name} {value.dtype} {tuple(value.shape)};'.encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


_STEP = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


def last_checkpoint(work_dir: str | Path) -> str | None:
    """What a run wrote last, in its folder as it is now; None where there is nothing.

    ``last_checkpoint`` may name it by a path of another machine, or be damaged.
    """
    work_dir = Path(work_dir)
    told = work_dir / 'last_checkpoint'
    name = told.read_bytes().decode('utf-8', 'replace') if told.is_file() else ''
    name = re.split(r'[/\\\\]', name.strip())[-1]
    if name and os.path.isfile(work_dir / name):
        return str(work_dir / name)
    steps = {p: m for p in work_dir.glob('*.pth') if (m := _STEP.fullmatch(p.name))}
    return str(max(steps, key=lambda path: int(steps[path][1]))) if steps else None
