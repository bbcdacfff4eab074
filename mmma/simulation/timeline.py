"""When things happen in untrimmed videos: instances that overlap as real ones do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmma.simulation.durations import lognormal_lengths, spread_normal
from mmma.simulation.motion import action_effectors
from mmma.taxonomy import LabelSpace

# The shortest instance, and the longest share of a video that one instance fills.
# Source of the former: annotations of MMA-52, where instances last 0.27 s to 15 s.
SHORTEST_SEC = 0.3
_LONGEST_SEC = 15.0
_LONGEST_SHARE = 0.9
# One limb moves for this share of a video at most, so that all instances find room.
_BUSY_SHARE = 0.8
# How often an instance is put where it overlaps another. Chosen so that 87 % do: in
# MMA-52, 86 to 88 % of the instances overlap another one of their video.
_COMPANY = 0.85
_TRIES = 24
_SHRINK = 0.7
# Body groups and the limb that they move; all others move the hands.
_LIMBS = {'body': 'torso', 'head': 'head', 'lower limb': 'legs'}


@dataclass(frozen=True)
class Timeline:
    """Instances of many videos.

    Attributes:
        video: (I,) index of each instance's video.
        action: (I,) index of its action.
        start_sec: (I,) start.
        end_sec: (I,) end.
    """

    video: np.ndarray
    action: np.ndarray
    start_sec: np.ndarray
    end_sec: np.ndarray


def conflict_table(space: LabelSpace) -> np.ndarray:
    """Which actions cannot happen at the same time, because they claim one limb.

    An action claims the limb of its body group, and hands or legs wherever it moves
    them: those are led to a place. Turns of trunk and head that go with it add to
    those of others and claim nothing, so people nod while they touch their nose.

    Args:
        space: The label space.

    Returns:
        (K, K) bool; every action conflicts with itself.
    """
    limbs = [
        {_LIMBS.get(space.bodies[body], 'hands')}
        | (action_effectors(action) & {'hands', 'legs'})
        for action, body in zip(space.actions, space.body_of, strict=True)
    ]
    return np.array([[bool(a & b) for b in limbs] for a in limbs])


def deal_counts(videos: int, total: int, rng: np.random.Generator) -> np.ndarray:
    """How many instances each video has: at least one, ``total`` in all.

    Args:
        videos: Number of videos, at most ``total``.
        total: Number of instances.
        rng: Draws the counts.

    Returns:
        (videos,) int64.
    """
    weights = rng.gamma(6.0, size=videos)
    return 1 + rng.multinomial(total - videos, weights / weights.sum())


def interleave(
    actions: np.ndarray, conflicts: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Put actions in an order in which neighbours seldom need the same limb.

    Actions that share their limbs are spread evenly over the whole order, so that the
    few consecutive ones that a video gets are of different limbs and can overlap.

    Args:
        actions: (I,) indices, with repeats.
        conflicts: (K, K) bool of ``conflict_table``.
        rng: Draws the order within each kind.

    Returns:
        (I,) the same indices.
    """
    _, kind_of = np.unique(conflicts, axis=0, return_inverse=True)
    kind = kind_of.reshape(-1)[actions]
    place = np.empty(len(actions))
    for k in np.unique(kind):
        where = np.flatnonzero(kind == k)
        spread = rng.permutation(len(where)) + rng.random(len(where))
        place[where] = spread / len(where)
    return actions[np.argsort(place, kind='stable')]


def video_seconds(
    counts: np.ndarray, mean: float, rng: np.random.Generator
) -> np.ndarray:
    """Durations of videos; those with more instances are longer.

    Args:
        counts: (V,) instances per video.
        mean: Mean duration, seconds.
        rng: Draws the durations.

    Returns:
        (V,) float64, 5 to 45 seconds.
    """
    exponents = 0.28 * spread_normal(len(counts), rng) + 0.06 * counts
    return lognormal_lengths(exponents, mean, 5.0, 45.0)


def lay_out(
    counts: np.ndarray,
    actions: np.ndarray,
    seconds: np.ndarray,
    conflicts: np.ndarray,
    mean: float,
    rng: np.random.Generator,
) -> Timeline:
    """Choose start and end of every instance.

    Instances that need the same limb never overlap. Finding room for all shortens
    some, so lengths are drawn for a slightly larger mean until the result has ``mean``.

    Args:
        counts: (V,) instances per video.
        actions: (I,) actions, videos one after another.
        seconds: (V,) durations.
        conflicts: (K, K) bool of ``conflict_table``.
        mean: Mean length of an instance, seconds.
        rng: Draws lengths and places.
    """
    video = np.repeat(np.arange(len(counts)), counts)
    exponents = 0.6 * spread_normal(len(video), rng)
    exponents = exponents + 0.35 * np.log(seconds / seconds.mean())[video]
    seed = rng.integers(2**32)
    aim = mean
    for _ in range(4):
        lengths = lognormal_lengths(
            exponents,
            aim,
            SHORTEST_SEC,
            np.minimum(_LONGEST_SEC, _LONGEST_SHARE * seconds[video]),
        )
        board = _Board(counts, actions, seconds, conflicts)
        board.place(lengths, np.random.default_rng(seed))
        aim *= mean / (board.end - board.start)[board.used].mean()
    start = np.round(board.start[board.used], 2)
    end = np.round(board.end[board.used], 2)
    return Timeline(video, actions, start, end)


class _Board:
    """Videos as rows of padded arrays, so that all are filled at the same time."""

    def __init__(
        self,
        counts: np.ndarray,
        actions: np.ndarray,
        seconds: np.ndarray,
        conflicts: np.ndarray,
    ) -> None:
        shape = len(counts), int(counts.max())
        self.used = np.arange(shape[1]) < counts[:, None]  # (V, M)
        self.action = np.zeros(shape, dtype=np.int64)
        self.action[self.used] = actions
        self.seconds = seconds
        self.conflicts = conflicts
        self.start = np.full(shape, np.inf)
        self.end = np.full(shape, -np.inf)

    def place(self, lengths: np.ndarray, rng: np.random.Generator) -> None:
        """Place the longest instance of every video, then the next, and so on."""
        length = np.zeros(self.used.shape)
        length[self.used] = lengths
        length *= self._fitting(length)
        order = np.argsort(-length, axis=1, kind='stable')
        for turn in range(order.shape[1]):
            rows = np.flatnonzero(self.used.sum(axis=1) > turn)
            column = order[rows, turn]
            company = rng.random(len(rows)) < _COMPANY
            self._place_one(rows, column, length[rows, column], company, rng)

    def _fitting(self, length: np.ndarray) -> np.ndarray:
        """(V, M) factor that shortens what keeps one limb busy for too long."""
        clash = self.conflicts[self.action[:, :, None], self.action[:, None, :]]
        busy = (clash * length[:, None, :]).sum(axis=2)  # unused places have length 0
        limit = _BUSY_SHARE * self.seconds[:, None]
        return np.minimum(1.0, limit / np.maximum(busy, SHORTEST_SEC))

    def _place_one(
        self,
        rows: np.ndarray,
        column: np.ndarray,
        length: np.ndarray,
        company: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        """Try some places at random; shorten what fits nowhere and try again."""
        while len(rows):
            room = (self.seconds[rows] - length)[:, None]
            start = rng.random((len(rows), _TRIES)) * room  # (R, tries)
            overlap = (start[:, :, None] < self.end[rows][:, None, :]) & (
                start[:, :, None] + length[:, None, None] > self.start[rows][:, None, :]
            )  # (R, tries, M)
            action = self.action[rows]
            clash = self.conflicts[action, self.action[rows, column][:, None]]
            free = ~(overlap & clash[:, None, :]).any(axis=2)
            liked = free & overlap.any(axis=2) & company[:, None]
            best = np.argmax(free.astype(int) + liked, axis=1)
            at = np.arange(len(rows))
            done = free[at, best]
            chosen = start[at, best]
            self.start[rows[done], column[done]] = chosen[done]
            self.end[rows[done], column[done]] = (chosen + length)[done]
            rows, column, company = rows[~done], column[~done], company[~done]
            length = length[~done] * _SHRINK
