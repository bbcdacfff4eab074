"""The skeleton pickles of PySKL and MMAction2, read without running code from them.

Only plain values and numpy arrays of numbers are rebuilt, by code of this module:
numpy's own unpickling is never called. Any other name in the file is an error.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmma.layout.problems import Problem, refuse

_NUMBERS = 'biuf'  # kinds of dtype: bool, int, unsigned, float
_BROKEN = (
    *(pickle.UnpicklingError, EOFError, AttributeError, LookupError, TypeError),
    *(ValueError, ArithmeticError, MemoryError, NotImplementedError),
)
FIELDS = ('frame_dir', 'label', 'img_shape', 'total_frames', 'keypoint')


@dataclass(frozen=True)
class SkeletonClip:
    """One annotation of a pickle.

    Attributes:
        name: Its ``frame_dir``.
        label: Index of its class, as released.
        keypoint: (M, T, V, 2) in pixels, float32; 0 where missing.
        score: (M, T, V) in [0, 1], float32; 0 where missing.
        img_shape: Height and width of the picture.
        repaired: Joints made missing for NaN, or whose score was cut to [0, 1].
    """

    name: str
    label: int
    keypoint: np.ndarray
    score: np.ndarray
    img_shape: tuple[int, int]
    repaired: int


@dataclass(frozen=True)
class SkeletonPickle:
    """What a pickle holds.

    Attributes:
        split: Names of clips, by name of split.
        clips: Its annotations.
    """

    split: Mapping[str, tuple[str, ...]]
    clips: tuple[SkeletonClip, ...]


def read_pyskl(path: str | Path) -> SkeletonPickle:
    """Read and check a skeleton pickle.

    Args:
        path: A pickle of ``split`` and ``annotations``, written with numpy 1 or 2.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not a pickle, one with more than plain values and arrays, or not of
            this schema; the first five bad annotations are shown.
    """
    path = Path(path)
    content = load_restricted(path)
    split = content.get('split') if isinstance(content, dict) else None
    rows = content.get('annotations') if isinstance(content, dict) else None
    if not isinstance(split, dict) or not isinstance(rows, list) or not split:
        have = ', '.join(map(str, content)) if isinstance(content, dict) else ''
        raise ValueError(
            f'{path}: a {type(content).__name__} of {have or "nothing named"}; needs '
            "{'split': {name: clips}, 'annotations': [...]}, with at least one split"
        )
    names = {str(k): tuple(str(clip) for clip in v) for k, v in split.items()}
    clips, problems = [], []
    for number, row in enumerate(rows):
        try:
            clips.append(_clip(row))
        except ValueError as error:
            name = row.get('frame_dir', '') if isinstance(row, dict) else ''
            item = f'annotation {number} {name}'.strip()
            problems.append(Problem(str(path), 0, item, str(error)))
    if not rows:
        problems.append(Problem(str(path), 0, '', 'no annotations'))
    refuse(problems, path)
    return SkeletonPickle(names, tuple(clips))


def load_restricted(path: Path) -> Any:
    """Unpickle plain values and arrays of numbers.

    Args:
        path: The pickle.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or names anything else.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file')
    with path.open('rb') as file:
        unpickler = _Unpickler(file, encoding='latin1')
        try:
            return _plain(unpickler.load())
        except _BROKEN as error:
            if unpickler.refused:
                raise ValueError(
                    f'{path}: refused, it names {unpickler.refused}: only dicts, '
                    'lists, tuples, strings, numbers and numpy arrays of numbers are '
                    'read, for a pickle can run any code'
                ) from None
            raise ValueError(
                f'{path}: not a readable pickle of skeletons '
                f'({type(error).__name__}: {error})'
            ) from None


class _Unpickler(pickle.Unpickler):
    """Looks nothing up: a few names stand for makers of this module."""

    refused = ''

    def find_class(self, module: str, name: str) -> Any:
        maker = _MAKERS.get((module.replace('numpy._core', 'numpy.core'), name))
        if maker is None:
            self.refused = f'{module}.{name}'
            raise pickle.UnpicklingError(self.refused)
        return maker()

    def persistent_load(self, pid: Any) -> Any:
        self.refused = f'the persistent object {pid!r}'
        raise pickle.UnpicklingError(self.refused)


class _Dtype:
    """A dtype of numbers."""

    __slots__ = ('value',)

    def __init__(self, name: Any) -> None:
        self.value = np.dtype(str(name))
        if self.value.kind not in _NUMBERS or self.value.shape:
            raise ValueError(f'an array of {name}, not of numbers')

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if any(part is not None for part in state[2:5]):
            raise ValueError('an array of records, not of numbers')
        self.value = self.value.newbyteorder(state[1])


class _Array:
    """An array before and after its state is known."""

    __slots__ = ('value',)

    def __init__(self) -> None:
        self.value = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.value = _array(raw, dtype, shape, 'F' if fortran else 'C')


class _Maker:
    """Stands for a function of numpy; has no attributes that a pickle could set."""

    __slots__ = ()

    def __call__(self, *args: Any) -> Any:
        raise TypeError(f'{type(self).__name__} is not called')


class _Type(_Maker):
    """``numpy.ndarray``, which is only named."""


class _MakeDtype(_Maker):
    def __call__(self, *args: Any) -> Any:
        return _Dtype(args[0])


class _MakeArray(_Maker):
    def __call__(self, *args: Any) -> Any:
        return _Array()


class _MakeFromBuffer(_Maker):
    def __call__(self, *args: Any) -> Any:
        made = _Array()
        made.value = _array(*args)
        return made


class _MakeScalar(_Maker):
    def __call__(self, *args: Any) -> Any:
        return _array(args[1], args[0], (1,), 'C')[0].item()


class _MakeBytes(_Maker):
    """Bytes as protocol 2 writes them: ``_codecs.encode(text, 'latin1')``."""

    def __call__(self, *args: Any) -> Any:
        return str(args[0]).encode('latin1')


_MAKERS: dict[tuple[str, str], type[_Maker]] = {
    ('numpy', 'ndarray'): _Type,
    ('numpy', 'dtype'): _MakeDtype,
    ('numpy.core.multiarray', '_reconstruct'): _MakeArray,
    ('numpy.core.multiarray', 'scalar'): _MakeScalar,
    ('numpy.core.numeric', '_frombuffer'): _MakeFromBuffer,
    ('_codecs', 'encode'): _MakeBytes,
}


def _array(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(dtype, _Dtype):
        raise ValueError('an array without a dtype')
    data = raw.encode('latin1') if isinstance(raw, str) else raw
    # A copy: what is read belongs to nobody else.
    return np.frombuffer(data, dtype.value).reshape(shape, order=order).copy()


def _plain(value: Any, depth: int = 6) -> Any:
    """Arrays in the place of what stands for them; nothing lies deeper than that."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, (_Maker, _Dtype)) or not depth:
        raise ValueError('something else than annotations')
    if isinstance(value, dict):
        return {k: _plain(v, depth - 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(v, depth - 1) for v in value)
    return value


def _clip(row: Any) -> SkeletonClip:
    if not isinstance(row, dict):
        raise ValueError(f'a {type(row).__name__}, expected a dict')
    missing = [f for f in (*FIELDS, 'keypoint_score') if f not in row]
    if missing:
        raise ValueError(f'no {", ".join(missing)}; it has {", ".join(map(str, row))}')
    keypoint, score = (np.asarray(row[k]) for k in ('keypoint', 'keypoint_score'))
    if keypoint.ndim != 4 or keypoint.shape != (*score.shape, 2):
        raise ValueError(
            f'keypoint {keypoint.shape} and keypoint_score {score.shape}: need '
            '(M, T, V, 2) and (M, T, V), in pixels of the picture'
        )
    if not keypoint.size or keypoint.shape[1] != row['total_frames']:
        raise ValueError(
            f'keypoint {keypoint.shape} has no joint, or not the total_frames '
            f'{row["total_frames"]}'
        )
    label, shape = row['label'], row['img_shape']
    if not isinstance(label, int) or isinstance(label, bool) or label < 0:
        raise ValueError(f'label {label!r}: must be a whole number from 0')
    if len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(f'img_shape {shape!r}: must be height and width in pixels')
    keypoint, score, repaired = _repair(keypoint, score)
    height, width = shape
    name = str(row['frame_dir'])
    return SkeletonClip(name, label, keypoint, score, (height, width), repaired)


def _repair(
    keypoint: np.ndarray, score: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """NaN is missing; detectors give scores a little above 1."""
    keypoint, score = keypoint.astype(np.float32), score.astype(np.float32)
    bad = ~np.isfinite(keypoint).all(-1) | ~np.isfinite(score)
    repaired = int((bad | (score < 0) | (score > 1)).sum())
    score = np.where(bad, 0, score.clip(0, 1)).astype(np.float32)
    return np.where(score[..., None] > 0, keypoint, 0), score, repaired
