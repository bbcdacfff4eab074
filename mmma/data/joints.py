"""Joint layouts of skeletons, and joints chosen by name."""

import functools
import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmma.files import read_json
from mmma.foreign import has_controls
from mmma.taxonomy import check_choice, own_table, suggest

LAYOUT_FILE = 'layout.json'
_PAIRS = 'flip_pairs', 'limbs'
_STEPS_PER_PIXEL = 16
_LIMIT_PX = 32767 / _STEPS_PER_PIXEL
MAX_SIDE = 2047
"""Pixels of a stored picture; joints of larger ones are scaled down."""


@dataclass(frozen=True)
class JointLayout:
    """The joints of a skeleton store; everything by name.

    Attributes:
        names: (V,) joints in the order of the array.
        flip_pairs: Joints that change places when the picture is mirrored.
        limbs: Joints that a bone connects.
        extractor: What found the joints.
        score_scale: What a score of 1 is stored as, at most 32767.

    Raises:
        ValueError: A joint twice, or a pair with a joint that is not there.
    """

    names: tuple[str, ...]
    flip_pairs: tuple[tuple[str, str], ...] = ()
    limbs: tuple[tuple[str, str], ...] = ()
    extractor: str = ''
    score_scale: int = 10000

    def __post_init__(self) -> None:
        if any(map(has_controls, (*self.names, self.extractor))):
            raise ValueError(
                'joint layout: names must be texts without control letters'
            )
        if len(set(self.names)) != len(self.names) or not self.names:
            raise ValueError('joint layout: joints must be there, each of them once')
        for joint in {j for pair in (*self.flip_pairs, *self.limbs) for j in pair}:
            if joint not in self.names:
                raise ValueError(
                    f'joint layout: a pair names {joint!r}, which is no joint.'
                    f'{suggest(joint, self.names)}'
                )
        if not 1 <= self.score_scale <= 32767:
            raise ValueError(
                f'joint layout: score_scale {self.score_scale!r} is not in 1..32767'
            )

    def limb_indices(self) -> list[tuple[int, int]]:
        """Limbs as indices of joints."""
        return [(self.names.index(a), self.names.index(b)) for a, b in self.limbs]


def _of_fields(fields: Mapping[str, Any]) -> JointLayout:
    """A layout of its fields as JSON has them; those that are absent are left."""
    keys = (key for key in _PAIRS if key in fields)
    pairs = {key: tuple((a, b) for a, b in fields[key]) for key in keys}
    return JointLayout(**{**fields, **pairs, 'names': tuple(fields['names'])})


def read_layout(folder: Path) -> JointLayout:
    """Read ``layout.json`` of a root's ``skeletons`` folder.

    Its ``joints`` may be the name of one of ``LAYOUTS``, which then has the pairs.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is bad.
    """
    file = Path(folder) / LAYOUT_FILE
    content = read_json(file)
    try:
        names, scale = content['joints'], int(content['score_scale'])
        if isinstance(names, str):
            named = get_layout(names)
            pairs = {key: getattr(named, key) for key in _PAIRS}
            names, content = named.names, {**pairs, **content}
        fields = {key: content[key] for key in (*_PAIRS, 'extractor')}
        return _of_fields({**fields, 'names': names, 'score_scale': scale})
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(
            f'{file}: needs joints, flip_pairs, limbs, extractor and score_scale '
            f'({type(error).__name__}: {error})'
        ) from None


def layout_text(layout: JointLayout) -> str:
    """Content of ``layout.json``."""
    content = {('joints' if k == 'names' else k): v for k, v in vars(layout).items()}
    lines = (f'{json.dumps(k)}: {json.dumps(v)}' for k, v in content.items())
    return '{\n ' + ',\n '.join(lines) + '\n}\n'


def encode_joints(
    keypoints: np.ndarray, scores: np.ndarray, score_scale: int
) -> np.ndarray:
    """Joints as they are stored: 16 bits, with 1/16 pixel.

    Args:
        keypoints: (M, T, V, 2) in pixels; whatever a joint of score 0 has there is
            stored as 0.
        scores: (M, T, V) in [0, 1], which ``score_scale`` is stored for.

    Returns:
        (T, M, V, 3) int16.

    Raises:
        ValueError: Shapes do not fit, a score is outside [0, 1], or a coordinate is not
            finite or too large for 1/16 pixel in 16 bits.
    """
    keypoints, scores = np.asarray(keypoints, float), np.asarray(scores, float)
    if keypoints.ndim != 4 or keypoints.shape != (*scores.shape, 2):
        raise ValueError(
            f'keypoints {keypoints.shape} and scores {scores.shape}: need (M, T, V, 2) '
            'and (M, T, V)'
        )
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError('scores must be in [0, 1], without NaN')
    keypoints = np.where(scores[..., None] > 0, keypoints, 0)
    if not (np.abs(keypoints) <= _LIMIT_PX).all():  # NaN fails too
        raise ValueError(
            f'coordinates must be finite and within {_LIMIT_PX:.0f} pixels of the '
            'origin; scale them down, with width and height'
        )
    encoded = np.concatenate(
        [keypoints * _STEPS_PER_PIXEL, scores[..., None] * score_scale], axis=-1
    )
    return np.rint(encoded).astype(np.int16).transpose(1, 0, 2, 3)


def decode_joints(
    encoded: np.ndarray, score_scale: int, where: str = 'skeleton'
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (M, T, V, 2) in pixels and scores (M, T, V), float32, as they were.

    Raises:
        ValueError: A score outside [0, 1]; the message begins with ``where``.
    """
    found = encoded[..., 2]
    if found.min(initial=0) < 0 or found.max(initial=0) > score_scale:
        low, high = found.min(), found.max()
        raise ValueError(
            f'{where}: scores must be 0..1, found {low / score_scale:g} to '
            f'{high / score_scale:g}: damaged, or score_scale {score_scale} of '
            f'{LAYOUT_FILE} is wrong; copy or write them again'
        )
    raw = encoded.astype(np.float32).transpose(1, 0, 2, 3)
    keypoints = raw[..., :2] / np.float32(_STEPS_PER_PIXEL)
    return keypoints, raw[..., 2] / np.float32(score_scale)


_TABLE = own_table('layouts')


LAYOUTS = {
    name: _of_fields({'names': own['joints'], **{key: own[key] for key in _PAIRS}})
    for name, own in _TABLE['layouts'].items()
}
"""Layouts by name, in the order of their arrays; ``tables/layouts.json`` has their
sources. A point that several have has one name."""
WHOLEBODY65 = LAYOUTS['wholebody65']
JOINT_SETS = {name: tuple(joints) for name, joints in _TABLE['joint_sets'].items()}
"""Named sets: ``body17`` is COCO's body; ``upper`` has neither legs nor feet;
``ends31`` is the body with big toes, heels and fingertips."""
LIMB_LENGTHS: list[tuple[str, str, float]] = _TABLE['limb_lengths']['limbs']
"""Both ends of limbs, and their length as a fraction of stature; shoulders first."""
LIMB_SETS: dict[str, Sequence[Sequence[str]]] = _TABLE['limb_sets']
"""Named limbs: ``body17`` has those of PoseC3D's published limb weights, in their order
(MMAction2, configs/skeleton/posec3d, limb configs)."""


@dataclass(frozen=True)
class JointTree:
    """Chosen joints, each hung on its nearest chosen ancestor.

    Attributes:
        names: (V,) joints in the order that a model takes them.
        parents: (V,) index of the joint nearer to the root; a root is its own parent.
        flip_order: (V,) index of each joint's mirror image, or its own.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    flip_order: tuple[int, ...]

    @property
    def root(self) -> int:
        """Index of the first joint that is its own parent."""
        return next(v for v, parent in enumerate(self.parents) if v == parent)

    @property
    def bones(self) -> list[tuple[int, int]]:
        """Pairs (joint, parent), roots left out."""
        return [(v, parent) for v, parent in enumerate(self.parents) if v != parent]


def get_layout(layout: str | JointLayout | Mapping[str, Any]) -> JointLayout:
    """A joint layout by its name in ``LAYOUTS``, by its fields, or as it is.

    Raises:
        ValueError: An unknown name, or fields that do not fit.
    """
    if isinstance(layout, JointLayout):
        return layout
    if not isinstance(layout, Mapping):
        other = 'or a dict of names, flip_pairs and limbs'
        return LAYOUTS[check_choice('joint layout', layout, LAYOUTS, other=other)]
    for key in layout:
        check_choice('field', key, JointLayout.__dataclass_fields__, 'a joint layout')
    if 'names' not in layout:
        raise ValueError(f'joint layout: no names in {sorted(layout)}.')
    names = layout['names']
    try:
        if isinstance(names, str) or {*map(type, names)} - {str}:
            raise TypeError(f'names must be a list of texts, not {names!r}')
        return _of_fields(layout)
    except TypeError as error:
        raise ValueError(f'joint layout: {error}') from None


def check_joints(joints: Iterable[str], layout: JointLayout) -> None:
    """Refuse joints that neither a layout nor one of ``LAYOUTS`` has.

    Raises:
        ValueError: There is one.
    """
    known = dict.fromkeys(n for own in (layout, *LAYOUTS.values()) for n in own.names)
    for joint in joints:
        if joint not in known:
            raise ValueError(f'unknown joint {joint!r}.{suggest(joint, known)}')


def joint_tree(
    layout: str | JointLayout | Mapping[str, Any], joints: str | Sequence[str] = 'all'
) -> JointTree:
    """Choose joints and hang each on its nearest chosen ancestor.

    The tree is the breadth-first tree of the layout's limbs from the nose, or from the
    layout's first joint; with the 17 joints of COCO it is MMAction2's graph ``coco``.

    Args:
        layout: As in :func:`get_layout`.
        joints: ``all`` of the layout, a name in ``JOINT_SETS``, or (V,) names. A joint
            of another named layout is allowed; it has score 0.

    Raises:
        ValueError: An unknown set, layout or joint, a joint twice, or none.
    """
    found = get_layout(layout)
    sets = {'all': found.names, **JOINT_SETS}
    if isinstance(joints, str):
        check_choice('joint set', joints, sets, other='or a list of joints')
        return _tree(found, sets[joints])
    check_joints(joints, found)
    if not joints or len(set(joints)) < len(joints):
        raise ValueError(f'joints {list(joints)}: name at least one, each once.')
    return _tree(found, tuple(joints))


@functools.lru_cache(maxsize=32)
def _tree(layout: JointLayout, names: tuple[str, ...]) -> JointTree:
    place = {name: v for v, name in enumerate(names)}
    ancestors = _ancestors(layout)
    mirror = {a: b for pair in layout.flip_pairs for a, b in (pair, pair[::-1])}
    parents = []
    for name in names:
        above = ancestors.get(name, name)
        while above not in place and ancestors[above] != above:
            above = ancestors[above]
        parents.append(place.get(above, place[name]))
    flip_order = tuple(place.get(mirror.get(n, n), place[n]) for n in names)
    return JointTree(names, tuple(parents), flip_order)


def _ancestors(layout: JointLayout) -> dict[str, str]:
    """Parent of every joint of a layout; a root of each part is its own parent."""
    linked: dict[str, list[str]] = {name: [] for name in layout.names}
    # The neck. COCO hangs the shoulders on the ears, which are the joints most often
    # occluded; MMAction2's graph `coco` hangs them on the nose.
    neck = [('nose', 'left_shoulder'), ('nose', 'right_shoulder')]
    for a, b in (*layout.limbs, *(p for p in neck if set(p) <= set(linked))):
        linked[a].append(b)
        linked[b].append(a)
    parents: dict[str, str] = {}
    for start in sorted(linked, key=lambda name: name != 'nose'):
        if start in parents:
            continue
        parents[start] = start
        queue = deque([start])
        while queue:
            above = queue.popleft()
            new = [name for name in linked[above] if name not in parents]
            parents.update(dict.fromkeys(new, above))
            queue.extend(new)
    return parents


def select_limbs(
    limbs: str | Sequence[Sequence[str]],
    layout: str | JointLayout | Mapping[str, Any],
    joints: str | Sequence[str] = 'all',
) -> tuple[tuple[int, int], ...]:
    """Limbs that a model takes, as places of their ends among its joints.

    Args:
        limbs: A name in ``LIMB_SETS``; ``tree``, each chosen joint with its parent in
            :func:`joint_tree`, as which the others are; or (L, 2) names of joints.

    Raises:
        ValueError: An unknown set, or a limb that is not of two chosen joints.
    """
    tree = joint_tree(layout, joints)
    if limbs == 'tree':
        return tuple(tree.bones)
    if isinstance(limbs, str):
        known = ('tree', *LIMB_SETS)
        check_choice('limb set', limbs, known, other='or a list of pairs of joints')
        limbs = LIMB_SETS[limbs]
    place = {name: v for v, name in enumerate(tree.names)}
    pairs = []
    for limb in limbs:
        if len(limb) != 2 or len(set(limb)) != 2:
            raise ValueError(f'limb {limb!r}: name two joints.')
        for joint in limb:
            if joint not in place:
                raise ValueError(
                    f'limb {" - ".join(limb)}: {joint!r} is not among the chosen '
                    f'joints.{suggest(joint, place)}'
                )
        pairs.append((place[limb[0]], place[limb[1]]))
    if not pairs:
        raise ValueError('limbs: name at least one.')
    return tuple(pairs)
