"""Joint layouts of skeletons, and joints chosen by name."""

import functools
import itertools
import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmma.files import read_json
from mmma.foreign import has_controls
from mmma.taxonomy import check_choice, suggest

LAYOUT_FILE = 'layout.json'
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
        if isinstance(content['joints'], str):
            named = get_layout(content['joints'])
            content['joints'] = named.names
            for key in ('flip_pairs', 'limbs'):
                content.setdefault(key, getattr(named, key))
        return JointLayout(
            names=tuple(content['joints']),
            flip_pairs=tuple((a, b) for a, b in content['flip_pairs']),
            limbs=tuple((a, b) for a, b in content['limbs']),
            extractor=content['extractor'],
            score_scale=int(content['score_scale']),
        )
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
        scores: (M, T, V) in [0, 1].
        score_scale: Stored value of score 1.

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


def _wholebody65() -> JointLayout:
    """COCO-WholeBody without the face: 17 body, 6 feet, 42 hands.

    A bone from each wrist to its hand root is added, so that the graph is connected.

    Source: COCO-WholeBody (arXiv 2007.11858), names as in MMPose's data set file.
    """
    paired = ('eye', 'ear', 'shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
    sides = ('left', 'right')
    body = ['nose', *(f'{side}_{part}' for part in paired for side in sides)]
    toes = ('big_toe', 'small_toe', 'heel')
    feet = [f'{side}_{part}' for side in sides for part in toes]
    fingers = ('thumb', 'forefinger', 'middle_finger', 'ring_finger', 'pinky_finger')
    joints = [f'{finger}{i}' for finger in fingers for i in range(1, 5)]
    hands = [f'{side}_{j}' for side in sides for j in ('hand_root', *joints)]
    names = (*body, *feet, *hands)

    bones = ['shoulder elbow', 'elbow wrist', 'wrist hand_root', 'shoulder hip']
    bones += ['hip knee', 'knee ankle', 'eye ear', 'ear shoulder']
    bones += [f'ankle {part}' for part in toes]
    for finger in fingers:
        chain = ['hand_root', *(f'{finger}{i}' for i in range(1, 5))]
        bones += [f'{a} {b}' for a, b in itertools.pairwise(chain)]
    limbs = [(f'left_{part}', f'right_{part}') for part in ('hip', 'shoulder', 'eye')]
    limbs += [('nose', 'left_eye'), ('nose', 'right_eye')]
    for side in sides:
        pairs = (bone.split() for bone in bones)
        limbs += [(f'{side}_{a}', f'{side}_{b}') for a, b in pairs]
    flips = [(n, n.replace('left', 'right')) for n in names if n.startswith('left')]
    return JointLayout(names=names, flip_pairs=tuple(flips), limbs=tuple(limbs))


WHOLEBODY65 = _wholebody65()
_BODY, _FEET_AND_HANDS = WHOLEBODY65.names[:17], WHOLEBODY65.names[17:]
_HANDS = WHOLEBODY65.names[23:]


def _sided(text: str, mark: str) -> list[str]:
    """Parts of a text; one with ``*`` twice, for the left and for the right."""
    return [
        part.replace('*', side)
        for part in text.split(mark)
        for side in (('left', 'right') if '*' in part else ('',))
    ]


def _layout(
    joints: str,
    limbs: str = '',
    more: Sequence[str] = (),
    more_limbs: Iterable[tuple[str, str]] = (),
    more_flips: Iterable[tuple[str, str]] = (),
) -> JointLayout:
    """A layout of texts as :func:`_sided` reads them, and of what follows."""
    names = (*_sided(joints, ' '), *more)
    pairs = ((a, b) for a, b in map(str.split, filter(None, _sided(limbs, ', '))))
    flips = ((n, f'right{n[4:]}') for n in names if n.startswith('left_'))
    return JointLayout(names, (*flips, *more_flips), (*pairs, *more_limbs))


_FACE_PARTS = (
    *((0, 16), (17, 21), (22, 26), (27, 30), (31, 35)),
    *((36, 41), (42, 47), (48, 59), (60, 67)),
)
"""Jaw, brows, bridge and base of the nose, eyes, outer and inner lips of the 68 points
of 300-W (ibug.doc.ic.ac.uk/resources/300-W); the last four are closed."""


def _face() -> tuple[list[str], list[tuple[str, str]], list[tuple[str, str]]]:
    """Names, limbs and flip pairs of the face of Halpe."""
    limbs = [(a, a + 1) for first, last in _FACE_PARTS for a in range(first, last)]
    limbs += [(last, first) for first, last in _FACE_PARTS[-4:]]
    mirrors = ((0, 16), (17, 26), (31, 35), (48, 54), (55, 59), (60, 64), (65, 67))
    flips = [(a + i, b - i) for a, b in mirrors for i in range((b - a + 1) // 2)]
    flips += [(36 + i, 45 - i) for i in range(4)] + [(40, 47), (41, 46)]
    names = [f'face-{i}' for i in range(68)]
    named = ([(names[a], names[b]) for a, b in pairs] for pairs in (limbs, flips))
    return names, *named


_COCO_JOINTS = ' '.join(['nose', *(f'*{n[4:]}' for n in _BODY[1::2])])
_HALPE_JOINTS = f'{_COCO_JOINTS} head neck hip *_big_toe *_small_toe *_heel'
_HALPE_LIMBS = (
    'nose *_eye, *_eye *_ear, *_shoulder neck, *_shoulder *_elbow, *_elbow *_wrist, '
    'head neck, neck hip, hip *_hip, *_hip *_knee, *_knee *_ankle, *_big_toe *_heel, '
    '*_small_toe *_heel, *_ankle *_heel, neck nose'
)
_OPENPOSE_JOINTS = (
    'nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow '
    'left_wrist hip right_hip right_knee right_ankle left_hip left_knee left_ankle '
    'right_eye left_eye right_ear left_ear left_big_toe left_small_toe left_heel '
    'right_big_toe right_small_toe right_heel'
)
_OPENPOSE_LIMBS = (
    'neck hip, neck *_shoulder, *_shoulder *_elbow, *_elbow *_wrist, hip *_hip, '
    '*_hip *_knee, *_knee *_ankle, neck nose, nose *_eye, *_eye *_ear, '
    '*_ankle *_big_toe, *_big_toe *_small_toe, *_ankle *_heel'
)
_BLAZEPOSE_JOINTS = (
    'nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye '
    'right_eye_outer *_ear *_mouth *_shoulder *_elbow *_wrist *_pinky_finger1 '
    '*_forefinger1 *_thumb2 *_hip *_knee *_ankle *_heel *_big_toe'
)
_BLAZEPOSE_LIMBS = (
    'nose *_eye_inner, *_eye_inner *_eye, *_eye *_eye_outer, *_eye_outer *_ear, '
    'left_mouth right_mouth, left_shoulder right_shoulder, *_shoulder *_elbow, '
    '*_elbow *_wrist, *_wrist *_pinky_finger1, *_wrist *_forefinger1, '
    '*_wrist *_thumb2, *_pinky_finger1 *_forefinger1, *_shoulder *_hip, '
    'left_hip right_hip, *_hip *_knee, *_knee *_ankle, *_ankle *_heel, '
    '*_heel *_big_toe, *_ankle *_big_toe'
)
_COCO_PAIRS = [pair for pair in WHOLEBODY65.limbs if set(pair) <= set(_BODY)]
_HAND_PAIRS = [pair for pair in WHOLEBODY65.limbs if pair[1] in _HANDS]
_FACE, _FACE_PAIRS, _FACE_FLIPS = _face()
LAYOUTS = {
    'wholebody65': WHOLEBODY65,
    'coco17': _layout(_COCO_JOINTS, more_limbs=_COCO_PAIRS),
    'halpe26': _layout(_HALPE_JOINTS, _HALPE_LIMBS),
    'halpe68': _layout(_HALPE_JOINTS, _HALPE_LIMBS, _HANDS, _HAND_PAIRS),
    'halpe136': _layout(
        _HALPE_JOINTS,
        _HALPE_LIMBS,
        (*_FACE, *_HANDS),
        (*_FACE_PAIRS, *_HAND_PAIRS),
        _FACE_FLIPS,
    ),
    'openpose25': _layout(_OPENPOSE_JOINTS, _OPENPOSE_LIMBS),
    'blazepose33': _layout(_BLAZEPOSE_JOINTS, _BLAZEPOSE_LIMBS),
}
"""Layouts by name, in the order of their arrays. A point that several have has one
name: OpenPose's MidHip and Halpe's Hip are ``hip``; BlazePose's pinky, index and thumb
are the first, first and second joint of these fingers, its foot index the big toe.
Bones from nose to neck and wrist to hand are ours, and so are closed eyes and lips.

Sources: Fang-Haoshu/Halpe-FullBody, README.md (5b4887d9) and vis.py (909d9c44), whose
136 are 26 of body and feet, 68 of the face, 21 of each hand; AlphaPose,
datasets/halpe_68_noface.py (e72e2144), which are these without the face; OpenPose,
doc/02_output.md (0e341c83) and POSE_BODY_25_PAIRS_RENDER_GPU; MediaPipe,
solutions/pose.py, PoseLandmark and POSE_CONNECTIONS (017c1dc7).
"""

_ENDS = ('big_toe', 'heel', 'thumb4', 'finger4')
JOINT_SETS = {
    'body17': _BODY,
    'upper': (
        *(joint for joint in _BODY if not joint.endswith(('knee', 'ankle'))),
        *_FEET_AND_HANDS[6:],
    ),
    'ends31': (*_BODY, *(joint for joint in _FEET_AND_HANDS if joint.endswith(_ENDS))),
}
"""Named sets: ``body17`` is COCO's body; ``upper`` has neither legs nor feet;
``ends31`` is the body with big toes, heels and fingertips."""

_COCO_LIMBS = (
    'nose left_shoulder, nose right_shoulder, left_shoulder left_elbow, '
    'left_elbow left_wrist, right_shoulder right_elbow, right_elbow right_wrist, '
    'left_shoulder left_hip, left_hip left_knee, left_knee left_ankle, '
    'right_shoulder right_hip, right_hip right_knee, right_knee right_ankle, '
    'nose left_eye, nose right_eye, left_eye left_ear, right_eye right_ear, '
    'left_hip right_hip'
)
LIMB_SETS: dict[str, Sequence[Sequence[str]]] = {
    'body17': [limb.split() for limb in _COCO_LIMBS.split(', ')]
}
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
    """A joint layout by name, by its fields, or as it is.

    Args:
        layout: A name in ``LAYOUTS``, the fields of a :class:`JointLayout`, or one.

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
        pairs = {
            key: tuple(tuple(pair) for pair in layout.get(key, ()))
            for key in ('flip_pairs', 'limbs')
        }
        return JointLayout(**{**layout, **pairs, 'names': tuple(names)})
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


def _select_joints(joints: str | Sequence[str], layout: JointLayout) -> tuple[str, ...]:
    if joints == 'all':
        return layout.names
    if isinstance(joints, str):
        known = ('all', *JOINT_SETS)
        check_choice('joint set', joints, known, other='or a list of joints')
        return JOINT_SETS[joints]
    check_joints(joints, layout)
    if not joints or len(set(joints)) < len(joints):
        raise ValueError(f'joints {list(joints)}: name at least one, each once.')
    return tuple(joints)


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
    return _tree(found, _select_joints(joints, found))


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
            :func:`joint_tree`; or (L, 2) names of joints.
        layout: As in :func:`joint_tree`.
        joints: The same.

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
