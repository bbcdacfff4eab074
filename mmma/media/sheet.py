"""Skeletons drawn over their frames, to be looked at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mmma.data.arrays import SkeletonStore
from mmma.data.joints import JointLayout
from mmma.data.root import DataRoot
from mmma.media.pose import VideoFrames
from mmma.simulation.preview import Strip, contact_sheet, pick_frames

SUFFIXES = ('.png', '.jpg')
_LEFT, _RIGHT, _MIDDLE = (255, 140, 40), (60, 150, 255), (90, 255, 120)


def draw_over(
    frame: np.ndarray, keypoints: np.ndarray, scores: np.ndarray, layout: JointLayout
) -> np.ndarray:
    """A frame with one skeleton on it: left orange, right blue, doubtful ones faint.

    Args:
        frame: (H, W, 3) uint8 RGB.
        keypoints: (V, 2) pixels.
        scores: (V,) in [0, 1]; joints with score 0 are left out.
        layout: Names and limbs.
    """
    drawn = frame.copy()
    points = np.round(keypoints * 16).astype(int)
    thickness = max(1, min(frame.shape[:2]) // 300)
    for a, b in layout.limb_indices():
        sure = float(min(scores[a], scores[b]))
        if sure > 0:
            names = layout.names[a], layout.names[b]
            line = points[a].tolist(), points[b].tolist()
            layer = drawn.copy() if sure < 0.5 else drawn
            cv2.line(layer, *line, _colour(*names), thickness, cv2.LINE_AA, 4)
            if layer is not drawn:
                drawn = cv2.addWeighted(layer, 0.4, drawn, 0.6, 0)
    return drawn


def write_sheet(
    root: DataRoot, task: str, out: Path, clips: int = 6, height: int = 320
) -> list[str]:
    """Write a picture of some clips spread over a store, five frames of each.

    Args:
        root: The data root.
        task: ``rec`` or ``det``.
        out: PNG or JPG file.
        clips: How many.
        height: Of a frame in the sheet, pixels.

    Returns:
        Names of the clips.

    Raises:
        ValueError: The picture cannot be encoded.
    """
    store = SkeletonStore(root, task)
    table = root.read_rec() if task == 'rec' else root.read_det()
    paths = {getattr(row, 'clip' if task == 'rec' else 'video'): row for row in table}
    names = [n for n in store.names if n in paths and paths[n].path]
    names = [names[i] for i in np.unique(pick_frames(len(names), clips))]
    strips = [
        Strip(name, _frames(root.video_path(paths[name].path), name, store))
        for name in names
    ]
    sheet = contact_sheet(strips, 1, height, store.layout.extractor)
    good, data = cv2.imencode(out.suffix.lower(), sheet[:, :, ::-1])
    if not good:
        raise ValueError(f'{out}: the sheet could not be encoded; show fewer clips')
    out.write_bytes(data.tobytes())
    return names


def _frames(path: Path, name: str, store: SkeletonStore) -> list[np.ndarray]:
    keypoints, scores = store.get(name)
    wanted = set(pick_frames(store.frames(name), 5).tolist())
    frames = []
    for number, frame in enumerate(VideoFrames(path)):
        if number in wanted:
            scale = frame.shape[1] / store.size(name)[0]
            for person in range(len(scores)):
                joints = keypoints[person, number] * scale, scores[person, number]
                frame = draw_over(frame, *joints, store.layout)
            frames.append(frame)
        if len(frames) == len(wanted):
            break
    return frames


def _colour(*names: str) -> tuple[int, int, int]:
    for side, colour in (('left', _LEFT), ('right', _RIGHT)):
        if all(name.startswith(side) for name in names):
            return colour
    return _MIDDLE
