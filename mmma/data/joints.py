"""Joint layouts of skeletons, and joints chosen by name."""

from __future__ import annotations

import functools
import itertools
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmma.files import atomic_write, read_text
from mmma.taxonomy import suggest

LAYOUT_FILE = 'layout.json'


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

    def flip_order(self) -> list[int]:
        """(V,) for each joint the index of the one that mirrors it, or its own."""
        mirror = {a: b for pair in self.flip_pairs for a, b in (pair, pair[::-1])}
        return [self.names.index(mirror.get(name, name)) for name in self.names]

    def limb_indices(self) -> list[tuple[int, int]]:
        """Limbs as indices of joints."""
        return [(self.names.index(a), self.names.index(b)) for a, b in self.limbs]


def read_layout(folder: Path) -> JointLayout:
    """Read ``layout.json``.

    Args:
        folder: The root's ``skeletons`` folder.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is bad.
    """
    file = Path(folder) / LAYOUT_FILE
    text = read_text(file)
    try:
        content = json.loads(text)
        return JointLayout(
            names=tuple(content['joints']),
            flip_pairs=tuple((a, b) for a, b in content['flip_pairs']),
            limbs=tuple((a, b) for a, b in content['limbs']),
            extractor=str(content['extractor']),
            score_scale=int(content['score_scale']),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{file}: needs joints, flip_pairs, limbs, extractor and score_scale '
            f'({type(error).__name__}: {error})'
        ) from None


def write_layout(folder: Path, layout: JointLayout) -> None:
    """Write ``layout.json``.

    Args:
        folder: The root's ``skeletons`` folder.
        layout: What to write.
    """
    content = {
        'joints': layout.names,
        'flip_pairs': layout.flip_pairs,
        'limbs': layout.limbs,
        'extractor': layout.extractor,
        'score_scale': layout.score_scale,
    }
    with atomic_write(Path(folder) / LAYOUT_FILE) as file:
        lines = (f'{json.dumps(k)}: {json.dumps(v)}' for k, v in content.items())
        file.write('{\n ' + ',\n '.join(lines) + '\n}\n')


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


LAYOUTS = {'wholebody65': WHOLEBODY65}

# The neck. COCO hangs the shoulders on the ears, which are the joints most often
# occluded; MMAction2's graph `coco` hangs them on the nose.
_NECK = (('nose', 'left_shoulder'), ('nose', 'right_shoulder'))
_ROOT = 'nose'


def _joint_sets() -> dict[str, tuple[str, ...]]:
    body, feet, hands = (
        WHOLEBODY65.names[part] for part in (slice(17), slice(17, 23), slice(23, 65))
    )
    legs = ('knee', 'ankle')
    ends = ('big_toe', 'heel', 'thumb4', 'finger4')
    return {
        'body17': body,
        'upper': (*(j for j in body if not j.endswith(legs)), *hands),
        'ends31': (*body, *(j for j in (*feet, *hands) if j.endswith(ends))),
    }


JOINT_SETS = _joint_sets()
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
LIMB_SETS: dict[str, tuple[tuple[str, str], ...]] = {
    'body17': tuple(
        (a, b) for a, b in (limb.split() for limb in _COCO_LIMBS.split(', '))
    )
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
    if isinstance(layout, Mapping):
        return _from_fields(layout)
    if layout not in LAYOUTS:
        raise ValueError(
            f'unknown joint layout {layout!r}: use one of {", ".join(LAYOUTS)}, or a '
            f'dict of names, flip_pairs and limbs.{suggest(layout, LAYOUTS)}'
        )
    return LAYOUTS[layout]


def select_joints(joints: str | Sequence[str], layout: JointLayout) -> tuple[str, ...]:
    """Names of the joints that a model takes.

    Args:
        joints: ``all`` of the layout, a name in ``JOINT_SETS``, or (V,) names. A joint
            of COCO-WholeBody that the layout lacks is allowed; it has score 0.
        layout: The joints that there are.

    Raises:
        ValueError: An unknown set or joint, a joint twice, or none.
    """
    if isinstance(joints, str):
        return _named_set(joints, layout)
    known = (*layout.names, *WHOLEBODY65.names)
    for joint in joints:
        if joint not in known:
            raise ValueError(f'unknown joint {joint!r}.{suggest(joint, known)}')
    if not joints or len(set(joints)) < len(joints):
        raise ValueError(f'joints {list(joints)}: name at least one, each once.')
    return tuple(joints)


@functools.lru_cache(maxsize=32)
def _tree(layout: JointLayout, names: tuple[str, ...]) -> JointTree:
    place = {name: v for v, name in enumerate(names)}
    ancestors = _ancestors(layout)
    mirror = {a: b for pair in layout.flip_pairs for a, b in (pair, pair[::-1])}

    def nearest(name: str) -> str:
        above = ancestors.get(name, name)
        while above not in place and ancestors[above] != above:
            above = ancestors[above]
        return above if above in place else name

    return JointTree(
        names=names,
        parents=tuple(place[nearest(name)] for name in names),
        flip_order=tuple(place.get(mirror.get(n, n), place[n]) for n in names),
    )


def joint_tree(
    layout: str | JointLayout | Mapping[str, Any], joints: str | Sequence[str] = 'all'
) -> JointTree:
    """Choose joints and hang each on its nearest chosen ancestor.

    The tree is the breadth-first tree of the layout's limbs from the nose, or from the
    layout's first joint; with the 17 joints of COCO it is MMAction2's graph ``coco``.

    Args:
        layout: As in :func:`get_layout`.
        joints: As in :func:`select_joints`.

    Raises:
        ValueError: As those two.
    """
    found = get_layout(layout)
    return _tree(found, select_joints(joints, found))


def select_limbs(
    limbs: str | Sequence[Sequence[str]],
    layout: str | JointLayout | Mapping[str, Any],
    joints: str | Sequence[str] = 'all',
) -> tuple[tuple[int, int], ...]:
    """Limbs that a model takes, as places of their ends among its joints.

    Args:
        limbs: A name in ``LIMB_SETS``; ``tree``, each chosen joint with its parent in
            :func:`joint_tree`; or (L, 2) names of joints.
        layout: As in :func:`get_layout`.
        joints: As in :func:`select_joints`.

    Raises:
        ValueError: An unknown set, or a limb that is not of two chosen joints.
    """
    tree = joint_tree(layout, joints)
    if limbs == 'tree':
        return tuple(tree.bones)
    if isinstance(limbs, str):
        if limbs not in LIMB_SETS:
            allowed = ('tree', *LIMB_SETS)
            raise ValueError(
                f'unknown limb set {limbs!r}: use one of {", ".join(allowed)} or a '
                f'list of pairs of joints.{suggest(limbs, allowed)}'
            )
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


def _ancestors(layout: JointLayout) -> dict[str, str]:
    """Parent of every joint of a layout; a root of each part is its own parent."""
    linked: dict[str, list[str]] = {name: [] for name in layout.names}
    neck = [pair for pair in _NECK if set(pair) <= set(layout.names)]
    for a, b in (*layout.limbs, *neck):
        linked[a].append(b)
        linked[b].append(a)
    parents: dict[str, str] = {}
    first = [_ROOT] if _ROOT in linked else []
    for start in (*first, *layout.names):
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


def _named_set(name: str, layout: JointLayout) -> tuple[str, ...]:
    if name == 'all':
        return layout.names
    if name not in JOINT_SETS:
        allowed = ('all', *JOINT_SETS)
        raise ValueError(
            f'unknown joint set {name!r}: use one of {", ".join(allowed)} or a list of '
            f'joints.{suggest(name, allowed)}'
        )
    return JOINT_SETS[name]


def _from_fields(fields: Mapping[str, Any]) -> JointLayout:
    allowed = tuple(JointLayout.__dataclass_fields__)
    for key in fields:
        if key not in allowed:
            raise ValueError(
                f'joint layout: unknown field {key!r}; it has {", ".join(allowed)}.'
                f'{suggest(key, allowed)}'
            )
    if 'names' not in fields:
        raise ValueError(f'joint layout: no names in {sorted(fields)}.')
    pairs = {
        key: tuple(tuple(pair) for pair in fields.get(key, ()))
        for key in ('flip_pairs', 'limbs')
    }
    return JointLayout(**{**fields, **pairs, 'names': tuple(fields['names'])})
