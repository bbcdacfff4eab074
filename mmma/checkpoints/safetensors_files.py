"""Safetensors files: weights that run no code, and what they tell of themselves.

The header's metadata are ``{"format": "pt", "mmma": ...}``, the latter the checkpoint's
``meta`` as JSON. Files of other programs lack it, and are tensors alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SUFFIX = '.safetensors'
META_KEY = 'mmma'
_ALIGNMENT = 8
_TYPES = {
    **{'float64': 'F64', 'float32': 'F32', 'float16': 'F16', 'bfloat16': 'BF16'},
    **{'int64': 'I64', 'int32': 'I32', 'int16': 'I16', 'int8': 'I8'},
    **{'uint8': 'U8', 'bool': 'BOOL'},
}


def is_safetensors(path: Path) -> bool:
    """Whether a file is named so, or begins so: the Hub's cache names no types."""
    with path.open('rb') as file:
        start = file.read(10)
    size = int.from_bytes(start[:8], 'little')
    return path.suffix == SUFFIX or (
        start[8:] in (b'{"', b'{}') and size + 8 <= path.stat().st_size
    )


def read_safetensors(path: Path) -> dict[str, Any]:
    """Read a safetensors file onto the CPU.

    Args:
        path: An existing file.

    Returns:
        ``state_dict`` and ``meta`` where the header has our meta, else the tensors.

    Raises:
        ValueError: The file is damaged or of another kind.
    """
    told, state = _read(path, 'pt', tensors=True)
    if META_KEY not in told:
        return state
    return {'state_dict': state, 'meta': _parse_meta(told[META_KEY], path)}


def read_safetensors_meta(path: Path) -> dict[str, Any]:
    """What a file tells of itself, without torch; empty where it tells nothing.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged or of another kind.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'checkpoint {path}: no such file.')
    told, _ = _read(Path(path), 'numpy', tensors=False)
    return _parse_meta(told[META_KEY], path) if META_KEY in told else {}


def _read(path: Path, framework: str, tensors: bool) -> tuple[Any, dict[str, Any]]:
    """The header's metadata and, if asked for, the tensors."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise ValueError(f'checkpoint {path}: pip install safetensors.') from None
    try:
        with safe_open(path, framework=framework) as file:
            told = file.metadata() or {}
            names = file.keys() if tensors else ()
            return told, {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, AttributeError, TypeError) as error:
        raise ValueError(_what_it_is(path) or damage(path, error)) from None


def _what_it_is(path: Path) -> str | None:
    with path.open('rb') as file:
        start = file.read(2)
    if start != b'PK' and start[:1] != b'\x80':
        return None
    return (
        f'checkpoint {path} is named {SUFFIX} but is a pickle, as torch.save writes '
        'it. It was not loaded. If you expected that: rename it to .pth.'
    )


def damage(path: Path, error: Exception | str) -> str:
    """What to say of a file that cannot be read."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f'checkpoint {path} is damaged ({lines[0]}): copy or download it again.'


def _parse_meta(text: str, path: Path | str) -> dict[str, Any]:
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError):
        meta = None
    if not isinstance(meta, dict):
        raise ValueError(damage(Path(path), f'{META_KEY!r} in its header is no JSON'))
    return meta


def write_safetensors(
    path: str | Path, state: Mapping[str, Any], meta: Mapping[str, Any] | None = None
) -> None:
    """Write weights and what they are; the same contents, the same bytes.

    The library writes several metadata in an order of its own, each time another.

    Args:
        path: File to write; it is there whole or not at all.
        state: Tensors by name.
        meta: Plain values that JSON has.

    Raises:
        ValueError: A tensor has a type that the format lacks, or ``meta`` has a value
            that JSON lacks.

    Source: https://github.com/huggingface/safetensors, section Format.
    """
    path = Path(path)
    # The widest first, which keeps each tensor aligned.
    names = sorted(state, key=lambda name: (-state[name].element_size(), name))
    told = {'format': 'pt'}
    if meta is not None:
        told[META_KEY] = meta_text(meta)
    header: dict[str, Any] = {'__metadata__': told}
    end = 0
    for name in names:
        value = state[name]
        start, end = end, end + value.numel() * value.element_size()
        header[name] = {
            'dtype': _type_name(name, value),
            'shape': list(value.shape),
            'data_offsets': [start, end],
        }
    text = json.dumps(header, ensure_ascii=False, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % _ALIGNMENT)
    draft = path.with_name(f'{path.name}.{os.getpid()}.tmp')
    try:
        with draft.open('wb') as file:
            file.write(len(text).to_bytes(8, 'little') + text)
            for name in names:
                file.write(_bytes(state[name]))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def meta_text(meta: Mapping[str, Any]) -> str:
    """A checkpoint's ``meta`` as JSON; the same contents, the same text.

    Raises:
        ValueError: It has a value that JSON lacks.
    """
    try:
        return json.dumps(meta, sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'meta of the checkpoint has no form in JSON ({error}): keep numbers, '
            'strings, lists and dicts in it.'
        ) from None


def _type_name(name: str, value: Any) -> str:
    kind = str(value.dtype).removeprefix('torch.')
    if kind not in _TYPES:
        raise ValueError(
            f'{name} is of type {kind}: safetensors has {", ".join(_TYPES)}.'
        )
    return _TYPES[kind]


def _bytes(value: Any) -> bytes:
    import torch

    flat = value.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()
