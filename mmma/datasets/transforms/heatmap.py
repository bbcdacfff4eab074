"""From joints in a small picture to what a heatmap model takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmma.registry import TRANSFORMS
from mmma.structures.heatmaps import SIGMA, HeatmapChannels, draw_heatmaps


@TRANSFORMS.register_module()
class MirrorViews(BaseTransform):
    """Add the mirror image of every view, for testing.

    Joints change places by name, so that joint and limb heatmaps need no lists of left
    and right channels. x becomes width - 1 - x, which maps pixels to pixels. Comes
    after all that changes ``img_shape``.

    Takes and doubles ``keypoint`` (M, S * T, V, 2), ``keypoint_score`` and
    ``num_clips`` S.
    """

    def transform(self, results: dict) -> dict:
        """Append the mirrored views along the frames."""
        order = list(results['joint_tree'].flip_order)
        keypoint = results['keypoint']
        mirrored = keypoint[..., order, :].copy()
        mirrored[..., 0] = results['img_shape'][1] - 1 - mirrored[..., 0]
        score = results['keypoint_score']
        results['keypoint'] = np.concatenate([keypoint, mirrored], axis=1)
        results['keypoint_score'] = np.concatenate([score, score[..., order]], axis=1)
        results['num_clips'] *= 2
        return results


@TRANSFORMS.register_module()
class FormatKeypoints(BaseTransform):
    """Put joints and scores together for ``HeatmapPreprocessor``, view by view.

    Takes ``keypoint`` (M, S * T, V, 2), ``keypoint_score`` (M, S * T, V) and
    ``num_clips`` S. Changes ``keypoint`` to (S, M, T, V, 3): x, y, score.
    """

    def transform(self, results: dict) -> dict:
        """Join and reshape."""
        joints = np.concatenate(
            [results['keypoint'], results['keypoint_score'][..., None]], axis=-1
        ).astype(np.float32)
        persons, frames, *rest = joints.shape
        views = results['num_clips']
        joints = joints.reshape(persons, views, frames // views, *rest)
        results['keypoint'] = np.ascontiguousarray(joints.swapaxes(0, 1))
        return results


@TRANSFORMS.register_module()
class PoseHeatmap(BaseTransform):
    """Draw heatmap volumes in the pipeline, in the place of MMAction2's
    ``GeneratePoseTarget`` and ``FormatShape``, for stock models and preprocessors.

    ``FormatKeypoints`` with ``HeatmapPreprocessor`` gives the same numbers, and sends
    a clip to the device in a thousandth of the bytes.

    Takes ``keypoint``, ``keypoint_score``, ``num_clips`` S and ``img_shape``. Adds
    ``imgs`` (S, C, T, H, W).

    Args:
        layout: A joint layout: its name or its fields.
        joints: The joints, as given to ``LoadSkeleton``.
        limbs: None draws joints; else the limbs: ``body17``, ``tree``, or pairs of
            joints.
        sigma: In pixels.

    Raises:
        ValueError: An unknown layout, set, joint or limb, or other joints than those
            that were loaded.
    """

    def __init__(
        self,
        layout: str | Mapping[str, Any] = 'wholebody65',
        joints: str | Sequence[str] = 'body17',
        limbs: str | Sequence[Sequence[str]] | None = None,
        sigma: float = SIGMA,
    ) -> None:
        self.channels = HeatmapChannels.of(layout, joints, limbs)
        self.sigma = sigma
        self._format = FormatKeypoints()

    def transform(self, results: dict) -> dict:
        """Draw ``imgs``."""
        joints = torch.from_numpy(self._format.transform(dict(results))['keypoint'])
        results['imgs'] = draw_heatmaps(
            joints[..., :2],
            joints[..., 2],
            results['img_shape'],
            self.channels,
            self.sigma,
        ).numpy()
        return results
