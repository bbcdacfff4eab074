"""The last step of a detection pipeline."""

from __future__ import annotations

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmma.registry import TRANSFORMS
from mmma.structures.samples import SegmentSample
from mmma.taxonomy import check_choice

PADDINGS = ('repeat', 'zero')
META_KEYS = (
    *('video', 'index', 'domain', 'subject', 'broken'),
    *('window_index', 'num_windows', 'img_shape'),
)


@TRANSFORMS.register_module()
class PackWindow(BaseTransform):
    """Inputs of full length, and a ``SegmentSample``.

    Takes the window, its truth, and one of ``imgs`` (1, 3, T, H, W), ``keypoint``
    (M, T, V, C) and ``feature`` (D, T); a ``keypoint_score`` (M, T, V) that is still
    there becomes the last channel. Gives ``inputs`` (3, T', H, W) uint8, (M, T', V, C)
    or (D, T') float32, where T' is T of a window that lies inside its video.

    Args:
        padding: What fills positions past the video's end: ``repeat`` the last one, or
            ``zero``.

    Raises:
        ValueError: Another padding, or an input that does not fit the window.
    """

    def __init__(self, padding: str = 'repeat') -> None:
        self.padding = check_choice('padding', padding, PADDINGS)

    def transform(self, results: dict) -> dict:
        """Pack."""
        window = results['window']
        found = _input(results)
        scale, rest = divmod(found.shape[1], window.valid)
        if rest or not scale:
            raise ValueError(
                f'{results["video"]!r}: an input of {found.shape[1]} steps does not '
                f'fit a window of {window.valid} positions. Use one of WindowFrames, '
                'WindowSkeleton and WindowFeatures'
            )
        lacking = scale * (window.positions - window.valid)
        if lacking:
            last = found[:, -1:] if self.padding == 'repeat' else found[:, -1:] * 0
            found = np.concatenate([found, np.repeat(last, lacking, axis=1)], axis=1)
        inputs = torch.from_numpy(np.ascontiguousarray(found))
        return dict(inputs=inputs, data_samples=_sample(results))

    def __repr__(self) -> str:
        return f'{type(self).__name__}(padding={self.padding!r})'


def _input(results: dict) -> np.ndarray:
    """What the model sees; time is its second axis."""
    if 'imgs' in results:
        return results['imgs'][0]  # (1, 3, T, H, W) -> (3, T, H, W)
    if 'keypoint' in results:
        found = results['keypoint']
        if 'keypoint_score' in results:
            score = results['keypoint_score'][..., None]
            found = np.concatenate([found, score], axis=-1)
        return found.astype(np.float32, copy=False)
    return results['feature'].astype(np.float32, copy=False)


def _sample(results: dict) -> SegmentSample:
    window = results['window']
    sample = SegmentSample(
        metainfo={
            **{key: results[key] for key in META_KEYS if key in results},
            'window_start_sec': window.start_sec,
            'rate': window.rate,
            'positions': window.positions,
            'duration_sec': window.video_sec,
        }
    )
    sample.gt_segments = results['gt_segments']
    sample.gt_labels = results['gt_labels']
    sample.valid = window.valid
    return sample
