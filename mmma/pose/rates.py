"""How often body and hands were found."""

from __future__ import annotations

from dataclasses import dataclass

from mmma.layout.skeletons import SkeletonStore
from mmma.pose.extractors import JOINTS

_BODY = slice(0, JOINTS['left_big_toe'])
_PARTS = {
    'body': _BODY,
    'left hand': slice(JOINTS['left_hand_root'], JOINTS['right_hand_root']),
    'right hand': slice(JOINTS['right_hand_root'], len(JOINTS)),
}


@dataclass(frozen=True)
class Rates:
    """Shares of the frames of a store.

    Attributes:
        frames: Their number.
        found: Part -> frames in which it was found, of anybody.
        without_body: Clips in which no body was found at all.
    """

    frames: int
    found: dict[str, int]
    without_body: int

    @classmethod
    def of(cls, store: SkeletonStore) -> Rates:
        """Count in a store of ``WHOLEBODY65``.

        Args:
            store: The skeletons of a task.
        """
        found = dict.fromkeys(_PARTS, 0)
        frames = without_body = 0
        for name in store.names:
            scores = store.get(name)[1]  # (M, T, V)
            frames += scores.shape[1]
            before = found['body']
            for part, places in _PARTS.items():
                found[part] += int(scores[..., places].any(axis=(0, 2)).sum())
            without_body += found['body'] == before
        return cls(frames, found, without_body)

    def shares(self) -> dict[str, float]:
        """Part -> share of the frames, in [0, 1]."""
        return {part: count / self.frames for part, count in self.found.items()}
