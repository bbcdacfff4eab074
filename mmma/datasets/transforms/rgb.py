"""Frames of clips: reading, views, packing."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from mmaction.datasets.transforms import PackActionInputs
from mmaction.datasets.transforms import Resize as ActionResize
from mmcv.transforms import BaseTransform

from mmma.data.clips import ROUNDING_SEC, span_frames
from mmma.packets import packed_index
from mmma.registry import TRANSFORMS
from mmma.video import VideoReader, check_backend, open_video

_left_open: dict[tuple[int, str], VideoReader] = {}
"""The last video, by process (a fork shares its place in the file) and file."""


@TRANSFORMS.register_module()
class OpenVideo(BaseTransform):
    """Open ``filename``; nothing is decoded yet.

    Adds ``video_reader``, ``times_sec`` (T,) of the file, and of the clip, which is the
    file or a ``span`` of it, ``start_index``, ``total_frames``, ``avg_fps`` and
    ``duration_sec``. MMAction2's samplers can follow too; ``DecodeFrames`` closes, or
    leaves the video open for its next window: opening takes longer, the longer it is.

    Raises:
        ValueError: An unknown backend, or one that is not installed; in use, a span
            that goes beyond the file or has no frame.
    """

    def __init__(self, backend: str = 'auto') -> None:
        self.backend = check_backend(backend)

    def transform(self, results: dict) -> dict:
        """Open the video of ``results``."""
        file, root = results['filename'], results.get('data_root')
        video = _left_open.pop((os.getpid(), file), None)
        while _left_open:
            _left_open.popitem()[1].close()
        index = root and packed_index(root, file)
        video = video or open_video(file, self.backend, index)
        known = video.times_sec, video.duration_sec
        try:
            first, stop, end_sec = span_frames(*known, results.get('span'))
        except ValueError as error:
            video.close()
            row = f'{results.get("data_root")}/rec.csv: {results.get("clip")}'
            raise ValueError(f'{row}: {results["filename"]}: {error}') from None
        duration_sec = end_sec - video.times_sec[first]
        results.update(video_reader=video, start_index=first, total_frames=stop - first)
        results.update(avg_fps=(stop - first) / duration_sec)
        results.update(times_sec=video.times_sec, duration_sec=duration_sec)
        return results


@TRANSFORMS.register_module()
class UniformFrames(BaseTransform):
    """One frame from each of ``clip_len`` equal parts of the clip's duration.

    Chosen are times by :func:`places_in_parts`, of each of the ``views``, and the frame
    that is shown then. Adds ``frame_inds`` (views * clip_len,), ``clip_len``,
    ``num_clips`` (the views) and ``frame_interval`` (None), as MMAction2 names them.

    Raises:
        ValueError: ``clip_len`` or ``views`` below 1.

    Source: Wang et al., 'Temporal Segment Networks', ECCV 2016 (segments). Two views
        are 1/4 and 3/4 of each part; MMAction2's ``twice_sample``: start and middle.
    """

    in_windows = 'WindowFrames'  # takes its place in untrimmed videos

    def __init__(
        self, clip_len: int = 16, views: int = 1, test_mode: bool = False
    ) -> None:
        if clip_len < 1 or views < 1:
            raise ValueError(
                f'clip_len {clip_len}, views {views}: use whole numbers from 1'
            )
        self.clip_len, self.views, self.test_mode = clip_len, views, test_mode

    def transform(self, results: dict) -> dict:
        """Choose frames by ``times_sec`` and ``duration_sec``."""
        parts = places_in_parts(self.clip_len, self.views, self.test_mode)
        shown_sec, first = results['times_sec'], results.get('start_index', 0)
        times_sec = parts * (results['duration_sec'] / self.clip_len)
        chosen = frames_shown(shown_sec, shown_sec[first] + times_sec).reshape(-1)
        last = first + results.get('total_frames', len(shown_sec)) - 1
        results.update(frame_inds=np.minimum(chosen, last), clip_len=self.clip_len)
        results.update(num_clips=self.views, frame_interval=None)
        return results


@TRANSFORMS.register_module()
class DecodeFrames(BaseTransform):
    """Decode ``frame_inds`` of the open ``video_reader``, and close it.

    Adds ``imgs``, a list of (H, W, 3) uint8 RGB arrays, ``original_shape`` and
    ``img_shape`` (H, W). Joints that are there already are brought to its pixels. Of
    windows that follow one another in a video, as in testing, those frames that the
    next one may share are kept, if they are small.

    Raises:
        ValueError: The joints are of a picture of another shape.
    """

    def transform(self, results: dict) -> dict:
        """Replace the open video by frames."""
        wanted = np.asarray(results['frame_inds']).tolist()
        with ExitStack() as stack:
            video = stack.enter_context(results.pop('video_reader'))
            kept, video.shared = video.shared, {}
            found = iter(video.list_frames([n for n in wanted if n not in kept]))
            frames = [kept[n].copy() if n in kept else next(found) for n in wanted]
            if results.get('num_windows', 0) - results.get('window_index', 0) > 1:
                half = dict(list(zip(wanted, frames, strict=True))[len(wanted) // 2 :])
                if sum(frame.nbytes for frame in half.values()) < _MOST_KEPT:
                    # Copies: the next transforms may work in place.
                    video.shared = {n: frame.copy() for n, frame in half.items()}
                _left_open[os.getpid(), results['filename']] = video
                stack.pop_all()
        shape = frames[0].shape[:2]
        if 'keypoint' in results:
            old = results['img_shape']
            wide, tall = scale = np.divide(shape, old, dtype=np.float32)[::-1]
            if abs(wide / tall - 1) > _SAME_SHAPE:
                raise ValueError(
                    f'{results["filename"]} has pictures of {shape[1]} x {shape[0]}, '
                    f'the skeletons of {results.get("clip")!r} are of {old[1]} x '
                    f'{old[0]}: find them in these files (tools/data/pose.py).'
                )
            results['keypoint'] = results['keypoint'] * scale
        results.update(imgs=frames, original_shape=shape, img_shape=shape)
        return results


@TRANSFORMS.register_module()
class Resize(ActionResize):
    """MMAction2's, which here leaves frames alone that have the size already."""

    def _resize_imgs(self, imgs: list[np.ndarray], width: int, height: int) -> Any:
        same = all(img.shape[:2] == (height, width) for img in imgs)
        return imgs if same else super()._resize_imgs(imgs, width, height)


@TRANSFORMS.register_module()
class SquareFrames(BaseTransform):
    """Cut or fill frames to squares of their height, around the middle.

    Borders are repeated at the sides. Changes ``imgs`` and ``img_shape``.
    """

    def transform(self, results: dict) -> dict:
        """Change the width of ``imgs``."""
        height, width = results['img_shape']
        cut, fill = max(width - height, 0), max(height - width, 0)
        pads = (0, 0), (fill // 2, fill - fill // 2), (0, 0)
        imgs = (x[:, cut // 2 :][:, :height] for x in results['imgs'])
        results['imgs'] = [np.pad(x, pads, mode='edge') for x in imgs]
        results['img_shape'] = height, height
        return results


def places_in_parts(clip_len: int, views: int, test_mode: bool) -> np.ndarray:
    """(views, clip_len) places in units of one part, the k-th in [k, k + 1).

    In training they are random. In testing view v of V takes (v + 1/2) / V of each
    part: the middle, if there is one view.
    """
    if test_mode:
        offsets = (np.arange(views)[:, None] + 0.5) / views
    else:
        offsets = np.random.random_sample((views, clip_len))
    return np.arange(clip_len) + offsets


def frames_shown(frame_times_sec: np.ndarray, times_sec: np.ndarray) -> np.ndarray:
    """Numbers, below T, of the frames that are shown at times from 0, of any shape.

    (T,) is when each frame appears, ascending, from 0; a time at which a frame appears,
    up to rounding, shows that frame.
    """
    shown = np.searchsorted(frame_times_sec, times_sec + ROUNDING_SEC, side='right')
    return shown - 1


@TRANSFORMS.register_module()
class TubeMask(BaseTransform):
    """Hide the same random patches at all times of ``imgs``; adds ``mask`` (h, w).

    A share ``ratio`` of it is true; one that hides none or all raises ValueError.

    Source: MCG-NJU/VideoMAE, masking_generator.py, 14ef8d85.
    """

    def __init__(self, ratio: float = 0.9, patch_size: int = 16) -> None:
        self.ratio, self.patch_size = ratio, patch_size

    def transform(self, results: dict) -> dict:
        """Draw the mask for ``imgs`` of (views, 3, T, H, W)."""
        height, width = (side // self.patch_size for side in results['imgs'].shape[3:])
        hidden = int(self.ratio * height * width)
        if not 0 < hidden < height * width:
            raise ValueError(
                f'TubeMask hides {hidden} of {height} x {width} patches (ratio '
                f'{self.ratio}): use a share such as 0.9, and larger pictures'
            )
        order = np.random.permutation(height * width).reshape(height, width)
        return {**results, 'mask': order < hidden}


META_KEYS = ('img_shape', 'clip', 'index', 'domain', 'subject', 'body', 'broken')
META_KEYS += ('mask',)


@TRANSFORMS.register_module()
class PackClip(PackActionInputs):
    """MMAction2's packing, with what metrics and hooks need of a clip."""

    in_windows = 'PackWindow'

    def __init__(self, meta_keys: Sequence[str] = META_KEYS, **kwargs: Any) -> None:
        super().__init__(meta_keys=meta_keys, **kwargs)


_MOST_KEPT = 1 << 26  # bytes
_SAME_SHAPE = 0.02  # by which width / height may differ: sides are whole pixels
TIME_SAMPLERS = ('UniformFrames', 'UniformSkeletonFrames')
"""Transforms that choose the times of views."""


def with_views(
    pipeline: Sequence[Mapping[str, Any]],
    views: int | None = None,
    crops: int | None = None,
) -> list[dict[str, Any]]:
    """A test pipeline that gives views * crops inputs per clip.

    Crops are the middle one, or three side by side that cover the picture, whose short
    side is then resized to the crop's. What is None stays; the pipeline is a new one.

    Raises:
        ValueError: A number that is not allowed, or a pipeline that lacks what would
            have to change: crops of skeletons above all.
    """
    changed = [dict(step) for step in pipeline]
    names = ', '.join(_type(step) for step in changed)
    if views is not None:
        if views < 1:
            raise ValueError(f'views {views}: use a whole number from 1')
        found = [step for step in changed if _type(step) in TIME_SAMPLERS]
        if not found:
            raise ValueError(
                f'views {views}: the test pipeline has none of '
                f'{", ".join(TIME_SAMPLERS)}, which choose the times of a view; it has '
                f'{names}. Use one of them, or set the views in the config'
            )
        for step in found:  # of frames and of joints
            step['views'] = views
    if crops is not None:
        if crops not in (1, 3):
            raise ValueError(f'crops {crops}: use 1 (the middle) or 3 (side by side)')
        place = _last(changed, 'CenterCrop', 'ThreeCrop')
        if place is None and _last(changed, 'LoadSkeleton') is not None:
            raise ValueError(
                f'crops {crops}: skeletons have no picture to crop. Use --views, which '
                'takes more times of a clip'
            )
        if place is None:
            raise ValueError(
                f'crops {crops}: the test pipeline has no CenterCrop to replace; it '
                f'has {names}. Add one, or set the crops in the config'
            )
        wanted = 'ThreeCrop' if crops == 3 else 'CenterCrop'
        if _type(changed[place]) != wanted:
            changed[place]['type'] = wanted
            if crops == 3:
                _fit_short_side(changed, place)
    return changed


def _fit_short_side(pipeline: list[dict[str, Any]], place: int) -> None:
    """Resize to the crop's size what is cropped at a place of the pipeline."""
    crop_size = pipeline[place]['crop_size']
    sizes = {crop_size} if isinstance(crop_size, int) else set(crop_size)
    if len(sizes) > 1:
        raise ValueError(
            f'crops 3: the crop {tuple(crop_size)} is no square, so three do not '
            'cover a picture side by side. Use a square crop'
        )
    resize = {'type': 'Resize', 'scale': (-1, sizes.pop())}
    before = _last(pipeline[:place], 'Resize')
    if before is None:
        pipeline.insert(place, resize)
    else:
        pipeline[before].pop('keep_ratio', None)
        pipeline[before].update(resize)


def _last(pipeline: Sequence[Mapping[str, Any]], *types: str) -> int | None:
    """Place of the last transform of some types."""
    places = (i for i, step in enumerate(pipeline) if _type(step) in types)
    return max(places, default=None)


def _type(step: Mapping[str, Any]) -> str:
    return str(step['type']).rpartition('.')[2]
