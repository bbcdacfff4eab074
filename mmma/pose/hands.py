"""Whose hand it is: by the nearest wrist of the body."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmma.pose.extractors import JOINTS

SIDES = ('left', 'right')
_REACH = 0.5
_MARGIN = 0.1
_ARM = [
    ('left_shoulder', 'right_shoulder'),
    *((f'{s}_shoulder', f'{s}_elbow') for s in SIDES),
    *((f'{s}_elbow', f'{s}_wrist') for s in SIDES),
]
_ARM_PLACES = np.array([[JOINTS[a], JOINTS[b]] for a, b in _ARM])
_WRISTS = [JOINTS[f'{side}_wrist'] for side in SIDES]
_ROOTS = [JOINTS[f'{side}_hand_root'] for side in SIDES]
_HAND_JOINTS = 21


@dataclass(frozen=True)
class Hand:
    """A hand that was found.

    Attributes:
        points: (21, 2) pixels: root, then thumb to little finger from palm to tip.
        score: In [0, 1].
        side: ``left`` or ``right`` of the person, as the hand alone looks.
    """

    points: np.ndarray
    score: float
    side: str


def place_hands(keypoints: np.ndarray, scores: np.ndarray, hands: list[Hand]) -> None:
    """Put hands at the places of their side.

    With a body, the nearest wrist says whose hand it is: see :func:`pair_with_wrists`.
    Without one, its own look decides, and the better of two hands of one side stays.

    Args:
        keypoints: (V, 2) pixels of one person in one frame; changed.
        scores: (V,) its scores; changed.
        hands: Those of the frame.
    """
    if scores[_WRISTS].any():
        sides = pair_with_wrists(keypoints, hands)
    else:
        sides = [SIDES.index(hand.side) for hand in hands]
    order = np.argsort([hand.score for hand in hands], kind='stable')
    for number in order:
        if sides[number] is not None:
            places = slice(_ROOTS[sides[number]], _ROOTS[sides[number]] + _HAND_JOINTS)
            keypoints[places] = hands[number].points
            scores[places] = hands[number].score


def pair_with_wrists(keypoints: np.ndarray, hands: Sequence[Hand]) -> list[int | None]:
    """Index in ``SIDES`` of each hand; None for a hand too far from both wrists.

    As many as possible are paired, then with the least distance. Where hands lie on
    each other both wrists are about as near and would take turns: one that is nearer
    by less than a tenth of the longest of arm bones and shoulders does not overrule the
    hand's own look. Farther than half of that bone is another person's hand.

    Args:
        keypoints: (V, 2) pixels of the body.
        hands: Those of the frame.
    """
    arms = keypoints[_ARM_PLACES]  # (bones, 2, 2)
    bone = np.linalg.norm(arms[:, 0] - arms[:, 1], axis=-1).max()
    roots = np.array([hand.points[0] for hand in hands]).reshape(-1, 1, 2)
    far = np.linalg.norm(roots - keypoints[_WRISTS], axis=-1)  # (hands, sides)
    best: tuple[tuple[int, float], list[int | None]] = ((1, 0.0), [])
    for sides in itertools.product((None, 0, 1), repeat=len(hands)):
        taken = [(hand, side) for hand, side in enumerate(sides) if side is not None]
        other = [hands[hand].side != SIDES[side] for hand, side in taken]
        twice = len({side for _, side in taken}) < len(taken)
        if twice or any(far[pair] > _REACH * bone for pair in taken):
            continue
        distance = sum(far[pair] for pair in taken) + _MARGIN * bone * sum(other)
        cost = (-len(taken), float(distance))
        best = min(best, (cost, list(sides)), key=lambda found: found[0])
    return best[1]
