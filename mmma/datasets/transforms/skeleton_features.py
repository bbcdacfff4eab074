"""Skeletons: distortions for training, and the streams that a network sees."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmma.layout.joint_sets import JointTree
from mmma.registry import TRANSFORMS
from mmma.taxonomy import suggest

STREAMS = ('joint', 'bone', 'joint_motion', 'bone_motion')


@TRANSFORMS.register_module()
class SkeletonJitter(BaseTransform):
    """Turn, stretch and disturb a normalised skeleton a little, in training.

    Comes after ``NormalizeSkeleton``, whose origin it turns and stretches about; one
    draw per clip, so that motion stays smooth, but for ``noise``.

    Args:
        degrees: Largest turn in the picture, either way.
        scale: Largest change of each axis, 0.1 for 0.9 to 1.1.
        shear: Largest slant, tangent of the angle.
        noise: Standard deviation added to every coordinate, in shoulder widths.
    """

    def __init__(
        self,
        degrees: float = 10.0,
        scale: float = 0.1,
        shear: float = 0.1,
        noise: float = 0.0,
    ) -> None:
        self.degrees = degrees
        self.scale = scale
        self.shear = shear
        self.noise = noise

    def transform(self, results: dict) -> dict:
        """Distort ``keypoint``."""
        angle = np.deg2rad(np.random.uniform(-self.degrees, self.degrees))
        cos, sin = np.cos(angle), np.sin(angle)
        slant = np.random.uniform(-self.shear, self.shear)
        stretch = np.diag(1 + np.random.uniform(-self.scale, self.scale, 2))
        matrix = np.array([[cos, -sin], [sin, cos]]) @ [[1, slant], [0, 1]] @ stretch
        keypoint = results['keypoint'] @ matrix.T.astype(np.float32)
        if self.noise:
            keypoint += np.random.normal(0, self.noise, keypoint.shape)
        results['keypoint'] = keypoint.astype(np.float32)
        return results


@TRANSFORMS.register_module()
class SkeletonBend(BaseTransform):
    """Give a normalised skeleton another posture and build, in training.

    Turns and stretches every bone by one draw per clip, and all joints that hang on
    it go along. Motion keeps its rhythm and its size; how a person sits or stands, the
    camera and the build change, which a model trained on one domain would otherwise
    take for part of the action. Arms turn little, so that a hand still touches what it
    touches.

    Args:
        degrees: Standard deviation of a bone's turn.
        leg_degrees: The same below the hips: people sit in one domain and stand in
            another.
        scale: Standard deviation of the logarithm of a bone's stretch.
    """

    def __init__(
        self, degrees: float = 5.0, leg_degrees: float = 30.0, scale: float = 0.1
    ) -> None:
        self.degrees = degrees
        self.leg_degrees = leg_degrees
        self.scale = scale

    def transform(self, results: dict) -> dict:
        """Change ``keypoint``."""
        tree = results['joint_tree']
        chain, fixed, below_hip = _chains(tree)
        spread = np.where(below_hip, self.leg_degrees, self.degrees)
        turn = np.deg2rad(np.random.normal(0, 1, len(fixed)) * spread)
        stretch = np.exp(np.random.normal(0, self.scale, len(fixed)))
        turn[fixed], stretch[fixed] = 0, 1
        cos = (stretch * np.cos(turn)).astype(np.float32)
        sin = (stretch * np.sin(turn)).astype(np.float32)
        keypoint = results['keypoint']
        bone = keypoint - keypoint[:, :, list(tree.parents)]
        bone[:, :, fixed] = keypoint[:, :, fixed]
        x, y = bone[..., 0], bone[..., 1]
        turned = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
        results['keypoint'] = chain @ turned  # (V, V) @ (M, T, V, 2)
        return results


@functools.lru_cache(maxsize=32)
def _chains(tree: JointTree) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(V, V) which bones lead to a joint; (V,) roots; (V,) joints below a hip."""
    parents = np.array(tree.parents)
    joints = np.arange(len(parents))
    chain = np.zeros((len(parents), len(parents)), np.float32)
    at = joints
    for _ in joints:
        chain[joints, at] = 1
        at = parents[at]
    legs = ('_knee', '_ankle', '_toe', '_heel')
    return chain, parents == joints, np.array([n.endswith(legs) for n in tree.names])


@TRANSFORMS.register_module()
class SkeletonFeatures(BaseTransform):
    """Streams of a skeleton, side by side as channels.

    ``joint`` is the place, ``bone`` the joint minus its parent in the joint tree; the
    two motions are the change to the next frame, 0 in the last of each clip. Takes
    ``keypoint`` (M, T, V, 2), gives (M, T, V, 2S) for S streams. ``keypoint_score`` is
    kept as one more channel for MMAction2's ``FormatGCNInput``, or taken away.

    Args:
        streams: Some of ``STREAMS``, in the order of the channels.
        score: Whether the score is a channel.

    Raises:
        ValueError: No stream, or an unknown one.

    Source: the four streams are those of MS-AAGCN (arXiv 1912.06971).
    """

    def __init__(self, streams: Sequence[str] = ('joint',), score: bool = True) -> None:
        if isinstance(streams, str) or not streams:
            raise ValueError(
                f'streams {streams!r}: give a list of {", ".join(STREAMS)}.'
            )
        for stream in streams:
            if stream not in STREAMS:
                raise ValueError(
                    f'unknown stream {stream!r}: use some of {", ".join(STREAMS)}.'
                    f'{suggest(stream, STREAMS)}'
                )
        self.streams = tuple(streams)
        self.score = score

    def transform(self, results: dict) -> dict:
        """Replace ``keypoint`` by the streams."""
        joint = results['keypoint']
        bone = joint - joint[:, :, list(results['joint_tree'].parents)]
        views = results.get('num_clips', 1)
        found = []
        for stream in self.streams:
            values = bone if stream.startswith('bone') else joint
            if stream.endswith('motion'):
                values = _motion(values, views)
            found.append(values)
        results['keypoint'] = np.concatenate(found, axis=-1)
        if not self.score:
            results.pop('keypoint_score', None)
        return results


def _motion(values: np.ndarray, views: int) -> np.ndarray:
    """Change to the next frame inside each of ``views`` clips along T."""
    persons, frames = values.shape[:2]
    clips = values.reshape(persons, views, frames // views, *values.shape[2:])
    change = np.zeros_like(clips)
    change[:, :, :-1] = clips[:, :, 1:] - clips[:, :, :-1]
    return change.reshape(values.shape)
