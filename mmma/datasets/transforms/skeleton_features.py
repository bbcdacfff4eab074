"""Skeletons: small distortions, and the streams that a graph network sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

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
class SkeletonFeatures(BaseTransform):
    """Streams of a skeleton, side by side as channels.

    ``joint`` is the place, ``bone`` the joint minus its parent in the joint tree; the
    two motions are the change to the next frame, 0 in the last of each clip. Takes
    ``keypoint`` (M, T, V, 2), gives (M, T, V, 2S) for S streams. ``keypoint_score`` is
    kept as one more channel for MMAction2's ``FormatGCNInput``, or taken away.

    Args:
        streams: Some of ``STREAMS``, in the order of the channels.
        score: Whether the score is a channel.
        per_sec: Seconds that a motion is scaled to, whatever the time between
            frames; None leaves the change per frame.

    Raises:
        ValueError: No stream, or an unknown one.

    Source: the four streams are those of MS-AAGCN (arXiv 1912.06971).
    """

    def __init__(
        self,
        streams: Sequence[str] = ('joint',),
        score: bool = True,
        per_sec: float | None = None,
    ) -> None:
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
        self.per_sec = per_sec

    def transform(self, results: dict) -> dict:
        """Replace ``keypoint`` by the streams."""
        joint = results['keypoint']
        bone = joint - joint[:, :, list(results['joint_tree'].parents)]
        views = results.get('num_clips', 1)
        pace = 1.0
        if self.per_sec is not None:
            pace = self.per_sec / results['step_sec']
        found = []
        for stream in self.streams:
            values = bone if stream.startswith('bone') else joint
            if stream.endswith('motion'):
                values = _motion(values, views) * np.float32(pace)
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
