"""Joint layouts: names, flip pairs, limbs."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

from mmma.layout.paths import atomic_write, read_text
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
