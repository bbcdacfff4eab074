"""Converter of the skeleton pickles of PySKL and MMAction2.

Only plain values and numpy arrays of numbers are rebuilt, by code of this module:
numpy's own unpickling is never called. Any other name in the file is an error.

Source: MMAction2, docs of ``PoseDataset``; PYSKL, tools/data/README.md, 3f6795f2.
"""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmma.data.arrays import SkeletonWriter
from mmma.data.clips import Clip
from mmma.data.convert.target import (
    Conversion,
    Options,
    UserMapping,
    open_source,
    prepare,
    write,
)
from mmma.data.joints import JOINT_SETS, WHOLEBODY65, JointLayout, get_layout
from mmma.data.root import DatasetInfo
from mmma.files import Problem, refuse
from mmma.taxonomy import (
    SUBSETS,
    LabelSpace,
    check_choice,
    load_label_space,
    suggest,
)

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


SUFFIXES = ('.pkl', '.pickle')
FPS = 30.0


def _coco17() -> JointLayout:
    body = set(JOINT_SETS['body17'])
    return JointLayout(
        names=JOINT_SETS['body17'],
        flip_pairs=tuple(p for p in WHOLEBODY65.flip_pairs if body.issuperset(p)),
        limbs=tuple(p for p in WHOLEBODY65.limbs if body.issuperset(p)),
    )


LAYOUTS = {17: _coco17(), 65: WHOLEBODY65}
"""Layouts by number of joints; others need the mapping's ``layout``."""


@dataclass(frozen=True)
class PickleMapping(UserMapping):
    """Fields of a ``--mapping`` file: what a pickle does not tell.

    Attributes:
        label_space: Space whose indices the labels are.
        splits: Name of a split -> subset, or '' to leave it; those not named here
            count if they are a subset or end in ``_`` and one.
        layout: Fields of the joint layout, if it is not known by its number of joints.
    """

    label_space: str = 'mma82'
    splits: dict[str, str] = field(default_factory=dict)
    layout: dict[str, Any] | None = None

    def check(self) -> None:
        """Refuse names that do not exist."""
        super().check()
        for subset in filter(None, self.splits.values()):
            check_choice('subset', subset, SUBSETS)

    def subset_of(self, split: str) -> str | None:
        """Subset that a split becomes, if any."""
        if split in self.splits:
            return self.splits[split] or None
        last = split.rpartition('_')[2]
        return last if last in SUBSETS else None


def convert_pyskl(source: Path, out: Path, options: Options) -> Conversion:
    """Convert a skeleton pickle into a root without videos.

    Args:
        source: The pickle, or a folder with one at any depth.
        out: The data root to write.
        options: What the user chose; ``fps`` is that of all clips, ``mapping`` a
            :class:`PickleMapping`.

    Raises:
        FileNotFoundError: No such file or folder, or no pickle in it.
        ValueError: A pickle that is refused or bad, labels beyond the label space,
            joints of no known layout, or a bad place to write.
    """
    tree, path = open_source(source, SUFFIXES, 'pickle')
    prepare(tree, out, options)
    mapping = PickleMapping.read(options.mapping)
    space = load_label_space(mapping.label_space)
    content = read_pyskl(path)
    conversion = Conversion()
    subsets = _subsets(content, mapping, path, conversion.notices)
    chosen = [clip for clip in content.clips if clip.name in subsets]
    layout = _layout(chosen, mapping, path)
    _check(chosen, space, layout, path)
    conversion.clips = [
        Clip(c.name, '', subsets[c.name], mapping.domain_of(c.name), '', c.label, None)
        for c in chosen
    ]
    conversion.notices += _assumed(content, chosen, mapping, options)
    kept = list(conversion.notices)
    info = DatasetInfo(path.stem, space.name, False, f'skeleton pickle {path.name}')
    write(conversion, info, space, (tree, out), options)
    _write_skeletons(chosen, layout, out, options.fps or FPS)
    conversion.notices = kept  # skeletons that were there before are replaced
    return conversion


def _subsets(
    content: SkeletonPickle, mapping: PickleMapping, path: Path, notices: list[str]
) -> dict[str, str]:
    """Subset of each clip that is in a split taken."""
    for split in mapping.splits:
        if split not in content.split:
            raise ValueError(
                f'{path}: no split {split!r}; it has {", ".join(content.split)}.'
                f'{suggest(split, content.split)}'
            )
    taken = {s: mapping.subset_of(s) for s in content.split}
    wanted = Counter(subset for subset in taken.values() if subset)
    again = [subset for subset, count in wanted.items() if count > 1]
    if again or not wanted:
        what = f'several splits for {again[0]}' if again else 'no split is a subset'
        raise ValueError(
            f'{path}: {what}: {", ".join(taken)}. Say which are train, val and test: '
            '--mapping FILE with {"splits": {"xsub_train": "train", "xview_train": ""}}'
        )
    have = {clip.name for clip in content.clips}
    found: dict[str, str] = {}
    for split, subset in taken.items():
        lost = [name for name in content.split[split] if subset and name not in have]
        twice = [name for name in content.split[split] if subset and name in found]
        if lost or twice:
            reason = 'have no annotation' if lost else 'are in another subset too'
            raise ValueError(
                f'{path}: split {split!r}: {len(lost or twice)} clips {reason}, such '
                f'as {(lost or twice)[0]!r}'
            )
        if subset:
            found.update(dict.fromkeys(content.split[split], subset))
        else:
            notices.append(f'split {split} is left out')
    return found


def _layout(
    clips: Iterable[SkeletonClip], mapping: PickleMapping, path: Path
) -> JointLayout:
    counts = sorted({clip.keypoint.shape[2] for clip in clips})
    if mapping.layout is not None:
        layout = get_layout(mapping.layout)
    elif counts and counts[0] in LAYOUTS:
        layout = LAYOUTS[counts[0]]
    else:
        known = ' or '.join(map(str, LAYOUTS))
        raise ValueError(
            f'{path}: clips of {", ".join(map(str, counts)) or "no"} joints; {known} '
            'are known (COCO, COCO-WholeBody without the face). Name the joints: '
            '--mapping FILE with {"layout": {"names": [...], "flip_pairs": [...], '
            '"limbs": [...]}}'
        )
    return replace(layout, extractor=layout.extractor or 'pyskl')


def _check(
    clips: list[SkeletonClip], space: LabelSpace, layout: JointLayout, path: Path
) -> None:
    joints, problems = len(layout.names), []
    for clip in clips:
        if clip.label >= space.num_actions:
            text = (
                f'label {clip.label}, but {space.name} has 0..{space.num_actions - 1}'
            )
            problems.append(Problem(str(path), 0, clip.name, text))
        if clip.keypoint.shape[2] != joints:
            text = f'{clip.keypoint.shape[2]} joints, the layout has {joints}'
            problems.append(Problem(str(path), 0, clip.name, text))
    refuse(problems, path)


def _assumed(
    content: SkeletonPickle,
    chosen: list[SkeletonClip],
    mapping: PickleMapping,
    options: Options,
) -> list[str]:
    notices = [f'labels are taken as indices of {mapping.label_space}']
    if not options.fps:
        notices.append(f'{FPS:g} frames per second assumed (--fps)')
    if len(chosen) < len(content.clips):
        left = len(content.clips) - len(chosen)
        notices.append(f'{left} clips are in no split that was taken')
    repaired = sum(clip.repaired for clip in chosen)
    if repaired:
        notices.append(
            f'{repaired} joints had NaN, and are missing now, or scores outside '
            '[0, 1], which were cut'
        )
    return notices


def _write_skeletons(
    clips: list[SkeletonClip], layout: JointLayout, out: Path, fps: float
) -> None:
    most = max(len(clip.keypoint) for clip in clips)
    with SkeletonWriter(out, 'rec', layout, most) as writer:
        for clip in clips:
            height, width = clip.img_shape
            writer.append(clip.name, clip.keypoint, clip.score, fps, width, height)
