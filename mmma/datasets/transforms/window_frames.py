"""Frames of a window of an untrimmed video."""

from __future__ import annotations

from mmcv.transforms import BaseTransform

from mmma.datasets.transforms.video import frames_shown
from mmma.registry import TRANSFORMS


@TRANSFORMS.register_module()
class WindowFrames(BaseTransform):
    """Choose the frames that are shown at the positions of ``window``.

    Chosen are times on a constant grid, so variable frame rates are right. Positions
    past the video's end are not decoded; ``PackWindow`` fills them.

    Takes the window, and what ``OpenVideo`` adds. Adds ``frame_inds`` (T,),
    ``clip_len`` T, ``num_clips`` (1) and ``frame_interval`` (None), as MMAction2 names
    them.

    Args:
        scale: Frames per position: T is ``scale`` times the positions that exist.

    Raises:
        ValueError: A scale below 1, or a file much longer or shorter than the table
            says.
    """

    def __init__(self, scale: int = 1) -> None:
        if scale < 1:
            raise ValueError(f'scale {scale}: use a whole number from 1')
        self.scale = scale

    def transform(self, results: dict) -> dict:
        """Choose the frames."""
        window = results['window']
        if not results.get('broken'):  # a stand-in has another length
            window.check_length(results['duration_sec'], results['filename'])
        inds = frames_shown(results['times_sec'], window.times_sec(self.scale))
        results.update(
            frame_inds=inds, clip_len=len(inds), num_clips=1, frame_interval=None
        )
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scale={self.scale})'
