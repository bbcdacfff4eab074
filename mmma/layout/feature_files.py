"""What lies beside an array of features: the index, and what made them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from mmma.layout.paths import atomic_write, read_text
from mmma.taxonomy import check_choice

INFO_FILE = 'features.json'
INDEX_COLUMNS = ('name', 'start', 'steps')
DTYPES = ('float16', 'float32')


class FeatureRow(NamedTuple):
    """One row of an index.

    Attributes:
        name: Clip or video.
        start: Its first row in the array.
        steps: T, its number of rows.
    """

    name: str
    start: int
    steps: int


@dataclass(frozen=True)
class FeaturesInfo:
    """What ``features.json`` says: how features lie in time, and what made them.

    Feature t of a video belongs to the time ``offset_sec + t * stride_sec``.

    Attributes:
        stride_sec: Seconds from one feature to the next.
        dim: D.
        offset_sec: Time of the first: the middle of the frames that it sees.
        fps: Frames per second that the backbone saw.
        dtype: ``float16`` or ``float32``, as stored.
        backbone: What made them: a config or model name.
        weights_sha256: Of the checkpoint.
        data_fingerprint: Of the data root, as ``DataRoot.fingerprint`` gives it.

    Raises:
        ValueError: A value of another type or range.
    """

    stride_sec: float
    dim: int
    offset_sec: float = 0.0
    fps: float | None = None
    dtype: str = 'float16'
    backbone: str = ''
    weights_sha256: str = ''
    data_fingerprint: str = ''

    def __post_init__(self) -> None:
        check_choice('dtype', self.dtype, DTYPES)
        for name in ('stride_sec', 'dim', 'fps'):
            value = getattr(self, name)
            if name == 'fps' and value is None:
                continue
            if not _is_number(value) or value <= 0:
                raise ValueError(f'{name} {value!r}: must be a number above 0')
        if not _is_number(self.offset_sec):
            raise ValueError(f'offset_sec {self.offset_sec!r}: must be a number')
        if self.dim != int(self.dim):
            raise ValueError(f'dim {self.dim!r}: must be a whole number')


def read_features_info(folder: Path) -> FeaturesInfo:
    """Read ``features.json``.

    Args:
        folder: ``features/<name>`` of a data root.

    Raises:
        FileNotFoundError: There is none.
        ValueError: Not JSON, or a key that is missing, unknown or bad.
    """
    file = Path(folder) / INFO_FILE
    try:
        content = json.loads(read_text(file))
        known = tuple(field.name for field in fields(FeaturesInfo))
        for key in content:
            check_choice('key', key, known)
        return FeaturesInfo(**content)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f'{file}: {error}') from None


def write_features_info(folder: Path, info: FeaturesInfo) -> None:
    """Write ``features.json``.

    Args:
        folder: ``features/<name>`` of a data root.
        info: What to write.
    """
    with atomic_write(Path(folder) / INFO_FILE) as file:
        file.write(json.dumps(asdict(info), indent=1) + '\n')


def read_feature_index(path: Path, partial: bool = False) -> dict[str, FeatureRow]:
    """Read an index.

    Args:
        path: ``rec_index.csv`` or ``det_index.csv``.
        partial: It may be cut off in the middle of its last line, which is left out.

    Returns:
        Rows by name, in the order of the file, one after the other in the array.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Another header, a bad row, or a name twice.
    """
    text = read_text(path)
    if partial:
        text = text[: text.rfind('\n') + 1]
    lines = list(csv.reader(io.StringIO(text)))
    if not lines or tuple(lines[0]) != INDEX_COLUMNS:
        raise ValueError(f'{path}:1: the header must be {",".join(INDEX_COLUMNS)}')
    rows: dict[str, FeatureRow] = {}
    start = 0
    for line, values in enumerate(lines[1:], start=2):
        try:
            name, first, steps = values[0], int(values[1]), int(values[2])
        except (ValueError, IndexError) as error:
            raise ValueError(f'{path}:{line}: bad row {values}: {error}') from None
        if name in rows or first != start or steps < 1:
            raise ValueError(
                f'{path}:{line}: {name!r} must be there once, start at {start} and '
                f'have 1 step or more, not start at {first} with {steps}'
            )
        rows[name] = FeatureRow(name, first, steps)
        start += steps
    return rows


def index_line(row: tuple[Any, ...]) -> str:
    """A line of an index, with its end.

    Args:
        row: The header or a ``FeatureRow``.
    """
    line = io.StringIO()
    csv.writer(line, lineterminator='\n').writerow(row)
    return line.getvalue()


def differences(info: FeaturesInfo, wanted: Mapping[str, Any]) -> list[str]:
    """What differs from what is wanted, in words.

    Args:
        info: What there is.
        wanted: Some of its fields; None wants nothing. Hashes may be shortened, and
            times agree to a millionth.
    """
    found = []
    for key, value in wanted.items():
        check_choice('feature option', key, tuple(f.name for f in fields(info)))
        own = getattr(info, key)
        if value is None:
            continue
        if isinstance(value, float) and own is not None:
            same = math.isclose(own, value, rel_tol=1e-6, abs_tol=1e-9)
        elif key in ('weights_sha256', 'data_fingerprint') and value:
            same = own.startswith(value)
        else:
            same = own == value
        if not same:
            found.append(f'{key} is {own!r}, wanted {value!r}')
    return found


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
