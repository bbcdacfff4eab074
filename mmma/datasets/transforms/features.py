"""Extracted features: reading them, and bringing them to the positions of a window."""

from __future__ import annotations

import functools
import logging
import os

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from mmma.layout.features import FeatureStore
from mmma.layout.root import DataRoot
from mmma.registry import TRANSFORMS


@functools.lru_cache(maxsize=8)
def _open_store(data_root: str, name: str, stamp: int) -> FeatureStore:
    """The store, once per process and version of its array."""
    store = FeatureStore(data_root, name)
    made_from = store.info.data_fingerprint
    if made_from and made_from != DataRoot(data_root).fingerprint():
        print_log(
            f'{store.path}: extracted with other tables than those of {data_root} now: '
            'right if only labels changed, else extract the features again',
            'current',
            logging.WARNING,
        )
    return store


@TRANSFORMS.register_module()
class LoadFeatures(BaseTransform):
    """Read the features that a window needs from the data root's store.

    Takes ``video``, ``window`` and ``data_root``. Adds ``feature`` (T, D) float32 and
    ``feature_times_sec`` (T,), the time of each.

    Args:
        name: Of the features.
        stride_sec: Seconds between features that the config was made for.
        dim: D that it was made for.
        weights_sha256: Of the checkpoint, in full or its start.
        fps: Frames per second that the backbone must have seen.

    Raises:
        FileNotFoundError: The root has no such features.
        ValueError: They are not what is asked for, lack the video, or are much longer
            or shorter than it.
    """

    def __init__(
        self,
        name: str,
        stride_sec: float | None = None,
        dim: int | None = None,
        weights_sha256: str | None = None,
        fps: float | None = None,
    ) -> None:
        self.name = name
        self.wanted = dict(
            stride_sec=None if stride_sec is None else float(stride_sec),
            dim=dim,
            weights_sha256=weights_sha256,
            fps=None if fps is None else float(fps),
        )

    def transform(self, results: dict) -> dict:
        """Add the features of ``results['video']``."""
        root, video, window = (results[k] for k in ('data_root', 'video', 'window'))
        store = _open_store(str(root), self.name, _stamp(str(root), self.name))
        info = store.require(**self.wanted).info
        steps, stride_sec = store.steps(video), info.stride_sec
        seen_sec = (steps - 1) * stride_sec + 2 * info.offset_sec
        what = f'what the features {self.name!r} show of {video!r}'
        if steps == 1:  # the last frame of a shorter video is repeated to fill it
            seen_sec = min(seen_sec, window.video_sec)
        window.check_length(seen_sec, what, 2 * stride_sec)
        ends_sec = np.array([window.start_sec, window.end_sec]) - info.offset_sec
        at = np.floor(np.round(ends_sec / stride_sec, 6)).astype(int)
        first, last = at.clip(0, steps - 1)
        results['feature'] = store.get(video, first, last + 2)
        inds = np.arange(first, first + len(results['feature']))
        results['feature_times_sec'] = info.offset_sec + inds * stride_sec
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.name!r}, {self.wanted})'


def _stamp(data_root: str, name: str) -> int:
    """Changes with the array, so that a store written anew is opened anew."""
    try:
        return os.stat(os.path.join(data_root, 'features', name, 'det.npy')).st_mtime_ns
    except OSError:
        return 0


@TRANSFORMS.register_module()
class WindowFeatures(BaseTransform):
    """Interpolate features to the positions of ``window``, linearly in time.

    Before the first feature and after the last they stay as they are there. Changes
    ``feature`` from (T, D) to (D, T'), T' the positions that exist.
    """

    def transform(self, results: dict) -> dict:
        """Interpolate."""
        feature, times_sec = results['feature'], results['feature_times_sec']
        last = len(feature) - 1
        at = np.interp(results['window'].times_sec(), times_sec, np.arange(last + 1))
        before = at.astype(int)
        after = np.minimum(before + 1, last)
        share = (at - before).astype(np.float32)[:, None]  # (T', 1)
        found = feature[before] * (1 - share) + feature[after] * share
        results['feature'] = np.ascontiguousarray(found.T)  # (T', D) -> (D, T')
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
