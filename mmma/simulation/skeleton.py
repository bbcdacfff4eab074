"""Skeletons as a pose extractor would report them: noise, dropouts, occlusion."""

from __future__ import annotations

import numpy as np

from mmma.layout.joints import WHOLEBODY65
from mmma.simulation.body import HAND_START, JOINT, joint_pair
from mmma.simulation.domains import DomainStyle
from mmma.simulation.kinematics import norm
from mmma.simulation.motion import Motion
from mmma.simulation.subjects import Subject

NUM_JOINTS = len(WHOLEBODY65.names)
_HANDS = [list(range(start, start + 21)) for start in HAND_START]
_SMALL = [joint_pair('small_toe') + joint_pair('heel')]
_OCCLUSION_STEP = 3  # frames; occlusion changes slowly
_KNOT_SEC = 0.4  # pace of the slow error
_MISS_SEC = 0.3  # length of a dropout
_LOST = 0.03  # metres by which the joints of a missed hand scatter
_JUMP = 0.08  # metres by which a glitch jumps
_FAST = 2.5  # metres per second at which a joint is fully blurred
_CLOSE = 0.13  # metres between hands that an extractor confuses

# How large the error of a joint is, and how sure the extractor at best.
_ERRORS = {'hip': 2.0, 'shoulder': 1.3, 'elbow': 1.2, 'knee': 1.4, 'ankle': 1.3}
_ERRORS |= {'toe': 1.6, 'heel': 1.6, 'nose': 0.7, 'eye': 0.6, 'ear': 0.9}
_SCORES = {'hip': 0.82, 'toe': 0.8, 'heel': 0.82, 'hand': 0.86, 'finger': 0.84}
_SCORES |= {'thumb': 0.86}


def _per_joint(values: dict[str, float], usual: float) -> np.ndarray:
    """(65,) the value of the first key in each joint's name."""
    return np.array(
        [
            next((v for key, v in values.items() if key in name), usual)
            for name in WHOLEBODY65.names
        ]
    )


_ERROR = _per_joint(_ERRORS, 1.0)
_SCORE = _per_joint(_SCORES, 0.93)


def observe_skeleton(
    motion: Motion, subject: Subject, style: DomainStyle, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What a pose extractor would find.

    Args:
        motion: Figure and camera.
        subject: Who moves.
        style: Domain; its extractor errors.
        rng: Dice; the same state gives the same numbers.

    Returns:
        Keypoints (T, 65, 2) float32 in pixels and scores (T, 65) float32 in [0, 1], in
        the order of ``WHOLEBODY65``. Joints outside the picture have score 0 and lie on
        its edge.
    """
    extractor = style.extractor
    joints = motion.joints[:, :NUM_JOINTS]
    points, depth = motion.camera.project(joints)
    scale = motion.camera.focal / depth.mean(axis=1)  # (T,) pixels per metre
    doubt = _occlusion(motion, points, depth) + _blur(joints, motion.fps)
    _confuse_hands(motion, doubt)
    score = _SCORE * (1.0 - 0.55 * np.minimum(doubt, 1.0))
    error = _errors(doubt, extractor.noise, extractor.drift, motion.fps, rng)
    _glitch(error, score, extractor.glitch, rng)
    for joints_lost, share in [
        *((hand, extractor.hand_miss) for hand in _HANDS),
        *((small, extractor.toe_miss) for small in _SMALL),
    ]:
        missed = _misses(len(points), motion.fps, share, rng)
        _lose(error, score, joints_lost, missed, rng)
    points = points + error * scale[:, None, None]
    score -= 0.06 * np.abs(rng.standard_normal(score.shape, dtype=np.float32))
    return _inside(points, np.clip(score, 0.02, 1.0), motion.camera.size)


def _inside(
    points: np.ndarray, score: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Joints outside the picture move to its edge and lose their score."""
    limit = np.array(size, float) - 1.0
    kept = np.clip(points, 0.0, limit)
    score = np.where((kept == points).all(axis=2), score, 0.0)
    return kept.astype(np.float32), score.astype(np.float32)


def _occlusion(motion: Motion, points: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(T, 65) how far trunk and head hide a joint, 0 to 1."""
    frames = np.arange(0, len(points), _OCCLUSION_STEP)
    figure, camera = motion.figure, motion.camera
    girth = figure.build.girth
    ends = [JOINT['neck'], JOINT['pelvis'], JOINT['head']]
    seen, far = camera.project(figure.joints[:, ends])
    seen, far, focal = seen[frames], far[frames], camera.focal[frames]
    pixels = (focal / far[:, 0])[:, None]  # (t, 1) per metre
    spots, behind = points[frames], depth[frames]
    neck, pelvis, head = seen[:, None, 0], seen[:, None, 1], seen[:, None, 2]
    axis = pelvis - neck
    along = ((spots - neck) * axis).sum(2) / np.maximum((axis * axis).sum(2), 1e-6)
    along = np.clip(along, 0.0, 1.0)
    away = _length(spots - neck - along[..., None] * axis) / pixels
    surface = far[:, :1] + along * (far[:, 1:2] - far[:, :1])
    hidden = (away < 0.13 * girth) & (behind > surface + 0.06)
    away = _length(spots - head) / pixels
    hidden |= (away < 0.085 * girth) & (behind > far[:, 2:] + 0.03)
    every = np.repeat(hidden, _OCCLUSION_STEP, axis=0)[: len(points)]
    return every.astype(float)


def _length(offsets: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum('...i,...i->...', offsets, offsets))


def _blur(joints: np.ndarray, fps: float) -> np.ndarray:
    """(T, 65) blur of fast joints, 0 to 1."""
    out = np.zeros(joints.shape[:2])
    if len(joints) > 1:
        out[1:] = norm(np.diff(joints, axis=0)) * fps / _FAST
        out[0] = out[1]
    return np.minimum(out, 1.0) ** 2


def _confuse_hands(motion: Motion, doubt: np.ndarray) -> None:
    """Hands that touch each other are less certain."""
    middle = motion.joints[:, [start + 9 for start in HAND_START]]
    gap = norm(middle[:, 0] - middle[:, 1])
    doubt[:, HAND_START[0] :] += 0.35 * np.clip(2 - gap / _CLOSE, 0, 1)[:, None]


def _errors(
    doubt: np.ndarray, noise: float, drift: float, fps: float, rng: np.random.Generator
) -> np.ndarray:
    """(T, 65, 2) metres in the picture: white noise and a slow error."""
    frames = len(doubt)
    size = (_ERROR * (1.0 + 2.5 * doubt)).astype(np.float32)
    white = rng.standard_normal((frames, NUM_JOINTS, 2), dtype=np.float32)
    place = np.arange(frames) / (_KNOT_SEC * fps)
    first = place.astype(int)
    share = (place - first)[:, None, None].astype(np.float32)
    knots = rng.standard_normal((first[-1] + 2, NUM_JOINTS, 2), dtype=np.float32)
    slow = knots[first] + share * (knots[first + 1] - knots[first])
    return size[..., None] * (np.float32(noise) * white + np.float32(drift) * slow)


def _glitch(
    error: np.ndarray, score: np.ndarray, share: float, rng: np.random.Generator
) -> None:
    """Single joints jump for one frame."""
    count = rng.binomial(score.size, share)
    where = rng.integers(score.size, size=count)
    error.reshape(-1, 2)[where] += rng.normal(0.0, _JUMP, (count, 2))
    score.reshape(-1)[where] *= 0.5


def _misses(
    frames: int, fps: float, share: float, rng: np.random.Generator
) -> np.ndarray:
    """(T,) frames in which something is not found, in runs."""
    place = np.arange(frames) / (_MISS_SEC * fps) + rng.random()
    runs = rng.random(int(place[-1]) + 1) < share
    return np.flatnonzero(runs[place.astype(int)])


def _lose(
    error: np.ndarray,
    score: np.ndarray,
    joints: list[int],
    frames: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Scatter joints that were not found and take their scores away."""
    where = np.ix_(frames, joints)
    shape = (len(frames), len(joints))
    # The guess is wrong as a whole, then joint by joint.
    error[where] += rng.normal(0.0, _LOST, (len(frames), 1, 2))
    error[where] += rng.normal(0.0, 0.6 * _LOST, (*shape, 2))
    score[where] = rng.uniform(0.03, 0.3, shape)
