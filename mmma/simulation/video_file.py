"""Writing a video so that the same frames give the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np

# What the bytes must not depend on: x264 splits its work by the number of threads, and
# its macroblock tree (seen in build 165) reads memory that was never written where the
# picture has an odd number of macroblock rows, as 320x240 has. Short groups of pictures
# without B-frames decode fast.
_X264 = {
    'preset': 'veryfast',
    'crf': '26',
    'g': '30',
    'bf': '0',
    'mbtree': '0',
    'threads': '1',
}


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float) -> int:
    """Encode H.264 into an MP4 file that appears only when it is complete.

    Args:
        path: The file; its folder is made if it does not exist.
        frames: (H, W, 3) uint8 RGB each, all of one size, height and width even.
        fps: Frames per second.

    Returns:
        The number of frames.

    Raises:
        ValueError: No frame, an odd height or width, or frames of different sizes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.part')
    try:
        count = _encode(part, path.name, frames, fps)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return count


def _encode(part: Path, name: str, frames: Iterable[np.ndarray], fps: float) -> int:
    import av
    import cv2

    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f'{name}: no frame to write')
    height, width = first.shape[:2]
    if height % 2 or width % 2:
        raise ValueError(f'{name}: {width}x{height}: width and height must be even')
    options = {'fflags': '+bitexact', 'movflags': '+faststart'}
    with av.open(str(part), 'w', format='mp4', options=options) as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream('libx264', rate=rate, options=dict(_X264))
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        count = 0
        for frame in _chain(first, frames):
            if frame.shape != first.shape:
                raise ValueError(
                    f'{name}: frame {count} is {frame.shape}, not {first.shape}'
                )
            planes = cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420)
            picture = av.VideoFrame.from_ndarray(planes, format='yuv420p')
            picture.pts = count
            container.mux(stream.encode(picture))
            count += 1
        container.mux(stream.encode(None))
    return count


def _chain(first: np.ndarray, rest: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    yield first
    yield from rest
