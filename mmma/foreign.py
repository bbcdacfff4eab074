"""What files of others hold: JSON of any depth, numbers, letters that steer."""

from __future__ import annotations

import gc
import io
import json
import math
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

if TYPE_CHECKING:
    import numpy as np

_CONTROLS = '[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]'
_CONTROL = re.compile(_CONTROLS)
_STEERS = re.compile(rf'(?!^\r|[\n\t]){_CONTROLS}')  # progress starts lines anew
CHECKOUT = Path(__file__).parents[1].joinpath('tools/train.py').is_file()
"""False in a wheel, which has ``mmma train`` instead of ``tools/train.py``."""
_TOOL = re.compile(r'(?:python )?\btools/((?:data/)?[a-z_]+)\.py\b')


def parse_json(text: str, path: Path) -> tuple[Any, list[str]]:
    """Content of the text of a JSON file, and keys that an object has twice.

    Of these, plain reading keeps one in silence. Keys have composed letters (NFC), as
    names everywhere; macOS writes others. The path is for messages: ValueError of what
    is no JSON, nests too deeply, or has a number beyond a float.
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
        told = f'{path}:{error.lineno}: not readable as JSON: {error.msg}'
        raise ValueError(told) from None
    except RecursionError:
        told = f'{path}: not readable as JSON: objects and lists nest too deeply'
        raise ValueError(told) from None
    finally:
        if collects:
            gc.enable()


def has_controls(text: Any) -> bool:
    """True for no text, or one with letters that steer a terminal, as escapes do."""
    return not isinstance(text, str) or bool(_CONTROL.search(text))


def control_faults(texts: Mapping[str, Any]) -> list[str]:
    """Sentences on texts with such letters, by what the texts are."""
    odd = (x for x in texts.items() if isinstance(x[1], str) and has_controls(x[1]))
    told = 'has control characters: write it without them'
    return [f'{what} {text!r} {told}' for what, text in odd]


def shown(text: Any, lines: bool = False) -> str:
    """Text as a terminal may have it, ``\\x1b`` for an escape; one line, or several."""
    letters = _STEERS if lines else _CONTROL
    return letters.sub(
        lambda m: repr(m[0])[1:-1] if m[0] < ' ' else f'\\u{ord(m[0]):04x}', str(text)
    )


def first_line(error: Any) -> str:
    """What a library says, in one line without letters that steer."""
    return shown(str(error).strip().partition('\n')[0] or repr(error))[:300]


def short(text: str) -> str:
    """A message without the middle of what quotes much, in 12 lines at most."""

    def cut(text: str, most: int) -> str:
        fits, end = len(text) <= most, most // 4
        return text if fits else f'{text[: 3 * end - 5]} ... {text[-end:]}'

    return cut('\n'.join(cut(line, 1200) for line in text.split('\n')[:12]), 4000)


def markdown(text: Any) -> str:
    """Text as it looks in Markdown and pages made of it: no links, tags, emphasis."""
    marked = re.sub(r'([\\`*|$~]|](?=[(\[:])|(?<!\w)_|_(?!\w))', r'\\\1', shown(text))
    return re.sub('<(?=[A-Za-z/!?])', '&lt;', marked)


def spreadsheet(text: Any) -> str:
    """Text of a cell that no spreadsheet runs: ``'`` before all but a number."""
    runs = re.match(r'\s*[-=+@\t\r](?![\d.]+(e-?\d+)?$)', str(text))
    return f"'{shown(text)}" if runs else shown(text)


def called(text: str) -> str:
    """Text with tools called as they are here: ``mmma train`` without a checkout."""
    return text if CHECKOUT else _TOOL.sub(r'mmma \1', text)


class _Shown:
    """A stream of text that is :func:`called` and :func:`shown`."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> Any:
        return self.stream.write(shown(called(text), lines=True))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def shown_streams() -> Iterator[None]:
    """Show what is printed meanwhile, on both streams, whoever wrote it."""
    with (
        redirect_stdout(_Shown(sys.stdout or io.StringIO())),
        redirect_stderr(_Shown(sys.stderr or io.StringIO())),
    ):
        yield


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Put a file before what is wrong with it, unless the text names it."""
    try:
        yield
    except ValueError as error:
        head = '' if str(path) in str(error) else f'{path}: '
        raise ValueError(f'{head}{error}') from None


def is_number(value: Any) -> bool:
    """True for a finite number of JSON; a bool is none."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


def finite(text: str) -> float:
    """Number of a text; raises ValueError for others, NaN and infinite ones."""
    if math.isfinite(number := float(text)):
        return number
    raise ValueError(f'{number} is no finite number')


def read_npz(path: Path, names: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Arrays of these names of a ``.npz`` of others, or all; headers are read first.

    A damaged one, text that is none, and arrays of some names that are of other lengths
    than the first raise ValueError.
    """
    from numpy.lib import format as npy

    headers = npy.read_array_header_2_0, npy.read_array_header_1_0
    try:
        with zipfile.ZipFile(path) as archive:
            every = {i.filename.removesuffix('.npy'): i for i in archive.infolist()}
            if len(every) < len(archive.infolist()):
                raise ValueError('an array is there twice')
            packed = {n: every[n] for n in names or every if n in every}
            shapes = []
            for name, info in packed.items():
                with archive.open(info) as file:
                    old = npy.read_magic(file) == (1, 0)
                    shape, _, dtype = headers[old](file)
                    size = math.prod(shape) * dtype.itemsize
                    shapes += [shape] if 'scores' in name or not shapes else []
                    lies = size + file.tell() != info.file_size and not dtype.hasobject
                many = size > max(2**28, 200 * info.compress_size)
                if lies or many or not dtype.itemsize:
                    raise ValueError(f'{name} say they are {shape} of {dtype}')
            fit = math.prod(shapes[0]) if names and shapes else None
            if odd := [own for own in shapes[1:] if names and own[:1] != (fit,)]:
                raise ValueError(f'scores of shape {odd[0]} do not fit {fit} clips')
            arrays = {
                name: npy.read_array(archive.open(info), allow_pickle=False)
                for name, info in packed.items()
            }
            for name, array in arrays.items():
                if array.dtype.kind == 'U' and array.size:  # four bytes a letter
                    letters = array.reshape(-1).view(array.dtype.str[0] + 'u4')
                    if letters.max() > sys.maxunicode:
                        raise ValueError(f'{name} are no text')
            return arrays
    except Exception as error:  # zipfile, its methods and numpy raise what they like
        raise ValueError(first_line(error)) from None


def check_texts(content: Mapping[str, Any], *keys: str) -> None:
    """Refuse a value of these keys, where there is one, that is no object of texts."""
    for key in keys:
        value = content.get(key, {})
        if not isinstance(value, dict):
            raise ValueError(f'{key} must be an object, not {value!r}')
        for name, text in value.items():
            if not isinstance(text, str):
                raise ValueError(f'{key}.{name} must be text, not {text!r}')


class Shown:
    """What has rows (dicts) and bars: a label; lane, start, end, text[, low, high]."""

    def to_frame(self, *of: str) -> Any:
        """A pandas table of the rows; ValueError where there is no pandas."""
        try:
            from pandas import DataFrame
        except ModuleNotFoundError:
            raise ValueError('to_frame() needs pandas: pip install pandas') from None
        plain = str, int, float, type(None)
        rows = [row.items() for row in self._rows(*of)]
        return DataFrame([{k: v for k, v in r if isinstance(v, plain)} for r in rows])

    def plot(self, *of: str, ax: Any = None) -> Any:
        """Draw the bars into Matplotlib's axes, by default new ones; returns them."""
        from matplotlib import pyplot

        label, *bars = self._bars(*of)
        size = 9, max(4, len({bar[0] for bar in bars}) / 4)
        ax = ax or pyplot.subplots(figsize=size, layout='constrained')[1]
        for lane, start, end, text, *ends in bars:
            at = str(lane).replace('$', r'\$')
            ax.barh(at, end - start, left=start, alpha=0.5)
            ax.plot(ends, [at] * len(ends), color='#444444', lw=1)
            ax.text(start, at, f' {text}', size=8, va='center', parse_math=False)
        ax.set_xlabel(label)
        ax.invert_yaxis()
        return ax
