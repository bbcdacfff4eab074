"""Converter of the skeleton pickles of PySKL and MMAction2.

Only plain values and numpy arrays of numbers are rebuilt, by code of this module:
numpy's own unpickling is never called. Any other name in the file is an error.

Source: MMAction2, docs of ``PoseDataset``; PYSKL, tools/data/README.md, 3f6795f2.
"""

import mmap
import pickle
import pickletools
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmma.convert.detection import SUBSET_NAMES
from mmma.convert.target import Conversion, Options, UserMapping, list_sources
from mmma.data.arrays import SkeletonWriter
from mmma.data.clips import Clip
from mmma.data.joints import LAYOUTS, MAX_SIDE, JointLayout, get_layout
from mmma.data.root import DatasetInfo
from mmma.files import SHOWN, OddEntries
from mmma.foreign import control_faults, first_line, naming, shown
from mmma.taxonomy import SUBSETS, LabelSpace, index_notes, load_label_space, suggest

SUFFIXES = ('.pkl', '.pickle')
NEEDED = ('frame_dir', 'keypoint', 'img_shape')
FPS = 30.0
_BY_COUNT = {len(v.names): v for k, v in LAYOUTS.items() if k != 'openpose25'}
"""Layouts by number of joints; the mapping names others. Kinect has 25 as well."""
_WORDS = {subset: subset for subset in SUBSETS} | SUBSET_NAMES | {'valid': 'val'}
_NUMBERS = 'biuf'  # kinds of dtype: bool, int, unsigned, float
_PUTS = ('PUT', 'BINPUT', 'LONG_BINPUT')
_DEPTH = 6  # of containers in each other
_BROKEN = (
    *(pickle.UnpicklingError, EOFError, AttributeError, LookupError, TypeError),
    *(ValueError, ArithmeticError, MemoryError, NotImplementedError),
)


def load_restricted(path: Path) -> Any:
    """Unpickle plain values and arrays of numbers; anything else raises ValueError."""
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file')
    refused = ''
    with path.open('rb') as file:
        try:
            # Mapped: a read of more than there is allocates nothing.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                _check_memo(content)
                content.seek(0)
                unpickler = _Unpickler(content, encoding='latin1')
                try:
                    return _plain(unpickler.load(), {})
                finally:
                    refused = unpickler.refused
        except _BROKEN as error:
            if refused:
                raise ValueError(
                    f'{path}: refused, it names {refused}: only dicts, '
                    'lists, tuples, strings, numbers and numpy arrays of numbers are '
                    'read, for a pickle can run any code'
                ) from None
            raise ValueError(
                f'{path}: not a readable pickle of skeletons '
                f'({type(error).__name__}: {first_line(error)})'
            ) from None


def _check_memo(content: Any) -> None:
    """Refuse a pickle that numbers values as no writer does.

    The memo of the unpickler is as long as the highest number says.
    """
    for count, (opcode, number, _) in enumerate(pickletools.genops(content)):
        if opcode.name in _PUTS and number > count:
            raise pickle.UnpicklingError(f'value {number} of a memo of {count} at most')


class _Unpickler(pickle.Unpickler):
    """Looks nothing up: the allowed names stand for functions of this module."""

    refused = ''

    def find_class(self, module: str, name: str) -> Any:
        make = _ALLOWED.get((module.replace('numpy._core', 'numpy.core'), name))
        if make is None:
            self.refused = shown(f'{module}.{name}')[:300]
            raise pickle.UnpicklingError(self.refused)
        # One of its own each time: a pickle can set attributes of a function.
        return lambda *args: make(*args)

    def persistent_load(self, pid: Any) -> Any:
        self.refused = f'the persistent object {pid!r:.300}'
        raise pickle.UnpicklingError(self.refused)


class _Dtype:
    """A dtype of numbers; ``args`` as of ``numpy.dtype``."""

    __slots__ = ('value',)

    def __init__(self, *args: Any) -> None:
        self.value = np.dtype(str(args[0]))
        if self.value.kind not in _NUMBERS or self.value.shape:
            raise ValueError(f'an array of {args[0]}, not of numbers')

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if any(part is not None for part in state[2:5]):
            raise ValueError('an array of records, not of numbers')
        self.value = self.value.newbyteorder(state[1])


class _Array:
    """An array, filled by its state or by its buffer."""

    __slots__ = ('value',)

    def __init__(self, *args: Any) -> None:
        self.value = _array(*args) if args else np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.value = _array(raw, dtype, shape, 'F' if fortran else 'C')


def _array(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(dtype, _Dtype):
        raise ValueError('an array without a dtype')
    data = raw.encode('latin1') if isinstance(raw, str) else raw
    # A copy: what is read belongs to nobody else.
    return np.frombuffer(data, dtype.value).reshape(shape, order=order).copy()


def _only_named(*args: Any) -> Any:
    raise TypeError('numpy.ndarray is not called')


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ('numpy', 'ndarray'): _only_named,
    ('numpy', 'dtype'): _Dtype,
    ('numpy.core.multiarray', '_reconstruct'): lambda *args: _Array(),
    ('numpy.core.multiarray', 'scalar'): lambda *args: _array(
        args[1], args[0], (1,), 'C'
    )[0].item(),
    ('numpy.core.numeric', '_frombuffer'): _Array,
    # Bytes as protocol 2 writes them: encode(text, 'latin1').
    ('_codecs', 'encode'): lambda *args: str(args[0]).encode('latin1'),
}


def _plain(value: Any, known: dict[int, Any], depth: int = _DEPTH) -> Any:
    """The value with arrays in the place of what stands for them.

    A container that stands at many places is made once: a small file cannot ask for
    much memory.
    """
    if isinstance(value, _Array):
        return value.value
    if not depth:
        raise ValueError('nested too deeply: keypoints must be numpy arrays')
    if isinstance(value, _Dtype) or callable(value):
        raise ValueError('something else than annotations')
    if not isinstance(value, (dict, list, tuple)):
        return value
    if id(value) not in known:
        if isinstance(value, dict):
            made = {k: _plain(v, known, depth - 1) for k, v in value.items()}
        else:
            made = type(value)(_plain(v, known, depth - 1) for v in value)
        known[id(value)] = made
    return known[id(value)]


def read_pyskl(
    path: Path, subset: str = '', strict: bool = False
) -> tuple[dict[str, tuple[str, ...]], list[dict[str, Any]], list[str]]:
    """Read and check a skeleton pickle.

    Args:
        path: A pickle of ``split`` and ``annotations``, of annotations in a list or by
            name, of lists by split, or of one annotation; of numpy 1 or 2.
        subset: Of clips without ``split``; by default the one in the file's name.

    Returns:
        Names of clips by name of split; the annotations: frame_dir, label, img_shape of
        ``MAX_SIDE`` at most, keypoint (M, T, V, 2) in pixels and keypoint_score (M, T,
        V) in [0, 1], float32, 0 where missing, ``repaired``, the number of those made
        missing for NaN or a place far outside, or whose score was cut, ``scaled`` and
        ``unscored``; V is 0 where nobody was found and the file does not tell it; and
        lines on what was left out.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not a pickle, one with more than plain values and arrays, or not of
            this schema; most annotations are bad: the first five are shown.
    """
    content = load_restricted(path)
    split, rows = _parts_of(content)
    if not isinstance(rows, (list, tuple)) or split == {}:
        have = ', '.join(map(str, content)) if isinstance(content, dict) else ''
        raise ValueError(
            f'{path}: a {type(content).__name__} of {have or "nothing named"}; needs '
            "{'split': {name: clips}, 'annotations': [...]}, with at least one split, "
            'or a list of annotations'
        )
    clips: dict[str, dict[str, Any]] = {}
    odd = OddEntries(path)
    odd.total = len(rows)
    for number, row in enumerate(rows):
        try:
            clip = _checked(row)
            if clip['frame_dir'] in clips:
                raise ValueError('is there twice')
            clips[clip['frame_dir']] = clip
        except (ValueError, TypeError) as error:
            name = row.get('frame_dir', '') if isinstance(row, dict) else ''
            item = f'annotation {number} {name}'.strip()
            odd.add(0, item, str(error))
    if not rows:
        odd.add(0, '', 'no annotations')
    notices = odd.notes(strict)
    if isinstance(split, dict):
        names = {str(k): tuple(str(clip) for clip in v) for k, v in split.items()}
    else:
        names = {subset or _subset_in(path): tuple(clips)}
    return names, list(clips.values()), notices


def _parts_of(content: Any) -> tuple[Any, Any]:
    """Splits and annotations of a pickle in any of its forms, where it has them."""
    if isinstance(content, (list, tuple)):
        return None, content
    if not isinstance(content, dict):
        return None, None
    if 'annotations' in content:
        return content.get('split'), content['annotations']
    if 'keypoint' in content:  # as pose extraction writes one per video
        return None, [content]
    values = content.values()
    if values and all(isinstance(v, dict) and 'keypoint' in v for v in values):
        return None, [{'frame_dir': name, **row} for name, row in content.items()]
    if values and all(isinstance(v, (list, tuple)) for v in values):
        rows = {k: [r for r in v if isinstance(r, dict)] for k, v in content.items()}
        split = {k: [r.get('frame_dir') for r in own] for k, own in rows.items()}
        return split, [row for own in values for row in own]
    return None, None


def _subset_in(path: Path) -> str:
    """The subset that a file's name has among its words."""
    words = re.split(r'[^a-z]+', path.stem.lower())
    found = {_WORDS[word] for word in words if word in _WORDS}
    if len(found) != 1:
        raise ValueError(
            f'{path}: a list of annotations without splits, and the name of the file '
            f'has {"several subsets" if found else "no subset"}. Say which it is: '
            '--mapping FILE with {"subset": "train"}, or name the file ..._train.pkl'
        )
    return found.pop()


def _checked(row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ValueError(f'a {type(row).__name__}, expected a dict')
    row = {'img_shape': row.get('original_shape'), **row}
    missing = [f for f in NEEDED if row.get(f) is None]
    if missing:
        raise ValueError(f'no {", ".join(missing)}; it has {", ".join(map(str, row))}')
    keypoint, score = np.asarray(row['keypoint']), row.get('keypoint_score')
    if score is None and keypoint.shape[-1:] == (3,):  # x, y, score
        keypoint, score = keypoint[..., :2], keypoint[..., 2]
    unscored = score is None
    score = keypoint.any(-1) if unscored else np.asarray(score)
    if keypoint.ndim == 3 and keypoint.size:  # of one person
        keypoint, score = keypoint[None], score[None]
    frames, scaled = row.get('total_frames', keypoint.shape[1:2]), False
    frames = frames[0] if isinstance(frames, tuple) else frames
    if not keypoint.size and not score.size and isinstance(frames, int) and frames > 0:
        joints = keypoint.shape[2] if keypoint.ndim == 4 else 0  # nobody was found
        keypoint = np.zeros((1, frames, joints, 2))
        score = keypoint[..., 0]
    if keypoint.ndim != 4 or keypoint.shape != (*score.shape, 2):
        raise ValueError(
            f'keypoint {keypoint.shape} and keypoint_score {score.shape}: need '
            '(M, T, V, 2) and (M, T, V), in pixels of the picture'
        )
    if keypoint.shape[1] != frames or frames < 1:
        told = f'has not the total_frames {frames}, 1 or more'
        raise ValueError(f'keypoint {keypoint.shape} {told}')
    label = -1 if row.get('label') is None else row['label']
    shape = np.asarray(row['img_shape']).tolist()
    if not isinstance(label, int) or isinstance(label, bool) or label < -1:
        told = 'must be a whole number from 0; -1 or none withholds it'
        raise ValueError(f'label {label!r}: {told}')
    name = str(row['frame_dir'])
    for fault in control_faults({'frame_dir': name}):
        raise ValueError(fault)
    if len(shape) != 2 or not all(isinstance(n, int) and 0 < n < 1e6 for n in shape):
        raise ValueError(f'img_shape {shape!r}: must be height and width in pixels')
    keypoint, score = keypoint.astype(np.float32), score.astype(np.float32)
    if max(shape) > MAX_SIDE:
        scale, scaled = MAX_SIDE / max(shape), True
        keypoint = keypoint * np.float32(scale)
        shape = [max(1, round(side * scale)) for side in shape]
    # NaN fails too, and so does what no store can hold.
    bad = ~(np.abs(keypoint) <= MAX_SIDE).all(-1) | ~np.isfinite(score)
    bad &= score != 0
    repaired = int((bad | (score < 0) | (score > 1)).sum())
    # Bad ones are missing; detectors give scores a little above 1.
    score = np.where(bad, 0, score.clip(0, 1)).astype(np.float32)
    keypoint = np.where(score[..., None] > 0, keypoint, 0)
    facts = dict(frame_dir=name, label=label, img_shape=tuple(shape))
    changes = dict(repaired=repaired, scaled=scaled, unscored=unscored)
    return dict(**facts, keypoint=keypoint, keypoint_score=score, **changes)


def convert_pyskl(source: Path, out: Path, options: Options) -> Conversion:
    """Convert a skeleton pickle, or a folder of them, into a root without videos.

    The mapping may have ``splits``, ``subset`` and ``layout``; ``fps`` is that of all
    clips. Pickles of one folder make one root, so they may not share clips, nor splits
    other than subsets.
    """
    tree, paths = list_sources(source, SUFFIXES, 'pickle')
    conversion = Conversion(tree, out, options)
    keys, asked = ('splits', 'subset', 'layout'), options.label_space
    mapping = UserMapping.read(options.mapping, *keys, label_space=asked)
    space = load_label_space(mapping.label_space or 'mma82')
    path = paths[0] if len(paths) == 1 else tree.path
    notices, split, rows = conversion.notices, {}, []
    have: set[str] = set()
    for file in paths:
        own, found, left_out = read_pyskl(file, mapping.subset, options.strict)
        names = {row['frame_dir'] for row in found}
        shared = own.keys() & split.keys() - set(SUBSETS)
        if again := sorted(shared) or sorted(names & have):
            raise ValueError(
                f'{tree.path}: {len(paths)} pickles, of which several have '
                f'{again[0]!r}; give one of them, or give each clips and a subset of '
                'its own'
            )
        split.update({key: (*split.get(key, ()), *own[key]) for key in own})
        rows, have = [*rows, *found], have | names
        notices += left_out
    subsets = _subsets(split, have, mapping.splits, path, notices, options.strict)
    chosen = [row for row in rows if row['frame_dir'] in subsets]
    layout = _layout(chosen, mapping.layout, path)
    most = len(chosen)
    chosen, left_out = _fitting(chosen, space, len(layout.names), path, options.strict)
    notices += [*left_out, f'labels are taken as indices of {space.name}']
    if not options.fps:
        notices.append(f'{FPS:g} frames per second assumed (--fps)')
    if most < len(rows):
        notices.append(f'{len(rows) - most} clips are in no split that was taken')
    notices += _repairs(chosen)
    for row in chosen:
        name = row['frame_dir']
        place = ('', subsets[name], mapping.domain_of(name), '')
        label = None if row['label'] < 0 else row['label']
        conversion.clips.append(Clip(name, *place, label, None))
    notices += index_notes({row['label'] for row in chosen} - {-1}, path.name)
    kept = list(notices)
    most = max(len(row['keypoint']) for row in chosen)

    def write_store() -> None:
        with SkeletonWriter(out, 'rec', layout, most) as writer:
            for row in chosen:
                height, width = row['img_shape']
                joints = row['keypoint'], row['keypoint_score']
                fps = options.fps or FPS
                writer.append(row['frame_dir'], *joints, fps, width, height)
            conversion.end_old()

    title = f'skeleton pickle {path.name}'
    info = DatasetInfo(path.stem, space.plain(), False, title)
    conversion.write(info, space, write_store)
    conversion.notices = kept  # skeletons that were there before are replaced
    return conversion


def _repairs(rows: list[dict[str, Any]]) -> list[str]:
    """Lines on what was changed in clips, and on clips without any joint."""
    told = {
        'repaired': 'joints had NaN or lay far outside, and are missing now, or scores '
        'outside [0, 1], which were cut',
        'scaled': 'clips are of larger pictures: joints, width and height are scaled '
        f'down to {MAX_SIDE} pixels',
        'unscored': 'clips have no scores: a joint is found where it is not at 0, 0',
    }
    counts = ((sum(row[key] for row in rows), text) for key, text in told.items())
    notices = [f'{count} {text}' for count, text in counts if count]
    empty = [row['frame_dir'] for row in rows if not row['keypoint_score'].any()]
    if empty:
        shown = ', '.join(empty[:SHOWN]) + (', ...' if len(empty) > SHOWN else '')
        notices.append(f'{len(empty)} clips in which nobody was found: {shown}')
    return notices


def _subsets(
    split: dict[str, tuple[str, ...]],
    have: set[str],
    asked: dict[str, str],
    path: Path,
    notices: list[str],
    strict: bool,
) -> dict[str, str]:
    """Subset of each clip that is in a split taken.

    Splits that the user does not name count if they are a subset or end in ``_`` and
    one. A clip of several subsets stays where it is tested last.
    """
    for name in asked:
        if name not in split:
            raise ValueError(
                f'{path}: no split {name!r}; it has {", ".join(split)}.'
                f'{suggest(name, split)}'
            )
    taken = {name: asked.get(name, name.rpartition('_')[2]) for name in split}
    wanted = Counter(subset for subset in taken.values() if subset in SUBSETS)
    again = [subset for subset, count in wanted.items() if count > 1]
    if again or not wanted:
        what = f'several splits for {again[0]}' if again else 'no split is a subset'
        raise ValueError(
            f'{path}: {what}: {", ".join(taken)}. Say which are train, val and test: '
            '--mapping FILE with {"splits": {"xsub_train": "train", "xview_train": ""}}'
        )
    found: dict[str, str] = {}
    left = (name for name, subset in taken.items() if subset not in SUBSETS)
    notices += [f'split {name} is left out' for name in left]
    order = {subset: name for name, subset in taken.items()}
    for name in (order[s] for s in SUBSETS[::-1] if s in order):  # tested clips first
        odd = OddEntries(path)
        odd.total = len(split[name])
        for clip in split[name]:
            if clip in found or clip not in have:
                told = 'is in another subset too', 'has no annotation'
                odd.add(0, f'split {name!r}, {clip}', told[clip not in found])
        notices += odd.notes(strict)
        new = (clip for clip in split[name] if clip in have and clip not in found)
        found.update(dict.fromkeys(list(new), taken[name]))
    return found


def _layout(
    rows: list[dict[str, Any]], asked: str | dict[str, Any] | None, path: Path
) -> JointLayout:
    counts = Counter(row['keypoint'].shape[2] for row in rows)
    del counts[0]  # clips in which nobody was found
    usual = counts.most_common(1)[0][0] if counts else 0
    if asked is not None:
        with naming('layout of --mapping'):
            layout = get_layout(asked)
    elif usual in _BY_COUNT:
        layout = _BY_COUNT[usual]
    else:
        known = ', '.join(map(str, sorted(_BY_COUNT)))
        raise ValueError(
            f'{path}: clips of {", ".join(map(str, sorted(counts))) or "no"} joints; '
            f'{known} are known. Name the layout: --mapping FILE with {{"layout": '
            f'NAME}}, one of {", ".join(LAYOUTS)}, or with {{"layout": {{"names": '
            '[...], "flip_pairs": [...], "limbs": [...]}}'
        )
    return replace(layout, extractor=layout.extractor or 'pyskl')


def _fitting(
    rows: list[dict[str, Any]], space: LabelSpace, joints: int, path: Path, strict: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Clips of the layout, and a line on others; a clip without a joint fits any."""
    odd, top = OddEntries(path), space.num_actions
    for row in rows:  # one label outside puts all of them in doubt
        if row['label'] >= top:
            text = f'label {row["label"]}, but {space.name} has 0..{top - 1}'
            odd.add(0, row['frame_dir'], text)
    odd.notes(strict=True)
    odd.total, fitting = len(rows), []
    for row in rows:
        persons, frames, found, _ = row['keypoint'].shape
        if not found:
            row['keypoint'] = np.zeros((persons, frames, joints, 2), np.float32)
            row['keypoint_score'] = row['keypoint'][..., 0]
        if found in (0, joints):
            fitting.append(row)
        else:
            told = f'{found} joints, the layout has {joints}'
            odd.add(0, row['frame_dir'], told)
    return fitting, odd.notes(strict)
