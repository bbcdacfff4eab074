"""The part of the picture that a person fills."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from mmma.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SkeletonCompact(BaseTransform):
    """Cut the picture to a padded box around the joints seen in any frame.

    As MMAction2's ``PoseCompact``, which takes a coordinate of 0 for a missing joint;
    here a joint is missing where its score is 0, and one at the picture's edge counts.
    The box may leave the picture. A figure smaller than ``threshold`` is left as it is.

    Takes and changes ``keypoint`` and ``img_shape``.

    Args:
        padding: How much longer than the figure the box is, as a share.
        threshold: In pixels.
        hw_ratio: Height / width of the box, reached by making it larger; None keeps
            that of the figure.

    Raises:
        ValueError: A negative padding, or a ratio that is not above 0.

    Source: MMAction2, PoseCompact, 4d6c9347.
    """

    def __init__(
        self,
        padding: float = 0.25,
        threshold: float = 10,
        hw_ratio: float | None = 1.0,
    ) -> None:
        if padding < 0 or (hw_ratio is not None and hw_ratio <= 0):
            raise ValueError(
                f'padding {padding}, hw_ratio {hw_ratio}: use a padding from 0 and a '
                'ratio above 0.'
            )
        self.padding = padding
        self.threshold = threshold
        self.hw_ratio = hw_ratio

    def transform(self, results: dict) -> dict:
        """Move the joints into the box."""
        seen = results['keypoint'][results['keypoint_score'] > 0]  # (S, 2)
        if not len(seen):
            return results
        low, high = seen.min(0), seen.max(0)
        if (high - low < self.threshold).any():
            return results
        centre = (low + high) / 2
        half = (high - low) / 2 * (1 + self.padding)
        if self.hw_ratio is not None:
            half[1] = max(self.hw_ratio * half[0], half[1])
            half[0] = max(half[1] / self.hw_ratio, half[0])
        left, top = np.trunc(centre - half).astype(int)
        right, bottom = np.trunc(centre + half).astype(int)
        corner = np.array([left, top], np.float32)
        results['keypoint'] = results['keypoint'] - corner
        results['img_shape'] = (int(bottom - top), int(right - left))
        return results
