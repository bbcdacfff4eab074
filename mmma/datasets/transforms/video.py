"""From a video file to frames."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform

from mmma.datasets.video import open_video
from mmma.datasets.video.opening import check_backend
from mmma.registry import TRANSFORMS

_ROUNDING_SEC = 1e-6  # far below any frame, far above the rounding of a time


@TRANSFORMS.register_module()
class OpenVideo(BaseTransform):
    """Open ``filename``; nothing is decoded yet.

    Adds ``video_reader``, ``total_frames``, ``avg_fps``, ``times_sec`` (T,) and
    ``duration_sec``. MMAction2's frame samplers can follow instead of
    :class:`UniformFrames`; ``DecodeFrames`` decodes and closes.

    Args:
        backend: ``auto``, ``decord`` or ``pyav``; both give the same frames.

    Raises:
        ValueError: An unknown backend, or one that is not installed.
    """

    def __init__(self, backend: str = 'auto') -> None:
        self.backend = check_backend(backend)

    def transform(self, results: dict) -> dict:
        """Open the video of ``results``."""
        video = open_video(results['filename'], self.backend)
        results.update(
            video_reader=video,
            total_frames=video.num_frames,
            avg_fps=video.fps,
            times_sec=video.times_sec,
            duration_sec=video.duration_sec,
        )
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(backend={self.backend!r})'


@TRANSFORMS.register_module()
class UniformFrames(BaseTransform):
    """One frame from each of ``clip_len`` equal parts of the clip's duration.

    Chosen are times, and of each time the frame that is shown then, so that variable
    frame rates are right; a clip with fewer frames shows some of them again. In
    training the time is random within each part. In testing it is the middle; with V
    views, view v takes (v + 1/2) / V of each part.

    Adds ``frame_inds`` (views * clip_len,), ``clip_len``, ``num_clips`` (the views)
    and ``frame_interval`` (None: it is not constant), as MMAction2 names them.

    Args:
        clip_len: Frames per view.
        views: Views of the clip.
        test_mode: Middles instead of random times.

    Raises:
        ValueError: ``clip_len`` or ``views`` below 1.

    Source: Wang et al., 'Temporal Segment Networks', ECCV 2016 (segments).
    """

    def __init__(
        self, clip_len: int = 16, views: int = 1, test_mode: bool = False
    ) -> None:
        if clip_len < 1 or views < 1:
            raise ValueError(
                f'clip_len {clip_len}, views {views}: use whole numbers from 1'
            )
        self.clip_len = clip_len
        self.views = views
        self.test_mode = test_mode

    def transform(self, results: dict) -> dict:
        """Choose frames by ``times_sec`` and ``duration_sec``."""
        shape = self.views, self.clip_len
        if self.test_mode:
            offsets = (np.arange(self.views)[:, None] + 0.5) / self.views
        else:
            offsets = np.random.random_sample(shape)
        parts = np.arange(self.clip_len) + offsets  # (views, clip_len)
        times_sec = parts * (results['duration_sec'] / self.clip_len)
        results.update(
            frame_inds=frames_shown(results['times_sec'], times_sec).reshape(-1),
            clip_len=self.clip_len,
            num_clips=self.views,
            frame_interval=None,
        )
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(clip_len={self.clip_len}, views={self.views}, '
            f'test_mode={self.test_mode})'
        )


@TRANSFORMS.register_module()
class DecodeFrames(BaseTransform):
    """Decode ``frame_inds`` of the open ``video_reader``, and close it.

    Adds ``imgs``, a list of (H, W, 3) uint8 RGB arrays, ``original_shape`` and
    ``img_shape`` (H, W).
    """

    def transform(self, results: dict) -> dict:
        """Replace the open video by frames."""
        with results.pop('video_reader') as video:
            frames = video.get_frames(results['frame_inds'])
        results.update(
            imgs=list(frames),
            original_shape=frames.shape[1:3],
            img_shape=frames.shape[1:3],
        )
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def frames_shown(frame_times_sec: np.ndarray, times_sec: np.ndarray) -> np.ndarray:
    """Numbers of the frames that are shown at given times.

    Args:
        frame_times_sec: (T,) when each frame appears, ascending, from 0.
        times_sec: Times from 0, any shape; a time at which a frame appears, up to
            rounding, shows that frame.

    Returns:
        int64 of the shape of ``times_sec``, each below T.
    """
    shown = np.searchsorted(frame_times_sec, times_sec + _ROUNDING_SEC, side='right')
    return shown - 1
