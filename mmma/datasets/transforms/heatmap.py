"""From joints in a small picture to what a heatmap model takes."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from mmma.registry import TRANSFORMS


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
