"""Windows of untrimmed videos: frames, skeletons, features, packing."""

import functools
import logging
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log

from mmma.data.arrays import FeatureStore
from mmma.data.root import file_stamp, read_root
from mmma.datasets.transforms.rgb import frames_shown
from mmma.registry import TRANSFORMS
from mmma.structures.samples import SegmentSample
from mmma.taxonomy import check_choice


@TRANSFORMS.register_module()
class WindowFrames(BaseTransform):
    """Choose the frames that are shown at the positions of ``window``.

    Variable frame rates are right. Positions past the video's end are not decoded;
    ``PackWindow`` fills them. Takes the window, and what ``OpenVideo`` adds; adds what
    ``UniformFrames`` does.

    Raises:
        ValueError: A file much longer or shorter than the table says.
    """

    def transform(self, results: dict) -> dict:
        """Choose the frames."""
        window = results['window']
        if not results.get('broken'):  # a stand-in has another length
            window.check_length(results['duration_sec'], results['filename'])
        inds = frames_shown(results['times_sec'], window.times_sec())
        results.update(frame_inds=inds, clip_len=len(inds))
        results.update(num_clips=1, frame_interval=None)
        return results


@TRANSFORMS.register_module()
class WindowSkeleton(BaseTransform):
    """Resample joints from the frames of a video to the positions of ``window``.

    Between two frames a joint moves evenly. A missing one stays missing: between a
    frame that shows a joint and one that does not, the nearer one counts, and nothing
    is guessed. Positions past the video's end are left out; ``PackWindow`` fills them,
    so that what comes between, such as ``NormalizeSkeleton``, sees each moment once.

    Comes after ``LoadSkeleton(task='det')``; changes ``keypoint`` (M, T, V, 2) and
    ``keypoint_score`` (M, T, V). Adds ``clip_len`` T and ``num_clips`` (1).

    Raises:
        ValueError: A skeleton much longer or shorter than the table says.
    """

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
        first, last = score.take(before, axis=1), score.take(after, axis=1)
        both = (first > 0) & (last > 0)
        nearest = score.take(nearer, axis=1)
        found_score = np.where(both, first + share * (last - first), nearest)
        first, last = keypoint.take(before, axis=1), keypoint.take(after, axis=1)
        mixed = first + share[..., None] * (last - first)
        found = np.where(both[..., None], mixed, keypoint.take(nearer, axis=1))
        results.update(keypoint=found, keypoint_score=found_score)
        results.update(clip_len=window.valid, num_clips=1)
        return results


@functools.lru_cache(maxsize=8)
def _open_store(data_root: str, name: str, stamp: object) -> FeatureStore:
    """The store, once per process and version of its array."""
    store = FeatureStore(data_root, name)
    made_from = store.info.data_fingerprint
    if made_from and made_from != read_root(data_root).fingerprint():
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
    ``feature_times_sec`` (T,), the time of each. The config may have been made for D
    (``dim``), seconds between features, frames per second that the backbone saw, and a
    checkpoint, by its hash or the start of it.

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
        self.wanted = dict(stride_sec=stride_sec and float(stride_sec), dim=dim)
        self.wanted.update(weights_sha256=weights_sha256, fps=fps and float(fps))

    def transform(self, results: dict) -> dict:
        """Add the features of ``results['video']``."""
        root, video, window = (results[k] for k in ('data_root', 'video', 'window'))
        stamp = file_stamp(Path(root, 'features', self.name, 'det.npy'))
        store = _open_store(str(root), self.name, stamp)
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
    there becomes the last channel. Gives ``inputs`` (3, P, H, W) uint8, (M, P, V, C)
    or (D, P) float32, where P is T of a window that lies inside its video. Positions
    past its end ``repeat`` the last one, or are ``zero``, as ``padding`` says.

    Raises:
        ValueError: Another padding, or an input that does not fit the window.
    """

    def __init__(self, padding: str = 'repeat') -> None:
        self.padding = check_choice('padding', padding, PADDINGS)

    def transform(self, results: dict) -> dict:
        """Pack."""
        window = results['window']
        if 'imgs' in results:
            found = results['imgs'][0]  # (1, 3, T, H, W) -> (3, T, H, W)
        else:
            found = results['keypoint' if 'keypoint' in results else 'feature']
            if 'keypoint_score' in results:
                score = results['keypoint_score'][..., None]
                found = np.concatenate([found, score], axis=-1)
            found = found.astype(np.float32, copy=False)
        if found.shape[1] != window.valid:
            raise ValueError(
                f'{results["video"]!r}: an input of {found.shape[1]} steps does not '
                f'fit a window of {window.valid} positions. Use one of WindowFrames, '
                'WindowSkeleton and WindowFeatures'
            )
        lacking = window.positions - window.valid
        if lacking:
            last = found[:, -1:] if self.padding == 'repeat' else found[:, -1:] * 0
            found = np.concatenate([found, np.repeat(last, lacking, axis=1)], axis=1)
        inputs = torch.from_numpy(np.ascontiguousarray(found))
        meta = {key: results[key] for key in META_KEYS if key in results}
        meta.update(window_start_sec=window.start_sec, rate=window.rate)
        meta.update(positions=window.positions, duration_sec=window.video_sec)
        sample = SegmentSample(metainfo=meta)
        sample.gt_segments = results['gt_segments']
        sample.gt_labels = results['gt_labels']
        sample.valid = window.valid
        return dict(inputs=inputs, data_samples=sample)
