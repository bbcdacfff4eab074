"""What files of others hold: JSON of any depth, numbers, letters that steer."""

from __future__ import annotations

import gc
import json
import math
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import bidirectional, category, normalize

if TYPE_CHECKING:
    import numpy as np


def parse_json(text: str, path: Path) -> tuple[Any, list[str]]:
    """Content of the text of a JSON file, and keys that an object has twice.

    Of these, plain reading keeps one in silence. Keys have composed letters (NFC), as
    names everywhere; macOS writes others. The path is for messages.

    Raises:
        ValueError: It is not JSON, nests too deeply, or has a number beyond a float.
    """

    def bounded(digits: str) -> int:
        if (size := len(digits.lstrip('-'))) > 308:
            line = text.count('\n', 0, text.find(digits)) + 1
            raise ValueError(
                f'{path}:{line}: a number of {size} digits is not readable; '
                'numbers have up to 308'
            )
        return int(digits)

    repeated: list[str] = []
    spelt = not text.isascii() or '\\u' in text

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if spelt:
            pairs = [(normalize('NFC', key), value) for key, value in pairs]
        content = dict(pairs)
        if len(content) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            repeated.extend(sorted(key for key, n in counts.items() if n > 1))
        return content

    collects = gc.isenabled()
    gc.disable()  # it would search millions of new containers in vain
    try:
        long = bounded if re.search(r'\d{309}', text) else None
        content = json.loads(text, object_pairs_hook=keep, parse_int=long)
        return content, repeated
    except json.JSONDecodeError as error:
        raise ValueError(
            f'{path}:{error.lineno}: not readable as JSON: {error.msg}'
        ) from None
    except RecursionError:
        raise ValueError(
            f'{path}: not readable as JSON: objects and lists nest too deeply'
        ) from None
    finally:
        if collects:
            gc.enable()


_TURNS = ('E', 'O', 'F', 'I')  # of LRE, RLO, PDF, FSI, ...: they turn what follows


def has_controls(text: str) -> bool:
    """True for text with letters that steer a terminal or a reader, as escapes do."""
    return not text.isprintable() and any(
        category(x) in ('Cc', 'Cs', 'Zl', 'Zp') or bidirectional(x)[2:] in _TURNS
        for x in text
    )


def is_number(value: Any) -> bool:
    """True for a finite number of JSON; a bool is none."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


_LARGE, _DENSE = 2**28, 200  # bytes; and how much smaller packed scores can be
_LONGEST = 2**16  # bytes of a name


def read_npz(
    path: Path,
    names: Collection[str],
    check: Callable[[Mapping[str, tuple[int, ...]]], None] = lambda shapes: None,
) -> dict[str, np.ndarray]:
    """Arrays of a ``.npz`` of others, of these names; all headers are read first.

    Args:
        path: The file.
        names: Arrays that are wanted, of those that are there; others are not unpacked.
        check: Raises ``ValueError`` for shapes that do not belong together.

    Raises:
        ValueError: What is wrong with it, whatever the libraries raise.
    """
    import numpy as np

    try:
        with path.open('rb') as file:
            if file.read(6) == b'\x93NUMPY':
                raise ValueError('a single array')
        with zipfile.ZipFile(path) as archive:
            packed = {
                info.filename.removesuffix('.npy'): info
                for info in archive.infolist()
                if info.filename.removesuffix('.npy') in names
            }
            shapes = {}
            for name, info in packed.items():
                with archive.open(info) as member:
                    shapes[name] = _declared(member, info, name)
            check(shapes)
            arrays = {}
            for name, info in packed.items():
                with archive.open(info) as member:
                    arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
            return arrays
    except Exception as error:  # zipfile, its methods and numpy raise what they like
        text = str(error).partition('\n')[0] or type(error).__name__
        raise ValueError(text) from None


def _declared(member: Any, info: zipfile.ZipInfo, name: str) -> tuple[int, ...]:
    """Shape by the header of an array that is as long as its archive says."""
    import numpy as np

    version = np.lib.format.read_magic(member)
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0
    read = read if first else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(member)
    if dtype.hasobject:
        raise ValueError('Object arrays cannot be loaded')
    size = math.prod(shape) * dtype.itemsize
    if size + member.tell() != info.file_size:
        raise ValueError(
            f'array {name!r} says it is {shape} of {dtype}, {size} bytes, but '
            f'{info.file_size - member.tell()} are there'
        )
    if size > _LARGE and size > _DENSE * info.compress_size:
        raise ValueError(f'array {name!r} unpacks {info.compress_size} bytes to {size}')
    if dtype.kind in 'US' and dtype.itemsize > _LONGEST:
        raise ValueError(f'names of array {name!r} have {dtype.itemsize} bytes')
    return tuple(shape)
