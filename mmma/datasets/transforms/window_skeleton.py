"""Joints at the positions of a window of an untrimmed video."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from mmma.registry import TRANSFORMS
from mmma.taxonomy import check_choice

MODES = ('linear', 'nearest')


@TRANSFORMS.register_module()
class WindowSkeleton(BaseTransform):
    """Resample joints from the frames of a video to the positions of ``window``.

    A missing joint stays missing: between a frame that shows a joint and one that does
    not, the nearer one counts, and nothing is guessed. Positions past the video's end
    are left out; ``PackWindow`` fills them, so that what comes between, such as
    ``NormalizeSkeleton``, sees each moment once.

    Comes after ``LoadSkeleton(task='det')``; changes ``keypoint`` (M, T, V, 2) and
    ``keypoint_score`` (M, T, V). Adds ``clip_len`` T and ``num_clips`` (1).

    Args:
        mode: ``linear`` in time between two frames, or the ``nearest`` frame.

    Raises:
        ValueError: Another mode, or a skeleton much longer or shorter than the table
            says.
    """

    def __init__(self, mode: str = 'linear') -> None:
        self.mode = check_choice('mode', mode, MODES)

    def transform(self, results: dict) -> dict:
        """Resample."""
        window, fps = results['window'], results['fps']
        what = f'the skeleton of {results["video"]!r}'
        window.check_length(results['total_frames'] / fps, what)
        frames = results['keypoint'].shape[1]
        at = window.times_sec() * fps - results['first_frame']
        at = np.clip(np.round(at, 6), 0, frames - 1)  # on a frame: exactly it
        before = at.astype(np.int64)
        after = np.minimum(before + 1, frames - 1)
        share = (at - before).astype(np.float32)[None, :, None]  # (1, T, 1)
        keypoint, score = results['keypoint'], results['keypoint_score']
        nearer = np.where(share[0, :, 0] < 0.5, before, after)
        found, found_score = keypoint[:, nearer], score[:, nearer]
        if self.mode == 'linear':
            both = (score[:, before] > 0) & (score[:, after] > 0)
            mixed = _mix(keypoint[:, before], keypoint[:, after], share[..., None])
            found = np.where(both[..., None], mixed, found)
            mixed_score = _mix(score[:, before], score[:, after], share)
            found_score = np.where(both, mixed_score, found_score)
        results.update(
            keypoint=found,
            keypoint_score=found_score,
            clip_len=window.valid,
            num_clips=1,
        )
        return results


def _mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    return first + share * (second - first)
