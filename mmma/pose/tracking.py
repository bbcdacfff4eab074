"""Who is who from frame to frame: each person keeps one place in the store."""

from __future__ import annotations

import numpy as np

_SURE = 0.3
_LEAST_OVERLAP = 0.3


class PersonPlaces:
    """Gives the people of each frame their places.

    Someone who overlaps with where a place's person was last seen keeps that place.
    Newcomers, the largest first, take places that are free: never used, or unseen for a
    second.

    Args:
        persons: Number of places.
        fps: Frames per second.
    """

    def __init__(self, persons: int, fps: float) -> None:
        self._boxes = np.zeros((persons, 4))
        self._unseen = np.full(persons, np.inf)
        self._patience = fps

    def assign(self, keypoints: np.ndarray, scores: np.ndarray) -> list[int | None]:
        """Place of each person of the next frame; None where all are taken.

        Args:
            keypoints: (P, V, 2) in pixels.
            scores: (P, V) in [0, 1].
        """
        boxes = np.array(
            [joint_box(k, s) for k, s in zip(keypoints, scores, strict=True)]
        )
        boxes = boxes.reshape(-1, 4)
        places: list[int | None] = [None] * len(boxes)
        self._unseen += 1
        free = self._unseen > self._patience
        overlap = np.where(free, 0, box_overlap(boxes, self._boxes))
        while overlap.size and overlap.max() >= _LEAST_OVERLAP:
            person, place = np.unravel_index(overlap.argmax(), overlap.shape)
            places[person] = int(place)
            overlap[person], overlap[:, place] = 0, 0
        weights = _area(boxes) * scores.mean(axis=-1)
        left = list(np.flatnonzero(free))
        for person in np.argsort(-weights, kind='stable'):
            if places[person] is None and left:
                places[person] = int(left.pop(0))
        for person, place in enumerate(places):
            if place is not None:
                self._boxes[place], self._unseen[place] = boxes[person], 0
        return places


def joint_box(keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(4,) left, top, right, bottom of the joints that are sure, or of all.

    Args:
        keypoints: (V, 2) in pixels.
        scores: (V,) in [0, 1].
    """
    sure = scores >= _SURE
    points = keypoints[sure] if sure.any() else keypoints
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def box_overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(P, G) intersection over union; 0 where both are empty.

    Args:
        boxes: (P, 4) left, top, right, bottom.
        others: (G, 4), same columns.
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=-1)
    union = _area(boxes)[:, None] + _area(others)[None] - common
    return common / np.where(union > 0, union, 1)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=-1)
